use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rusqlite::{Connection, Row, TransactionBehavior, params};
use tollgate_core::{AllowedModels, KeyId, Principal, Secret};
use tollgate_keys::{FileKeys, KeyHash, KeyRecord, KeyStore, MemoryKeys, NewKey};

use super::database::{FileId, connect};
use crate::{Durability, StoreError};

const PATIENCE: Duration = Duration::from_secs(5);

/// The keys of the file: looked up in memory, changed on a connection of their own.
#[derive(Debug)]
pub(super) struct Keys {
    path: PathBuf,
    memory: MemoryKeys,
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    connection: Connection,
    file: FileId,
    /// Changes when any other connection commits.
    seen: Option<i64>,
    /// Changes when a key does.
    version: Option<i64>,
}

impl Keys {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let keys =
            Self { path: path.to_owned(), memory: MemoryKeys::new(), open: Mutex::default() };
        keys.refresh()?;
        Ok(keys)
    }

    pub(super) fn lookup(&self, hash: &KeyHash) -> Option<Arc<KeyRecord>> {
        self.memory.lookup(hash)
    }

    pub(super) fn refresh(&self) -> Result<bool, StoreError> {
        self.with(|open| self.look(open))
    }

    pub(super) fn create(&self, new: NewKey) -> Result<(Secret, Arc<KeyRecord>), StoreError> {
        let key = tollgate_keys::generate().map_err(|e| StoreError::file(&self.path, e))?;
        let hash = KeyHash::of(&key);
        let record = record(&hash, new);
        self.change(|connection| insert(connection, &hash, &record).map(|new| new > 0))?;
        Ok((key, Arc::new(record)))
    }

    pub(super) fn list(&self) -> Result<Vec<KeyRecord>, StoreError> {
        let all = self.with(|open| all(&open.connection))?;
        Ok(all.into_iter().map(|(_, record)| record).collect())
    }

    pub(super) fn disable(&self, id: &KeyId, disabled: bool) -> Result<bool, StoreError> {
        self.change(|connection| {
            let sql = "UPDATE keys SET disabled = ?2 WHERE id = ?1";
            connection.execute(sql, (id.as_str(), disabled)).map(|found| found > 0)
        })
    }

    pub(super) fn revoke(&self, id: &KeyId) -> Result<bool, StoreError> {
        self.change(|connection| {
            let sql = "DELETE FROM keys WHERE id = ?1";
            connection.execute(sql, [id.as_str()]).map(|found| found > 0)
        })
    }

    pub(super) fn import(&self, keys: &FileKeys) -> Result<usize, StoreError> {
        let keys = keys.hashed()?;
        let mut count = 0;
        self.change(|connection| {
            let first = "INSERT OR IGNORE INTO facts (name, value) VALUES ('keys_imported', 1)";
            if keys.is_empty() || connection.execute(first, ())? == 0 {
                return Ok(false);
            }
            for (hash, record) in &keys {
                count += insert(connection, hash, record)?;
            }
            Ok(true)
        })?;
        Ok(count)
    }

    /// Runs `edit` in a transaction and makes what it did known here and elsewhere.
    fn change(
        &self,
        edit: impl FnOnce(&Connection) -> rusqlite::Result<bool>,
    ) -> Result<bool, StoreError> {
        self.with(|open| {
            let behavior = TransactionBehavior::Immediate;
            let transaction = open.connection.transaction_with_behavior(behavior)?;
            let changed = edit(&transaction)?;
            if changed {
                let sql = "UPDATE facts SET value = value + 1 WHERE name = 'keys_version'";
                transaction.execute(sql, ())?;
            }
            transaction.commit()?;
            open.seen = None;
            self.look(open)?;
            Ok(changed)
        })
    }

    /// Reads the keys again if they may have changed. Returns whether it did.
    fn look(&self, open: &mut Open) -> rusqlite::Result<bool> {
        let seen = open.connection.pragma_query_value(None, "data_version", |row| row.get(0))?;
        if open.seen == Some(seen) {
            return Ok(false);
        }
        let sql = "SELECT value FROM facts WHERE name = 'keys_version'";
        let version = open.connection.query_row(sql, (), |row| row.get(0))?;
        let changed = open.version != Some(version);
        // A file that never held a key took the place of ours: keys that are known go on.
        if changed && (version > 0 || self.memory.is_empty()) {
            let all = all(&open.connection)?;
            self.memory.replace(all.into_iter().map(|(hash, record)| (hash, Arc::new(record))));
        }
        (open.seen, open.version) = (Some(seen), Some(version));
        Ok(changed)
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&mut Open) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let mut slot = self.lock();
        let file = FileId::of(&self.path);
        let open = match &mut *slot {
            Some(open) if Some(open.file) == file => open,
            _ => {
                let connection = connect(&self.path, Durability::Strict, PATIENCE)?;
                let file = FileId::of(&self.path).ok_or_else(|| {
                    StoreError::file(&self.path, std::io::ErrorKind::NotFound.into())
                })?;
                slot.insert(Open { connection, file, seen: None, version: None })
            }
        };
        work(open).map_err(|e| StoreError::database(&self.path, e))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn record(hash: &KeyHash, new: NewKey) -> KeyRecord {
    let id = format!("key_{}", &hash.to_hex()[..16]);
    let mut principal = Principal::new(KeyId::new(id), new.name);
    principal.ancestry = new.ancestry.into();
    principal.models = new.models;
    principal.metadata = new.metadata;
    // What is kept is whole seconds, and a record is the same before and after.
    KeyRecord::new(principal).expires_at(new.expires_at.map(seconds).and_then(instant))
}

