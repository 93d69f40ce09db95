use std::fmt;

use super::{Json, Node};

/// A JSON value kept as its text: compact, key order and numbers as they were written.
///
/// Equal when the texts are: `1.0` is not `1`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Raw(Box<str>);

impl Raw {
    /// Returns the value a text is, without the white space between its tokens.
    ///
    /// `None` if it is no JSON.
    pub fn parse(text: &str) -> Option<Self> {
        Node::parse(text.as_bytes()).ok().map(Node::raw)
    }

    /// Returns the value a text is as it was spelled; on one line, whatever it takes.
    pub(crate) fn spelled(text: &str) -> Option<Self> {
        if memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_some() {
            return Self::parse(text);
        }
        Node::parse(text.as_bytes()).ok().map(|_| Self(text.trim().into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is an object.
    pub fn is_object(&self) -> bool {
        self.0.starts_with('{')
    }

    /// Takes a text known to be JSON, dropping white space between tokens.
    pub(super) fn compact(text: &[u8]) -> Self {
        let mut out = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.iter().position(|b| b.is_ascii_whitespace() || *b == b'"') {
            out.extend_from_slice(&rest[..at]);
            let used = if rest[at] == b'"' { string_end(&rest[at..]) } else { 0 };
            out.extend_from_slice(&rest[at..at + used]);
            rest = &rest[at + used.max(1)..];
        }
        out.extend_from_slice(rest);
        // The source was checked to be UTF-8, and only ASCII was left out.
        Self(String::from_utf8(out).unwrap_or_default().into_boxed_str())
    }

    pub(crate) fn node(&self) -> Node<'_> {
        Node::trusted(self.0.as_bytes())
    }

    pub(crate) fn tree(&self) -> Json<'_> {
        self.node().tree()
    }
}

/// The length of the string literal `text` begins with.
fn string_end(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(found) = memchr::memchr2(b'"', b'\\', &text[at.min(text.len())..]) {
        at += found + 1;
        if text[at - 1] == b'"' {
            return at;
        }
        at += 1;
    }
    text.len()
}

impl From<Json<'_>> for Raw {
    fn from(json: Json<'_>) -> Self {
        Self(json.to_string().into_boxed_str())
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A JSON number as it was written.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Number(Box<str>);

impl Number {
    /// Returns the number a text spells, `None` if it is no JSON number.
    pub fn parse(text: &str) -> Option<Self> {
        let number = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        (number && Raw::parse(text).is_some()).then(|| Self(text.into()))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The nearest double.
    pub fn as_f64(&self) -> f64 {
        self.0.parse().unwrap_or_default()
    }

    /// The whole number it is, if it fits.
    pub fn as_i64(&self) -> Option<i64> {
        let wide = || Some(self.as_f64()).filter(|n| n.fract() == 0.0 && n.abs() < 9e15);
        self.0.parse().ok().or_else(|| wide().map(|n| n as i64))
    }

    /// The whole number it is, if it is not below zero and fits.
    pub fn as_u64(&self) -> Option<u64> {
        self.0.parse().ok().or_else(|| self.as_i64().and_then(|n| n.try_into().ok()))
    }

    pub(super) fn trusted(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self(value.to_string().into())
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self(value.to_string().into())
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_between_tokens_goes_and_everything_else_stays() {
        let raw = Raw::parse("{ \"a b\" : [ 1.0 , 1e3,\"x \\\" y\" ] }\n").unwrap();
        assert_eq!(raw.as_str(), "{\"a b\":[1.0,1e3,\"x \\\" y\"]}");
    }

    #[test]
    fn what_is_no_json_is_none() {
        for text in ["", "{", "{\"a\":}", "nul", "[1,]", "\"", "1 2"] {
            assert_eq!(Raw::parse(text), None, "{text}");
        }
        assert_eq!(Number::parse("\"1\""), None);
    }

    #[test]
    fn whole_numbers_are_read_however_they_are_spelled() {
        let read = |text| Number::parse(text).unwrap().as_u64();
        assert_eq!(
            [read("12"), read("1e3"), read("2.0"), read("2.5")],
            [Some(12), Some(1000), Some(2), None]
        );
        assert_eq!(read("18446744073709551615"), Some(u64::MAX));
    }
}
