//! No client key reaches an upstream, no provider key a client or an error.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use tollgate_core::{BoxError, Protocol};
use tollgate_gateway::{Options, Readiness, stack};
use tollgate_testkit::{Answer, Script, Upstream};
use tollgate_tests::{CLIENT_KEY, PROVIDER_KEY, state};
use tower::{Service, ServiceExt};

const CALLS: [(Protocol, &str, &str); 4] = [
    (Protocol::OpenAiChat, "/v1/chat/completions", r#"{"model":"m","messages":[]}"#),
    (Protocol::OpenAiResponses, "/v1/responses", r#"{"model":"m","input":"x"}"#),
    (Protocol::AnthropicMessages, "/v1/messages", r#"{"model":"m","max_tokens":1,"messages":[]}"#),
    (Protocol::Gemini, "/v1beta/models/m:generateContent", r#"{"contents":[]}"#),
];

/// Every way to show a key: a header, its value's prefix, or the query.
const FORMS: [(&str, &str); 5] = [
    ("authorization", "Bearer "),
    ("x-api-key", ""),
    ("x-goog-api-key", ""),
    ("api-key", ""),
    ("?key=", ""),
];

async fn exchange<S, B>(gateway: S, request: Request<Full<Bytes>>) -> (StatusCode, HeaderMap, Bytes)
where
    S: Service<Request<Full<Bytes>>, Response = http::Response<B>, Error = Infallible>,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    let (head, body) = gateway.oneshot(request).await.expect("infallible").into_parts();
    (
        head.status,
        head.headers,
        body.map_err(Into::<BoxError>::into).collect().await.expect("honest").to_bytes(),
    )
}

fn request(path: &str, body: &'static str, (name, prefix): (&str, &str)) -> Request<Full<Bytes>> {
    let shown = format!("{prefix}{CLIENT_KEY}");
    let mut request = Request::builder().method(Method::POST).uri(path);
    if name == "?key=" {
        request = request.uri(format!("{path}?a=b&key={CLIENT_KEY}&c=d"));
    } else {
        request = request.header(name, shown);
    }
    request.header("cookie", "c=1").body(Full::from(body)).expect("valid")
}

/// A gateway whose upstream answers `answer`, over real sockets.
async fn over_sockets(
    protocol: Protocol,
    answer: Answer,
    request: Request<Full<Bytes>>,
) -> (Upstream, (StatusCode, HeaderMap, Bytes)) {
    let upstream = Upstream::always(answer);
    let (address, _guard) = upstream.clone().serve().await.expect("a free port");
    let base = match protocol {
        Protocol::OpenAiChat | Protocol::OpenAiResponses => format!("http://{address}/v1"),
        _ => format!("http://{address}"),
    };
    let leaf = tollgate_upstream::Upstream::new();
    let gateway =
        stack(state(protocol, &base, &["m"]), Readiness::ready(), Options::default(), leaf);
    let seen = exchange(gateway, request).await;
    (upstream, seen)
}

#[tokio::test]
async fn every_form_of_key_is_accepted_on_every_protocol_and_ends_at_the_gateway() {
    for (protocol, path, body) in CALLS {
        for form in FORMS {
            let answer = Answer::json(200, "{}");
            let request = request(path, body, form);
            let (upstream, (status, ..)) = over_sockets(protocol, answer, request).await;
            assert_eq!(status, 200, "{protocol} {form:?}");
            let received = &upstream.received()[0];
            let seen = format!("{} {:?}", received.uri, received.headers);
            assert!(!seen.contains(CLIENT_KEY), "{protocol} {form:?}: {seen}");
            assert!(!seen.contains("cookie"), "{seen}");
            assert!(seen.contains(PROVIDER_KEY) && !received.uri.to_string().contains("key="));
            let query = received.uri.query();
            assert_eq!(query, (form.0 == "?key=").then_some("a=b&c=d"), "{protocol}");
        }
    }
}

#[tokio::test]
async fn a_provider_key_an_upstream_echoes_reaches_nobody() {
    let echo =
        format!(r#"{{"error":{{"message":"bad key {PROVIDER_KEY}","type":"x","code":null}}}}"#);
    for (protocol, path, body) in CALLS {
        for status in [200, 400, 401, 403, 429, 500] {
            let answer = Answer::json(status, echo.clone()).header("x-echo", PROVIDER_KEY);
            let request = request(path, body, FORMS[0]);
            let (_, (_, headers, body)) = over_sockets(protocol, answer, request).await;
            let seen = format!("{headers:?} {}", String::from_utf8_lossy(&body));
            assert!(!seen.contains(PROVIDER_KEY), "{protocol} {status}: {seen}");
        }
    }
}

#[tokio::test]
async fn a_provider_key_echoed_in_a_stream_reaches_nobody_however_it_is_cut() {
    let event = format!(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{PROVIDER_KEY}\"}},\"finish_reason\":\"stop\"}}]}}\n\ndata: [DONE]\n\n"
    );
    for n in [1, 7, 50, 4096] {
        let (protocol, path, _) = CALLS[0];
        let request = request(path, r#"{"model":"m","messages":[],"stream":true}"#, FORMS[0]);
        let answer = Answer::sse(Script::new(event.clone()).split_every(n));
        let (_, (status, _, body)) = over_sockets(protocol, answer, request).await;
        assert_eq!(status, 200);
        assert_eq!(body.len(), event.len(), "masked in place");
        assert!(!String::from_utf8_lossy(&body).contains(PROVIDER_KEY));
    }
}

#[tokio::test]
async fn a_rejected_credential_of_ours_is_not_the_clients_fault() {
    for (protocol, path, body) in CALLS {
        for (rejected, shown, code) in [(401, 502, "upstream_auth"), (402, 503, "upstream_quota")] {
            let answer = Answer::json(rejected, r#"{"error":{"message":"no","code":"x"}}"#);
            let (_, (status, headers, body)) =
                over_sockets(protocol, answer, request(path, body, FORMS[0])).await;
            assert_eq!(status, shown, "{protocol}");
            assert_eq!(headers["x-tollgate-origin"], "upstream");
            assert!(String::from_utf8_lossy(&body).contains(code), "{protocol}: {body:?}");
        }
    }
}

#[tokio::test]
async fn a_wrong_key_is_refused_without_asking_anybody() {
    for (protocol, path, body) in CALLS {
        let mut request = request(path, body, FORMS[0]);
        request.headers_mut().insert("authorization", "Bearer sk-wrong".parse().expect("valid"));
        let (upstream, (status, headers, body)) =
            over_sockets(protocol, Answer::json(200, "{}"), request).await;
        assert_eq!((status.as_u16(), upstream.received().len()), (401, 0), "{protocol}");
        assert_eq!(headers["x-tollgate-origin"], "gateway");
        assert!(!String::from_utf8_lossy(&body).contains("sk-wrong"), "{protocol}");
    }
}
