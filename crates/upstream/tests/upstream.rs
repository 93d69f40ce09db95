//! The leaf against real connections on loopback.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{net::SocketAddr, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tollgate_core::{Body, Cause, Class, Failure, Protocol, Refusal, Sent, Target};
use tollgate_testkit::{Answer, Script, Upstream as Fake, Wire, WireServer, refused_addr};
use tollgate_upstream::{Upstream, UpstreamBody};
use tower::ServiceExt;

/// An answer after which the connection stays open.
const KEPT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

const SOON: Duration = Duration::from_millis(200);

fn target(addr: SocketAddr, protocol: Protocol) -> Arc<Target> {
    let version = if protocol == Protocol::OpenAiChat { "/v1" } else { "" };
    let base = format!("http://{addr}{version}").parse().unwrap();
    Arc::new(Target::new("fake", protocol, "m", base))
}

fn post(addr: SocketAddr, path: &str) -> http::request::Builder {
    Request::post(path).extension(target(addr, Protocol::OpenAiChat))
}

async fn ask(addr: SocketAddr) -> Response<UpstreamBody> {
    let request = post(addr, "/v1/chat/completions").body(Body::from("{\"model\":\"m\"}")).unwrap();
    Upstream::new().oneshot(request).await.unwrap()
}

fn failure(answer: &Response<UpstreamBody>) -> (Class, Cause, Sent, &'static str) {
    let failure = answer.extensions().get::<Failure>().expect("a failure");
    (failure.class, failure.cause, failure.sent, failure.code.expect("a code"))
}

