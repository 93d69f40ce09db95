use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use tollgate_core::Call;

use super::Stream;

/// That an answer has passed a [`Gate`](super::Gate), and what is known of it since.
///
/// Travels in the extensions of a response. Written by whoever gated the answer and gives its body
/// on as a body of its own; another gate outside, that of `SseLayer` for instance, takes it and
/// does not hold and read the answer a second time. What was read of a stream counts only as far as
/// the same bytes arrive: whoever stands between may change them.
#[derive(Clone, Debug)]
pub struct Passed(pub(super) Known);

#[derive(Clone, Debug)]
pub(super) enum Known {
    /// The state a stream was read to.
    Stream(Arc<Mutex<Option<Box<Stream>>>>),
    /// An answer that needs no more looking at.
    Answer { whole: bool },
    /// An error, as the client is to see it.
    Failed,
}

impl Passed {
    pub(super) fn stream(stream: Box<Stream>) -> Self {
        Self(Known::Stream(Arc::new(Mutex::new(Some(stream)))))
    }

    pub(super) fn answer(whole: bool) -> Self {
        Self(Known::Answer { whole })
    }

    /// Says of an error answer that it is rendered as the client is to see it.
    pub(super) fn failed() -> Self {
        Self(Known::Failed)
    }

    pub(super) fn is_failed(&self) -> bool {
        matches!(self.0, Known::Failed)
    }
}

impl Known {
    /// Takes the state of a stream; there is one taker.
    pub(super) fn take_stream(&self) -> Option<Box<Stream>> {
        match self {
            Self::Stream(slot) => slot.lock().unwrap_or_else(PoisonError::into_inner).take(),
            _ => None,
        }
    }
}

/// What a stream's reader has read and whoever gives the body has yet to give.
#[derive(Debug)]
pub(super) struct Ahead {
    pub(super) frames: VecDeque<Bytes>,
    /// Whose answer it is, and how large an event may be: to read anew what comes otherwise.
    pub(super) call: Call,
    pub(super) limit: usize,
}
