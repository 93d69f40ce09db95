use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use tollgate_core::Class;

#[derive(Debug, Default)]
struct Numbers {
    attempts: AtomicU64,
    fallbacks: AtomicU64,
    retries: AtomicU64,
    refused: AtomicU64,
    unaffordable: AtomicU64,
    ejections: [AtomicU64; Class::ALL.len()],
}

/// What the calls of a [`FallbackLayer`](crate::FallbackLayer) did so far. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<Numbers>);

impl Counts {
    /// How many attempts were made, first ones included.
    pub fn attempts(&self) -> u64 {
        self.0.attempts.load(Relaxed)
    }

    /// How many of them asked another target than the one before.
    pub fn fallbacks(&self) -> u64 {
        self.0.fallbacks.load(Relaxed)
    }

    /// How many of them asked the same target again.
    pub fn retries(&self) -> u64 {
        self.0.retries.load(Relaxed)
    }

    /// How many calls were refused because every target was set aside.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Relaxed)
    }

    /// How often a further attempt was not made because the [`Budget`](crate::Budget) was used up.
    pub fn unaffordable(&self) -> u64 {
        self.0.unaffordable.load(Relaxed)
    }

    /// How often a target was set aside for this reason.
    pub fn ejections(&self, reason: Class) -> u64 {
        self.0.ejections.get(index(reason)).map_or(0, |count| count.load(Relaxed))
    }

    pub(crate) fn attempt(&self) {
        self.0.attempts.fetch_add(1, Relaxed);
    }

    pub(crate) fn again(&self, same_target: bool) {
        let count = if same_target { &self.0.retries } else { &self.0.fallbacks };
        count.fetch_add(1, Relaxed);
    }

    pub(crate) fn refuse(&self) {
        self.0.refused.fetch_add(1, Relaxed);
    }

    pub(crate) fn cannot_afford(&self) {
        self.0.unaffordable.fetch_add(1, Relaxed);
    }

    pub(crate) fn eject(&self, reason: Class) {
        if let Some(count) = self.0.ejections.get(index(reason)) {
            count.fetch_add(1, Relaxed);
        }
    }
}

fn index(class: Class) -> usize {
    Class::ALL.iter().position(|known| *known == class).unwrap_or(Class::ALL.len())
}
