use std::{borrow::Cow, sync::LazyLock};

use crate::{Document, Model, compact, pattern::Pattern};

macro_rules! files {
    ($($provider:literal)*) => {
        &[$(($provider, include_str!(concat!("../data/", $provider, ".txt")))),*]
    };
}

/// Each provider with its models, sorted by key. The text is read in place: nothing is parsed
/// before somebody asks for a model, and then only that model's line.
const FILES: &[(&str, &str)] = files!(
    "ai21" "alibaba" "anthropic" "azure" "azure-ai" "bedrock" "bedrock-mantle" "cerebras" "cohere"
    "deepinfra" "deepseek" "fireworks" "google" "groq" "jina" "meta" "minimax" "mistral"
    "moonshotai" "nebius" "openai" "openrouter" "perplexity" "sambanova" "together" "vertex"
    "voyage" "xai" "zai"
);

const PATTERNS: &str = include_str!("../data/patterns.txt");

/// What the models share.
static HEADER: LazyLock<Document> = LazyLock::new(|| {
    compact::read_header(include_str!("../data/catalogue.txt")).unwrap_or_default()
});

pub(crate) fn header() -> &'static Document {
    &HEADER
}

pub(crate) fn providers() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(provider, _)| *provider)
}

/// A line of the built-in data.
pub(crate) enum Hit {
    Id(Model),
    Alias(Model),
}

/// The model of exactly this id or alias.
pub(crate) fn find(provider: &str, name: &str) -> Option<Hit> {
    let (provider, text) = file(provider)?;
    let line = line(text, name)?;
    let id = line.split_once('\t')?.1.strip_prefix('=');
    match id {
        None => model(provider, line).map(Hit::Id),
        Some(id) => model(provider, self::line(text, id)?).map(Hit::Alias),
    }
}

pub(crate) fn models(provider: &str) -> impl Iterator<Item = Model> + use<> {
    let (provider, text) = file(provider).unwrap_or(("", ""));
    text.lines().filter(|line| !line.contains("\t=")).filter_map(move |line| model(provider, line))
}

/// Patterns by provider: (provider, pattern, id), sorted as in their file.
static PARTS: LazyLock<Vec<(&str, &str, &str)>> = LazyLock::new(|| {
    let parts = |line: &'static str| {
        let (provider, rest) = line.split_once('\t')?;
        let (pattern, id) = rest.split_once('\t')?;
        Some((provider, pattern, id))
    };
    PATTERNS.lines().filter_map(parts).collect()
});

/// The id whose pattern matches the longest part of `name`.
pub(crate) fn matched(provider: &str, name: &str) -> Option<(usize, &'static str)> {
    let first = PARTS.partition_point(|(own, ..)| *own < provider);
    let of_provider = PARTS[first..].iter().take_while(|(own, ..)| *own == provider);
    of_provider
        .filter_map(|(_, pattern, id)| {
            let matched = Pattern::matched(pattern, name)?;
            Some(((matched, pattern.len()), *id))
        })
        .max_by_key(|(length, _)| *length)
        .map(|((matched, _), id)| (matched, id))
}

fn file(provider: &str) -> Option<(&'static str, &'static str)> {
    let at = FILES.binary_search_by_key(&provider, |(name, _)| name).ok()?;
    Some(FILES[at])
}

fn model(provider: &'static str, line: &'static str) -> Option<Model> {
    compact::read_line(provider, line, &HEADER.sources)
}

/// The line of this key, by halving the text at line ends.
fn line(text: &'static str, key: &str) -> Option<&'static str> {
    let mut rest = text;
    while !rest.is_empty() {
        let middle = rest.as_bytes()[..rest.len() / 2].iter().rposition(|byte| *byte == b'\n');
        let start = middle.map_or(0, |at| at + 1);
        let (line, after) = rest[start..].split_once('\n').unwrap_or((&rest[start..], ""));
        match compact::key(line).cmp(key) {
            std::cmp::Ordering::Equal => return Some(line),
            std::cmp::Ordering::Less => rest = after,
            std::cmp::Ordering::Greater => rest = &rest[..start],
        }
    }
    None
}

/// Where the built-in prices come from, in words.
pub(crate) fn version() -> Cow<'static, str> {
    HEADER.priced_at.clone().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_sorted_read_and_written_again_as_it_was() {
        let mut document = header().clone();
        for (provider, text) in FILES {
            let mut last = "";
            for line in text.lines() {
                let key = compact::key(line);
                assert!(last < key, "{provider}: {key}");
                last = key;
            }
            document.models.extend(models(provider));
        }
        assert!(document.models.len() > 3000);
        let written = compact::compact(&document);
        for (provider, text) in FILES {
            let name = format!("{provider}.txt");
            let (_, again) = written.iter().find(|(file, _)| *file == name).unwrap();
            let lines = text.lines().filter(|line| !line.contains("\t="));
            assert!(lines.eq(again.lines()), "{provider}");
        }
    }

    #[test]
    fn every_file_is_compiled_in() {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
        let mut files: Vec<_> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "catalogue.txt" && name != "patterns.txt")
            .collect();
        files.sort();
        let mut known: Vec<_> = providers().map(|provider| format!("{provider}.txt")).collect();
        known.sort();
        assert_eq!(files, known);
        assert!(FILES.is_sorted());
    }

    #[test]
    fn every_line_is_found_by_its_key() {
        for (provider, text) in FILES {
            for line in text.lines() {
                assert!(find(provider, compact::key(line)).is_some(), "{provider} {line}");
            }
            assert!(find(provider, "").is_none() && find(provider, "~").is_none());
        }
        assert!(find("openai", "gpt-4o\tchat").is_none());
    }

    #[test]
    fn every_pattern_names_a_model_that_is_there() {
        for line in PATTERNS.lines() {
            let mut parts = line.split('\t');
            let (provider, pattern, id) =
                (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
            assert!(matches!(find(provider, id), Some(Hit::Id(_))), "{line}");
            Pattern::new(pattern).unwrap();
        }
    }

    #[test]
    fn the_header_is_whole() {
        assert!(header().priced_at.is_some() && header().sources.len() > 1);
        assert!(header().schedules.iter().any(|s| s.name == "deepseek-2026-08-16"));
        assert!(header().tool_fees.iter().any(|(provider, _)| provider == "azure"));
    }
}
