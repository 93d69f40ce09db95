use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

#[derive(Clone, Debug)]
enum Step {
    Read,
    Head,
    Write(Bytes),
    Wait(Duration),
    Stall,
    Reset,
}

/// What one connection plays, byte by byte. Without an ending it closes in order (FIN).
///
/// ```
/// use tollgate_testkit::{Wire, WireServer};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// let broken = Wire::new().request().write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc");
/// let server = WireServer::start([broken, Wire::reset_on_accept()]).await?;
/// assert!(server.addr().ip().is_loopback());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Wire(Vec<Step>);

impl Wire {
    /// Closes at once.
    pub fn new() -> Self {
        Self::default()
    }

    /// Then reads a whole request: head and `content-length` body, or chunks to the last one.
    pub fn request(self) -> Self {
        self.push(Step::Read)
    }

    /// Then reads only the head of a request.
    pub fn head(self) -> Self {
        self.push(Step::Head)
    }

    /// Then writes these bytes in one write.
    pub fn write(self, bytes: impl Into<Bytes>) -> Self {
        self.push(Step::Write(bytes.into()))
    }

    /// Then writes these bytes, `n` at a time with a pause between.
    pub fn dribble(self, bytes: impl Into<Bytes>, n: usize, pause: Duration) -> Self {
        let bytes = bytes.into();
        let parts = bytes.chunks(n.max(1)).map(|part| bytes.slice_ref(part));
        parts.fold(self, |wire, part| wire.write(part).wait(pause))
    }

    /// Then writes these bytes as one chunk of a chunked body. No bytes: the last chunk.
    pub fn chunk(self, bytes: &[u8]) -> Self {
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend_from_slice(bytes);
        chunk.extend_from_slice(b"\r\n");
        self.write(chunk)
    }

    /// Then waits.
    pub fn wait(self, pause: Duration) -> Self {
        self.push(Step::Wait(pause))
    }

    /// Then keeps the connection open without a byte until the peer closes it.
    pub fn stall(self) -> Self {
        self.push(Step::Stall)
    }

    /// Then resets the connection (RST); one in memory just ends.
    pub fn reset(self) -> Self {
        self.push(Step::Reset)
    }

    /// Accepts and resets before a byte is read.
    pub fn reset_on_accept() -> Self {
        Self::new().reset()
    }

    /// Reads the request, writes half a head and resets.
    pub fn reset_in_head() -> Self {
        Self::new().request().write("HTTP/1.1 200 OK\r\ncontent-ty").wait(SETTLE).reset()
    }

    /// Reads the request and answers with what is no HTTP.
    pub fn garbage() -> Self {
        Self::new().request().write("\x16\x03\x01 not a status line\r\n\r\n")
    }

    /// Reads the request, answers a whole JSON answer of this status and closes.
    pub fn json(status: u16, text: &str) -> Self {
        let len = text.len();
        Self::new().request().write(format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len}\r\n\
             connection: close\r\n\r\n{text}"
        ))
    }

    /// Reads the request and writes the head of a chunked event stream.
    pub fn sse() -> Self {
        Self::new().request().write(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
             transfer-encoding: chunked\r\n\r\n",
        )
    }

    /// Reads the request, promises `claimed` bytes of JSON, sends `text` and closes.
    pub fn short(claimed: usize, text: &str) -> Self {
        Self::new().request().write(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {claimed}\r\n\r\n\
             {text}"
        ))
    }

    /// Reads the head, says `100 Continue`, reads the rest and goes on with `after`.
    pub fn continued(after: Self) -> Self {
        let mut wire = Self::new().head().write("HTTP/1.1 100 Continue\r\n\r\n");
        wire.0.extend(after.0);
        wire
    }

    fn push(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }
}

/// Lets written bytes reach the peer before a reset would discard them.
const SETTLE: Duration = Duration::from_millis(20);

