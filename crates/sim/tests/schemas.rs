//! What the simulated providers answer fits the providers' own schemas, where those are there.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod asking;

use std::path::Path;

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};
use tollgate_core::{Class, Protocol};
use tollgate_sim::Sim;
use tollgate_testkit::shared_trial;

use self::asking::{PATHS, ask, events, get, plain, text};

fn main() {
    let trials = vec![
        trial("answers_fit_the_providers_schemas", answers),
        trial("stream_events_fit_the_providers_schemas", stream_events),
        trial("openai_errors_fit_the_providers_schema", errors),
        trial("embeddings_lists_and_counts_fit_the_providers_schemas", others),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn trial(name: &str, test: impl AsyncFnOnce(&Path) + Send + 'static) -> Trial {
    shared_trial("specs", name, move |specs| {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        runtime.block_on(test(specs));
        Ok::<_, Failed>(())
    })
}

fn fits(specs: &Path, name: &str, value: &Value) {
    let file = specs.join(format!("{name}.schema.json"));
    let schema = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<_> = validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{name}: {errors:#?}\n{value:#}");
}

const KINDS: [&str; 4] =
    ["x", "[[sim:parallel-tools]]", "[[sim:thinking]]", "[[sim:tool]][[sim:thinking]]"];

async fn answers(specs: &Path) {
    let sim = Sim::new();
    let names = [
        "openai-chat-response",
        "openai-responses-response",
        "anthropic-messages-response",
        "gemini-generate-content-response",
    ];
    for ((protocol, _), name) in PATHS.into_iter().zip(names) {
        for prompt in KINDS {
            let (status, _, answer) = plain(&sim, protocol, "m", prompt).await;
            assert_eq!(status, 200);
            fits(specs, name, &answer);
        }
    }
}

async fn stream_events(specs: &Path) {
    let sim = Sim::new();
    let names = [
        "openai-chat-stream-chunk",
        "openai-responses-stream-event",
        "anthropic-messages-stream-event",
        "gemini-generate-content-response",
    ];
    for ((protocol, _), name) in PATHS.into_iter().zip(names) {
        for prompt in KINDS {
            for mut event in events(&text(&sim, protocol, "m", prompt).await) {
                // OpenAI sends `"usage":null` until the end, which its own document does not allow.
                if event.pointer("/response/usage") == Some(&Value::Null)
                    && let Some(response) = event.get_mut("response").and_then(Value::as_object_mut)
                {
                    response.remove("usage");
                }
                if event["type"] != "ping" {
                    fits(specs, name, &event);
                }
            }
        }
    }
}

async fn errors(specs: &Path) {
    let sim = Sim::new();
    for protocol in [Protocol::OpenAiChat, Protocol::OpenAiResponses] {
        for class in Class::ALL {
            let (_, _, error) = plain(&sim, protocol, &format!("sim-error-{class}"), "x").await;
            fits(specs, "openai-error", &error);
        }
    }
}

async fn others(specs: &Path) {
    let sim = Sim::new();
    let embed = json!({"model": "e", "input": ["a", "b"], "dimensions": 3});
    let count = json!({"generateContentRequest": ask(Protocol::Gemini, "m", "hello")});
    let counted = ask(Protocol::AnthropicMessages, "m", "hello");
    for (schema, path, body) in [
        ("openai-embeddings-response", "/v1/embeddings", Some(embed)),
        ("openai-models-response", "/v1/models", None),
        ("gemini-list-models-response", "/v1beta/models", None),
        ("gemini-count-tokens-response", "/v1beta/models/m:countTokens", Some(count)),
        ("anthropic-count-tokens-response", "/v1/messages/count_tokens", Some(counted)),
    ] {
        fits(specs, schema, &get(&sim, path, body, "x").await);
    }
}
