//! Real traffic through the codecs.
//!
//! Each recorded request and whole answer is read and written again in its own protocol, where
//! nothing may be lost, and in each other protocol, where the result must fit that provider's own
//! schema. The recordings stand in `$TOLLGATE_SHARED/fixtures/recorded`, the schemas in
//! `$TOLLGATE_SHARED/specs`, by default beside the workspace; without them every test is listed
//! as ignored, and with `CI=true` their absence is a failure.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "it is a test")]

mod tree;

use std::{collections::BTreeMap, fs, path::Path};

use jsonschema::Validator;
use libtest_mimic::{Arguments, Failed, Trial};
use tollgate_core::{Caps, Protocol};
use tollgate_testkit::{Recording, recordings, shared_trial};
use tollgate_translate::{Asked, Incoming, Onto, Report, codec};
use tree::Tree;

const FOLDERS: [(&str, Protocol); 5] = [
    ("openai-chat", Protocol::OpenAiChat),
    ("other-openai-compatible", Protocol::OpenAiChat),
    ("openai-responses", Protocol::OpenAiResponses),
    ("anthropic-messages", Protocol::AnthropicMessages),
    ("gemini", Protocol::Gemini),
];

fn main() {
    let mut trials = Vec::new();
    for (folder, from) in FOLDERS {
        let name = format!("{folder} loses nothing in its own protocol");
        trials.push(trial(&name, move |_| own(folder, from)));
        for to in Protocol::ALL {
            let name = format!("requests of {folder} fit {to}");
            trials.push(trial(&name, move |shared| requests(shared, folder, from, to)));
            let name = format!("answers of {folder} fit {to}");
            trials.push(trial(&name, move |shared| answers(shared, folder, from, to)));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn trial(name: &str, test: impl FnOnce(&Path) -> Result<(), Failed> + Send + 'static) -> Trial {
    shared_trial("fixtures/recorded", name, move |recorded| {
        test(recorded.ancestors().nth(2).unwrap())
    })
}

fn of(folder: &str) -> Result<Vec<Recording>, Failed> {
    let all = recordings(folder).map_err(|absent| absent.to_string())?;
    Ok(all.into_iter().filter(|each| each.response.status().is_success()).collect())
}

/// Fails if anything went wrong, with the first few of it.
fn verdict(wrong: &[String]) -> Result<(), Failed> {
    if wrong.is_empty() {
        return Ok(());
    }
    let shown = wrong.iter().take(12).cloned().collect::<Vec<_>>().join("\n");
    Err(format!("{} wrong:\n{shown}", wrong.len()).into())
}

/// What the path says beside the body.
fn incoming<'a>(recording: &'a Recording, body: &'a [u8]) -> Incoming<'a> {
    let path = recording.request.path.as_str();
    let model = path.split_once("models/").and_then(|(_, rest)| rest.rsplit_once(':'));
    Incoming {
        model: model.map(|(model, _)| model),
        stream: path.contains("stream"),
        batch: false,
        body,
    }
}

/// Whether the body is a request of the protocol at all.
fn is_request(from: Protocol, recording: &Recording) -> bool {
    let body = recording.request.body();
    let text = String::from_utf8_lossy(&body);
    let path = &recording.request.path;
    let named = path.contains("models/") || text.contains("\"model\"");
    let generates = match from {
        Protocol::OpenAiChat => text.contains("\"messages\""),
        Protocol::OpenAiResponses => path.ends_with("/responses") && body.len() > 2,
        Protocol::AnthropicMessages => text.contains("\"messages\""),
        _ => text.contains("\"contents\""),
    };
    named && generates
}

fn own(folder: &str, from: Protocol) -> Result<(), Failed> {
    let mut wrong = Vec::new();
    let caps = Caps::default();
    let except = |each: &Recording| EXCEPT.iter().any(|(id, _)| *id == each.id);
    for recording in of(folder)?.into_iter().filter(|each| !except(each)) {
        let body = recording.request.body();
        if is_request(from, &recording) {
            let incoming = incoming(&recording, &body);
            match again(from, &incoming, &caps) {
                // Results of calls that only the server knows are told in words.
                Ok(_) if refers_to_server(&body) => {}
                Ok(written) => {
                    lost(from, &body, &written, &recording.id, &mut wrong);
                    if let Err(why) = stable(from, &incoming, &written) {
                        wrong.push(format!("{} (request): {why}", recording.id));
                    }
                }
                // A word of one compatible server.
                Err(why) if why.contains("is not a known effort") => {}
                Err(why) => wrong.push(format!("{} (request): {why}", recording.id)),
            }
        }
        if !recording.stream {
            own_answer(from, &recording, &mut wrong);
        }
    }
    verdict(&wrong)
}

fn refers_to_server(body: &[u8]) -> bool {
    let body = parse(body);
    let set = |name| body.get(name).is_some_and(|value| *value != Tree::Null);
    set("previous_response_id") || set("conversation")
}

/// Exchanges that differ when written again, and why.
const EXCEPT: [(&str, &str); 2] = [
    ("vercel-ai-openai-openai-phase-1-0-8c0ccf", "two messages in a row are one"),
    (
        "pydantic-ai-mistral-test-mistral-model-thinking-part-1-16f51a",
        "three stretches of thinking are one `reasoning_content`",
    ),
];

fn own_answer(from: Protocol, recording: &Recording, wrong: &mut Vec<String>) {
    let body = recording.response.body();
    if is_no_answer(from, &body) {
        return;
    }
    let codec = codec(from);
    let mut report = Report::new(codec);
    let shown = codec
        .decode_answer(&body, "seed")
        .and_then(|answer| codec.encode_answer(&answer, &asked(), &mut report));
    match shown {
        Ok(shown) => lost(from, &body, &shown, &recording.id, wrong),
        Err(fault) => wrong.push(format!("{} (answer): {}", recording.id, fault.message)),
    }
}

/// Answers with status 200 that are errors, run in the background, are of other operations or of
/// protocols that look alike.
fn is_no_answer(protocol: Protocol, body: &[u8]) -> bool {
    let answer = parse(body);
    let later = matches!(answer.str("status"), Some("queued" | "in_progress" | "cancelled"));
    let error = matches!(answer.get("error"), Some(Tree::Object(_)));
    let result = match protocol {
        Protocol::OpenAiResponses => "output",
        Protocol::AnthropicMessages => "content",
        Protocol::Gemini => "candidates",
        _ => "choices",
    };
    let malformed = String::from_utf8_lossy(body).contains("MALFORMED_FUNCTION_CALL");
    let compaction = answer.str("object") == Some("response.compaction");
    compaction || later || error || malformed || answer.get(result).is_none()
}

fn asked() -> Asked {
    Asked {
        reasoning: true,
        legacy_functions: false,
        stream_usage: false,
        candidates: 1,
        now: 1,
        id: "call".to_owned(),
        echo: Vec::new(),
    }
}

fn again(protocol: Protocol, incoming: &Incoming<'_>, caps: &Caps) -> Result<Vec<u8>, String> {
    let codec = codec(protocol);
    let conversation = codec.decode_request(incoming).map_err(|refusal| refusal.message)?;
    let mut report = Report::new(codec);
    let onto = Onto::new(&conversation.model, caps);
    let sent = codec.encode_request(&conversation, &onto, &mut report);
    sent.map(|sent| sent.body).map_err(|refusal| refusal.message)
}

/// Written, read and written again it is the same.
fn stable(protocol: Protocol, incoming: &Incoming<'_>, written: &[u8]) -> Result<(), String> {
    let second = Incoming { body: written, ..*incoming };
    let twice = again(protocol, &second, &Caps::default())?;
    if twice == written {
        return Ok(());
    }
    let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Err(format!("written twice it differs:\n  {}\n  {}", show(written), show(&twice)))
}

/// Tells of every scalar of the original that is not in what was written.
fn lost(protocol: Protocol, body: &[u8], written: &[u8], id: &str, wrong: &mut Vec<String>) {
    let mut there = BTreeMap::new();
    leaves(protocol, &parse(written), "", &mut |key, value| {
        *there.entry((key, value)).or_insert(0_usize) += 1;
    });
    leaves(protocol, &parse(body), "", &mut |key, value| {
        let entry = (key, value);
        match there.get_mut(&entry) {
            Some(n) if *n > 0 => *n -= 1,
            _ if is_normalised(protocol, &entry.0, &entry.1) => {}
            _ => wrong.push(format!("{id}: {} = {}", entry.0, cut(&entry.1))),
        }
    });
}

fn parse(bytes: &[u8]) -> Tree {
    Tree::parse(std::str::from_utf8(bytes).unwrap())
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Visits each scalar with the name it stands under; numbers by value.
fn leaves(protocol: Protocol, tree: &Tree, key: &str, visit: &mut impl FnMut(String, String)) {
    match tree {
        Tree::Object(members) => {
            // Usage is written anew from the counts; what a gateway tells of itself is its own.
            let kept =
                |name: &str| !matches!(name, "usage" | "usageMetadata" | "provider_metadata");
            for (name, value) in members.iter().filter(|(name, _)| kept(name)) {
                leaves(protocol, value, &renamed(protocol, name), visit);
            }
        }
        Tree::Array(elements) => {
            elements.iter().for_each(|each| leaves(protocol, each, key, visit));
        }
        Tree::Null => {}
        Tree::Number(text) => {
            visit(key.to_owned(), text.parse::<f64>().unwrap_or_default().to_string());
        }
        // Base64 is written in its standard alphabet.
        Tree::Str(text) if key == "data" => {
            visit(key.to_owned(), text.trim().replace('-', "+").replace('_', "/"));
        }
        Tree::Str(text) => visit(key.to_owned(), text.clone()),
        Tree::Bool(value) => visit(key.to_owned(), value.to_string()),
    }
}

/// Names that say the same: the newer one is written.
fn renamed(protocol: Protocol, name: &str) -> String {
    match (protocol, name) {
        (Protocol::OpenAiChat, "reasoning_effort") => "effort".to_owned(),
        (Protocol::OpenAiChat, "max_tokens") => "max_completion_tokens".to_owned(),
        (Protocol::OpenAiChat, "content") => "text".to_owned(),
        (Protocol::OpenAiChat, "reasoning" | "reasoning_content" | "thinking") => "text".to_owned(),
        (Protocol::OpenAiResponses, "generate_summary") => "summary".to_owned(),
        (Protocol::OpenAiResponses, "content" | "output" | "input") => "text".to_owned(),
        (Protocol::AnthropicMessages, "content" | "system") => "text".to_owned(),
        (Protocol::AnthropicMessages, "output_format") => "format".to_owned(),
        (Protocol::Gemini, name) => camel(name),
        (_, name) => name.to_owned(),
    }
}

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let mut out = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        out.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        out.push_str(letters.as_str());
    }
    out
}

/// What is written differently on purpose.
fn is_normalised(protocol: Protocol, key: &str, value: &str) -> bool {
    // Content of one text is a string or a list of one part; adjacent messages of one role join.
    if matches!(key, "type" | "role") || value.is_empty() {
        return true;
    }
    match protocol {
        Protocol::OpenAiChat => chat_normalised(key, value),
        Protocol::OpenAiResponses => responses_normalised(key),
        Protocol::AnthropicMessages => anthropic_normalised(key, value),
        _ => gemini_normalised(key, value),
    }
}

fn chat_normalised(key: &str, value: &str) -> bool {
    // What nobody's known format says cannot be handed to anybody.
    let format = key == "format" && (value == "unknown" || value.ends_with("-v1"));
    let opaque = key == "data" && value.len() > 100;
    // A call of the legacy form is answered so only to who asked so; arguments stand on one line.
    let word = matches!((key, value), ("thought" | "closed", "true") | ("tool_choice", "any"));
    let legacy = value == "function_call" || (key == "arguments" && value.contains('\n'));
    format || opaque || legacy || word || matches!(key, "id" | "index")
}

fn responses_normalised(key: &str) -> bool {
    matches!(key, "id" | "status" | "completed_at" | "phase")
}

fn anthropic_normalised(key: &str, value: &str) -> bool {
    // Texts without a letter are refused by the protocol itself.
    matches!((key, value), ("is_error" | "stream", "false")) || value.trim().is_empty()
}

fn gemini_normalised(key: &str, value: &str) -> bool {
    // The path names the model; enumerations are written as names, without names of functions
    // two modes are one.
    key == "model"
        || (key, value) == ("mode", "VALIDATED")
        || value.parse::<u8>().is_ok_and(|_| matches!(key, "finishReason" | "mode"))
}

fn schema(shared: &Path, name: &str) -> Result<Validator, Failed> {
    let path = shared.join("specs").join(name);
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let schema = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    Ok(jsonschema::validator_for(&schema).map_err(|error| error.to_string())?)
}

fn request_schema(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::OpenAiResponses => "openai-responses-request.schema.json",
        Protocol::AnthropicMessages => "anthropic-beta-messages-request.schema.json",
        Protocol::Gemini => "gemini-generate-content-request.schema.json",
        _ => "openai-chat-request.schema.json",
    }
}

fn answer_schema(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::OpenAiResponses => "openai-responses-response.schema.json",
        Protocol::AnthropicMessages => "anthropic-messages-response.schema.json",
        Protocol::Gemini => "gemini-generate-content-response.schema.json",
        _ => "openai-chat-response.schema.json",
    }
}

