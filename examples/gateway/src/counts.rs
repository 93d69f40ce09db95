//! What happened at the gateway's edge, counted.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

#[derive(Debug, Default)]
struct Cells {
    panics: AtomicU64,
    connections_refused: AtomicU64,
    reloads: AtomicU64,
    reloads_failed: AtomicU64,
}

/// Counters since the start. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<Cells>);

impl Counts {
    /// Panics that were caught.
    pub fn panics(&self) -> u64 {
        self.0.panics.load(Relaxed)
    }

    /// Connections that were refused because there were too many.
    pub fn connections_refused(&self) -> u64 {
        self.0.connections_refused.load(Relaxed)
    }

    /// Configurations that were put in force after the first.
    pub fn reloads(&self) -> u64 {
        self.0.reloads.load(Relaxed)
    }

    /// Configurations that were not, because something is wrong with them.
    pub fn reloads_failed(&self) -> u64 {
        self.0.reloads_failed.load(Relaxed)
    }

    pub(crate) fn panic(&self) {
        self.0.panics.fetch_add(1, Relaxed);
    }

    pub(crate) fn connection_refused(&self) {
        self.0.connections_refused.fetch_add(1, Relaxed);
    }

    pub(crate) fn reload(&self, done: bool) {
        let cell = if done { &self.0.reloads } else { &self.0.reloads_failed };
        cell.fetch_add(1, Relaxed);
    }
}
