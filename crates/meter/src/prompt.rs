//! How much of a request is prompt, for who wants to know.

use tollgate_core::Frames;
use tollgate_wire::prompt_bytes;

/// So few bytes are counted at once: holding them is dearer.
const SMALL: usize = 4 << 10;

/// A larger body is read at once and let go: its memory is worth more than the reading.
const HELD: usize = 512 << 10;

/// The prompt of a request: read when an estimate needs it, which is seldom.
#[derive(Debug)]
pub(crate) enum Prompt {
    Unread(Frames),
    Counted(u64),
}

impl Prompt {
    pub(crate) fn of(body: Option<&Frames>) -> Self {
        match body {
            Some(frames) if (SMALL..=HELD).contains(&frames.len()) => Self::Unread(frames.clone()),
            other => Self::Counted(other.map_or(0, prompt_bytes)),
        }
    }

    /// Returns the bytes an estimate builds on.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Unread(frames) => prompt_bytes(frames),
            Self::Counted(bytes) => *bytes,
        }
    }

    /// Lets the request's body go: an answer that takes its time must not keep it.
    pub(crate) fn let_go(&mut self) {
        *self = Self::Counted(self.bytes());
    }
}
