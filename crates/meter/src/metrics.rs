use std::{
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use hashbrown::HashMap;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram, with_recorder};
use tollgate_core::{Money, Operation, Quality, Target, Usage};

use crate::{Charge, Ending, Ledger};

/// The label of models beyond the cap, and of attempts without a target.
const OTHER: &str = "other";

/// A ledger that counts charges through the `metrics` facade and hands them on to another.
///
/// | name | kind | labels |
/// | --- | --- | --- |
/// | `tollgate_tokens_total` | counter | `provider`, `model`, `kind`: `input` (neither read from a cache nor written), `cache_read`, `cache_write`, `output`, `reasoning` |
/// | `tollgate_cost_usd_total` | gauge that grows | `provider`, `model` |
/// | `tollgate_cost_unknown_total` | counter | `provider`, `model` |
/// | `tollgate_usage_missing_total` | counter | `provider`, `model`: whole answers that told no usage, or so little of it that it was estimated |
/// | `tollgate_attempts_total` | counter | `provider`, `model`, `ending` |
/// | `tollgate_attempt_seconds`, `tollgate_head_seconds`, `tollgate_first_content_seconds` | histogram | `provider`, `model` |
///
/// The cost is a binary float, good for display and alarms: the ledger has the exact amounts.
/// Labels are bounded: after 200 models ([`Metrics::models`]) further ones are counted as `other`.
/// Clones share their labels.
///
/// A series is registered when it is first counted, and kept: a recorder must not forget series
/// that are idle. One that is installed later, or for a scope, is told from the last by its address.
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

/// A provider and a model.
type Named = (Arc<str>, Arc<str>);

/// The models that have labels of their own, and the series of all.
#[derive(Clone, Debug)]
struct Models {
    most: usize,
    other: Arc<str>,
    known: Arc<RwLock<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// Names are as they are in labels.
    series: HashMap<Named, Arc<Series>>,
    /// How many of them are models' own.
    own: usize,
}

impl<L> Metrics<L> {
    /// Counts what `inner` is given.
    pub fn new(inner: L) -> Self {
        Self { inner, models: Models::new(200) }
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
        self.models.series(charge.target.as_deref()).count(&charge);
        self.inner.record(charge)
    }
}

impl Models {
    fn new(most: usize) -> Self {
        Self { most, other: OTHER.into(), known: Arc::default() }
    }

    /// The series of a target. Models of another provider are other models.
    fn series(&self, target: Option<&Target>) -> Arc<Series> {
        let name = || match target {
            Some(target) => (target.provider.clone(), target.model.clone()),
            None => (self.other.clone(), self.other.clone()),
        };
        let recorder = recorder();
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = known.series_of(&self.label(name(), &known), recorder) {
            return series;
        }
        drop(known);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let name = self.label(name(), &known);
        known.series_of(&name, recorder).unwrap_or_else(|| known.insert(name, recorder))
    }

    fn label(&self, name: Named, known: &Known) -> Named {
        match known.admits(&name, self.most) {
            true => name,
            false => (name.0, self.other.clone()),
        }
    }
}

impl Known {
    /// Whether a model has labels of its own, or may get them.
    fn admits(&self, name: &Named, most: usize) -> bool {
        self.own < most || &*name.1 == OTHER || self.series.contains_key(name)
    }

    fn series_of(&self, name: &Named, recorder: usize) -> Option<Arc<Series>> {
        self.series.get(name).filter(|series| series.recorder == recorder).cloned()
    }

    fn insert(&mut self, name: Named, recorder: usize) -> Arc<Series> {
        let series = Arc::new(Series::new(&name, recorder));
        let own = &*name.1 != OTHER;
        if self.series.insert(name, series.clone()).is_none() {
            self.own += usize::from(own);
        }
        series
    }
}

/// Tells recorders apart.
fn recorder() -> usize {
    with_recorder(|recorder| std::ptr::from_ref(recorder).cast::<()>().addr())
}

