use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tollgate_core::{Class, Refusal, Reply};
use tollgate_wire::Caller;
use tower_service::Service;

use crate::{Load, ResponseFuture, ShedBody, layer::Settings};

/// Service that refuses what is more than the inner one can do at once, made by
/// [`ShedLayer`](crate::ShedLayer). Clones share the limit.
#[derive(Clone, Debug)]
pub struct Shed<S> {
    inner: S,
    settings: Settings,
    load: Load,
}

impl<S> Shed<S> {
    pub(crate) fn new(inner: S, settings: Settings, load: Load) -> Self {
        Self { inner, settings, load }
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Shed<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Body<Data = Bytes>,
{
    type Response = Response<Reply<ShedBody<ResBody>>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        match self.load.enter(self.settings.limit) {
            Some(permit) => ResponseFuture::calling(self.inner.call(request), permit),
            None => {
                let refusal = overloaded().retry_after(self.settings.retry_after);
                ResponseFuture::refused(Caller::of(&request).refuse(refusal))
            }
        }
    }
}

fn overloaded() -> Refusal {
    Refusal::new(Class::Overloaded, "the gateway has more requests in progress than it can take")
        .code("overloaded")
}
