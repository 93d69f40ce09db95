use std::{hash::BuildHasher, sync::Arc};

use arc_swap::ArcSwapOption;
use hashbrown::DefaultHashBuilder;

use crate::Found;

/// More names than this push each other out.
const SLOTS: usize = 256;

/// Remembers what was found by provider and name, so that it is not looked for again.
#[derive(Debug)]
pub(crate) struct Memo {
    hasher: DefaultHashBuilder,
    slots: Box<[ArcSwapOption<Entry>]>,
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    provider: Box<str>,
    name: Box<str>,
    found: Option<Arc<Found>>,
}

impl Memo {
    pub(crate) fn get_or(
        &self,
        provider: &str,
        name: &str,
        find: impl FnOnce() -> Option<Found>,
    ) -> Option<Arc<Found>> {
        let hash = self.hash(provider, name);
        let slot = &self.slots[hash as usize % SLOTS];
        if let Some(entry) = slot.load().as_ref().filter(|entry| entry.is(hash, provider, name)) {
            return entry.found.clone();
        }
        let found = find().map(Arc::new);
        let entry = Entry { hash, provider: provider.into(), name: name.into(), found };
        let found = entry.found.clone();
        slot.store(Some(Arc::new(entry)));
        found
    }

    fn hash(&self, provider: &str, name: &str) -> u64 {
        self.hasher.hash_one((provider, name))
    }
}

impl Entry {
    fn is(&self, hash: u64, provider: &str, name: &str) -> bool {
        self.hash == hash && *self.provider == *provider && *self.name == *name
    }
}

impl Default for Memo {
    fn default() -> Self {
        let slots = (0..SLOTS).map(|_| ArcSwapOption::empty()).collect();
        Self { hasher: DefaultHashBuilder::default(), slots }
    }
}

/// What is laid over a catalogue changes what is found: its copy remembers nothing.
impl Clone for Memo {
    fn clone(&self) -> Self {
        Self::default()
    }
}

#[cfg(test)]
mod tests {
    use crate::Catalogue;

    #[test]
    fn what_is_laid_over_a_catalogue_is_found_although_something_else_was_before() {
        let catalogue = Catalogue::builtin();
        let row = |catalogue: &Catalogue, name| catalogue.row("openai", name);
        let before = row(&catalogue, "gpt-5").unwrap();
        assert!(std::sync::Arc::ptr_eq(&before, &row(&catalogue, "gpt-5").unwrap()));
        assert!(row(&catalogue, "gpt-99").is_none() && row(&catalogue, "gpt-99").is_none());
        let file = r#"{"schema": "tollgate-prices/1", "models": [
            {"provider": "openai", "id": "gpt-99", "rates": {"input": "7", "output": "35"}}
        ]}"#;
        assert!(row(&catalogue.with_file(file).unwrap(), "gpt-99").is_some());
        assert!(row(&catalogue, "gpt-99").is_none());
    }

    #[test]
    fn names_that_share_a_slot_are_told_apart() {
        let catalogue = Catalogue::builtin();
        for name in (0..2000).map(|n| format!("gpt-{n}")) {
            let found = catalogue.find("openai", &name).map(|found| found.model.id.clone());
            assert_eq!(catalogue.row("openai", &name).map(|row| row.model.id.clone()), found);
        }
    }
}
