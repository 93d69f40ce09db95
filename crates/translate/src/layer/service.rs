use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use tollgate_core::{Body, BoxError, Call};
use tollgate_wire::Caller;
use tower_service::Service;

use super::{
    MediaFetch, NoFetch, ResponseFuture, TranslateBody, TranslateLayer, lane::Lane,
    unstreamed::Unstreamed,
};

/// Service that lets clients of one protocol ask an upstream of another. See
/// [`TranslateLayer`](super::TranslateLayer).
#[derive(Clone, Debug)]
pub struct Translate<S, M = NoFetch> {
    inner: S,
    layer: TranslateLayer<M>,
}

impl<S, M> Translate<S, M> {
    pub(super) fn new(inner: S, layer: TranslateLayer<M>) -> Self {
        Self { inner, layer }
    }
}

impl<S, M, B, R> Service<Request<B>> for Translate<S, M>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone,
    M: MediaFetch + Clone,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: http_body::Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Response = Response<TranslateBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, M, B, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if !Lane::may_differ(&self.layer.settings, &request) {
            let request = request.map(Body::untouched);
            let unstreamed = Unstreamed::of(&self.layer.settings, &request);
            return ResponseFuture::passing(self.inner.call(request), unstreamed);
        }
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let mut request = request.map(Body::untouched);
        // An inspection takes a request with a call at its word and would leave its body unread.
        let unread = request.body().frames().is_none();
        let call = unread.then(|| request.extensions_mut().remove::<Call>()).flatten();
        if let Some(call) = &call {
            let caller = Caller { protocol: call.protocol, id: call.id };
            request.extensions_mut().insert(caller);
        }
        let inspect = self.layer.settings.inspect.call(request);
        ResponseFuture::inspecting(inspect, call, inner, self.layer.clone())
    }
}
