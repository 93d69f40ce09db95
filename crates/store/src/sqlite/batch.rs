use std::{collections::HashMap, hash::Hash};

use rusqlite::{Connection, OptionalExtension, Statement, params};

use crate::{
    row::{Counted, MOST, Row, Tokens},
    sum::Sum,
};

/// What is counted for each group.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) calls: i64,
    pub(super) attempts: i64,
    pub(super) unknown: i64,
    pub(super) estimated: i64,
    pub(super) tokens: Tokens,
    pub(super) cost: Sum,
}

impl Totals {
    fn of(row: &Row<'_>) -> Self {
        let counted = &row.counted;
        Self {
            calls: i64::from(row.attempt == 1),
            attempts: 1,
            unknown: i64::from(counted.cost.is_none()),
            estimated: i64::from(counted.is_estimated),
            tokens: counted.tokens,
            cost: counted.cost.unwrap_or_default(),
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.attempts += other.attempts;
        self.unknown += other.unknown;
        self.estimated += other.estimated;
        self.tokens.add(other.tokens);
        self.cost.add(other.cost);
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Group<'a> {
    key: &'a str,
    day: i64,
    team: &'a str,
    provider: &'a str,
    model: &'a str,
}

/// How many rows one statement inserts: it finds its place once for all that follow each other.
const TOGETHER: usize = 16;

/// `INSERT` of this many rows.
macro_rules! insert {
    ($($more:literal)*) => {
        concat!(
            "INSERT OR IGNORE INTO attempts (call, attempt, record) VALUES (?, ?, ?)",
            $($more),*
        )
    };
}

const ONE: &str = insert!();
const MANY: &str = insert!(
    ", (?, ?, ?)" ", (?, ?, ?)" ", (?, ?, ?)" ", (?, ?, ?)" ", (?, ?, ?)" ", (?, ?, ?)"
    ", (?, ?, ?)" ", (?, ?, ?)" ", (?, ?, ?)" ", (?, ?, ?)" ", (?, ?, ?)" ", (?, ?, ?)"
    ", (?, ?, ?)" ", (?, ?, ?)" ", (?, ?, ?)"
);

/// Writes rows that are thought to be new, and their sums. Returns how many; `None` when one of
/// them was there: then the transaction is to be given up, and [`write_unknown`] finds out which.
pub(super) fn write_new<'a>(
    connection: &Connection,
    mut rows: impl Iterator<Item = Row<'a>>,
) -> rusqlite::Result<Option<usize>> {
    let mut sums = Sums::default();
    let (mut many, mut one) = (connection.prepare_cached(MANY)?, connection.prepare_cached(ONE)?);
    let mut written = 0;
    loop {
        let group: Vec<Row<'a>> = rows.by_ref().take(TOGETHER).collect();
        let new = match group.len() {
            0 => break,
            TOGETHER => insert(&mut many, &group)?,
            _ => group.chunks(1).map(|row| insert(&mut one, row)).sum::<rusqlite::Result<_>>()?,
        };
        if new < group.len() {
            return Ok(None);
        }
        written += new;
        group.iter().for_each(|row| sums.add(row));
    }
    sums.write(connection)?;
    Ok(Some(written))
}

/// Writes the rows that are not there yet, and their sums. Returns how many were new.
pub(super) fn write_unknown<'a>(
    connection: &Connection,
    rows: impl Iterator<Item = Row<'a>>,
) -> rusqlite::Result<usize> {
    let mut sums = Sums::default();
    let mut one = connection.prepare_cached(ONE)?;
    let mut written = 0;
    for row in rows {
        if insert(&mut one, std::slice::from_ref(&row))? > 0 {
            written += 1;
            sums.add(&row);
        }
    }
    sums.write(connection)?;
    Ok(written)
}

/// Returns how many of them were not there yet.
fn insert(statement: &mut Statement<'_>, rows: &[Row<'_>]) -> rusqlite::Result<usize> {
    for (row, first) in rows.iter().zip((1..).step_by(3)) {
        statement.raw_bind_parameter(first, row.call)?;
        statement.raw_bind_parameter(first + 1, row.attempt)?;
        statement.raw_bind_parameter(first + 2, &*row.record)?;
    }
    statement.raw_execute()
}

/// What the rows of a batch add up to.
#[derive(Debug, Default)]
struct Sums<'a> {
    /// A key has the name of its last row.
    groups: HashMap<Group<'a>, (&'a str, Totals)>,
    tags: HashMap<(&'a str, i64), Totals>,
    /// What follows each other is mostly alike.
    last: Option<(Group<'a>, &'a str, Totals)>,
}

