use regex_lite::Regex;

/// An anchored pattern of ids: `^claude-haiku-5-5-\d{8}$`.
///
/// One that is open at its end (`^claude-opus-4-5`) matches whole words only: `claude-opus-4-55` is
/// another model. A year may go on as a date (`^claude-sonnet-4-2025`).
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    regex: Regex,
    ends_in_word: bool,
}

impl Pattern {
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        if !pattern.starts_with('^') {
            return Err(format!("{pattern:?} does not begin with ^"));
        }
        let regex = Regex::new(pattern).map_err(|problem| format!("{pattern:?}: {problem}"))?;
        Ok(Self { regex, ends_in_word: ends_in_word(pattern) })
    }

    /// How many bytes of `name` it matches.
    pub(crate) fn length(&self, name: &str) -> Option<usize> {
        let length = self.regex.find(name)?.len();
        (!self.ends_in_word || is_whole(name, length)).then_some(length)
    }

    /// The same of a pattern not compiled yet, which is done only where plain letters do not decide.
    pub(crate) fn matched(pattern: &str, name: &str) -> Option<usize> {
        match plainly(pattern, name) {
            Plainly::Differs => None,
            Plainly::Begins(length) => {
                (!ends_in_word(pattern) || is_whole(name, length)).then_some(length)
            }
            Plainly::Undecided => Self::new(pattern).ok()?.length(name),
        }
    }
}

/// What the letters of a pattern that stand for themselves say.
enum Plainly {
    Differs,
    /// There are no others, and the name begins with these.
    Begins(usize),
    Undecided,
}

fn plainly(pattern: &str, name: &str) -> Plainly {
    let Some(pattern) = pattern.strip_prefix('^').filter(|rest| !rest.contains('|')) else {
        return Plainly::Undecided;
    };
    let (mut rest, mut at) = (pattern.as_bytes(), 0);
    loop {
        let (letter, after) = match rest {
            [] => return Plainly::Begins(at),
            [b'\\', escaped @ (b'.' | b'-' | b'/' | b':'), after @ ..] => (*escaped, after),
            [plain, after @ ..] if !br"\[](){}.*+?^$".contains(plain) => (*plain, after),
            _ => return Plainly::Undecided,
        };
        // A letter that something follows may be repeated or left out.
        if matches!(after.first(), Some(b'?' | b'*' | b'+' | b'{')) {
            return Plainly::Undecided;
        }
        if name.as_bytes().get(at) != Some(&letter) {
            return Plainly::Differs;
        }
        (rest, at) = (after, at + 1);
    }
}

/// Whether the pattern ends in a letter or digit that stands for itself and is no year's.
fn ends_in_word(pattern: &str) -> bool {
    let bytes = pattern.as_bytes();
    let escaped = bytes.len() > 1 && bytes[bytes.len() - 2] == b'\\';
    let year = bytes
        .last_chunk::<5>()
        .is_some_and(|end| end.starts_with(b"-20") && end.iter().skip(1).all(u8::is_ascii_digit));
    bytes.last().is_some_and(u8::is_ascii_alphanumeric) && !escaped && !year
}

/// Whether no word goes on at this place.
fn is_whole(name: &str, at: usize) -> bool {
    !name.as_bytes().get(at).is_some_and(u8::is_ascii_alphanumeric)
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
    fn an_open_end_is_the_end_of_a_word() {
        assert_eq!(Pattern::matched("^claude-opus-4-5", "claude-opus-4-55"), None);
        assert_eq!(Pattern::matched(r"^claude-opus-4\.5", "claude-opus-4.55"), None);
        assert_eq!(Pattern::matched(r"^claude-opus-4\.5", "claude-opus-4.5-latest"), Some(15));
        assert_eq!(Pattern::matched("^claude-4-2025", "claude-4-20250514"), Some(13));
        assert_eq!(Pattern::matched(r"^argon-\d", "argon-001"), Some(7));
        assert_eq!(Pattern::matched("^ft:gpt-", "ft:gpt-4"), Some(7));
    }

    #[test]
    fn must_be_anchored() {
        assert!(Pattern::new("gpt").is_err() && Pattern::new("^(").is_err());
    }
}
