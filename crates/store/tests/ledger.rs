//! The ledger as its callers meet it: recorded, summed, looked up, and kept over restarts.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use tollgate_core::{Decimal, KeyId, Money, Principal, Quality};
use tollgate_meter::{Charge, Ending, Ledger, Tags};
use tollgate_store::{Durability, Options, Range, SpendBy, SpendRow, SqliteStore};

use support::{LONG, costing, money, noon, usual};

struct Place {
    store: SqliteStore,
    dir: tempfile::TempDir,
}

impl Place {
    fn new(options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { store: SqliteStore::open(dir.path().join("tollgate.db"), options).unwrap(), dir }
    }

    fn reopened(self) -> Self {
        assert!(self.store.close(LONG));
        let store = SqliteStore::open(self.dir.path().join("tollgate.db"), Options::new()).unwrap();
        Self { store, ..self }
    }

    fn record(&self, charges: impl IntoIterator<Item = Charge>) {
        charges.into_iter().for_each(|charge| drop(self.store.record(charge)));
        assert!(self.store.flush(LONG));
    }

    fn spend(&self, by: SpendBy) -> Vec<SpendRow> {
        self.store.spend(by, Range::all()).unwrap()
    }
}

#[test]
fn a_charge_is_found_under_everything_it_is_grouped_by() {
    let place = Place::new(Options::new());
    let charge = usual();
    let cost = charge.cost.unwrap();
    assert!(!cost.is_zero());
    place.record([charge]);
    for (by, names) in [
        (SpendBy::Key, &["dev"][..]),
        (SpendBy::Team, &["search"]),
        (SpendBy::Model, &["openai/gpt-5-mini"]),
        (SpendBy::Provider, &["openai"]),
        (SpendBy::Tag, &["batch-7", "nightly"]),
        (SpendBy::Day, &["2026-11-22"]),
    ] {
        let rows = place.spend(by);
        assert_eq!(rows.iter().map(|row| &*row.name).collect::<Vec<_>>(), names, "{by:?}");
        assert!(rows.iter().all(|row| row.usd == cost && row.calls == 1 && row.attempts == 1));
        let row = &rows[0];
        assert_eq!((row.input_tokens, row.cached_tokens), (1200, 200), "{by:?}");
        assert_eq!((row.output_tokens, row.reasoning_tokens), (350, 50), "{by:?}");
    }
    assert_eq!(place.spend(SpendBy::Key)[0].id.as_deref(), Some("key_1"));
}

#[test]
fn sums_are_the_same_after_a_restart() {
    let place = Place::new(Options::new());
    place.record((0..100).map(|_| usual()));
    let before = place.spend(SpendBy::Key);
    let place = place.reopened();
    place.record([usual()]);
    let after = place.spend(SpendBy::Key);
    assert_eq!((before[0].calls, after[0].calls), (100, 101));
    let once = usual().cost.unwrap();
    assert_eq!(after[0].usd.minus(before[0].usd).unwrap(), once);
}

#[test]
fn attempts_of_a_call_are_charges_of_their_own_and_one_call() {
    let place = Place::new(Options::new());
    let (mut first, mut second) = (usual(), usual());
    first.ending = Ending::Failed(tollgate_core::Class::Overloaded);
    (second.call, second.attempt) = (first.call, 2);
    let id = first.call;
    let sum = first.cost.unwrap().plus(second.cost.unwrap()).unwrap();
    place.record([second, first]);
    let row = &place.spend(SpendBy::Key)[0];
    assert_eq!((row.calls, row.attempts, row.usd), (1, 2, sum));
    let call = place.store.call(id, None).unwrap().unwrap();
    assert_eq!(call.cost_usd, Some(sum));
    let endings: Vec<_> = call.attempts.iter().map(|a| (a.attempt, &*a.ending)).collect();
    assert_eq!(endings, [(1, "overloaded"), (2, "complete")]);
}

#[test]
fn a_call_is_shown_with_its_usage_and_where_its_prices_are_from() {
    let place = Place::new(Options::new());
    let mut charge = usual();
    charge.asked_tier = Some("flex".into());
    let id = charge.call;
    place.record([charge]);
    let call = place.store.call(id, Some(&KeyId::new("key_1"))).unwrap().unwrap();
    let json = serde_json::to_value(&call).unwrap();
    assert_eq!(json["id"], id.to_string());
    assert_eq!(json["tags"], serde_json::json!(["batch-7", "nightly"]));
    let attempt = &json["attempts"][0];
    assert_eq!(attempt["at"], "2026-11-22T12:00:00.000Z");
    assert_eq!(attempt["cost_usd"], json["cost_usd"]);
    assert_eq!(attempt["details"]["usage"]["prompt"]["text"], 1000);
    assert_eq!(attempt["details"]["asked_tier"], "flex");
    let price = &attempt["details"]["price"];
    assert_eq!(price["provenance"]["model"], "gpt-5-mini");
    assert_eq!(price["total_usd"], json["cost_usd"]);
    let lines = price["lines"].as_array().unwrap();
    let sum = lines.iter().map(|line| money(line["usd"].as_str().unwrap()));
    assert_eq!(Money::sum(sum).unwrap(), call.cost_usd.unwrap());
}