async fn text(answer: Response<UpstreamBody>) -> String {
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn request_and_answer_pass_unchanged_but_for_what_is_not_theirs() {
    let fake = Fake::always(
        Answer::json(200, "{\"ok\" : 1}")
            .header("x-request-id", "r1")
            .header("x-ratelimit-remaining-tokens", "9")
            .header("set-cookie", "a=b"),
    );
    let (addr, _guard) = fake.clone().serve().await.unwrap();
    let mut ours = http::HeaderValue::from_static("Bearer ours");
    ours.set_sensitive(true);
    let request = post(addr, "/openai/v1/chat/completions?a=%20&key=client")
        .header("authorization", ours)
        .header("x-api-key", "client")
        .header("anthropic-beta", "b")
        .header("accept-encoding", "gzip")
        .header("content-length", "999")
        .header("host", "gateway")
        .body(Body::from("{\"model\" :\"m\"}"))
        .unwrap();
    let answer = Upstream::new().oneshot(request).await.unwrap();
    assert_eq!(answer.headers()["x-request-id"], "r1");
    assert_eq!(answer.headers()["x-ratelimit-remaining-tokens"], "9");
    assert!(!answer.headers().contains_key("set-cookie"));
    assert_eq!(text(answer).await, "{\"ok\" : 1}");

    let seen = &fake.received()[0];
    assert_eq!(seen.uri, "/v1/chat/completions?a=%20");
    assert_eq!(seen.body(), "{\"model\" :\"m\"}");
    let mut expected = HeaderMap::new();
    expected.insert("authorization", "Bearer ours".parse().unwrap());
    expected.insert("anthropic-beta", "b".parse().unwrap());
    expected.insert("accept-encoding", "identity".parse().unwrap());
    expected.insert("content-length", "14".parse().unwrap());
    expected.insert("host", addr.to_string().parse().unwrap());
    assert_eq!(seen.headers, expected);
}

#[tokio::test]
async fn a_protocols_required_header_is_added_where_it_is_missing() {
    let fake = Fake::always(Answer::json(200, "{}"));
    let (addr, _guard) = fake.clone().serve().await.unwrap();
    let mut extra = HeaderMap::new();
    extra.insert("x-extra", "1".parse().unwrap());
    let upstream = Upstream::builder().headers("fake", extra).build();
    for version in [None, Some("2026-10-21")] {
        let mut request = Request::post("/anthropic/v1/messages?beta=true");
        if let Some(version) = version {
            request = request.header("anthropic-version", version);
        }
        let request = request.extension(target(addr, Protocol::AnthropicMessages));
        upstream.clone().oneshot(request.body(Body::from("{}")).unwrap()).await.unwrap();
        let seen = fake.received().pop().unwrap();
        assert_eq!(seen.uri, "/v1/messages?beta=true");
        assert_eq!(seen.headers["anthropic-version"], version.unwrap_or("2023-06-01"));
        assert_eq!(seen.headers["x-extra"], "1");
    }
}

#[tokio::test]
async fn a_prefix_of_the_gateway_is_left_out_on_paths_nobody_knows() {
    let fake = Fake::always(Answer::json(200, "{}"));
    let (addr, _guard) = fake.clone().serve().await.unwrap();
    let request = post(addr, "/openai/v1/files/f_1").body(Body::empty()).unwrap();
    Upstream::new().oneshot(request).await.unwrap();
    assert_eq!(fake.received()[0].uri, "/v1/files/f_1");
}

#[tokio::test]
async fn fault_01_connect_refused_says_that_nothing_was_sent() {
    let answer = ask(refused_addr().unwrap()).await;
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    let expected = (Class::Connect, Cause::Connect, Sent::No, "upstream_connect");
    assert_eq!(failure(&answer), expected);
    assert!(!text(answer).await.contains("127.0.0.1"));
}

#[tokio::test]
async fn fault_02_an_unknown_name_is_a_connect_failure() {
    let base = "http://upstream.invalid/v1".parse().unwrap();
    let target = Target::new("fake", Protocol::OpenAiChat, "m", base);
    let upstream = Upstream::builder().target(Arc::new(target));
    let upstream = upstream.connect_deadline(Duration::from_secs(30)).build();
    let request = Request::post("/v1/chat/completions").body(Body::from("{}")).unwrap();
    let answer = upstream.oneshot(request).await.unwrap();
    assert_eq!(failure(&answer), (Class::Connect, Cause::Connect, Sent::No, "upstream_dns"));
    assert!(!text(answer).await.contains("upstream.invalid"));
}

#[tokio::test]
async fn fault_03_what_is_no_tls_is_not_spoken_to_without_it() {
    let server = WireServer::start([Wire::new().write("HTTP/1.1 400 no\r\n\r\n").stall()]);
    let server = server.await.unwrap();
    let base = format!("https://{}/v1", server.addr()).parse().unwrap();
    let target = Target::new("fake", Protocol::OpenAiChat, "m", base);
    let request = Request::post("/v1/x").extension(Arc::new(target)).body(Body::from("{}"));
    let answer = Upstream::new().oneshot(request.unwrap()).await.unwrap();
    assert_eq!(failure(&answer), (Class::Connect, Cause::Connect, Sent::No, "upstream_tls"));
}

#[tokio::test]
async fn fault_04_the_connect_deadline_covers_tls() {
    let server = WireServer::start([Wire::new().stall()]).await.unwrap();
    let base = format!("https://{}/v1", server.addr()).parse().unwrap();
    let target = Target::new("fake", Protocol::OpenAiChat, "m", base);
    let upstream = Upstream::builder().connect_deadline(Duration::from_millis(50)).build();
    let request = Request::post("/v1/x").extension(Arc::new(target)).body(Body::from("{}"));
    let answer = upstream.oneshot(request.unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    let expected = (Class::Timeout, Cause::Connect, Sent::No, "upstream_connect_timeout");
    assert_eq!(failure(&answer), expected);
}

#[tokio::test]
async fn fault_05_a_kept_connection_that_was_closed_is_replaced_unseen() {
    let server =
        WireServer::start([Wire::new().request().write(KEPT), Wire::json(200, "{\"second\":1}")])
            .await
            .unwrap();
    let upstream = Upstream::new();
    for expected in ["{}", "{\"second\":1}"] {
        let request = post(server.addr(), "/v1/x").body(Body::from("{}")).unwrap();
        let answer = upstream.clone().oneshot(request).await.unwrap();
        assert_eq!(text(answer).await, expected);
    }
    assert_eq!(server.connections().len(), 2);
}

#[tokio::test]
async fn fault_05_a_kept_connection_that_took_the_request_is_not_asked_again() {
    let wire = Wire::new().request().write(KEPT).request();
    let server = WireServer::start([wire, Wire::json(200, "{}")]).await.unwrap();
    let upstream = Upstream::new();
    let ask = || post(server.addr(), "/v1/x").body(Body::from("{}")).unwrap();
    assert_eq!(text(upstream.clone().oneshot(ask()).await.unwrap()).await, "{}");
    let answer = upstream.clone().oneshot(ask()).await.unwrap();
    let expected = (Class::ServerError, Cause::Upstream, Sent::Maybe, "upstream_reset");
    assert_eq!(failure(&answer), expected);
    assert_eq!(server.connections().len(), 1);
}

#[tokio::test]
async fn fault_05_connections_of_a_host_that_closes_them_after_each_answer_are_not_kept() {
    let closes = || Wire::new().request().write(KEPT).request();
    let wires = [closes(), closes(), Wire::json(200, "{}"), Wire::json(200, "{}")];
    let server = WireServer::start(wires).await.unwrap();
    let upstream = Upstream::new();
    let mut statuses = Vec::new();
    for _ in 0..6 {
        let request = post(server.addr(), "/v1/x").body(Body::from("{}")).unwrap();
        let answer = upstream.clone().oneshot(request).await.unwrap();
        statuses.push(answer.status().as_u16());
        text(answer).await;
    }
    assert_eq!(statuses, [200, 502, 200, 502, 200, 200]);
}

#[tokio::test]
async fn fault_06_a_broken_head_is_a_failure_that_may_have_been_sent() {
    for (wire, code) in [
        (Wire::garbage(), "upstream_protocol"),
        (Wire::reset_in_head(), "upstream_reset"),
        (Wire::new().request(), "upstream_reset"),
    ] {
        let server = WireServer::start([wire]).await.unwrap();
        let answer = ask(server.addr()).await;
        assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
        let expected = (Class::ServerError, Cause::Upstream, Sent::Maybe, code);
        assert_eq!(failure(&answer), expected);
    }
}

#[tokio::test]
async fn fault_11_a_body_that_breaks_off_is_a_truncation() {
    for wire in [
        Wire::short(9, "{\"a\""),
        Wire::sse().chunk(b"data: 1\n\n").reset(),
        Wire::sse().chunk(b"data: 1\n\n"),
    ] {
        let server = WireServer::start([wire]).await.unwrap();
        let error = ask(server.addr()).await.into_body().collect().await.unwrap_err();
        assert_eq!(error.stable_code(), Some("upstream_truncated"));
    }
}

#[cfg(feature = "decompress")]
#[tokio::test]
async fn fault_20_an_encoded_answer_is_decoded_within_its_limit() {
    let (plain, mut gzip) = ("{\"x\":1}".repeat(1000), Vec::new());
    let mut encoder = flate2::write::GzEncoder::new(&mut gzip, flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, plain.as_bytes()).unwrap();
    encoder.finish().unwrap();
    let length = gzip.len().to_string();
    let answer = Answer::new(StatusCode::OK, Script::new(gzip))
        .header("content-encoding", "gzip")
        .header("content-length", length.as_str());
    let (addr, _guard) = Fake::always(answer).serve().await.unwrap();

    let answer = ask(addr).await;
    assert!(!answer.headers().contains_key("content-encoding"));
    assert!(!answer.headers().contains_key("content-length"));
    assert_eq!(text(answer).await, plain);

    let upstream = Upstream::builder().decoded_limit(100).build();
    let request = post(addr, "/v1/x").body(Body::from("{}")).unwrap();
    let answer = upstream.oneshot(request).await.unwrap();
    let error = answer.into_body().collect().await.unwrap_err();
    assert_eq!(error.stable_code(), Some("upstream_too_large"));
}

#[cfg(feature = "decompress")]
#[tokio::test]
async fn an_encoding_is_known_in_any_case_and_by_its_older_name() {
    for name in ["GZIP", "x-gzip", "X-GZip"] {
        // `{}`, by gzip.
        let body = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xab\xae\x05\0\x43\xbf\xa6\xa3\x02\0\0\0";
        let answer = Answer::new(StatusCode::OK, Script::new(&body[..]));
        let answer = answer.header("content-encoding", name);
        let (addr, _guard) = Fake::always(answer).serve().await.unwrap();
        let answer = ask(addr).await;
        assert!(!answer.headers().contains_key("content-encoding"), "{name}");
        assert_eq!(text(answer).await, "{}", "{name}");
    }
}

#[tokio::test]
async fn an_encoding_that_cannot_be_undone_is_a_failure() {
    let answer = Answer::json(200, "x").header("content-encoding", "compress");
    let (addr, _guard) = Fake::always(answer).serve().await.unwrap();
    assert_eq!(failure(&ask(addr).await).3, "upstream_encoding");
}

#[tokio::test]
async fn fault_37_dropping_the_future_cancels_the_upstream() {
    let server = WireServer::start([Wire::new().request().stall()]).await.unwrap();
    let request = post(server.addr(), "/v1/x").body(Body::from("{}")).unwrap();
    let asking = Upstream::new().oneshot(request);
    assert!(tokio::time::timeout(Duration::from_millis(100), asking).await.is_err());
    tokio::time::timeout(SOON, server.peer_closed(0)).await.expect("closed at once");
}

#[tokio::test]
async fn fault_38_dropping_the_body_cancels_the_upstream() {
    let wire = Wire::sse().chunk(b"data: 1\n\n").stall();
    let server = WireServer::start([wire]).await.unwrap();
    let mut body = ask(server.addr()).await.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "data: 1\n\n");
    drop(body);
    tokio::time::timeout(SOON, server.peer_closed(0)).await.expect("closed at once");
}

#[tokio::test]
async fn fault_61_a_path_that_climbs_is_refused_without_asking() {
    let fake = Fake::always(Answer::json(200, "{}"));
    let (addr, _guard) = fake.clone().serve().await.unwrap();
    for path in ["/v1/../admin", "/v1/%2e%2e/admin", "/v1/x%0d%0ay"] {
        let request = post(addr, path).body(Body::from("{}")).unwrap();
        let answer = Upstream::new().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{path}");
        let refusal = answer.extensions().get::<Refusal>().unwrap();
        assert_eq!(refusal.code, Some("invalid_path"));
    }
    assert!(fake.received().is_empty());
}

#[tokio::test]
async fn fault_66_a_redirect_is_not_followed_and_100_continue_is_waited_out() {
    let elsewhere = Fake::always(Answer::json(200, "{}"));
    let (addr, _guard) = elsewhere.clone().serve().await.unwrap();
    let location = format!("http://{addr}/");
    let redirect = Answer::json(307, "{}").header("location", location.as_str());
    let (from, _other) = Fake::always(redirect).serve().await.unwrap();
    assert_eq!(failure(&ask(from).await).3, "upstream_redirect");
    assert!(elsewhere.received().is_empty());

    let wire = Wire::continued(Wire::json(200, "{\"a\":1}"));
    let server = WireServer::start([wire]).await.unwrap();
    assert_eq!(text(ask(server.addr()).await).await, "{\"a\":1}");
}

#[tokio::test]
async fn fault_66_other_informational_answers_are_waited_out() {
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    let wire = Wire::new().request().write(hints).write(KEPT);
    let server = WireServer::start([wire]).await.unwrap();
    assert_eq!(text(ask(server.addr()).await).await, "{}");

    let switching = "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n";
    let server = WireServer::start([Wire::new().request().write(switching)]).await.unwrap();
    assert_eq!(failure(&ask(server.addr()).await).3, "upstream_protocol");
}

#[tokio::test]
async fn fault_67_chunk_extensions_are_skipped_and_trailers_kept() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n";
    let body = "3;name=\"a;b\"\r\n{ }\r\n0;last\r\nx-sum: 1\r\n\r\n";
    let server = WireServer::start([Wire::new().request().write(format!("{head}{body}"))]);
    let server = server.await.unwrap();
    let collected = ask(server.addr()).await.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-sum"], "1");
    assert_eq!(collected.to_bytes(), "{ }");
}

