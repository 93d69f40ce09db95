use std::{
    collections::VecDeque,
    fmt,
    future::{Ready, ready},
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connected, Connection as Connects},
    rt::TokioIo,
};
use tokio::io::{DuplexStream, duplex};
use tower_service::Service;

use crate::{
    Connection, Wire,
    wire::{Player, Resets, Seen},
};

type Choose = dyn FnMut(&Uri) -> Option<Wire> + Send;

/// Opens connections in memory, each of which plays a [`Wire`]: a connector for hyper-util's client,
/// and so for what is built on it. No port is opened, and time may be paused. Clones share all of it.
///
/// ```
/// use tollgate_testkit::{Wire, WireConnector};
/// use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let connector = WireConnector::queue([Wire::json(200, "{}")]);
/// let uri = http::Uri::from_static("http://one.test/");
///
/// assert!(connector.clone().oneshot(uri.clone()).await.is_ok());
/// assert!(connector.clone().oneshot(uri).await.is_err(), "refused: nothing is left to play");
/// assert_eq!(connector.asked().len(), 2);
/// # }
/// ```
#[derive(Clone)]
pub struct WireConnector {
    choose: Arc<Mutex<Choose>>,
    asked: Arc<Mutex<Vec<Uri>>>,
    seen: Seen,
}

impl WireConnector {
    /// The n-th connection plays the n-th of `wires`. Where none are left, connecting is refused.
    pub fn queue(wires: impl IntoIterator<Item = Wire>) -> Self {
        let mut wires: VecDeque<_> = wires.into_iter().collect();
        Self::choose(move |_| wires.pop_front())
    }

    /// Each connection plays what `choose` says for its address. `None`: connecting is refused.
    pub fn choose(choose: impl FnMut(&Uri) -> Option<Wire> + Send + 'static) -> Self {
        let choose = Arc::new(Mutex::new(choose));
        Self { choose, asked: Arc::default(), seen: Seen::default() }
    }

    /// Returns where it was asked to connect to, in order; refusals count.
    pub fn asked(&self) -> Vec<Uri> {
        self.asked.lock().expect("nobody panics while holding this lock").clone()
    }

    /// Returns what was seen on each connection that was opened so far.
    pub fn connections(&self) -> Vec<Connection> {
        self.seen.with(|seen| seen.clone())
    }
}

impl fmt::Debug for WireConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireConnector").field("asked", &self.asked()).finish_non_exhaustive()
    }
}

impl Service<Uri> for WireConnector {
    type Response = Pipe;
    type Error = io::Error;
    type Future = Ready<io::Result<Pipe>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let wire = self.choose.lock().expect("`choose` does not panic")(&uri);
        self.asked.lock().expect("nobody panics while holding this lock").push(uri);
        let Some(wire) = wire else { return ready(Err(io::ErrorKind::ConnectionRefused.into())) };
        let (near, far) = duplex(1 << 16);
        tokio::spawn(Player::new(far, self.seen.clone(), self.seen.opened()).play(wire));
        ready(Ok(Pipe(TokioIo::new(near))))
    }
}

impl Resets for DuplexStream {
    /// Memory has no resets: the connection ends when it is dropped.
    fn reset(&self) -> io::Result<()> {
        Ok(())
    }
}

/// The client's end of a connection in memory.
#[derive(Debug)]
pub struct Pipe(TokioIo<DuplexStream>);

impl Connects for Pipe {
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
