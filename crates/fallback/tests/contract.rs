//! The body keeps the body contract, and the layer works alone in front of axum.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::convert::Infallible;

use axum::{Router, extract::Request as AxumRequest, routing::post};
use bytes::Bytes;
use common::{LANES, Lane};
use http::{Request, Response};
use http_body_util::BodyExt;
use tollgate_core::{Board, Body, Plan, PlanStep, Served, Target};
use tollgate_fallback::FallbackLayer;
use tollgate_testkit::{Script, ScriptBody, body_contract, wrapper_contract};
use tower::{Layer, ServiceExt, service_fn};

fn now<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut cx) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("nothing here waits"),
    }
}

fn answered(
    body: ScriptBody,
    content_type: &'static str,
    request: Request<Body>,
) -> impl http_body::Body<Data = Bytes, Error = <ScriptBody as http_body::Body>::Error> {
    let mut slot = Some(body);
    let inner = move |_: Request<Body>| {
        let response = Response::builder().header("content-type", content_type);
        std::future::ready(Ok::<_, Infallible>(response.body(slot.take().unwrap()).unwrap()))
    };
    // Only ever called once: the second attempt has nothing to answer with.
    let inner = std::sync::Arc::new(std::sync::Mutex::new(inner));
    let inner = service_fn(move |request| (inner.lock().unwrap())(request));
    now(FallbackLayer::new(Board::new()).layer(inner).oneshot(request)).unwrap().into_body()
}

#[tokio::test]
async fn a_body_that_was_committed() {
    for lane in LANES {
        let script = Script::frames([lane.start, lane.content, lane.finish]);
        for script in [script.clone(), script.clone().sized(), script.clone().split_every(7)] {
            let make = || answered(script.body(), lane.content_type, lane.request(&["a"]));
            let seen = body_contract(make).await;
            assert_eq!((seen.data(), seen.error), (lane.whole().into(), None));
        }
        if lane.stream {
            let broken = script.reset_at(lane.start.len() + lane.content.len());
            let make = || answered(broken.body(), lane.content_type, lane.request(&["a"]));
            assert!(body_contract(make).await.error.is_some());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_of_a_call_without_a_plan() {
    wrapper_contract(|body| answered(body, "text/html", LANES[0].request(&[]))).await;
}

/// A plan of two deployments, as somebody's own middleware writes it.
async fn planned(
    mut request: AxumRequest,
    next: axum::middleware::Next,
) -> axum::response::Response {
    let lane: Lane = LANES[5];
    let mut plan = Plan::one(lane.target("a"), "first");
    plan.chosen.push(PlanStep::new(lane.target("b"), "second"));
    request.extensions_mut().insert(plan);
    next.run(request).await
}

#[tokio::test]
async fn alone_in_front_of_axum() {
    async fn answer(request: AxumRequest) -> ([(&'static str, &'static str); 1], String) {
        let target = request.extensions().get::<std::sync::Arc<Target>>().unwrap().clone();
        let body = axum::body::to_bytes(request.into_body(), 1000).await.unwrap();
        let aimed = body == format!("{{\"model\":\"{}\"}}", target.model);
        let text = if *target.deployment == *"a" || !aimed { "{" } else { "{\"choices\":[]}" };
        ([("content-type", "application/json")], text.to_owned())
    }
    let app: Router = Router::new()
        .route("/v1/chat/completions", post(answer))
        .layer(FallbackLayer::new(Board::new()))
        .layer(axum::middleware::from_fn(planned))
        .route("/plain", post(|| async { "plain" }));
    let ask = |path: &str| {
        let request = Request::post(path).body(axum::body::Body::from("{\"model\":\"fast\"}"));
        app.clone().oneshot(request.unwrap())
    };
    let response = ask("/v1/chat/completions").await.unwrap();
    assert_eq!(response.extensions().get::<Served>().unwrap().attempts, 2);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "{\"choices\":[]}");
    let plain = ask("/plain").await.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert_eq!(plain, "plain");
}
