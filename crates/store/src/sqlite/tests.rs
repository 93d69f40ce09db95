//! What happens when the disk does not do as it should.

use std::{
    fs,
    path::PathBuf,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Waker},
    time::Instant,
};

use rusqlite::{Connection, ffi};

use super::*;
use crate::sqlite::database::BeforeCommit;
use support::{LONG, costing, money, usual};

#[path = "../../tests/support/mod.rs"]
mod support;

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("tollgate.db")
    }

    fn journal(&self) -> PathBuf {
        self.dir.path().join("tollgate.db.journal")
    }

    fn open(&self, options: Options) -> SqliteStore {
        SqliteStore::open(self.path(), options).unwrap()
    }

    /// What is in the file after all, asked of a fresh store.
    fn attempts(&self) -> u64 {
        let store = self.open(Options::new());
        assert!(!store.0.journal.is_filled());
        attempts(&store)
    }
}

fn attempts(store: &SqliteStore) -> u64 {
    store.spend(SpendBy::Day, Range::all()).unwrap().iter().map(|row| row.attempts).sum()
}

fn before_commit(
    hook: impl Fn(&Connection) -> rusqlite::Result<()> + Send + Sync + 'static,
) -> Options {
    let mut options = Options::new();
    options.before_commit = Some(BeforeCommit::new(hook));
    options
}

/// A store whose commits wait while the lock is held.
fn stalling(stall: &Arc<Mutex<()>>) -> Options {
    let stall = stall.clone();
    before_commit(move |_| {
        drop(stall.lock().unwrap());
        Ok(())
    })
}

/// A store whose commits fail while `failing`.
fn failing(failing: &Arc<AtomicBool>) -> Options {
    let failing = failing.clone();
    before_commit(move |_| match failing.load(SeqCst) {
        true => Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR), None)),
        false => Ok(()),
    })
}

/// Waits for what other threads do.
fn eventually(what: impl Fn() -> bool) {
    let begin = Instant::now();
    while !what() {
        assert!(begin.elapsed() < LONG, "never happened");
        thread::sleep(Duration::from_millis(5));
    }
}

fn record(store: &SqliteStore, charges: usize) {
    (0..charges).for_each(|_| drop(store.record(usual())));
}

#[test]
fn fault_43_a_stalled_disk_holds_a_strict_answer_until_its_charge_is_safe() {
    let (place, stall) = (Place::new(), Arc::new(Mutex::new(())));
    let store = place.open(stalling(&stall).durability(Durability::Strict));
    let stalled = stall.lock().unwrap();
    let mut recording = pin!(store.record(usual()));
    let mut cx = Context::from_waker(Waker::noop());
    eventually(|| store.counters().behind == 1);
    assert!(recording.as_mut().poll(&mut cx).is_pending());
    assert_eq!(attempts(&store), 0);
    drop(stalled);
    assert!(store.flush(LONG));
    assert!(recording.as_mut().poll(&mut cx).is_ready());
    assert_eq!(attempts(&store), 1);
}

#[test]
fn fault_43_a_stalled_disk_makes_nobody_wait_in_a_batched_store() {
    let (place, stall) = (Place::new(), Arc::new(Mutex::new(())));
    let store = place.open(stalling(&stall));
    let stalled = stall.lock().unwrap();
    record(&store, 1000);
    assert_eq!(store.counters().behind, 1000);
    assert!(!store.flush(Duration::from_millis(10)), "not safe, and that is said");
    drop(stalled);
    assert!(store.flush(LONG));
    assert_eq!((attempts(&store), store.counters().behind), (1000, 0));
}

#[test]
fn what_the_queue_has_no_place_for_goes_to_the_journal_and_from_there_to_the_file() {
    let (place, stall) = (Place::new(), Arc::new(Mutex::new(())));
    let store = place.open(stalling(&stall).queue(10));
    let stalled = stall.lock().unwrap();
    record(&store, 30);
    assert!(store.0.spill.flush(LONG));
    let counters = store.counters();
    assert_eq!((counters.behind, counters.journaled, counters.lost), (10, 20, 0));
    drop(stalled);
    assert!(store.close(LONG));
    assert_eq!(store.counters().replayed, 20);
    assert_eq!(place.attempts(), 30);
}