/// Where the value does not fit, innermost first told.
fn misfit(validator: &Validator, body: &[u8]) -> Option<String> {
    let value = serde_json::from_slice(body).unwrap();
    let error = validator.iter_errors(&value).next()?;
    Some(format!("at {}: {}", error.instance_path(), cut(&error.to_string())))
}

fn requests(shared: &Path, folder: &str, from: Protocol, to: Protocol) -> Result<(), Failed> {
    if from == to {
        return Ok(());
    }
    let validator = schema(shared, request_schema(to))?;
    let mut wrong = Vec::new();
    let (mut sent, mut refused) = (0, BTreeMap::new());
    let caps = Caps::default();
    for recording in of(folder)?.iter().filter(|each| is_request(from, each)) {
        let body = recording.request.body();
        let Ok(conversation) = codec(from).decode_request(&incoming(recording, &body)) else {
            continue;
        };
        let mut report = Report::new(codec(from));
        let onto = Onto::new("model", &caps);
        match codec(to).encode_request(&conversation, &onto, &mut report) {
            Ok(outgoing) => {
                sent += 1;
                let why = misfit(&validator, &outgoing.body);
                wrong.extend(why.map(|why| format!("{}: {why}", recording.id)));
            }
            Err(refusal) => *refused.entry(refusal.message).or_insert(0) += 1,
        }
    }
    if sent < 2 * refused.values().sum::<usize>() {
        wrong.push(format!("only {sent} sent, refused {refused:#?}"));
    }
    verdict(&wrong)
}

fn answers(shared: &Path, folder: &str, from: Protocol, to: Protocol) -> Result<(), Failed> {
    if from == to {
        return Ok(());
    }
    let validator = schema(shared, answer_schema(to))?;
    let mut wrong = Vec::new();
    for recording in of(folder)?.iter().filter(|each| !each.stream) {
        let body = recording.response.body();
        if is_no_answer(from, &body) {
            continue;
        }
        let mut report = Report::new(codec(from));
        let shown = codec(from)
            .decode_answer(&body, "seed")
            .and_then(|answer| codec(to).encode_answer(&answer, &asked(), &mut report));
        match shown {
            Ok(shown) => {
                let why = misfit(&validator, &shown);
                wrong.extend(why.map(|why| format!("{}: {why}", recording.id)));
            }
            Err(fault) => wrong.push(format!("{}: {}", recording.id, fault.message)),
        }
    }
    verdict(&wrong)
}
