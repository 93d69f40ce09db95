use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use tollgate_core::{Body, BoxError};
use tollgate_wire::Inspect;
use tower_service::Service;

use crate::{Resolve, ResponseBody, ResponseFuture};

/// Middleware that decides who answers. See the [module](crate).
#[derive(Clone, Debug)]
pub struct Route<S, R> {
    pub(crate) inner: S,
    pub(crate) resolve: R,
    pub(crate) inspect: Inspect,
}

impl<S, R, B, ResBody> Service<Request<B>> for Route<S, R>
where
    S: Service<Request<Body>, Response = Response<ResBody>> + Clone,
    R: Resolve + Clone,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<ResBody, R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, R, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let clone = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, clone);
        ResponseFuture::new(self.inspect.call(request), ready, self.resolve.clone())
    }
}
