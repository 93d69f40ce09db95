//! From text to [`File`], with errors that say where and what to write instead.

use std::ops::Range;

use serde::Deserialize;
use tollgate_route::nearest;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{ConfigError, file::File};

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
        ConfigError::new(place, format!("`{path}`: {}", with_hint(error.message())))
    })
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

/// Adds the nearest valid key or value to the message about an unknown one.
fn with_hint(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = quoted.next().filter(|_| message.starts_with("unknown "));
    let nearest = unknown.and_then(|unknown| nearest(unknown, quoted));
    match (unknown, nearest) {
        (Some(unknown), Some(nearest)) => {
            let what = if message.starts_with("unknown field") { "key" } else { "value" };
            format!("unknown {what} `{unknown}`; did you mean `{nearest}`?")
        }
        _ => in_the_words_of_toml(message),
    }
}

/// Kinds of values as a TOML file calls them.
fn in_the_words_of_toml(message: &str) -> String {
    let message = message.replace("invalid type: map", "invalid type: table");
    let message = message.replace("expected a sequence", "expected an array");
    match message.split_once("expected struct ") {
        Some((before, _)) => format!("{before}expected a table"),
        None => message,
    }
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
        assert!(message("server = 3\n").ends_with("invalid type: integer `3`, expected a table"));
    }

    #[test]
    fn a_value_is_not_called_a_key() {
        let text = "[models.fast]\ntargets = [\"a/b\"]\nrouting = \"prioritys\"\n";
        assert!(message(text).ends_with("unknown value `prioritys`; did you mean `priority`?"));
        let text = "[models.fast]\ntargets = [\"a/b\"]\nrouting = \"zzz\"\n";
        assert!(message(text).contains("unknown order `zzz`; one of `priority` "));
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
