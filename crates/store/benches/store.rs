//! What a charge costs: to the caller, and on the thread that writes it.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tollgate_core::CallId;
use tollgate_meter::{Charge, Ledger};
use tollgate_store::{Durability, Options, Range, SpendBy, SqliteStore};

use support::{LONG, usual};

const CHARGES: u32 = 10_000;

fn charges() -> Vec<Charge> {
    let one = usual();
    let another = |_| {
        let mut charge = one.clone();
        charge.call = CallId::random();
        charge
    };
    (0..CHARGES).map(another).collect()
}

/// Records all and waits until they are on the disk.
fn write(store: &SqliteStore, charges: Vec<Charge>) -> Duration {
    let begin = Instant::now();
    charges.into_iter().for_each(|charge| drop(store.record(charge)));
    assert!(store.flush(LONG));
    begin.elapsed()
}

fn store(c: &mut Criterion) {
    let mut group = c.benchmark_group("store");
    group.sample_size(10).throughput(Throughput::Elements(u64::from(CHARGES)));
    for durability in [Durability::Batched, Durability::Strict] {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::new().durability(durability);
        let store = SqliteStore::open(dir.path().join("tollgate.db"), options).unwrap();
        group.bench_function(format!("write_{durability:?}").to_lowercase(), |b| {
            b.iter_custom(|times| (0..times).map(|_| write(&store, charges())).sum());
        });
        assert_eq!(store.counters().journaled + store.counters().lost, 0);
    }
    group.finish();

    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path().join("tollgate.db"), Options::new()).unwrap();
    write(&store, charges());
    c.bench_function("store/spend_by_model", |b| {
        b.iter(|| store.spend(SpendBy::Model, Range::all()).unwrap());
    });
}

criterion_group!(benches, store);
criterion_main!(benches);
