use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tollgate_core::{AllowedModels, Body, KeyId, Principal, Refusal, Secret};
use tollgate_testkit::{Answer, Script, Upstream};
use tower::{Layer, ServiceExt};

use super::*;
use crate::{KeyHash, KeyRecord, MemoryKeys};

fn principal(name: &str) -> Principal {
    Principal::new(KeyId::new(name), name)
}

fn keys() -> MemoryKeys {
    let keys = MemoryKeys::new();
    let add = |key: &str, record| keys.insert(KeyHash::of(&Secret::new(key)), record);
    add("sk-good", KeyRecord::new(principal("good")));
    add("sk-off", KeyRecord::new(principal("off")).disabled(true));
    let past = SystemTime::now() - Duration::from_secs(1);
    add("sk-old", KeyRecord::new(principal("old")).expires_at(Some(past)));
    let mut few = principal("few");
    few.models = AllowedModels::only(["openai/*"]);
    add("sk-few", KeyRecord::new(few));
    keys
}

fn upstream() -> Upstream {
    Upstream::always(Answer::json(200, "{}"))
}

fn request(headers: &[(&str, &str)], body: &str) -> Request<Full<Bytes>> {
    let mut request = Request::post("/v1/chat/completions");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::from(body.to_owned())).unwrap()
}

async fn code(
    answer: Response<impl http_body::Body<Data = Bytes, Error = impl std::fmt::Debug>>,
) -> (u16, Option<&'static str>) {
    let code = answer.extensions().get::<Refusal>().and_then(|refusal| refusal.code);
    let status = answer.status().as_u16();
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(!text.windows(3).any(|w| w == b"sk-"), "{text:?}");
    (status, code)
}

