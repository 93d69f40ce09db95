//! The layer alone: what it decides, what it leaves alone, whom it asks.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::{convert::Infallible, sync::Arc};

use axum::routing::post;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio_test::{assert_pending, assert_ready_ok};
use tollgate_core::{
    AllowedModels, Body, Call, Class, KeyId, Plan, Principal, Protocol, Refusal, Served, Target,
};
use tollgate_route::{
    Alias, Endpoint, Provider, Resolve, ResponseFuture, Route, RouteLayer, Router,
};
use tollgate_testkit::{Answer, Script, ScriptBody, Upstream};
use tollgate_wire::aim;
use tower::{Layer, Service, ServiceExt};
use tower_test::mock;

fn target(protocol: Protocol, model: &str) -> Arc<Target> {
    let url = "http://upstream.test/v1".parse().unwrap();
    Arc::new(Target::new("upstream", protocol, model, url))
}

/// Sends each call to `model`, in the protocol it came in.
fn to(
    model: &'static str,
) -> impl Fn(&Call, Option<&Principal>) -> Result<Plan, Refusal> + Clone + Send + Sync + 'static {
    move |call, _| Ok(Plan::one(target(call.protocol, model), "the only one"))
}

fn nobody(_: &Call, _: Option<&Principal>) -> Result<Plan, Refusal> {
    Ok(Plan::default())
}

fn upstream() -> Upstream {
    Upstream::always(Answer::json(200, "{}"))
}

fn request(path: &str, body: &'static str) -> Request<Full<Bytes>> {
    Request::post(path).body(Full::from(body)).unwrap()
}

