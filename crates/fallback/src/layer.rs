use std::{sync::Arc, time::Duration};

use http::Request;
use tollgate_core::{Board, Body};
use tollgate_sse::Limits;
use tollgate_wire::Inspect;
use tower_layer::Layer;

use crate::{Backoff, Breaker, Budget, ByClass, Counts, Fallback, repair::Repair};

/// Layer that asks another upstream when one fails. See the [crate](crate).
#[derive(Clone, Debug)]
pub struct FallbackLayer<P = ByClass> {
    policy: P,
    settings: Settings,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) board: Board,
    pub(crate) breaker: Breaker,
    pub(crate) budget: Budget,
    pub(crate) backoff: Backoff,
    pub(crate) counts: Counts,
    pub(crate) attempts: u32,
    pub(crate) patience: Duration,
    pub(crate) limits: Limits,
    pub(crate) inspect: Inspect,
    pub(crate) repair: Repair,
}

impl FallbackLayer {
    /// Returns a layer that reads off `board` who is set aside, and writes there how it went.
    pub fn new(board: Board) -> Self {
        Self {
            policy: ByClass::new(),
            settings: Settings {
                board,
                breaker: Breaker::new(),
                budget: Budget::default(),
                backoff: Backoff::default(),
                counts: Counts::default(),
                attempts: 6,
                patience: Duration::from_secs(10),
                limits: Limits::default(),
                inspect: Inspect::new(),
                repair: Repair::default(),
            },
        }
    }
}

impl<P> FallbackLayer<P> {
    /// Sets what decides after a failure. Default: [`ByClass`].
    pub fn policy<Q>(self, policy: Q) -> FallbackLayer<Q> {
        FallbackLayer { policy, settings: self.settings }
    }

    /// Sets when a target is set aside. Default: [`Breaker::new`].
    pub fn breaker(mut self, breaker: Breaker) -> Self {
        self.settings.breaker = breaker;
        self
    }

    /// Sets how many requests further attempts may add. Default: a tenth, and a burst of ten.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.settings.budget = budget;
        self
    }

    /// Sets the pauses before the same target is asked again. Default: 200 milliseconds, doubling
    /// up to 5 seconds.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.settings.backoff = backoff;
        self
    }

    /// Sets how many attempts a call may make. Default: 6. With 1 nothing is kept to be sent again;
    /// 0 is taken as 1.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.settings.attempts = attempts.max(1);
        self
    }

    /// Sets how long a call with a [`Deadline`](tollgate_core::Deadline) waits for a target that is
    /// at its limit. Default: 10 seconds. A call without one is refused at once.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.settings.patience = patience;
        self
    }

    /// Sets how much of an answer is held before its first content. Default: [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Sets how requests with a plan that nobody inspected before are inspected. Default: up to
    /// 32 MiB.
    pub fn inspect(mut self, inspect: Inspect) -> Self {
        self.settings.inspect = inspect;
        self
    }

    /// Sets what leaves out of a request the reasoning it sends back, and says whether there was any:
    /// a target that refused it is asked once more without. Default: the call fails.
    pub fn repair(
        mut self,
        change: impl Fn(&mut Request<Body>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.settings.repair = Repair::new(change);
        self
    }

    /// Returns what counts the attempts of this layer.
    pub fn counts(&self) -> Counts {
        self.settings.counts.clone()
    }
}

impl<S: Clone, P: Clone> Layer<S> for FallbackLayer<P> {
    type Service = Fallback<S, P>;

    fn layer(&self, inner: S) -> Fallback<S, P> {
        Fallback {
            spare: Arc::new(inner.clone()),
            inner,
            policy: self.policy.clone(),
            settings: Arc::new(self.settings.clone()),
        }
    }
}
