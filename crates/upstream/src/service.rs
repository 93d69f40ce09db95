use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Version};
use hyper_rustls::{ConfigBuilderExt, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connect, HttpConnector},
    },
    rt::{TokioExecutor, TokioTimer},
};
use rustls::ClientConfig;
use tollgate_core::{Body, BoxError, Class, Refusal, Target};
use tollgate_wire::{Caller, prefix};
use tower_service::Service;

use crate::{
    ResponseFuture,
    connect::{Resolver, WithDeadline},
    headers, url,
};

/// The connector of [`Builder::build`]: TCP, and TLS where the URL says so.
pub type HttpsConnector = hyper_rustls::HttpsConnector<HttpConnector<Resolver>>;

/// The leaf of a stack: sends a request to its [`Target`] and answers with what came back.
///
/// The target is the `Arc<Target>` in the request's extensions, else [`Builder::target`]. Its base
/// URL and the request's path become one by [`url::join`]; [`headers::for_upstream`] decides what
/// the upstream sees, [`headers::from_upstream`] what comes back. The body goes as it is. Clones
/// share connections.
///
/// HTTP/1.1 and HTTP/2 by ALPN, `TCP_NODELAY`, connections kept. A request whose kept connection
/// turns out to be closed before a byte of it was sent goes out again on another, once per such
/// connection; nothing else is repeated here. Redirects are never followed. Over HTTP/2 all
/// requests to a host share one connection: beyond the upstream's limit of concurrent streams they
/// wait for each other. No proxy is read from the environment: [`Builder::build_on`] takes a
/// connector.
///
/// Dropping the future or the response body cancels the request at the upstream at once.
///
/// Everything that goes wrong is a response in the client's protocol with a typed
/// [`Failure`](tollgate_core::Failure) in its extensions: codes `upstream_connect`, `upstream_dns`,
/// `upstream_tls`, `upstream_connect_timeout` (nothing was sent), `upstream_reset`,
/// `upstream_protocol`, `upstream_redirect`, `upstream_encoding`. A path that would leave the base
/// URL is a [`Refusal`] with status 400, a request without target one with 404.
///
/// ```
/// use http::{Request, StatusCode};
/// use std::sync::Arc;
/// use tollgate_core::{Body, Failure, Protocol, Sent, Target};
/// use tollgate_upstream::Upstream;
/// use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// // Nobody listens at this address.
/// let target = Target::new("local", Protocol::OpenAiChat, "m", "http://127.0.0.1:1/v1".parse().unwrap());
/// let upstream = Upstream::builder().target(Arc::new(target)).build();
/// let request = Request::post("/v1/chat/completions").body(Body::from("{}")).unwrap();
/// let answer = upstream.oneshot(request).await.unwrap();
/// assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
/// assert_eq!(answer.extensions().get::<Failure>().unwrap().sent, Sent::No);
/// # }
/// ```
pub struct Upstream<C = HttpsConnector> {
    client: Client<WithDeadline<C>, Body>,
    settings: Arc<Settings>,
}

struct Settings {
    target: Option<Arc<Target>>,
    headers: BTreeMap<String, HeaderMap>,
    decoded_limit: u64,
}

impl Upstream {
    /// Returns an upstream with every default.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Default for Upstream {
    fn default() -> Self {
        Self::new()
    }
}

/// Settings of an [`Upstream`].
#[derive(Clone, Debug)]
pub struct Builder {
    connect: Duration,
    idle: Duration,
    idle_per_host: usize,
    decoded_limit: u64,
    target: Option<Arc<Target>>,
    headers: BTreeMap<String, HeaderMap>,
    tls: Option<ClientConfig>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            idle: Duration::from_secs(90),
            idle_per_host: 64,
            decoded_limit: 256 << 20,
            target: None,
            headers: BTreeMap::new(),
            tls: None,
        }
    }
}

impl Builder {
    /// Sets how long name, TCP and TLS may take together. Default: 3 seconds.
    pub fn connect_deadline(mut self, after: Duration) -> Self {
        self.connect = after;
        self
    }

    /// Sets how long an unused connection is kept. Default: 90 seconds.
    pub fn idle_timeout(mut self, after: Duration) -> Self {
        self.idle = after;
        self
    }

    /// Sets how many unused HTTP/1.1 connections are kept per host. Default: 64.
    pub fn max_idle_per_host(mut self, connections: usize) -> Self {
        self.idle_per_host = connections;
        self
    }