async fn answer<R: Resolve + Clone>(
    resolve: R,
    inner: Upstream,
    request: Request<Full<Bytes>>,
) -> Response<Bytes> {
    let response = RouteLayer::new(resolve).layer(inner).oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

const CHAT: &str = "/v1/chat/completions";

/// In each protocol: what comes, and what goes on to the target `new`.
const AIMED: [(Protocol, [&str; 2], [&str; 2]); 4] = [
    (
        Protocol::OpenAiChat,
        [CHAT, r#"{ "model":"fast", "messages":[], "x":1.0 }"#],
        [CHAT, r#"{ "model":"new", "messages":[], "x":1.0 }"#],
    ),
    (
        Protocol::OpenAiResponses,
        ["/v1/responses?a=b", r#"{"input":"\u0041","model" :"fast"}"#],
        ["/v1/responses?a=b", r#"{"input":"\u0041","model" :"new"}"#],
    ),
    (
        Protocol::AnthropicMessages,
        ["/v1/messages", r#"{"max_tokens":1,"model":"fast","messages":[{"model":"x"}]}"#],
        ["/v1/messages", r#"{"max_tokens":1,"model":"new","messages":[{"model":"x"}]}"#],
    ),
    (
        Protocol::Gemini,
        ["/v1beta/models/fast:streamGenerateContent?alt=sse", r#"{"contents":[ ]}"#],
        ["/v1beta/models/new:streamGenerateContent?alt=sse", r#"{"contents":[ ]}"#],
    ),
];

#[tokio::test]
async fn aims_body_and_path_in_each_protocol() {
    for (protocol, [path, body], [aimed_path, aimed_body]) in AIMED {
        let inner = upstream();
        let answered = answer(to("new"), inner.clone(), request(path, body)).await;
        assert_eq!(answered.status(), 200);
        let received = &inner.received()[0];
        assert_eq!(received.uri.to_string(), aimed_path);
        assert_eq!(received.body(), aimed_body);
        let served = answered.extensions().get::<Served>().unwrap();
        assert_eq!((served.target.protocol, &*served.target.model), (protocol, "new"));
        assert_eq!(served.attempts, 1);
    }
}

/// Each protocol's way to ask for `any`, with a member of one's own before and behind the wishes.
fn wishing(protocol: Protocol, wishes: &str) -> Request<Full<Bytes>> {
    let (path, model) = match protocol {
        Protocol::OpenAiResponses => ("/v1/responses", r#","model":"any""#),
        Protocol::AnthropicMessages => ("/v1/messages", r#","model":"any""#),
        Protocol::Gemini => ("/v1beta/models/any:generateContent", ""),
        _ => (CHAT, r#","model":"any""#),
    };
    let body = format!(r#"{{ "a":1.0, {wishes}{model} }}"#);
    Request::post(path).body(Full::from(body)).unwrap()
}

fn router() -> Router {
    let all = |provider: Provider| {
        Protocol::ALL.into_iter().fold(provider, |provider, protocol| {
            provider.endpoint(Endpoint::new(protocol, "http://upstream.test/v1".parse().unwrap()))
        })
    };
    let providers = ["one", "two", "openrouter"].map(|name| all(Provider::new(name)));
    Router::new(providers).aliases([
        ("any", Alias::new(["one/m", "two/m"])),
        ("mixed", Alias::new(["openrouter/x/m", "one/m"])),
    ])
}

#[tokio::test]
async fn wishes_decide_and_leave_the_body_in_each_protocol() {
    for protocol in Protocol::ALL {
        let inner = upstream();
        let request = wishing(protocol, r#""provider":{"ignore":["one"]}, "models":[]"#);
        let answered = answer(Arc::new(router()), inner.clone(), request).await;
        let served = answered.extensions().get::<Served>().unwrap();
        assert_eq!(&*served.target.provider, "two", "{protocol}");
        let sent = String::from_utf8(inner.received()[0].body().to_vec()).unwrap();
        let model = if protocol == Protocol::Gemini { "" } else { r#","model":"m""# };
        let expected = sent.replace(", ", ",");
        assert_eq!(expected, format!(r#"{{ "a":1.0{model} }}"#), "{protocol}");
    }
}

#[tokio::test]
async fn wrong_wishes_are_refused_in_each_protocol_without_calling_inner() {
    for protocol in Protocol::ALL {
        let inner = upstream();
        let request = wishing(protocol, r#""provider":{"routing":"cheap"}"#);
        let refused = answer(Arc::new(router()), inner.clone(), request).await;
        assert_eq!((refused.status().as_u16(), inner.received().len()), (400, 0), "{protocol}");
        let refusal = refused.extensions().get::<Refusal>().unwrap();
        assert_eq!(refusal.param.as_deref(), Some("provider.routing"));
        assert!(String::from_utf8_lossy(refused.body()).contains("provider.routing"));
    }
}

#[tokio::test]
async fn a_further_attempt_is_aimed_with_the_members_of_its_own_target() {
    let inner = tower::service_fn(|mut request: Request<Body>| async move {
        let text = |request: &Request<Body>| request.body().frames().unwrap().joined();
        let plan = request.extensions().get::<Plan>().unwrap().clone();
        let first = text(&request);
        assert_eq!(first, r#"{"provider":{"sort":"price"},"model":"x/m"}"#);
        aim(&mut request, &plan.chosen[1].target).unwrap();
        assert_eq!(text(&request), r#"{"model":"m"}"#);
        aim(&mut request, &plan.chosen[0].target).unwrap();
        assert_eq!(text(&request), first);
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("seen")))
    });
    let body = r#"{"model":"mixed","provider":{"sort":"price","routing":"priority"}}"#;
    let service = RouteLayer::new(Arc::new(router())).layer(inner);
    assert_eq!(service.oneshot(request(CHAT, body)).await.unwrap().status(), 200);
}

#[tokio::test]
async fn who_gave_a_response_is_asked_for_the_next() {
    let named = r#"{ "id" : "resp_7","object":"response" }"#;
    let second = tower::service_fn(move |mut request: Request<Body>| async move {
        // As if the first had failed.
        let plan = request.extensions_mut().remove::<Plan>().unwrap();
        let mut response = Response::new(Full::<Bytes>::from(named));
        let target = plan.chosen.last().unwrap().target.clone();
        response.extensions_mut().insert(Served::new(target, plan.chosen.len() as u32));
        Ok::<_, Infallible>(response)
    });
    let router = Arc::new(router());
    let service = RouteLayer::new(router.clone()).layer(second);
    let ask = |body| request("/v1/responses", body);
    let first = service.clone().oneshot(ask(r#"{"model":"any","input":"x"}"#)).await.unwrap();
    assert_eq!(first.into_body().collect().await.unwrap().to_bytes(), named);
    let next = ask(r#"{"model":"any","input":"y","previous_response_id":"resp_7"}"#);
    let answered = answer(router, upstream(), next).await;
    assert_eq!(&*answered.extensions().get::<Served>().unwrap().target.provider, "two");
}

#[tokio::test]
async fn writes_the_plan_and_its_first_target_for_those_inside() {
    let inner = tower::service_fn(|request: Request<Body>| async move {
        let target = request.extensions().get::<Arc<Target>>().unwrap();
        let plan = request.extensions().get::<Plan>().unwrap();
        assert!(Arc::ptr_eq(plan.first().unwrap(), target));
        Ok::<_, Infallible>(Response::new(Full::from("seen")))
    });
    let service = RouteLayer::new(to("new")).layer(inner);
    let response = service.oneshot(request(CHAT, r#"{"model":"fast"}"#)).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "seen");
}

#[tokio::test]
async fn refuses_without_calling_inner() {
    let refusing = |_: &Call, _: Option<&Principal>| -> Result<Plan, Refusal> {
        Err(Refusal::new(Class::Permission, "not for you").param("model"))
    };
    for (_, [path, body], _) in AIMED {
        let inner = upstream();
        let refused = answer(refusing, inner.clone(), request(path, body)).await;
        assert_eq!(refused.status(), 403);
        assert_eq!(refused.extensions().get::<Refusal>().unwrap().class, Class::Permission);
        assert!(refused.extensions().get::<Served>().is_none());
        assert!(String::from_utf8_lossy(refused.body()).contains("not for you"));
        let refused = answer(nobody, inner.clone(), request(path, body)).await;
        assert_eq!(refused.status(), 404, "a plan without targets is nobody");
        assert!(inner.received().is_empty());
    }
}

#[tokio::test]
async fn a_body_that_names_no_model_or_is_too_large_is_refused_without_asking_anybody() {
    let asked = |_: &Call, _: Option<&Principal>| -> Result<Plan, Refusal> {
        panic!("there is nothing to resolve")
    };
    for body in ["{}", "{", ""] {
        let inner = upstream();
        let refused = answer(asked, inner.clone(), request(CHAT, body)).await;
        assert_eq!((refused.status().as_u16(), inner.received().len()), (400, 0), "{body}");
    }
    let inner = upstream();
    let layer = RouteLayer::new(asked).inspect(tollgate_wire::Inspect::new().limit(10));
    let response = layer.layer(inner.clone()).oneshot(request(CHAT, r#"{"model":"fast"}"#)).await;
    assert_eq!(response.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(inner.received().is_empty());
}

#[tokio::test]
async fn passes_operations_without_a_model_untouched_and_unread() {
    for (method, path) in [(Method::GET, "/v1/models"), (Method::POST, "/v1/files")] {
        let body = Script::new("not to be read").stall().body();
        let probe = body.probe();
        let inner = tower::service_fn(|request: Request<Body>| async move {
            assert!(request.extensions().get::<Arc<Target>>().is_none());
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("answered")))
        });
        let request = Request::builder().method(method).uri(path).body(body).unwrap();
        let response = RouteLayer::new(nobody).layer(inner).oneshot(request).await.unwrap();
        assert!(response.extensions().get::<Served>().is_none());
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "answered");
        assert_eq!(probe.taken(), 0, "{path}");
    }
}

#[tokio::test]
async fn the_resolver_is_given_the_restricted_principal() {
    let resolve = |call: &Call, principal: Option<&Principal>| -> Result<Plan, Refusal> {
        let model = call.model.as_deref().unwrap_or_default();
        match principal.is_some_and(|principal| principal.models.allows(model)) {
            true => Ok(Plan::one(target(call.protocol, model), "allowed")),
            false => Err(Refusal::new(Class::Permission, "not for this key")),
        }
    };
    let mut principal = Principal::new(KeyId::new("few"), "few");
    principal.models = AllowedModels::only(["fast"]);
    let principal = Arc::new(principal);
    for (body, known, status) in [
        (r#"{"model":"fast"}"#, true, 200),
        (r#"{"model":"dear"}"#, true, 403),
        (r#"{"model":"fast"}"#, false, 403),
    ] {
        let mut request = request(CHAT, body);
        if known {
            request.extensions_mut().insert(principal.clone());
        }
        let answered = answer(resolve, upstream(), request).await;
        assert_eq!(answered.status(), status, "{body} {known}");
    }
}

#[tokio::test]
async fn who_answered_is_written_unless_somebody_inside_knows_better() {
    let second = Served::new(target(Protocol::OpenAiChat, "second"), 2);
    let inner = Upstream::always(Answer::json(200, "{}").extension(second));
    let answered = answer(to("first"), inner, request(CHAT, r#"{"model":"m"}"#)).await;
    let served = answered.extensions().get::<Served>().unwrap();
    assert_eq!((&*served.target.model, served.attempts), ("second", 2));
}

#[tokio::test]
async fn is_ready_when_the_inner_service_is() {
    let layer = RouteLayer::new(to("new"));
    let spawned = mock::spawn_layer::<Request<Body>, Response<Full<Bytes>>, _>(layer);
    let (mut route, mut handle): (_, mock::Handle<Request<Body>, Response<Full<Bytes>>>) = spawned;
    handle.allow(0);
    assert_pending!(route.poll_ready::<Request<Full<Bytes>>>());
    handle.allow(1);
    assert_ready_ok!(route.poll_ready::<Request<Full<Bytes>>>());
}

#[tokio::test]
async fn calls_the_service_that_was_ready_though_the_body_comes_later() {
    let (inner, mut handle) = mock::pair::<Request<Body>, Response<Full<Bytes>>>();
    handle.allow(1);
    let mut route = RouteLayer::new(to("new")).layer(inner);
    let route = ServiceExt::<Request<ScriptBody>>::ready(&mut route).await.unwrap();
    let body = Script::new(r#"{"model":"fast"}"#).split_every(1).body();
    let future = route.call(Request::post(CHAT).body(body).unwrap());
    let answering = async {
        let (request, respond) = handle.next_request().await.unwrap();
        respond.send_response(Response::new(Full::from("done")));
        request.into_body().collect().await.unwrap().to_bytes()
    };
    let (response, received) = tokio::join!(future, answering);
    assert_eq!(received, r#"{"model":"new"}"#);
    assert_eq!(response.unwrap().into_body().collect().await.unwrap().to_bytes(), "done");
}

#[tokio::test]
async fn dropped_while_the_body_comes_nothing_was_sent() {
    let (inner, mut handle) = mock::pair::<Request<Body>, Response<Full<Bytes>>>();
    handle.allow(1);
    let mut route = RouteLayer::new(to("new")).layer(inner);
    let body = Script::new(r#"{"model":"#).stall().body();
    let probe = body.probe();
    ServiceExt::<Request<ScriptBody>>::ready(&mut route).await.unwrap();
    let mut future = tokio_test::task::spawn(route.call(Request::post(CHAT).body(body).unwrap()));
    assert_pending!(future.poll());
    drop(future);
    drop(route);
    assert!(probe.dropped_early());
    assert!(handle.next_request().await.is_none());
}

#[tokio::test]
async fn alone_in_front_of_axum_it_aims_and_leaves_other_routes_as_they_are() {
    let app = axum::Router::new()
        .route(CHAT, post(|body: String| async { body }))
        .route("/hello", post(|body: String| async move { format!("hello {body}") }))
        .layer(RouteLayer::new(to("new")));
    for (path, body, expected) in
        [(CHAT, r#"{"model":"fast"}"#, r#"{"model":"new"}"#), ("/hello", "you", "hello you")]
    {
        let request = Request::post(path).body(axum::body::Body::from(body)).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), expected);
    }
}

#[tokio::test]
async fn stacked_twice_the_inner_one_decides() {
    let inner = upstream();
    let twice =
        RouteLayer::new(to("outer")).layer(RouteLayer::new(to("inner")).layer(inner.clone()));
    let response = twice.oneshot(request(CHAT, r#"{"model":"fast"}"#)).await.unwrap();
    assert_eq!(inner.received()[0].body(), r#"{"model":"inner"}"#);
    assert_eq!(&*response.extensions().get::<Served>().unwrap().target.model, "inner");
}

#[test]
fn everything_can_be_sent_shared_and_cloned() {
    fn bounds<T: Send + Sync + Clone + std::fmt::Debug + 'static>() {}
    fn future<T: Send + 'static>() {}
    bounds::<RouteLayer<()>>();
    bounds::<Route<(), ()>>();
    future::<ResponseFuture<Upstream, (), Full<Bytes>>>();
}
