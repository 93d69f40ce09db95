use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use super::{batch, migrate};
use crate::{Durability, Options, StoreError, journal, journal::Keep, row::Row};

const WRITE: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE
    .union(OpenFlags::SQLITE_OPEN_CREATE)
    .union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// How long opening waits for another process.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a write waits for another process before its charges go to the journal.
const BUSY: Duration = Duration::from_secs(1);
/// Before the second that is promised is over.
const SYNC: Duration = Duration::from_millis(800);
/// Memory for pages of the file: KiB when negative.
const CACHE: i32 = -16_384;
/// Bytes of a page in a new file; an old one keeps its own. Some thirty attempts fit into one: of
/// smaller pages more are written, and their tree is deeper and split more often.
const PAGE: u32 = 16_384;
/// Bytes of pages the log holds before they are brought into the file: a page that changes often
/// is brought once.
const LOG: u32 = 16 << 20;
/// How often a file that cannot be written is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The one connection that writes charges. It is opened again when it failed or when its file was
/// taken away.
#[derive(Debug)]
pub(super) struct Database {
    path: PathBuf,
    options: Options,
    open: Option<(Connection, FileId)>,
    retry_at: Option<Instant>,
    unsynced: Option<Instant>,
}

impl Database {
    /// Errors: the file cannot be opened or its migrations not applied.
    pub(super) fn open(path: &Path, options: Options) -> Result<Self, StoreError> {
        let mut database =
            Self { path: path.to_owned(), options, open: None, retry_at: None, unsynced: None };
        database.reopen()?;
        Ok(database)
    }

    /// Whether it failed a moment ago.
    pub(super) fn is_down(&self) -> bool {
        self.retry_at.is_some_and(|at| Instant::now() < at)
    }

    /// Whether what was written must now be brought to the disk.
    pub(super) fn sync_due(&self) -> bool {
        !self.is_down() && self.unsynced.is_some_and(|since| since.elapsed() >= SYNC)
    }

    /// How long may be waited before looking again.
    pub(super) fn next_look(&self) -> Duration {
        match self.unsynced {
            Some(since) if !self.is_down() => SYNC.saturating_sub(since.elapsed()),
            _ => RETRY,
        }
    }

    /// Writes rows in one transaction, best in the order of their identities. Returns how many
    /// were new.
    pub(super) fn commit<'a>(
        &mut self,
        rows: impl Iterator<Item = Row<'a>> + Clone,
    ) -> Result<usize, StoreError> {
        let batched = self.options.durability == Durability::Batched;
        let written = self.on_connection(|connection, options| {
            options.before_commit(connection)?;
            let begun = begin(connection)?;
            if let Some(written) = batch::write_new(&begun, rows.clone())? {
                return begun.commit().map(|()| written);
            }
            begun.rollback()?;
            let begun = begin(connection)?;
            let written = batch::write_unknown(&begun, rows)?;
            begun.commit().map(|()| written)
        })?;
        if batched && written > 0 {
            self.unsynced.get_or_insert_with(Instant::now);
        }
        Ok(written)
    }

    /// Brings to the disk what was written.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        if self.unsynced.is_none() {
            return Ok(());
        }
        // Syncing the log for one small commit syncs all before it. A checkpoint would do too, but
        // does nothing while somebody reads an old state.
        self.on_connection(|connection, _| {
            connection.pragma_update(None, "synchronous", "FULL")?;
            let synced = connection
                .execute("UPDATE facts SET value = unixepoch() WHERE name = 'synced'", ());
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            synced.map(drop)
        })?;
        self.unsynced = None;
        Ok(())
    }

    /// Brings what is in the log into the file, without holding up other processes.
    pub(super) fn finish(&mut self) {
        if let Some((connection, _)) = self.open.take() {
            let _ = connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE)");
        }
    }

    fn on_connection<T>(
        &mut self,
        work: impl FnOnce(&mut Connection, &Options) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let moved = |(_, file): &(Connection, FileId)| FileId::of(&self.path) != Some(*file);
        if self.open.as_ref().is_none_or(moved) {
            self.reopen().inspect_err(|_| self.retry_at = Some(Instant::now() + RETRY))?;
        }
        let Some((connection, _)) = &mut self.open else { return Err(self.gone()) };
        match work(connection, &self.options) {
            Ok(done) => {
                self.retry_at = None;
                Ok(done)
            }
            Err(error) => {
                self.retry_at = Some(Instant::now() + RETRY);
                if !is_passing(&error) {
                    self.open = None;
                }
                Err(StoreError::database(&self.path, error))
            }
        }
    }

    fn reopen(&mut self) -> Result<(), StoreError> {
        self.open = None;
        let waits = if self.retry_at.is_none() { PATIENCE } else { BUSY };
        let connection = connect(&self.path, self.options.durability, waits)?;
        connection.busy_timeout(BUSY).map_err(|e| StoreError::database(&self.path, e))?;
        let file = FileId::of(&self.path).ok_or_else(|| self.gone())?;
        self.open = Some((connection, file));
        Ok(())
    }

    fn gone(&self) -> StoreError {
        StoreError::file(&self.path, std::io::ErrorKind::NotFound.into())
    }
}