#[tokio::test]
async fn fault_67_an_empty_success_is_a_failure_where_an_answer_was_asked_for() {
    for status in ["200 OK", "204 No Content"] {
        let empty = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let wire = Wire::new().request().write(empty.clone());
        let server = WireServer::start([wire]).await.unwrap();
        let answer = ask(server.addr()).await;
        assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
        let expected = (Class::ServerError, Cause::Upstream, Sent::Yes, "upstream_empty");
        assert_eq!(failure(&answer), expected);
        // What nobody reads may be empty.
        let request = post(server.addr(), "/v1/files/f_1").body(Body::empty()).unwrap();
        let answer = Upstream::new().oneshot(request).await.unwrap();
        assert!(answer.status().is_success());
    }
}

#[tokio::test]
async fn a_request_body_that_breaks_off_is_the_senders_fault() {
    let server = WireServer::start([Wire::new().request().stall()]).await.unwrap();
    let body = Script::frames(["{", "\"a\""]).reset().body();
    let request = post(server.addr(), "/v1/x").body(body).unwrap();
    let answer = Upstream::new().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert_eq!(answer.extensions().get::<Refusal>().unwrap().code, Some("body_incomplete"));
}

#[tokio::test]
async fn without_a_target_nobody_is_asked() {
    let request = Request::post("/v1/x").body(Body::from("{}")).unwrap();
    let answer = Upstream::new().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert!(answer.extensions().get::<Refusal>().is_some());
}

