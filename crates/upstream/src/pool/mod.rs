//! Connections to upstreams, kept for the next request.
//!
//! An HTTP/1.1 connection has no task: the request on it drives it, from where it is polled itself,
//! so that an answer's bytes wake whoever waits for them and nobody in between. An HTTP/2
//! connection is shared and has a task.

mod body;
mod link;

use std::{
    error::Error,
    fmt,
    future::poll_fn,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::Duration,
};

use hashbrown::HashMap;
use http::{
    Request, Response, Uri,
    uri::{Authority, Scheme},
};
use hyper::{
    client::conn::{http1, http2},
    rt,
};
use hyper_util::{
    client::legacy::connect::Connection,
    rt::{TokioExecutor, TokioTimer},
};
use tokio::{sync::Mutex as AsyncMutex, task::AbortHandle, time::Instant};
use tollgate_core::{Body, BoxError};

pub(crate) use self::body::Received;
use self::link::Link;
use crate::{
    connect::{Connector, WithDeadline},
    error,
};

/// Opens connections and keeps those that can be used again. Clones share them.
pub(crate) struct Pool<C> {
    connector: WithDeadline<C>,
    kept: Arc<Kept>,
}

/// How long connections are kept unused, and how many of HTTP/1.1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) idle: Duration,
    pub(crate) per_host: usize,
}

/// Why a request has no answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// There was no connection to send it on.
    Connect(BoxError),
    Exchange(hyper::Error),
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect(_) => "no connection",
            Self::Exchange(_) => "no answer",
        })
    }
}

impl Error for Unanswered {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(match self {
            Self::Connect(error) => &**error,
            Self::Exchange(error) => error,
        })
    }
}

/// What connections are for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Host {
    scheme: Scheme,
    authority: Authority,
}

impl Host {
    fn of(uri: &Uri) -> Option<Self> {
        Some(Self { scheme: uri.scheme()?.clone(), authority: uri.authority()?.clone() })
    }
}

/// The connections that wait for a request.
struct Kept {
    limits: Limits,
    hosts: Mutex<HashMap<Host, Waiting>>,
    /// Ends what closes connections nobody used for long.
    sweeping: OnceLock<AbortHandle>,
}

#[derive(Default)]
struct Waiting {
    /// The one used last is last.
    links: Vec<(Box<Link>, Instant)>,
    shared: Shared,
    losses: Losses,
}

/// What became of requests on connections that were kept.
#[derive(Default)]
struct Losses {
    /// How many were lost since one was answered.
    in_a_row: u32,
    last: Option<Instant>,
}

/// How many losses in a row say that a host closes its connections after each answer, and how long
/// that is believed of it.
const FICKLE: (u32, Duration) = (2, Duration::from_secs(30));

impl Losses {
    fn add(&mut self) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.last = Some(Instant::now());
    }

    /// Whether to keep no connection to this host.
    fn are_usual(&self) -> bool {
        let lately = self.last.is_some_and(|last| last.elapsed() < FICKLE.1);
        self.in_a_row >= FICKLE.0 && lately
    }
}

/// The connection that many requests share, if the host speaks HTTP/2. Locked while it is made.
type Shared = Arc<AsyncMutex<Option<Stock>>>;

/// A connection to share, and since when nobody has asked for it.
struct Stock {
    sender: http2::SendRequest<Body>,
    since: Instant,
}

impl Stock {
    fn is_good(&self, idle: Duration) -> bool {
        !self.sender.is_closed() && self.since.elapsed() < idle
    }
}

/// What a request can be sent on.
enum Way {
    Link(Box<Link>),
    Shared(http2::SendRequest<Body>),
}

impl Kept {
    fn new(limits: Limits) -> Self {
        Self { limits, hosts: Mutex::default(), sweeping: OnceLock::new() }
    }

    fn hosts(&self) -> MutexGuard<'_, HashMap<Host, Waiting>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the connection used last that is still open.
    fn take(&self, host: &Host) -> Option<Box<Link>> {
        loop {
            // The lock is not held while the connection is looked at.
            let (mut link, since) = self.hosts().get_mut(host)?.links.pop()?;
            if since.elapsed() < self.limits.idle && link.is_open() {
                link.is_reused = true;
                return Some(link);
            }
        }
    }

