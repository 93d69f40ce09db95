use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

#[derive(Debug, Default)]
struct Counts {
    in_progress: AtomicUsize,
    refused: AtomicU64,
}

/// How much is in progress behind a [`ShedLayer`](crate::ShedLayer). Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Load(Arc<Counts>);

impl Load {
    /// How many requests are in progress.
    pub fn in_progress(&self) -> usize {
        self.0.in_progress.load(Relaxed)
    }

    /// How many requests were refused so far.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Relaxed)
    }

    /// Takes a place, if fewer than `limit` are taken.
    pub(crate) fn enter(&self, limit: usize) -> Option<Permit> {
        // The count may exceed the limit for the moment between the two operations, the admitted never.
        if self.0.in_progress.fetch_add(1, Relaxed) < limit {
            return Some(Permit(self.0.clone()));
        }
        self.0.in_progress.fetch_sub(1, Relaxed);
        self.0.refused.fetch_add(1, Relaxed);
        None
    }
}

/// A place among those in progress, given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Counts>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.in_progress.fetch_sub(1, Relaxed);
    }
}
