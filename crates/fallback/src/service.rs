use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use tollgate_core::{Body, BoxError, Call, Plan, Reply};
use tower_service::Service;

use crate::{
    FallbackBody, Policy, ResponseFuture,
    layer::Settings,
    run::{Run, Step},
};

/// Service that asks another upstream when one fails, made by
/// [`FallbackLayer`](crate::FallbackLayer). Clones share budget and counts.
#[derive(Clone, Debug)]
pub struct Fallback<S, P> {
    pub(crate) inner: S,
    /// Never polled: what further attempts are made with is cloned from it.
    pub(crate) spare: Arc<S>,
    pub(crate) policy: P,
    pub(crate) settings: Arc<Settings>,
}

impl<S, P, B, R> Service<Request<B>> for Fallback<S, P>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone,
    P: Policy + Clone,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: http_body::Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Response = Response<Reply<FallbackBody<R>>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, P, B, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let facts = request.extensions();
        if facts.get::<Plan>().is_none_or(|plan| plan.chosen.is_empty()) {
            return ResponseFuture::passing(self.inner.call(request.map(Body::untouched)));
        }
        if facts.get::<Call>().is_none() {
            let clone = self.clone();
            let ready = std::mem::replace(self, clone);
            return ResponseFuture::inspecting(self.settings.inspect.call(request), ready);
        }
        let run = Run::new(self.spare.clone(), self.policy.clone(), self.settings.clone());
        self.run(run, request.map(Body::untouched))
    }
}

impl<S, P> Fallback<S, P>
where
    S: Service<Request<Body>>,
    P: Policy,
{
    /// Makes the first attempt with the readiness there is, if somebody may be asked now.
    fn run<B, R>(
        &mut self,
        mut run: Run<S, P, S::Error>,
        request: Request<Body>,
    ) -> ResponseFuture<S, P, B, R> {
        match run.first(request) {
            Step::Ask(request) => ResponseFuture::calling(self.inner.call(request), run),
            Step::Pause(at) => ResponseFuture::pausing(at, run),
            Step::Done(answer) => ResponseFuture::done(answer),
        }
    }

    /// The same, once a request that nobody had inspected is.
    pub(crate) fn run_inspected<B, R>(
        mut self,
        request: Request<Body>,
    ) -> ResponseFuture<S, P, B, R>
    where
        P: Clone,
    {
        let run = Run::new(self.spare.clone(), self.policy.clone(), self.settings.clone());
        self.run(run, request)
    }
}
