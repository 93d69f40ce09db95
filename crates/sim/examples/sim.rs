//! The simulated providers as a process, for tests that are no Rust.
//!
//! `sim [--strict] [--schemas FOLDER] [--key KEY] [--listen ADDRESS]` says on standard output where
//! it listens and serves until it is ended. `--schemas` holds each request against the provider's
//! own JSON Schema, of the files in FOLDER.

use std::{collections::HashMap, error::Error, path::Path};

use http::{Method, request::Parts};
use serde_json::Value;
use tokio::net::TcpListener;
use tollgate_sim::Sim;

type Failed = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let (mut sim, mut listen) = (Sim::new(), "127.0.0.1:0".to_owned());
    let mut args = std::env::args().skip(1);
    while let Some(option) = args.next() {
        let mut value = || args.next().ok_or(format!("{option} needs a value"));
        sim = match option.as_str() {
            "--strict" => sim.strict(),
            "--key" => sim.with_key(value()?),
            "--schemas" => {
                let schemas = Schemas::read(Path::new(&value()?))?;
                sim.with_check(move |head, body| schemas.check(head, body))
            }
            "--listen" => {
                listen = value()?;
                sim
            }
            other => return Err(format!("unknown option {other}").into()),
        };
    }
    let listener = TcpListener::bind(&listen).await?;
    println!("http://{}", listener.local_addr()?);
    sim.serve(listener, async { drop(tokio::signal::ctrl_c().await) }).await?;
    Ok(())
}

/// The providers' schemas of requests, by name.
struct Schemas(HashMap<&'static str, jsonschema::Validator>);

const NAMES: [&str; 11] = [
    "openai-chat",
    "openai-responses",
    "openai-embeddings",
    "anthropic-messages",
    "anthropic-beta-messages",
    "anthropic-count-tokens",
    "anthropic-beta-count-tokens",
    "gemini-generate-content",
    "gemini-count-tokens",
    "gemini-embed-content",
    "gemini-batch-embed-contents",
];

impl Schemas {
    fn read(folder: &Path) -> Result<Self, Failed> {
        let mut schemas = HashMap::new();
        for name in NAMES {
            let file = folder.join(format!("{name}-request.schema.json"));
            let text = std::fs::read(&file).map_err(|e| format!("{}: {e}", file.display()))?;
            schemas.insert(name, jsonschema::validator_for(&serde_json::from_slice(&text)?)?);
        }
        Ok(Self(schemas))
    }

    fn check(&self, head: &Parts, body: &[u8]) -> Result<(), String> {
        let Some(name) = name(head) else { return Ok(()) };
        let Ok(mut body) = serde_json::from_slice::<Value>(body) else { return Ok(()) };
        // What Codex sends and OpenAI takes, though its document does not.
        for item in body.get_mut("input").and_then(Value::as_array_mut).into_iter().flatten() {
            let null = item.get("content").is_some_and(Value::is_null);
            item.as_object_mut().filter(|_| null).and_then(|item| item.remove("content"));
        }
        // Other servers of OpenAI's protocol have members of their own.
        if name == "openai-chat" && !body["model"].as_str().is_some_and(|m| m.starts_with("gpt-")) {
            return Ok(());
        }
        let Some(schema) = self.0.get(name) else { return Ok(()) };
        let wrong = schema.iter_errors(&body).map(|e| format!("{} at {}", e, e.instance_path()));
        let wrong: Vec<_> = wrong.take(3).collect();
        if wrong.is_empty() { Ok(()) } else { Err(format!("schema: {}", wrong.join("; "))) }
    }
}

fn name(head: &Parts) -> Option<&'static str> {
    let path = head.uri.path();
    let beta = head.headers.contains_key("anthropic-beta")
        || head.uri.query().is_some_and(|query| query.contains("beta=true"));
    let last = path.rsplit(['/', ':']).next().filter(|_| head.method == Method::POST)?;
    Some(match last {
        "completions" => "openai-chat",
        "responses" => "openai-responses",
        "embeddings" => "openai-embeddings",
        "messages" if beta => "anthropic-beta-messages",
        "messages" => "anthropic-messages",
        "count_tokens" if beta => "anthropic-beta-count-tokens",
        "count_tokens" => "anthropic-count-tokens",
        "generateContent" | "streamGenerateContent" => "gemini-generate-content",
        "countTokens" => "gemini-count-tokens",
        "embedContent" => "gemini-embed-content",
        "batchEmbedContents" => "gemini-batch-embed-contents",
        _ => return None,
    })
}
