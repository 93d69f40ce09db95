//! From text to [`File`], with errors that say where and what to write instead.

use std::ops::Range;

use serde::Deserialize;
use tollgate_route::nearest;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{ConfigError, file::File, quote::is_name};

/// Reads a file's text. `name` is how errors call the file.
///
/// Errors: path within the file, line, and the nearest valid key.
pub(crate) fn parse(name: &str, text: &str) -> Result<File, ConfigError> {
    let document = toml::Deserializer::parse(text)
        .map_err(|error| ConfigError::new(place(name, text, error.span()), error.message()))?;
    let mut track = serde_path_to_error::Track::new();
    let document = serde_path_to_error::Deserializer::new(document, &mut track);
    File::deserialize(document).map_err(|error| {
        let path = track.path().to_string();
        let place = place(name, text, error.span());
        ConfigError::new(place, format!("`{}`: {}", shown(&path), in_our_words(error.message())))
    })
}

/// A path within the file, whose last key may be a secret in a place where no key is.
fn shown(path: &str) -> &str {
    match path.rsplit_once('.') {
        Some((table, key)) if !is_name(key.trim_end_matches(|c| "[]0123456789".contains(c))) => {
            table
        }
        _ => path,
    }
}

/// Returns file and line of what stands at `path` in a text that was read, or of the innermost table
/// that has it not.
pub(crate) fn place_of(name: &str, text: &str, path: &str) -> String {
    let document = DeTable::parse(text).ok();
    let found = document.and_then(|document| span(document.get_ref(), path));
    place(name, text, found)
}

/// Where the longest beginning of `path` stands that there is. Keys may have dots in them.
fn span(table: &DeTable<'_>, path: &str) -> Option<Range<usize>> {
    let ends = |rest: &str| rest.is_empty() || rest.starts_with(['.', '[']);
    let under = |key: &str| path.strip_prefix(key).filter(|rest| ends(rest));
    let known = table.iter().filter_map(|(key, value)| Some((key, value, under(key.get_ref())?)));
    let (key, value, rest) = known.max_by_key(|(key, ..)| key.get_ref().len())?;
    Some(within(value, rest).unwrap_or_else(|| key.span()))
}

/// The same within a value.
fn within(value: &Spanned<DeValue<'_>>, path: &str) -> Option<Range<usize>> {
    match value.get_ref() {
        DeValue::Table(table) => span(table, path.strip_prefix('.')?),
        DeValue::Array(list) => {
            let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
            let item = list.get(index.parse::<usize>().ok()?)?;
            Some(within(item, rest).unwrap_or_else(|| item.span()))
        }
        _ => None,
    }
}

fn place(name: &str, text: &str, span: Option<Range<usize>>) -> String {
    let Some(span) = span else { return name.to_owned() };
    let line = text[..span.start.min(text.len())].matches('\n').count() + 1;
    format!("{name}:{line}")
}

/// Adds the nearest valid key or value to the message about an unknown one. No value of the file is
/// repeated that could be a secret.
fn in_our_words(message: &str) -> String {
    match message.strip_prefix("unknown ").and_then(unknown) {
        Some(words) => words,
        None => in_the_words_of_toml(message),
    }
}

/// What serde says after "unknown ": the kind, what stands there, and what could.
fn unknown(message: &str) -> Option<String> {
    let (kind, rest) = message.split_once(" `")?;
    // What stands there may have anything in it, what is expected has not.
    let (name, expected) =
        rest.rsplit_once("`, expected ").or_else(|| rest.rsplit_once("`, there are no "))?;
    let what = if kind == "field" { "key" } else { "value" };
    let known = || expected.split('`').skip(1).step_by(2);
    let nearest = nearest(name, known()).filter(|near| name.len() <= near.len() + 4);
    Some(match nearest {
        Some(nearest) if is_name(name) => {
            format!("unknown {what} `{name}`; did you mean `{nearest}`?")
        }
        Some(nearest) => format!("unknown {what}; did you mean `{nearest}`?"),
        None if kind == "field" && is_name(name) => {
            format!("unknown {what} `{name}`, expected {expected}")
        }
        None => format!("unknown {what}, expected {expected}"),
    })
}

/// Kinds of values as a TOML file calls them, and nothing of the values.
fn in_the_words_of_toml(message: &str) -> String {
    let Some((found, expected)) = message.rsplit_once(", expected ") else {
        return message.to_owned();
    };
    let expected = match expected {
        "a sequence" => "an array",
        expected if expected.starts_with("struct ") => "a table",
        expected => expected,
    };
    format!("{}, expected {expected}", without_value(found))
}

/// `invalid type: string "sk-…"` without the value.
fn without_value(found: &str) -> String {
    let Some((what, value)) = found.split_once(": ").filter(|_| found.starts_with("invalid "))
    else {
        return found.to_owned();
    };
    let kind = match value.split([' ', '`', '"']).next().unwrap_or_default() {
        "map" => "table",
        "sequence" => "array",
        "floating" => "float",
        kind => kind,
    };
    format!("{what}: {kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        parse("tollgate.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_key_is_named_with_path_line_and_neighbour() {
        let message = message("[server]\nlisten = \"x\"\n\n[providers.local]\nbase_ulr = \"y\"\n");
        assert!(message.starts_with("tollgate.toml:5: "), "{message}");
        assert!(message.contains("providers.local"), "{message}");
        assert!(message.contains("did you mean `base_url`?"), "{message}");
    }

    #[test]
    fn a_wrong_kind_is_named_with_path_and_line() {
        let message = message("[[keys]]\nname = 1\nkey = \"x\"\n");
        assert!(message.contains(":2: `keys[0].name`"), "{message}");
        assert!(message.contains("expected a string"), "{message}");
    }

    #[test]
    fn kinds_are_called_as_the_file_calls_them() {
        assert!(message("[keys]\n").ends_with("invalid type: table, expected an array"));
        assert!(message("server = 3\n").ends_with("invalid type: integer, expected a table"));
    }

    #[test]
    fn a_value_is_not_called_a_key() {
        let text = "[models.fast]\ntargets = [\"a/b\"]\nrouting = \"prioritys\"\n";
        assert!(message(text).ends_with("unknown value `prioritys`; did you mean `priority`?"));
        let text = "[models.fast]\ntargets = [\"a/b\"]\nrouting = \"zzz\"\n";
        assert!(message(text).contains("unknown value, expected one of `priority`, "));
    }

    #[test]
    fn broken_toml_is_named_with_its_line() {
        assert!(message("[server]\nlisten = \n").starts_with("tollgate.toml:2: "));
    }

    #[test]
    fn durations_are_words() {
        let file = parse("f", "[deadlines]\nidle = \"90s\"\nconnect = \"250ms\"").unwrap();
        assert_eq!(file.deadlines.idle, Some(std::time::Duration::from_secs(90)));
        assert!(message("[deadlines]\nidle = \"soon\"").contains("`deadlines.idle`"));
    }

    #[test]
    fn secrets_are_not_printed() {
        let file = parse("f", "[[keys]]\nname = \"a\"\nkey = \"sk-1234\"").unwrap();
        assert!(!format!("{file:?}").contains("1234"));
    }
}
