//! What lies between a host name and an open connection.

use std::{
    collections::HashMap,
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
    vec,
};

use http::Uri;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tollgate_core::BoxError;
use tower_service::Service;

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

/// A connector that gives up: the deadline covers names, TCP and TLS.
#[derive(Clone, Debug)]
pub struct WithDeadline<C> {
    inner: C,
    after: Duration,
}

impl<C> WithDeadline<C> {
    pub(crate) fn new(inner: C, after: Duration) -> Self {
        Self { inner, after }
    }
}

impl<C> Service<Uri> for WithDeadline<C>
where
    C: Service<Uri>,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = BoxFuture<C::Response, BoxError>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = tokio::time::timeout(self.after, self.inner.call(uri));
        Box::pin(async move { connecting.await.map_err(|_| TooLate)?.map_err(Into::into) })
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
