//! How much models usually think unseen.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use hashbrown::HashMap;

/// What models thought lately, by the answers that told it.
///
/// Only models that have reasoned are remembered, and no more than [`Thinking::MODELS`] of them:
/// names may come from clients. Those that do not reason wait for nobody.
#[derive(Debug, Default)]
pub(crate) struct Thinking(ArcSwap<Models>);

type Models = HashMap<Box<str>, Arc<Mutex<Recent>>>;

impl Thinking {
    const MODELS: usize = 1000;

    /// Takes down how many tokens of reasoning a whole answer told.
    pub(crate) fn told(&self, model: &str, tokens: u64) {
        let models = self.0.load();
        if let Some(recent) = models.get(model) {
            return lock(recent).push(tokens);
        }
        if tokens > 0 && models.len() < Self::MODELS {
            self.0.rcu(|models| {
                let mut models = Models::clone(models);
                models.entry(model.into()).or_default();
                models
            });
            self.0.load().get(model).into_iter().for_each(|recent| lock(recent).push(tokens));
        }
    }

    /// Returns what all but the longest of a model's recent answers kept within, in tokens; 0 for
    /// one that has not reasoned yet.
    pub(crate) fn usual(&self, model: &str) -> u64 {
        self.0.load().get(model).map_or(0, |recent| lock(recent).most())
    }
}

fn lock(recent: &Mutex<Recent>) -> std::sync::MutexGuard<'_, Recent> {
    recent.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The last figures of a model.
#[derive(Debug, Default)]
struct Recent {
    figures: Vec<u64>,
    next: usize,
}

impl Recent {
    const KEPT: usize = 64;

    fn push(&mut self, tokens: u64) {
        match self.figures.get_mut(self.next) {
            Some(oldest) => *oldest = tokens,
            None => self.figures.push(tokens),
        }
        self.next = (self.next + 1) % Self::KEPT;
    }

    /// The 95th percentile.
    fn most(&self) -> u64 {
        let mut sorted = self.figures.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * 95).div_ceil(100);
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_is_the_95th_percentile_of_the_last_64() {
        let thinking = Thinking::default();
        assert_eq!(thinking.usual("m"), 0, "nothing is known");
        (1..=100).for_each(|tokens| thinking.told("m", tokens));
        assert_eq!(thinking.usual("m"), 97, "of 37 to 100");
        assert_eq!(thinking.usual("other"), 0);
        (0..64).for_each(|_| thinking.told("m", 0));
        assert_eq!(thinking.usual("m"), 0, "it does not think any more");
    }

    #[test]
    fn a_model_that_never_thought_is_not_remembered_and_names_cannot_fill_the_memory() {
        let thinking = Thinking::default();
        thinking.told("plain", 0);
        assert!(thinking.0.load().is_empty());
        (0..2000).for_each(|n| thinking.told(&format!("m{n}"), 5));
        assert_eq!(thinking.0.load().len(), Thinking::MODELS);
        assert_eq!((thinking.usual("m0"), thinking.usual("m1999")), (5, 0));
    }
}
