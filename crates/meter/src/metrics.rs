use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock},
};

use metrics::{SharedString, counter, gauge, histogram};
use tollgate_core::{Target, Usage};

use crate::{Charge, Ledger};

/// Models beyond the cap, and attempts without a target.
const OTHER: SharedString = SharedString::const_str("other");

/// A ledger that counts charges through the `metrics` facade and hands them on to another.
///
/// | name | kind | labels |
/// | --- | --- | --- |
/// | `tollgate_tokens_total` | counter | `provider`, `model`, `kind`: `input` (neither read from a cache nor written), `cache_read`, `cache_write`, `output`, `reasoning` |
/// | `tollgate_cost_usd_total` | gauge that grows | `provider`, `model` |
/// | `tollgate_cost_unknown_total` | counter | `provider`, `model` |
/// | `tollgate_attempts_total` | counter | `provider`, `model`, `ending` |
/// | `tollgate_attempt_seconds`, `tollgate_head_seconds`, `tollgate_first_content_seconds` | histogram | `provider`, `model` |
///
/// The cost is a binary float, good for display and alarms: the ledger has the exact amounts.
/// Labels are bounded: after 200 models ([`Metrics::models`]) further ones are counted as `other`.
/// Clones share their labels.
///
/// ```
/// use tollgate_meter::{MemoryLedger, Metrics};
///
/// let ledger = Metrics::new(MemoryLedger::new()).models(50);
/// assert!(ledger.inner().charges().is_empty());
/// ```
#[derive(Clone, Debug)]
pub struct Metrics<L> {
    inner: L,
    models: Models,
}

/// The models that have labels of their own.
#[derive(Clone, Debug)]
struct Models {
    most: usize,
    known: Arc<RwLock<HashSet<(Arc<str>, Arc<str>)>>>,
}

impl<L> Metrics<L> {
    /// Counts what `inner` is given.
    pub fn new(inner: L) -> Self {
        Self { inner, models: Models { most: 200, known: Arc::default() } }
    }

    /// Sets how many models have labels of their own. Default: 200.
    pub fn models(mut self, most: usize) -> Self {
        self.models.most = most;
        self
    }

    /// The ledger behind it.
    pub fn inner(&self) -> &L {
        &self.inner
    }
}

impl<L: Ledger> Ledger for Metrics<L> {
    type Recording = L::Recording;

    fn record(&self, charge: Charge) -> L::Recording {
        self.models.labels(charge.target.as_deref()).count(&charge);
        self.inner.record(charge)
    }
}

impl Models {
    /// The labels of a target. Models of another provider are other models.
    fn labels(&self, target: Option<&Target>) -> Labels {
        let Some(target) = target else { return Labels { provider: OTHER, model: OTHER } };
        let model = match self.admits(target) {
            true => target.model.clone().into(),
            false => OTHER,
        };
        Labels { provider: target.provider.clone().into(), model }
    }

    fn admits(&self, target: &Target) -> bool {
        let name = (target.provider.clone(), target.model.clone());
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if known.contains(&name) || known.len() >= self.most {
            return known.contains(&name);
        }
        drop(known);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.contains(&name) || (known.len() < self.most && known.insert(name))
    }
}

/// Whom a charge is counted for.
struct Labels {
    provider: SharedString,
    model: SharedString,
}

impl Labels {
    fn count(&self, charge: &Charge) {
        let (provider, model) = (&self.provider, &self.model);
        counter!(
            "tollgate_attempts_total",
            "provider" => provider.clone(), "model" => model.clone(),
            "ending" => charge.ending.as_str()
        )
        .increment(1);
        self.cost(charge);
        for (kind, tokens) in tokens(&charge.usage) {
            counter!(
                "tollgate_tokens_total",
                "provider" => provider.clone(), "model" => model.clone(), "kind" => kind
            )
            .increment(tokens);
        }
        for (name, took) in [
            ("tollgate_attempt_seconds", Some(charge.took)),
            ("tollgate_head_seconds", charge.head),
            ("tollgate_first_content_seconds", charge.first_content),
        ] {
            let Some(took) = took else { continue };
            histogram!(name, "provider" => provider.clone(), "model" => model.clone()).record(took);
        }
    }

    fn cost(&self, charge: &Charge) {
        let (provider, model) = (self.provider.clone(), self.model.clone());
        match charge.cost {
            None => {
                counter!("tollgate_cost_unknown_total", "provider" => provider, "model" => model)
                    .increment(1)
            }
            Some(cost) if cost.is_zero() => {}
            Some(cost) => {
                gauge!("tollgate_cost_usd_total", "provider" => provider, "model" => model)
                    .increment(cost.to_string().parse::<f64>().unwrap_or(0.0))
            }
        }
    }
}

/// Tokens by kind, without the kinds of which there are none. Those of other models that took part
/// in the answer are among them.
fn tokens(usage: &Usage) -> impl Iterator<Item = (&'static str, u64)> {
    let parts = |usage: &Usage| {
        let write = usage.write.iter().map(|(_, tokens)| tokens.total());
        [
            usage.prompt.total().saturating_add(usage.tool_in.unwrap_or(0)),
            usage.read.total(),
            write.fold(0, u64::saturating_add),
            usage.output.total().saturating_add(usage.citation.unwrap_or(0)),
            usage.reasoning.unwrap_or(0),
        ]
    };
    let others = usage.extra.iter().map(|(_, other)| parts(other));
    let sums = others.fold(parts(usage), |sums, other| {
        std::array::from_fn(|at| sums[at].saturating_add(other[at]))
    });
    let kinds = ["input", "cache_read", "cache_write", "output", "reasoning"];
    kinds.into_iter().zip(sums).filter(|(_, tokens)| *tokens > 0)
}
