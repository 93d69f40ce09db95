use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use tollgate_core::{Body, BoxError, Call, Principal, Reply};
use tollgate_wire::{Caller, Inspect, credential, locate};
use tower_service::Service;

use super::{Canonical, ResponseFuture, check::Gate};
use crate::KeyStore;

/// Service of [`KeyLayer`](super::KeyLayer).
pub struct KeyService<S, K, C> {
    inner: S,
    gate: Arc<Gate<K, C>>,
    inspect: Inspect,
}

impl<S, K, C> KeyService<S, K, C> {
    pub(super) fn new(inner: S, gate: Arc<Gate<K, C>>, inspect: Inspect) -> Self {
        Self { inner, gate, inspect }
    }
}

impl<S, K, C, B, R> Service<Request<B>> for KeyService<S, K, C>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone,
    K: KeyStore,
    C: Canonical,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Reply<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, S::Future, K, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut request = request.map(Body::untouched);
        match self.gate.who(&request) {
            Err(refusal) => ResponseFuture::refused(Caller::of(&request).refuse(refusal)),
            Ok(who) if who.models.is_all() && names_its_model(&request) => {
                credential::strip(&mut request);
                request.extensions_mut().insert(who);
                ResponseFuture::calling(self.inner.call(request))
            }
            Ok(who) => self.inspect_first(request, who),
        }
    }
}

/// Whether a request's protocol can be told without the headers that are about to be removed: of
/// what several protocols share (lists of models) it cannot, and there is no body to read.
fn names_its_model<B>(request: &Request<B>) -> bool {
    request.extensions().get::<Call>().is_some()
        || locate(request.method(), request.uri().path(), request.headers())
            .is_some_and(|located| located.route.operation.has_model())
}

impl<S: Clone, K, C> KeyService<S, K, C> {
    /// Takes the ready service along and leaves its clone: the call comes later.
    fn inspect_first<F>(
        &mut self,
        mut request: Request<Body>,
        who: Arc<Principal>,
    ) -> ResponseFuture<S, F, K, C> {
        request.extensions_mut().insert(who.clone());
        let caller = Caller::of(&request);
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let inspecting = self.inspect.call(request);
        ResponseFuture::inspecting(inspecting, inner, self.gate.clone(), (who, caller))
    }
}

impl<S: Clone, K, C> Clone for KeyService<S, K, C> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.gate.clone(), self.inspect)
    }
}

impl<S: fmt::Debug, K, C> fmt::Debug for KeyService<S, K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyService").field("inner", &self.inner).finish_non_exhaustive()
    }
}
