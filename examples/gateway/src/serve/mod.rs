//! The listener: accepts, serves HTTP/1.1 and HTTP/2, drains.

mod admit;
mod ambiguous;
mod bind;
mod body;
mod connection;
mod hand_over;
mod line;
mod peer;
mod streams;
mod tls;
mod trouble;

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tollgate_core::BoxError;
use tower::Service;

pub(crate) use self::ambiguous::Ambiguous;
use self::{
    admit::{Admission, Admitted},
    connection::Connections,
    trouble::Trouble,
};
pub use self::{
    bind::bind,
    body::ClientBody,
    hand_over::{Offer, Predecessor},
    peer::{Network, Peer, UnknownNetwork},
    tls::{Tls, TlsError, TlsFiles},
};
use crate::{counts::Counts, signal::Signal};

/// How a listener behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at once. Default: 16 384.
    pub connections: usize,
    /// Connections open at once from one address. Default: no limit.
    pub connections_per_peer: Option<usize>,
    /// How long a request's head may take to arrive, and a connection may be idle.
    /// Default: 30 seconds.
    pub head: Duration,
    /// How long a request's body may take to arrive. Default: 5 minutes.
    pub body: Duration,
    /// How long a request's body may be silent. Default: 30 seconds.
    pub body_idle: Duration,
    /// Bytes a second at which a request's body must arrive on the whole, beyond the first
    /// [`Limits::body_idle`] of waiting for it. 0: any. Default: 240.
    pub body_rate: u64,
    /// How long a client may take none of what is sent to it, on a connection or on one of HTTP/2's
    /// streams. Default: 1 minute.
    pub write_idle: Duration,
    /// How long the listener goes on once it is told to stop, so that whoever sends requests here
    /// can learn that it will. Default: not at all.
    pub drain_delay: Duration,
    /// How long running answers may go on after that. Default: 30 seconds.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connections: 16_384,
            connections_per_peer: None,
            head: seconds(30),
            body: seconds(5 * 60),
            body_idle: seconds(30),
            body_rate: 240,
            write_idle: seconds(60),
            drain_delay: Duration::ZERO,
            drain: seconds(30),
        }
    }
}

/// How long those who were told that all ends have to say so to their clients.
const LAST_WORDS: Duration = Duration::from_millis(700);

/// Serves a service on a listener. See [`Server::serve`].
#[derive(Clone, Debug, Default)]
pub struct Server {
    limits: Limits,
    counts: Counts,
    cut: Signal,
    tls: Option<Tls>,
    trusted: Arc<[Network]>,
}

impl Server {
    /// Returns a server without TLS that trusts no proxy.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Sets what counts refused connections. Default: nobody looks.
    pub fn counts(mut self, counts: Counts) -> Self {
        self.counts = counts;
        self
    }

    /// Sets the signal that is given when the time to drain is over; see
    /// [`Options::cut`](crate::Options::cut). Default: connections are cut without a word.
    pub fn cut(mut self, cut: Signal) -> Self {
        self.cut = cut;
        self
    }

    /// Sets the certificates with which connections are encrypted. Default: none are.
    pub fn tls(mut self, tls: Option<Tls>) -> Self {
        self.tls = tls;
        self
    }

    /// Sets whose word about a client's address is believed. Default: nobody's.
    pub fn trusted_proxies(mut self, trusted: impl IntoIterator<Item = Network>) -> Self {
        self.trusted = trusted.into_iter().collect();
        self
    }

    /// Serves `service` on `listener` until `stop` says true (or its sender is gone) and all has
    /// ended.
    ///
    /// Told to stop, it goes on for [`Limits::drain_delay`], then accepts no more connections and
    /// lets running answers end for [`Limits::drain`]; then the cut signal is given, and what has
    /// not ended a moment later is dropped. Returns how many connections that were.
    pub async fn serve<S, B>(
        self,
        listener: TcpListener,
        service: S,
        mut stop: watch::Receiver<bool>,
    ) -> usize
    where
        S: Service<Request<ClientBody<Incoming>>, Response = Response<B>, Error = Infallible>,
        S: Clone + Send + 'static,
        S::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let admission = Admission::new(self.limits.connections, self.limits.connections_per_peer);
        let (cut, limits) = (self.cut.clone(), self.limits);
        let connections = Connections::new(self, service);
        let stopping = async move {
            let _ = stop.wait_for(|stop| *stop).await;
            tokio::time::sleep(limits.drain_delay).await;
        };
        tokio::select! {
            () = accept(&listener, &admission, &connections) => {}
            () = stopping => {}
        }
        take_the_queue(listener, &admission, &connections);
        connections.finish();
        if tokio::time::timeout(limits.drain, admission.all_left()).await.is_ok() {
            return 0;
        }
        cut.give();
        let _ = tokio::time::timeout(LAST_WORDS, admission.all_left()).await;
        admission.open()
    }
}

async fn accept<S, B>(
    listener: &TcpListener,
    admission: &Arc<Admission>,
    connections: &Connections<S>,
) where
    S: Service<Request<ClientBody<Incoming>>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let mut trouble = Trouble::default();
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                trouble.accepted(Instant::now());
                admit(socket, peer, admission, connections);
            }
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                trouble.failed(&error, Instant::now());
                // The same error comes again at once: wait instead of spinning.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Serves who had connected before the listener was closed: closing it resets them.
fn take_the_queue<S, B>(
    listener: TcpListener,
    admission: &Arc<Admission>,
    connections: &Connections<S>,
) where
    S: Service<Request<ClientBody<Incoming>>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let Ok(listener) = listener.into_std() else { return };
    while let Ok((socket, peer)) = listener.accept() {
        let socket = socket.set_nonblocking(true).and_then(|()| TcpStream::from_std(socket));
        if let Ok(socket) = socket {
            admit(socket, peer, admission, connections);
        }
    }
}

fn admit<S, B>(
    socket: TcpStream,
    peer: SocketAddr,
    admission: &Arc<Admission>,
    connections: &Connections<S>,
) where
    S: Service<Request<ClientBody<Incoming>>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    // Without it every short stream stalls 40 ms between Nagle and delayed acknowledgements.
    let _ = socket.set_nodelay(true);
    match Admission::admit(admission, peer.ip()) {
        Admitted::Yes(place) => connections.start(socket, peer.ip(), place),
        Admitted::No(lingering) => connections.refuse(socket, lingering),
    }
}

/// Whether only the one connection is concerned, which is gone.
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}
