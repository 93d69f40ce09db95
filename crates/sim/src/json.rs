//! JSON written straight into a string, members in the order they are put.

use std::fmt::Write as _;

use serde_json::{Value, value::RawValue};

/// Finished JSON text.
#[derive(Clone, Debug)]
pub(crate) struct Json(pub(crate) String);

impl Json {
    pub(crate) fn of<T: Piece + ?Sized>(value: &T) -> Self {
        let mut out = String::new();
        value.write(&mut out);
        Self(out)
    }

    pub(crate) fn object(fill: impl FnOnce(&mut Object<'_>)) -> Self {
        let mut out = String::with_capacity(256);
        object(&mut out, fill);
        Self(out)
    }

    pub(crate) fn list<T: Piece>(items: impl IntoIterator<Item = T>) -> Self {
        let mut out = String::from("[");
        for (n, item) in items.into_iter().enumerate() {
            if n > 0 {
                out.push(',');
            }
            item.write(&mut out);
        }
        out.push(']');
        Self(out)
    }
}

/// Writes one object.
pub(crate) fn object(out: &mut String, fill: impl FnOnce(&mut Object<'_>)) {
    out.push('{');
    fill(&mut Object { out, first: true });
    out.push('}');
}

/// An object being written.
pub(crate) struct Object<'a> {
    out: &'a mut String,
    first: bool,
}

impl Object<'_> {
    pub(crate) fn member<T: Piece + ?Sized>(&mut self, key: &str, value: &T) {
        self.key(key);
        value.write(self.out);
    }

    pub(crate) fn nested(&mut self, key: &str, fill: impl FnOnce(&mut Object<'_>)) {
        self.key(key);
        object(self.out, fill);
    }

    /// A list with this one object in it.
    pub(crate) fn only(&mut self, key: &str, fill: impl FnOnce(&mut Object<'_>)) {
        self.key(key);
        self.out.push('[');
        object(self.out, fill);
        self.out.push(']');
    }

    fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.push(',');
        }
        self.out.push('"');
        self.out.push_str(key);
        self.out.push_str("\":");
    }
}

/// Puts members into an [`Object`].
macro_rules! put {
    ($object:expr, $($key:literal: $value:expr),* $(,)?) => { $( $object.member($key, &$value); )* };
}

/// Makes an object of members.
macro_rules! json {
    ($($key:literal: $value:expr),* $(,)?) => {
        $crate::json::Json::object(|_o| { $crate::json::put!(_o, $($key: $value),*); })
    };
}

pub(crate) use {json, put};

/// What can be written as JSON.
pub(crate) trait Piece {
    fn write(&self, out: &mut String);
}

/// `null`.
pub(crate) struct Null;

impl Piece for Null {
    fn write(&self, out: &mut String) {
        out.push_str("null");
    }
}

impl Piece for str {
    fn write(&self, out: &mut String) {
        out.push('"');
        let mut start = 0;
        for (at, byte) in self.bytes().enumerate() {
            if byte >= 0x20 && byte != b'"' && byte != b'\\' {
                continue;
            }
            out.push_str(&self[start..at]);
            start = at + 1;
            match byte {
                b'"' => out.push_str("\\\""),
                b'\\' => out.push_str("\\\\"),
                b'\n' => out.push_str("\\n"),
                b'\r' => out.push_str("\\r"),
                b'\t' => out.push_str("\\t"),
                _ => drop(write!(out, "\\u{byte:04x}")),
            }
        }
        out.push_str(&self[start..]);
        out.push('"');
    }
}

impl Piece for String {
    fn write(&self, out: &mut String) {
        self.as_str().write(out);
    }
}

impl Piece for Json {
    fn write(&self, out: &mut String) {
        out.push_str(&self.0);
    }
}

impl Piece for RawValue {
    fn write(&self, out: &mut String) {
        out.push_str(self.get());
    }
}

impl Piece for Value {
    fn write(&self, out: &mut String) {
        let _ = write!(out, "{self}");
    }
}

impl<T: Piece + ?Sized> Piece for &T {
    fn write(&self, out: &mut String) {
        (**self).write(out);
    }
}

impl<T: Piece> Piece for Option<T> {
    fn write(&self, out: &mut String) {
        match self {
            Some(value) => value.write(out),
            None => Null.write(out),
        }
    }
}

impl<T: Piece> Piece for [T] {
    fn write(&self, out: &mut String) {
        out.push_str(&Json::list(self).0);
    }
}

impl<T: Piece, const N: usize> Piece for [T; N] {
    fn write(&self, out: &mut String) {
        self.as_slice().write(out);
    }
}

impl<T: Piece> Piece for Vec<T> {
    fn write(&self, out: &mut String) {
        self.as_slice().write(out);
    }
}

macro_rules! plain {
    ($($kind:ty),*) => { $( impl Piece for $kind {
        fn write(&self, out: &mut String) { let _ = write!(out, "{self}"); }
    } )* };
}

plain!(bool, u16, u32, i32, u64, usize, f32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_must_be() {
        let text = "a\"b\\c\n\u{1}é😀";
        let json = json! {"k": text, "n": Null, "l": ["x"], "f": 0.5_f32};
        assert_eq!(
            json.0,
            "{\"k\":\"a\\\"b\\\\c\\n\\u0001é😀\",\"n\":null,\"l\":[\"x\"],\"f\":0.5}"
        );
        let back: Value = serde_json::from_str(&json.0).unwrap();
        assert_eq!(back["k"], text);
        assert_eq!(json! {}.0, "{}");
    }
}
