//! What families of models take and refuse, beyond what price lists say.
//!
//! By the version in a model's own id, never by a guess at a name: an id that does not begin with
//! its family's word, after the prefix a host puts before it, says nothing.

use std::collections::BTreeSet;

use tollgate_core::{Caps, Effort, Sampling, SchemaDialect, Thinking};

/// Major and minor.
type Version = (u32, u32);

/// Adds to `caps` what the family of the model with this id is known for.
pub(crate) fn apply(id: &str, caps: &mut Caps) {
    if let Some(version) = version(id, "claude-") {
        claude(version, caps);
    } else if let Some(version) = version(id, "gemini-") {
        gemini(version, caps);
    }
}

/// Anthropic's models: thinking by a budget from 3.7 on and adaptive from 4.6 on, which also end no
/// answer that was begun for them; fewer sampling knobs since 4.1 and none since 4.7; reasoning bound
/// to its conversation since 5.1.
fn claude(version: Version, caps: &mut Caps) {
    caps.thinking = Some(match version {
        version if version < (3, 7) => Thinking::None,
        version if version < (4, 6) => Thinking::Budget,
        _ => Thinking::Adaptive,
    });
    caps.sampling = match version {
        version if version < (4, 1) => Sampling::Full,
        version if version < (4, 7) => Sampling::OneOf,
        _ => Sampling::None,
    };
    caps.prefill = version < (4, 6);
    caps.bound_reasoning = version >= (5, 1);
    if version == (4, 6) {
        let efforts = [Effort::Low, Effort::Medium, Effort::High, Effort::Max];
        caps.efforts = Some(BTreeSet::from(efforts));
    }
}

/// Google's models: thinking by a budget in 2.5 and by a level from 3 on, which also want calls
/// signed and take media in a tool's result; JSON Schema since 2.5.
fn gemini(version: Version, caps: &mut Caps) {
    caps.thinking = Some(match version {
        version if version < (2, 5) => Thinking::None,
        version if version < (3, 0) => Thinking::Budget,
        _ => Thinking::Level,
    });
    caps.schema = match version < (2, 5) {
        true => SchemaDialect::OpenApiSubset,
        false => SchemaDialect::JsonSchema,
    };
    caps.needs_thought_signature = version >= (3, 0);
    caps.tool_result_media = Some(version >= (3, 0));
}

/// The version in an id of this family: its first number and, right behind it, the second.
fn version(id: &str, family: &str) -> Option<Version> {
    let own = id.rsplit(['/', ':']).find(|part| part.contains(family)).unwrap_or(id);
    // Bedrock: `eu.anthropic.claude-…`.
    let own = own.rsplit_once("anthropic.").map_or(own, |(_, own)| own);
    let mut words = own.strip_prefix(family)?.split(['-', '.', '@']).map(number).peekable();
    let major = words.by_ref().find_map(|number| number)?;
    Some((major, words.next().flatten().unwrap_or(0)))
}

/// A part of a version; a date is none.
fn number(word: &str) -> Option<u32> {
    word.parse().ok().filter(|number| *number < 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_off_ids() {
        for (id, expected) in [
            ("claude-3-5-sonnet-20241022", Some((3, 5))),
            ("claude-sonnet-4-20250514", Some((4, 0))),
            ("claude-sonnet-4-5-20250929", Some((4, 5))),
            ("claude-opus-4.7", Some((4, 7))),
            ("claude-opus-5", Some((5, 0))),
            ("claude-haiku-4-5@20251001", Some((4, 5))),
            ("anthropic/claude-fable-5-1", Some((5, 1))),
            ("eu.anthropic.claude-opus-4-6-v1", Some((4, 6))),
            ("claude-v1", None),
            ("my-claude-4-5", None),
            ("gpt-5", None),
        ] {
            assert_eq!(version(id, "claude-"), expected, "{id}");
        }
        assert_eq!(version("gemini-2.5-flash-preview-04-17", "gemini-"), Some((2, 5)));
        assert_eq!(version("models/gemini-3-pro", "gemini-"), Some((3, 0)));
    }

    #[test]
    fn each_generation_has_its_habits() {
        let of = |id: &str| {
            let mut caps = Caps::default();
            apply(id, &mut caps);
            caps
        };
        let old = of("claude-3-5-haiku-latest");
        assert_eq!((old.thinking, old.sampling), (Some(Thinking::None), Sampling::Full));
        let budget = of("claude-sonnet-4-5");
        assert_eq!((budget.thinking, budget.sampling), (Some(Thinking::Budget), Sampling::OneOf));
        assert!(budget.prefill && !budget.bound_reasoning);
        let new = of("claude-opus-5-5");
        assert_eq!((new.thinking, new.sampling), (Some(Thinking::Adaptive), Sampling::None));
        assert!(!new.prefill && new.bound_reasoning);
        let level = of("gemini-3-pro-preview");
        assert_eq!(level.thinking, Some(Thinking::Level));
        assert!(level.needs_thought_signature);
        assert_eq!(of("gemini-2.0-flash").schema, SchemaDialect::OpenApiSubset);
        assert_eq!(of("gpt-5"), Caps::default());
    }
}
