use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// How long to pause before the same target is asked again.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    chance: Chance,
}

impl Backoff {
    /// Returns pauses that begin with `first` and double up to `most`, each shortened by chance by
    /// up to a half, so that those who failed together do not come back together.
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, chance: Chance::default() }
    }

    /// Returns the longest pause.
    pub fn most(&self) -> Duration {
        self.most
    }

    /// Returns the pause after the `tries`th failure at one target, counted from 1.
    pub(crate) fn pause(&self, tries: u32) -> Duration {
        let doubled = self.first.saturating_mul(1 << tries.saturating_sub(1).min(16));
        self.chance.shorten(doubled.min(self.most), 0.5)
    }
}

impl Default for Backoff {
    /// 200 milliseconds, doubling up to 5 seconds.
    fn default() -> Self {
        Self::new(Duration::from_millis(200), Duration::from_secs(5))
    }
}

/// Draws what need not be secret. Clones draw from the same sequence.
#[derive(Clone, Debug)]
pub(crate) struct Chance(Arc<AtomicU64>);

impl Default for Chance {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(RandomState::new().hash_one(0))))
    }
}

impl Chance {
    /// Returns `span` without up to this share of it.
    pub(crate) fn shorten(&self, span: Duration, share: f64) -> Duration {
        span.mul_f64(1.0 - share * self.draw())
    }

    /// Returns a number between 0 and 1. SplitMix64.
    fn draw(&self) -> f64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_most_and_differ() {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        for (tries, most) in [(1, 100), (2, 200), (3, 350), (99, 350)] {
            let pauses: Vec<_> = (0..100).map(|_| backoff.pause(tries).as_millis()).collect();
            assert!(pauses.iter().all(|pause| (most / 2..=most).contains(pause)), "{pauses:?}");
            assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{pauses:?}");
        }
    }
}