/// What is counted for one provider and model. Each is registered when it first counts, so that
/// nothing is exported that never happened.
#[derive(Debug)]
struct Series {
    name: Named,
    /// With whom they are registered.
    recorder: usize,
    attempts: RwLock<Vec<(&'static str, Counter)>>,
    tokens: [OnceLock<Counter>; KINDS.len()],
    cost: OnceLock<Gauge>,
    unknown: OnceLock<Counter>,
    missing: OnceLock<Counter>,
    times: [OnceLock<Histogram>; TIMES.len()],
}

const KINDS: [&str; 5] = ["input", "cache_read", "cache_write", "output", "reasoning"];

const TIMES: [&str; 3] =
    ["tollgate_attempt_seconds", "tollgate_head_seconds", "tollgate_first_content_seconds"];

impl Series {
    fn new(name: &Named, recorder: usize) -> Self {
        Self {
            name: name.clone(),
            recorder,
            attempts: RwLock::default(),
            tokens: Default::default(),
            cost: OnceLock::new(),
            unknown: OnceLock::new(),
            missing: OnceLock::new(),
            times: Default::default(),
        }
    }

    fn count(&self, charge: &Charge) {
        self.attempt(charge.ending);
        self.cost(charge.cost);
        if lacks_usage(charge) {
            self.missing();
        }
        for (at, tokens) in tokens(&charge.usage).into_iter().enumerate() {
            if tokens > 0 {
                self.tokens(at).increment(tokens);
            }
        }
        let times = [Some(charge.took), charge.head, charge.first_content];
        for (at, took) in times.into_iter().enumerate() {
            took.into_iter().for_each(|took| self.time(at, took));
        }
    }

    fn attempt(&self, ending: Ending) {
        let ending = ending.as_str();
        let attempts = self.attempts.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, counter)) = attempts.iter().find(|(known, _)| *known == ending) {
            return counter.increment(1);
        }
        drop(attempts);
        let (provider, model) = self.name.clone();
        let counter = counter!(
            "tollgate_attempts_total",
            "provider" => provider, "model" => model, "ending" => ending
        );
        counter.increment(1);
        let mut attempts = self.attempts.write().unwrap_or_else(PoisonError::into_inner);
        if !attempts.iter().any(|(known, _)| *known == ending) {
            attempts.push((ending, counter));
        }
    }

    fn cost(&self, cost: Option<Money>) {
        let name = || self.name.clone();
        match cost {
            None => {
                let counter = self.unknown.get_or_init(|| {
                    let (provider, model) = name();
                    counter!("tollgate_cost_unknown_total", "provider" => provider, "model" => model)
                });
                counter.increment(1);
            }
            Some(cost) if cost.is_zero() => {}
            Some(cost) => {
                let gauge = self.cost.get_or_init(|| {
                    let (provider, model) = name();
                    gauge!("tollgate_cost_usd_total", "provider" => provider, "model" => model)
                });
                gauge.increment(dollars(cost));
            }
        }
    }

    fn missing(&self) {
        let counter = self.missing.get_or_init(|| {
            let (provider, model) = self.name.clone();
            counter!("tollgate_usage_missing_total", "provider" => provider, "model" => model)
        });
        counter.increment(1);
    }

    fn tokens(&self, at: usize) -> &Counter {
        self.tokens[at].get_or_init(|| {
            let (provider, model) = self.name.clone();
            counter!(
                "tollgate_tokens_total",
                "provider" => provider, "model" => model, "kind" => KINDS[at]
            )
        })
    }

    fn time(&self, at: usize, took: Duration) {
        let histogram = self.times[at].get_or_init(|| {
            let (provider, model) = self.name.clone();
            histogram!(TIMES[at], "provider" => provider, "model" => model)
        });
        histogram.record(took);
    }
}

/// Whether an answer that was taken whole should have told its usage, and did not.
fn lacks_usage(charge: &Charge) -> bool {
    charge.ending == Ending::Complete
        && matches!(charge.operation, Operation::Generate | Operation::Embed)
        && matches!(charge.usage.quality, Quality::Estimated | Quality::Absent)
}

/// The float nearest to an amount, or next to that.
fn dollars(cost: Money) -> f64 {
    let dollars = cost.dollars();
    dollars.mantissa() as f64 / 10_f64.powi(dollars.scale().cast_signed())
}

/// Tokens in the order of [`KINDS`]. Those of other models that took part in the answer are among
/// them.
fn tokens(usage: &Usage) -> [u64; KINDS.len()] {
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
    others.fold(parts(usage), |sums, other| {
        std::array::from_fn(|at| sums[at].saturating_add(other[at]))
    })
}
