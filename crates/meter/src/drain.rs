//! Reading on for a client that has left.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use tollgate_core::Target;

/// Work that outlives its client.
pub type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Who runs work that outlives its client, and knows of it at shutdown.
///
/// Closures `Fn(Work)` do: `|work| { tokio::spawn(work); }`.
pub trait Background: Send + Sync {
    /// Runs the work to its end, or drops it; dropped, it settles what it has seen.
    fn run(&self, work: Work);
}

impl<F: Fn(Work) + Send + Sync> Background for F {
    fn run(&self, work: Work) {
        self(work);
    }
}

type Limit = dyn Fn(&Target) -> Option<Duration> + Send + Sync;

/// For how long whose answers are read on, and by whom.
#[derive(Clone)]
pub(crate) struct Drains {
    limit: Arc<Limit>,
    background: Arc<dyn Background>,
}

impl Drains {
    pub(crate) fn new(
        limit: impl Fn(&Target) -> Option<Duration> + Send + Sync + 'static,
        background: impl Background + 'static,
    ) -> Self {
        Self { limit: Arc::new(limit), background: Arc::new(background) }
    }

    pub(crate) fn of(&self, target: &Target) -> Option<Drain> {
        let limit = (self.limit)(target)?;
        Some(Drain { limit, background: self.background.clone() })
    }
}

impl fmt::Debug for Drains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Drains")
    }
}

/// How one answer is read on.
#[derive(Clone)]
pub(crate) struct Drain {
    pub(crate) limit: Duration,
    pub(crate) background: Arc<dyn Background>,
}
