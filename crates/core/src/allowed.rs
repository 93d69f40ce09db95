/// The models a key may use: exact names, or patterns with `*` for any run of characters.
///
/// Names are compared as given, in canonical `provider/model` form or as an alias. An absent list
/// allows everything; an empty list allows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedModels(Option<Vec<Box<str>>>);

impl AllowedModels {
    /// Allows every model.
    pub const fn all() -> Self {
        Self(None)
    }

    /// Allows what one of `patterns` matches.
    pub fn only<I>(patterns: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Box<str>>,
    {
        Self(Some(patterns.into_iter().map(Into::into).collect()))
    }

    /// Whether every model is allowed.
    pub fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// The patterns as given; `None` when everything is allowed.
    pub fn patterns(&self) -> Option<&[Box<str>]> {
        self.0.as_deref()
    }

    /// Whether `name` is allowed.
    pub fn allows(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|list| list.iter().any(|p| matches(p, name)))
    }
}

/// Matches `name` against `pattern`, where `*` stands for any run of characters.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut tail) = name.strip_prefix(head) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return tail.ends_with(part);
        }
        let Some(at) = tail.find(part) else { return false };
        tail = &tail[at + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_allows_all_and_empty_allows_none() {
        assert!(AllowedModels::all().allows("anything"));
        assert!(!AllowedModels::only([""; 0]).allows("anything"));
    }

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, expected) in [
            ("fast", "fast", true),
            ("fast", "faster", false),
            ("openai/*", "openai/gpt-5", true),
            ("openai/*", "azure/gpt-5", false),
            ("*/gpt-5*", "openai/gpt-5-mini", true),
            ("*-mini", "openai/gpt-5-mini", true),
            ("*-mini", "openai/gpt-5-mini-2", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxc", false),
            ("a*a", "a", false),
            ("*", "", true),
        ] {
            assert_eq!(AllowedModels::only([pattern]).allows(name), expected, "{pattern} {name}");
        }
    }
}
