//! Names that may only stand for public addresses.

use std::{
    error::Error,
    fmt,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    vec,
};

use hyper_util::client::legacy::connect::dns::Name;
use tollgate_core::BoxError;
use tower_service::Service;

use super::{FetchError, is_public};

/// A resolver that gives only addresses that may be asked, to whoever connects to them.
#[derive(Clone, Debug)]
pub(super) struct Guarded<R> {
    inner: R,
    /// Hosts that may be anywhere.
    hosts: Arc<[String]>,
}

impl<R> Guarded<R> {
    pub(super) fn new(inner: R, hosts: Arc<[String]>) -> Self {
        Self { inner, hosts }
    }
}

impl<R> Service<Name> for Guarded<R>
where
    R: Service<Name>,
    R::Response: Iterator<Item = SocketAddr>,
    R::Future: Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = vec::IntoIter<SocketAddr>;
    type Error = NotPublic;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, NotPublic>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), NotPublic>> {
        self.inner.poll_ready(cx).map_err(|_| NotPublic)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let anywhere = self.hosts.iter().any(|host| name.as_str().eq_ignore_ascii_case(host));
        let resolving = self.inner.call(name);
        Box::pin(async move {
            let found: Vec<_> = resolving.await.map_err(|_| NotPublic)?.collect();
            // One that is not public makes the others suspect: the name is somebody's trick.
            let public = found.iter().all(|address| is_public(address.ip()));
            match !found.is_empty() && (anywhere || public) {
                true => Ok(found.into_iter()),
                false => Err(NotPublic),
            }
        })
    }
}

/// A name stands for nothing public, or for nothing at all.
#[derive(Debug)]
pub(super) struct NotPublic;

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name stands for no public address")
    }
}

impl Error for NotPublic {}

/// Why a client could not ask.
pub(super) fn why(error: &(dyn Error + 'static)) -> FetchError {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<NotPublic>() {
            return FetchError::Host;
        }
        cause = error.source();
    }
    FetchError::Unreachable
}

#[cfg(test)]
mod tests {
    use tower::{ServiceExt, service_fn};

    use super::*;

    /// What a name that stands for `addresses` resolves to.
    async fn resolved(addresses: &[&str], hosts: &[&str]) -> Option<usize> {
        let found: Vec<SocketAddr> =
            addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0)).collect();
        let system = service_fn(move |_: Name| {
            let found = found.clone().into_iter();
            async move { Ok::<_, std::convert::Infallible>(found) }
        });
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut guarded = Guarded::new(system, hosts);
        let name = "img.e.org".parse().unwrap();
        guarded.ready().await.unwrap().call(name).await.ok().map(Iterator::count)
    }

    #[tokio::test]
    async fn a_name_must_stand_for_public_addresses_alone() {
        assert_eq!(resolved(&["1.1.1.1", "2606:4700::1"], &[]).await, Some(2));
        for private in
            ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:10.0.0.1", "fd00::1"]
        {
            assert_eq!(resolved(&[private], &[]).await, None, "{private}");
            assert_eq!(resolved(&["1.1.1.1", private], &[]).await, None, "{private} among others");
            assert_eq!(resolved(&[private], &["img.e.org"]).await, Some(1), "one of our own hosts");
            assert_eq!(resolved(&[private], &["e.org"]).await, None, "not its subdomains");
        }
        assert_eq!(resolved(&[], &[]).await, None);
    }
}
