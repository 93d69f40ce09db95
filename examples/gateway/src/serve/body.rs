use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};
use tollgate_core::{BoxError, Class, StreamError};

pin_project! {
    /// A request's body that must arrive in time: in all, and from one frame to the next.
    ///
    /// The clocks begin when the body first has to be waited for. Its error is then a
    /// [`StreamError`] of class timeout, code `request_timeout`.
    #[derive(Debug)]
    pub struct ClientBody<B> {
        #[pin]
        body: B,
        idle: Duration,
        total: Duration,
        clock: Option<Clock>,
    }
}

#[derive(Debug)]
struct Clock {
    end: Instant,
    /// When the next frame must be there; `None` while nobody waits for it.
    due: Option<Instant>,
    sleep: Pin<Box<Sleep>>,
}

impl<B> ClientBody<B> {
    pub(super) fn new(body: B, idle: Duration, total: Duration) -> Self {
        Self { body, idle, total, clock: None }
    }
}

impl Clock {
    fn new(idle: Duration, total: Duration) -> Self {
        let now = Instant::now();
        let end = now + total;
        let due = end.min(now + idle);
        Self { end, due: Some(due), sleep: Box::pin(tokio::time::sleep_until(due)) }
    }

    /// Waits until it is too late. The timer is set again only when it fires too early.
    fn poll(&mut self, idle: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let end = self.end;
        let due = *self.due.get_or_insert_with(|| end.min(Instant::now() + idle));
        ready!(self.sleep.as_mut().poll(cx));
        if self.sleep.deadline() >= due {
            return Poll::Ready(());
        }
        self.sleep.as_mut().reset(due);
        self.sleep.as_mut().poll(cx)
    }
}

impl<B> Body for ClientBody<B>
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
        let this = self.project();
        let (idle, total) = (*this.idle, *this.total);
        if let Poll::Ready(frame) = this.body.poll_frame(cx) {
            if let Some(clock) = this.clock {
                clock.due = None;
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(this.clock.get_or_insert_with(|| Clock::new(idle, total)).poll(idle, cx));
        let error = StreamError::new(Class::Timeout, "the request body did not arrive in time");
        Poll::Ready(Some(Err(error.code("request_timeout").into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tollgate_testkit::{Script, wrapper_contract};

    use super::*;

    const IDLE: Duration = Duration::from_secs(30);
    const TOTAL: Duration = Duration::from_secs(300);

    async fn read(script: Script) -> (Result<Bytes, StreamError>, Duration) {
        let since = Instant::now();
        let body = ClientBody::new(script.body(), IDLE, TOTAL);
        let collected = body.collect().await.map(http_body_util::Collected::to_bytes);
        (collected.map_err(StreamError::from_boxed), since.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn fault_35_a_body_that_falls_silent_is_given_up() {
        let (read, after) = read(Script::new("ab").stall()).await;
        let error = read.unwrap_err();
        assert_eq!((error.class(), error.stable_code()), (Class::Timeout, Some("request_timeout")));
        assert!(after >= IDLE && after < IDLE * 2, "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn fault_35_a_body_that_dribbles_is_given_up() {
        let dribble = Script::new("x".repeat(100)).split_every(1).pace(IDLE / 2);
        let (read, after) = read(dribble).await;
        assert!(read.is_err() && after >= TOTAL && after < TOTAL + IDLE, "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_slower_than_idle_in_all_is_read() {
        let slow = Script::new("x".repeat(10)).split_every(1).pace(IDLE - Duration::from_secs(5));
        let (read, after) = read(slow).await;
        assert_eq!(read.unwrap().len(), 10);
        assert!(after > IDLE * 4, "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_body_keeps_the_body_contract() {
        wrapper_contract(|body| ClientBody::new(body, IDLE, TOTAL)).await;
    }
}
