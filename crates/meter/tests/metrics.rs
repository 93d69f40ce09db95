//! Charges counted through the `metrics` facade.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use common::{CHAT, MESSAGES, Spoken, prices};
use http_body_util::BodyExt;
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit, with_local_recorder,
};
use tollgate_meter::{Ledger, MemoryLedger, MeterLayer, Metrics};
use tollgate_testkit::{Answer, Upstream};
use tower::{Layer, ServiceExt};

/// Every series with what was added to it.
#[derive(Clone, Default)]
struct Series(Arc<Mutex<BTreeMap<String, f64>>>);

struct One(Series, String);

impl One {
    fn add(&self, value: f64) {
        *self.0.0.lock().unwrap().entry(self.1.clone()).or_default() += value;
    }
}

impl CounterFn for One {
    fn increment(&self, value: u64) {
        self.add(value as f64);
    }

    fn absolute(&self, _: u64) {
        panic!("nothing here is absolute");
    }
}

impl GaugeFn for One {
    fn increment(&self, value: f64) {
        self.add(value);
    }

    fn decrement(&self, _: f64) {
        panic!("costs only grow");
    }

    fn set(&self, _: f64) {
        panic!("costs only grow");
    }
}

impl HistogramFn for One {
    fn record(&self, _: f64) {
        self.add(1.0);
    }
}

impl Series {
    fn one(&self, key: &Key) -> Arc<One> {
        let labels: Vec<_> = key.labels().map(|l| format!("{}={}", l.key(), l.value())).collect();
        Arc::new(One(self.clone(), format!("{} {}", key.name(), labels.join(" "))))
    }
}

impl Recorder for Series {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.one(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.one(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.one(key))
    }
}

/// Asks once per answer, and gives what was counted.
fn counted(
    spoken: &Spoken,
    answers: Vec<Answer>,
    ledger: Metrics<MemoryLedger>,
) -> BTreeMap<String, f64> {
    let series = Series::default();
    let asked = answers.len();
    let layer = MeterLayer::new(ledger, prices()).target(spoken.target());
    let service = layer.layer(Upstream::queue(answers));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    with_local_recorder(&series, || {
        runtime.block_on(async {
            for _ in 0..asked {
                let response = service.clone().oneshot(spoken.asking()).await.unwrap();
                let _ = response.into_body().collect().await;
            }
        });
    });
    series.0.lock().unwrap().clone()
}

#[test]
fn tokens_cost_and_times_are_counted_by_target() {
    let answers =
        vec![Answer::json(200, CHAT.json), Answer::json(200, CHAT.json), Answer::json(500, "{}")];
    let seen = counted(&CHAT, answers, Metrics::new(MemoryLedger::new()));
    let of = |name: &str| seen.get(name).copied();
    assert_eq!(of("tollgate_tokens_total provider=openai model=m kind=input"), Some(120.0));
    assert_eq!(of("tollgate_tokens_total provider=openai model=m kind=cache_read"), Some(80.0));
    assert_eq!(of("tollgate_tokens_total provider=openai model=m kind=output"), Some(40.0));
    assert_eq!(of("tollgate_attempts_total provider=openai model=m ending=complete"), Some(2.0));
    assert_eq!(
        of("tollgate_attempts_total provider=openai model=m ending=server_error"),
        Some(1.0)
    );
    let cost = of("tollgate_cost_usd_total provider=openai model=m").unwrap();
    assert!((cost - 0.000528).abs() < 1e-9, "{cost}");
    assert_eq!(of("tollgate_attempt_seconds provider=openai model=m"), Some(3.0));
    assert_eq!(of("tollgate_head_seconds provider=openai model=m"), Some(3.0));
    assert_eq!(of("tollgate_first_content_seconds provider=openai model=m"), Some(2.0));
}

#[test]
fn what_has_no_known_price_is_counted_as_such() {
    let free = MemoryLedger::new();
    let series = Series::default();
    let layer = MeterLayer::new(Metrics::new(free.clone()), prices());
    let service = layer.layer(Upstream::always(Answer::json(200, CHAT.json)));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    with_local_recorder(&series, || {
        runtime.block_on(async {
            let response = service.oneshot(CHAT.asking()).await.unwrap();
            response.into_body().collect().await.unwrap();
        });
    });
    let seen = series.0.lock().unwrap();
    assert_eq!(seen["tollgate_cost_unknown_total provider=other model=other"], 1.0);
    assert!(!seen.keys().any(|name| name.starts_with("tollgate_cost_usd_total")));
    assert_eq!(free.charges().len(), 1, "and handed on");
}

#[test]
fn answers_that_leave_out_their_usage_are_counted() {
    let silent = r#"{"choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}]}"#;
    let answers = [CHAT.json, silent, r#"{"error":{"message":"overloaded"}}"#];
    let answers = answers.map(|text| Answer::json(200, text)).to_vec();
    let seen = counted(&CHAT, answers, Metrics::new(MemoryLedger::new()));
    assert_eq!(seen["tollgate_usage_missing_total provider=openai model=m"], 1.0);
}

#[test]
fn models_beyond_the_cap_are_other() {
    let ledger = Metrics::new(MemoryLedger::new()).models(2);
    counted(&CHAT, vec![Answer::json(200, CHAT.json)], ledger.clone());
    let charge = ledger.inner().charges().remove(0);
    let series = Series::default();
    with_local_recorder(&series, || {
        for model in ["m", "b", "c", "d", "m"] {
            let mut charge = charge.clone();
            let mut target = (**charge.target.as_ref().unwrap()).clone();
            target.model = model.into();
            charge.target = Some(Arc::new(target));
            drop(ledger.record(charge));
        }
    });
    let seen = series.0.lock().unwrap();
    let of = |model: &str| {
        seen.get(&format!("tollgate_attempts_total provider=openai model={model} ending=complete"))
    };
    assert_eq!((of("m"), of("b"), of("other")), (Some(&2.0), Some(&1.0), Some(&2.0)));
    assert_eq!((of("c"), of("d")), (None, None));
}

#[test]
fn an_estimate_counts_like_what_was_told() {
    let seen = counted(
        &MESSAGES,
        vec![Answer::json(200, r#"{"content":[{"type":"text","text":"1234567"}]}"#)],
        Metrics::new(MemoryLedger::new()),
    );
    assert_eq!(seen["tollgate_tokens_total provider=anthropic model=m kind=output"], 2.0);
}
