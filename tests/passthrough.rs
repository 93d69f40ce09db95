//! What names no model, under a provider's name: sent there as it is, streamed both ways.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::sync::mpsc;
use tollgate_core::{BoxError, Protocol};
use tollgate_gateway::{Options, Readiness, stack};
use tollgate_testkit::{Answer, Script, ServeGuard, Upstream, Wire, WireServer};
use tollgate_tests::{CLIENT_KEY, PROVIDER_KEY, state};
use tower::ServiceExt;

fn asking(method: Method, path: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {CLIENT_KEY}"))
}

#[tokio::test]
async fn what_no_protocol_knows_goes_to_the_provider_it_names() {
    for (method, path, expected) in [
        (Method::POST, "/upstream/v1/files?purpose=x", "/base/v1/files?purpose=x"),
        (Method::GET, "/upstream/v1/responses/resp_1", "/base/v1/responses/resp_1"),
        (Method::DELETE, "/upstream/v1/responses/resp_1", "/base/v1/responses/resp_1"),
        (Method::POST, "/upstream/v1/images/generations", "/base/v1/images/generations"),
        (Method::POST, "/upstream/v1/audio/speech", "/base/v1/audio/speech"),
    ] {
        let upstream = Upstream::always(Answer::json(200, "[1, 2]").header("x-own", "kept"));
        let (address, _guard) = upstream.clone().serve().await.unwrap();
        let state = state(Protocol::OpenAiChat, &format!("http://{address}/base/v1"), &[]);
        let leaf = tollgate_upstream::Upstream::new();
        let gateway = stack(state, Readiness::ready(), Options::default(), leaf);
        let sent = Bytes::from_static(b"\0not json\xff");
        let request = asking(method.clone(), path).body(Full::new(sent.clone())).unwrap();
        let response = gateway.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["x-own"], "kept");
        assert_eq!(response.headers()["x-tollgate-target"], "upstream");
        let answer = response.into_body().map_err(Into::<BoxError>::into).collect().await.unwrap();
        assert_eq!(answer.to_bytes(), "[1, 2]");
        let received = &upstream.received()[0];
        assert_eq!(received.method, method);
        assert_eq!(received.uri.path_and_query().unwrap().as_str(), expected);
        assert_eq!(received.body(), sent);
        assert_eq!(received.headers["authorization"], format!("Bearer {PROVIDER_KEY}"));
    }
}

#[tokio::test]
async fn a_provider_nobody_configured_is_not_found() {
    let upstream = Upstream::always(Answer::json(200, "{}"));
    let state = state(Protocol::OpenAiChat, "http://127.0.0.1:1/v1", &[]);
    let leaf = tower::service_fn(move |request: Request<tollgate_core::Body>| {
        let upstream = upstream.clone();
        async move { Ok::<_, std::convert::Infallible>(upstream.oneshot(request).await.unwrap()) }
    });
    let gateway = stack(state, Readiness::ready(), Options::default(), leaf);
    for path in ["/nobody/v1/files", "/v1/files", "/upstream", "/"] {
        let request = asking(Method::POST, path).body(Full::<Bytes>::default()).unwrap();
        assert_eq!(gateway.clone().oneshot(request).await.unwrap().status(), 404, "{path}");
    }
}

#[tokio::test]
async fn neither_side_waits_for_the_others_end() {
    let wire = Wire::new()
        .head()
        .write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        .chunk(b"early")
        .stall();
    let server = WireServer::start([wire]).await.unwrap();
    let state = state(Protocol::OpenAiChat, &format!("http://{}/v1", server.addr()), &[]);
    let leaf = tollgate_upstream::Upstream::new();
    let gateway = stack(state, Readiness::ready(), Options::default(), leaf);
    let (frames, mut feed) = mpsc::channel::<Result<Frame<Bytes>, BoxError>>(1);
    frames.send(Ok(Frame::data(Bytes::from_static(b"first")))).await.unwrap();
    let body = StreamBody::new(futures_util::stream::poll_fn(move |cx| feed.poll_recv(cx)));
    let request = asking(Method::POST, "/upstream/v1/files").body(body).unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(5), gateway.oneshot(request));
    let mut answer =
        answer.await.expect("the head comes before the request ends").unwrap().into_body();
    let frame = tokio::time::timeout(Duration::from_secs(5), answer.frame()).await;
    let frame = frame.expect("the answer streams").unwrap();
    assert_eq!(frame.map_err(Into::<BoxError>::into).unwrap().into_data().unwrap(), "early");
    drop(frames);
}

