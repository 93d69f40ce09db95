//! What errors may quote of the file. Whoever puts a key, a password or a token in the wrong place
//! must not find it in a terminal or a log: only what looks like a name is repeated, the place is
//! said of everything.

/// A name's longest part between hyphens, dots and their like.
const LONGEST_WORD: usize = 16;

/// The same of a part in which letters and digits alternate, like `4o` or `us2`.
const LONGEST_MIX: usize = 8;

/// Returns `text` in backticks, or words for it where it could be a secret.
pub(super) fn quoted(text: &str) -> String {
    match is_name(text) {
        true => format!("`{text}`"),
        false => "what stands there".to_owned(),
    }
}

/// Whether `text` looks like a name, an address or a model, and not like a secret.
pub(super) fn is_name(text: &str) -> bool {
    let separates = |c: char| "-_./:*".contains(c);
    let mut words = text.split(separates);
    let known = |c: char| c.is_ascii_alphanumeric() || separates(c);
    let keyed = ["sk", "pk", "rk", "gsk", "xai", "hf", "ghp", "Bearer", "Basic"];
    text.len() <= 64
        && text.chars().all(known)
        && !keyed.iter().any(|prefix| text.split(separates).next() == Some(prefix))
        && words.all(is_word)
}

/// Whether `name` looks like that of a variable of the environment, and not like a secret.
pub(super) fn is_variable(name: &str) -> bool {
    let known = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(known) && is_name(name)
}

fn is_word(word: &str) -> bool {
    let rest = word.strip_prefix(|c: char| c.is_ascii_uppercase()).unwrap_or(word);
    let letters = rest.chars().filter(char::is_ascii_alphabetic);
    let mixed_case = letters.clone().any(|c| c.is_ascii_lowercase())
        && letters.clone().any(|c| c.is_ascii_uppercase());
    let mixed = letters.count() > 0 && word.contains(|c: char| c.is_ascii_digit());
    !mixed_case && word.len() <= if mixed { LONGEST_MIX } else { LONGEST_WORD }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        for name in [
            "opnai",
            "openai-chat",
            "127.0.0.1:99999",
            "app.test",
            "gpt-5.2-2026-01-02",
            "locl/m",
            "priorities",
            "bogus_setting",
            "10/8",
        ] {
            assert_eq!(quoted(name), format!("`{name}`"));
        }
    }

    #[test]
    fn what_could_be_a_secret_is_not_quoted() {
        for secret in [
            "sk-secret",
            "sk-ant-api03-AbCdEf",
            "sk_live_abc",
            "AIzaSyA1234567890abcdefg",
            "eyJhbGciOiJIUzI1NiJ9.e30.abc",
            "user:p@ssword@host",
            "0123456789abcdef0123456789abcdef",
            "two words",
            "correcthorsebatterystaple",
        ] {
            assert_eq!(quoted(secret), "what stands there", "{secret}");
        }
    }

    #[test]
    fn a_variable_is_told_from_a_key() {
        assert!(is_variable("OPENAI_API_KEY") && is_variable("KEY2") && is_variable("A"));
        for key in ["sk-proj-1", "AKIAIOSFODNN7EXAMPLE", "AIzaSyA123", "hunter", ""] {
            assert!(!is_variable(key), "{key}");
        }
    }
}
