//! What a start, a lookup and a price cost.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tollgate_catalog::{Catalogue, Occasion, price};
use tollgate_core::{InTokens, Quality, Usage};

fn usage() -> Usage {
    let mut usage = Usage::default();
    usage.prompt.text = Some(12_000);
    usage.read = InTokens { text: Some(100_000), ..InTokens::default() };
    usage.output.text = Some(800);
    usage.reasoning = Some(2_000);
    usage.quality = Quality::Exact;
    usage
}

fn start(c: &mut Criterion) {
    // The first use in a process, which the loops below cannot see.
    let began = std::time::Instant::now();
    let found = Catalogue::builtin().find("openai", "gpt-5.6");
    println!("first lookup of the process: {:?}", began.elapsed());
    assert!(found.is_some());
    let file = r#"{"schema": "tollgate-prices/1", "models": [
        {"provider": "acme", "id": "one", "rates": {"input": "1", "output": "2"}}]}"#;
    c.bench_function("with_file", |b| {
        b.iter(|| Catalogue::builtin().with_file(black_box(file)));
    });
}

fn lookup(c: &mut Criterion) {
    let catalogue = Catalogue::builtin();
    for (rule, provider, name) in [
        ("exact", "openai", "gpt-5.6"),
        ("pattern", "anthropic", "claude-sonnet-4.5"),
        ("unknown", "bedrock", "nobody-knows-2026-01-01"),
    ] {
        c.bench_function(&format!("find/{rule}"), |b| {
            b.iter(|| catalogue.find(black_box(provider), black_box(name)));
        });
    }
}

fn pricing(c: &mut Criterion) {
    let (catalogue, usage, occasion) = (Catalogue::builtin(), usage(), Occasion::default());
    c.bench_function("price", |b| {
        b.iter(|| price(&catalogue, "openai", "gpt-5.6", black_box(&usage), &occasion));
    });
    let priced = price(&catalogue, "openai", "gpt-5.6", &usage, &occasion);
    c.bench_function("view", |b| b.iter(|| serde_json::to_vec(&priced.view(Some("id")))));
}

criterion_group!(benches, start, lookup, pricing);
criterion_main!(benches);
