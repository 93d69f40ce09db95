//! The layers alone in front of an axum router.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{convert::Infallible, time::Duration};

use axum::{Router, body::Body, response::IntoResponse, routing::post};
use bytes::Bytes;
use http::{Request, Response, header::CONTENT_TYPE};
use http_body_util::BodyExt;
use serde_json::Value;
use tollgate_sse::{DeadlineLayer, SseLayer};
use tollgate_testkit::Script;
use tower::ServiceExt;

const DELTA: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\
                     \"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\n\n";

fn stream(script: &Script) -> impl IntoResponse + use<> {
    ([(CONTENT_TYPE, "text/event-stream")], Body::new(script.body()))
}

/// An application of somebody's, one of whose routes speaks a protocol of ours.
fn app() -> Router {
    Router::new()
        .route("/v1/messages", post(|| async { stream(&Script::new(DELTA).reset()) }))
        .route("/v1/chat/completions", post(|| async { stream(&Script::new(": hi\n\n").stall()) }))
        .route("/hello", post(|| async { "hello" }))
}

async fn ask(app: Router, path: &str) -> (Response<()>, Bytes) {
    let request = Request::post(path).body(Body::from("{}")).unwrap();
    let response: Result<_, Infallible> = app.oneshot(request).await;
    let (parts, body) = response.unwrap().into_parts();
    (Response::from_parts(parts, ()), body.collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn a_broken_stream_ends_honestly_and_other_routes_stay_as_they_are() {
    let app = app().layer(SseLayer::new());
    let (head, body) = ask(app.clone(), "/v1/messages").await;
    assert_eq!(head.headers()["x-accel-buffering"], "no");
    let text = std::str::from_utf8(&body).unwrap();
    assert!(text.strip_prefix(DELTA).unwrap().starts_with("event: error\n"), "{text}");
    let (head, body) = ask(app, "/hello").await;
    assert_eq!(head.headers()["content-length"], "5");
    assert_eq!(body, "hello");
}

#[tokio::test]
async fn a_plain_404_of_the_router_is_an_error_of_the_protocol() {
    let (head, body) = ask(Router::new().layer(SseLayer::new()), "/v1/messages").await;
    assert_eq!(head.status(), 404);
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["type"], "error");
}

#[tokio::test(start_paused = true)]
async fn the_class_of_a_deadline_survives_the_routers_boxed_bodies() {
    let patience = DeadlineLayer::new().first_content(Duration::from_secs(3));
    let app = app().layer(patience).layer(SseLayer::new());
    let (head, body) = ask(app, "/v1/chat/completions").await;
    assert_eq!(head.status(), 504);
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert!(body["error"]["message"].as_str().unwrap().contains("did not begin in time"));
}

#[tokio::test]
async fn stacked_twice_the_client_sees_one_error() {
    let app = app().layer(SseLayer::new()).layer(SseLayer::new());
    let (_, body) = ask(app, "/v1/messages").await;
    let text = std::str::from_utf8(&body).unwrap();
    assert_eq!(text.matches("event: error").count(), 1, "{text}");
}
