//! A panic ends one call, not the process.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tollgate_core::{BoxError, CallId, Class, Refusal, Reply, StreamError};
use tollgate_wire::Caller;
use tower::{Layer, Service};

use crate::counts::Counts;

const CODE: &str = "internal_error";
const MESSAGE: &str = "the gateway failed on this call";

/// Layer of [`Panics`].
#[derive(Clone, Debug)]
pub(super) struct PanicLayer {
    counts: Counts,
}

impl PanicLayer {
    /// Returns the layer; `counts` counts what is caught.
    pub(super) fn new(counts: Counts) -> Self {
        Self { counts }
    }
}

impl<S> Layer<S> for PanicLayer {
    type Service = Panics<S>;

    fn layer(&self, inner: S) -> Panics<S> {
        Panics { inner, counts: self.counts.clone() }
    }
}

/// Middleware that answers 500 in the caller's protocol where the inner service panics, and ends
/// the body in a [`StreamError`] where the inner body does.
#[derive(Clone, Debug)]
pub(super) struct Panics<S> {
    inner: S,
    counts: Counts,
}

/// Somebody panicked.
struct Panicked;

/// What is caught, and on whose behalf.
#[derive(Clone, Debug)]
struct Net {
    counts: Counts,
    id: CallId,
}

impl Net {
    fn catch<T>(&self, run: impl FnOnce() -> T) -> Result<T, Panicked> {
        catch_unwind(AssertUnwindSafe(run)).map_err(|_| {
            self.counts.panic();
            tracing::error!(call = %self.id, "a panic ended a call");
            Panicked
        })
    }
}

impl<S, B, ResBody> Service<Request<B>> for Panics<S>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
    ResBody: Body<Data = Bytes>,
    ResBody::Error: Into<BoxError>,
{
    type Response = Response<Reply<PanicBody<ResBody>>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let caller = Caller::of(&request);
        let net = Net { counts: self.counts.clone(), id: caller.id };
        // Neither goes through what catches panics: it would move them twice more.
        let (mut request, mut future) = (Some(request), None);
        let call = || future = request.take().map(|request| self.inner.call(request));
        let _ = net.catch(call);
        ResponseFuture { future, net: Some(net), caller }
    }
}

pin_project! {
    /// Response future of [`Panics`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        // `None`: it panicked.
        #[pin]
        future: Option<F>,
        net: Option<Net>,
        caller: Caller,
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Reply<PanicBody<B>>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let net = this.net.as_ref().expect("not polled after it was ready");
        let polled = match this.future.as_mut().as_pin_mut() {
            Some(future) => net.catch(|| future.poll(cx)),
            None => Err(Panicked),
        };
        let Ok(polled) = polled else {
            let _ = net.catch(|| this.future.set(None));
            let refusal = Refusal::new(Class::ServerError, MESSAGE).code(CODE);
            let mut response = this.caller.refuse(refusal);
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            return Poll::Ready(Ok(response.map(Reply::own)));
        };
        let response = ready!(polled)?;
        let net = this.net.take().expect("there was one above");
        Poll::Ready(Ok(response.map(|body| Reply::inner(PanicBody { body: Some(body), net }))))
    }
}

pin_project! {
    /// A body that ends in an error where the inner one panics. Its frames pass untouched.
    #[derive(Debug)]
    pub struct PanicBody<B> {
        // `None`: it panicked.
        #[pin]
        body: Option<B>,
        net: Net,
    }
}

impl<B> Body for PanicBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let Some(body) = this.body.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        match this.net.catch(|| body.poll_frame(cx)) {
            Ok(polled) => polled.map(|frame| frame.map(|frame| frame.map_err(Into::into))),
            Err(Panicked) => {
                let _ = this.net.catch(|| this.body.set(None));
                let error = StreamError::new(Class::ServerError, MESSAGE).code(CODE);
                Poll::Ready(Some(Err(error.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{BodyExt, Full};
    use tollgate_testkit::{ScriptBody, wrapper_contract};
    use tower::{ServiceExt, service_fn};

    use super::*;

    fn request() -> Request<()> {
        Request::post("/v1/chat/completions").body(()).unwrap()
    }

    fn net(counts: &Counts) -> Net {
        Net { counts: counts.clone(), id: CallId::random() }
    }

    #[tokio::test]
    #[allow(clippy::panic, reason = "it is what is tested")]
    async fn a_panic_before_the_head_is_a_500_in_the_callers_protocol() {
        let counts = Counts::default();
        let service = PanicLayer::new(counts.clone()).layer(service_fn(|_: Request<()>| async {
            if true {
                panic!("of this test");
            }
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }));
        let answer = service.oneshot(request()).await.unwrap();
        assert_eq!((answer.status().as_u16(), counts.panics()), (500, 1));
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(text.starts_with(br#"{"error":{"message""#), "{text:?}");
    }

    #[derive(Debug)]
    struct Bomb;

    impl Body for Bomb {
        type Data = Bytes;
        type Error = Infallible;

        #[allow(clippy::panic, reason = "it is what is tested")]
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            panic!("of this test")
        }
    }

    #[tokio::test]
    async fn a_panic_in_the_body_is_its_last_error() {
        let counts = Counts::default();
        let mut body = PanicBody { body: Some(Bomb), net: net(&counts) };
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(StreamError::from_boxed(error).stable_code(), Some(CODE));
        assert!(body.frame().await.is_none() && body.is_end_stream());
        assert_eq!(counts.panics(), 1);
    }

    #[tokio::test]
    async fn the_body_keeps_the_body_contract() {
        let counts = Counts::default();
        let wrap = |body: ScriptBody| PanicBody { body: Some(body), net: net(&counts) };
        wrapper_contract(wrap).await;
        assert_eq!(counts.panics(), 0);
    }
}
