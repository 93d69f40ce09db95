use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Response;
use pin_project_lite::pin_project;
use tollgate_core::{Failure, Reply, Sent};
use tollgate_wire::Caller;

use super::{DeadlineBody, clock::Clock};

pin_project! {
    /// Response future of [`DeadlineService`](super::DeadlineService).
    #[derive(Debug)]
    pub struct DeadlineFuture<F> {
        // Dropped when a deadline passes, before the answer leaves.
        #[pin]
        future: Option<F>,
        // Boxed: it goes on into the body.
        clock: Option<Box<Clock>>,
        caller: Caller,
    }
}

impl<F> DeadlineFuture<F> {
    pub(super) fn new(future: F, clock: Box<Clock>, caller: Caller) -> Self {
        Self { future: Some(future), clock: Some(clock), caller }
    }
}

impl<F, B, E> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Reply<DeadlineBody<B>>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let future = this.future.as_mut().as_pin_mut().expect("not polled after it was ready");
        let clock = this.clock.as_mut().expect("not polled after it was ready");
        if let Poll::Ready(answer) = future.poll(cx) {
            let mut clock = this.clock.take().expect("there was one above");
            return Poll::Ready(answer.map(|response| {
                clock.head(response.headers());
                response.map(|body| Reply::inner(DeadlineBody::new(body, clock)))
            }));
        }
        let expired = ready!(clock.poll(cx));
        this.future.set(None);
        let failure = Failure::from(expired).sent(Sent::Maybe);
        Poll::Ready(Ok(this.caller.fail(failure).map(Reply::own)))
    }
}