    /// Sets to how many bytes an encoded answer may decode. Default: 256 MiB. Answers that come as
    /// they were asked for, unencoded, have no limit here.
    pub fn decoded_limit(mut self, bytes: u64) -> Self {
        self.decoded_limit = bytes;
        self
    }

    /// Sets the target of requests that carry none. Default: they are refused.
    pub fn target(mut self, target: Arc<Target>) -> Self {
        self.target = Some(target);
        self
    }

    /// Adds headers for requests to `provider` that have none of that name. Default: only those
    /// its protocol demands ([`headers::required`]).
    pub fn headers(mut self, provider: impl Into<String>, headers: HeaderMap) -> Self {
        self.headers.insert(provider.into(), headers);
        self
    }

    /// Sets how TLS is spoken: own authorities, client certificates. Default: the system's
    /// authorities, or Mozilla's list where the system has none. ALPN is set here, whatever it was.
    pub fn tls(mut self, config: ClientConfig) -> Self {
        self.tls = Some(config);
        self
    }

    /// Returns the upstream.
    pub fn build(mut self) -> Upstream {
        let tls = self.tls.take();
        self.build_on(connector(tls))
    }

    /// Returns an upstream that connects through `connector`: a proxy, a unix socket, memory.
    /// [`Builder::tls`] has no effect then.
    pub fn build_on<C>(self, connector: C) -> Upstream<C>
    where
        C: Service<http::Uri> + Clone + Send + Sync + 'static,
        WithDeadline<C>: Connect + Clone,
    {
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(self.idle)
            .pool_max_idle_per_host(self.idle_per_host)
            .http2_adaptive_window(true)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .build(WithDeadline::new(connector, self.connect));
        let Self { target, headers, decoded_limit, .. } = self;
        Upstream { client, settings: Arc::new(Settings { target, headers, decoded_limit }) }
    }
}

fn connector(tls: Option<ClientConfig>) -> HttpsConnector {
    let mut http = HttpConnector::new_with_resolver(Resolver::new());
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_keepalive(Some(Duration::from_secs(60)));
    let mut tls = tls.unwrap_or_else(default_tls);
    tls.alpn_protocols.clear();
    HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(http)
}

fn default_tls() -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks the default versions");
    match builder.clone().with_native_roots() {
        Ok(native) => native.with_no_client_auth(),
        Err(error) => {
            tracing::debug!(%error, "no certificate authorities of the system, using Mozilla's");
            builder.with_webpki_roots().with_no_client_auth()
        }
    }
}

impl Settings {
    /// Makes the request what the upstream is to see.
    fn prepare(&self, mut request: Request<Body>) -> Result<Request<Body>, Refusal> {
        let target = request.extensions_mut().remove::<Arc<Target>>();
        let target = target.or_else(|| self.target.clone()).ok_or_else(nowhere)?;
        let (path, query) = (request.uri().path(), request.uri().query());
        let native = &path[prefix(path)..];
        let url = url::join(&target.base_url, target.protocol, native, query);
        *request.uri_mut() = url.map_err(|unsafe_path| {
            Refusal::new(Class::InvalidRequest, unsafe_path.to_string()).code("invalid_path")
        })?;
        headers::for_upstream(request.headers_mut());
        self.add_headers(request.headers_mut(), &target);
        *request.version_mut() = Version::HTTP_11;
        request.extensions_mut().clear();
        Ok(request)
    }

    fn add_headers(&self, headers: &mut HeaderMap, target: &Target) {
        let own = self.headers.get(&*target.provider).into_iter().flatten();
        for (name, value) in own {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        for (name, value) in headers::required(target.protocol) {
            let name = HeaderName::from_static(name);
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
    }
}

fn nowhere() -> Refusal {
    Refusal::new(Class::NotFound, "no upstream is known for this request")
}

impl<C, B> Service<Request<B>> for Upstream<C>
where
    WithDeadline<C>: Connect + Clone + Send + Sync + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = http::Response<crate::UpstreamBody>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        let caller = Caller::of(&request);
        match self.settings.prepare(request.map(Body::untouched)) {
            Ok(request) => {
                let sending = self.client.request(request);
                ResponseFuture::sending(sending, caller, self.settings.decoded_limit)
            }
            Err(refusal) => ResponseFuture::refused(caller.refuse(refusal)),
        }
    }
}

impl<C: Clone> Clone for Upstream<C> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), settings: self.settings.clone() }
    }
}

impl<C> fmt::Debug for Upstream<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("target", &self.settings.target)
            .field("decoded_limit", &self.settings.decoded_limit)
            .finish_non_exhaustive()
    }
}
