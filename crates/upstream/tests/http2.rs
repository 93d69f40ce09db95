//! The leaf over HTTP/2: streams, refusals, limits.

#![allow(clippy::unwrap_used)]

mod peer;

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, RecvStream, server::SendResponse};
use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Barrier, Notify},
};
use tokio_rustls::server::TlsStream;
use tollgate_core::{Body, Failure, Sent};
use tollgate_upstream::{Builder, Proxies, Upstream, UpstreamBody};
use tower::ServiceExt;

use self::peer::{Authority, listen, target};

const PATIENT: Duration = Duration::from_secs(30);

type Answering = SendResponse<Bytes>;

/// Listens with HTTP/2 and gives each request to `serve`: the number of its connection, and how
/// to answer.
async fn serve<F>(
    authority: &Authority,
    streams: u32,
    serve: impl Fn(usize, Request<RecvStream>, Answering) -> F + Send + Sync + 'static,
) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let serve = Arc::new(serve);
    listen(authority.issue("127.0.0.1").http2(), move |n, tls| {
        accept(n, tls, streams, serve.clone())
    })
    .await
}

async fn accept<F>(
    n: usize,
    tls: TlsStream<TcpStream>,
    streams: u32,
    serve: Arc<impl Fn(usize, Request<RecvStream>, Answering) -> F + Send + Sync + 'static>,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut builder = h2::server::Builder::new();
    let handshake = builder.max_concurrent_streams(streams).handshake(tls).await;
    // Before ALPN is known several requests connect; what turns out to be superfluous is closed.
    let Ok(mut connection) = handshake else { return };
    while let Some(Ok((request, answer))) = connection.accept().await {
        tokio::spawn(serve(n, request, answer));
    }
}

fn fine(mut answer: Answering, text: &'static str) {
    let mut stream = answer.send_response(Response::new(()), false).unwrap();
    stream.send_data(Bytes::from_static(text.as_bytes()), true).unwrap();
}

fn builder(authority: &Authority) -> Builder {
    let builder = Upstream::builder().connect_deadline(PATIENT).proxy(Proxies::none());
    builder.extra_ca(authority.pem()).unwrap()
}

async fn ask(upstream: &Upstream, addr: SocketAddr) -> Response<UpstreamBody> {
    let request = Request::post("/v1/x").extension(target(&addr.to_string()));
    upstream.clone().oneshot(request.body(Body::from("{}")).unwrap()).await.unwrap()
}

async fn text(answer: Response<UpstreamBody>) -> String {
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn requests_share_a_connection_and_streams_come_frame_by_frame() {
    let authority = Authority::new();
    let go_on = Arc::new(Notify::new());
    let wait = go_on.clone();
    let addr = serve(&authority, 100, move |n, request, mut answer| {
        let wait = wait.clone();
        async move {
            assert_eq!((n, request.uri().path()), (0, "/v1/x"));
            let mut stream = answer.send_response(Response::new(()), false).unwrap();
            stream.send_data(Bytes::from_static(b"data: 1\n\n"), false).unwrap();
            wait.notified().await;
            stream.send_data(Bytes::from_static(b"data: 2\n\n"), true).unwrap();
        }
    })
    .await;
    let upstream = builder(&authority).build();
    for _ in 0..2 {
        let mut body = ask(&upstream, addr).await.into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "data: 1\n\n");
        go_on.notify_one();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "data: 2\n\n");
    }
}

#[tokio::test]
async fn a_shared_connection_nobody_uses_is_closed_after_its_time() {
    let authority = Authority::new();
    let closed = Arc::new(Notify::new());
    let close = closed.clone();
    let config = authority.issue("127.0.0.1").http2();
    let addr = listen(config, move |n, tls| {
        let close = close.clone();
        async move {
            let serve = |n, _, answer| async move { fine(answer, ["first", "second"][n]) };
            accept(n, tls, 100, Arc::new(serve)).await;
            close.notify_one();
        }
    })
    .await;
    let upstream = builder(&authority).idle_timeout(Duration::from_secs(1)).build();
    assert_eq!(text(ask(&upstream, addr).await).await, "first");
    assert_eq!(text(ask(&upstream, addr).await).await, "first");
    tokio::time::timeout(PATIENT, closed.notified()).await.expect("closed");
    assert_eq!(text(ask(&upstream, addr).await).await, "second");
}

#[tokio::test]
async fn fault_38_dropping_the_body_cancels_the_stream() {
    let authority = Authority::new();
    let cancelled = Arc::new(Notify::new());
    let told = cancelled.clone();
    let addr = serve(&authority, 100, move |_, _, mut answer| {
        let told = told.clone();
        async move {
            let mut stream = answer.send_response(Response::new(()), false).unwrap();
            stream.send_data(Bytes::from_static(b"data: 1\n\n"), false).unwrap();
            let reset = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
            assert_eq!(reset.unwrap(), Reason::CANCEL);
            told.notify_one();
        }
    })
    .await;
    let upstream = builder(&authority).build();
    let mut body = ask(&upstream, addr).await.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    let in_time = tokio::time::timeout(Duration::from_millis(200), cancelled.notified()).await;
    in_time.expect("cancelled within 200 ms");
}