fn insert(connection: &Connection, hash: &KeyHash, record: &KeyRecord) -> rusqlite::Result<usize> {
    let principal = &record.principal;
    let json = |e: serde_json::Error| rusqlite::Error::ToSqlConversionFailure(e.into());
    let models = principal.models.patterns().map(serde_json::to_string).transpose();
    connection.execute(
        "INSERT OR IGNORE INTO keys (id, hash, name, ancestry, models, disabled, expires_at, \
         metadata) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            principal.key.as_str(),
            hash.as_bytes(),
            &*principal.name,
            serde_json::to_string(&principal.ancestry[..]).map_err(json)?,
            models.map_err(json)?,
            record.disabled,
            record.expires_at.map(seconds),
            serde_json::to_string(&principal.metadata).map_err(json)?,
        ],
    )
}

fn all(connection: &Connection) -> rusqlite::Result<Vec<(KeyHash, KeyRecord)>> {
    let mut select = connection.prepare_cached(
        "SELECT hash, id, name, ancestry, models, disabled, expires_at, metadata FROM keys \
         ORDER BY number",
    )?;
    let rows = select.query_map((), stored)?;
    rows.collect()
}

fn stored(row: &Row<'_>) -> rusqlite::Result<(KeyHash, KeyRecord)> {
    let id: String = row.get(1)?;
    let name: String = row.get(2)?;
    let mut principal = Principal::new(KeyId::new(id), name);
    principal.ancestry = json::<Vec<Box<str>>>(row, 3)?.unwrap_or_default().into();
    if let Some(models) = json::<Vec<Box<str>>>(row, 4)? {
        principal.models = AllowedModels::only(models);
    }
    principal.metadata = json::<BTreeMap<String, String>>(row, 7)?.unwrap_or_default();
    let end = row.get::<_, Option<i64>>(6)?.and_then(instant);
    let record = KeyRecord::new(principal).disabled(row.get(5)?).expires_at(end);
    Ok((KeyHash::from_bytes(row.get(0)?), record))
}

/// A list that cannot be read is an error: a restriction must not be lost.
fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<T>> {
    let Some(text) = row.get::<_, Option<String>>(at)? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|e| {
        rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, e.into())
    })
}

fn seconds(at: SystemTime) -> i64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// An end beyond what the clock can say is no end.
fn instant(seconds: i64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}