impl Keep for Database {
    fn keep<'a>(&mut self, rows: impl Iterator<Item = Row<'a>> + Clone) -> Result<(), StoreError> {
        self.commit(rows).map(drop)
    }

    fn secure(&mut self) -> Result<(), StoreError> {
        // Also where nothing was new: another process may have written it a moment ago.
        self.unsynced.get_or_insert_with(Instant::now);
        self.sync()
    }
}

fn begin(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

/// Whether the connection is as good as before.
fn is_passing(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull)
    )
}

/// Opens a connection that may write, with the schema as it has to be.
pub(super) fn connect(
    path: &Path,
    durability: Durability,
    waits: Duration,
) -> Result<Connection, StoreError> {
    let failed = |e| StoreError::database(path, e);
    let is_new = !path.try_exists().map_err(|e| StoreError::file(path, e))?;
    let mut connection = Connection::open_with_flags(path, WRITE).map_err(failed)?;
    if is_new {
        keep_private(path).map_err(|e| StoreError::file(path, e))?;
    }
    connection.busy_timeout(waits).map_err(failed)?;
    connection.pragma_update(None, "page_size", PAGE).map_err(failed)?;
    log_ahead(&connection, waits).map_err(failed)?;
    let synchronous = match durability {
        Durability::Batched => "NORMAL",
        Durability::Strict => "FULL",
    };
    set_up(&connection, synchronous).map_err(failed)?;
    migrate::migrate(&mut connection, path, migrate::MIGRATIONS)?;
    Ok(connection)
}

fn set_up(connection: &Connection, synchronous: &str) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "cache_size", CACHE)?;
    let page: u32 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG / page)
}

/// Makes a new file its owner's alone, and its name durable. Files beside it get the same mode.
///
/// By its path: closing a file that was opened here would drop SQLite's locks on it.
fn keep_private(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::{fs::Permissions, os::unix::fs::PermissionsExt};
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    }
    journal::sync_dir_of(path)
}

/// Switches to write-ahead logging. SQLite does not wait where two do so at once.
fn log_ahead(connection: &Connection, waits: Duration) -> rusqlite::Result<()> {
    let end = Instant::now() + waits;
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(e) if e.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                if Instant::now() >= end {
                    return Err(e);
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            done => return done,
        }
    }
}

/// Which file a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId(u64, u64);

impl FileId {
    #[cfg(unix)]
    pub(super) fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let file = std::fs::metadata(path).ok()?;
        Some(Self(file.dev(), file.ino()))
    }

    /// An open file cannot be taken away here.
    #[cfg(not(unix))]
    pub(super) fn of(path: &Path) -> Option<Self> {
        path.exists().then_some(Self(0, 0))
    }
}

/// What a test does to the connection before each commit.
#[cfg(test)]
#[derive(Clone)]
pub(crate) struct BeforeCommit(std::sync::Arc<Hook>);

#[cfg(test)]
type Hook = dyn Fn(&Connection) -> rusqlite::Result<()> + Send + Sync;

#[cfg(test)]
impl BeforeCommit {
    pub(crate) fn new(
        hook: impl Fn(&Connection) -> rusqlite::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self(std::sync::Arc::new(hook))
    }
}

#[cfg(test)]
impl std::fmt::Debug for BeforeCommit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BeforeCommit")
    }
}

impl Options {
    #[cfg(test)]
    fn before_commit(&self, connection: &Connection) -> rusqlite::Result<()> {
        self.before_commit.as_ref().map_or(Ok(()), |hook| hook.0(connection))
    }

    #[cfg(not(test))]
    fn before_commit(&self, _: &Connection) -> rusqlite::Result<()> {
        Ok(())
    }
}