#[tokio::test]
async fn fault_07_a_refused_stream_is_sent_again() {
    let authority = Authority::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let addr = serve(&authority, 100, move |_, _, mut answer| {
        let first = count.fetch_add(1, SeqCst) == 0;
        async move {
            if first { answer.send_reset(Reason::REFUSED_STREAM) } else { fine(answer, "again") }
        }
    })
    .await;
    assert_eq!(text(ask(&builder(&authority).build(), addr).await).await, "again");
    assert_eq!(asked.load(SeqCst), 2);
}

#[tokio::test]
async fn a_stream_refused_twice_is_a_failure_that_says_nothing_was_sent() {
    let authority = Authority::new();
    let addr = serve(&authority, 100, |_, _, mut answer| async move {
        answer.send_reset(Reason::REFUSED_STREAM);
    })
    .await;
    let answer = ask(&builder(&authority).build(), addr).await;
    assert_eq!(answer.extensions().get::<Failure>().unwrap().sent, Sent::No);
}

#[tokio::test]
async fn a_stream_that_may_have_been_processed_is_never_sent_again() {
    let authority = Authority::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let addr = serve(&authority, 100, move |_, _, mut answer| {
        count.fetch_add(1, SeqCst);
        async move { answer.send_reset(Reason::INTERNAL_ERROR) }
    })
    .await;
    let answer = ask(&builder(&authority).build(), addr).await;
    assert_eq!(answer.extensions().get::<Failure>().unwrap().sent, Sent::Maybe);
    assert_eq!(asked.load(SeqCst), 1);
}

/// Speaks HTTP/2 by hand until a request's head came, then says that it was not processed.
async fn go_away(mut tls: TlsStream<TcpStream>) {
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    const SETTINGS_ACK: &[u8] = &[0, 0, 0, 4, 1, 0, 0, 0, 0];
    const GOAWAY_AFTER_NONE: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const HEADERS: u8 = 1;
    tls.write_all(&[SETTINGS, SETTINGS_ACK].concat()).await.unwrap();
    tls.read_exact(&mut [0; 24]).await.unwrap();
    loop {
        let mut head = [0; 9];
        tls.read_exact(&mut head).await.unwrap();
        let len = usize::from(head[1]) << 8 | usize::from(head[2]);
        tls.read_exact(&mut vec![0; len]).await.unwrap();
        if head[3] == HEADERS {
            break;
        }
    }
    tls.write_all(GOAWAY_AFTER_NONE).await.unwrap();
    tls.flush().await.unwrap();
    let _ = tls.read_to_end(&mut Vec::new()).await;
}

#[tokio::test]
async fn fault_07_a_request_beyond_a_goaway_is_sent_again_on_a_new_connection() {
    let authority = Authority::new();
    let config = authority.issue("127.0.0.1").http2();
    let addr = listen(config, |n, tls| async move {
        if n == 0 {
            return go_away(tls).await;
        }
        let serve = |_, _, answer| async { fine(answer, "moved") };
        accept(n, tls, 100, Arc::new(serve)).await;
    })
    .await;
    assert_eq!(text(ask(&builder(&authority).build(), addr).await).await, "moved");
}

#[tokio::test]
async fn fault_07_beyond_the_limit_of_streams_another_connection_is_opened() {
    let authority = Authority::new();
    // Nobody is answered before all have arrived: a queue would wait for ever.
    let (all, used) = (Arc::new(Barrier::new(6)), Arc::new(Mutex::new(BTreeSet::new())));
    let using = used.clone();
    let addr = serve(&authority, 2, move |n, _, answer| {
        using.lock().unwrap().insert(n);
        let all = all.clone();
        async move {
            all.wait().await;
            fine(answer, "ok");
        }
    })
    .await;
    let upstream = builder(&authority).streams_per_connection(2).build();
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let upstream = upstream.clone();
        asking.spawn(async move { text(ask(&upstream, addr).await).await });
    }
    let answers = tokio::time::timeout(PATIENT, asking.join_all()).await.expect("no queue");
    assert_eq!(answers, ["ok"; 6]);
    assert_eq!(used.lock().unwrap().len(), 3, "connections of two streams");
}

#[tokio::test]
async fn beyond_what_an_upstream_allows_on_a_connection_requests_wait_and_are_answered() {
    let authority = Authority::new();
    let addr = serve(&authority, 1, |_, _, answer| async move {
        tokio::task::yield_now().await;
        fine(answer, "ok");
    })
    .await;
    let upstream = builder(&authority).build();
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let upstream = upstream.clone();
        asking.spawn(async move { text(ask(&upstream, addr).await).await });
    }
    assert_eq!(asking.join_all().await, ["ok"; 8]);
}