#[tokio::test]
async fn bodies_keep_the_body_contract() {
    let fake = Fake::always(Answer::sse(Script::new("data: 1\n\ndata: 2\n\n").split_every(4)));
    let (addr, _guard) = fake.serve().await.unwrap();
    let seen = tollgate_testkit::transcript(ask(addr).await.into_body()).await;
    assert_eq!(seen.data(), "data: 1\n\ndata: 2\n\n");
    let own = ask(refused_addr().unwrap()).await.into_body();
    assert!(!tollgate_testkit::transcript(own).await.data().is_empty());
}

#[tokio::test]
async fn connections_are_kept() {
    let wire = Wire::new().request().write(KEPT).request().write(KEPT);
    let server = WireServer::start([wire]).await.unwrap();
    let upstream = Upstream::new();
    for _ in 0..2 {
        let request = post(server.addr(), "/v1/x").body(Body::from("{}")).unwrap();
        assert_eq!(text(upstream.clone().oneshot(request).await.unwrap()).await, "{}");
    }
    assert_eq!(server.connections().len(), 1);
}

#[tokio::test]
async fn a_connection_nobody_uses_is_closed_after_its_time() {
    let server = WireServer::start([Wire::new().request().write(KEPT).stall()]).await.unwrap();
    let upstream = Upstream::builder().idle_timeout(Duration::from_millis(50)).build();
    let request = post(server.addr(), "/v1/x").body(Body::from("{}")).unwrap();
    assert_eq!(text(upstream.clone().oneshot(request).await.unwrap()).await, "{}");
    let closed = tokio::time::timeout(Duration::from_secs(5), server.peer_closed(0)).await;
    closed.expect("closed while the upstream is still there");
    drop(upstream);
}

