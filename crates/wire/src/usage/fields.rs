//! Members of a usage object, read without a tree and without trust.

use std::str;

use crate::json::{self, Object, Value};

/// No request has more tokens; what claims to is no count.
const LIMIT: u64 = 1 << 40;

/// Returns the values of the members `names`, in one walk. `null` is as good as absent; of a name
/// written twice the last counts.
pub(super) fn pick<'a, const N: usize>(
    object: &'a [u8],
    names: [&str; N],
) -> [Option<&'a [u8]>; N] {
    let mut found = [None; N];
    let mut object = Object::new(object);
    while let Some(Ok((key, value))) = object.member() {
        if let Some(at) = names.iter().position(|name| *name.as_bytes() == *key) {
            found[at] = Some(value).filter(|value| !json::is_null(value));
        }
    }
    found
}

/// The same of an object that may itself be absent.
pub(super) fn pick_in<'a, const N: usize>(
    object: Option<&'a [u8]>,
    names: [&str; N],
) -> [Option<&'a [u8]>; N] {
    object.map_or([None; N], |object| pick(object, names))
}

/// The members of an object that somebody reads, by the rules of [`pick`].
pub(super) trait Members<'a>: Default {
    /// Reads the value of the member `name`, if somebody wants it.
    fn member(&mut self, name: &[u8], value: &mut Value<'_, 'a>);

    /// Reads an object in one walk. Of one that is absent all members are.
    #[inline]
    fn of(object: Option<&'a [u8]>) -> Self {
        let mut members = Self::default();
        Object::new(object.unwrap_or_default()).each(|name, value| members.member(name, value));
        members
    }

    /// Reads an object that is a member of another, in the same walk.
    #[inline]
    fn inside(value: &mut Value<'_, 'a>) -> Self {
        let mut members = Self::default();
        value.each(|name, value| members.member(name, value));
        members
    }
}

/// Returns a value as it is written; `null` is as good as absent.
pub(super) fn told<'a>(value: &mut Value<'_, 'a>) -> Option<&'a [u8]> {
    value.bytes().filter(|value| !json::is_null(value))
}

/// A count that was read, and is not yet believed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    said: Option<u64>,
    doubt: Doubt,
}

impl Count {
    #[inline]
    pub(super) fn of(value: &mut Value<'_, '_>) -> Self {
        match value.digits() {
            None => Self::unusual(told(value)),
            said => Self { said, doubt: Doubt::default() },
        }
    }

    fn unusual(value: Option<&[u8]>) -> Self {
        let mut doubt = Doubt::default();
        Self { said: doubt.count(value), doubt }
    }
}

/// Returns the text of a number as it is written, where it is one.
pub(super) fn decimal(value: Option<&[u8]>) -> Option<String> {
    let text = str::from_utf8(value?).ok()?.trim_matches('"');
    let is_number = text.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    let is_number = is_number && json::is_valid(text.as_bytes());
    is_number.then(|| text.to_owned())
}

/// Returns a string's text, where it is one that says something.
pub(super) fn text(value: Option<&[u8]>) -> Option<String> {
    json::string(value?).filter(|text| !text.is_empty()).map(|text| text.into_owned())
}

/// Whether what was read contradicts itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Doubt(bool);

impl Doubt {
    /// Reads a count of tokens or uses; `None` where it is absent.
    ///
    /// A fraction of zero is none (`11.0`), another one is rounded up and doubted. What is
    /// negative, huge or no number is doubted and as good as absent.
    pub(super) fn count(&mut self, value: Option<&[u8]>) -> Option<u64> {
        let value = value?;
        let count = whole(value).or_else(|| self.rounded(value));
        let count = count.filter(|count| *count < LIMIT);
        self.0 |= count.is_none();
        count
    }

    /// Takes a count that was read before.
    #[inline]
    pub(super) fn take(&mut self, count: Count) -> Option<u64> {
        self.0 |= count.doubt.0;
        count.said
    }

    /// Notes a contradiction.
    pub(super) fn unless(&mut self, consistent: bool) {
        self.0 |= !consistent;
    }

    pub(super) fn is_doubted(self) -> bool {
        self.0
    }

    fn rounded(&mut self, value: &[u8]) -> Option<u64> {
        let text = str::from_utf8(value).ok()?.trim_matches('"');
        if text.bytes().any(|b| matches!(b, b'e' | b'E')) {
            return exponential(text);
        }
        let (whole, fraction) = text.split_once('.')?;
        if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let up = fraction.bytes().any(|b| b != b'0');
        self.0 |= up;
        whole.parse::<u64>().ok()?.checked_add(up.into())
    }
}

/// `json::integer` also takes `+1`, which is no JSON.
fn whole(value: &[u8]) -> Option<u64> {
    let is_plain = value.first().is_some_and(u8::is_ascii_digit);
    json::integer(value).filter(|_| is_plain || !value.contains(&b'+'))
}

/// `1e3` or `1.5E+2`, as some languages write what is whole.
fn exponential(text: &str) -> Option<u64> {
    let number: f64 = text.parse().ok()?;
    // Below the limit a double holds every whole number exactly.
    let is_count = number.fract() == 0.0 && (0.0..LIMIT as f64).contains(&number);
    is_count.then_some(number as u64)
}

/// Returns the larger of what two names for the same say.
pub(super) fn either(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a.max(b)
}

/// Adds what is told; absent parts add nothing, and nothing told stays absent.
pub(super) fn plus(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> (Option<u64>, bool) {
        let mut doubt = Doubt::default();
        (doubt.count(Some(text.as_bytes())), doubt.is_doubted())
    }

    #[test]
    fn counts_are_whole_numbers_however_written() {
        for (text, expected) in
            [("0", 0), ("12", 12), ("\"12\"", 12), ("11.0", 11), ("1e3", 1000), ("1.5E+2", 150)]
        {
            assert_eq!(count(text), (Some(expected), false), "{text}");
        }
        assert_eq!(Doubt::default().count(None), None);
    }

    #[test]
    fn what_is_no_count_is_doubted() {
        for text in
            ["-1", "-0.5", "1099511627776", "99999999999999999999", "1e300", "true", "{}", "1."]
        {
            assert_eq!(count(text), (None, true), "{text}");
        }
        assert_eq!(count("11.2"), (Some(12), true));
    }

    #[test]
    fn money_keeps_its_text() {
        for text in ["0.000123", "4.2e-05", "1"] {
            assert_eq!(decimal(Some(text.as_bytes())).as_deref(), Some(text));
        }
        assert_eq!(decimal(Some(b"{}")), None);
        assert_eq!(decimal(Some(b"\"free\"")), None);
    }
}
