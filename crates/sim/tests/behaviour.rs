//! What the simulated providers answer, seen from outside.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod asking;

use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use tollgate_core::{Class, Protocol};
use tollgate_sim::Sim;
use tollgate_testkit::body_contract;
use tower::ServiceExt;

use self::asking::{PATHS, ask, events, get, open, plain, post, text};

#[tokio::test]
async fn every_class_of_error_has_the_providers_shape() {
    let sim = Sim::new();
    for (protocol, _) in PATHS {
        for class in Class::ALL {
            let model = format!("sim-error-{class}");
            let (status, headers, error) = plain(&sim, protocol, &model, "x").await;
            assert!(status >= 400, "{protocol} {class}");
            match protocol {
                Protocol::AnthropicMessages => {
                    assert_eq!(error["type"], "error");
                    assert_eq!(error["request_id"], headers["request-id"].to_str().unwrap());
                }
                Protocol::Gemini => assert_eq!(error["error"]["code"], status),
                _ => assert!(
                    error["error"]["message"].is_string() && error["error"]["type"].is_string()
                ),
            }
            let waits = class == Class::RateLimit && protocol != Protocol::Gemini;
            assert!(!waits || headers["retry-after"] == "2");
        }
    }
    let overloaded = plain(&sim, Protocol::AnthropicMessages, "sim-error-overloaded", "x").await;
    assert_eq!(overloaded.0, 529);
}

#[tokio::test]
async fn wrong_requests_are_told_in_the_providers_words() {
    let sim = Sim::new();
    for (_, path) in PATHS {
        let request = Request::post(path).body(Full::from("{\"model\"")).unwrap();
        assert_eq!(sim.clone().oneshot(request).await.unwrap().status(), 400, "{path}");
        assert_eq!(post(&sim, path, &json!({})).await.0, 400, "{path}");
    }
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]});
    let (_, _, error) = post(&sim, "/v1/messages", &body).await;
    let error = error.collect().await.unwrap().to_bytes();
    assert!(std::str::from_utf8(&error).unwrap().contains("max_tokens: Field required"));
    let (status, _, _) = plain(&sim, Protocol::OpenAiChat, "m", "[[sim:tolo]]").await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn only_the_key_is_let_in() {
    let sim = Sim::new().with_key("k1");
    for (protocol, path) in PATHS {
        let status = if protocol == Protocol::Gemini { 400 } else { 401 };
        assert_eq!(plain(&sim, protocol, "m", "x").await.0, status);
        let body = Full::from(ask(protocol, "m", "x").to_string());
        let request = Request::post(path).header("authorization", "Bearer k1").body(body).unwrap();
        assert_eq!(sim.clone().oneshot(request).await.unwrap().status(), 200);
    }
    assert!(!format!("{sim:?}").contains("k1"));
}

#[tokio::test]
async fn usage_comes_in_a_chat_stream_only_when_asked_for() {
    let sim = Sim::new();
    let mut body = ask(Protocol::OpenAiChat, "m", "x");
    body["stream"] = true.into();
    let chunks = events(&text(&sim, Protocol::OpenAiChat, "m", "x").await);
    assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none()));
    body["stream_options"] = json!({"include_usage": true});
    let (_, _, stream) = post(&sim, PATHS[0].1, &body).await;
    let stream = stream.collect().await.unwrap().to_bytes();
    let chunks = events(std::str::from_utf8(&stream).unwrap());
    let (last, others) = chunks.split_last().unwrap();
    assert!(last["usage"]["total_tokens"].as_u64() > Some(0) && last["choices"] == json!([]));
    assert!(others.iter().all(|chunk| chunk["usage"].is_null() && chunk.get("usage").is_some()));
}

#[tokio::test]
async fn responses_events_are_numbered_from_zero() {
    let stream = text(&Sim::new(), Protocol::OpenAiResponses, "sim-thinking", "x").await;
    for (n, event) in events(&stream).iter().enumerate() {
        assert_eq!(event["sequence_number"], n);
    }
}

