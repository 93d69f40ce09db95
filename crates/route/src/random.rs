use std::{cell::Cell, fmt, hash::BuildHasher, sync::Arc};

/// Where chance comes from.
#[derive(Clone, Default)]
pub(crate) enum Random {
    /// A sequence of each thread's own.
    #[default]
    Thread,
    Given(Arc<dyn Fn() -> u64 + Send + Sync>),
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Thread => "Thread",
            Self::Given(_) => "Given",
        })
    }
}

impl Random {
    fn bits(&self) -> u64 {
        match self {
            Self::Thread => next(),
            Self::Given(bits) => bits(),
        }
    }

    /// A number from 0, included, to 1, not included.
    pub(crate) fn unit(&self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// An index below `len`, which is not 0.
    pub(crate) fn below(&self, len: usize) -> usize {
        ((self.unit() * len as f64) as usize).min(len - 1)
    }
}

/// SplitMix64, seeded as hash maps are: for balance, not for secrets.
fn next() -> u64 {
    thread_local! {
        static STATE: Cell<u64> =
            Cell::new(std::hash::RandomState::new().hash_one("tollgate-route"));
    }
    let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(state);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
