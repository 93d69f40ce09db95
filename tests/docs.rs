//! The book builds, its links lead somewhere, and what it shows is what there is.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use mdbook::{Config as BookConfig, MDBook, book::BookItem};
use serde_json::Value;
use tollgate_gateway::{Config, schema};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().canonicalize().unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Builds the book into a folder of the test's own and returns the folder.
fn build(name: &str) -> (MDBook, PathBuf) {
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut config = BookConfig::from_disk(root().join("docs/book.toml")).unwrap();
    config.build.build_dir.clone_from(&built);
    config.build.create_missing = false;
    let book = MDBook::load_with_config(root().join("docs"), config).unwrap();
    book.build().unwrap();
    (book, built)
}

/// What stands between `before` and the next `"`, each time `before` occurs.
fn quoted<'a>(text: &'a str, before: &'static str) -> impl Iterator<Item = &'a str> {
    text.split(before).skip(1).filter_map(|rest| rest.split('"').next())
}

/// The code of a page's blocks in this language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    page.split(fence.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn the_book_builds_and_each_page_is_in_the_summary() {
    let (book, built) = build("book-pages");
    let mut named = HashSet::from([PathBuf::from("SUMMARY.md")]);
    for item in book.iter() {
        let BookItem::Chapter(chapter) = item else { continue };
        let path = chapter.path.clone().expect("no draft chapters");
        assert!(built.join(path.with_extension("html")).is_file(), "{}", path.display());
        named.insert(path);
    }
    for page in fs::read_dir(root().join("docs")).unwrap() {
        let page = PathBuf::from(page.unwrap().file_name());
        let is_page = page.extension().is_some_and(|extension| extension == "md");
        assert!(!is_page || named.contains(&page), "{} is in no summary", page.display());
    }
}

#[test]
fn links_inside_the_book_lead_somewhere() {
    let (book, built) = build("book-links");
    for item in book.iter() {
        let BookItem::Chapter(chapter) = item else { continue };
        let page = chapter.path.clone().unwrap().with_extension("html");
        let html = fs::read_to_string(built.join(&page)).unwrap();
        for link in quoted(&html, "href=\"").filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let file = if file.is_empty() { built.join(&page) } else { built.join(file) };
            let target = fs::read(&file).unwrap_or_else(|e| panic!("{link} of {page:?}: {e}"));
            let ids = String::from_utf8_lossy(&target);
            let found = anchor.is_empty() || quoted(&ids, "id=\"").any(|id| id == anchor);
            assert!(found, "{link} of {page:?}");
        }
    }
}

#[test]
fn links_of_the_readme_lead_to_files() {
    for page in ["README.md", "CONTRIBUTING.md"] {
        let text = read(page);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            assert!(root().join(link).exists(), "{link} of {page}");
        }
    }
}

#[test]
fn the_readmes_layer_is_the_example() {
    let (readme, example) = (read("README.md"), read("examples/axum-layer/src/main.rs"));
    let (_module_doc, code) = example.split_once("\n\n").unwrap();
    assert_eq!(blocks(&readme, "rust,no_run"), [code]);
}

#[test]
fn every_example_of_a_file_is_valid() {
    for (name, least) in [("docs/configuration.md", 6), ("docs/edge.md", 2)] {
        let page = read(name);
        let examples = blocks(&page, "toml");
        assert!(examples.len() >= least);
        for example in examples {
            // What the environment says is not the test's to choose: a literal stands in for it.
            let example = literal(example);
            let config = Config::parse(name, &example, false);
            assert!(config.is_ok(), "{config:?}\n{example}");
        }
    }
}

/// Replaces each `env:NAME` by a different literal.
fn literal(example: &str) -> String {
    let mut parts = example.split("env:");
    let mut text = parts.next().unwrap().to_owned();
    parts.enumerate().for_each(|(i, part)| text.push_str(&format!("literal-{i}-{part}")));
    text
}

#[test]
fn every_key_of_the_file_is_on_the_configuration_page() {
    let page = read("docs/configuration.md");
    let tables = [
        ("", "qqqqqq = 1"),
        ("server", "[server]\nqqqqqq = 1"),
        ("keys", "[[keys]]\nqqqqqq = 1"),
        ("budget", "[[keys]]\nbudget = { qqqqqq = 1 }"),
        ("providers", "[providers.x]\nqqqqqq = 1"),
        ("models", "[models.x]\nqqqqqq = 1"),
        ("deadlines", "[deadlines]\nqqqqqq = 1"),
        ("store", "[store]\nqqqqqq = 1"),
        ("shared", "[shared]\nqqqqqq = 1"),
        ("prices", "[prices]\nqqqqqq = 1"),
        ("translate", "[translate]\nqqqqqq = 1"),
        ("capabilities", "[providers.x.capabilities.m]\nqqqqqq = 1"),
    ];
    for (table, wrong) in tables {
        let expected = expected_keys(wrong);
        assert!(!expected.is_empty(), "{table}");
        for key in expected {
            let shown = [format!("`{key}`"), format!("`{table}.{key}`"), format!("[{key}")];
            assert!(shown.iter().any(|shown| page.contains(shown)), "`{key}` of `{table}`");
        }
    }
}

