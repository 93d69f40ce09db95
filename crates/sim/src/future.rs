use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::{Request, Response, request::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

use crate::{Sim, SimBody, service::Answered};

/// Largest request body that is read.
const LIMIT: usize = 64 << 20;

pin_project! {
    /// Response future for [`Sim`].
    pub struct SimFuture<B> {
        sim: Sim,
        head: Parts,
        #[pin]
        body: B,
        // The first frame as it came, as long as it is the only one.
        first: Bytes,
        more: BytesMut,
        waiting: Option<(Pin<Box<Sleep>>, Option<Response<SimBody>>)>,
    }
}

impl<B> SimFuture<B> {
    pub(crate) fn new(sim: Sim, request: Request<B>) -> Self {
        let (head, body) = request.into_parts();
        let (first, more) = (Bytes::new(), BytesMut::new());
        Self { sim, head, body, first, more, waiting: None }
    }
}

impl<B> fmt::Debug for SimFuture<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFuture").field("waiting", &self.waiting.is_some()).finish()
    }
}

impl<B: Body<Data = Bytes>> SimFuture<B> {
    /// Reads to the end. A body that fails counts as what came of it.
    fn poll_body(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answered> {
        let mut this = self.project();
        while let Some(Ok(frame)) = ready!(this.body.as_mut().poll_frame(cx)) {
            let Ok(data) = frame.into_data() else { continue };
            if this.first.is_empty() && this.more.is_empty() {
                *this.first = data;
                continue;
            }
            if this.more.is_empty() {
                this.more.extend_from_slice(this.first);
            }
            this.more.extend_from_slice(&data);
            if this.more.len() > LIMIT {
                return Poll::Ready(this.sim.too_large(this.head));
            }
        }
        let body = if this.more.is_empty() { &this.first[..] } else { &this.more[..] };
        Poll::Ready(this.sim.answer(this.head, body))
    }
}

impl<B: Body<Data = Bytes>> Future for SimFuture<B> {
    type Output = Result<Response<SimBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.waiting.is_none() {
            let (response, delay) = ready!(self.as_mut().poll_body(cx));
            if delay.is_zero() {
                return Poll::Ready(Ok(response));
            }
            *self.as_mut().project().waiting = Some((Box::pin(sleep(delay)), Some(response)));
        }
        let this = self.project();
        let (pause, response) = this.waiting.as_mut().expect("set above");
        ready!(pause.as_mut().poll(cx));
        Poll::Ready(Ok(response.take().expect("polled after completion")))
    }
}
