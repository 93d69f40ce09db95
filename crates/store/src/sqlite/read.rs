use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use rusqlite::{Connection, OpenFlags, Row};
use serde_json::value::RawValue;
use tollgate_core::{CallId, KeyId, Money};

use super::{
    batch::{Totals, stored},
    database::FileId,
};
use crate::{
    AttemptRecord, CallRecord, Range, SpendBy, SpendRow, StoreError,
    row::{Reading, Tokens},
    spend::date,
    sum::Sum,
    terse,
};

/// How many connections are kept for the next to ask.
const SPARE: usize = 4;
const PATIENCE: Duration = Duration::from_secs(5);
const NONE: &str = "(none)";

/// Reads on connections of its own, beside the writer.
#[derive(Debug)]
pub(super) struct Reader {
    path: PathBuf,
    spare: Mutex<Vec<(Connection, FileId)>>,
}

impl Reader {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), spare: Mutex::default() }
    }

    pub(super) fn spend(&self, by: SpendBy, range: Range) -> Result<Vec<SpendRow>, StoreError> {
        let groups = self.with(|connection| groups(connection, by, range.days()))?;
        let mut rows: Vec<SpendRow> = groups
            .into_iter()
            .map(|(group, (name, sum))| spend_row(by, group, name, &sum))
            .collect();
        match by {
            SpendBy::Day => rows.sort_by(|a, b| a.name.cmp(&b.name)),
            _ => rows.sort_by(|a, b| b.usd.cmp(&a.usd).then_with(|| a.name.cmp(&b.name))),
        }
        Ok(rows)
    }

    pub(super) fn spent(&self, key: &KeyId, since: SystemTime) -> Result<Money, StoreError> {
        let (first, _) = Range::all().since(since).days();
        let sum = self.with(|connection| {
            let mut select = connection
                .prepare_cached("SELECT pico, usd FROM spend WHERE key = ?1 AND day >= ?2")?;
            let mut rows = select.query((key.as_str(), first))?;
            let mut sum = Sum::default();
            while let Some(row) = rows.next()? {
                sum.add(stored(row, 0)?.unwrap_or_default());
            }
            Ok(sum)
        })?;
        Ok(sum.money())
    }

    pub(super) fn call(
        &self,
        id: CallId,
        key: Option<&KeyId>,
    ) -> Result<Option<CallRecord>, StoreError> {
        self.with(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT attempt, record FROM attempts WHERE call = ?1 ORDER BY attempt",
            )?;
            let mut rows = select.query([id.as_bytes()])?;
            let mut call: Option<CallRecord> = None;
            let mut cost = Some(Sum::default());
            while let Some(row) = rows.next()? {
                let text = terse::json(row.get_ref(1)?.as_blob()?).ok_or_else(damaged)?;
                let read = Reading::of(&text).ok_or_else(damaged)?;
                if key.is_some_and(|key| key.as_str() != read.key) {
                    continue;
                }
                cost = cost.zip(read.cost()).map(|(mut sum, its)| {
                    sum.add(its);
                    sum
                });
                let call = call.get_or_insert_with(|| head(id, &read));
                call.cost_usd = cost.map(Sum::money);
                call.attempts.push(attempt(row.get(0)?, &read));
            }
            Ok(call)
        })
    }

    /// Runs `read` on a connection to the file that is there now.
    fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let file = FileId::of(&self.path);
        let spare = self.spare().pop().filter(|(_, of)| Some(*of) == file);
        let (connection, of) = match (spare, file) {
            (Some(spare), _) => spare,
            (None, Some(of)) => (self.connect()?, of),
            (None, None) => {
                return Err(StoreError::file(&self.path, std::io::ErrorKind::NotFound.into()));
            }
        };
        let done = read(&connection).map_err(|e| StoreError::database(&self.path, e))?;
        let mut spare = self.spare();
        if spare.len() < SPARE {
            spare.push((connection, of));
        }
        Ok(done)
    }

    fn connect(&self) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)
            .and_then(|connection| connection.busy_timeout(PATIENCE).map(|()| connection));
        connection.map_err(|e| StoreError::database(&self.path, e))
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<(Connection, FileId)>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Groups = HashMap<String, (String, Totals)>;