#[tokio::test]
async fn a_valid_key_becomes_a_principal_and_disappears() {
    for headers in [
        &[("authorization", "bearer sk-good")][..],
        &[("x-api-key", "sk-good")],
        &[("api-key", "sk-good")],
        &[("x-goog-api-key", "sk-good"), ("cookie", "a"), ("proxy-authorization", "Basic b")],
        &[("authorization", "Bearer sk-unknown"), ("x-api-key", "sk-off"), ("api-key", "sk-good")],
    ] {
        let upstream = upstream();
        let service = KeyLayer::new(keys()).layer(upstream.clone());
        let answer = service.oneshot(request(headers, "{}")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let seen = &upstream.received()[0];
        assert!(seen.headers.is_empty(), "{:?}", seen.headers);
        assert_eq!(&*seen.extensions.get::<Arc<Principal>>().unwrap().name, "good");
    }
}

#[tokio::test]
async fn a_key_in_the_query_is_decoded_and_removed() {
    let upstream = upstream();
    let service = KeyLayer::new(keys()).layer(upstream.clone());
    let request = Request::post("/v1beta/models/m:x?alt=sse&key=sk%2Dgood&z=%20");
    service.oneshot(request.body(Body::from("{}")).unwrap()).await.unwrap();
    assert_eq!(upstream.received()[0].uri, "/v1beta/models/m:x?alt=sse&z=%20");
}

#[tokio::test]
async fn refuses_without_calling_inner() {
    for (headers, expected) in [
        (&[][..], "missing_api_key"),
        (&[("authorization", "Basic sk-good")], "missing_api_key"),
        (&[("x-api-key", "sk-unknown")], "invalid_api_key"),
        (&[("x-api-key", "sk-off")], "api_key_disabled"),
        (&[("x-api-key", "sk-old")], "api_key_expired"),
        (&[("x-api-key", "sk-unknown"), ("api-key", "sk-old")], "api_key_expired"),
    ] {
        let upstream = upstream();
        let service = KeyLayer::new(keys()).layer(upstream.clone());
        let answer = service.oneshot(request(headers, "{}")).await.unwrap();
        assert_eq!(code(answer).await, (401, Some(expected)));
        assert!(upstream.received().is_empty());
    }
}

#[tokio::test]
async fn a_refusal_does_not_read_the_body() {
    let body = Script::new("{}").stall().body();
    let probe = body.probe();
    let request = Request::post("/v1/chat/completions").body(body).unwrap();
    let answer = KeyLayer::new(keys()).layer(upstream()).oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(probe.taken(), 0);
}

#[tokio::test]
async fn a_restricted_key_is_held_to_its_models() {
    for (model, expected) in [
        ("openai/gpt-5", (200, None)),
        ("gpt-5", (403, Some("model_not_allowed"))),
        ("anthropic/claude", (403, Some("model_not_allowed"))),
    ] {
        let upstream = upstream();
        let service = KeyLayer::new(keys()).layer(upstream.clone());
        let body = format!("{{\"model\":\"{model}\",\"messages\":[]}}");
        let request = request(&[("x-api-key", "sk-few")], &body);
        let answer = service.oneshot(request).await.unwrap();
        let param = answer.extensions().get::<Refusal>().and_then(|r| r.param.clone());
        assert_eq!(param.is_some(), expected.0 == 403);
        assert_eq!(code(answer).await, expected, "{model}");
        let seen: Vec<_> = upstream.received().iter().map(|seen| seen.body()).collect();
        assert_eq!(seen, if expected.0 == 200 { vec![Bytes::from(body)] } else { vec![] });
    }
}

#[tokio::test]
async fn the_canonical_name_is_what_is_compared() {
    fn canonical(asked: &str, _: Protocol) -> Cow<'_, str> {
        if asked.contains('/') { asked.into() } else { format!("openai/{asked}").into() }
    }
    let service = KeyLayer::new(keys()).canonical(canonical).layer(upstream());
    let request = request(&[("x-api-key", "sk-few")], "{\"model\":\"gpt-5\",\"messages\":[]}");
    assert_eq!(service.oneshot(request).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_restricted_key_may_list_models() {
    let service = KeyLayer::new(keys()).layer(upstream());
    let request = Request::get("/v1/models").header("x-api-key", "sk-few");
    let answer = service.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_key_that_told_the_protocol_is_remembered_as_the_protocol() {
    use tollgate_core::{Call, Protocol};
    let upstream = upstream();
    let service = KeyLayer::new(keys()).layer(upstream.clone());
    let request = Request::get("/v1/models").header("x-goog-api-key", "sk-good");
    service.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let seen = &upstream.received()[0];
    assert!(seen.headers.is_empty());
    assert_eq!(seen.extensions.get::<Call>().unwrap().protocol, Protocol::Gemini);
}

#[test]
fn what_nobody_reads_is_not_sent_for_a_restricted_key() {
    use http::Method;
    use tollgate_core::{Call, Operation};
    let gate = check::Gate { store: keys(), canonical: AsAsked };
    let mut few = principal("few");
    few.models = AllowedModels::only(["a"]);
    let other = Call::new(Protocol::OpenAiChat, Operation::Other);
    assert!(gate.may(&few, &other, &Method::GET).is_ok());
    assert!(gate.may(&few, &other, &Method::POST).is_err());
    assert!(gate.may(&principal("all"), &other, &Method::POST).is_ok());
    let nameless = Call::new(Protocol::OpenAiChat, Operation::Generate);
    assert!(gate.may(&few, &nameless, &Method::POST).is_err());
}

#[tokio::test]
async fn a_principal_that_is_there_already_counts() {
    let upstream = upstream();
    let service = KeyLayer::new(keys()).layer(upstream.clone());
    let mut request = request(&[], "{}");
    request.extensions_mut().insert(Arc::new(principal("own")));
    assert_eq!(service.oneshot(request).await.unwrap().status(), StatusCode::OK);
    assert_eq!(&*upstream.received()[0].extensions.get::<Arc<Principal>>().unwrap().name, "own");
}

#[tokio::test]
async fn twice_in_a_stack_asks_once() {
    let service = KeyLayer::new(keys()).layer(KeyLayer::new(keys()).layer(upstream()));
    for key in ["sk-good", "sk-few"] {
        let body = "{\"model\":\"openai/x\",\"messages\":[]}";
        let answer = service.clone().oneshot(request(&[("x-api-key", key)], body)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_closure_is_a_store() {
    let store = |_: &KeyHash| Some(Arc::new(KeyRecord::new(principal("any"))));
    let service = KeyLayer::new(store).layer(upstream());
    let answer = service.oneshot(request(&[("api-key", "x")], "{}")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn readiness_is_the_inner_services() {
    let (mut service, mut handle) =
        tower_test::mock::spawn_layer::<Request<Body>, Response<Full<Bytes>>, _>(KeyLayer::new(
            keys(),
        ));
    handle.allow(0);
    tokio_test::assert_pending!(service.poll_ready::<Request<Body>>());
    handle.allow(1);
    tokio_test::assert_ready_ok!(service.poll_ready::<Request<Body>>());
}

#[tokio::test]
async fn works_alone_in_front_of_axum() {
    let handler = |who: axum::Extension<Arc<Principal>>| async move { who.name.to_string() };
    let app = axum::Router::new().route("/v1/chat/completions", axum::routing::post(handler));
    let app = app.layer(
        tower::ServiceBuilder::new()
            .layer(KeyLayer::new(keys()))
            .map_request(|request: Request<Body>| request.map(axum::body::Body::new)),
    );
    let answer = app.oneshot(request(&[("api-key", "sk-good")], "{}")).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "good");
}

#[test]
fn everything_can_be_sent_shared_and_cloned() {
    fn check<T: Send + Sync + Clone + std::fmt::Debug>(_: &T) {}
    let layer = KeyLayer::new(keys());
    check(&layer);
    let service = layer.layer(upstream());
    check(&service);
    fn send<T: Send + 'static>(_: T) {}
    send(service.oneshot(request(&[], "")));
}