#[test]
fn fault_43_a_full_disk_sends_charges_to_the_journal_and_recovers_by_itself() {
    let (place, full) = (Place::new(), Arc::new(AtomicBool::new(true)));
    let is_full = full.clone();
    let store = place.open(before_commit(move |connection| {
        let most = if is_full.load(SeqCst) { 1 } else { 1_000_000 };
        connection.pragma_update_and_check(None, "max_page_count", most, |_| Ok(()))
    }));
    record(&store, 500);
    assert!(store.flush(LONG), "safe in the journal");
    let counters = store.counters();
    assert_eq!((counters.written, counters.journaled, counters.lost), (0, 500, 0));
    assert_eq!(attempts(&store), 0);
    full.store(false, SeqCst);
    eventually(|| store.counters().replayed == 500);
    record(&store, 1);
    assert!(store.flush(LONG));
    assert_eq!(attempts(&store), 501);
}

#[test]
fn fault_43_what_the_journal_holds_is_there_after_a_restart() {
    let (place, broken) = (Place::new(), Arc::new(AtomicBool::new(true)));
    let store = place.open(failing(&broken));
    let charge = usual();
    drop(store.record(charge.clone()));
    assert!(store.close(LONG));
    assert!(place.journal().exists());
    let store = place.open(Options::new());
    assert_eq!((attempts(&store), store.counters().replayed), (1, 1));
    let call = store.call(charge.call, None).unwrap().unwrap();
    assert_eq!(call.cost_usd, charge.cost);
    drop(store.record(charge));
    assert!(store.flush(LONG));
    assert_eq!(store.counters().repeated, 1, "told again after the crash, counted once");
}

#[test]
fn fault_43_with_no_place_to_write_charges_stay_in_memory_until_there_is_one() {
    let (place, broken) = (Place::new(), Arc::new(AtomicBool::new(true)));
    fs::create_dir(place.journal()).unwrap();
    let store = SqliteStore::open(place.path(), failing(&broken));
    let refused = store.unwrap_err().to_string();
    assert!(refused.contains("journal"), "{refused}");
    fs::remove_dir(place.journal()).unwrap();

    let store = place.open(failing(&broken));
    fs::create_dir(place.journal()).unwrap();
    record(&store, 100);
    assert!(!store.flush(Duration::from_millis(300)));
    assert_eq!((store.counters().behind, store.counters().lost), (100, 0));
    broken.store(false, SeqCst);
    assert!(store.flush(LONG));
    assert_eq!((attempts(&store), store.counters().lost), (100, 0));
}

