use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use crate::Cause;

/// Why an attempt was ended by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// It failed.
    Failed(Cause),
    /// Another attempt answered first.
    Hedged,
}

/// Which attempt of its call a request is, and a set-once cell for why it ended.
///
/// Whoever ends an attempt (deadline, hedge, fallback) says why before dropping it. Unset on drop
/// means the client left. Absent: attempt 1.
#[derive(Clone, Debug)]
pub struct Attempt {
    number: u32,
    is_followed: bool,
    ending: Arc<OnceLock<Ending>>,
}

impl Attempt {
    /// Returns the attempt with this number, counted from 1.
    pub fn new(number: u32) -> Self {
        Self { number, is_followed: false, ending: Arc::default() }
    }

    /// Says that another target may be asked if this one fails: there is no need to be patient with
    /// it. Default: no.
    pub fn followed(mut self, is_followed: bool) -> Self {
        self.is_followed = is_followed;
        self
    }

    /// Whether another target may be asked if this one fails.
    pub fn is_followed(&self) -> bool {
        self.is_followed
    }

    /// The number, counted from 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Says why the attempt ends. The first word stands.
    pub fn end(&self, why: Ending) {
        let _ = self.ending.set(why);
    }

    /// Why the attempt ended, if somebody of ours ended it.
    pub fn ending(&self) -> Option<Ending> {
        self.ending.get().copied()
    }
}

impl Default for Attempt {
    fn default() -> Self {
        Self::new(1)
    }
}

/// The instant at which the whole call must have ended. Nothing resets it.
///
/// Written by the gateway's edge or from the caller's header. Absent: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(pub Instant);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ending_stands_for_every_clone() {
        let attempt = Attempt::new(2);
        let clone = attempt.clone();
        attempt.end(Ending::Hedged);
        clone.end(Ending::Failed(Cause::Connect));
        assert_eq!(clone.ending(), Some(Ending::Hedged));
    }
}