#[tokio::test]
async fn gemini_without_sse_is_one_array() {
    for (marker, last) in [("", "candidates"), ("[[sim:error-in-stream:2:overloaded]]", "error")] {
        let path = "/v1beta/models/m:streamGenerateContent";
        let body = ask(Protocol::Gemini, "m", &format!("one two {marker}"));
        let (_, headers, stream) = post(&Sim::new(), path, &body).await;
        assert_eq!(headers["content-type"], "application/json");
        let list: Vec<Value> =
            serde_json::from_slice(&stream.collect().await.unwrap().to_bytes()).unwrap();
        assert!(list.len() > 2 && list.last().unwrap().get(last).is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn streams_break_as_they_are_told() {
    let sim = Sim::new().with_bill();
    for (protocol, _) in PATHS {
        let cut = text(&sim, protocol, "m", "a b c [[sim:cut:3]]").await;
        assert_eq!(events(&cut).len(), 3, "{protocol}");
        let failed = text(&sim, protocol, "m", "a b c [[sim:error-in-stream:3:overloaded]]").await;
        let last = events(&failed).pop().unwrap();
        assert!(last.get("error").is_some() || last["type"] == "response.failed", "{protocol}");
        let reset = open(&sim, protocol, "m", "a b c [[sim:reset:3]]").await;
        assert!(reset.collect().await.is_err());
        let stall = open(&sim, protocol, "m", "a b c [[sim:stall:3]]").await;
        assert!(timeout(Duration::from_secs(9999), stall.collect()).await.is_err());
    }
    assert!(sim.bill().iter().all(|row| !row.completed) && sim.bill().len() == 16);
}

#[tokio::test(start_paused = true)]
async fn waits_before_the_head_and_between_events() {
    let (sim, start) = (Sim::new(), Instant::now());
    let body =
        open(&sim, Protocol::Gemini, "m", "[[sim:delay:2s]][[sim:say:a b]][[sim:pace:1s]]").await;
    assert_eq!(start.elapsed().as_secs(), 2);
    body.collect().await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test]
async fn the_bill_is_what_the_answer_says() {
    let sim = Sim::new().with_bill();
    let prompt = "[[sim:thinking]][[sim:cached:100]]";
    let (_, _, answer) = plain(&sim, Protocol::OpenAiResponses, "m", prompt).await;
    text(&sim, Protocol::OpenAiResponses, "m", prompt).await;
    drop(open(&sim, Protocol::OpenAiResponses, "m", prompt).await);
    let [whole, streamed, dropped] = sim.bill().try_into().unwrap();
    assert_eq!(whole, streamed);
    assert!(whole.completed && whole.cached == 100);
    assert_eq!(answer["usage"]["input_tokens"], whole.input);
    assert_eq!(answer["usage"]["output_tokens"], whole.output);
    assert_eq!(answer["usage"]["output_tokens_details"]["reasoning_tokens"], whole.reasoning);
    assert_eq!((dropped.input, dropped.output, dropped.completed), (whole.input, 0, false));
    assert!(Sim::new().bill().is_empty());
}

#[tokio::test]
async fn embeddings_models_and_counts_have_each_providers_shape() {
    let sim = Sim::new();
    let embed = json!({"model": "e", "input": ["a", "b"], "dimensions": 3});
    let float = get(&sim, "/v1/embeddings", Some(embed.clone()), "x").await;
    assert_eq!(float["data"][1]["embedding"].as_array().unwrap().len(), 3);
    let mut base64 = embed;
    base64["encoding_format"] = "base64".into();
    assert_eq!(
        get(&sim, "/v1/embeddings", Some(base64), "x").await["data"][0]["embedding"]
            .as_str()
            .unwrap()
            .len(),
        16
    );
    let one = json!({"content": {"parts": [{"text": "a"}]}, "outputDimensionality": 5});
    let batch = json!({"requests": [one.clone(), one]});
    let batch = get(&sim, "/v1beta/models/e:batchEmbedContents", Some(batch), "x").await;
    assert_eq!(batch["embeddings"][1]["values"].as_array().unwrap().len(), 5);
    assert_eq!(get(&sim, "/v1/models", None, "x").await["object"], "list");
    assert!(get(&sim, "/v1beta/models", None, "x").await["models"].is_array());
    assert_eq!(get(&sim, "/v1/models", None, "anthropic-version").await["has_more"], false);
    let contents = ask(Protocol::Gemini, "m", "hello");
    let count = json!({"generateContentRequest": contents});
    let count = get(&sim, "/v1beta/models/m:countTokens", Some(count), "x").await;
    let counted = get(
        &sim,
        "/v1/messages/count_tokens",
        Some(ask(Protocol::AnthropicMessages, "m", "hello")),
        "x",
    )
    .await;
    assert!(count["totalTokens"].as_u64() > Some(2) && counted["input_tokens"].as_u64() > Some(2));
}

#[tokio::test(start_paused = true)]
async fn bodies_keep_the_contract() {
    let sim = Sim::new().with_write_per_event();
    for marker in ["", "[[sim:cut:2]]", "[[sim:reset:2]]", "[[sim:pace:1s]]"] {
        let mut bodies = Vec::new();
        for _ in 0..40 {
            bodies.push(open(&sim, Protocol::OpenAiChat, "m", &format!("a b {marker}")).await);
        }
        body_contract(|| bodies.pop().unwrap()).await;
    }
    let (_, _, whole) = post(&sim, PATHS[0].1, &ask(Protocol::OpenAiChat, "m", "x")).await;
    assert!(http_body::Body::size_hint(&whole).exact().unwrap() > 100);
}
