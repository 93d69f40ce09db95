use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use hashbrown::HashMap;

use crate::{KeyHash, KeyRecord, KeyStore};

type Snapshot = HashMap<KeyHash, Arc<KeyRecord>>;

/// Keys in memory: readers see one whole snapshot and never wait.
///
/// Clones share the keys. A change copies the map of references, which suits keys that change
/// rarely and are looked up on every request.
///
/// ```
/// use tollgate_core::{KeyId, Principal, Secret};
/// use tollgate_keys::{KeyHash, KeyRecord, KeyStore, MemoryKeys};
///
/// let keys = MemoryKeys::new();
/// let hash = KeyHash::of(&Secret::new("sk-1"));
/// keys.insert(hash, KeyRecord::new(Principal::new(KeyId::new("dev"), "dev")));
/// assert_eq!(&*keys.lookup(&hash).unwrap().principal.name, "dev");
/// keys.remove(&hash);
/// assert!(keys.lookup(&hash).is_none());
/// ```
#[derive(Clone, Default)]
pub struct MemoryKeys(Arc<ArcSwap<Snapshot>>);

impl MemoryKeys {
    /// Returns a store without keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key, or replaces the record of one that is there.
    pub fn insert(&self, hash: KeyHash, record: impl Into<Arc<KeyRecord>>) {
        let record = record.into();
        self.change(|keys| {
            keys.insert(hash, record.clone());
        });
    }

    /// Removes a key. Requests that were admitted with it go on.
    pub fn remove(&self, hash: &KeyHash) {
        self.change(|keys| {
            keys.remove(hash);
        });
    }

    /// Replaces all keys at once: no reader sees a mixture.
    pub fn replace(&self, keys: impl IntoIterator<Item = (KeyHash, Arc<KeyRecord>)>) {
        self.0.store(Arc::new(keys.into_iter().collect()));
    }

    /// Returns how many keys there are.
    pub fn len(&self) -> usize {
        self.0.load().len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.0.load().is_empty()
    }

    /// Returns what is known of every key, in no particular order.
    pub fn records(&self) -> Vec<Arc<KeyRecord>> {
        self.0.load().values().cloned().collect()
    }

    fn change(&self, edit: impl Fn(&mut Snapshot)) {
        self.0.rcu(|keys| {
            let mut keys = Snapshot::clone(keys);
            edit(&mut keys);
            keys
        });
    }
}

impl KeyStore for MemoryKeys {
    fn lookup(&self, hash: &KeyHash) -> Option<Arc<KeyRecord>> {
        self.0.load().get(hash).cloned()
    }
}

impl FromIterator<(KeyHash, Arc<KeyRecord>)> for MemoryKeys {
    fn from_iter<I: IntoIterator<Item = (KeyHash, Arc<KeyRecord>)>>(keys: I) -> Self {
        let store = Self::new();
        store.replace(keys);
        store
    }
}

impl fmt::Debug for MemoryKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryKeys").field("len", &self.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use tollgate_core::{KeyId, Principal, Secret};

    use super::*;

    fn key(name: &str) -> (KeyHash, Arc<KeyRecord>) {
        let principal = Principal::new(KeyId::new(name), name);
        (KeyHash::of(&Secret::new(name)), Arc::new(KeyRecord::new(principal)))
    }

    #[test]
    fn replacing_leaves_nothing_of_the_old_keys() {
        let (old, new) = (key("old"), key("new"));
        let keys: MemoryKeys = [old.clone()].into_iter().collect();
        keys.replace([new.clone()]);
        assert!(keys.lookup(&old.0).is_none());
        assert_eq!(keys.lookup(&new.0), Some(new.1));
    }

    #[test]
    fn concurrent_changes_are_all_kept() {
        let keys = MemoryKeys::new();
        std::thread::scope(|scope| {
            for t in 0..4 {
                let keys = &keys;
                scope.spawn(move || {
                    for i in 0..50 {
                        let (hash, record) = key(&format!("{t}-{i}"));
                        keys.insert(hash, record);
                    }
                });
            }
        });
        assert_eq!(keys.len(), 200);
    }
}