/// What a [`WireServer`] or a [`WireConnector`](crate::WireConnector) saw on one connection.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// The bytes read so far.
    pub read: Vec<u8>,
    /// The peer has closed or reset the connection.
    pub peer_closed: bool,
}

/// A loopback listener whose n-th connection plays the n-th [`Wire`], the last one again and again.
///
/// Dropped, it closes the listener and every connection.
#[derive(Debug)]
pub struct WireServer {
    addr: SocketAddr,
    seen: Seen,
    task: JoinHandle<()>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(Arc<(Mutex<Vec<Connection>>, Notify)>);

impl Seen {
    /// Takes note of a connection and returns its number.
    pub(crate) fn opened(&self) -> usize {
        self.with(|seen| {
            seen.push(Connection::default());
            seen.len() - 1
        })
    }

    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut Vec<Connection>) -> T) -> T {
        let value = f(&mut self.0.0.lock().expect("nobody panics while holding this lock"));
        self.0.1.notify_waiters();
        value
    }
}

impl WireServer {
    /// Starts listening on a free port.
    pub async fn start(wires: impl IntoIterator<Item = Wire>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (addr, seen) = (listener.local_addr()?, Seen::default());
        let wires: Vec<_> = wires.into_iter().collect();
        let task = tokio::spawn(accept(listener, wires, seen.clone()));
        Ok(Self { addr, seen, task })
    }

    /// Returns where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns what was seen on each connection so far.
    pub fn connections(&self) -> Vec<Connection> {
        self.seen.with(|seen| seen.clone())
    }

    /// Waits until the peer has closed connection `n` (counted from 0).
    pub async fn peer_closed(&self, n: usize) {
        loop {
            let notified = self.seen.0.1.notified();
            let closed = {
                let seen = self.seen.0.0.lock().expect("nobody panics while holding this lock");
                seen.get(n).is_some_and(|connection| connection.peer_closed)
            };
            if closed {
                return;
            }
            notified.await;
        }
    }
}

impl Drop for WireServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns an address where nobody listens: connecting to it is refused.
pub fn refused_addr() -> io::Result<SocketAddr> {
    StdListener::bind(("127.0.0.1", 0))?.local_addr()
}

async fn accept(listener: TcpListener, wires: Vec<Wire>, seen: Seen) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let n = seen.opened();
        let wire = wires.get(n).or(wires.last()).cloned().unwrap_or_default();
        let _ = stream.set_nodelay(true);
        connections.spawn(Player::new(stream, seen.clone(), n).play(wire));
        while connections.try_join_next().is_some() {}
    }
}

/// A connection that can end in a reset.
pub(crate) trait Resets: AsyncRead + AsyncWrite + Unpin {
    /// Makes the connection's end a reset.
    fn reset(&self) -> io::Result<()>;
}

impl Resets for TcpStream {
    fn reset(&self) -> io::Result<()> {
        SockRef::from(self).set_linger(Some(Duration::ZERO))
    }
}

/// Plays one connection.
pub(crate) struct Player<T> {
    stream: T,
    seen: Seen,
    n: usize,
    /// Bytes read that belong to requests already taken.
    parsed: usize,
}

impl<T: Resets> Player<T> {
    pub(crate) fn new(stream: T, seen: Seen, n: usize) -> Self {
        Self { stream, seen, n, parsed: 0 }
    }

    pub(crate) async fn play(mut self, wire: Wire) -> io::Result<()> {
        for step in wire.0 {
            match step {
                Step::Read => self.read_request().await?,
                Step::Head => drop(self.read_head().await?),
                Step::Write(bytes) => self.stream.write_all(&bytes).await?,
                Step::Wait(pause) => sleep(pause).await,
                Step::Stall => while self.read().await? > 0 {},
                Step::Reset => return self.stream.reset(),
            }
        }
        self.stream.shutdown().await?;
        // Closing with unread bytes would send RST: wait for the peer's own end.
        while self.read().await? > 0 {}
        Ok(())
    }

