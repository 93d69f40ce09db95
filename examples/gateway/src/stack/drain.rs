//! Whoever is still running when the gateway must end is told so.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tollgate_core::{BoxError, Class, Refusal, Reply, StreamError};
use tollgate_wire::Caller;
use tower::{Layer, Service};

use crate::signal::{Signal, Waiter};

const CODE: &str = "gateway_draining";
const MESSAGE: &str = "the gateway is shutting down";

/// Layer of [`Draining`].
#[derive(Clone, Debug)]
pub(super) struct DrainLayer {
    cut: Signal,
}

impl DrainLayer {
    /// Returns the layer; `cut` ends whatever is running.
    pub(super) fn new(cut: Signal) -> Self {
        Self { cut }
    }
}

impl<S> Layer<S> for DrainLayer {
    type Service = Draining<S>;

    fn layer(&self, inner: S) -> Draining<S> {
        Draining { inner, cut: self.cut.clone() }
    }
}

/// Middleware that ends every call when a signal is given: with a refusal before the head, with a
/// [`StreamError`] after it, which the layer outside renders as the stream's last event.
#[derive(Clone, Debug)]
pub(super) struct Draining<S> {
    inner: S,
    cut: Signal,
}

impl<S, B, ResBody> Service<Request<B>> for Draining<S>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
    ResBody: Body<Data = Bytes>,
    ResBody::Error: Into<BoxError>,
{
    type Response = Response<Reply<DrainBody<ResBody>>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let caller = Caller::of(&request);
        let future = (!self.cut.is_given()).then(|| self.inner.call(request));
        ResponseFuture { future, cut: Some(self.cut.waiter()), caller }
    }
}

pin_project! {
    /// Response future of [`Draining`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        // `None` once the signal was given: the upstream is told at once by the drop.
        #[pin]
        future: Option<F>,
        cut: Option<Waiter>,
        caller: Caller,
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Reply<DrainBody<B>>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(future) = this.future.as_mut().as_pin_mut() {
            if let Poll::Ready(answer) = future.poll(cx) {
                let cut = this.cut.take().expect("not polled after it was ready");
                let body = |body| Reply::inner(DrainBody { body: Some(body), cut });
                return Poll::Ready(answer.map(|response| response.map(body)));
            }
            if !this.cut.as_mut().expect("taken only when it is ready").poll(cx) {
                return Poll::Pending;
            }
        }
        this.future.set(None);
        let refusal = Refusal::new(Class::Overloaded, MESSAGE).code(CODE);
        let refusal = refusal.retry_after(Duration::from_secs(1));
        Poll::Ready(Ok(this.caller.refuse(refusal).map(Reply::own)))
    }
}

pin_project! {
    /// A body that ends in a [`StreamError`] when the signal is given. Its frames pass untouched.
    #[derive(Debug)]
    pub struct DrainBody<B> {
        // `None` once the signal was given.
        #[pin]
        body: Option<B>,
        cut: Waiter,
    }
}

impl<B> Body for DrainBody<B>
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
        if !this.cut.is_given() {
            match body.poll_frame(cx) {
                Poll::Ready(frame) => return Poll::Ready(frame.map(|f| f.map_err(Into::into))),
                Poll::Pending if !this.cut.poll(cx) => return Poll::Pending,
                Poll::Pending => {}
            }
        }
        this.body.set(None);
        Poll::Ready(Some(Err(StreamError::new(Class::Overloaded, MESSAGE).code(CODE).into())))
    }

    /// A body that has ended is not cut.
    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};
    use tollgate_testkit::{Answer, Script, Upstream, wrapper_contract};
    use tower::ServiceExt;

    use super::*;

    fn request() -> Request<Full<Bytes>> {
        Request::post("/v1/messages").body(Full::default()).unwrap()
    }

    #[tokio::test]
    async fn who_waits_for_a_head_is_refused() {
        let cut = Signal::new();
        let upstream = Upstream::always(Answer::silence());
        let service = DrainLayer::new(cut.clone()).layer(upstream.clone());
        let waiting = tokio::spawn(service.clone().oneshot(request()));
        tokio::task::yield_now().await;
        cut.give();
        let answer = waiting.await.unwrap().unwrap();
        assert_eq!(answer.extensions().get::<Refusal>().unwrap().code, Some(CODE));
        assert_eq!(answer.headers()["retry-after"], "1");
        let late = service.oneshot(request()).await.unwrap();
        assert!(late.status().is_server_error());
        assert_eq!(upstream.received().len(), 1, "who comes later is not sent on");
    }

    #[tokio::test]
    async fn who_waits_for_a_frame_hears_it_once() {
        let cut = Signal::new();
        let script = Script::new("data: 1\n\n").stall();
        let body = script.body();
        let probe = body.probe();
        let mut body = DrainBody { body: Some(body), cut: cut.waiter() };
        body.frame().await.unwrap().unwrap();
        let waiting = tokio::spawn(async move { (body.frame().await, body.frame().await) });
        tokio::task::yield_now().await;
        cut.give();
        let (error, end) = waiting.await.unwrap();
        let error = StreamError::from_boxed(error.unwrap().unwrap_err());
        assert_eq!((error.class(), error.stable_code()), (Class::Overloaded, Some(CODE)));
        assert!(end.is_none() && probe.dropped_early());
    }

    #[tokio::test]
    async fn the_body_keeps_the_body_contract() {
        let cut = Signal::new();
        wrapper_contract(|body| DrainBody { body: Some(body), cut: cut.waiter() }).await;
    }
}