#[test]
fn a_call_is_shown_to_its_own_key_only() {
    let place = Place::new(Options::new());
    let (ours, nobodys) = (usual(), costing("1"));
    let ids = (ours.call, nobodys.call);
    place.record([ours, nobodys]);
    let other = KeyId::new("key_2");
    assert!(place.store.call(ids.0, Some(&other)).unwrap().is_none());
    assert!(place.store.call(ids.1, Some(&other)).unwrap().is_none());
    assert!(place.store.call(ids.1, None).unwrap().is_some());
}

#[test]
fn what_a_key_has_spent_counts_from_the_day_that_is_asked_for() {
    let place = Place::new(Options::new());
    let day = Duration::from_secs(86_400);
    let (mut yesterday, today) = (usual(), usual());
    yesterday.at = noon() - day;
    place.record([yesterday, today]);
    let (key, one) = (KeyId::new("key_1"), usual().cost.unwrap());
    let spent = |since| place.store.spent(&key, since).unwrap();
    assert_eq!(spent(noon() + Duration::from_secs(3600)), one, "the whole day counts");
    assert_eq!(spent(noon() - day), one.plus(one).unwrap());
    assert!(spent(noon() + day).is_zero());
    assert!(place.store.spent(&KeyId::new("other"), noon() - day).unwrap().is_zero());
    let range = Range::all().since(noon()).until(noon() + day);
    assert_eq!(place.store.spend(SpendBy::Day, range).unwrap().len(), 1);
}

#[test]
fn sums_hold_what_pico_dollars_cannot() {
    let place = Place::new(Options::new());
    place.record(["0.00000004166666700", "0.0000000000001", "0.1", "7"].map(costing));
    assert_eq!(place.spend(SpendBy::Day)[0].usd, money("7.100000041666767"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn sums_of_any_costs_in_any_order_are_exact(
        told in prop::collection::vec((-1_000_000_000i64..1_000_000_000, 0u32..=18, 0u8..3), 1..60),
        cuts in prop::collection::vec(any::<bool>(), 60),
    ) {
        let place = Place::new(Options::new());
        let mut expected = std::collections::BTreeMap::<u8, Money>::new();
        for ((mantissa, scale, team), cut) in told.into_iter().zip(cuts) {
            let mut charge = usual();
            let mut principal = Principal::new(KeyId::new("key_1"), "dev");
            principal.ancestry = Arc::from([team.to_string().into()]);
            charge.principal = Some(Arc::new(principal));
            let cost = Money::new(Decimal::new(mantissa, scale));
            charge.cost = Some(cost);
            let sum = expected.entry(team).or_default();
            *sum = sum.plus(cost)?;
            drop(place.store.record(charge));
            if cut {
                place.record([]);
            }
        }
        place.record([]);
        let rows = place.spend(SpendBy::Team);
        prop_assert_eq!(rows.len(), expected.len());
        for row in rows {
            prop_assert_eq!(row.usd, expected[&row.name.parse::<u8>().unwrap()]);
        }
    }
}

#[test]
fn groups_without_a_name_are_shown_as_none() {
    let place = Place::new(Options::new());
    place.record([costing("1")]);
    for by in [SpendBy::Key, SpendBy::Team, SpendBy::Model, SpendBy::Provider] {
        assert_eq!(place.spend(by)[0].name, "(none)", "{by:?}");
    }
    assert_eq!(place.spend(SpendBy::Tag), []);
}

#[test]
fn a_recording_of_a_batched_store_is_ready_at_once() {
    let place = Place::new(Options::new());
    let mut poll = polling(place.store.record(usual()));
    assert!(poll().is_ready());
}

/// Polls once with a waker that does nothing.
fn polling<F: Future>(future: F) -> impl FnMut() -> std::task::Poll<F::Output> {
    let mut future = Box::pin(future);
    move || future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}

#[tokio::test]
async fn a_recording_of_a_strict_store_completes_when_its_charge_can_be_read() {
    let place = Place::new(Options::new().durability(Durability::Strict));
    place.store.record(usual()).await;
    assert_eq!(place.spend(SpendBy::Key)[0].calls, 1);
}

#[test]
fn many_threads_lose_nothing() {
    let place = Arc::new(Place::new(Options::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..500).for_each(|_| drop(place.store.record(costing("0.001")))));
        }
    });
    assert!(place.store.flush(LONG));
    assert_eq!(place.spend(SpendBy::Day)[0].usd, money("2"));
    assert_eq!(place.store.counters().written, 2000);
    assert_eq!(place.store.counters().behind, 0);
}

