//! Fetches what a caller names by its address, and nothing that only this machine can reach.
//!
//! For gateways that must show an upstream what it cannot fetch itself (`protocols/README.md` §10).
//! [`Fetcher`] asks `https` addresses of the public internet: a name is resolved once, every address
//! it has must be public, and it is one of those that is connected to; each redirect is a fresh
//! question. No credential, no cookie, no proxy.
//!
//! ```
//! use tollgate_upstream::fetch::{FetchError, Fetcher};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let fetcher = Fetcher::new();
//! for url in ["https://127.0.0.1/a.png", "https://[::ffff:10.0.0.1]/a.png", "https://localhost/a.png"] {
//!     assert_eq!(fetcher.get(url, &["image/"]).await.unwrap_err(), FetchError::Host, "{url}");
//! }
//! assert_eq!(fetcher.get("http://e.org/a.png", &["image/"]).await.unwrap_err(), FetchError::Scheme);
//! # }
//! ```

mod address;
mod resolve;

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, Uri, header, uri::PathAndQuery};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

pub use self::address::is_public;
use self::resolve::Guarded;
use crate::{connect::Resolver, tls::Tls};

/// How often an address may send on to another.
const REDIRECTS: usize = 3;

/// Fetches what the public internet has. See the [module](self).
#[derive(Clone)]
pub struct Fetcher {
    /// Made when it is first needed: reading the system's authorities takes its time.
    client: Arc<OnceLock<Asking>>,
    rules: Rules,
}

type Asking = Client<HttpsConnector<HttpConnector<Guarded<Resolver>>>, Empty<Bytes>>;

/// What may be fetched.
#[derive(Clone, Debug)]
struct Rules {
    http: bool,
    hosts: Arc<[String]>,
    most: usize,
    within: Duration,
}

/// What was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The media type, lower case and without parameters.
    pub mime: String,
    /// Everything.
    pub bytes: Bytes,
}

/// Why something was not fetched. The words are for the caller and tell nothing of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchError {
    /// The address is no URL, or holds a user.
    Url,
    /// It is not `https`.
    Scheme,
    /// Its host is not on the public internet, or is not known.
    Host,
    /// It could not be connected to or read.
    Unreachable,
    /// It sends on more than three times.
    Redirects,
    /// It answered with this status.
    Status(u16),
    /// It is of another type than it must be.
    Type,
    /// It has more bytes than may be.
    TooLarge(usize),
    /// It took too long.
    TooSlow,
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => f.write_str("the address is no URL without a user"),
            Self::Scheme => f.write_str("the address is not `https`"),
            Self::Host => f.write_str("the address is not of the public internet"),
            Self::Unreachable => f.write_str("the address could not be read"),
            Self::Redirects => f.write_str("the address is redirected too often"),
            Self::Status(status) => write!(f, "the address answered {status}"),
            Self::Type => f.write_str("the address has something of another type"),
            Self::TooLarge(most) => write!(f, "the address has more than {most} bytes"),
            Self::TooSlow => f.write_str("the address took too long"),
        }
    }
}

impl std::error::Error for FetchError {}

impl Fetcher {
    /// Returns a fetcher of public `https` addresses: 20 MiB and 10 seconds each.
    pub fn new() -> Self {
        let rules = Rules {
            http: false,
            hosts: Arc::default(),
            most: 20 << 20,
            within: Duration::from_secs(10),
        };
        Self { client: Arc::default(), rules }
    }

    /// Also fetches `http`. Default: no.
    pub fn http(mut self, allowed: bool) -> Self {
        self.rules.http = allowed;
        self
    }

    /// Also fetches from these hosts, wherever they are: names or addresses of one's own network,
    /// exactly as they stand in a URL. Default: none.
    pub fn hosts(mut self, hosts: impl IntoIterator<Item = String>) -> Self {
        self.rules.hosts = hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect();
        self.client = Arc::default();
        self
    }

    /// Sets how many bytes one address may have. Default: 20 MiB.
    pub fn limit(mut self, bytes: usize) -> Self {
        self.rules.most = bytes;
        self
    }

    /// Sets how long one address may take, redirects included. Default: 10 seconds.
    pub fn within(mut self, time: Duration) -> Self {
        self.rules.within = time;
        self
    }

    /// Fetches `url`, whose media type must begin with one of `types`.
    ///
    /// Errors: see [`FetchError`].
    pub async fn get(&self, url: &str, types: &[&str]) -> Result<Fetched, FetchError> {
        let following = self.follow(url, types);
        tokio::time::timeout(self.rules.within, following).await.map_err(|_| FetchError::TooSlow)?
    }

