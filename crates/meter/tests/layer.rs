//! The layer in its surroundings: bounds, readiness, in front of axum, and stacked.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{convert::Infallible, fmt::Debug};

use axum::{Router, body::Body, routing::post};
use bytes::Bytes;
use common::{CHAT, Metered, MeteredBody, PRICE, cost, prices};
use http::{Request, Response};
use http_body_util::BodyExt;
use tollgate_catalog::Catalogue;
use tollgate_meter::{Channel, MemoryLedger, MeterLayer};
use tollgate_testkit::{Answer, Script, Upstream};
use tower::{Layer, ServiceBuilder, ServiceExt};

#[test]
fn everything_is_send_and_can_be_shown() {
    fn send_sync_clone<T: Send + Sync + Clone + Debug>() {}
    fn send<T: Send + Debug>() {}
    send_sync_clone::<MeterLayer<MemoryLedger, Catalogue>>();
    send_sync_clone::<Metered>();
    send_sync_clone::<Channel>();
    send::<MeteredBody>();
}

#[tokio::test]
async fn readiness_is_the_inner_services() {
    let (mock, mut handle) =
        tower_test::mock::pair::<Request<tollgate_core::Body>, Response<Body>>();
    let service = MeterLayer::new(MemoryLedger::new(), prices()).layer(mock);
    let mut spawned = tower_test::mock::Spawn::new(service);
    handle.allow(0);
    let ready: std::task::Poll<Result<(), _>> = spawned.poll_ready::<Request<Body>>();
    assert!(ready.is_pending());
    handle.allow(1);
    assert!(spawned.poll_ready::<Request<Body>>().is_ready());
}

#[tokio::test]
async fn alone_in_front_of_axum() {
    let ledger = MemoryLedger::new();
    let app = Router::new()
        .route(
            "/v1/chat/completions",
            post(|| async { ([("content-type", "application/json")], CHAT.json) }),
        )
        .route("/hello", post(|| async { "hello" }))
        .layer(MeterLayer::new(ledger.clone(), prices()).target(CHAT.target()));
    for (path, expected) in [("/v1/chat/completions", CHAT.json), ("/hello", "hello")] {
        let request = Request::post(path).body(Body::from(CHAT.request)).unwrap();
        let response: Result<_, Infallible> = app.clone().oneshot(request).await;
        let body = response.unwrap().into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, expected);
    }
    let charges = ledger.charges();
    assert_eq!(cost(&charges[0]).as_deref(), Some(PRICE));
    assert!(charges[1..].iter().all(|charge| charge.cost.is_none()));
}

#[tokio::test]
async fn only_who_asked_strips_when_stacked_twice() {
    let (outer, inner) = (MemoryLedger::new(), MemoryLedger::new());
    let layer =
        |ledger: &MemoryLedger| MeterLayer::new(ledger.clone(), prices()).target(CHAT.target());
    let service = ServiceBuilder::new()
        .layer(layer(&outer))
        .layer(layer(&inner))
        .service(Upstream::always(Answer::sse(Script::new(CHAT.text()).split_every(17))));
    let body = r#"{"model":"m","messages":[],"stream":true}"#;
    let response = service.oneshot(common::post(CHAT.path, body)).await.unwrap();
    let body: Bytes = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, CHAT.text().replace(CHAT.events[4], ""));
    for ledger in [outer, inner] {
        assert_eq!(cost(&ledger.charges()[0]).as_deref(), Some(PRICE));
    }
}
