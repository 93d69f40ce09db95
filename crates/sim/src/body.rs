use std::{
    error, fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::{
    bill::{Spend, Tab},
    feed::{Feed, Mark},
};

/// The simulated connection broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the simulated connection broke")
    }
}

impl error::Error for Broken {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Clean,
    /// A clean end of the body, but not of the protocol's stream.
    Cut,
    Stall,
    Reset,
}

/// Response body of [`Sim`](crate::Sim): one frame an event.
///
/// An answer in one piece knows its length. Errors: [`Broken`], where a reset was asked for; one
/// that stalls never ends.
#[derive(Debug)]
pub struct SimBody {
    bytes: Bytes,
    marks: std::vec::IntoIter<Mark>,
    pace: Duration,
    pause: Option<Pin<Box<Sleep>>>,
    /// Give way once before each event, so that a server flushes the one before.
    apart: bool,
    gave_way: bool,
    end: End,
    sized: bool,
    tab: Option<Tab>,
}

impl SimBody {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let mark = Mark { len: bytes.len(), spend: Spend::default() };
        let marks = if bytes.is_empty() { vec![] } else { vec![mark] };
        Self::new(bytes, marks, true)
    }

    pub(crate) fn events(feed: Feed) -> Self {
        let (bytes, marks) = feed.into_parts();
        Self::new(bytes, marks, false)
    }

    fn new(bytes: Bytes, marks: Vec<Mark>, sized: bool) -> Self {
        Self {
            bytes,
            marks: marks.into_iter(),
            pace: Duration::ZERO,
            pause: None,
            apart: false,
            gave_way: false,
            end: End::Clean,
            sized,
            tab: None,
        }
    }

    pub(crate) fn ending(mut self, end: End) -> Self {
        self.end = end;
        self
    }

    pub(crate) fn apart(mut self, apart: bool) -> Self {
        self.apart = apart;
        self
    }

    pub(crate) fn pace(mut self, pace: Duration) -> Self {
        self.pace = pace;
        self
    }

    pub(crate) fn tab(mut self, tab: Option<Tab>) -> Self {
        self.tab = tab;
        self
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.pace.is_zero() {
            let pace = self.pace;
            let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(pace)));
            ready!(pause.as_mut().poll(cx));
        }
        if self.apart && !self.gave_way {
            self.gave_way = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        (self.gave_way, self.pause) = (false, None);
        Poll::Ready(())
    }

    fn take(&mut self) -> Option<Bytes> {
        let mark = self.marks.next()?;
        if let Some(tab) = &mut self.tab {
            tab.took(mark.spend);
            if self.marks.len() == 0 && self.end == End::Clean {
                tab.complete();
            }
        }
        Some(self.bytes.split_to(mark.len))
    }
}

impl Body for SimBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.marks.len() > 0 {
            ready!(self.poll_turn(cx));
            return Poll::Ready(self.take().map(|bytes| Ok(Frame::data(bytes))));
        }
        match self.end {
            End::Clean | End::Cut => Poll::Ready(None),
            End::Stall => Poll::Pending,
            End::Reset => {
                self.end = End::Cut;
                Poll::Ready(Some(Err(Broken)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.marks.len() == 0 && matches!(self.end, End::Clean | End::Cut)
    }

    fn size_hint(&self) -> SizeHint {
        match self.sized || self.is_end_stream() {
            true => SizeHint::with_exact(self.bytes.len() as u64),
            false => SizeHint::default(),
        }
    }
}
