use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicU8, Ordering::AcqRel},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;
use http::{
    HeaderValue, Request, Response, Uri,
    header::HOST,
    uri::{Parts, Scheme},
};
use hyper::{
    body::Incoming,
    client::conn::{
        TrySendError,
        http1::{Connection, SendRequest},
    },
    rt,
};
use tollgate_core::Body;

use super::{Host, Kept};

/// How often a connection is polled before others get their turn. A runtime that wants them to says
/// so by waking at once whoever asks for more.
const ROUNDS: usize = 16;

/// An HTTP/1.1 connection, driven by the one request that is on it.
pub(super) struct Link {
    sender: SendRequest<Body>,
    /// `None` once it has ended.
    connection: Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>,
    signal: Arc<Signal>,
    /// Of the signal.
    waker: Waker,
    host: Host,
    host_header: HeaderValue,
    /// A proxy is at the other end, which wants to see whole URLs.
    is_proxied: bool,
    /// It was kept after an answer.
    pub(super) is_reused: bool,
    kept: Weak<Kept>,
}

impl Link {
    pub(super) fn new<T>(
        (sender, connection): (SendRequest<Body>, Connection<T, Body>),
        host: &Host,
        is_proxied: bool,
        kept: &Arc<Kept>,
    ) -> Self
    where
        T: rt::Read + rt::Write + Unpin + Send + 'static,
    {
        let signal = Arc::<Signal>::default();
        Self {
            sender,
            connection: Some(Box::pin(connection)),
            waker: signal.clone().into(),
            signal,
            host_header: host_header(host),
            host: host.clone(),
            is_proxied: is_proxied && host.scheme == Scheme::HTTP,
            is_reused: false,
            kept: Arc::downgrade(kept),
        }
    }

    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    /// Hands a request to `uri` to the connection, which [`Link::drive`] sends. Returns what waits
    /// for the head of its answer.
    pub(super) fn send(
        &mut self,
        mut request: Request<Body>,
        uri: &Uri,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Body>>>> + use<> {
        *request.uri_mut() = if self.is_proxied { uri.clone() } else { path_of(uri) };
        request.headers_mut().entry(HOST).or_insert_with(|| self.host_header.clone());
        self.sender.try_send_request(request)
    }

    /// Polls the connection until `what` is ready or nothing more can be done for it.
    ///
    /// An error that ends the connection is told by `what`.
    pub(super) fn drive<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut what: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.signal.task.register(cx.waker());
        let inner = &mut Context::from_waker(&self.waker);
        for _ in 0..ROUNDS {
            self.signal.begin();
            if let Poll::Ready(ready) = what(inner) {
                self.signal.end();
                return Poll::Ready(ready);
            }
            if let Some(connection) = &mut self.connection
                && connection.as_mut().poll(inner).is_ready()
            {
                self.connection = None;
            }
            if !self.signal.end() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether a request may be sent on a connection that waited for one.
    pub(super) fn is_open(&mut self) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        // What came is read: an end, or something nobody asked for.
        let ended = connection.as_mut().poll(&mut Context::from_waker(&self.waker)).is_ready();
        !ended && self.sender.is_ready()
    }

    /// Puts the connection back, for the next request, if it can take one.
    pub(super) fn rest(mut self: Box<Self>) {
        // Nobody waits for it any more.
        self.signal.task.take();
        if let Some(kept) = self.kept.upgrade()
            && (self.sender.is_ready() || self.is_open())
        {
            kept.put(self);
        }
    }
}

/// Makes a URL what the first line of a request says of it.
fn path_of(uri: &Uri) -> Uri {
    let mut parts = Parts::default();
    parts.path_and_query = uri.path_and_query().cloned();
    Uri::from_parts(parts).unwrap_or_default()
}

/// The host as it is named in a request: without the port that goes without saying.
fn host_header(Host { scheme, authority }: &Host) -> HeaderValue {
    let usual = if *scheme == Scheme::HTTPS { 443 } else { 80 };
    let text = match authority.port_u16().filter(|port| *port != usual) {
        Some(port) => format!("{}:{port}", authority.host()),
        None => authority.host().to_owned(),
    };
    HeaderValue::try_from(text).expect("the characters of a host may all stand in a header")
}

/// Wakes who drives the connection, but for what happens while it is driven: then it is driven on.
#[derive(Default)]
struct Signal {
    task: AtomicWaker,
    state: AtomicU8,
}

/// The connection is being driven.
const DRIVEN: u8 = 1;

/// Something happened since it was begun to be driven.
const AGAIN: u8 = 2;

impl Signal {
    fn begin(&self) {
        self.state.swap(DRIVEN, AcqRel);
    }

    /// Whether it is to be driven again.
    fn end(&self) -> bool {
        self.state.swap(0, AcqRel) & AGAIN != 0
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.fetch_or(AGAIN, AcqRel) & DRIVEN == 0 {
            self.task.wake();
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("host", &self.host).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper_util::rt::TokioIo;
    use tokio_test::task::spawn;

    use super::{super::Limits, *};

    #[test]
    fn what_happens_while_the_connection_is_driven_wakes_nobody_and_is_not_forgotten() {
        let signal = Arc::<Signal>::default();
        let mut task = spawn(());
        task.enter(|cx, _| signal.task.register(cx.waker()));
        let waker = Waker::from(signal.clone());
        signal.begin();
        waker.wake_by_ref();
        assert_eq!((signal.end(), task.is_woken()), (true, false));
        signal.begin();
        assert!(!signal.end(), "it was told once");
        waker.wake_by_ref();
        assert!(task.is_woken());
    }

    #[tokio::test]
    async fn a_connection_without_end_leaves_others_their_turn() {
        let (io, _peer) = tokio::io::duplex(64);
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(io)).await.unwrap();
        let host = Host::of(&"http://a.test".parse().unwrap()).unwrap();
        let kept = Arc::new(Kept::new(Limits { idle: Duration::ZERO, per_host: 0 }));
        let mut link = spawn(Link::new(handshake, &host, false, &kept));
        let busy = |cx: &mut Context<'_>| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        };
        assert!(link.enter(|cx, link| link.get_mut().drive(cx, busy)).is_pending());
        assert!(link.is_woken());
    }

    #[test]
    fn a_port_that_goes_without_saying_is_not_said() {
        let header = |url: &str| host_header(&Host::of(&url.parse().unwrap()).unwrap());
        assert_eq!(header("https://a.test:443/x"), "a.test");
        assert_eq!(header("http://a.test:443/x"), "a.test:443");
        assert_eq!(header("http://a.test:80/x"), "a.test");
        assert_eq!(header("http://user@[::1]:81/x"), "[::1]:81");
    }

    #[test]
    fn the_first_line_names_path_and_query() {
        let path = |url: &str| path_of(&url.parse().unwrap()).to_string();
        assert_eq!(path("https://a.test/x?y=1"), "/x?y=1");
        assert_eq!(path("https://a.test"), "/");
    }
}