    async fn read(&mut self) -> io::Result<usize> {
        let mut part = [0; 4096];
        let read = self.stream.read(&mut part).await;
        self.seen.with(|seen| match &read {
            Ok(n @ 1..) => seen[self.n].read.extend_from_slice(&part[..*n]),
            _ => seen[self.n].peer_closed = true,
        });
        read
    }

    fn pending(&self) -> Vec<u8> {
        self.seen.with(|seen| seen[self.n].read[self.parsed..].to_vec())
    }

    /// The head of the next request, and the offset after it.
    async fn read_head(&mut self) -> io::Result<(String, usize)> {
        loop {
            let bytes = self.pending();
            if let Some(at) = find(&bytes, b"\r\n\r\n") {
                return Ok((String::from_utf8_lossy(&bytes[..at]).to_lowercase(), at + 4));
            }
            if self.read().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn read_request(&mut self) -> io::Result<()> {
        let (head, start) = self.read_head().await?;
        loop {
            let body = self.pending().split_off(start);
            if let Some(len) = body_len(&head, &body) {
                self.parsed += start + len;
                return Ok(());
            }
            if self.read().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// The number of bytes of a request's body, once they are all there.
fn body_len(head: &str, body: &[u8]) -> Option<usize> {
    if head.contains("transfer-encoding: chunked") {
        let end = b"0\r\n\r\n";
        return find(body, end).map(|at| at + end.len());
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length = length.and_then(|n| n.trim().parse().ok()).unwrap_or(0);
    (body.len() >= length).then_some(length)
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn talk(wire: Wire, request: &str) -> (io::Result<()>, String) {
        let server = WireServer::start([wire]).await.unwrap();
        let mut client = TcpStream::connect(server.addr()).await.unwrap();
        let mut seen = Vec::new();
        let result = async {
            client.write_all(request.as_bytes()).await?;
            client.read_to_end(&mut seen).await.map(drop)
        }
        .await;
        (result, String::from_utf8_lossy(&seen).into_owned())
    }

    const POST: &str = "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";

    #[tokio::test]
    async fn writes_the_bytes_it_is_told() {
        let (result, seen) = talk(Wire::sse().chunk(b"hello").chunk(b""), POST).await;
        assert!(result.is_ok());
        assert!(seen.ends_with("\r\n\r\n5\r\nhello\r\n0\r\n\r\n"));
        assert!(
            talk(Wire::short(9, "abc"), POST).await.1.ends_with("content-length: 9\r\n\r\nabc")
        );
    }

    #[tokio::test]
    async fn a_reset_is_a_reset() {
        let (result, seen) = talk(Wire::reset_in_head(), POST).await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert!(seen.is_empty() || seen.ends_with("content-ty"));
        assert!(talk(Wire::reset_on_accept(), POST).await.0.is_err());
    }

    #[tokio::test]
    async fn reads_chunked_requests_and_says_continue() {
        let request = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let wire = Wire::continued(Wire::json(200, "{}"));
        let (result, seen) = talk(wire, request).await;
        assert!(result.is_ok());
        assert!(seen.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 X"), "{seen}");
    }

    #[tokio::test]
    async fn notices_that_the_peer_left_a_stall() {
        let server = WireServer::start([Wire::sse().stall()]).await.unwrap();
        let mut client = TcpStream::connect(server.addr()).await.unwrap();
        client.write_all(POST.as_bytes()).await.unwrap();
        client.read_u8().await.unwrap();
        assert!(!server.connections()[0].peer_closed);
        drop(client);
        server.peer_closed(0).await;
        assert!(server.connections()[0].read.ends_with(b"abc"));
    }

    #[tokio::test]
    async fn nobody_listens_at_the_refused_address() {
        let refused = TcpStream::connect(refused_addr().unwrap()).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}
