use std::{
    borrow::Cow,
    sync::{Arc, LazyLock, OnceLock},
};

use crate::{Document, Model, compact, pattern::Pattern};

/// A provider with its models, sorted by key. At the first question the text is cut into lines; a
/// line is read when somebody asks for its model, and then kept.
#[derive(Debug)]
struct Shelf {
    provider: &'static str,
    text: &'static str,
    lines: OnceLock<Vec<Line>>,
}

#[derive(Debug)]
struct Line {
    key: &'static str,
    text: &'static str,
    model: OnceLock<Option<Arc<Model>>>,
}

macro_rules! shelves {
    ($($provider:literal)*) => {
        [$(Shelf {
            provider: $provider,
            text: include_str!(concat!("../data/", $provider, ".txt")),
            lines: OnceLock::new(),
        }),*]
    };
}

static SHELVES: [Shelf; 29] = shelves!(
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
    SHELVES.iter().map(|shelf| shelf.provider)
}

/// A line of the built-in data.
pub(crate) enum Hit {
    Id(Arc<Model>),
    Alias(Arc<Model>),
}

/// The model of exactly this id or alias.
pub(crate) fn find(provider: &str, name: &str) -> Option<Hit> {
    let shelf = shelf(provider)?;
    let line = shelf.line(name)?;
    match line.alias_of() {
        None => shelf.model(line).map(Hit::Id),
        Some(id) => shelf.model(shelf.line(id)?).map(Hit::Alias),
    }
}

pub(crate) fn models(provider: &str) -> impl Iterator<Item = Arc<Model>> + use<> {
    shelf(provider).into_iter().flat_map(|shelf| {
        let own = shelf.lines().iter().filter(|line| line.alias_of().is_none());
        own.filter_map(|line| shelf.model(line))
    })
}

fn shelf(provider: &str) -> Option<&'static Shelf> {
    let at = SHELVES.binary_search_by_key(&provider, |shelf| shelf.provider).ok()?;
    Some(&SHELVES[at])
}

impl Shelf {
    fn lines(&self) -> &[Line] {
        let line = |text| Line { key: compact::key(text), text, model: OnceLock::new() };
        self.lines.get_or_init(|| self.text.lines().map(line).collect())
    }

    fn line(&self, key: &str) -> Option<&Line> {
        let lines = self.lines();
        let at = lines.binary_search_by_key(&key, |line| line.key).ok()?;
        Some(&lines[at])
    }

    fn model(&self, line: &Line) -> Option<Arc<Model>> {
        let read = || compact::read_line(self.provider, line.text, &HEADER.sources).map(Arc::new);
        line.model.get_or_init(read).clone()
    }
}

impl Line {
    /// The id this line is another name of.
    fn alias_of(&self) -> Option<&'static str> {
        self.text.split_once('\t')?.1.strip_prefix('=')
    }
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
        for Shelf { provider, text, .. } in &SHELVES {
            let mut last = "";
            for line in text.lines() {
                let key = compact::key(line);
                assert!(last < key, "{provider}: {key}");
                last = key;
            }
            document.models.extend(models(provider).map(Arc::unwrap_or_clone));
        }
        assert!(document.models.len() > 3000);
        let written = compact::compact(&document);
        for Shelf { provider, text, .. } in &SHELVES {
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
        assert!(SHELVES.is_sorted_by_key(|shelf| shelf.provider));
    }

    #[test]
    fn every_line_is_found_by_its_key() {
        for Shelf { provider, text, .. } in &SHELVES {
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