    fn put(self: &Arc<Self>, link: Box<Link>) {
        let mut hosts = self.hosts();
        let Waiting { links, losses, .. } = match hosts.get_mut(link.host()) {
            Some(waiting) => waiting,
            None => hosts.entry(link.host().clone()).or_default(),
        };
        if link.is_reused {
            losses.in_a_row = 0;
        }
        let wanted = links.len() < self.limits.per_host && !self.limits.idle.is_zero();
        if wanted && !losses.are_usual() {
            links.push((link, Instant::now()));
        }
        drop(hosts);
        self.sweep();
    }

    /// A kept connection was lost with a request on it: what was kept beside it is no better.
    fn lost(&self, host: &Host) {
        let mut hosts = self.hosts();
        let Some(waiting) = hosts.get_mut(host) else { return };
        waiting.losses.add();
        let links = std::mem::take(&mut waiting.links);
        drop(hosts);
        drop(links);
    }

    /// The place of a host's shared connection, once somebody has connected.
    fn shared(&self, host: &Host) -> Option<Shared> {
        self.hosts().get(host).map(|waiting| waiting.shared.clone())
    }

    /// The place of a host's shared connection.
    fn share(&self, host: &Host) -> Shared {
        self.hosts().entry(host.clone()).or_default().shared.clone()
    }

    /// Takes part in what is shared, if it still can be.
    fn part(&self, shared: &mut Option<Stock>) -> Option<http2::SendRequest<Body>> {
        let stock = shared.as_mut().filter(|stock| stock.is_good(self.limits.idle))?;
        stock.since = Instant::now();
        Some(stock.sender.clone())
    }

    /// Sees to it that connections nobody uses are closed.
    fn sweep(self: &Arc<Self>) {
        if self.limits.idle.is_zero() {
            return;
        }
        self.sweeping.get_or_init(|| {
            let (kept, every) = (Arc::downgrade(self), self.limits.idle);
            let task = tokio::spawn(async move {
                loop {
                    tokio::time::sleep(every).await;
                    let Some(kept) = Weak::upgrade(&kept) else { return };
                    kept.forget();
                }
            });
            task.abort_handle()
        });
    }

    /// Closes what was not used for too long.
    fn forget(&self) {
        let mut closed = Vec::new();
        let idle = self.limits.idle;
        self.hosts().retain(|_, waiting| {
            let old = waiting.links.iter().take_while(|(_, since)| since.elapsed() >= idle).count();
            closed.extend(waiting.links.drain(..old));
            !waiting.links.is_empty() || waiting.losses.are_usual() || waiting.is_shared(idle)
        });
    }
}

impl Waiting {
    /// Whether there is a connection to share, or somebody is about to make or to use one.
    fn is_shared(&self, idle: Duration) -> bool {
        let is_good = |shared: &Option<Stock>| shared.as_ref().is_some_and(|s| s.is_good(idle));
        Arc::strong_count(&self.shared) > 1
            || self.shared.try_lock().map_or(true, |shared| is_good(&shared))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.sweeping.take().iter().for_each(AbortHandle::abort);
    }
}

impl<C> Pool<C> {
    pub(crate) fn new(connector: WithDeadline<C>, limits: Limits) -> Self {
        Self { connector, kept: Arc::new(Kept::new(limits)) }
    }
}

impl<C> Clone for Pool<C> {
    fn clone(&self) -> Self {
        Self { connector: self.connector.clone(), kept: self.kept.clone() }
    }
}

