use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, header};
use tollgate_core::{Body, BoxError, Call, Operation, Outcome, Protocol, Target};
use tollgate_wire::usage::{Profile, ask};
use tower_service::Service;

use crate::{
    Ledger, MeterBody, MeterLayer, Prices, ResponseFuture,
    account::{Account, Facts},
    future::Calling,
    layer::Settings,
    meter::Undo,
};

/// Service that records one charge for each attempt. See [`MeterLayer`].
pub struct Meter<S, L, P> {
    inner: S,
    // Shared: a service is cloned for each request.
    layer: Arc<MeterLayer<L, P>>,
}

impl<S, L, P> Meter<S, L, P> {
    pub(crate) fn new(inner: S, layer: MeterLayer<L, P>) -> Self {
        Self { inner, layer: Arc::new(layer) }
    }
}

impl<S, L, P, B, R> Service<Request<B>> for Meter<S, L, P>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone,
    L: Ledger,
    P: Prices,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<MeterBody<R, L, P>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, L, P, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if request.extensions().get::<Call>().is_some() {
            let mut request = request.map(Body::untouched);
            let calling = self.layer.open(&mut request);
            return ResponseFuture::calling(self.inner.call(request), calling);
        }
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let inspect = self.layer.settings.inspect.call(request);
        ResponseFuture::inspecting(inspect, inner, self.layer.clone())
    }
}

impl<L: Ledger, P: Prices> MeterLayer<L, P> {
    /// Opens the account of an attempt, and asks for usage where the client did not.
    pub(crate) fn open(self: &Arc<Self>, request: &mut Request<Body>) -> Calling<L, P> {
        let Settings { target, drains, .. } = &self.settings;
        let extensions = request.extensions();
        let target = extensions.get::<Arc<Target>>().or(target.as_ref()).cloned();
        let Some(call) = extensions.get::<Call>().cloned() else {
            return Calling::none();
        };
        let outcome = extensions.get::<Outcome>().cloned().unwrap_or_default();
        let protocol = target.as_ref().map_or(call.protocol, |target| target.protocol);
        let profile = profile(protocol, target.as_deref(), call.operation);
        let undo = profile.map_or_else(Undo::default, |profile| asked(request, &call, profile));
        let drain = drains.as_ref().zip(target.as_deref()).and_then(|(drains, t)| drains.of(t));
        let facts = Facts::new(call, target, request);
        let account = Account::new(facts, outcome, self.clone());
        let span = account.span.clone();
        Calling { account: Some(Box::new(account)), profile, undo, drain, span, is_sent: false }
    }
}

/// How the usage is told; `None` for operations that tell none.
fn profile(protocol: Protocol, target: Option<&Target>, operation: Operation) -> Option<Profile> {
    let tells = matches!(operation, Operation::Generate | Operation::Embed);
    tells.then(|| Profile::of(protocol, target.map_or("", |target| &target.kind)))
}

/// Asks for usage. What the upstream will refuse anyway goes on as it is.
fn asked(request: &mut Request<Body>, call: &Call, profile: Profile) -> Undo {
    let may_ask = call.operation == Operation::Generate && call.stream && !call.stream_usage;
    if !may_ask && !call.asks_cost {
        return Undo::default();
    }
    let Some(asked) = request.body().frames().and_then(|frames| ask(frames, profile).ok()) else {
        return Undo::default();
    };
    if let Some(length) = request.headers_mut().get_mut(header::CONTENT_LENGTH) {
        *length = asked.body.len().into();
    }
    request.body_mut().set_frames(asked.body);
    Undo { strip: asked.strip, cost: asked.cost }
}

impl<S: Clone, L, P> Clone for Meter<S, L, P> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

impl<S: fmt::Debug, L, P> fmt::Debug for Meter<S, L, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").field("inner", &self.inner).field("layer", &self.layer).finish()
    }
}