    async fn follow(&self, url: &str, types: &[&str]) -> Result<Fetched, FetchError> {
        let mut uri: Uri = without_fragment(url).parse().map_err(|_| FetchError::Url)?;
        for _ in 0..=REDIRECTS {
            self.rules.check(&uri)?;
            let response = self.ask(&uri).await?;
            if !response.status().is_redirection() {
                return self.read(response, types).await;
            }
            uri = redirected(&uri, response.headers())?;
        }
        Err(FetchError::Redirects)
    }

    async fn ask(&self, uri: &Uri) -> Result<Response<Incoming>, FetchError> {
        let request = Request::get(uri)
            .header(header::ACCEPT, "*/*")
            .header(header::ACCEPT_ENCODING, "identity")
            .header(header::USER_AGENT, "tollgate")
            .body(Empty::new())
            .map_err(|_| FetchError::Url)?;
        let client = self.client.get_or_init(|| asking(&self.rules));
        client.request(request).await.map_err(|error| resolve::why(&error))
    }

    async fn read(
        &self,
        response: Response<Incoming>,
        types: &[&str],
    ) -> Result<Fetched, FetchError> {
        if !response.status().is_success() {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        let mime = mime(response.headers());
        if !types.iter().any(|kind| mime.starts_with(kind)) {
            return Err(FetchError::Type);
        }
        let too_large = FetchError::TooLarge(self.rules.most);
        let mut body = response.into_body();
        if http_body::Body::size_hint(&body).lower() > self.rules.most as u64 {
            return Err(too_large);
        }
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| FetchError::Unreachable)?;
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > self.rules.most {
                return Err(too_large);
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Fetched { mime, bytes: bytes.freeze() })
    }
}

/// A client that connects to nothing else.
fn asking(rules: &Rules) -> Asking {
    let resolver = Guarded::new(Resolver::new(), rules.hosts.clone());
    let mut tcp = HttpConnector::new_with_resolver(resolver);
    tcp.enforce_http(false);
    let mut tls = Tls::default().config();
    tls.alpn_protocols.clear();
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(tcp);
    // Nothing is kept: what an address is, is asked each time.
    Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector)
}

impl Default for Fetcher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl Rules {
    /// Whether this may be asked, as far as its text tells. What a name stands for is seen when it
    /// is resolved; an address in the URL never is.
    fn check(&self, uri: &Uri) -> Result<(), FetchError> {
        let authority = uri.authority().ok_or(FetchError::Url)?;
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if self.http => {}
            _ => return Err(FetchError::Scheme),
        }
        if authority.as_str().contains('@') {
            return Err(FetchError::Url);
        }
        let host = authority.host().to_ascii_lowercase();
        if self.hosts.contains(&host) {
            return Ok(());
        }
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        match literal.parse::<IpAddr>() {
            Ok(address) if !is_public(address) => Err(FetchError::Host),
            // An address with a zone is of a link of ours; what is written like a number is one in a
            // spelling that only some read.
            Err(_) if literal.contains(['%', ':']) || is_number(literal) => Err(FetchError::Host),
            _ => Ok(()),
        }
    }
}

/// Whether a host is taken for an address in numbers: its last part is one, or there is none.
fn is_number(host: &str) -> bool {
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x")
}

fn mime(headers: &HeaderMap) -> String {
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let said = said.and_then(|said| said.split(';').next()).unwrap_or_default();
    said.trim().to_ascii_lowercase()
}

fn without_fragment(url: &str) -> &str {
    url.split('#').next().unwrap_or_default()
}

/// Where an answer sends on to.
fn redirected(from: &Uri, headers: &HeaderMap) -> Result<Uri, FetchError> {
    let to = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
    let to = without_fragment(to.ok_or(FetchError::Unreachable)?);
    let scheme = from.scheme_str().unwrap_or("https");
    if to.contains("://") {
        return to.parse().map_err(|_| FetchError::Url);
    }
    if to.starts_with("//") {
        return format!("{scheme}:{to}").parse().map_err(|_| FetchError::Url);
    }
    let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
    let path = match to.as_bytes().first() {
        Some(b'/') => to.to_owned(),
        Some(b'?') => [from.path(), to].concat(),
        _ => [folder, "/", to].concat(),
    };
    let mut parts = from.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path).map_err(|_| FetchError::Url)?);
    Uri::from_parts(parts).map_err(|_| FetchError::Url)
}
