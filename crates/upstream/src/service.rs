use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request, Version, header, uri::Scheme};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::{Client, connect::Connect},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::ClientConfig;
use tollgate_core::{Body, BoxError, Call, Class, Operation, Refusal, Target, Transport};
use tollgate_wire::{Caller, locate, prefix};
use tower_service::Service;

use crate::{
    InvalidPem, Proxies, ResponseFuture, Signer,
    connect::{Dialer, WithDeadline},
    future::{Again, Sending, UnderWay},
    headers, hosted,
    lanes::Lanes,
    tls::Tls,
    transport,
};

/// The connector of [`Builder::build`]: TCP, a proxy where one is set, and TLS where the URL says so.
pub type HttpsConnector = hyper_rustls::HttpsConnector<Dialer>;

/// The leaf of a stack: sends a request to its [`Target`] and answers with what came back.
///
/// The target is the `Arc<Target>` in the request's extensions, else [`Builder::target`]. Its base
/// URL and the request's path become one by [`transport::address`]; [`headers::for_upstream`] decides what
/// the upstream sees, [`headers::from_upstream`] what comes back. The body goes as it is. Clones
/// share connections.
///
/// HTTP/1.1 and HTTP/2 by ALPN, `TCP_NODELAY`, connections kept. A request whose kept connection
/// turns out to be closed before a byte of it was sent goes out again on another, once per such
/// connection; one that HTTP/2 says was not processed (a refused stream, one beyond a GOAWAY) goes
/// out once more if its body was read and can be sent twice; nothing else is repeated here.
/// Redirects are never followed. Over HTTP/2 a hundred concurrent requests share one connection,
/// then another is opened ([`Builder::streams_per_connection`]).
///
/// Dropping the future or the response body cancels the request at the upstream at once.
///
/// Everything that goes wrong is a response in the client's protocol with a typed
/// [`Failure`](tollgate_core::Failure) in its extensions: codes `upstream_connect`, `upstream_dns`,
/// `upstream_tls`, `upstream_proxy`, `upstream_connect_timeout` (nothing was sent), `upstream_reset`,
/// `upstream_protocol`, `upstream_redirect`, `upstream_encoding`, `upstream_empty`. A path that would leave the base
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
    clients: Lanes<Client<WithDeadline<C>, Body>>,
    settings: Arc<Settings>,
}

pub(crate) struct Settings {
    target: Option<Arc<Target>>,
    headers: BTreeMap<String, HeaderMap>,
    decoded_limit: u64,
    proxies: Proxies,
    signers: BTreeMap<String, Arc<dyn Signer>>,
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
    streams: usize,
    connections: usize,
    decoded_limit: u64,
    target: Option<Arc<Target>>,
    headers: BTreeMap<String, HeaderMap>,
    tls: Option<ClientConfig>,
    trust: Tls,
    proxies: Option<Proxies>,
    signers: BTreeMap<String, Arc<dyn Signer>>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            idle: Duration::from_secs(90),
            idle_per_host: 64,
            streams: 100,
            connections: 16,
            decoded_limit: 256 << 20,
            target: None,
            headers: BTreeMap::new(),
            tls: None,
            trust: Tls::default(),
            proxies: None,
            signers: BTreeMap::new(),
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

    /// Sets after how many concurrent requests another HTTP/2 connection to the same host is opened.
    /// Default: 100, what upstreams commonly allow. Beyond what an upstream allows on a connection
    /// requests wait for each other.
    pub fn streams_per_connection(mut self, requests: usize) -> Self {
        self.streams = requests;
        self
    }

