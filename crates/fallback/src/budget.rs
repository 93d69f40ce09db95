use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// What a further attempt costs, in the unit the budget counts in.
const ATTEMPT: u64 = 1000;

/// How many requests further attempts may add to those of all calls together.
///
/// Each call puts a share of an attempt in, each further attempt takes a whole one out: when
/// everything fails, upstreams are asked hardly more often than clients ask. Free are the first
/// attempt of a call and the first at each other deployment that is not set aside. Clones share
/// what there is.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Bucket>);

#[derive(Debug)]
struct Bucket {
    share: u64,
    most: u64,
    left: AtomicU64,
}

impl Budget {
    /// Returns a budget to which each call adds `share` of an attempt, and which keeps at most
    /// `burst` attempts: as many as it begins with. What is negative, or no number, is 0.
    pub fn new(share: f64, burst: u32) -> Self {
        let most = u64::from(burst) * ATTEMPT;
        // A float becomes the nearest integer there is; NaN and less than nothing become 0.
        let share = (share * ATTEMPT as f64) as u64;
        Self(Arc::new(Bucket { share, most, left: AtomicU64::new(most) }))
    }

    /// Returns how many further attempts could be made now.
    pub fn left(&self) -> u64 {
        self.0.left.load(Relaxed) / ATTEMPT
    }

    /// Notes a call that asks an upstream.
    pub(crate) fn deposit(&self) {
        let Bucket { share, most, left } = &*self.0;
        if left.load(Relaxed) < *most {
            let added = |left: u64| Some(left.saturating_add(*share).min(*most));
            let _ = left.fetch_update(Relaxed, Relaxed, added);
        }
    }

    /// Takes out a further attempt, if there is one.
    pub(crate) fn withdraw(&self) -> bool {
        self.0.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(ATTEMPT)).is_ok()
    }
}

impl Default for Budget {
    /// A tenth of an attempt for each call, ten at most.
    fn default() -> Self {
        Self::new(0.1, 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_a_share_of_each_call() {
        let budget = Budget::new(0.25, 2);
        assert!(budget.withdraw() && budget.withdraw() && !budget.withdraw());
        (0..3).for_each(|_| budget.deposit());
        assert!(!budget.withdraw());
        budget.deposit();
        assert!(budget.withdraw() && !budget.withdraw());
        (0..100).for_each(|_| budget.deposit());
        assert_eq!(budget.left(), 2, "no more than the burst is kept");
    }

    #[test]
    fn odd_shares_are_none() {
        for share in [-1.0, f64::NAN, 0.0] {
            let budget = Budget::new(share, 0);
            budget.deposit();
            assert!(!budget.withdraw());
        }
    }
}