/// The keys a table may have, as the error about one that it may not have lists them.
fn expected_keys(text: &str) -> Vec<String> {
    let message = Config::parse("page.toml", text, false).unwrap_err().to_string();
    let (_, listed) = message.split_once("expected").unwrap_or_else(|| panic!("{message}"));
    listed.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// What a schema refers to, if it does.
fn resolved<'a>(all: &'a Value, one: &'a Value) -> &'a Value {
    let named = one["$ref"].as_str().and_then(|path| path.strip_prefix('#'));
    named.map_or(one, |path| all.pointer(path).unwrap())
}

/// The schema of a table, by where it stands in the file.
fn table<'a>(all: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(all, |table, key| {
        let value = resolved(all, &table["properties"][key]);
        let within = [&value["items"], &value["additionalProperties"]];
        let many = within.into_iter().find(|within| within.is_object());
        resolved(all, many.unwrap_or(value))
    })
}

/// What is to be written as a value.
fn written(all: &Value, of: &Value) -> String {
    let own = resolved(all, of);
    let word = match (&of["x-unit"], own["type"].as_str()) {
        (Value::String(unit), _) => unit.clone(),
        _ if own["enum"].is_array() => {
            let words = own["enum"].as_array().unwrap().iter();
            words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
        }
        _ if own["anyOf"].is_array() => {
            let ways = own["anyOf"].as_array().unwrap().iter();
            ways.map(|way| written(all, way)).collect::<Vec<_>>().join(" or ")
        }
        (_, Some("array")) => format!("list of {}", written(all, &own["items"])),
        (_, Some("object")) => "table".to_owned(),
        (_, Some("boolean")) => "`true` or `false`".to_owned(),
        (_, Some("string")) => "text".to_owned(),
        (_, kind) => panic!("{kind:?}: {of}"),
    };
    if of["x-env"] == true { format!("{word}, or `env:NAME`") } else { word }
}

/// What holds when a key is absent.
fn otherwise(table: &Value, key: &str, of: &Value) -> String {
    let required = table["required"].as_array().is_some_and(|r| r.iter().any(|name| name == key));
    match (&of["default"], &of["x-default"]) {
        _ if required => "required".to_owned(),
        (_, Value::String(words)) => words.clone(),
        (Value::Number(bytes), _) if of["x-unit"] == "bytes" => {
            format!("`{bytes}` ({} MiB)", bytes.as_u64().unwrap() >> 20)
        }
        (Value::Null, _) => {
            assert!(of["$ref"].is_string(), "`{key}` has no default");
            "as its keys".to_owned()
        }
        (value, _) => format!("`{value}`"),
    }
}

/// The keys of a table, as the page shows them.
fn keys(all: &Value, path: &str) -> String {
    let table = table(all, path);
    let mut text = "| key | value | default | |\n| --- | --- | --- | --- |\n".to_owned();
    for (key, of) in table["properties"].as_object().unwrap() {
        let says = of["description"].as_str().unwrap_or_else(|| panic!("`{path}.{key}`: no word"));
        let (value, otherwise) = (written(all, of), otherwise(table, key, of));
        text += &format!("| `{key}` | {value} | {otherwise} | {} |\n", says.replace('\n', " "));
    }
    text
}

/// The page with the tables of the schema.
fn with_tables(page: &str) -> String {
    let all = schema();
    let mut parts = page.split("<!-- keys of ");
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let (path, rest) = part.split_once(" -->").unwrap();
        let (_, after) = rest.split_once("<!-- end -->").unwrap();
        text += &format!("<!-- keys of {path} -->\n\n{}\n<!-- end -->{after}", keys(&all, path));
    }
    text
}

#[test]
fn the_tables_of_the_configuration_page_are_those_of_the_schema() {
    let page = read("docs/configuration.md");
    let current = with_tables(&page);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return fs::write(root().join("docs/configuration.md"), current).unwrap();
    }
    assert!(page == current, "docs/configuration.md: run this test with UPDATE_DOCS=1");
}

#[test]
fn every_table_of_the_schema_is_on_the_configuration_page() {
    let (all, page) = (schema(), read("docs/configuration.md"));
    let shown = page.split("<!-- keys of ").skip(1).map(|part| part.split_once(" -->").unwrap().0);
    let shown: Vec<_> = shown.map(|path| table(&all, path)).collect();
    for (name, table) in all["$defs"].as_object().unwrap() {
        assert!(shown.contains(&table), "{name}");
    }
}

#[test]
fn the_container_file_builds_what_there_is_and_runs_it_as_nobody() {
    let (file, manifest) = (read("Dockerfile"), read("examples/gateway/Cargo.toml"));
    assert!(manifest.contains("[[bin]]\nname = \"tollgate\"\n"));
    assert!(file.contains("cargo build --release --locked --bin tollgate"));
    let last = file.rsplit("\nFROM ").next().unwrap();
    assert!(last.contains(":nonroot\n") && last.contains("\nUSER nonroot\n"), "{last}");
    assert!(!last.contains("\nRUN "), "there is no shell to run anything: {last}");
    let command = last.split("CMD [").nth(1).unwrap().split(']').next().unwrap();
    assert_eq!(command, "\"--listen\", \"0.0.0.0:4000\"");
    let ours = read("Cargo.toml");
    let least = ours.split("rust-version = \"").nth(1).unwrap().split('"').next().unwrap();
    let minor = |version: &str| version.split('.').nth(1).unwrap().parse::<u32>().unwrap();
    let used = file.split("FROM rust:").nth(1).unwrap().split('-').next().unwrap();
    assert!(minor(used) >= minor(least), "{used} is older than {least}");
}