    /// Sets how many HTTP/2 connections to a host there are at most. Default: 16. HTTP/1.1 has one
    /// per concurrent request, and this many pools of [`Builder::max_idle_per_host`].
    pub fn max_http2_connections(mut self, connections: usize) -> Self {
        self.connections = connections;
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

    /// Sets who signs requests to targets with this credential's name. Default: nobody. What is
    /// signed is read before it is sent, up to 32 MiB where nobody has read it.
    pub fn signer(mut self, credential: impl Into<String>, signer: Arc<dyn Signer>) -> Self {
        self.signers.insert(credential.into(), signer);
        self
    }

    /// Sets which upstreams are reached through which proxy. Default: as the environment says
    /// ([`Proxies::from_env`]), read by [`Builder::build`].
    pub fn proxy(mut self, proxies: Proxies) -> Self {
        self.proxies = Some(proxies);
        self
    }

    /// Adds authorities to trust, one or more certificates in PEM. Default: the system's alone, or
    /// Mozilla's list where the system has none.
    ///
    /// Errors: see [`InvalidPem`].
    pub fn extra_ca(mut self, pem: impl AsRef<[u8]>) -> Result<Self, InvalidPem> {
        self.trust.trust(pem.as_ref())?;
        Ok(self)
    }

    /// Sets the certificate, with its chain, and the private key to show to upstreams that ask for
    /// one, both in PEM. Default: none.
    ///
    /// Errors: see [`InvalidPem`].
    pub fn client_certificate(
        mut self,
        chain: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<Self, InvalidPem> {
        self.trust.identify(chain.as_ref(), key.as_ref())?;
        Ok(self)
    }

    /// Sets everything about TLS at once; [`Builder::extra_ca`] and [`Builder::client_certificate`]
    /// have no effect then. ALPN is set here, whatever it was.
    pub fn tls(mut self, config: ClientConfig) -> Self {
        self.tls = Some(config);
        self
    }

    /// Returns the upstream.
    pub fn build(mut self) -> Upstream {
        let tls = self.tls.take().unwrap_or_else(|| self.trust.config());
        let proxies = self.proxies.take().unwrap_or_else(Proxies::from_env);
        self.assemble(connector(tls, proxies.clone()), proxies)
    }

    /// Returns an upstream that connects through `connector`: a proxy, a unix socket, memory.
    /// What was said of TLS and proxies has no effect then.
    pub fn build_on<C>(self, connector: C) -> Upstream<C>
    where
        C: Service<http::Uri> + Clone + Send + Sync + 'static,
        WithDeadline<C>: Connect + Clone,
    {
        self.assemble(connector, Proxies::none())
    }

    fn assemble<C>(self, connector: C, proxies: Proxies) -> Upstream<C>
    where
        C: Clone,
        WithDeadline<C>: Connect + Clone,
    {
        let connector = WithDeadline::new(connector, self.connect);
        let client = || {
            Client::builder(TokioExecutor::new())
                .timer(TokioTimer::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(self.idle)
                .pool_max_idle_per_host(self.idle_per_host)
                .http2_adaptive_window(true)
                .http2_keep_alive_interval(Duration::from_secs(20))
                .build(connector.clone())
        };
        let clients = Lanes::new(self.connections, self.streams, client);
        let Self { target, headers, decoded_limit, signers, .. } = self;
        let settings = Settings { target, headers, decoded_limit, proxies, signers };
        Upstream { clients, settings: Arc::new(settings) }
    }
}

/// TLS on top of what the dialer opens.
fn connector(mut tls: ClientConfig, proxies: Proxies) -> HttpsConnector {
    tls.alpn_protocols.clear();
    let dialer = Dialer::new(proxies, tls.clone());
    HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(dialer)
}

impl Settings {
    fn target(&self, extensions: &mut Extensions) -> Option<Arc<Target>> {
        extensions.remove::<Arc<Target>>().or_else(|| self.target.clone())
    }

    /// Who signs requests to `target`.
    pub(crate) fn signer(&self, target: &Target) -> Option<&Arc<dyn Signer>> {
        self.signers.get(target.credential.as_deref()?)
    }

    /// Whether the request was seen to ask for a stream.
    pub(crate) fn streams(&self, extensions: &Extensions) -> bool {
        extensions.get::<Call>().is_some_and(|call| call.stream)
    }

    /// Makes the request what the upstream is to see.
    pub(crate) fn prepare<B>(
        &self,
        mut request: Request<B>,
        target: &Target,
        stream: bool,
    ) -> Result<Request<B>, Refusal> {
        let (path, query) = (request.uri().path(), request.uri().query());
        let native = &path[prefix(path)..];
        let url = transport::address(target, native, query, stream);
        *request.uri_mut() = url.map_err(|unsafe_path| {
            Refusal::new(Class::InvalidRequest, unsafe_path.to_string()).code("invalid_path")
        })?;
        headers::for_upstream(request.headers_mut());
        self.add_headers(request.headers_mut(), target);
        if let Some(value) = self.proxies.authorization(request.uri()) {
            request.headers_mut().insert(header::PROXY_AUTHORIZATION, value);
        }
        *request.version_mut() = Version::HTTP_11;
        request.extensions_mut().clear();
        Ok(request)
    }

    /// What is to be known when the answer comes.
    fn way(&self, caller: Caller, target: &Target, request: &Request<Body>) -> UnderWay {
        UnderWay {
            caller,
            decoded_limit: self.decoded_limit,
            wants_body: has_model(request),
            amazon_events: matches!(target.transport, Transport::BedrockInvoke { .. }),
            place: None,
            again: None,
        }
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

/// Whether a request asks a model for something, which it must answer with.
fn has_model<B>(request: &Request<B>) -> bool {
    let operation = match request.extensions().get::<Call>() {
        Some(call) => Some(call.operation),
        None => locate(request.method(), request.uri().path(), request.headers())
            .map(|located| located.route.operation),
    };
    operation.is_some_and(Operation::has_model)
}

/// Keeps a request for the case that HTTP/2 says it was not processed: one that may travel over
/// HTTP/2, which is only spoken over TLS, and whose body can be sent twice.
fn again<C>(client: &Client<C, Body>, request: &Request<Body>) -> Option<Again>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    if request.uri().scheme() != Some(&Scheme::HTTPS) {
        return None;
    }
    let body = request.body().try_clone()?;
    let mut copy = Request::new(body);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    let client = client.clone();
    Some(Box::new(move || client.request(copy)))
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
        let mut request = request.map(Body::untouched);
        let Some(target) = self.settings.target(request.extensions_mut()) else {
            return ResponseFuture::refused(caller.refuse(nowhere()));
        };
        let way = self.settings.way(caller, &target, &request);
        if hosted::is_hosted(&self.settings, &target) {
            let preparing = hosted::prepare(self.settings.clone(), target, caller, request);
            let clients = self.clients.clone();
            return ResponseFuture::preparing(
                async move { Ok(send(&clients, way, preparing.await?)) },
            );
        }
        let stream = self.settings.streams(request.extensions());
        match self.settings.prepare(request, &target, stream) {
            Ok(request) => ResponseFuture::sending(send(&self.clients, way, request)),
            Err(refusal) => ResponseFuture::refused(caller.refuse(refusal)),
        }
    }
}

/// Hands a request to a client that has room for it.
fn send<C>(clients: &Lanes<Client<C, Body>>, mut way: UnderWay, request: Request<Body>) -> Sending
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let (client, place) = clients.take();
    way.place = Some(place);
    way.again = again(client, &request);
    Sending { future: client.request(request), request: way }
}

impl<C> Clone for Upstream<C> {
    fn clone(&self) -> Self {
        Self { clients: self.clients.clone(), settings: self.settings.clone() }
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
