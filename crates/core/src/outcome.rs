use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{Class, Money, Target};

#[derive(Debug, Default)]
struct Cells {
    first_content: OnceLock<Duration>,
    ended: OnceLock<Option<Class>>,
    cost: Mutex<Option<Option<Money>>>,
    input: AtomicU64,
    output: AtomicU64,
}

/// How a call went: shared cells, each set once, filled while the response body passes.
///
/// Travels on the response; header writers and access logs keep a clone and read it at the end.
#[derive(Clone, Debug, Default)]
pub struct Outcome(Arc<Cells>);

impl Outcome {
    /// Returns an outcome of which nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records the time from request to first content. The first word stands.
    pub fn content_after(&self, elapsed: Duration) {
        let _ = self.0.first_content.set(elapsed);
    }

    /// Records the ending: `None` complete, else the class of the failure. The first word stands.
    pub fn ended(&self, class: Option<Class>) {
        let _ = self.0.ended.set(class);
    }

    /// Adds what an attempt cost; `None` where nobody knows, and then nobody knows the sum.
    pub fn costs(&self, cost: Option<Money>) {
        let mut sum = self.0.cost.lock().unwrap_or_else(PoisonError::into_inner);
        let before = sum.unwrap_or(Some(Money::ZERO));
        *sum = Some(before.zip(cost).and_then(|(before, cost)| before.plus(cost).ok()));
    }

    /// Adds the tokens an attempt used: everything in the prompt, and everything put out.
    pub fn uses(&self, input: u64, output: u64) {
        self.0.input.fetch_add(input, Relaxed);
        self.0.output.fetch_add(output, Relaxed);
    }

    /// The tokens of all attempts together, as far as they were settled: input and output.
    pub fn tokens(&self) -> (u64, u64) {
        (self.0.input.load(Relaxed), self.0.output.load(Relaxed))
    }

    /// What the attempts cost together, as far as they were settled: `Some(None)` where the cost of
    /// one is unknown, `None` before the first.
    pub fn cost(&self) -> Option<Option<Money>> {
        *self.0.cost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time from request to first content, once there was any.
    pub fn first_content(&self) -> Option<Duration> {
        self.0.first_content.get().copied()
    }

    /// How it ended, once it has: `Some(None)` complete, `Some(Some(class))` failed.
    pub fn ending(&self) -> Option<Option<Class>> {
        self.0.ended.get().copied()
    }
}

/// Who answered, after how many attempts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Served {
    /// The target whose answer this is.
    pub target: Arc<Target>,
    /// How many attempts were made, this one included. 0: nobody was asked.
    pub attempts: u32,
    /// The attempts that failed before, in order.
    pub missed: Vec<Missed>,
}

/// An attempt that failed before another was made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Missed {
    /// Who was asked.
    pub target: Arc<Target>,
    /// What kind of failure.
    pub class: Class,
}

impl Missed {
    /// Returns the fact that `target` failed so.
    pub fn new(target: Arc<Target>, class: Class) -> Self {
        Self { target, class }
    }
}

impl Served {
    /// Returns the fact for a target that answered at attempt number `attempts`.
    pub fn new(target: Arc<Target>, attempts: u32) -> Self {
        Self { target, attempts, missed: Vec::new() }
    }

    /// Sets which attempts failed before. Default: none.
    pub fn missed(mut self, missed: Vec<Missed>) -> Self {
        self.missed = missed;
        self
    }
}
