//! The table of dispositions: complete, current, and what `docs/translation.md` is made from.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "it is a test")]

use std::{collections::BTreeSet, env, fmt::Write, fs, path::Path};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use tollgate_core::Protocol;
use tollgate_testkit::shared_trial;
use tollgate_translate::{Row, codec, find};

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
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
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
