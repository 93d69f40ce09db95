//! Processes that are killed while they record: what was acknowledged is there, and nothing is
//! there twice.
//!
//! The test runs itself again as the process to be killed: it records charges and prints the
//! number of each once its recording is complete.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::{
    collections::BTreeSet,
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use libtest_mimic::{Arguments, Failed, Trial};
use tollgate_core::{CallId, Money};
use tollgate_meter::{Charge, Ledger};
use tollgate_store::{Durability, Options, Range, SpendBy, SqliteStore};

use support::{money, usual};

const RECORDER: &str = "TOLLGATE_STORE_TEST_RECORDER";
/// How often each store is killed; 5 when not set.
const KILLS: &str = "TOLLGATE_TEST_KILLS";

fn main() {
    if let Ok(told) = env::var(RECORDER) {
        return record_until_killed(&told);
    }
    let trials = vec![
        Trial::test("strict_loses_nothing_it_acknowledged", || survive(Durability::Strict)),
        Trial::test("batched_stays_consistent_and_counts_once", || survive(Durability::Batched)),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// `told` is the durability, the first number and the file.
fn record_until_killed(told: &str) {
    let mut told = told.splitn(3, ' ');
    let mut next = || told.next().unwrap();
    let durability = if next() == "strict" { Durability::Strict } else { Durability::Batched };
    let first: u64 = next().parse().unwrap();
    // A small queue, so that the journal takes part too.
    let options = Options::new().durability(durability).queue(64);
    let store = SqliteStore::open(next(), options).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for number in (first..).step_by(8) {
        let batch: Vec<_> = (number..number + 8).map(|n| store.record(charge(n))).collect();
        batch.into_iter().for_each(|recording| runtime.block_on(recording));
        // Nobody reads any more: the test has ended.
        let mut out = std::io::stdout();
        if writeln!(out, "{}", number + 8).and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

/// The charge of this number: the same whoever makes it.
fn charge(number: u64) -> Charge {
    let mut charge = usual();
    charge.call = id(number);
    charge.cost = Some(cost());
    charge
}

fn cost() -> Money {
    money("0.0000000000003")
}

fn id(number: u64) -> CallId {
    CallId::from_bytes(u128::from(number).to_be_bytes())
}

fn survive(durability: Durability) -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("tollgate.db");
    let mut acknowledged = BTreeSet::new();
    let kills = env::var(KILLS).map_or(Ok(5), |kills| kills.parse())?;
    for round in 0..kills {
        let first = round * 1_000_000;
        let moment = Duration::from_millis(CallId::random().as_bytes()[15].into());
        let upto = record_and_kill(&path, durability, first, moment)?;
        acknowledged.extend(first..upto);
        let found = audit(&path)?;
        if durability == Durability::Strict {
            let lost: Vec<_> = acknowledged.difference(&found).collect();
            assert!(lost.is_empty(), "acknowledged and not there: {lost:?}");
        }
        assert!(!found.is_empty(), "nothing was recorded at all");
    }
    Ok(())
}

/// Returns up to which number charges were acknowledged before the process was killed.
fn record_and_kill(
    path: &Path,
    durability: Durability,
    first: u64,
    moment: Duration,
) -> Result<u64, Failed> {
    let word = if durability == Durability::Strict { "strict" } else { "batched" };
    let mut child: Child = Command::new(env::current_exe()?)
        .env(RECORDER, format!("{word} {first} {}", path.display()))
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // It is killed some time after its first charges.
    let mut upto = lines.next().unwrap()?.parse()?;
    let killer = thread::spawn(move || {
        thread::sleep(moment);
        child.kill().and_then(|()| child.wait())
    });
    while let Some(Ok(line)) = lines.next() {
        // The last line may be torn as well.
        upto = line.parse::<u64>().map_or(upto, |number| number.max(upto));
    }
    assert!(!killer.join().unwrap()?.success(), "it was killed");
    Ok(upto)
}

/// Opens what was left, checks that its sums are those of its charges, and returns their numbers.
fn audit(path: &Path) -> Result<BTreeSet<u64>, Failed> {
    let store = SqliteStore::open(path, Options::new())?;
    let check = rusqlite::Connection::open(path)?;
    let sound: String = check.query_row("PRAGMA integrity_check", (), |row| row.get(0))?;
    assert_eq!(sound, "ok");
    let mut select = check.prepare("SELECT call FROM attempts")?;
    let calls = select.query_map((), |row| row.get::<_, [u8; 16]>(0))?;
    let mut found = BTreeSet::new();
    for call in calls {
        let number = u64::try_from(u128::from_be_bytes(call?))?;
        assert!(found.insert(number), "{number} is there twice");
    }
    let row = &store.spend(SpendBy::Key, Range::all())?[0];
    assert_eq!(row.attempts, found.len() as u64, "the sums count what is there");
    assert_eq!(row.usd, cost().times(found.len().into())?);
    assert_eq!(store.spend(SpendBy::Tag, Range::all())?[0].attempts, row.attempts);
    Ok(found)
}