/// Sums by group; each has a name besides what it is grouped by.
fn groups(connection: &Connection, by: SpendBy, days: (i64, i64)) -> rusqlite::Result<Groups> {
    let mut select = connection.prepare_cached(select(by))?;
    let mut rows = select.query(days)?;
    let mut groups = Groups::new();
    while let Some(row) = rows.next()? {
        let totals = totals(row)?;
        let group = row.get_ref(0)?.as_str()?;
        if let Some((name, sum)) = groups.get_mut(group) {
            sum.add(&totals);
            // Rows of a key come by day: the latest name stands.
            if by == SpendBy::Key && name != row.get_ref(1)?.as_str()? {
                *name = row.get(1)?;
            }
        } else {
            groups.insert(group.to_owned(), (row.get(1)?, totals));
        }
    }
    Ok(groups)
}

fn select(by: SpendBy) -> &'static str {
    macro_rules! select {
        ($group:literal, $name:literal, $table:literal) => {
            concat!(
                "SELECT ",
                $group,
                ", ",
                $name,
                ", calls, attempts, unknown, estimated, input, \
                 output, cached, written, reasoning, pico, usd FROM ",
                $table,
                " WHERE day BETWEEN ?1 AND ?2"
            )
        };
    }
    match by {
        SpendBy::Key => select!("key", "key_name", "spend"),
        SpendBy::Team => select!("team", "team", "spend"),
        SpendBy::Model => select!(
            "CASE WHEN model = '' THEN provider ELSE provider || '/' || model END",
            "''",
            "spend"
        ),
        SpendBy::Provider => select!("provider", "''", "spend"),
        SpendBy::Tag => select!("tag", "''", "tag_spend"),
        SpendBy::Day => select!("CAST(day AS TEXT)", "''", "spend"),
    }
}

fn totals(row: &Row<'_>) -> rusqlite::Result<Totals> {
    Ok(Totals {
        calls: row.get(2)?,
        attempts: row.get(3)?,
        unknown: row.get(4)?,
        estimated: row.get(5)?,
        tokens: tokens(row, 6)?,
        cost: stored(row, 11)?.unwrap_or_default(),
    })
}

fn tokens(row: &Row<'_>, at: usize) -> rusqlite::Result<Tokens> {
    Ok(Tokens {
        input: row.get(at)?,
        output: row.get(at + 1)?,
        cached: row.get(at + 2)?,
        written: row.get(at + 3)?,
        reasoning: row.get(at + 4)?,
    })
}

fn spend_row(by: SpendBy, group: String, name: String, sum: &Totals) -> SpendRow {
    let id = (by == SpendBy::Key && !group.is_empty()).then(|| group.clone());
    let name = match by {
        SpendBy::Key => name,
        SpendBy::Day => date(group.parse().unwrap_or(0)),
        _ => group,
    };
    SpendRow {
        name: if name.is_empty() { NONE.to_owned() } else { name },
        id,
        usd: sum.cost.money(),
        calls: count(sum.calls),
        attempts: count(sum.attempts),
        input_tokens: count(sum.tokens.input),
        output_tokens: count(sum.tokens.output),
        cached_tokens: count(sum.tokens.cached),
        cache_write_tokens: count(sum.tokens.written),
        reasoning_tokens: count(sum.tokens.reasoning),
        unknown: count(sum.unknown),
        estimated: count(sum.estimated),
    }
}

fn count(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

fn damaged() -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(1, "record".into(), rusqlite::types::Type::Blob)
}

fn head(id: CallId, read: &Reading<'_>) -> CallRecord {
    CallRecord {
        id,
        key: told(&read.key),
        key_name: told(&read.key_name),
        team: told(&read.team),
        asked: told(&read.asked),
        user: told(&read.user),
        idempotency_key: told(&read.idempotency_key),
        tags: read.tags.split(',').filter(|tag| !tag.is_empty()).map(str::to_owned).collect(),
        cost_usd: None,
        attempts: Vec::new(),
    }
}

fn attempt(number: u32, read: &Reading<'_>) -> AttemptRecord {
    AttemptRecord {
        attempt: number,
        at: instant(i64::try_from(read.at).unwrap_or(i64::MAX)),
        provider: told(&read.provider),
        model: told(&read.model),
        ending: read.ending.clone().into_owned(),
        quality: read.quality.clone().into_owned(),
        cost_usd: read.cost().map(Sum::money),
        input_tokens: read.input,
        output_tokens: read.output,
        cached_tokens: read.cached,
        cache_write_tokens: read.written,
        reasoning_tokens: read.reasoning,
        took_ms: read.took,
        details: read.details.unwrap_or(RawValue::NULL).to_owned(),
    }
}

/// An empty text stands for nothing.
fn told(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// `2026-11-22T09:30:00.125Z` of Unix milliseconds.
fn instant(at: i64) -> String {
    let (day, within) = (at.div_euclid(86_400_000), at.rem_euclid(86_400_000));
    let (seconds, millis) = (within / 1000, within % 1000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z", date(day))
}
