use regex_lite::Regex;

/// An anchored pattern of ids: `^claude-haiku-5-5-\d{8}$`.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Regex);

impl Pattern {
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        if !pattern.starts_with('^') {
            return Err(format!("{pattern:?} does not begin with ^"));
        }
        Regex::new(pattern).map(Self).map_err(|problem| format!("{pattern:?}: {problem}"))
    }

    /// How many bytes of `name` it matches.
    pub(crate) fn length(&self, name: &str) -> Option<usize> {
        self.0.find(name).map(|found| found.len())
    }

    /// The same of a pattern not compiled yet, which is not done where its plain beginning already
    /// differs.
    pub(crate) fn matched(pattern: &str, name: &str) -> Option<usize> {
        let plain = pattern.strip_prefix('^')?;
        let plain = &plain[..plain.find(|c| r"\[](){}.*+?|^$".contains(c)).unwrap_or(plain.len())];
        // What a quantifier or an alternative follows is not plain.
        let next = pattern.as_bytes().get(1 + plain.len());
        let sure = !matches!(next, Some(b'?' | b'*' | b'{' | b'|')) && !pattern.contains('|');
        if sure && !name.starts_with(plain) {
            return None;
        }
        if pattern.len() == plain.len() + 1 {
            return Some(plain.len());
        }
        Self::new(pattern).ok()?.length(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_how_much_of_a_name_it_matches() {
        assert_eq!(Pattern::matched("^claude-3", "claude-3-opus"), Some(8));
        assert_eq!(Pattern::matched(r"^claude-5-\d{8}$", "claude-5-20260101"), Some(17));
        assert_eq!(Pattern::matched(r"^claude-5-\d{8}$", "claude-5-20260101x"), None);
        assert_eq!(Pattern::matched(r"^gpt-4\.5", "gpt-4x5"), None);
        assert_eq!(Pattern::matched("^ab?c", "ac"), Some(2));
        assert_eq!(Pattern::matched("^ab|^cd", "cd"), Some(2));
    }

    #[test]
    fn must_be_anchored() {
        assert!(Pattern::new("gpt").is_err() && Pattern::new("^(").is_err());
    }
}
