//! Proxies between us and the upstreams.

use std::{env, fmt, sync::Arc};

use http::{HeaderValue, Uri};
use hyper_util::client::{
    legacy::connect::proxy::{SocksV4, SocksV5, Tunnel},
    proxy::matcher::{Intercept, Matcher},
};
use tollgate_core::BoxError;
use tower_service::Service;

/// Which upstreams are reached through which proxy.
///
/// A proxy's URL has the scheme `http`, `https`, `socks4`, `socks4a`, `socks5` or `socks5h` (none:
/// `http`) and may hold a user and a password. An `https` upstream is reached by `CONNECT`, an
/// `http` one by asking the proxy for the whole URL; through SOCKS both are tunnels, and it is the
/// proxy that resolves names, whatever the scheme's last letter.
///
/// Loopback addresses and `localhost` are always reached directly.
///
/// ```
/// use tollgate_upstream::Proxies;
///
/// let proxies = Proxies::new("http://user:pass@proxy.internal:3128", "10.0.0.0/8, .internal")?;
/// assert!(!format!("{proxies:?}").contains("pass"));
/// assert!(Proxies::new("ftp://proxy.internal", "").is_err());
/// # Ok::<(), tollgate_upstream::InvalidProxy>(())
/// ```
#[derive(Clone)]
pub struct Proxies(Option<Arc<Matcher>>);

impl Proxies {
    /// Returns no proxy for anybody.
    pub fn none() -> Self {
        Self(None)
    }

    /// Reads `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, also in lower case, as curl
    /// does. A URL that cannot be used counts as absent.
    pub fn from_env() -> Self {
        let names = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"];
        let is_set = |name: &str| env::var_os(name).or_else(|| env::var_os(name.to_lowercase()));
        let any = names.into_iter().any(|name| is_set(name).is_some());
        Self(any.then(|| Arc::new(Matcher::from_env())))
    }

    /// Returns `url` as the proxy of everybody but the hosts in `except`: names, which cover their
    /// subdomains, addresses and networks, separated by commas; `*` is everybody.
    ///
    /// Errors: see [`InvalidProxy`].
    pub fn new(url: &str, except: &str) -> Result<Self, InvalidProxy> {
        // The matcher takes an unusable URL for none: asked without exceptions it tells.
        Matcher::builder()
            .all(url)
            .build()
            .intercept(&Uri::from_static("https://upstream.test"))
            .ok_or(InvalidProxy)?;
        Ok(Self(Some(Arc::new(Matcher::builder().all(url).no(except).build()))))
    }

    /// The proxy for `url`.
    fn of(&self, url: &Uri) -> Option<Intercept> {
        let matcher = self.0.as_ref()?;
        if is_loopback(url.host()?) { None } else { matcher.intercept(url) }
    }

    /// The way to `url`.
    pub(crate) fn route(&self, url: &Uri) -> Route {
        let Some(proxy) = self.of(url) else { return Route::Direct };
        if proxy.uri().scheme_str().is_some_and(|scheme| scheme.starts_with("socks")) {
            Route::Socks(proxy)
        } else if url.scheme_str() == Some("https") {
            Route::Tunnel(proxy)
        } else {
            Route::Forward(proxy.uri().clone())
        }
    }

    /// The header with which a proxy that is asked for a whole URL knows us.
    pub(crate) fn authorization(&self, url: &Uri) -> Option<HeaderValue> {
        if url.scheme_str() != Some("http") {
            return None;
        }
        let mut value = self.of(url)?.basic_auth()?.clone();
        value.set_sensitive(true);
        Some(value)
    }
}

impl fmt::Debug for Proxies {
    /// Shows addresses, never a user or a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Proxies").field(&self.0).finish()
    }
}

/// Not a URL of a proxy: an unknown scheme, or no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidProxy;

impl fmt::Display for InvalidProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not the URL of an http, https or socks proxy")
    }
}

impl std::error::Error for InvalidProxy {}

/// No connection through the proxy.
#[derive(Debug)]
pub(crate) struct ProxyFailed(BoxError);

impl ProxyFailed {
    pub(crate) fn new(error: impl Into<BoxError>) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for ProxyFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no connection through the proxy")
    }
}

impl std::error::Error for ProxyFailed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

/// The way to an upstream.
pub(crate) enum Route {
    Direct,
    /// The proxy gets the whole request.
    Forward(Uri),
    /// The proxy connects us.
    Tunnel(Intercept),
    Socks(Intercept),
}

