use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, Hasher, RandomState},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tollgate_core::Target;

/// Independent parts, so that calls seldom wait for each other.
const SHARDS: usize = 16;

/// Who answered which conversation last, bounded in size.
///
/// A clone is the same memory; what is kept the longest without being asked for goes first.
#[derive(Clone)]
pub struct Affinity(Arc<Inner>);

struct Inner {
    shards: [Mutex<Shard>; SHARDS],
    /// Entries a shard keeps at most in each of its two generations.
    half: usize,
    hasher: RandomState,
    warm: Duration,
}

#[derive(Default)]
struct Shard {
    young: HashMap<u64, Entry>,
    old: HashMap<u64, Entry>,
}

/// Who answered, and when.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    provider: Arc<str>,
    deployment: Arc<str>,
    model: Arc<str>,
    at: Instant,
}

impl Affinity {
    /// Returns a memory of up to `entries` conversations, about 100 bytes each.
    pub fn new(entries: usize) -> Self {
        Self(Arc::new(Inner {
            shards: Default::default(),
            half: (entries / SHARDS / 2).max(1),
            hasher: RandomState::new(),
            warm: Duration::from_secs(5 * 60),
        }))
    }

    /// Sets how long a prompt cache is taken to be warm. Default: 5 minutes. The memory starts
    /// empty.
    pub fn warm(self, warm: Duration) -> Self {
        Self(Arc::new(Inner {
            shards: Default::default(),
            half: self.0.half,
            hasher: self.0.hasher.clone(),
            warm,
        }))
    }

    /// A hasher nobody outside can aim at.
    pub(crate) fn hasher(&self) -> impl Hasher + use<> {
        self.0.hasher.build_hasher()
    }

    /// What something is remembered by that an upstream calls so.
    pub(crate) fn named(&self, name: &str) -> u64 {
        self.0.hasher.hash_one(("name", name))
    }

    /// Notes who answered.
    pub(crate) fn put(&self, key: u64, target: &Target, at: Instant) {
        let entry = Entry {
            provider: target.provider.clone(),
            deployment: target.deployment.clone(),
            model: target.model.clone(),
            at,
        };
        self.shard(key).put(key, entry, self.0.half);
    }

    /// Returns who answered last.
    pub(crate) fn get(&self, key: u64) -> Option<Entry> {
        let mut shard = self.shard(key);
        if let Some(entry) = shard.young.get(&key) {
            return Some(entry.clone());
        }
        let entry = shard.old.remove(&key)?;
        shard.put(key, entry.clone(), self.0.half);
        Some(entry)
    }

    /// Whether a prompt cache made at that time is likely still there.
    pub(crate) fn is_warm(&self, entry: &Entry, now: Instant) -> bool {
        now.saturating_duration_since(entry.at) < self.0.warm
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, Shard> {
        let shard = &self.0.shards[key as usize % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let count = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.young.len() + shard.old.len()
        };
        self.0.shards.iter().map(count).sum()
    }
}

impl Default for Affinity {
    /// Remembers 65,536 conversations.
    fn default() -> Self {
        Self::new(65_536)
    }
}

impl fmt::Debug for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Affinity").field("warm", &self.0.warm).finish_non_exhaustive()
    }
}

impl Shard {
    fn put(&mut self, key: u64, entry: Entry, half: usize) {
        self.old.remove(&key);
        if self.young.len() >= half && !self.young.contains_key(&key) {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, entry);
    }
}

impl Entry {
    /// Whether it was this target that answered.
    pub(crate) fn is(&self, target: &Target) -> bool {
        self.deployment == target.deployment && self.model == target.model
    }

    /// Whether what it keeps may also be there: another key may be the same account's.
    pub(crate) fn is_near(&self, target: &Target) -> bool {
        self.provider == target.provider
    }
}

#[cfg(test)]
mod tests {
    use tollgate_core::Protocol;

    use super::*;

    fn target(deployment: &str) -> Target {
        let mut target =
            Target::new("p", Protocol::OpenAiChat, "m", http::Uri::from_static("http://h"));
        target.deployment = deployment.into();
        target
    }

    #[test]
    fn remembers_the_last_and_stays_within_bounds() {
        let (affinity, now) = (Affinity::new(320), Instant::now());
        (0..10_000).for_each(|key| affinity.put(key, &target("a"), now));
        assert!(affinity.len() <= 320, "{}", affinity.len());
        affinity.put(9_999, &target("b"), now);
        assert!(affinity.get(9_999).unwrap().is(&target("b")));
        assert!(affinity.get(0).is_none());
    }

    #[test]
    fn what_is_asked_for_stays() {
        let (affinity, now) = (Affinity::new(320), Instant::now());
        affinity.put(0, &target("a"), now);
        for key in 1..10_000 {
            affinity.put(key, &target("b"), now);
            assert!(affinity.get(0).is_some(), "{key}");
        }
    }

    #[test]
    fn a_cache_grows_cold() {
        let affinity = Affinity::new(8).warm(Duration::from_secs(10));
        let now = Instant::now();
        affinity.put(1, &target("a"), now);
        let entry = affinity.get(1).unwrap();
        assert!(affinity.is_warm(&entry, now + Duration::from_secs(9)));
        assert!(!affinity.is_warm(&entry, now + Duration::from_secs(10)));
    }
}
