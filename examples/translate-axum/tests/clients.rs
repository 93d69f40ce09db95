//! The example as its readers meet it: a program, and clients of other protocols.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use axum::{body::Body, http::Request};
use http_body_util::BodyExt;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;
use tokio::process::Command;

#[tokio::test]
async fn clients_of_every_protocol_are_answered_in_their_own() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_translate-axum"));
    let mut program = program.kill_on_drop(true).spawn().unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    for (path, body, text) in [
        (
            "/v1/messages",
            r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#,
            "/content/0/text",
        ),
        (
            "/v1beta/models/m:generateContent",
            r#"{"contents":[{"parts":[{"text":"hi"}]}]}"#,
            "/candidates/0/content/parts/0/text",
        ),
        ("/v1/responses", r#"{"model":"m","input":"hi"}"#, "/output/0/content/0/text"),
        (
            "/v1/chat/completions",
            r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#,
            "/choices/0/message/content",
        ),
    ] {
        let answer = loop {
            let request = Request::post(format!("http://127.0.0.1:3001{path}"))
                .header("content-type", "application/json")
                .body(Body::from(body))
                .unwrap();
            match client.request(request).await {
                Ok(answer) => break answer,
                Err(error) => assert_eq!(program.try_wait().unwrap(), None, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert_eq!(answer.status(), 200, "{path}");
        let answer = answer.into_body().collect().await.unwrap().to_bytes();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer.pointer(text).unwrap(), "You said: hi", "{path}: {answer}");
    }
}
