//! Whom the leaf trusts, and through whom it connects.

#![allow(clippy::unwrap_used)]

mod peer;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::server::TlsStream;
use tollgate_core::{Body, Cause, Class, Failure, Protocol, Sent, Target};
use tollgate_testkit::{Wire, WireServer};
use tollgate_upstream::{Builder, InvalidPem, Proxies, Upstream, UpstreamBody};
use tower::ServiceExt;

use self::peer::{Authority, listen, target};

/// Long enough for any handshake on a busy machine.
const PATIENT: Duration = Duration::from_secs(30);

fn builder() -> Builder {
    Upstream::builder().connect_deadline(PATIENT).proxy(Proxies::none())
}

async fn ask(upstream: Upstream, target: Arc<Target>) -> Response<UpstreamBody> {
    let request = Request::post("/v1/x").extension(target).body(Body::from("{}")).unwrap();
    upstream.oneshot(request).await.unwrap()
}

async fn text(answer: Response<UpstreamBody>) -> String {
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Answers one request over HTTP/1.1.
async fn answer(_: usize, mut tls: TlsStream<TcpStream>) {
    let mut seen = Vec::new();
    while !seen.ends_with(b"{}") {
        if !matches!(tls.read_buf(&mut seen).await, Ok(1..)) {
            return;
        }
    }
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
    let _ = tls.write_all(answer).await;
    let _ = tls.shutdown().await;
}

async fn assert_distrusted(upstream: Upstream, addr: SocketAddr, secret: &str) {
    let answer = ask(upstream, target(&addr.to_string())).await;
    let failure = answer.extensions().get::<Failure>().expect("a failure").clone();
    assert_eq!((failure.class, failure.cause), (Class::Connect, Cause::Connect));
    assert_eq!((failure.sent, failure.code), (Sent::No, Some("upstream_tls")));
    let shown = text(answer).await;
    assert!(!shown.contains("127.0.0.1") && !shown.contains("BEGIN"), "{shown}");
    let body: String = secret.lines().filter(|line| !line.starts_with('-')).collect();
    assert!(body.len() > 40 && !shown.contains(&body[..20]), "{shown}");
}

#[tokio::test]
async fn fault_03_an_unknown_authority_is_not_trusted_until_it_is_added() {
    let authority = Authority::new();
    let server = authority.issue("127.0.0.1");
    let addr = listen(server.server(), answer).await;
    assert_distrusted(builder().build(), addr, &server.key).await;
    let knowing = builder().extra_ca(authority.pem()).unwrap().build();
    assert_eq!(text(ask(knowing, target(&addr.to_string())).await).await, "{}");
}

#[tokio::test]
async fn fault_03_an_expired_certificate_is_not_trusted() {
    let authority = Authority::new();
    let server = authority.issue_expired("127.0.0.1");
    let addr = listen(server.server(), answer).await;
    let upstream = builder().extra_ca(authority.pem()).unwrap().build();
    assert_distrusted(upstream, addr, &server.key).await;
}

#[tokio::test]
async fn fault_03_a_certificate_for_another_name_is_not_trusted() {
    let authority = Authority::new();
    let server = authority.issue("other.test");
    let addr = listen(server.server(), answer).await;
    let upstream = builder().extra_ca(authority.pem()).unwrap().build();
    assert_distrusted(upstream, addr, &server.key).await;
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_who_asks_for_it() {
    let authority = Authority::new();
    let (server, client) = (authority.issue("127.0.0.1"), authority.issue("gateway"));
    let addr = listen(authority.wants_clients(&server), answer).await;
    let unknown = builder().extra_ca(authority.pem()).unwrap();
    let known = unknown.clone().client_certificate(&client.chain, &client.key).unwrap();
    assert_eq!(text(ask(known.build(), target(&addr.to_string())).await).await, "{}");
    assert_distrusted(unknown.build(), addr, &client.key).await;
}

#[test]
fn what_is_no_pem_is_refused_without_being_repeated() {
    let authority = Authority::new();
    let (one, other) = (authority.issue("a"), authority.issue("b"));
    for (result, expected) in [
        (builder().extra_ca("nonsense"), InvalidPem::Certificate),
        (builder().extra_ca(&one.key), InvalidPem::Certificate),
        (builder().client_certificate(&one.chain, &one.chain), InvalidPem::Key),
        (builder().client_certificate(&one.chain, &other.key), InvalidPem::Pair),
    ] {
        assert_eq!(result.err(), Some(expected));
    }
    let known = builder().client_certificate(&one.chain, &one.key).unwrap();
    let shown = format!("{known:?}");
    assert!(!shown.contains("BEGIN") && !shown.contains("key"), "{shown}");
}

/// A proxy that connects everybody to `to` and keeps the heads it was sent.
async fn connecting_proxy(to: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = heads.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await.unwrap());
            }
            seen.lock().unwrap().push(String::from_utf8(head).unwrap());
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let mut server = TcpStream::connect(to).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        }
    });
    (addr, heads)
}