#[tokio::test]
async fn a_stream_under_a_providers_name_keeps_its_bytes() {
    let odd = "event: x\r\ndata: not json\r\n\r\n: c\n\ndata";
    let upstream = Upstream::always(Answer::sse(Script::new(odd).split_every(3)));
    let (address, _guard) = upstream.serve().await.unwrap();
    let state = state(Protocol::OpenAiChat, &format!("http://{address}/v1"), &[]);
    let leaf = tollgate_upstream::Upstream::new();
    let gateway = stack(state, Readiness::ready(), Options::default(), leaf);
    let request = asking(Method::GET, "/upstream/v1/responses/r?stream=true");
    let response = gateway.oneshot(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
    let body = response.into_body().map_err(Into::<BoxError>::into).collect().await.unwrap();
    assert_eq!(body.to_bytes(), odd);
}

/// A gateway in front of `answer`, and who is asked.
async fn gateway(
    protocol: Protocol,
    answer: Answer,
) -> (
    impl tower::Service<
        Request<Full<Bytes>>,
        Response = http::Response<
            impl http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
        >,
        Error = std::convert::Infallible,
    > + Clone,
    Upstream,
    ServeGuard,
) {
    let upstream = Upstream::always(answer);
    let (address, guard) = upstream.clone().serve().await.expect("a free port");
    let base = match protocol {
        Protocol::OpenAiChat | Protocol::OpenAiResponses => format!("http://{address}/v1"),
        _ => format!("http://{address}"),
    };
    let state = state(protocol, &base, &[]);
    let leaf = tollgate_upstream::Upstream::new();
    (stack(state, Readiness::ready(), Options::default(), leaf), upstream, guard)
}

const CHAT_ANSWER: &str = r#"{"id":"c","object":"chat.completion","created":1,"model":"m",
    "choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],
    "usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#;

#[tokio::test]
async fn a_call_is_one_however_its_path_is_written() {
    for path in [
        "/v1/chat/completions/",
        "/openai/v1/chat/completions/",
        "/openai//v1/chat/completions",
        "/upstream/v1/chat/completions",
        "/upstream/chat/completions",
        "/upstream//v1/chat/completions/",
    ] {
        let answer = Answer::json(200, CHAT_ANSWER);
        let (gateway, upstream, _guard) = gateway(Protocol::OpenAiChat, answer).await;
        let body = r#"{"model":"upstream/m","messages":[]}"#;
        let request = asking(Method::POST, path).body(Full::from(body)).unwrap();
        let response = gateway.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["x-tollgate-target"], "upstream/m", "{path}");
        let received = &upstream.received()[0];
        assert_eq!(received.uri.path(), "/v1/chat/completions", "{path}");
        assert_eq!(received.body(), r#"{"model":"m","messages":[]}"#, "{path}");
    }
}

#[tokio::test]
async fn under_a_providers_name_a_bare_name_is_its_own() {
    let answer = Answer::json(200, CHAT_ANSWER);
    let (gateway, upstream, _guard) = gateway(Protocol::OpenAiChat, answer).await;
    let body = r#"{"model":"someone/m","messages":[]}"#;
    let request = asking(Method::POST, "/upstream/v1/chat/completions").body(Full::from(body));
    let response = gateway.oneshot(request.unwrap()).await.unwrap();
    assert_eq!(response.headers()["x-tollgate-target"], "upstream/someone/m");
    assert_eq!(upstream.received()[0].body(), body);
}

#[tokio::test]
async fn geminis_alpha_version_is_a_call_too() {
    let answer = Answer::json(
        200,
        r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}]},"finishReason":"STOP"}]}"#,
    );
    let (gateway, upstream, _guard) = gateway(Protocol::Gemini, answer).await;
    let path = "/gemini/v1alpha/models/m:generateContent";
    let request = asking(Method::POST, path).body(Full::from(r#"{"contents":[]}"#)).unwrap();
    let response = gateway.oneshot(request).await.unwrap();
    assert_eq!(response.headers()["x-tollgate-target"], "upstream/m");
    assert_eq!(upstream.received()[0].uri.path(), "/v1alpha/models/m:generateContent");
}

#[tokio::test]
async fn what_asks_a_model_is_never_passed_unread() {
    let (gateway, upstream, _guard) =
        gateway(Protocol::OpenAiChat, Answer::json(200, CHAT_ANSWER)).await;
    for path in [
        "/upstream/deployments/m/chat/completions",
        "/upstream/v1beta/openai/chat/completions",
        "/upstream/v1/chat%2fcompletions",
        "/upstream/v9/models/m:generateContent",
        "/openai/v1/messages",
    ] {
        let body = Full::from(r#"{"model":"m","messages":[]}"#);
        let request = asking(Method::POST, path).body(body).unwrap();
        let response = gateway.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 404, "{path}");
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn fault_25_a_rejection_of_our_credential_is_not_shown_as_the_clients() {
    use Protocol::{AnthropicMessages, Gemini, OpenAiChat};
    for (protocol, status, body, told) in [
        (OpenAiChat, 401, r#"{"error":{"message":"no","code":"invalid_api_key"}}"#, 502),
        (OpenAiChat, 429, r#"{"error":{"message":"no","type":"insufficient_quota"}}"#, 503),
        (
            AnthropicMessages,
            401,
            r#"{"type":"error","error":{"type":"authentication_error"}}"#,
            502,
        ),
        (AnthropicMessages, 403, r#"{"type":"error","error":{"type":"permission_error"}}"#, 502),
        (
            AnthropicMessages,
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error",
               "message":"Your credit balance is too low to access the Anthropic API."}}"#,
            503,
        ),
        (
            Gemini,
            400,
            r#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT",
               "details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo",
               "reason":"API_KEY_INVALID"}]}}"#,
            502,
        ),
    ] {
        let (gateway, upstream, _guard) = gateway(protocol, Answer::json(status, body)).await;
        let ask = || asking(Method::GET, "/upstream/v1/files").body(Full::default()).unwrap();
        let response = gateway.clone().oneshot(ask()).await.unwrap();
        assert_eq!(response.status(), told, "{protocol} {status}");
        let text = response.into_body().map_err(Into::<BoxError>::into).collect().await.unwrap();
        let text = String::from_utf8(text.to_bytes().to_vec()).unwrap();
        let code = if told == 502 { "upstream_auth" } else { "upstream_quota" };
        assert!(text.contains(code), "{protocol} {status}: {text}");
        let again = gateway.oneshot(ask()).await.unwrap();
        assert_eq!((again.status().as_u16(), upstream.received().len()), (told, 1), "set aside");
    }
}

#[tokio::test]
async fn any_other_error_keeps_its_bytes_and_sets_nobody_aside() {
    for (status, body) in [(404, "<h1>no</h1>"), (500, "{}"), (429, "slow \0 down"), (400, "")] {
        let answer = Answer::json(status, body).header("x-own", "kept");
        let (gateway, _, _guard) = gateway(Protocol::OpenAiChat, answer).await;
        for _ in 0..7 {
            let request = asking(Method::GET, "/upstream/v1/files").body(Full::default()).unwrap();
            let response = gateway.clone().oneshot(request).await.unwrap();
            assert_eq!(
                (response.status().as_u16(), &response.headers()["x-own"]),
                (status, &"kept".parse().unwrap())
            );
            let text = response.into_body().map_err(Into::<BoxError>::into).collect().await;
            assert_eq!(text.unwrap().to_bytes(), body);
        }
    }
}
