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
    INSERT INTO attempts
    SELECT CAST(printf('%016d', n - (n % 10 = 9)) AS BLOB), 1 + (n % 10 = 9),
           CAST(json_object('at', 86400000 * (20000 + n / 1000 % 90), 'key', 'key_' || (n % 100),
               'key_name', 'key ' || (n % 100), 'team', 'team ' || (n % 100 % 7),
               'provider', 'openai', 'asked', 'gpt', 'model', 'gpt-' || (n / 100 % 10),
               'usd', '0.000007', 'input', 1200, 'output', 350, 'cached', 200, 'reasoning', 50,
               'quality', iif(n % 8 = 0, 'estimated', 'exact'), 'ending', 'complete',
               'took', 1200, 'details', json('{}')) AS BLOB)
    FROM numbers";

/// The sums of numbers, as the store keeps them.
const SUMS: &str = "
    WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < ?1)
    INSERT INTO spend
    SELECT 'key_' || (n % 100), 20000 + n / 1000 % 90, 'team ' || (n % 100 % 7), 'openai',
           'gpt-' || (n / 100 % 10), 'key ' || (n % 100), sum(n % 10 <> 9), count(*), 0,
           sum(n % 8 = 0), sum(1200), sum(350), sum(200), 0, sum(50), sum(7000000), NULL
    FROM numbers GROUP BY 1, 2, 3, 4, 5";

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
    connection.execute(SUMS, [i64::try_from(rows)?])?;
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
