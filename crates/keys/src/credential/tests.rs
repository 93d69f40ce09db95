use std::{convert::Infallible, sync::Arc};

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tollgate_core::{Cause, Failure, Protocol, Sent, Shown};
use tollgate_testkit::{Answer, Script, Upstream, wrapper_contract};
use tower::{Layer, Service, ServiceExt};

use super::{mask::Masks, *};

const OURS: &str = "sk-provider-0123456789";

fn target(provider: &str) -> Arc<Target> {
    let base = "http://up/v1".parse().unwrap();
    Arc::new(Target::new(provider, Protocol::OpenAiChat, "m", base))
}

fn known(target: &Target) -> Option<Credential> {
    match &*target.provider {
        "bearer" => Some(Credential::Bearer(Secret::new(OURS))),
        "header" => {
            Some(Credential::Header(HeaderName::from_static("x-goog-api-key"), Secret::new(OURS)))
        }
        "none" => Some(Credential::None),
        "broken" => Some(Credential::Bearer(Secret::new("a\nb"))),
        "empty" => Some(Credential::Bearer(Secret::new(""))),
        _ => None,
    }
}

/// A request with every form of client credential.
fn request(provider: &str) -> Request<Full<Bytes>> {
    Request::post("/v1/x?a=1&key=client&b")
        .header("authorization", "Bearer client")
        .header("x-api-key", "client")
        .header("api-key", "client")
        .header("x-goog-api-key", "client")
        .header("proxy-authorization", "Basic client")
        .header("cookie", "client")
        .header("x-kept", "1")
        .extension(target(provider))
        .body(Full::default())
        .unwrap()
}

type Bytes = bytes::Bytes;

#[tokio::test]
async fn only_our_credential_goes_out() {
    for (provider, name, value) in [
        ("bearer", "authorization", format!("Bearer {OURS}")),
        ("header", "x-goog-api-key", OURS.to_owned()),
        ("none", "x-kept", "1".to_owned()),
    ] {
        let upstream = Upstream::always(Answer::json(200, "{}"));
        let service = CredentialLayer::new(known).layer(upstream.clone());
        service.oneshot(request(provider)).await.unwrap();
        let sent = &upstream.received()[0];
        assert_eq!(sent.uri, "/v1/x?a=1&b");
        assert_eq!(sent.headers[name], value);
        assert!(sent.headers.values().all(|value| !value.as_bytes().ends_with(b"client")));
        assert_eq!(sent.headers.get(name).unwrap().is_sensitive(), provider != "none");
        assert!(!format!("{:?}", sent.headers).contains(OURS));
    }
}

#[tokio::test]
async fn without_a_credential_the_upstream_is_not_asked() {
    for provider in ["unknown", "broken", "empty"] {
        let upstream = Upstream::always(Answer::json(200, "{}"));
        let service = CredentialLayer::new(known).layer(upstream.clone());
        let answer = service.oneshot(request(provider)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_GATEWAY, "{provider}");
        let failure = answer.extensions().get::<Failure>().unwrap();
        assert_eq!((failure.cause, failure.sent), (Cause::Credential, Sent::No));
        assert_eq!(failure.code, Some("upstream_auth"));
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(!text.windows(6).any(|w| w == b"client"));
        assert!(upstream.received().is_empty());
    }
}

#[tokio::test]
async fn the_constructors_target_stands_in_for_a_missing_one() {
    let upstream = Upstream::always(Answer::json(200, "{}"));
    let layer = CredentialLayer::new(known);
    let bare = || Request::new(Full::<Bytes>::default());
    let refused = layer.clone().layer(upstream.clone()).oneshot(bare()).await.unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_GATEWAY);
    let service = layer.target(target("bearer")).layer(upstream.clone());
    assert_eq!(service.oneshot(bare()).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_target_that_wants_none_gets_none() {
    let mut target = Target::clone(&target("unknown"));
    target.credential = None;
    let upstream = Upstream::always(Answer::json(200, "{}"));
    let service = CredentialLayer::new(known).target(Arc::new(target)).layer(upstream.clone());
    service.oneshot(Request::new(Full::<Bytes>::default())).await.unwrap();
    assert!(upstream.received()[0].headers.is_empty());
}

#[tokio::test]
async fn a_credential_set_further_in_is_masked_and_not_passed_on() {
    let token = "ya29.fetched-on-the-way";
    for provider in ["none", "bearer"] {
        let text = format!("{{\"error\":\"bad token {token}\"}}");
        let answer = Answer::new(StatusCode::UNAUTHORIZED, Script::new(text).split_every(7))
            .header("x-echo", token)
            .extension(Shown(Secret::new(token)));
        let service = CredentialLayer::new(known).layer(Upstream::always(answer));
        let answer = service.oneshot(request(provider)).await.unwrap();
        assert!(answer.extensions().get::<Shown>().is_none());
        assert_eq!(answer.headers()["x-echo"], "*".repeat(token.len()));
        let seen = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&seen).contains(&"*".repeat(token.len())), "{seen:?}");
    }
}