#[tokio::test]
async fn an_https_upstream_is_reached_through_a_tunnel() {
    let authority = Authority::new();
    let addr = listen(authority.issue("upstream.test").server(), answer).await;
    let (proxy, heads) = connecting_proxy(addr).await;
    let proxies = Proxies::new(&format!("http://u:p@{proxy}"), "").unwrap();
    let upstream = builder().extra_ca(authority.pem()).unwrap().proxy(proxies).build();
    assert_eq!(text(ask(upstream, target("upstream.test")).await).await, "{}");
    let heads = heads.lock().unwrap();
    assert!(heads[0].starts_with("CONNECT upstream.test:443 HTTP/1.1\r\n"), "{heads:?}");
    assert!(heads[0].contains("Proxy-Authorization: Basic dTpw\r\n"), "{heads:?}");
}

#[tokio::test]
async fn an_http_upstream_is_asked_for_by_its_whole_url() {
    let proxy = WireServer::start([Wire::json(200, "{\"a\":1}")]).await.unwrap();
    let proxies = Proxies::new(&format!("http://u:p@{}", proxy.addr()), "").unwrap();
    let base = "http://upstream.test/v1".parse().unwrap();
    let target = Arc::new(Target::new("fake", Protocol::OpenAiChat, "m", base));
    assert_eq!(text(ask(builder().proxy(proxies).build(), target).await).await, "{\"a\":1}");
    let seen = String::from_utf8(proxy.connections()[0].read.clone()).unwrap();
    assert!(seen.starts_with("POST http://upstream.test/v1/x HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains("proxy-authorization: Basic dTpw\r\n"), "{seen}");
}

#[tokio::test]
async fn a_proxy_that_says_no_is_a_connect_failure_that_shows_no_password() {
    for wire in [Wire::json(407, "{}"), Wire::json(403, "{}"), Wire::reset_on_accept()] {
        let proxy = WireServer::start([wire]).await.unwrap();
        let proxies = Proxies::new(&format!("http://u:hidden@{}", proxy.addr()), "").unwrap();
        let answer = ask(builder().proxy(proxies).build(), target("upstream.test")).await;
        let failure = answer.extensions().get::<Failure>().expect("a failure");
        assert_eq!((failure.class, failure.sent), (Class::Connect, Sent::No));
        assert_eq!(failure.code, Some("upstream_proxy"));
        assert!(!text(answer).await.contains("hidden"));
    }
}

#[tokio::test]
async fn a_socks_proxy_resolves_names_itself() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let proxies =
        Proxies::new(&format!("socks5://{}", listener.local_addr().unwrap()), "").unwrap();
    let serving = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut greeting = [0; 3];
        client.read_exact(&mut greeting).await.unwrap();
        assert_eq!(greeting, [5, 1, 0]);
        client.write_all(&[5, 0]).await.unwrap();
        let mut asked = vec![0; 5 + 13 + 2];
        client.read_exact(&mut asked).await.unwrap();
        client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0]).await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"{}") {
            client.read_buf(&mut request).await.unwrap();
        }
        client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]").await.unwrap();
        (asked, request)
    });
    let base = "http://upstream.test/v1".parse().unwrap();
    let target = Arc::new(Target::new("fake", Protocol::OpenAiChat, "m", base));
    assert_eq!(text(ask(builder().proxy(proxies).build(), target).await).await, "[]");
    let (asked, request) = serving.await.unwrap();
    assert_eq!(asked, [&[5, 1, 0, 3, 13], &b"upstream.test"[..], &[0, 80]].concat());
    assert!(request.starts_with(b"POST /v1/x HTTP/1.1\r\n"));
}
