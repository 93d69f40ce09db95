//! JSON read without building a tree.
//!
//! [`Object`] and [`Array`] walk one level of a contiguous text and hand out each value as the
//! bytes it is written in. [`Scanner`] does the same for the top level of a text that comes in
//! frames, and says whether the whole is balanced. Strings are skipped with `memchr`.

mod scan;
mod skip;
mod walk;

use std::borrow::Cow;

pub(crate) use self::walk::Value;
pub use self::{
    scan::{Member, Scanner},
    walk::{Array, Object, leading},
};

/// The text is not the JSON it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Offset of the byte at which it shows.
    pub at: usize,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "malformed JSON at byte {}", self.at)
    }
}

impl std::error::Error for Malformed {}

/// Returns the text of a JSON string literal, or `None` if `value` is no string.
pub fn string(value: &[u8]) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if memchr::memchr(b'\\', inner).is_some() {
        return serde_json::from_slice(value).ok().map(Cow::Owned);
    }
    std::str::from_utf8(inner).ok().map(Cow::Borrowed)
}

/// Returns the number of a JSON literal that is a whole number not below zero.
///
/// Integers written as strings count too: Gemini's 64-bit fields may be strings.
pub fn integer(value: &[u8]) -> Option<u64> {
    // Nearly every number is digits alone, and too few of them to be too large.
    if let Some(number) = digits(value).filter(|_| (1..20).contains(&value.len())) {
        return Some(number);
    }
    let text = std::str::from_utf8(value).ok()?;
    text.trim_matches('"').parse().ok()
}

fn digits(value: &[u8]) -> Option<u64> {
    value.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| sum.wrapping_mul(10).wrapping_add(digit.into()))
    })
}

/// Returns `Some(true)` or `Some(false)` for the two literals, else `None`.
pub fn boolean(value: &[u8]) -> Option<bool> {
    match value {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}

/// Whether the value is `null`.
pub fn is_null(value: &[u8]) -> bool {
    value == b"null"
}

/// Whether the value says nothing: `null`, an empty string, array or object.
pub fn is_blank(value: &[u8]) -> bool {
    match value {
        b"null" | b"\"\"" => true,
        [b'[', inner @ .., b']'] | [b'{', inner @ .., b'}'] => inner.trim_ascii().is_empty(),
        _ => false,
    }
}

/// Returns the value of the first member of the object `text` named `key`.
///
/// `None` if there is none, or if `text` is no object or malformed before it.
pub fn member<'a>(text: &'a [u8], key: &str) -> Option<&'a [u8]> {
    Object::new(text).map_while(Result::ok).find(|(k, _)| k == key).map(|(_, value)| value)
}

/// Whether `text` is exactly one well-formed JSON value.
pub fn is_valid(text: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
}
