//! A body for tests that does what a script says.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use tokio::time::Sleep;
use tollgate_core::BoxError;

#[derive(Debug)]
enum Step {
    Frame(Frame<Bytes>),
    Wait(Duration),
    Stall,
    Fail(BoxError),
}

/// Plays frames, pauses and an ending, and says when it was dropped.
#[derive(Debug)]
pub(crate) struct Scripted {
    steps: VecDeque<Step>,
    waiting: Option<Pin<Box<Sleep>>>,
    dropped: Arc<AtomicBool>,
}

impl Scripted {
    pub(crate) fn new<'a>(chunks: impl IntoIterator<Item = &'a str>) -> Self {
        let empty = Self { steps: VecDeque::new(), waiting: None, dropped: Arc::default() };
        chunks.into_iter().fold(empty, |script, chunk| script.chunk(chunk))
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push_back(step);
        self
    }

    pub(crate) fn chunk(self, chunk: impl AsRef<[u8]>) -> Self {
        self.step(Step::Frame(Frame::data(Bytes::copy_from_slice(chunk.as_ref()))))
    }

    pub(crate) fn trailers(self, trailers: HeaderMap) -> Self {
        self.step(Step::Frame(Frame::trailers(trailers)))
    }

    pub(crate) fn waits(self, seconds: u64) -> Self {
        self.step(Step::Wait(Duration::from_secs(seconds)))
    }

    pub(crate) fn stalls(self) -> Self {
        self.step(Step::Stall)
    }

    pub(crate) fn fails(self, error: impl Into<BoxError>) -> Self {
        self.step(Step::Fail(error.into()))
    }

    /// Becomes true when the body is dropped.
    pub(crate) fn dropped(&self) -> Arc<AtomicBool> {
        self.dropped.clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::SeqCst);
    }
}

impl Body for Scripted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            if let Some(sleep) = &mut self.waiting {
                ready!(sleep.as_mut().poll(cx));
                self.waiting = None;
            }
            match self.steps.pop_front() {
                None => return Poll::Ready(None),
                Some(Step::Frame(frame)) => return Poll::Ready(Some(Ok(frame))),
                Some(Step::Fail(error)) => return Poll::Ready(Some(Err(error))),
                Some(Step::Wait(time)) => {
                    self.waiting = Some(Box::pin(tokio::time::sleep(time)));
                }
                Some(Step::Stall) => {
                    self.steps.push_front(Step::Stall);
                    return Poll::Pending;
                }
            }
        }
    }
}

pub(crate) fn trailers() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", http::HeaderValue::from_static("1"));
    trailers
}
