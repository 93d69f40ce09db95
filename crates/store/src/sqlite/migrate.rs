use std::{fmt, path::Path};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use sha2::{Digest, Sha256};

use crate::StoreError;

/// Marks a file as ours: "TGST".
const APPLICATION: i32 = 0x5447_5354;

/// A step of the schema. Steps are added, never changed: a file knows the checksum of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Migration {
    /// Its place in the order, from 1.
    pub number: u32,
    /// What it is about.
    pub name: &'static str,
    sql: &'static str,
}

/// `1 charges and keys`.
impl fmt::Display for Migration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.name)
    }
}

pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration {
        number: 1,
        name: "charges and keys",
        sql: include_str!("migrations/0001_charges_and_keys.sql"),
    },
    Migration { number: 2, name: "attempts", sql: include_str!("migrations/0002_attempts.sql") },
];

impl Migration {
    fn checksum(&self) -> Vec<u8> {
        Sha256::digest(self.sql).to_vec()
    }
}

/// Returns the migrations that opening the file would apply; changes nothing. All of them where
/// there is no file.
///
/// Errors: as [`SqliteStore::open`](crate::SqliteStore::open) would, of a file it would refuse.
pub fn pending(path: impl AsRef<Path>) -> Result<Vec<Migration>, StoreError> {
    let path = path.as_ref();
    if !path.try_exists().map_err(|e| StoreError::file(path, e))? {
        return Ok(MIGRATIONS.to_vec());
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(path, flags).map_err(|e| StoreError::database(path, e))?;
    Ok(missing(&connection, path, MIGRATIONS)?.to_vec())
}

/// Applies what is missing, in one transaction that locks out every other process.
pub(super) fn migrate(
    connection: &mut Connection,
    path: &Path,
    known: &[Migration],
) -> Result<(), StoreError> {
    let failed = |e| StoreError::database(path, e);
    if missing(connection, path, known)?.is_empty() {
        return Ok(());
    }
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    // Another process may have been faster.
    for migration in missing(&transaction, path, known)? {
        apply(&transaction, migration).map_err(failed)?;
    }
    transaction.commit().map_err(failed)?;
    // What was written is not read again soon.
    connection.execute_batch("PRAGMA shrink_memory").map_err(failed)
}

fn apply(connection: &Connection, migration: &Migration) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS migrations (
             number   INTEGER PRIMARY KEY,
             name     TEXT NOT NULL,
             checksum BLOB NOT NULL
         ) STRICT",
    )?;
    connection.pragma_update(None, "application_id", APPLICATION)?;
    connection.execute_batch(migration.sql)?;
    connection.execute(
        "INSERT INTO migrations (number, name, checksum) VALUES (?1, ?2, ?3)",
        (migration.number, migration.name, migration.checksum()),
    )?;
    Ok(())
}

/// What of `known` the file does not have yet, when what it has is known.
fn missing<'a>(
    connection: &Connection,
    path: &Path,
    known: &'a [Migration],
) -> Result<&'a [Migration], StoreError> {
    let failed = |e| StoreError::database(path, e);
    let applied = match content(connection).map_err(failed)? {
        Content::Nothing => return Ok(known),
        Content::Foreign => return Err(StoreError::Foreign { path: path.to_owned() }),
        Content::Ours => applied(connection).map_err(failed)?,
    };
    let newest = |found| u32::try_from(found).unwrap_or(u32::MAX);
    if applied.len() > known.len() {
        let (found, known) = (newest(applied.len()), newest(known.len()));
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    for (migration, (number, checksum)) in known.iter().zip(&applied) {
        if migration.number != *number || migration.checksum() != *checksum {
            return Err(StoreError::Altered { path: path.to_owned(), number: *number });
        }
    }
    Ok(&known[applied.len()..])
}

enum Content {
    Nothing,
    Foreign,
    Ours,
}

/// Asked in one statement: another process may be at it, and what a connection remembers of the
/// tables may be of the past.
fn content(connection: &Connection) -> rusqlite::Result<Content> {
    let sql = "SELECT count(*), total(name = 'migrations') > 0 FROM sqlite_schema";
    connection.query_row(sql, (), |row| {
        Ok(match (row.get(0)?, row.get(1)?) {
            (0, _) => Content::Nothing,
            (_, true) => Content::Ours,
            (_, false) => Content::Foreign,
        })
    })
}

