//! Bounds, readiness, and the layer alone in front of axum.

use std::fmt::Debug;

use axum::{Json, Router, routing::post};
use http::{Request, Response};
use serde_json::{Value, json};
use tollgate_core::{Body, Protocol};
use tollgate_testkit::{ScriptBody, Upstream};
use tollgate_translate::{
    TranslateLayer,
    layer::{NoFetch, ResponseFuture, Translate, TranslateBody},
};
use tower::{Layer, ServiceBuilder, ServiceExt};

use crate::samples::{self, SAMPLES};

#[test]
fn everything_is_send_and_can_be_shown() {
    fn send_sync_clone<T: Send + Sync + Clone + Debug>() {}
    fn send<T: Send + Debug>() {}
    send_sync_clone::<TranslateLayer>();
    send_sync_clone::<Translate<Upstream>>();
    send::<TranslateBody<ScriptBody>>();
    send::<ResponseFuture<Upstream, NoFetch, Body, ScriptBody>>();
}

#[tokio::test]
async fn readiness_is_the_inner_services() {
    let (mock, mut handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    let service = TranslateLayer::to(Protocol::Gemini).layer(mock);
    let mut spawned = tower_test::mock::Spawn::new(service);
    handle.allow(0);
    let ready: std::task::Poll<Result<(), _>> = spawned.poll_ready::<Request<Body>>();
    assert!(ready.is_pending());
    handle.allow(1);
    assert!(spawned.poll_ready::<Request<Body>>().is_ready());
}

async fn complete(Json(asked): Json<Value>) -> Json<Value> {
    let said = asked["messages"][0]["content"].clone();
    Json(json!({"id": "1", "object": "chat.completion", "created": 1, "model": asked["model"],
        "choices": [{"index": 0, "message": {"role": "assistant", "content": said},
            "finish_reason": "stop"}]}))
}

#[tokio::test]
async fn alone_in_front_of_axum() {
    let app = Router::new()
        .route("/v1/chat/completions", post(complete))
        .route("/hello", post(|| async { "hello" }));
    let service =
        ServiceBuilder::new().layer(TranslateLayer::to(Protocol::OpenAiChat)).service(app);
    for client in &SAMPLES {
        let request = samples::post(client.path, client.request).map(axum::body::Body::new);
        let response = service.clone().oneshot(request).await.unwrap();
        let seen = samples::read(response).await;
        assert_eq!(seen.at(client.text), "Hi", "{}", client.protocol);
    }
    let request = samples::post("/hello", "x").map(axum::body::Body::new);
    let seen = samples::read(service.oneshot(request).await.unwrap()).await;
    assert_eq!(seen.text(), "hello");
}

#[tokio::test]
async fn stacked_twice_each_does_its_own() {
    let [chat, _, messages, gemini] = &SAMPLES;
    let server = Upstream::always(tollgate_testkit::Answer::json(200, chat.answer));
    let service = ServiceBuilder::new()
        .layer(TranslateLayer::to(messages.protocol))
        .layer(TranslateLayer::to(chat.protocol))
        .service(server.clone());
    let request = samples::post(gemini.path, gemini.request);
    let seen = samples::read(service.oneshot(request).await.unwrap()).await;
    assert_eq!(seen.at(gemini.text), "Hello");
    assert_eq!(samples::asked(&server).uri, chat.path);
}