impl<'a> Sums<'a> {
    fn add(&mut self, row: &Row<'a>) {
        let (totals, counted) = (Totals::of(row), &row.counted);
        let (group, name) = (Group::of(counted), counted.key_name);
        match &mut self.last {
            Some((last, known, sum)) if *last == group && *known == name => sum.add(&totals),
            _ => {
                self.settle();
                self.last = Some((group, name, totals));
            }
        }
        for tag in counted.tags.split(',').filter(|tag| !tag.is_empty()) {
            self.tags.entry((tag, counted.day)).or_default().add(&totals);
        }
    }

    fn settle(&mut self) {
        if let Some((group, name, totals)) = self.last.take() {
            let (known, sum) = self.groups.entry(group).or_default();
            *known = name;
            sum.add(&totals);
        }
    }

    fn write(mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.settle();
        for (group, (name, sum)) in self.groups {
            add_group(connection, &group, name, sum)?;
        }
        for ((tag, day), sum) in self.tags {
            add_tag(connection, tag, day, sum)?;
        }
        Ok(())
    }
}

impl<'a> Group<'a> {
    fn of(counted: &Counted<'a>) -> Self {
        let Counted { key, day, team, provider, model, .. } = *counted;
        Self { key, day, team, provider, model }
    }
}

/// Counts saturate, so that they stay integers.
macro_rules! upsert {
    ($table:literal, $columns:literal, $values:literal, $identity:literal, $also:literal) => {
        concat!(
            "INSERT INTO ", $table, " (calls, attempts, unknown, estimated, input, output, cached, \
             written, reasoning, pico, usd, ", $columns, ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, \
             ?9, ?10, ?11, ", $values, ") ON CONFLICT (", $identity, ") DO UPDATE SET \
             calls = calls + excluded.calls, attempts = attempts + excluded.attempts, \
             unknown = unknown + excluded.unknown, estimated = estimated + excluded.estimated, \
             input = min(?12, input + excluded.input), output = min(?12, output + excluded.output), \
             cached = min(?12, cached + excluded.cached), \
             written = min(?12, written + excluded.written), \
             reasoning = min(?12, reasoning + excluded.reasoning), \
             pico = excluded.pico, usd = excluded.usd", $also
        )
    };
}

fn add_group(
    connection: &Connection,
    group: &Group<'_>,
    name: &str,
    sum: Totals,
) -> rusqlite::Result<()> {
    let Group { key, day, team, provider, model } = *group;
    let mut select = connection.prepare_cached(
        "SELECT pico, usd FROM spend WHERE key = ?1 AND day = ?2 AND team = ?3 AND provider = ?4 \
         AND model = ?5",
    )?;
    let before = select.query_row((key, day, team, provider, model), cost).optional()?;
    let (pico, usd) = columns(before, sum.cost);
    let t = sum.tokens;
    let mut upsert = connection.prepare_cached(upsert!(
        "spend",
        "key, day, team, provider, model, key_name",
        "?13, ?14, ?15, ?16, ?17, ?18",
        "key, day, team, provider, model",
        ", key_name = excluded.key_name"
    ))?;
    upsert.execute(params![
        sum.calls,
        sum.attempts,
        sum.unknown,
        sum.estimated,
        t.input,
        t.output,
        t.cached,
        t.written,
        t.reasoning,
        pico,
        usd,
        MOST,
        key,
        day,
        team,
        provider,
        model,
        name,
    ])?;
    Ok(())
}

fn add_tag(connection: &Connection, tag: &str, day: i64, sum: Totals) -> rusqlite::Result<()> {
    let mut select =
        connection.prepare_cached("SELECT pico, usd FROM tag_spend WHERE tag = ?1 AND day = ?2")?;
    let before = select.query_row((tag, day), cost).optional()?;
    let (pico, usd) = columns(before, sum.cost);
    let t = sum.tokens;
    let mut upsert =
        connection.prepare_cached(upsert!("tag_spend", "tag, day", "?13, ?14", "tag, day", ""))?;
    upsert.execute(params![
        sum.calls,
        sum.attempts,
        sum.unknown,
        sum.estimated,
        t.input,
        t.output,
        t.cached,
        t.written,
        t.reasoning,
        pico,
        usd,
        MOST,
        tag,
        day,
    ])?;
    Ok(())
}

fn cost(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<Sum>> {
    stored(row, 0)
}

/// The amount in the columns `pico` and `usd` that begin at `at`.
pub(super) fn stored(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Option<Sum>> {
    if let Some(pico) = row.get::<_, Option<i64>>(at)? {
        return Ok(Some(Sum::of_pico(pico)));
    }
    let usd: Option<String> = row.get(at + 1)?;
    let damaged =
        || rusqlite::Error::InvalidColumnType(at + 1, "usd".into(), rusqlite::types::Type::Text);
    usd.map(|usd| usd.parse().map_err(|_| damaged())).transpose()
}

fn columns(before: Option<Option<Sum>>, more: Sum) -> (Option<i64>, Option<String>) {
    let mut sum = before.flatten().unwrap_or_default();
    sum.add(more);
    let pico = sum.pico();
    (pico, pico.is_none().then(|| sum.to_string()))
}
