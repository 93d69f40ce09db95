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
    /// A request's body that must arrive in time: in all, from one frame to the next, and at a rate.
    ///
    /// The clocks begin when the body first has to be waited for. Its error is then a
    /// [`StreamError`] of class timeout, code `request_timeout`.
    #[derive(Debug)]
    pub struct ClientBody<B> {
        #[pin]
        body: B,
        pace: Pace,
        clock: Option<Clock>,
    }
}

/// How fast a request's body must arrive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The longest silence.
    pub(super) idle: Duration,
    /// The longest time in all.
    pub(super) total: Duration,
    /// Bytes a second, on the whole, of the time somebody waits for them; the longest silence is
    /// given in advance. 0: any.
    pub(super) rate: u64,
}

#[derive(Debug)]
struct Clock {
    pace: Pace,
    end: Instant,
    /// Since when somebody waits for the next frame, and until when.
    waiting: Option<(Instant, Instant)>,
    /// How long may still be waited at this rate.
    left: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl<B> ClientBody<B> {
    pub(super) fn new(body: B, pace: Pace) -> Self {
        Self { body, pace, clock: None }
    }
}

impl Clock {
    fn new(pace: Pace) -> Self {
        let now = Instant::now();
        let end = now + pace.total;
        let left = if pace.rate == 0 { Duration::MAX } else { pace.idle };
        let due = end.min(now + pace.idle);
        let sleep = Box::pin(tokio::time::sleep_until(due));
        Self { pace, end, waiting: Some((now, due)), left, sleep }
    }

    /// Takes note of what came: each byte earns time.
    fn came(&mut self, bytes: usize) {
        let waited = self.waiting.take().map_or(Duration::ZERO, |(since, _)| since.elapsed());
        let earned = match self.pace.rate {
            0 => return,
            rate => Duration::from_secs_f64(bytes as f64 / rate as f64),
        };
        self.left = self.left.saturating_sub(waited).saturating_add(earned);
    }

    /// Waits until it is too late. The timer is set again only when it fires too early.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (end, patience) = (self.end, self.pace.idle.min(self.left));
        let (_, due) = *self.waiting.get_or_insert_with(|| {
            let now = Instant::now();
            (now, end.min(now + patience))
        });
        if self.sleep.deadline() <= due {
            ready!(self.sleep.as_mut().poll(cx));
            if self.sleep.deadline() == due {
                return Poll::Ready(());
            }
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
        let pace = *this.pace;
        if let Poll::Ready(frame) = this.body.poll_frame(cx) {
            let came = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
            if let Some(clock) = this.clock {
                clock.came(came.map_or(0, Bytes::len));
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(this.clock.get_or_insert_with(|| Clock::new(pace)).poll(cx));
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
    const PACE: Pace = Pace { idle: IDLE, total: TOTAL, rate: 0 };

    async fn read(script: Script) -> (Result<Bytes, StreamError>, Duration) {
        read_at(0, script).await
    }

    async fn read_at(rate: u64, script: Script) -> (Result<Bytes, StreamError>, Duration) {
        let since = Instant::now();
        let body = ClientBody::new(script.body(), Pace { rate, ..PACE });
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
    async fn fault_35_a_body_below_the_least_rate_is_given_up_long_before_its_time() {
        let dribble = Script::new("x".repeat(1000)).split_every(10).pace(Duration::from_secs(1));
        let (read, after) = read_at(240, dribble).await;
        let error = read.unwrap_err();
        assert_eq!((error.class(), error.stable_code()), (Class::Timeout, Some("request_timeout")));
        // What came in the first half minute earned little more than a second.
        assert!(after >= IDLE && after < IDLE + Duration::from_secs(3), "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_above_the_least_rate_is_read_however_long_it_takes() {
        let steady = Script::new("x".repeat(75_000)).split_every(300).pace(Duration::from_secs(1));
        let (read, after) = read_at(240, steady).await;
        assert_eq!(read.unwrap().len(), 75_000);
        assert!(after > IDLE * 4, "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_fast_earns_a_pause() {
        let halves =
            Script::new("x".repeat(14_400)).split_every(7_200).pace(IDLE - Duration::from_secs(1));
        assert_eq!(read_at(240, halves).await.0.unwrap().len(), 14_400);
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
        wrapper_contract(|body| ClientBody::new(body, PACE)).await;
    }
}