/// Number and checksum of each, in their order.
fn applied(connection: &Connection) -> rusqlite::Result<Vec<(u32, Vec<u8>)>> {
    let mut select =
        connection.prepare("SELECT number, checksum FROM migrations ORDER BY number")?;
    let rows = select.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, time::Duration};

    use super::*;
    use crate::{Options, SqliteStore};

    const MORE: &[Migration] = &[
        MIGRATIONS[0],
        MIGRATIONS[1],
        Migration { number: 3, name: "more", sql: "CREATE TABLE more (a INTEGER) STRICT" },
    ];

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> std::path::PathBuf {
            self.0.path().join("tollgate.db")
        }

        fn migrate(&self, known: &[Migration]) -> Result<(), StoreError> {
            let mut connection = Connection::open(self.path()).unwrap();
            connection.busy_timeout(Duration::from_secs(10)).unwrap();
            migrate(&mut connection, &self.path(), known)
        }
    }

    #[test]
    fn what_is_pending_is_told_without_changing_anything() {
        let place = Place::new();
        assert_eq!(pending(place.path()).unwrap(), MIGRATIONS);
        assert!(!place.path().exists());
        place.migrate(&MIGRATIONS[..1]).unwrap();
        assert_eq!(pending(place.path()).unwrap(), MIGRATIONS[1..]);
        drop(SqliteStore::open(place.path(), Options::new()).unwrap());
        assert_eq!(pending(place.path()).unwrap(), []);
        assert_eq!(MIGRATIONS[0].to_string(), "1 charges and keys");
    }

    #[test]
    fn later_migrations_are_applied_to_what_is_there() {
        let place = Place::new();
        place.migrate(MIGRATIONS).unwrap();
        place.migrate(MORE).unwrap();
        place.migrate(MORE).unwrap();
        let connection = Connection::open(place.path()).unwrap();
        assert!(connection.table_exists(None, "more").unwrap());
    }

    #[test]
    fn charges_of_the_first_schema_are_shown_as_before() {
        let place = Place::new();
        place.migrate(&MIGRATIONS[..1]).unwrap();
        let call = tollgate_core::CallId::random();
        let connection = Connection::open(place.path()).unwrap();
        let insert = "INSERT INTO charges VALUES (?1, ?2, 1000, 0, 'key_1', 'dev', '', 'openai', \
                      'gpt', 'gpt-5', 'a,b', '', ?3, ?4, 12, 3, 0, 0, 0, 'exact', 'complete', 7, \
                      '{\"stream\":true}')";
        connection
            .execute(insert, (call.as_bytes(), 1, 1_500_000_000_001_i64, None::<&str>))
            .unwrap();
        connection.execute(insert, (call.as_bytes(), 2, None::<i64>, Some("0.25"))).unwrap();
        drop(connection);
        let store = SqliteStore::open(place.path(), Options::new()).unwrap();
        let found = store.call(call, None).unwrap().unwrap();
        assert_eq!(found.cost_usd.unwrap().to_string(), "1.750000000001");
        assert_eq!(
            (found.key.as_deref(), &found.tags[..]),
            (Some("key_1"), &["a".into(), "b".into()][..])
        );
        let attempt = &found.attempts[1];
        assert_eq!((attempt.attempt, attempt.input_tokens, attempt.took_ms), (2, 12, 7));
        assert_eq!((attempt.details.get(), &*attempt.ending), ("{\"stream\":true}", "complete"));
    }

    #[test]
    fn a_file_of_a_newer_program_is_refused() {
        let place = Place::new();
        place.migrate(MORE).unwrap();
        let error = SqliteStore::open(place.path(), Options::new()).unwrap_err();
        assert!(matches!(error, StoreError::Newer { found: 3, known: 2, .. }), "{error}");
        assert!(error.to_string().contains("newer Tollgate"), "{error}");
        assert!(pending(place.path()).is_err());
    }

    #[test]
    fn a_file_made_with_another_migration_is_refused() {
        let place = Place::new();
        let other = Migration { sql: "SELECT 1", ..MORE[1] };
        place.migrate(&[MIGRATIONS[0], other]).unwrap();
        let error = place.migrate(MORE).unwrap_err();
        assert!(matches!(error, StoreError::Altered { number: 2, .. }), "{error}");
    }

    #[test]
    fn somebody_elses_database_is_refused_and_left_alone() {
        let place = Place::new();
        let connection = Connection::open(place.path()).unwrap();
        connection.execute_batch("CREATE TABLE bookmarks (url TEXT)").unwrap();
        let error = SqliteStore::open(place.path(), Options::new()).unwrap_err();
        assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
        assert!(!connection.table_exists(None, "charges").unwrap());
        std::fs::write(place.0.path().join("text"), "not a database at all".repeat(100)).unwrap();
        let error = SqliteStore::open(place.0.path().join("text"), Options::new()).unwrap_err();
        assert!(error.to_string().contains("not a database"), "{error}");
    }

    #[test]
    fn a_migration_that_fails_leaves_the_file_as_it_was() {
        let place = Place::new();
        place.migrate(MIGRATIONS).unwrap();
        let broken = [MIGRATIONS[0], MORE[1], Migration { number: 3, name: "x", sql: "NO SQL" }];
        assert!(place.migrate(&broken).is_err());
        assert_eq!(pending(place.path()).unwrap(), []);
    }

    #[test]
    fn processes_that_open_a_new_file_at_once_migrate_it_once() {
        let place = Place::new();
        let start = Barrier::new(6);
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    start.wait();
                    drop(SqliteStore::open(place.path(), Options::new()).unwrap());
                });
            }
        });
        assert_eq!(pending(place.path()).unwrap(), []);
    }
}