#[tokio::test]
async fn fault_25_an_echoed_credential_is_masked_everywhere() {
    let text = format!("{{\"error\":\"invalid key {OURS}\"}}");
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-debug", OURS.parse().unwrap());
    let script = Script::new(text.clone()).split_every(5).trailers(trailers);
    let answer = Answer::new(StatusCode::UNAUTHORIZED, script)
        .header("x-echo", OURS)
        .header("content-length", text.len().to_string().as_str());
    let service = CredentialLayer::new(known).layer(Upstream::always(answer));
    let answer = service.oneshot(request("bearer")).await.unwrap();
    assert_eq!(answer.headers()["x-echo"], "*".repeat(OURS.len()));
    assert!(!format!("{answer:?}").contains(OURS));
    let length = answer.headers()["content-length"].to_str().unwrap().to_owned();
    let body = answer.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["x-debug"], "*".repeat(OURS.len()));
    let seen = body.to_bytes();
    assert_eq!(seen, text.replace(OURS, &"*".repeat(OURS.len())));
    assert_eq!(seen.len().to_string(), length);
}

#[tokio::test]
async fn fault_25_an_echo_in_another_form_is_masked_too() {
    let forms = [
        "c2stcHJvdmlkZXItMDEyMzQ1Njc4OQ",
        "c2VyOnNrLXByb3ZpZGVyLTAxMjM0NTY3ODk",
        "\\u0073\\u006b\\u002d\\u0070\\u0072\\u006f\\u0076\\u0069\\u0064\\u0065\\u0072\\u002d\\u0030\\u0031\\u0032\\u0033\\u0034\\u0035\\u0036\\u0037\\u0038\\u0039",
        "tok%2Fen-1234",
        "tok/en-1234",
    ];
    let text = format!("{{\"error\":\"{}\"}}", forms.join(" "));
    let answer = Answer::new(StatusCode::BAD_REQUEST, Script::new(text.clone()).split_every(9))
        .header("x-echo", forms.join(" ").as_str());
    let mut target = Target::clone(&target("bearer"));
    target.base_url = "http://up/v1?token=tok%2Fen-1234".parse().unwrap();
    let mut request = request("bearer");
    request.extensions_mut().insert(Arc::new(target));
    let service = CredentialLayer::new(known).layer(Upstream::always(answer));
    let answer = service.oneshot(request).await.unwrap();
    let echo = answer.headers()["x-echo"].to_str().unwrap().to_owned();
    let seen = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(seen.len(), text.len());
    let seen = String::from_utf8(seen.to_vec()).unwrap();
    for form in forms {
        let middle = &form[4..form.len() - 2];
        assert!(!seen.contains(middle) && !echo.contains(middle), "{form}: {seen} {echo}");
    }
}

#[tokio::test]
async fn the_body_keeps_the_body_contract() {
    wrapper_contract(|body| ResponseBody::inner(body, None)).await;
    let masks = Masks::default();
    let mask = || masks.of(Some(&Secret::new(OURS)), None);
    wrapper_contract(|body| ResponseBody::inner(body, mask())).await;
}

#[tokio::test]
async fn readiness_is_the_inner_services() {
    let (mut service, mut handle) =
        tower_test::mock::spawn_layer::<Request<()>, Response<Full<Bytes>>, _>(
            CredentialLayer::new(known),
        );
    handle.allow(0);
    tokio_test::assert_pending!(service.poll_ready());
    handle.allow(1);
    tokio_test::assert_ready_ok!(service.poll_ready());
}

#[tokio::test]
async fn twice_in_a_stack_the_inner_one_counts() {
    let upstream = Upstream::always(Answer::json(200, "{}"));
    let other = |_: &Target| Some(Credential::Bearer(Secret::new("sk-other")));
    let service =
        CredentialLayer::new(other).layer(CredentialLayer::new(known).layer(upstream.clone()));
    service.oneshot(request("bearer")).await.unwrap();
    assert_eq!(upstream.received()[0].headers["authorization"], format!("Bearer {OURS}"));
}

#[tokio::test]
async fn works_alone_in_front_of_axum() {
    let handler = |headers: http::HeaderMap| async move {
        headers["authorization"].to_str().unwrap().to_owned()
    };
    let app = axum::Router::new().route("/v1/x", axum::routing::post(handler));
    let app = app.layer(CredentialLayer::new(known));
    let answer = app.oneshot(request("bearer").map(axum::body::Body::new)).await.unwrap();
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(text, format!("Bearer {}", "*".repeat(OURS.len())));
}

#[test]
fn everything_can_be_sent_shared_and_cloned() {
    fn check<T: Send + Sync + Clone + std::fmt::Debug>(_: &T) {}
    let layer = CredentialLayer::new(known);
    check(&layer);
    let inner = tower::service_fn(|_: Request<Full<Bytes>>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
    });
    let mut service = layer.layer(inner);
    check(&CredentialLayer::new(known).layer(()));
    fn send<T: Send + 'static>(_: T) {}
    send(service.call(request("none")));
    send(ResponseBody::own(Bytes::new()) as ResponseBody<Full<Bytes>>);
    assert!(!format!("{:?}", Credential::Bearer(Secret::new(OURS))).contains(OURS));
}
