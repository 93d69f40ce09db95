use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use tokio_test::{assert_pending, assert_ready_ok};
use tollgate_core::{Class, Refusal};
use tollgate_testkit::{Answer, EndCounter, Script, Upstream, end_contract, wrapper_contract};
use tower::{Layer, Service, ServiceExt};

use crate::{Load, ShedBody, ShedLayer};

fn request(path: &str) -> Request<Full<Bytes>> {
    Request::post(path).body(Full::default()).unwrap()
}

const CHAT: &str = "/v1/chat/completions";

fn stream() -> Upstream {
    Upstream::always(Answer::sse(Script::frames(["data: 1\n\n", "data: 2\n\n"])))
}

#[test]
fn no_more_places_than_the_limit() {
    let load = Load::default();
    let first = load.enter(2).unwrap();
    let second = load.enter(2).unwrap();
    assert!(load.enter(2).is_none());
    assert_eq!((load.in_progress(), load.refused()), (2, 1));
    drop(first);
    assert!(load.enter(2).is_some());
    drop(second);
    assert_eq!(load.in_progress(), 0);
}

#[tokio::test]
async fn fault_59_refuses_in_each_protocol_without_calling_inner() {
    for (path, starts) in [
        (CHAT, r#"{"error":{"message""#),
        ("/v1/responses", r#"{"error":{"message""#),
        ("/v1/messages", r#"{"type":"error""#),
        ("/v1beta/models/m:generateContent", r#"{"error":{"code""#),
    ] {
        let upstream = stream();
        let service = ShedLayer::new(0).retry_after(Duration::from_secs(7)).layer(upstream.clone());
        let answer = service.oneshot(request(path)).await.unwrap();
        assert!(answer.status().as_u16() == 503 || answer.status().as_u16() == 529, "{path}");
        assert_eq!(answer.headers()["retry-after"], "7", "{path}");
        assert_eq!(answer.headers()["x-tollgate-origin"], "gateway");
        let refusal = answer.extensions().get::<Refusal>().cloned().unwrap();
        assert_eq!((refusal.class, refusal.code), (Class::Overloaded, Some("overloaded")));
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(text.starts_with(starts.as_bytes()), "{path}: {text:?}");
        assert!(upstream.received().is_empty());
    }
}

#[tokio::test]
async fn a_place_is_given_back_when_the_future_is_dropped() {
    let layer = ShedLayer::new(1);
    let load = layer.load();
    let mut service = layer.layer(Upstream::always(Answer::silence()));
    let future = service.call(request(CHAT));
    assert_eq!(load.in_progress(), 1, "before it was polled");
    drop(future);
    let mut future = tokio_test::task::spawn(service.call(request(CHAT)));
    assert_pending!(future.poll());
    assert_eq!(load.in_progress(), 1, "while it waits");
    drop(future);
    assert_eq!(load.in_progress(), 0);
}

#[tokio::test]
async fn a_place_is_given_back_when_inner_fails() {
    let layer = ShedLayer::new(1);
    let load = layer.load();
    let mut failed = tokio_test::task::spawn(
        layer.layer(Upstream::always(Answer::error())).oneshot(request(CHAT)),
    );
    tokio_test::assert_ready!(failed.poll()).unwrap_err();
    assert_eq!(load.in_progress(), 0, "before the future is dropped");
}

#[tokio::test]
async fn a_place_is_held_until_the_body_ends_or_is_dropped() {
    let layer = ShedLayer::new(1);
    let load = layer.load();
    let service = layer.layer(stream());
    let mut body = service.clone().oneshot(request(CHAT)).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    assert_eq!(load.in_progress(), 1);
    while body.frame().await.is_some() {}
    assert_eq!(load.in_progress(), 0, "at its end, before it is dropped");

    let answer = service.clone().oneshot(request(CHAT)).await.unwrap();
    assert_eq!(load.in_progress(), 1);
    drop(answer);
    assert_eq!(load.in_progress(), 0, "never read");

    let broken = Upstream::always(Answer::sse(Script::new("data: 1\n\n").reset()));
    let mut body = layer.layer(broken).oneshot(request(CHAT)).await.unwrap().into_body();
    while let Some(Ok(_)) = body.frame().await {}
    assert_eq!(load.in_progress(), 0, "at an error");
}

#[tokio::test]
async fn a_body_without_bytes_holds_no_place() {
    let load = Load::default();
    let body = ShedBody::new(Full::<Bytes>::default(), load.enter(1));
    assert!(body.is_end_stream());
    assert_eq!(load.in_progress(), 0);
}

/// Holds a place and tells when it is given back.
struct Told(EndCounter);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.fire();
    }
}

#[tokio::test]
async fn the_body_keeps_the_body_contract() {
    let load = Load::default();
    wrapper_contract(|body| ShedBody::new(body, load.enter(100))).await;
    assert_eq!(load.in_progress(), 0);
    end_contract(|body, counter| {
        let told = Told(counter);
        ShedBody::new(body.map_frame(move |frame| (frame, &told).0), load.enter(1))
    })
    .await;
    assert_eq!((load.in_progress(), load.refused()), (0, 0));
}

#[tokio::test]
async fn clones_and_services_of_one_layer_share_the_limit() {
    let layer = ShedLayer::new(1);
    let held = layer.layer(stream()).oneshot(request(CHAT)).await.unwrap();
    let other = layer.clone().layer(stream()).oneshot(request(CHAT)).await.unwrap();
    assert_eq!(other.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(held);
}

#[tokio::test]
async fn twice_in_a_stack_the_smaller_limit_counts() {
    let (outer, inner) = (ShedLayer::new(2), ShedLayer::new(1));
    let service = outer.layer(inner.layer(stream()));
    let held = service.clone().oneshot(request(CHAT)).await.unwrap();
    assert_eq!((outer.load().in_progress(), inner.load().in_progress()), (1, 1));
    let refused = service.clone().oneshot(request(CHAT)).await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop((held, refused));
    assert_eq!((outer.load().in_progress(), inner.load().in_progress()), (0, 0));
    assert_eq!(service.oneshot(request(CHAT)).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn readiness_is_the_inner_services() {
    let (mut service, mut handle) =
        tower_test::mock::spawn_layer::<Request<()>, Response<Full<Bytes>>, _>(ShedLayer::new(1));
    handle.allow(0);
    assert_pending!(service.poll_ready());
    handle.allow(1);
    assert_ready_ok!(service.poll_ready());
}

#[tokio::test]
async fn works_alone_in_front_of_axum() {
    let layer = ShedLayer::new(1);
    let app = axum::Router::new().route(CHAT, axum::routing::post(|| async { "ok" }));
    let app = app.route("/v1/messages", axum::routing::post(|| async { "ok" })).layer(layer);
    let request = |path| request(path).map(axum::body::Body::new);
    let held = app.clone().oneshot(request(CHAT)).await.unwrap();
    let refused = app.clone().oneshot(request("/v1/messages")).await.unwrap();
    assert_ne!(refused.status(), StatusCode::OK, "one limit for all routes");
    drop(held);
    assert_eq!(app.oneshot(request("/v1/messages")).await.unwrap().status(), StatusCode::OK);
}

#[test]
fn everything_can_be_sent_shared_and_cloned() {
    fn check<T: Send + Sync + Clone + std::fmt::Debug>(_: &T) {}
    fn send<T: Send + Sync + std::fmt::Debug + 'static>(_: T) {}
    let layer = ShedLayer::new(1);
    check(&layer);
    check(&layer.load());
    check(&layer.layer(()));
    let mut service = layer.layer(tower::service_fn(|_: Request<Full<Bytes>>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
    }));
    send(service.call(request(CHAT)));
    send(ShedBody::new(Full::<Bytes>::default(), None));
}