#[tokio::test]
async fn no_more_connections_are_kept_than_allowed() {
    let wire = || Wire::new().request().write(KEPT).stall();
    let server = WireServer::start([wire(), wire()]).await.unwrap();
    let upstream = Upstream::builder().max_idle_per_host(1).build();
    let ask = || {
        let request = post(server.addr(), "/v1/x").body(Body::from("{}")).unwrap();
        upstream.clone().oneshot(request)
    };
    let (one, other) = tokio::join!(ask(), ask());
    let (one, other) = tokio::join!(text(one.unwrap()), text(other.unwrap()));
    assert_eq!((&*one, &*other), ("{}", "{}"));
    tokio::select! {
        () = server.peer_closed(0) => {}
        () = server.peer_closed(1) => {}
        () = tokio::time::sleep(Duration::from_secs(5)) => panic!("both were kept"),
    }
}

#[tokio::test]
async fn a_connection_that_says_it_closes_is_not_kept() {
    let closing = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
    let wires = [Wire::new().request().write(closing).stall(), Wire::json(200, "{}")];
    let server = WireServer::start(wires).await.unwrap();
    let upstream = Upstream::new();
    for _ in 0..2 {
        let request = post(server.addr(), "/v1/x").body(Body::from("{}")).unwrap();
        assert_eq!(text(upstream.clone().oneshot(request).await.unwrap()).await, "{}");
    }
    assert_eq!(server.connections().len(), 2);
}

