//! Faults below HTTP: the real leaf, connected through memory to what writes raw bytes.

use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use tollgate_core::Class;
use tollgate_testkit::{Wire, WireConnector};
use tollgate_upstream::{Builder, Upstream};

use crate::{
    gateway::{Seen, Setup, ask, read},
    judge::{broken, failed, unchanged},
    lane::{Kind, Lane},
};

async fn over(lane: Lane, memory: &WireConnector) -> Seen {
    through(lane, &Upstream::builder().build_on(memory.clone())).await
}

async fn through(lane: Lane, upstream: &Upstream<WireConnector>) -> Seen {
    read(ask(lane, Setup::default(), upstream.clone()).await).await
}

/// A connection that answers its first request with these bytes and then closes.
fn says(answer: impl Into<Bytes>) -> Wire {
    Wire::new().request().write(answer)
}

/// A whole answer of the lane's type and this length.
fn answer(lane: Lane, body: &[u8], headers: &str) -> Vec<u8> {
    let (content_type, len) = (lane.content_type(), body.len());
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {len}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

pub(crate) async fn connect_refused(lane: Lane) {
    let seen = over(lane, &WireConnector::queue([])).await;
    failed(lane, &seen, Class::Connect, "upstream_connect");
    assert!(!seen.text().contains("upstream.test"), "{lane}: no internal address is told");
}

pub(crate) async fn stale_connection(lane: Lane) {
    let whole = answer(lane, lane.whole().as_bytes(), "");
    let memory = WireConnector::queue([says(whole.clone()), says(whole.clone())]);
    let upstream = Upstream::builder().build_on(memory.clone());
    for connections in [1, 2] {
        unchanged(lane, &through(lane, &upstream).await, &lane.whole());
        assert_eq!(
            memory.asked().len(),
            connections,
            "{lane}: closed while unused, replaced unseen"
        );
    }
    // Closed after the request had been sent: it may have been processed, so it is not repeated.
    let memory = WireConnector::queue([says(whole.clone()).request(), says(whole)]);
    let upstream = Upstream::builder().build_on(memory.clone());
    unchanged(lane, &through(lane, &upstream).await, &lane.whole());
    failed(lane, &through(lane, &upstream).await, Class::ServerError, "upstream_reset");
    assert_eq!(memory.asked().len(), 1, "{lane}: nobody else was asked");
}

pub(crate) async fn broken_head(lane: Lane) {
    for (head, code) in [
        ("HTTP/1.1 200 OK\r\ncontent-ty", "upstream_reset"),
        ("", "upstream_reset"),
        ("\u{16}\u{3}\u{1} no status line\r\n\r\n", "upstream_protocol"),
        ("HTTP/1.1 2x0 OK\r\n\r\n", "upstream_protocol"),
        ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "upstream_protocol"),
    ] {
        let seen = over(lane, &WireConnector::queue([says(head)])).await;
        failed(lane, &seen, Class::ServerError, code);
    }
}

pub(crate) async fn gzip_bomb(lane: Lane) {
    let small = Builder::default().decoded_limit(1 << 16);
    let begun = match lane.kind {
        Kind::Json => "{\"a\":\"".to_owned(),
        _ => [lane.start(), lane.content()].concat(),
    };
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(begun.as_bytes()).expect("into memory");
    gzip.flush().expect("into memory");
    (0..1 << 10).for_each(|_| gzip.write_all(&[b' '; 1 << 13]).expect("into memory"));
    let bomb = gzip.finish().expect("into memory");
    assert!(bomb.len() < 1 << 14, "8 MiB in {} bytes", bomb.len());
    let bomb = answer(lane, &bomb, "content-encoding: gzip\r\n");
    let seen = through(lane, &small.build_on(WireConnector::queue([says(bomb)]))).await;
    match lane.kind {
        Kind::Json => failed(lane, &seen, Class::ServerError, "upstream_too_large"),
        _ => broken(lane, &seen, &begun, Class::ServerError, "upstream_too_large"),
    }
}

pub(crate) async fn informational(lane: Lane) {
    let whole = answer(lane, lane.whole().as_bytes(), "");
    let before = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
    let seen = over(lane, &WireConnector::queue([says([&before[..], &whole].concat())])).await;
    unchanged(lane, &seen, &lane.whole());
}

pub(crate) async fn redirect(lane: Lane) {
    let whole = answer(lane, lane.whole().as_bytes(), "");
    for status in [301, 302, 303, 307, 308] {
        let redirect = format!(
            "HTTP/1.1 {status} X\r\nlocation: http://elsewhere.test/\r\ncontent-length: 0\r\n\r\n"
        );
        let memory = WireConnector::queue([says(redirect), says(whole.clone())]);
        let seen = over(lane, &memory).await;
        failed(lane, &seen, Class::ServerError, "upstream_redirect");
        assert!(!format!("{:?}{}", seen.headers, seen.text()).contains("elsewhere"), "{lane}");
        assert_eq!(memory.asked().len(), 1, "{lane}: nobody was asked again");
    }
}

pub(crate) async fn chunk_extensions_and_trailers(lane: Lane) {
    let (whole, content_type) = (lane.whole(), lane.content_type());
    let (first, second) = whole.as_bytes().split_at(20);
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\
         trailer: x-sum\r\n\r\n{:x};name=value;x\r\n",
        first.len()
    );
    let next = format!("\r\n{:X} ; y=\"z\"\r\n", second.len());
    let end = b"\r\n0;last\r\nx-sum: 1\r\n\r\n";
    let bytes = [head.as_bytes(), first, next.as_bytes(), second, end].concat();
    let seen = over(lane, &WireConnector::queue([says(bytes)])).await;
    unchanged(lane, &seen, &whole);
}

pub(crate) async fn empty_200(lane: Lane) {
    let nothing_came = if lane.streams() { "upstream_truncated" } else { "upstream_bad_answer" };
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        lane.content_type()
    );
    let announced = (answer(lane, b"", ""), "upstream_empty");
    for (bytes, code) in [announced, (chunked.into_bytes(), nothing_came)] {
        let seen = over(lane, &WireConnector::queue([says(bytes)])).await;
        failed(lane, &seen, Class::ServerError, code);
    }
}
