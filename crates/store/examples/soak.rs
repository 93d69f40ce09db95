//! How long `spend` takes over ten million charges: `soak [ROWS]`.
//!
//! The file is filled through SQL, charges and their sums alike, 90 days of 100 keys and 10 models;
//! what is read of it then is checked against what was written.

use std::{
    error::Error,
    path::Path,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tollgate_core::{Decimal, Money};
use tollgate_store::{Options, Range, SpendBy, SpendRow, SqliteStore};

type Step<T = ()> = Result<T, Box<dyn Error>>;

const ROWS: u64 = 10_000_000;
/// Rows of one transaction: what the write-ahead log holds at once.
const CHUNK: u64 = 500_000;

/// Rows that have each day with each key and model once.
const EACH: u64 = 90 * 100 * 10;

/// Each charge costs 7 µ$, an eighth of them are estimated and a tenth are second attempts.
const CHARGES: &str = "
    WITH RECURSIVE numbers(n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < ?2)
    INSERT INTO charges
    SELECT CAST(printf('%016d', n - (n % 10 = 9)) AS BLOB), 1 + (n % 10 = 9),
           86400000 * (20000 + n / 1000 % 90), 20000 + n / 1000 % 90,
           'key_' || (n % 100), 'key ' || (n % 100), 'team ' || (n % 100 % 7), 'openai', 'gpt',
           'gpt-' || (n / 100 % 10), '', '', 7000000, NULL, 1200, 350, 200, 0, 50,
           iif(n % 8 = 0, 'estimated', 'exact'), 'complete', 1200, '{}'
    FROM numbers";

const SUMS: &str = "
    INSERT INTO spend
    SELECT key, day, team, provider, model, max(key_name), sum(attempt = 1), count(*),
           sum(pico IS NULL), sum(quality = 'estimated'), sum(input), sum(output), sum(cached),
           sum(written), sum(reasoning), sum(pico), NULL
    FROM charges GROUP BY key, day, team, provider, model";

fn main() -> Step {
    let rows = std::env::args().nth(1).map_or(Ok(ROWS), |rows| rows.parse())?;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("tollgate.db");
    // Whoever opens it first makes its tables.
    SqliteStore::open(&path, Options::new())?.close(Duration::from_secs(30));
    let begin = Instant::now();
    fill(&path, rows)?;
    let size = std::fs::metadata(&path)?.len() >> 20;
    println!("filled: {rows} charges, {size} MiB, {:.1} s", begin.elapsed().as_secs_f64());
    let store = SqliteStore::open(&path, Options::new())?;
    for (by, groups) in [
        (SpendBy::Day, 90),
        (SpendBy::Model, 10),
        (SpendBy::Provider, 1),
        (SpendBy::Key, 100),
        (SpendBy::Team, 7),
    ] {
        ask(&store, by, groups, rows)?;
    }
    Ok(())
}

fn fill(path: &Path, rows: u64) -> Step {
    let connection = Connection::open(path)?;
    for from in (0..rows).step_by(usize::try_from(CHUNK)?) {
        let until = rows.min(from + CHUNK);
        connection.execute(CHARGES, (i64::try_from(from)?, i64::try_from(until)?))?;
    }
    connection.execute(SUMS, ())?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?;
    Ok(())
}

fn ask(store: &SqliteStore, by: SpendBy, expected: usize, rows: u64) -> Step {
    let begin = Instant::now();
    let groups = store.spend(by, Range::all())?;
    let took = begin.elapsed();
    println!("spend --by {}: {} groups, {took:.1?}", by.as_str(), groups.len());
    // Fewer rows may not have every group.
    if rows >= EACH && groups.len() != expected {
        return Err(format!("{} groups, not {expected}", groups.len()).into());
    }
    check(&groups, rows)
}

fn check(groups: &[SpendRow], rows: u64) -> Step {
    let attempts: u64 = groups.iter().map(|group| group.attempts).sum();
    let estimated: u64 = groups.iter().map(|group| group.estimated).sum();
    let usd = Money::sum(groups.iter().map(|group| group.usd))?;
    let expected = Money::parse("0.000007")?.times(Decimal::from(rows))?;
    match (attempts, estimated, usd) == (rows, rows.div_ceil(8), expected) {
        true => Ok(()),
        false => Err(format!("{attempts} attempts, {estimated} estimated, {usd} USD").into()),
    }
}
