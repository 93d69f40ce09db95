use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

const SELDOM: Duration = Duration::from_secs(60);

/// What a store has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Charges written to the database.
    pub written: u64,
    /// Charges told again that were there already, and were not counted twice.
    pub repeated: u64,
    /// Charges written to the journal because the database could not be written in time.
    pub journaled: u64,
    /// Charges taken from the journal into the database.
    pub replayed: u64,
    /// Charges that could be kept nowhere.
    pub lost: u64,
    /// Answers of a strict store let go before their charge was safe: it could not be written for as
    /// long as [`Options::patience`](crate::Options::patience).
    pub released: u64,
    /// Torn records found at the end of the journal and cut off.
    pub torn: u64,
    /// Charges that wait to be written.
    pub behind: usize,
}

/// The counts as threads share them.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) written: AtomicU64,
    pub(crate) repeated: AtomicU64,
    pub(crate) journaled: AtomicU64,
    pub(crate) replayed: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) released: AtomicU64,
    told_lost: Seldom,
    told_released: Seldom,
    told_failed: Seldom,
}

impl Counts {
    pub(crate) fn lose(&self, charges: usize, why: &dyn fmt::Display) {
        let lost = add(&self.lost, charges);
        if self.told_lost.due() {
            tracing::error!(lost, %why, "charges are lost: neither database nor journal takes them");
        }
    }

    pub(crate) fn release(&self, answers: usize) {
        let released = add(&self.released, answers);
        if self.told_released.due() {
            tracing::error!(released, "answers end before their charges are safe");
        }
    }

    pub(crate) fn fail(&self, what: &str, why: &dyn fmt::Display) {
        if self.told_failed.due() {
            tracing::warn!(%why, "{what}");
        }
    }

    pub(crate) fn snapshot(&self) -> Counters {
        Counters {
            written: self.written.load(Relaxed),
            repeated: self.repeated.load(Relaxed),
            journaled: self.journaled.load(Relaxed),
            replayed: self.replayed.load(Relaxed),
            lost: self.lost.load(Relaxed),
            released: self.released.load(Relaxed),
            ..Counters::default()
        }
    }
}

/// Adds and returns the sum.
pub(crate) fn add(count: &AtomicU64, n: usize) -> u64 {
    count.fetch_add(n as u64, Relaxed) + n as u64
}

/// Once a minute.
#[derive(Debug, Default)]
struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    fn due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| last.elapsed() >= SELDOM);
        if due {
            *last = Some(Instant::now());
        }
        due
    }
}