impl<C: Connector> Pool<C> {
    /// Sends a request to where its URL says. One that finds its kept connection closed before a
    /// byte of it was sent goes out on the next; one that HTTP/2 says was not processed goes out once
    /// more.
    pub(crate) fn request(
        self,
        mut request: Request<Body>,
    ) -> impl Future<Output = Result<Response<Received>, Unanswered>> + Send {
        let uri = std::mem::take(request.uri_mut());
        let nowhere = || Unanswered::Connect("the URL names no host".into());
        let host = Host::of(&uri).ok_or_else(nowhere);
        // What a block captures is kept once, a function's arguments twice.
        async move {
            let host = host?;
            let mut is_repeated = false;
            loop {
                let (way, is_fresh) = match self.kept_way(&host).await {
                    Some(way) => (way, false),
                    // Boxed: it is several times the rest, and hardly ever there.
                    None => (Box::pin(self.connect(&host, uri.clone())).await?, true),
                };
                let (mut failed, spare) = match way {
                    Way::Link(mut link) => {
                        let mut answer = pin!(link.send(request, &uri));
                        match poll_fn(|cx| link.drive(cx, |cx| answer.as_mut().poll(cx))).await {
                            Ok(answer) => return Ok(answer.map(|body| Received::on(body, link))),
                            Err(failed) => (failed, None),
                        }
                    }
                    Way::Shared(mut sender) => {
                        *request.uri_mut() = uri.clone();
                        let spare = if is_repeated { None } else { spare(&request) };
                        match sender.try_send_request(request).await {
                            Ok(answer) => return Ok(answer.map(Received::shared)),
                            Err(failed) => (failed, spare),
                        }
                    }
                };
                if let Some(unsent) = failed.take_message().filter(|_| !is_fresh) {
                    request = unsent;
                    continue;
                }
                let error = failed.into_error();
                if !is_fresh && !error.is_parse() {
                    self.kept.lost(&host);
                }
                let error = Unanswered::Exchange(error);
                request = *spare.filter(|_| error::is_unprocessed(&error)).ok_or(error)?;
                tracing::debug!("the upstream did not process the request, sending again");
                is_repeated = true;
            }
        }
    }

    /// Finds a connection that can take a request.
    async fn kept_way(&self, host: &Host) -> Option<Way> {
        if let Some(link) = self.kept.take(host) {
            return Some(Way::Link(link));
        }
        let shared = self.kept.shared(host)?;
        let mut shared = shared.lock().await;
        self.kept.part(&mut shared).map(Way::Shared)
    }

    async fn connect(&self, host: &Host, uri: Uri) -> Result<Way, Unanswered> {
        let io = self.connector.connect(uri).await.map_err(Unanswered::Connect)?;
        let connected = io.connected();
        let shared = self.kept.share(host);
        if !connected.is_negotiated_h2() {
            let handshake = http1::handshake(io).await.map_err(Unanswered::Exchange)?;
            let link = Link::new(handshake, host, connected.is_proxied(), &self.kept);
            return Ok(Way::Link(Box::new(link)));
        }
        // Several may have connected before it was known that one is enough.
        let mut shared = shared.lock().await;
        if let Some(sender) = self.kept.part(&mut shared) {
            return Ok(Way::Shared(sender));
        }
        let sender = share(io).await.map_err(Unanswered::Exchange)?;
        *shared = Some(Stock { sender: sender.clone(), since: Instant::now() });
        self.kept.sweep();
        Ok(Way::Shared(sender))
    }
}

/// Keeps a request for the case that HTTP/2 says it was not processed; `None` for one whose body
/// cannot be sent twice.
fn spare(request: &Request<Body>) -> Option<Box<Request<Body>>> {
    let mut spare = Request::new(request.body().try_clone()?);
    spare.method_mut().clone_from(request.method());
    spare.headers_mut().clone_from(request.headers());
    Some(Box::new(spare))
}

/// Makes a connection of HTTP/2, which has a task as long as somebody has its sender.
async fn share<T>(io: T) -> hyper::Result<http2::SendRequest<Body>>
where
    T: rt::Read + rt::Write + Unpin + Send + 'static,
{
    let handshake = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .adaptive_window(true)
        .keep_alive_interval(Duration::from_secs(20))
        .handshake(io);
    let (sender, connection) = handshake.await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = &error as &dyn Error, "an upstream's connection ended");
        }
    });
    Ok(sender)
}
