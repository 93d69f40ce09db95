use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tollgate_core::{BoxError, Reply};
use tollgate_wire::Caller;
use tower_service::Service;

use super::{DeadlineBody, DeadlineFuture, Deadlines, clock::Clock};
use crate::call::call_of;

/// Service that limits how long one upstream may be silent, made by
/// [`DeadlineLayer`](super::DeadlineLayer).
#[derive(Clone, Copy, Debug)]
pub struct DeadlineService<S> {
    inner: S,
    deadlines: Deadlines,
}

impl<S> DeadlineService<S> {
    pub(super) fn new(inner: S, deadlines: Deadlines) -> Self {
        Self { inner, deadlines }
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for DeadlineService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Body<Data = Bytes>,
    ResBody::Error: Into<BoxError>,
{
    type Response = Response<Reply<DeadlineBody<ResBody>>>;
    type Error = S::Error;
    type Future = DeadlineFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let call = call_of(&request);
        let caller = match &call {
            Some(call) => Caller { protocol: call.protocol, id: call.id },
            None => Caller::of(&request),
        };
        let clock = Box::new(Clock::new(self.deadlines, request.extensions(), call));
        DeadlineFuture::new(self.inner.call(request), clock, caller)
    }
}
