//! The example as its reader meets it: a program, and a client that reads its stream.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::process::Command;

#[tokio::test]
async fn the_stream_that_is_cut_off_ends_in_an_error_event() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_axum-layer"));
    let mut program = program.kill_on_drop(true).spawn().unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let answer = loop {
        let request = axum::http::Request::post("http://127.0.0.1:3000/v1/chat/completions")
            .body(Body::from(r#"{"model":"m","messages":[],"stream":true}"#))
            .unwrap();
        match client.request(request).await {
            Ok(answer) => break answer,
            Err(error) => assert_eq!(program.try_wait().unwrap(), None, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(answer.status(), 200);
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    let text = std::str::from_utf8(&text).unwrap();
    let (said, ending) = text.split_once("\n\n").unwrap();
    assert!(said.contains(r#""content":"Hel""#), "{text}");
    assert!(ending.starts_with(r#"data: {"error":{"#), "{text}");
    assert!(!text.contains("[DONE]"), "{text}");
}
