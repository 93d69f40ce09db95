//! What lies between a host name and an open connection.

use std::{
    collections::HashMap,
    fmt,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
    vec,
};

use http::Uri;
use hyper::rt;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::connect::{
        Connected, Connection, HttpConnector,
        dns::{GaiResolver, Name},
    },
    rt::TokioIo,
};
use pin_project_lite::pin_project;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tollgate_core::BoxError;
use tower_service::Service;

use crate::proxy::{self, Proxies, ProxyFailed, Route};

type BoxFuture<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// How many names the last good addresses are kept of.
const REMEMBERED: usize = 1024;

/// Resolves names through the operating system; the last good addresses of a name stand in while
/// it cannot be resolved. Clones share what they remember.
#[derive(Clone)]
pub struct Resolver {
    system: GaiResolver,
    good: Arc<Mutex<HashMap<String, Vec<SocketAddr>>>>,
}

impl Resolver {
    /// Returns a resolver that remembers nothing yet.
    pub fn new() -> Self {
        Self { system: GaiResolver::new(), good: Arc::default() }
    }
}

impl Default for Resolver {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Unresolved;
    type Future = BoxFuture<Self::Response, Unresolved>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        self.system.poll_ready(cx).map_err(Unresolved)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (host, good) = (name.as_str().to_owned(), self.good.clone());
        let resolving = self.system.call(name);
        Box::pin(async move {
            let found = resolving.await.map(Iterator::collect);
            let mut good = good.lock().unwrap_or_else(PoisonError::into_inner);
            remember(&mut good, host, found).map(Vec::into_iter)
        })
    }
}

/// Keeps what was found, or finds what was kept.
fn remember(
    good: &mut HashMap<String, Vec<SocketAddr>>,
    host: String,
    found: io::Result<Vec<SocketAddr>>,
) -> Result<Vec<SocketAddr>, Unresolved> {
    match found {
        Ok(found) => {
            if good.len() < REMEMBERED || good.contains_key(&host) {
                good.insert(host, found.clone());
            }
            Ok(found)
        }
        Err(error) => good.get(&host).cloned().ok_or(Unresolved(error)),
    }
}

/// A name could not be resolved.
#[derive(Debug)]
pub struct Unresolved(io::Error);

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name could not be resolved: {}", self.0)
    }
}

impl std::error::Error for Unresolved {}

type Tcp = HttpConnector<Resolver>;

/// The connector below TLS: to the upstream itself, or to it through a proxy.
#[derive(Clone, Debug)]
pub struct Dialer {
    tcp: Tcp,
    to_proxy: HttpsConnector<Tcp>,
    proxies: Proxies,
}

impl Dialer {
    /// `tls` is spoken with proxies that want it.
    pub(crate) fn new(proxies: Proxies, tls: ClientConfig) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver::new());
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(Duration::from_secs(60)));
        let to_proxy = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp.clone());
        Self { tcp, to_proxy, proxies }
    }
}

impl Service<Uri> for Dialer {
    type Response = Dialed;
    type Error = BoxError;
    type Future = BoxFuture<Dialed, BoxError>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let mut to_proxy = self.to_proxy.clone();
        match self.proxies.route(&to) {
            Route::Direct => {
                let connecting = self.tcp.call(to);
                Box::pin(
                    async move { Ok(Dialed::direct(MaybeHttpsStream::Http(connecting.await?))) },
                )
            }
            Route::Forward(proxy) => Box::pin(async move {
                let stream = to_proxy.call(proxy).await.map_err(ProxyFailed::new)?;
                Ok(Dialed { stream, forwards: true })
            }),
            Route::Tunnel(proxy) => {
                Box::pin(
                    async move { Ok(Dialed::direct(proxy::tunnel(to_proxy, proxy, to).await?)) },
                )
            }
            Route::Socks(proxy) => {
                Box::pin(
                    async move { Ok(Dialed::direct(proxy::socks(to_proxy, proxy, to).await?)) },
                )
            }
        }
    }
}

pin_project! {
    /// A connection made by a [`Dialer`].
    #[derive(Debug)]
    pub struct Dialed {
        #[pin]
        stream: MaybeHttpsStream<TokioIo<TcpStream>>,
        forwards: bool,
    }
}

impl Dialed {
    fn direct(stream: MaybeHttpsStream<TokioIo<TcpStream>>) -> Self {
        Self { stream, forwards: false }
    }
}

impl Connection for Dialed {
    fn connected(&self) -> Connected {
        self.stream.connected().proxy(self.forwards)
    }
}

impl rt::Read for Dialed {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.project().stream.poll_read(cx, into)
    }
}

impl rt::Write for Dialed {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.project().stream.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().stream.poll_write_vectored(cx, parts)
    }
}

/// What opens connections for [`Builder::build_on`](crate::Builder::build_on): any service from a
/// URL to bytes both ways.
pub trait Connector:
    Service<
        Uri,
        Response: rt::Read + rt::Write + Connection + Unpin + Send + 'static,
        Error: Into<BoxError>,
        Future: Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static
{
}

impl<C> Connector for C where
    C: Service<
            Uri,
            Response: rt::Read + rt::Write + Connection + Unpin + Send + 'static,
            Error: Into<BoxError>,
            Future: Send + 'static,
        > + Clone
        + Send
        + Sync
        + 'static
{
}

/// A connector that gives up: the deadline covers names, TCP and TLS.
#[derive(Debug)]
pub(crate) struct WithDeadline<C> {
    /// Shared: it is cloned for each connection, and has many pools.
    inner: Arc<C>,
    after: Duration,
}

impl<C> WithDeadline<C> {
    pub(crate) fn new(inner: C, after: Duration) -> Self {
        Self { inner: Arc::new(inner), after }
    }
}

impl<C: Connector> WithDeadline<C> {
    pub(crate) async fn connect(&self, uri: Uri) -> Result<C::Response, BoxError> {
        let mut inner = C::clone(&self.inner);
        let connecting = tokio::time::timeout(self.after, async move {
            poll_fn(|cx| inner.poll_ready(cx)).await?;
            inner.call(uri).await
        });
        connecting.await.map_err(|_| TooLate)?.map_err(Into::into)
    }
}

impl<C> Clone for WithDeadline<C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), after: self.after }
    }
}

/// The connect deadline passed.
#[derive(Debug)]
pub(crate) struct TooLate;

impl fmt::Display for TooLate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connect deadline passed")
    }
}

impl std::error::Error for TooLate {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_02_the_last_good_addresses_stand_in() {
        let mut good = HashMap::new();
        let none = || Err(io::Error::other("NXDOMAIN"));
        assert!(remember(&mut good, "a".to_owned(), none()).is_err());
        let found: Vec<SocketAddr> = vec!["10.0.0.1:0".parse().unwrap()];
        remember(&mut good, "a".to_owned(), Ok(found.clone())).unwrap();
        assert_eq!(remember(&mut good, "a".to_owned(), none()).unwrap(), found);
        assert!(remember(&mut good, "b".to_owned(), none()).is_err());
    }
}
