//! The page that says which client works with which upstream, from what the tests noted.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use serde_json::Value;

use crate::run::{Step, root};

const INTRO: &str = "\
# What works with what

Each official SDK, each framework and each coding tool, on each kind of upstream, in front of
simulated providers that refuse what the real ones refuse. Same protocol on both sides: bytes pass
as they are. This page is written by the tests: `UPDATE_DOCS=1 cargo xtask sdk` writes it anew, and
without it that command fails where the page is not current.

✓ works in every SDK of the protocol, plain and streamed. A number: why it does not.
";

/// What the rows of one table are called: the SDKs by feature, everything else by client.
type Cells = BTreeMap<(String, usize, String), BTreeMap<String, String>>;

/// Writes `docs/support.md` from the results in `folder`, or says that it is not current.
pub(crate) fn page(folder: &Path) -> Step {
    let made = render(&read(folder)?, &order()?);
    let page = root().join("docs/support.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return fs::write(&page, made).map_err(|error| format!("{}: {error}", page.display()));
    }
    match fs::read_to_string(&page).is_ok_and(|old| old == made) {
        true => Ok(()),
        false => Err("docs/support.md is not current: UPDATE_DOCS=1 cargo xtask sdk".to_owned()),
    }
}

fn read(folder: &Path) -> Result<Vec<Value>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", folder.display());
    let mut results = Vec::new();
    for file in fs::read_dir(folder).map_err(|e| failed(&e))?.flatten() {
        let text = fs::read(file.path()).map_err(|e| failed(&e))?;
        results.extend(serde_json::from_slice::<Vec<Value>>(&text).map_err(|e| failed(&e))?);
    }
    Ok(results)
}

/// The upstreams, then the features, as the table of the tests has them.
fn order() -> Result<(Vec<String>, Vec<String>), String> {
    let file = root().join("tests/sdk/matrix.json");
    let text = fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let table: Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let upstreams = table["upstreams"].as_object().into_iter().flat_map(|all| all.keys().cloned());
    let features = table["features"].as_array().into_iter().flatten();
    let features = features.map(|feature| text_of(feature, "name"));
    let errors = table["errors"].as_array().into_iter().flatten();
    let errors = errors.filter_map(Value::as_str).map(|name| format!("error {name}"));
    Ok((upstreams.collect(), features.chain(errors).collect()))
}

fn text_of(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn render(results: &[Value], (upstreams, features): &(Vec<String>, Vec<String>)) -> String {
    let mut reasons: Vec<String> = Vec::new();
    let mut cells = Cells::new();
    for result in results {
        let of = |key: &str| text_of(result, key);
        let (table, row) = place(upstreams, result);
        let at = features.iter().position(|name| *name == row).unwrap_or(features.len());
        let cell = cells.entry((table, at, row)).or_default().entry(of("upstream")).or_default();
        if result["not"].is_string() {
            *cell = of("not");
        } else if cell.is_empty() {
            "✓".clone_into(cell);
        }
    }
    let mut page = INTRO.to_owned();
    let mut last = String::new();
    for ((table, _, row), cells) in &cells {
        if *table != last {
            let _ = writeln!(page, "\n## {table}\n\n| | {} |", upstreams.join(" | "));
            let _ = writeln!(page, "| --- |{}", " --- |".repeat(upstreams.len()));
            last.clone_from(table);
        }
        let _ = write!(page, "| {row} |");
        for upstream in upstreams {
            let _ = write!(page, " {} |", mark(cells.get(upstream), &mut reasons));
        }
        page.push('\n');
    }
    page.push_str("\n## Why not\n\n");
    for (n, reason) in reasons.iter().enumerate() {
        let _ = writeln!(page, "{}. {reason}", n + 1);
    }
    page
}

/// The table and the row a result belongs to.
fn place(upstreams: &[String], result: &Value) -> (String, String) {
    let (sdk, client) = (text_of(result, "sdk"), text_of(result, "client"));
    let feature = text_of(result, "feature");
    if upstreams.contains(&client) {
        return (format!("Official SDKs: {client}"), feature);
    }
    match sdk.as_str() {
        "node" => ("Coding tools".to_owned(), client),
        sdk => (sdk.to_owned(), format!("{client}: {feature}")),
    }
}

fn mark(cell: Option<&String>, reasons: &mut Vec<String>) -> String {
    match cell {
        None => "–".to_owned(),
        Some(cell) if cell == "✓" => cell.clone(),
        Some(reason) => {
            let known = reasons.iter().position(|known| known == reason);
            let at = known.unwrap_or_else(|| {
                reasons.push(reason.clone());
                reasons.len() - 1
            });
            format!("{}", at + 1)
        }
    }
}
