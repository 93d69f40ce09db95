//! `docs/faults.md`: made of the trials of this binary and the names of all other tests.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use libtest_mimic::Failed;
use tollgate_core::Protocol;

use crate::{
    lane::{Kind, Lane},
    table::Row,
};

const INTRO: &str = "\
# Faults

What can go wrong between a client and an upstream, and what happens then. The numbers are stable;
tests are named by them. This page is generated from the tests: `UPDATE_DOCS=1 cargo test -p
tollgate-tests --test faults` writes it anew, and without it that test fails where the page is not
current.

Before its first content an answer that fails is an HTTP error in the caller's protocol, on streams
too. After it a stream ends in exactly one error event of the protocol and is never shown as
finished. Statuses below are those of OpenAI's protocols; Anthropic says 500 and Gemini 500 where
it says 502, and Anthropic 529 where it says 503.

## Through the whole gateway

Each `✓` is a trial of `tests/faults`: the gateway's stack, every protocol on both sides, one
target, a scripted upstream. `array` is Gemini's stream without `alt=sse`.
";

const ELSEWHERE: &str = "
## In one layer, or over sockets

Tests of single layers and of the running gateway, found by their names.

| # | what is tested | where |
| --- | --- | --- |
";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Fails unless `docs/faults.md` is `page`; with `UPDATE_DOCS` set it is written instead.
pub(crate) fn is_current(page: &io::Result<String>) -> Result<(), Failed> {
    let page = page.as_ref().map_err(|error| format!("the sources cannot be read: {error}"))?;
    let path = root().join("docs/faults.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(path, page)?;
        return Ok(());
    }
    match fs::read_to_string(path)? == *page {
        true => Ok(()),
        false => Err("docs/faults.md is not current: run this test with UPDATE_DOCS=1".into()),
    }
}

/// Makes the page.
pub(crate) fn page(rows: &[Row]) -> io::Result<String> {
    let mut page = INTRO.to_owned() + "\n| # | fault | what happens |";
    Protocol::ALL.iter().for_each(|protocol| page += &format!(" {protocol} |"));
    page += "\n| --- | --- | --- |";
    Protocol::ALL.iter().for_each(|_| page += " --- |");
    page += "\n";
    rows.iter().for_each(|row| page += &line(row));
    page += ELSEWHERE;
    for (number, words, file) in elsewhere()? {
        let _ = writeln!(page, "| {number} | {words} | `{file}` |");
    }
    Ok(page)
}

fn line(row: &Row) -> String {
    let mut line = format!("| {} | {} | {} |", row.number, row.name.replace('_', " "), row.seen);
    for protocol in Protocol::ALL {
        let kinds = Lane::of(row.kinds).filter(|lane| lane.protocol == protocol);
        let kinds: Vec<_> = kinds.map(|lane: Lane| kind(lane.kind)).collect();
        let _ = write!(line, " {} |", kinds.join(", "));
    }
    line + "\n"
}

fn kind(kind: Kind) -> String {
    format!("{kind} ✓")
}

/// Every test outside of this binary whose name says which row it tests: number, words, file.
fn elsewhere() -> io::Result<Vec<(u8, String, String)>> {
    let mut found = Vec::new();
    for folder in ["crates", "examples", "tests"] {
        sources(&root().join(folder), &mut |path, text| {
            let file = path.strip_prefix(root()).unwrap_or(path).display().to_string();
            let functions = text.split("fn fault_").skip(1);
            let names = functions.filter_map(|rest| rest.split_once('(')).map(|(name, _)| name);
            found.extend(names.filter_map(|name| {
                let (number, words) = name.split_once('_')?;
                Some((number.parse().ok()?, words.replace('_', " "), file.clone()))
            }));
        })?;
    }
    found.sort();
    Ok(found)
}

/// Shows every Rust file in `folder`, but for this binary's own and what others installed.
fn sources(folder: &Path, show: &mut impl FnMut(&Path, &str)) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let skipped = ["tests/faults", "tests/sdk"].iter().any(|skipped| path.ends_with(skipped));
        if path.is_dir() && !skipped {
            sources(&path, show)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            show(&path, &fs::read_to_string(&path)?);
        }
    }
    Ok(())
}
