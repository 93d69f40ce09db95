//! Looking for a member's name in raw JSON, cheaper than walking it.

use std::sync::OnceLock;

use memchr::memmem::Finder;

/// A member's name with its quotes, looked for in the raw bytes of a JSON text.
///
/// A quoted name inside a JSON string has its quotes escaped and is not found; a string that *is*
/// the name has no colon behind it. So what is found is a member, though maybe of a nested object.
#[derive(Debug)]
pub(crate) struct Word {
    quoted: &'static str,
    finder: OnceLock<Finder<'static>>,
}

impl Word {
    pub(crate) const fn new(quoted: &'static str) -> Self {
        Self { quoted, finder: OnceLock::new() }
    }

    /// Whether a member of this name has a value other than `null`, at any depth.
    pub(crate) fn says_something(&self, text: &[u8]) -> bool {
        self.values(text).any(|value| !value.starts_with(b"null"))
    }

    /// Returns, for each member of this name at any depth, the text from its value on.
    pub(crate) fn values<'a>(&self, text: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let finder = self.finder.get_or_init(|| Finder::new(self.quoted));
        finder.find_iter(text).filter_map(|at| {
            let behind = text[at + self.quoted.len()..].trim_ascii_start();
            behind.strip_prefix(b":").map(<[u8]>::trim_ascii_start)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static WORD: Word = Word::new("\"error\"");

    #[test]
    fn finds_a_member_with_a_value() {
        assert!(WORD.says_something(br#"{"a":1,"error" : {"x":1}}"#));
        assert!(WORD.says_something(br#"{"a":{"error":null},"error":""}"#));
    }

    #[test]
    fn is_not_fooled_by_strings_and_null() {
        for text in [
            r#"{"a":"\"error\":1"}"#,
            r#"{"a":"error"}"#,
            r#"{"error": null}"#,
            r#"{"an_error":1}"#,
        ] {
            assert!(!WORD.says_something(text.as_bytes()), "{text}");
        }
    }
}
