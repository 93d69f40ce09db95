//! Faults below HTTP: the real leaf, connected through memory to what writes raw bytes.

use std::{
    collections::VecDeque,
    future::{Ready, ready},
    io::{self, Write as _},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use flate2::{Compression, write::GzEncoder};
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tollgate_core::Class;
use tollgate_upstream::{Builder, Upstream};
use tower::Service;

use crate::{
    gateway::{Seen, Setup, ask, read},
    judge::{broken, failed, unchanged},
    lane::{Kind, Lane},
};

/// Opens connections in memory; the n-th gives each of its requests the next of its answers and
/// then closes. Where none are left, connecting is refused.
#[derive(Clone, Debug)]
struct Memory {
    connections: Arc<Mutex<VecDeque<Vec<Vec<u8>>>>>,
}

impl Memory {
    fn new<const N: usize>(connections: [Vec<Vec<u8>>; N]) -> Self {
        Self { connections: Arc::new(Mutex::new(connections.into())) }
    }

    fn left(&self) -> usize {
        self.connections.lock().expect("nobody panics while holding this lock").len()
    }
}

impl Service<Uri> for Memory {
    type Response = Pipe;
    type Error = io::Error;
    type Future = Ready<io::Result<Pipe>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let mut connections = self.connections.lock().expect("as above");
        let Some(answers) = connections.pop_front() else {
            return ready(Err(io::ErrorKind::ConnectionRefused.into()));
        };
        let (near, far) = duplex(1 << 16);
        tokio::spawn(play(far, answers));
        ready(Ok(pipe(near)))
    }
}

async fn play(mut far: DuplexStream, answers: Vec<Vec<u8>>) {
    for answer in answers {
        let mut request = Vec::new();
        while !is_whole(&request) {
            match far.read_buf(&mut request).await {
                Ok(1..) => {}
                _ => return,
            }
        }
        if far.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// Whether a request's head and its `content-length` bytes are there.
pub(crate) fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| body.len() >= length)
}

/// One end of a connection in memory.
#[derive(Debug)]
pub(crate) struct Pipe(TokioIo<DuplexStream>);

/// An end of a connection as the client's own.
pub(crate) fn pipe(near: DuplexStream) -> Pipe {
    Pipe(TokioIo::new(near))
}

impl Connection for Pipe {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl Write for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

async fn over(lane: Lane, memory: &Memory) -> Seen {
    through(lane, &Upstream::builder().build_on(memory.clone())).await
}

async fn through(lane: Lane, upstream: &Upstream<Memory>) -> Seen {
    read(ask(lane, Setup::default(), upstream.clone()).await).await
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
    let seen = over(lane, &Memory::new([])).await;
    failed(lane, &seen, Class::Connect, "upstream_connect");
    assert!(!seen.text().contains("upstream.test"), "{lane}: no internal address is told");
}

pub(crate) async fn stale_connection(lane: Lane) {
    let whole = answer(lane, lane.whole().as_bytes(), "");
    let memory = Memory::new([vec![whole.clone()], vec![whole.clone()]]);
    let upstream = Upstream::builder().build_on(memory.clone());
    for left in [1, 0] {
        unchanged(lane, &through(lane, &upstream).await, &lane.whole());
        assert_eq!(memory.left(), left, "{lane}: closed while unused, replaced unseen");
    }
    // Closed after the request had been sent: it may have been processed, so it is not repeated.
    let memory = Memory::new([vec![whole.clone(), Vec::new()], vec![whole]]);
    let upstream = Upstream::builder().build_on(memory.clone());
    unchanged(lane, &through(lane, &upstream).await, &lane.whole());
    failed(lane, &through(lane, &upstream).await, Class::ServerError, "upstream_reset");
    assert_eq!(memory.left(), 1, "{lane}: nobody else was asked");
}

pub(crate) async fn broken_head(lane: Lane) {
    for (head, code) in [
        ("HTTP/1.1 200 OK\r\ncontent-ty", "upstream_reset"),
        ("", "upstream_reset"),
        ("\u{16}\u{3}\u{1} no status line\r\n\r\n", "upstream_protocol"),
        ("HTTP/1.1 2x0 OK\r\n\r\n", "upstream_protocol"),
        ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "upstream_protocol"),
    ] {
        let seen = over(lane, &Memory::new([vec![head.into()]])).await;
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
    let seen = through(lane, &small.build_on(Memory::new([vec![bomb]]))).await;
    match lane.kind {
        Kind::Json => failed(lane, &seen, Class::ServerError, "upstream_too_large"),
        _ => broken(lane, &seen, &begun, Class::ServerError, "upstream_too_large"),
    }
}

pub(crate) async fn informational(lane: Lane) {
    let whole = answer(lane, lane.whole().as_bytes(), "");
    let before = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
    let seen = over(lane, &Memory::new([vec![[&before[..], &whole].concat()]])).await;
    unchanged(lane, &seen, &lane.whole());
}

pub(crate) async fn redirect(lane: Lane) {
    let whole = answer(lane, lane.whole().as_bytes(), "");
    for status in [301, 302, 303, 307, 308] {
        let redirect = format!(
            "HTTP/1.1 {status} X\r\nlocation: http://elsewhere.test/\r\ncontent-length: 0\r\n\r\n"
        );
        let memory = Memory::new([vec![redirect.into()], vec![whole.clone()]]);
        let seen = over(lane, &memory).await;
        failed(lane, &seen, Class::ServerError, "upstream_redirect");
        assert!(!format!("{:?}{}", seen.headers, seen.text()).contains("elsewhere"), "{lane}");
        assert_eq!(memory.left(), 1, "{lane}: nobody was asked again");
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
    let seen = over(lane, &Memory::new([vec![bytes]])).await;
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
        let seen = over(lane, &Memory::new([vec![bytes]])).await;
        failed(lane, &seen, Class::ServerError, code);
    }
}
