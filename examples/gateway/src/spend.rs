//! `spend`: what was spent, from the store.

use std::{
    io::{self, Write},
    time::{Duration, SystemTime},
};

use tollgate_catalog::unix_seconds;
use tollgate_store::{Range, SpendRow};

use crate::{
    Failed,
    cli::{self, Format},
    run, store,
};

/// Prints what was spent. A running gateway's charges show within a second.
pub(crate) fn run(asked: &cli::Spend, options: &cli::Options) -> Result<(), Failed> {
    let store = store::open(&run::config(options)?.store, &options.data_dir)?;
    let mut range = Range::all();
    if let Some(day) = &asked.since {
        range = range.since(start_of(day)?);
    }
    if let Some(day) = &asked.until {
        range = range.until(start_of(day)?);
    }
    let rows = store.spend(asked.by, range)?;
    let mut out = io::stdout().lock();
    match asked.format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?,
        Format::Csv => csv(&mut out, &rows)?,
        Format::Table => table(&mut out, asked.by.as_str(), &rows)?,
    }
    Ok(())
}

fn start_of(day: &str) -> Result<SystemTime, Failed> {
    let seconds = unix_seconds(&format!("{day}T00:00:00Z"))
        .map_err(|_| format!("`{day}` is no day like `2026-11-01`"))?;
    Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

const COLUMNS: [&str; 8] = [
    "usd",
    "calls",
    "attempts",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "unknown",
    "estimated",
];

fn columns(row: &SpendRow) -> [String; 8] {
    let counts = [
        row.calls,
        row.attempts,
        row.input_tokens,
        row.output_tokens,
        row.cached_tokens,
        row.unknown,
        row.estimated,
    ];
    let mut columns = [const { String::new() }; 8];
    columns[0] = row.known_usd().map_or_else(String::new, |usd| usd.to_string());
    for (column, count) in columns[1..].iter_mut().zip(counts) {
        *column = count.to_string();
    }
    columns
}

fn csv(out: &mut impl Write, rows: &[SpendRow]) -> io::Result<()> {
    writeln!(out, "name,{}", COLUMNS.join(","))?;
    for row in rows {
        writeln!(out, "{},{}", field(&row.name), columns(row).join(","))?;
    }
    Ok(())
}

/// A text as a field: quoted where a comma, a quote or a line break is in it.
fn field(text: &str) -> String {
    match text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

fn table(out: &mut impl Write, by: &str, rows: &[SpendRow]) -> io::Result<()> {
    let width = rows.iter().map(|row| row.name.chars().count()).chain([by.len()]).max();
    let width = width.unwrap_or_default();
    write!(out, "{by:width$}")?;
    COLUMNS.iter().try_for_each(|column| write!(out, "  {column:>13}"))?;
    writeln!(out)?;
    for row in rows {
        write!(out, "{:width$}", row.name)?;
        columns(row).iter().try_for_each(|column| write!(out, "  {column:>13}"))?;
        writeln!(out)?;
    }
    Ok(())
}
