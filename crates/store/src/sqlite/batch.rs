use std::{collections::HashMap, hash::Hash};

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    row::{MOST, Row, Tokens},
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
        let cost = row.cost();
        Self {
            calls: i64::from(row.attempt == 1),
            attempts: 1,
            unknown: i64::from(cost.is_none()),
            estimated: i64::from(row.estimated()),
            tokens: row.tokens,
            cost: cost.unwrap_or_default(),
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

/// Writes the rows that are not there yet, and their sums. Returns how many were new.
pub(super) fn write(connection: &Connection, rows: &[Row<'_>]) -> rusqlite::Result<usize> {
    let mut groups: HashMap<Group<'_>, (&str, Totals)> = HashMap::new();
    let mut tags: HashMap<(&str, i64), Totals> = HashMap::new();
    let mut insert = connection.prepare_cached(INSERT)?;
    let mut written = 0;
    for row in rows {
        if insert_row(&mut insert, row)? == 0 {
            continue;
        }
        written += 1;
        let totals = Totals::of(row);
        let (name, sum) = groups.entry(group(row)).or_default();
        *name = &row.key_name;
        sum.add(&totals);
        row.tags().for_each(|tag| tags.entry((tag, row.day())).or_default().add(&totals));
    }
    groups
        .into_iter()
        .try_for_each(|(group, (name, sum))| add_group(connection, &group, name, sum))?;
    tags.into_iter().try_for_each(|((tag, day), sum)| add_tag(connection, tag, day, sum))?;
    Ok(written)
}

const INSERT: &str = "INSERT OR IGNORE INTO charges (call, attempt, at, day, key, key_name, team, \
     provider, asked, model, tags, user, pico, usd, input, output, cached, written, reasoning, \
     quality, ending, took, details) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, \
     ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)";

fn insert_row(insert: &mut rusqlite::Statement<'_>, row: &Row<'_>) -> rusqlite::Result<usize> {
    let Tokens { input, output, cached, written, reasoning } = row.tokens;
    insert.execute(params![
        row.call,
        row.attempt,
        row.at,
        row.day(),
        &*row.key,
        &*row.key_name,
        &*row.team,
        &*row.provider,
        &*row.asked,
        &*row.model,
        &*row.tags,
        &*row.user,
        row.pico,
        row.usd,
        input,
        output,
        cached,
        written,
        reasoning,
        &*row.quality,
        &*row.ending,
        row.took,
        &*row.details,
    ])
}

fn group<'a>(row: &'a Row<'_>) -> Group<'a> {
    Group {
        key: &row.key,
        day: row.day(),
        team: &row.team,
        provider: &row.provider,
        model: &row.model,
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