#[test]
fn the_last_handle_writes_what_is_left() {
    let Place { store, dir } = Place::new(Options::new());
    drop(store.record(usual()));
    drop(store);
    let store = SqliteStore::open(dir.path().join("tollgate.db"), Options::new()).unwrap();
    assert_eq!(store.spend(SpendBy::Day, Range::all()).unwrap()[0].calls, 1);
}

#[test]
fn what_comes_after_closing_is_counted_as_lost() {
    let place = Place::new(Options::new());
    assert!(place.store.close(LONG));
    drop(place.store.record(usual()));
    assert_eq!(place.store.counters().lost, 1);
    assert_eq!(place.spend(SpendBy::Day), []);
}

#[test]
fn fault_48_an_unknown_price_is_counted_as_unknown_and_never_as_nothing() {
    let place = Place::new(Options::new());
    let mut unknown = usual();
    (unknown.cost, unknown.priced) = (None, None);
    let id = unknown.call;
    place.record([unknown, costing("0")]);
    let rows = place.spend(SpendBy::Model);
    let unknown: Vec<_> = rows.iter().map(|row| (&*row.name, row.unknown)).collect();
    assert_eq!(unknown, [("(none)", 0), ("openai/gpt-5-mini", 1)]);
    let shown: Vec<_> = rows.iter().map(|row| serde_json::json!(row)["usd"].clone()).collect();
    assert_eq!(shown, [serde_json::json!("0"), serde_json::Value::Null]);
    let day = &place.spend(SpendBy::Day)[0];
    assert_eq!((day.known_usd(), day.unknown), (Some(Money::ZERO), 1), "one of two is known");
    let call = place.store.call(id, None).unwrap().unwrap();
    assert_eq!(call.cost_usd, None);
    assert!(serde_json::to_value(&call).unwrap()["cost_usd"].is_null());
}

#[test]
fn fault_54_a_charge_told_twice_is_counted_once() {
    let place = Place::new(Options::new());
    let charge = usual();
    place.record([charge.clone(), charge.clone()]);
    let place = place.reopened();
    place.record([charge.clone()]);
    let row = &place.spend(SpendBy::Key)[0];
    assert_eq!((row.attempts, row.usd), (1, charge.cost.unwrap()));
    assert_eq!(place.spend(SpendBy::Tag)[0].attempts, 1);
    assert_eq!(place.store.counters().repeated, 1);
}

#[test]
fn fault_54_what_is_told_again_among_many_is_counted_once() {
    let place = Place::new(Options::new());
    let charges: Vec<_> = (0..100).map(|_| usual()).collect();
    place.record(charges[..30].iter().cloned());
    place.record(charges.iter().cloned());
    let counters = place.store.counters();
    assert_eq!((counters.written, counters.repeated), (100, 30));
    let row = &place.spend(SpendBy::Key)[0];
    let sum = Money::sum(charges.iter().filter_map(|charge| charge.cost)).unwrap();
    assert_eq!((row.calls, row.attempts, row.usd), (100, 100, sum));
    assert_eq!(place.spend(SpendBy::Tag)[0].attempts, 100);
}

#[test]
fn fault_54_estimates_are_told_apart() {
    let place = Place::new(Options::new());
    let qualities = [Quality::Exact, Quality::Partial, Quality::Estimated, Quality::Absent];
    place.record(qualities.map(|quality| {
        let mut charge = usual();
        charge.usage.quality = quality;
        charge
    }));
    assert_eq!(place.spend(SpendBy::Key)[0].estimated, 2);
}

#[test]
fn fault_55_absurd_numbers_are_kept_and_overflow_nothing() {
    let place = Place::new(Options::new());
    let absurd = |cost: &str| {
        let mut charge = costing(cost);
        charge.usage = usual().usage;
        charge.usage.prompt.text = Some(u64::MAX);
        charge.usage.output.text = Some(u64::MAX);
        charge.took = Duration::MAX;
        charge.at = noon();
        charge.tags = Tags::parse("absurd");
        charge
    };
    let costs = ["79228162514264337593543950335", "79228162514264337593543950335", "-1", "1e-28"];
    costs.iter().for_each(|cost| place.record([absurd(cost)]));
    place.record([costing("-79228162514264337593543950335")]);
    let rows = place.spend(SpendBy::Day);
    assert_eq!(rows[0].attempts, 5);
    assert!(rows[0].input_tokens >= 1 << 53 && rows[0].usd > money("1e28"));
    place.record([costing("-79228162514264337593543950335"), costing("1")]);
    assert_eq!(place.spend(SpendBy::Day)[0].usd, money("1e-28"), "nothing of it was rounded");
    assert_eq!(place.spend(SpendBy::Tag)[0].attempts, 4);
}
