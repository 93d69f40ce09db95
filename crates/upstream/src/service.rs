use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request, Version, header};
use tollgate_core::{Body, BoxError, Call, Class, Operation, Refusal, Target, Transport};
use tollgate_wire::{Caller, locate, prefix};
use tower_service::Service;

use crate::{
    Builder, Proxies, ResponseFuture, Signer,
    connect::{Connector, Dialer},
    future::{Sending, UnderWay},
    headers, hosted,
    lanes::Lanes,
    pool::Pool,
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
/// then another is opened ([`Builder::streams_per_connection`]). One of HTTP/1.1 is driven by the
/// request on it, without a task: what of an upload was not sent when the answer's head came is
/// sent as the answer is read.
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
    pub(crate) pools: Lanes<Pool<C>>,
    pub(crate) settings: Arc<Settings>,
}

pub(crate) struct Settings {
    pub(crate) target: Option<Arc<Target>>,
    pub(crate) headers: BTreeMap<String, HeaderMap>,
    pub(crate) decoded_limit: u64,
    pub(crate) proxies: Proxies,
    pub(crate) signers: BTreeMap<String, Arc<dyn Signer>>,
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
        *request.uri_mut() = transport::address(target, native, query, stream)?;
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
            shown: None,
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

impl<C, B> Service<Request<B>> for Upstream<C>
where
    C: Connector,
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
        let mut way = self.settings.way(caller, &target, &request);
        if hosted::is_hosted(&self.settings, &target) {
            let preparing = hosted::prepare(self.settings.clone(), target, caller, request);
            let pools = self.pools.clone();
            return ResponseFuture::preparing(async move {
                let mut request = preparing.await?;
                way.shown = request.extensions_mut().remove();
                Ok(send(&pools, way, request))
            });
        }
        let stream = self.settings.streams(request.extensions());
        match self.settings.prepare(request, &target, stream) {
            Ok(request) => ResponseFuture::sending(send(&self.pools, way, request)),
            Err(refusal) => ResponseFuture::refused(caller.refuse(refusal)),
        }
    }
}

/// Hands a request to a pool that has room for it.
fn send<C: Connector>(
    pools: &Lanes<Pool<C>>,
    mut way: UnderWay,
    request: Request<Body>,
) -> Sending {
    let (pool, place) = pools.take();
    way.place = Some(place);
    Sending { future: Box::pin(pool.clone().request(request)), request: way }
}

impl<C> Clone for Upstream<C> {
    fn clone(&self) -> Self {
        Self { pools: self.pools.clone(), settings: self.settings.clone() }
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