/// Answers with a head at once, and with a body when it has the whole of the upload.
async fn answer_before_the_upload_is_there(mut socket: TcpStream) {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        read.push(socket.read_u8().await.unwrap());
    }
    socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n").await.unwrap();
    while !read.ends_with(b"\r\n0\r\n\r\n") {
        read.push(socket.read_u8().await.unwrap());
    }
    socket.write_all(b"{}").await.unwrap();
    let upload = String::from_utf8(read).unwrap();
    assert!(upload.ends_with("1\r\n[\r\n1\r\n1\r\n1\r\n]\r\n0\r\n\r\n"), "{upload}");
}

#[tokio::test]
async fn an_upload_goes_on_while_the_answer_is_read() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        answer_before_the_upload_is_there(socket).await;
    });
    let body = Script::frames(["[", "1", "]"]).pace(Duration::from_millis(100)).body();
    let request = post(addr, "/v1/files").body(body).unwrap();
    let answer = Upstream::new().oneshot(request).await.unwrap();
    assert_eq!(tokio::time::timeout(Duration::from_secs(10), text(answer)).await.unwrap(), "{}");
    server.await.unwrap();
}

#[tokio::test]
async fn who_reads_a_stream_is_woken_once_for_what_comes_together() {
    let wire = Wire::sse().chunk(b"data: 1\n\n").wait(Duration::from_millis(500));
    let server = WireServer::start([wire.chunk(b"data: 2\n\n").stall()]).await.unwrap();
    let mut body = ask(server.addr()).await.into_body();
    body.frame().await.unwrap().unwrap();
    let mut reading = tokio_test::task::spawn(body);
    assert!(reading.enter(|cx, body| body.poll_frame(cx)).is_pending());
    assert!(!reading.is_woken(), "nothing came");
    while !reading.is_woken() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let frame = reading.enter(|cx, body| body.poll_frame(cx));
    let Poll::Ready(Some(Ok(frame))) = frame else { panic!("nothing came") };
    assert_eq!(frame.into_data().unwrap(), "data: 2\n\n");
    assert!(reading.enter(|cx, body| body.poll_frame(cx)).is_pending());
    assert!(!reading.is_woken(), "by what it has read");
}

#[tokio::test]
async fn serves_an_axum_router_as_its_fallback() {
    let (addr, _guard) = Fake::always(Answer::json(200, "{\"a\":1}")).serve().await.unwrap();
    let upstream = Upstream::builder().target(target(addr, Protocol::OpenAiChat)).build();
    let app: axum::Router = axum::Router::new().fallback_service(upstream);
    let request = Request::post("/v1/chat/completions").body(axum::body::Body::from("{}"));
    let answer = app.oneshot(request.unwrap()).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), Bytes::from("{\"a\":1}"));
}

#[test]
fn everything_can_be_sent_and_shared() {
    fn check<T: Send + Sync + Clone + std::fmt::Debug + 'static>(_: &T) {}
    check(&Upstream::builder());
    fn send<T: Send + std::fmt::Debug + 'static>() {}
    send::<Upstream>();
    send::<tollgate_upstream::ResponseFuture>();
    send::<UpstreamBody>();
}
