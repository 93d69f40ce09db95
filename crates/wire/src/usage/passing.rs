//! A JSON answer read as it passes, frame by frame.

use std::collections::VecDeque;

use bytes::Bytes;
use tollgate_core::Frames;

use super::{family::Family, is_error, told::Told};
use crate::json::{Member, Scanner};

/// No member that tells usage is larger; of one that is nothing is held.
const HELD_LIMIT: usize = 4 << 20;

/// Holds the frames of the member being read, and none that nobody asks for.
#[derive(Clone, Debug)]
pub(super) struct Passing {
    scanner: Scanner<fn(&str) -> bool>,
    /// How many members were read.
    read: usize,
    held: VecDeque<Bytes>,
    /// Where the held frames begin.
    start: usize,
    malformed: bool,
}

impl Passing {
    pub(super) fn new(wants: fn(&str) -> bool) -> Self {
        Self {
            scanner: Scanner::new(wants),
            read: 0,
            held: VecDeque::new(),
            start: 0,
            malformed: false,
        }
    }

    /// Reads the next frame. Returns whether it ended a member that is an error.
    pub(super) fn part(&mut self, part: &Bytes, family: &dyn Family, told: &mut Told) -> bool {
        if self.malformed {
            return false;
        }
        let mut tells_error = false;
        self.held.push_back(part.clone());
        self.malformed = self.scanner.feed(part).is_err();
        let frames = || Frames::new(self.held.iter().cloned().collect());
        for Member { key, value, .. } in &self.scanner.members()[self.read..] {
            if let Some(from) = value.start.checked_sub(self.start) {
                let value = frames().slice(from..value.end - self.start);
                tells_error |= is_error(key.as_bytes(), &value);
                family.member(key.as_bytes(), &value, told);
            }
        }
        self.read = self.scanner.members().len();
        self.let_go();
        tells_error
    }

    /// Lets go of all frames before the one in which the next member that is read can begin.
    fn let_go(&mut self) {
        let size: usize = self.held.iter().map(Bytes::len).sum();
        let needed = match self.scanner.pending() {
            _ if self.malformed || size > HELD_LIMIT => self.start + size,
            pending => pending,
        };
        while let Some(first) = self.held.front().filter(|first| self.start + first.len() <= needed)
        {
            self.start += first.len();
            self.held.pop_front();
        }
    }
}
