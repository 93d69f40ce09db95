//! The store in one SQLite file.

mod batch;
mod database;
mod keys;
mod migrate;
mod patience;
mod read;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    fmt,
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    thread,
    time::{Duration, SystemTime},
};

use tokio::sync::oneshot;
use tollgate_core::{CallId, KeyId, Money, Secret};
use tollgate_keys::{FileKeys, KeyHash, KeyRecord, KeyStore, NewKey};
use tollgate_meter::{Charge, Ledger};

#[cfg(test)]
pub(crate) use self::database::BeforeCommit;
pub use self::migrate::{Migration, pending};
use self::{
    database::Database,
    keys::Keys,
    patience::Patience,
    read::Reader,
    writer::{Entries, Entry, Spill, Writer},
};
use crate::{
    CallRecord, Counters, Durability, Options, Range, SpendBy, SpendRow, StoreError,
    counters::{Counts, add},
    journal::Journal,
    queue::Queue,
    row::Packed,
};

/// How many charges may be on their way to the journal.
const SPILL: usize = 8192;
/// How long dropping the last handle waits for what is still to be written.
const PARTING: Duration = Duration::from_secs(2);

/// Charges and virtual keys in one SQLite file.
///
/// As a [`Ledger`] it never makes its caller wait: charges go to a queue, from which one thread
/// writes them together. Where the file cannot be written in time they go to `<file>.journal`
/// beside it, and from there into the file when it can be written again. As a [`KeyStore`] it
/// answers from memory.
///
/// Everything else blocks: from asynchronous code call it where blocking is allowed. Several
/// processes may open the same file. Clones share everything; the last one that is dropped writes
/// what is left, for at most two seconds: better is [`SqliteStore::close`].
#[derive(Clone)]
pub struct SqliteStore(Arc<Shared>);

struct Shared {
    path: PathBuf,
    /// `None` where nobody waits: a batched store.
    patience: Option<Arc<Patience>>,
    durability: Durability,
    queue: Arc<Entries>,
    spill: Arc<Entries>,
    journal: Arc<Journal>,
    counts: Arc<Counts>,
    reader: Reader,
    keys: Keys,
}

impl SqliteStore {
    /// Opens the file, makes it where it is missing, applies migrations it does not have and takes
    /// in what a journal beside it holds.
    ///
    /// Errors: the file or its journal cannot be read or written, is damaged, is something else's
    /// or a newer program's. Another process that holds it is waited for, for ten seconds.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let journal = Arc::new(Journal::beside(path, options.journal));
        let (durability, queue, patience) = (options.durability, options.queue, options.patience);
        let mut database = Database::open(path, options)?;
        let counts = Arc::new(Counts::default());
        add(&counts.replayed, journal.replay(&mut database)?);
        let keys = Keys::open(path)?;
        let patience = match durability {
            Durability::Batched => None,
            Durability::Strict => Some(Arc::new(Patience::new(patience, counts.clone()))),
        };
        let shared = Shared {
            path: path.to_owned(),
            patience,
            durability,
            queue: Arc::new(Queue::new(queue)),
            spill: Arc::new(Queue::new(SPILL)),
            journal,
            counts,
            reader: Reader::new(path),
            keys,
        };
        shared.start(database).map_err(|e| StoreError::file(path, e))?;
        Ok(Self(Arc::new(shared)))
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Returns what was done since the store was opened.
    pub fn counters(&self) -> Counters {
        let shared = &self.0;
        Counters {
            torn: shared.journal.torn(),
            behind: shared.queue.waiting() + shared.spill.waiting(),
            ..shared.counts.snapshot()
        }
    }

    /// Waits until every charge recorded before is on the disk, at most for `patience`. Returns
    /// whether it is.
    ///
    /// They are then seen by [`SqliteStore::spend`] and its like, unless they had to go to the
    /// journal.
    pub fn flush(&self, patience: Duration) -> bool {
        let shared = &self.0;
        let end = std::time::Instant::now() + patience;
        let left = || end.saturating_duration_since(std::time::Instant::now());
        shared.queue.flush(left()) && shared.spill.flush(left())
    }

    /// Takes no more charges, writes what is there and ends, waiting at most for `patience`.
    /// Returns whether all was written in time. Charges recorded later are lost.
    ///
    /// Reading and keys go on working.
    pub fn close(&self, patience: Duration) -> bool {
        self.0.close(patience)
    }

    /// Returns what was spent, in groups: the dearest first, days in their order.
    ///
    /// Answered from sums that are kept with the charges, in time that grows with days, keys and
    /// models and not with calls. Charges of the last moment are seen after
    /// [`SqliteStore::flush`].
    ///
    /// Errors: the file cannot be read.
    pub fn spend(&self, by: SpendBy, range: Range) -> Result<Vec<SpendRow>, StoreError> {
        self.0.reader.spend(by, range)
    }

