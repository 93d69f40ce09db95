use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::time::Instant;
use tollgate_core::{BoxError, Call};
use tower_service::Service;

use super::{ResponseFuture, SseBody, finish::Client, layer::Settings};
use crate::call::call_of;

/// Service that gives clients honest event streams, made by [`SseLayer`](super::SseLayer).
#[derive(Clone, Copy, Debug)]
pub struct Sse<S> {
    inner: S,
    settings: Settings,
}

impl<S> Sse<S> {
    pub(super) fn new(inner: S, settings: Settings) -> Self {
        Self { inner, settings }
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Sse<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Body<Data = Bytes>,
    ResBody::Error: Into<BoxError>,
{
    type Response = Response<SseBody<S::Future, ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let call = call_of(&request).filter(|call| call.operation.has_model());
        let is_read = request.extensions().get::<Call>().is_some();
        let future = self.inner.call(request);
        match call {
            None => ResponseFuture::pass(future),
            Some(call) => {
                let since = Instant::now();
                let settings = self.settings;
                ResponseFuture::gated(future, Client { call, is_read, since, settings })
            }
        }
    }
}