/// Opens a tunnel to `to` over connections of `connector`.
pub(crate) async fn tunnel<C>(
    connector: C,
    proxy: Intercept,
    to: Uri,
) -> Result<C::Response, ProxyFailed>
where
    C: Service<Uri, Error = BoxError>,
    C::Future: Send + 'static,
    C::Response: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let mut tunnel = Tunnel::new(proxy.uri().clone(), connector);
    if let Some(auth) = proxy.basic_auth() {
        tunnel = tunnel.with_auth(auth.clone());
    }
    tunnel.call(to).await.map_err(ProxyFailed::new)
}

/// Opens a tunnel by SOCKS to `to` over connections of `connector`.
pub(crate) async fn socks<C>(
    connector: C,
    proxy: Intercept,
    to: Uri,
) -> Result<C::Response, ProxyFailed>
where
    C: Service<Uri, Error = BoxError>,
    C::Future: Send + 'static,
    C::Response: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let to = with_port(to);
    let scheme = proxy.uri().scheme_str().unwrap_or_default();
    if scheme.starts_with("socks4") {
        let mut socks = SocksV4::new(plain(proxy.uri()), connector);
        return socks.call(to).await.map_err(ProxyFailed::new);
    }
    let mut socks = SocksV5::new(plain(proxy.uri()), connector);
    if let Some((user, password)) = proxy.raw_auth() {
        socks = socks.with_auth(user.to_owned(), password.to_owned());
    }
    socks.call(to).await.map_err(ProxyFailed::new)
}

/// The proxy's address for a connector that knows only HTTP's schemes.
fn plain(proxy: &Uri) -> Uri {
    let port = proxy.port_u16().unwrap_or(1080);
    rebuilt(proxy, "http", port).unwrap_or_else(|| proxy.clone())
}

/// Tunnels take a missing port for that of HTTPS.
fn with_port(uri: Uri) -> Uri {
    let scheme = if uri.scheme_str() == Some("http") { "http" } else { "https" };
    let usual = if scheme == "http" { 80 } else { 443 };
    rebuilt(&uri, scheme, uri.port_u16().unwrap_or(usual)).unwrap_or(uri)
}

fn rebuilt(uri: &Uri, scheme: &str, port: u16) -> Option<Uri> {
    format!("{scheme}://{}:{port}/", uri.host()?).parse().ok()
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn scheme_of_proxy_and_upstream_decide_the_way() {
        let http = Proxies::new("proxy:3128", "").unwrap();
        assert!(matches!(http.route(&uri("https://a/v1")), Route::Tunnel(_)));
        assert!(
            matches!(http.route(&uri("http://a/v1")), Route::Forward(p) if p.port_u16() == Some(3128))
        );
        let socks = Proxies::new("socks5h://proxy", "").unwrap();
        assert!(matches!(socks.route(&uri("http://a/v1")), Route::Socks(_)));
        assert!(matches!(Proxies::none().route(&uri("http://a")), Route::Direct));
    }

    #[test]
    fn exceptions_and_this_machine_are_reached_directly() {
        let proxies = Proxies::new("http://proxy", "10.0.0.0/8,.internal").unwrap();
        for direct in [
            "https://10.1.2.3",
            "https://a.internal",
            "http://127.0.0.1:11434/v1",
            "http://localhost:1",
            "http://[::1]:1",
        ] {
            assert!(proxies.of(&uri(direct)).is_none(), "{direct}");
        }
        assert!(proxies.of(&uri("https://api.openai.com")).is_some());
        assert!(Proxies::new("http://proxy", "*").unwrap().of(&uri("https://a")).is_none());
    }

    #[test]
    fn a_password_is_sent_only_to_the_proxy_and_never_shown() {
        let proxies = Proxies::new("http://u:hidden@proxy", "").unwrap();
        let value = proxies.authorization(&uri("http://a")).unwrap();
        assert!(value.is_sensitive());
        assert_eq!(value.as_bytes(), b"Basic dTpoaWRkZW4=");
        assert!(proxies.authorization(&uri("https://a")).is_none());
        assert!(!format!("{proxies:?}").contains("hidden"));
    }

    #[test]
    fn ports_are_spelled_out_for_tunnels() {
        assert_eq!(with_port(uri("http://a/v1")), "http://a:80/");
        assert_eq!(with_port(uri("https://[::1]/v1")), "https://[::1]:443/");
        assert_eq!(plain(&uri("socks5://p")), "http://p:1080/");
    }
}