#[test]
fn fault_43_a_strict_answer_ends_when_patience_does_and_that_is_counted() {
    let (place, broken) = (Place::new(), Arc::new(AtomicBool::new(true)));
    let options = failing(&broken).durability(Durability::Strict).patience(Duration::ZERO);
    let store = place.open(options);
    fs::create_dir(place.journal()).unwrap();
    let mut recording = pin!(store.record(usual()));
    eventually(|| store.counters().released == 1);
    assert!(recording.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    broken.store(false, SeqCst);
    assert!(store.flush(LONG));
    assert_eq!((attempts(&store), store.counters().lost), (1, 0), "late, but not lost");
}

/// Records charges one by one while nothing can be written, and sees each answer end.
fn all_are_released(store: &SqliteStore, charges: u64) {
    let mut cx = Context::from_waker(Waker::noop());
    for count in 1..=charges {
        let mut recording = pin!(store.record(usual()));
        eventually(|| store.counters().released == count);
        assert!(recording.as_mut().poll(&mut cx).is_ready());
    }
    assert_eq!((attempts(store), store.counters().lost), (0, 0));
}

#[test]
fn fault_43_a_full_disk_releases_answers_whose_charges_are_still_in_the_queue() {
    let (place, broken) = (Place::new(), Arc::new(AtomicBool::new(true)));
    let patience = Duration::from_millis(20);
    let options = failing(&broken).durability(Durability::Strict).patience(patience);
    let store = place.open(options);
    fs::create_dir(place.journal()).unwrap();
    all_are_released(&store, 3);
    broken.store(false, SeqCst);
    assert!(store.flush(LONG));
    assert_eq!((attempts(&store), store.counters().lost), (3, 0));
}

#[test]
fn fault_43_a_disk_that_never_returns_releases_answers_too() {
    let (place, stall) = (Place::new(), Arc::new(Mutex::new(())));
    let patience = Duration::from_millis(20);
    let store = place.open(stalling(&stall).durability(Durability::Strict).patience(patience));
    let stalled = stall.lock().unwrap();
    all_are_released(&store, 3);
    drop(stalled);
    assert!(store.flush(LONG));
    assert_eq!((attempts(&store), store.counters().lost), (3, 0));
}

#[test]
fn an_answer_nobody_waits_for_is_not_counted_as_released() {
    let (place, stall) = (Place::new(), Arc::new(Mutex::new(())));
    let patience = Duration::from_millis(20);
    let store = place.open(stalling(&stall).durability(Durability::Strict).patience(patience));
    let stalled = stall.lock().unwrap();
    record(&store, 3);
    let mut last = pin!(store.record(usual()));
    let mut cx = Context::from_waker(Waker::noop());
    eventually(|| store.counters().released > 0);
    assert!(last.as_mut().poll(&mut cx).is_ready());
    assert_eq!(store.counters().released, 1);
    drop(stalled);
}

#[test]
fn charges_are_lost_only_when_queue_and_journal_are_full_and_they_are_counted() {
    let (place, stall) = (Place::new(), Arc::new(Mutex::new(())));
    let store = place.open(stalling(&stall).queue(10).journal(0));
    let stalled = stall.lock().unwrap();
    record(&store, 15);
    assert!(store.0.spill.flush(LONG));
    assert_eq!(store.counters().lost, 5);
    drop(stalled);
    assert!(store.close(LONG));
    assert_eq!(place.attempts(), 10);
}

#[test]
fn fault_43_a_file_that_was_taken_away_is_made_again_and_keys_go_on() {
    let place = Place::new();
    let store = place.open(Options::new());
    let (key, _) = store.create(NewKey::new("dev")).unwrap();
    record(&store, 1);
    assert!(store.flush(LONG));
    fs::remove_file(place.path()).unwrap();
    record(&store, 2);
    assert!(store.flush(LONG));
    assert_eq!((attempts(&store), store.counters().lost), (2, 0));
    store.refresh().unwrap();
    assert!(store.lookup(&KeyHash::of(&key)).is_some());
    store.create(NewKey::new("other")).unwrap();
    assert!(store.lookup(&KeyHash::of(&key)).is_none(), "the new file speaks for itself");
}

#[test]
fn fault_43_a_file_that_cannot_be_opened_is_tried_again() {
    let place = Place::new();
    let store = place.open(Options::new());
    fs::remove_file(place.path()).unwrap();
    fs::create_dir(place.path()).unwrap();
    record(&store, 3);
    assert!(store.flush(LONG));
    assert_eq!(store.counters().journaled, 3);
    assert!(store.spend(SpendBy::Day, Range::all()).is_err());
    fs::remove_dir(place.path()).unwrap();
    eventually(|| store.counters().replayed == 3);
    assert_eq!(attempts(&store), 3);
}

#[tokio::test]
async fn fault_43_a_file_another_process_holds_does_not_hold_up_strict_answers() {
    let place = Place::new();
    let store = place.open(Options::new().durability(Durability::Strict));
    let other = Connection::open(place.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    store.record(usual()).await;
    assert_eq!(store.counters().journaled, 1, "safe without the file");
    other.execute_batch("COMMIT").unwrap();
    eventually(|| store.counters().replayed == 1);
    assert_eq!(attempts(&store), 1);
}

fn page(place: &Place) -> u32 {
    let connection = Connection::open(place.path()).unwrap();
    connection.pragma_query_value(None, "page_size", |row| row.get(0)).unwrap()
}

#[test]
fn a_new_file_has_large_pages_and_an_old_one_keeps_its_own() {
    let place = Place::new();
    drop(place.open(Options::new()));
    assert_eq!(page(&place), 16_384);

    let place = Place::new();
    let old = Connection::open(place.path()).unwrap();
    old.execute_batch("PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; VACUUM").unwrap();
    drop(old);
    assert_eq!(page(&place), 4096);
    let store = place.open(Options::new());
    record(&store, 100);
    assert!(store.flush(LONG));
    assert_eq!((attempts(&store), page(&place)), (100, 4096));
}

/// A journal of three charges of 1, 2 and 4 dollars.
fn journal(place: &Place) -> Vec<u8> {
    let broken = Arc::new(AtomicBool::new(true));
    let store = place.open(failing(&broken));
    for usd in ["1", "2", "4"] {
        drop(store.record(costing(usd)));
        assert!(store.flush(LONG));
    }
    assert!(store.close(LONG));
    fs::read(place.journal()).unwrap()
}

fn usd(store: &SqliteStore) -> Money {
    Money::sum(store.spend(SpendBy::Day, Range::all()).unwrap().iter().map(|row| row.usd)).unwrap()
}

#[test]
fn fault_44_a_torn_tail_is_cut_off_wherever_it_was_torn() {
    let text = journal(&Place::new());
    let last = text[..text.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for cut in [last + 1, last + 8, last + 9, last + 40, text.len() - 1] {
        let place = Place::new();
        fs::write(place.journal(), &text[..cut]).unwrap();
        let store = place.open(Options::new());
        assert_eq!((usd(&store), store.counters().torn), (money("3"), 1), "{cut}");
        assert!(!store.0.journal.is_filled());
    }
}

#[test]
fn fault_44_a_journal_damaged_before_its_end_is_refused_and_kept() {
    let mut text = journal(&Place::new());
    let second = text.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    text[second + 50] ^= 1;
    let place = Place::new();
    fs::write(place.journal(), &text).unwrap();
    let error = SqliteStore::open(place.path(), Options::new()).unwrap_err();
    assert!(matches!(error, StoreError::Journal { line: 2, .. }), "{error}");
    assert!(error.to_string().contains("tollgate.db.journal is damaged at line 2"), "{error}");
    assert_eq!(fs::read(place.journal()).unwrap(), text);
    fs::remove_file(place.journal()).unwrap();
    // Nothing of it was taken.
    assert_eq!(usd(&place.open(Options::new())), Money::ZERO);
}

#[test]
fn fault_44_nothing_is_appended_to_half_a_line() {
    let text = journal(&Place::new());
    let (place, broken) = (Place::new(), Arc::new(AtomicBool::new(true)));
    let store = place.open(failing(&broken));
    fs::write(place.journal(), &text[..text.len() - 20]).unwrap();
    drop(store.record(costing("8")));
    assert!(store.close(LONG));
    assert_eq!(store.counters().torn, 1);
    assert_eq!(usd(&place.open(Options::new())), money("11"));
}

#[test]
fn two_processes_share_a_file_and_a_journal() {
    let place = Place::new();
    let broken = Arc::new(AtomicBool::new(true));
    let (one, two) = (place.open(failing(&broken)), place.open(Options::new()));
    record(&one, 50);
    record(&two, 50);
    assert!(one.flush(LONG) && two.flush(LONG));
    eventually(|| two.counters().replayed == 50);
    assert_eq!(attempts(&two), 100);
    broken.store(false, SeqCst);
    assert!(one.close(LONG) && two.close(LONG));
    assert_eq!(place.attempts(), 100);
}
