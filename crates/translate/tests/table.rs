//! The table of dispositions: complete, current, and what `docs/translation.md` is made from.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "it is a test")]

use std::{collections::BTreeSet, env, fmt::Write, fs, path::Path};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use tollgate_core::{Caps, Protocol};
use tollgate_testkit::shared_trial;
use tollgate_translate::{
    Code, Disposition, Incoming, Onto, Row, Translator, Warning, codec, find,
};

const SCHEMAS: [(Protocol, &[&str]); 4] = [
    (Protocol::OpenAiChat, &["openai-chat-request", "openai-embeddings-request"]),
    (Protocol::OpenAiResponses, &["openai-responses-request"]),
    (
        Protocol::AnthropicMessages,
        &[
            "anthropic-messages-request",
            "anthropic-beta-messages-request",
            "anthropic-count-tokens-request",
            "anthropic-beta-count-tokens-request",
        ],
    ),
    (
        Protocol::Gemini,
        &[
            "gemini-generate-content-request",
            "gemini-count-tokens-request",
            "gemini-embed-content-request",
            "gemini-batch-embed-contents-request",
        ],
    ),
];

fn main() {
    let mut trials = vec![Trial::test("docs/translation.md is current", current)];
    for (protocol, files) in SCHEMAS {
        let name = format!("every field of every {protocol} request has a row");
        trials.push(shared_trial("specs", &name, move |specs| complete(specs, protocol, files)));
    }
    for (protocol, kind, base, samples) in SAMPLES {
        let name = format!("the fields of {kind} become what their rows say");
        trials.push(Trial::test(name, move || true_rows(protocol, kind, base, samples)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// A type of a protocol, a body with `@` where its further fields stand, and a value of each field.
type Sample = (Protocol, &'static str, &'static str, &'static [(&'static str, &'static str)]);

const TOOLS: &str = r#"[{"type":"function","function":{"name":"f"}}]"#;

const SAMPLES: [Sample; 5] = [
    (
        Protocol::OpenAiChat,
        "CreateChatCompletionRequest",
        r#"{"model":"m","messages":[{"role":"user","content":"x"}]@}"#,
        &[
            ("max_completion_tokens", "100"),
            ("max_tokens", "100"),
            ("temperature", "0.5"),
            ("top_p", "0.5"),
            ("frequency_penalty", "0.5"),
            ("presence_penalty", "0.5"),
            ("seed", "7"),
            ("logit_bias", r#"{"1":2}"#),
            ("n", "2"),
            ("stop", r#"["x"]"#),
            ("tools", TOOLS),
            ("response_format", r#"{"type":"json_object"}"#),
            ("reasoning_effort", r#""high""#),
            ("verbosity", r#""low""#),
            ("logprobs", "true"),
            ("modalities", r#"["text","audio"]"#),
            ("audio", r#"{"voice":"alloy","format":"mp3"}"#),
            ("prediction", r#"{"type":"content","content":"x"}"#),
            ("moderation", r#"{"model":"x"}"#),
            ("prompt_cache_retention", r#""24h""#),
            ("prompt_cache_key", r#""k""#),
            ("user", r#""u""#),
            ("safety_identifier", r#""u""#),
            ("metadata", r#"{"a":"b"}"#),
            ("store", "true"),
        ],
    ),
    (
        Protocol::OpenAiResponses,
        "CreateResponse",
        r#"{"model":"m","input":"x"@}"#,
        &[
            ("instructions", r#""x""#),
            ("max_output_tokens", "100"),
            ("temperature", "0.5"),
            ("top_p", "0.5"),
            ("top_logprobs", "2"),
            ("max_tool_calls", "2"),
            ("text", r#"{"format":{"type":"json_object"}}"#),
            ("reasoning", r#"{"effort":"high"}"#),
            ("include", r#"["web_search_call.results"]"#),
            ("store", "true"),
            ("previous_response_id", r#""r""#),
            ("conversation", r#""c""#),
            ("prompt", r#"{"id":"p"}"#),
            ("background", "true"),
            ("stream_options", r#"{"include_obfuscation":true}"#),
            ("truncation", r#""auto""#),
            ("context_management", "[]"),
            ("client_metadata", "{}"),
            ("moderation", r#"{"model":"x"}"#),
            ("prompt_cache_retention", r#""24h""#),
            ("prompt_cache_key", r#""k""#),
            ("user", r#""u""#),
            ("metadata", r#"{"a":"b"}"#),
        ],
    ),
    (
        Protocol::AnthropicMessages,
        "CreateMessageParams",
        r#"{"model":"m","max_tokens":2000,"messages":[{"role":"user","content":"x"}]@}"#,
        &[
            ("system", r#""x""#),
            ("temperature", "0.5"),
            ("top_p", "0.5"),
            ("top_k", "5"),
            ("stop_sequences", r#"["x"]"#),
            ("thinking", r#"{"type":"enabled","budget_tokens":1024}"#),
            ("output_config", r#"{"effort":"high"}"#),
            ("metadata", r#"{"user_id":"u"}"#),
            ("service_tier", r#""standard_only""#),
            ("speed", r#""fast""#),
            ("container", r#""c""#),
            ("mcp_servers", "[{}]"),
            ("thread", "{}"),
            ("inference_geo", r#""us""#),
            ("diagnostics", "{}"),
            ("user_profile_id", r#""u""#),
            ("context_management", "{}"),
            ("fallbacks", "[]"),
            ("billing_policy", r#""x""#),
        ],
    ),
    (
        Protocol::Gemini,
        "GenerateContentRequest",
        r#"{"contents":[{"role":"user","parts":[{"text":"x"}]}]@}"#,
        &[
            ("systemInstruction", r#"{"parts":[{"text":"x"}]}"#),
            ("safetySettings", "[{}]"),
            ("labels", r#"{"a":"b"}"#),
            ("cachedContent", r#""c""#),
            ("continuationToken", r#""c""#),
            ("serviceTier", r#""standard""#),
            ("store", "true"),
        ],
    ),
    (
        Protocol::Gemini,
        "GenerationConfig",
        r#"{"contents":[{"role":"user","parts":[{"text":"x"}]}],"generationConfig":{"maxOutputTokens":9000@}}"#,
        &[
            ("candidateCount", "2"),
            ("stopSequences", r#"["x"]"#),
            ("temperature", "0.5"),
            ("topP", "0.5"),
            ("topK", "5"),
            ("seed", "7"),
            ("presencePenalty", "0.5"),
            ("frequencyPenalty", "0.5"),
            ("responseLogprobs", "true"),
            ("responseJsonSchema", r#"{"type":"object"}"#),
            ("thinkingConfig", r#"{"thinkingBudget":2048}"#),
            ("responseModalities", r#"["IMAGE"]"#),
            ("speechConfig", "{}"),
            ("imageConfig", "{}"),
            ("mediaResolution", r#""MEDIA_RESOLUTION_LOW""#),
            ("enableEnhancedCivicAnswers", "true"),
        ],
    ),
];

fn true_rows(
    from: Protocol,
    kind: &str,
    base: &str,
    samples: &[(&str, &str)],
) -> Result<(), Failed> {
    let mut wrong = Vec::new();
    for (field, value) in samples {
        let row =
            find(codec(from).dispositions(), kind, field).ok_or(format!("no row: {field}"))?;
        let body = base.replace('@', &format!(",\"{field}\":{value}"));
        for to in Protocol::ALL.into_iter().filter(|to| *to != from) {
            let said = row.towards(to);
            if let Err(why) = holds(from, to, &body, field, said) {
                wrong.push(format!("{field} to {to} is {said}, but {why}"));
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// Whether what is said of a field is what happens to it.
fn holds(
    from: Protocol,
    to: Protocol,
    body: &str,
    field: &str,
    said: Disposition,
) -> Result<(), String> {
    let incoming = Incoming { model: Some("m"), ..Incoming::new(body.as_bytes()) };
    let caps = Caps::default();
    let translator = Translator::new(from, to);
    let (_, exchange) = match (translator.request(&incoming, &Onto::new("m", &caps)), said) {
        (Err(_), Disposition::Refused) => return Ok(()),
        (Err(refusal), _) => return Err(format!("it is refused: {}", refusal.message)),
        (Ok(_), Disposition::Refused) => return Err("it is not refused".to_owned()),
        (Ok(sent), _) => sent,
    };
    let told = exchange.warnings();
    let left_out = |warning: &&Warning| {
        let code = matches!(warning.code, Code::DroppedField | Code::UnknownField);
        code && warning.path.split('/').any(|step| step == field)
    };
    // The older name of a user is told under the newer, one of a pair under the other.
    let dropped = told.iter().find(left_out).is_some()
        || (field == "user" && told.iter().any(|w| w.path == "/safety_identifier"));
    match (said, dropped) {
        (Disposition::Dropped, false) => Err(format!("no warning tells: {told:?}")),
        (Disposition::Carried, true) => Err("a warning says it is left out".to_owned()),
        _ => Ok(()),
    }
}

fn complete(specs: &Path, protocol: Protocol, files: &[&str]) -> Result<(), Failed> {
    let rows = codec(protocol).dispositions();
    let fields = fields(specs, protocol, files)?;
    let mut wrong = Vec::new();
    for (kind, field) in &fields {
        if find(rows, kind, field).is_none() {
            wrong.push(format!("no row for {kind}.{field}"));
        }
    }
    for row in rows {
        for field in row.fields {
            let there = |(kind, name): &(String, String)| {
                row.covers(kind) && (*field == "*" || name == field)
            };
            if !fields.iter().any(there) {
                wrong.push(format!("the schema has no {}.{field}", row.kind));
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// Every field of every type, nested ones with dots.
fn fields(
    specs: &Path,
    protocol: Protocol,
    files: &[&str],
) -> Result<BTreeSet<(String, String)>, Failed> {
    let mut found = BTreeSet::new();
    for file in files {
        let path = specs.join(format!("{file}.schema.json"));
        let text =
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let schema: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        for (name, kind) in schema["$defs"].as_object().into_iter().flatten() {
            let name = plain(name);
            walk(kind, "", &mut |field| {
                // The older names of the same fields.
                if protocol != Protocol::Gemini || !field.contains('_') {
                    found.insert((name.clone(), field.to_owned()));
                }
            });
        }
    }
    Ok(found)
}

/// The beta form of a type has the rows of the type.
fn plain(name: &str) -> String {
    match name.strip_prefix("RequestBeta") {
        Some(rest) => format!("Request{rest}"),
        None => name.strip_prefix("Beta").unwrap_or(name).to_owned(),
    }
}

fn walk(schema: &Value, path: &str, visit: &mut impl FnMut(&str)) {
    if let Some(list) = schema.as_array() {
        list.iter().for_each(|each| walk(each, path, visit));
    }
    for (name, value) in schema["properties"].as_object().into_iter().flatten() {
        let dot = if path.is_empty() { "" } else { "." };
        let path = format!("{path}{dot}{name}");
        visit(&path);
        walk(value, &path, visit);
    }
    for key in ["anyOf", "oneOf", "allOf", "items", "additionalProperties"] {
        if let Some(inner) = schema.get(key) {
            walk(inner, path, visit);
        }
    }
}

fn current() -> Result<(), Failed> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/translation.md");
    let page = page();
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, page)?;
        return Ok(());
    }
    match fs::read_to_string(&path)? == page {
        true => Ok(()),
        false => Err("docs/translation.md is not current: run this test with UPDATE_DOCS=1".into()),
    }
}

const INTRODUCTION: &str = "\
# Translation

What becomes of each field of a request when its client and the upstream speak different protocols.
Same protocol: not a byte is touched. This page is generated from the table in
`crates/translate`: `UPDATE_DOCS=1 cargo test -p tollgate-translate --test table` writes it anew,
and without it that test fails where the page is not current.

* **carried**: it says the same there.
* **approximated**: it says nearly the same; a warning tells where something was changed.
* **dropped**: it is left out; a warning tells, unless the note says `silent`: then nothing is lost.
* **refused**: the request is answered with a 400 that names the field in the client's own words.

Warnings stand in `x-tollgate-warnings` as `code:path`. Under a strict policy the first of them is
a refusal. What a protocol does not list at all is an `unknown_field` and dropped; an unknown part
of the user's content is refused, since the model would answer without having seen it. `*` stands
for all other fields of a type.

";

fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for from in Protocol::ALL {
        section(&mut page, from).expect("a string takes what is written");
    }
    page
}

fn section(page: &mut String, from: Protocol) -> std::fmt::Result {
    let others: Vec<_> = Protocol::ALL.into_iter().filter(|to| *to != from).collect();
    writeln!(page, "## From {from}\n")?;
    let heads: Vec<_> = others.iter().map(|to| format!("to {to}")).collect();
    writeln!(page, "| type | fields | {} | note |", heads.join(" | "))?;
    writeln!(page, "| --- | --- | --- | --- | --- | --- |")?;
    for row in codec(from).dispositions() {
        let to: Vec<_> = others.iter().map(|to| row.towards(*to).as_str()).collect();
        let (kind, fields, to) = (row.kind, names(row), to.join(" | "));
        writeln!(page, "| `{kind}` | {fields} | {to} | {} |", row.note)?;
    }
    writeln!(page)
}

fn names(row: &Row) -> String {
    let names: Vec<_> = row.fields.iter().map(|field| format!("`{field}`")).collect();
    names.join(", ")
}