    /// Returns what a key has spent since the beginning of the day (UTC) that holds `since`.
    ///
    /// Errors: the file cannot be read.
    pub fn spent(&self, key: &KeyId, since: SystemTime) -> Result<Money, StoreError> {
        self.0.reader.spent(key, since)
    }

    /// Returns what is known of a call; `None` for one that is not known, or not `key`'s where one
    /// is given.
    ///
    /// Errors: the file cannot be read.
    pub fn call(&self, id: CallId, key: Option<&KeyId>) -> Result<Option<CallRecord>, StoreError> {
        self.0.reader.call(id, key)
    }

    /// Makes a key and returns it, for the only time, with its record.
    ///
    /// Errors: the file cannot be written; then there is no new key.
    pub fn create(&self, new: NewKey) -> Result<(Secret, Arc<KeyRecord>), StoreError> {
        self.0.keys.create(new)
    }

    /// Returns the records of the keys in the order of their making, from the file.
    ///
    /// Errors: the file cannot be read.
    pub fn list(&self) -> Result<Vec<KeyRecord>, StoreError> {
        self.0.keys.list()
    }

    /// Switches a key off, or on again. Returns whether there is such a key.
    ///
    /// Errors: the file cannot be written; then nothing has changed.
    pub fn disable(&self, id: &KeyId, disabled: bool) -> Result<bool, StoreError> {
        self.0.keys.disable(id, disabled)
    }

    /// Removes a key for good. Returns whether there was such a key.
    ///
    /// Errors: the file cannot be written; then nothing has changed.
    pub fn revoke(&self, id: &KeyId) -> Result<bool, StoreError> {
        self.0.keys.revoke(id)
    }

    /// Takes over the keys of a file of keys, once: later calls do nothing, so that what was
    /// revoked here stays revoked. Returns how many were new.
    ///
    /// Errors: the file of keys cannot be read, or this one not written.
    pub fn import(&self, keys: &FileKeys) -> Result<usize, StoreError> {
        self.0.keys.import(keys)
    }

    /// Looks whether another process has changed keys, and takes them over. Returns whether it
    /// had. Cheap when nothing was written at all: call it about once a second.
    ///
    /// Errors: the file cannot be read; the keys in memory stay as they are.
    pub fn refresh(&self) -> Result<bool, StoreError> {
        self.0.keys.refresh()
    }
}

/// The path and the counters: what waits may be many charges.
impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.0.path)
            .field("durability", &self.0.durability)
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn start(&self, database: Database) -> io::Result<()> {
        let writer = Writer {
            queue: self.queue.clone(),
            journal: self.journal.clone(),
            counts: self.counts.clone(),
            database,
            durability: self.durability,
        };
        let spill = Spill {
            queue: self.spill.clone(),
            journal: self.journal.clone(),
            counts: self.counts.clone(),
        };
        self.patience.as_ref().map_or(Ok(()), Patience::watch)?;
        thread::Builder::new().name("tollgate-store".into()).spawn(move || writer.run())?;
        thread::Builder::new().name("tollgate-journal".into()).spawn(move || spill.run())?;
        Ok(())
    }

    fn close(&self, patience: Duration) -> bool {
        let end = std::time::Instant::now() + patience;
        self.queue.close();
        self.spill.close();
        [&self.queue, &self.spill]
            .into_iter()
            .all(|queue| queue.stopped(end.saturating_duration_since(std::time::Instant::now())))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.close(PARTING);
        self.patience.iter().for_each(|patience| patience.close());
    }
}

impl Ledger for SqliteStore {
    type Recording = Recording;

    fn record(&self, charge: Charge) -> Recording {
        let shared = &self.0;
        let held = shared.patience.as_ref().map(|patience| patience.hold());
        let (hold, waiting) = held.unzip();
        let entry = Entry { packed: Box::new(Packed::of(charge)), _hold: hold };
        let spilled = shared.queue.put(entry).or_else(|entry| shared.spill.put(entry));
        if spilled.is_err() {
            shared.counts.lose(1, &"the queue is full");
        }
        Recording(waiting)
    }
}

impl KeyStore for SqliteStore {
    fn lookup(&self, hash: &KeyHash) -> Option<Arc<KeyRecord>> {
        self.0.keys.lookup(hash)
    }
}

/// Completes when a charge is on the disk, or [`Options::patience`] is over; at once in a batched
/// store.
#[derive(Debug)]
#[must_use = "dropped, nobody waits; the charge is recorded all the same"]
pub struct Recording(Option<oneshot::Receiver<()>>);

impl Future for Recording {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(waiting) = &mut self.0 {
            // An error says that nobody will ever write it: there is nothing to wait for.
            let _ = ready!(Pin::new(waiting).poll(cx));
            self.0 = None;
        }
        Poll::Ready(())
    }
}
