//! JSON written by hand: into a string that is there, member by member.

use std::fmt::{self, Write};

use tollgate_core::{Decimal, Money};

/// What can be written as a value.
pub(crate) trait Value {
    fn write(self, out: &mut String);
}

/// The members of an object.
pub(crate) struct Members<'a> {
    out: &'a mut String,
    empty: bool,
}

/// Writes an object. Returns whether it has members.
pub(crate) fn object(out: &mut String, write: impl FnOnce(&mut Members<'_>)) -> bool {
    out.push('{');
    let mut members = Members { out, empty: true };
    write(&mut members);
    let filled = !members.empty;
    out.push('}');
    filled
}

/// Writes an array.
fn array<T>(
    out: &mut String,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut String, T),
) {
    out.push('[');
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(']');
}

impl Members<'_> {
    pub(crate) fn put(&mut self, name: &'static str, value: impl Value) {
        self.name(name);
        value.write(self.out);
    }

    /// The same with a name that somebody else chose.
    pub(crate) fn put_named(&mut self, name: &str, value: impl Value) {
        self.separate();
        name.write(self.out);
        self.out.push(':');
        value.write(self.out);
    }

    /// Leaves out what was not told.
    pub(crate) fn maybe(&mut self, name: &'static str, value: Option<impl Value>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    /// Leaves out what is not so.
    pub(crate) fn mark(&mut self, name: &'static str, is_so: bool) {
        self.maybe(name, is_so.then_some(true));
    }

    pub(crate) fn object(&mut self, name: &'static str, write: impl FnOnce(&mut Members<'_>)) {
        self.name(name);
        object(self.out, write);
    }

    /// Leaves out an object without members.
    pub(crate) fn filled(&mut self, name: &'static str, write: impl FnOnce(&mut Members<'_>)) {
        let (length, empty) = (self.out.len(), self.empty);
        self.name(name);
        if !object(self.out, write) {
            self.out.truncate(length);
            self.empty = empty;
        }
    }

    pub(crate) fn list<T>(
        &mut self,
        name: &'static str,
        items: impl IntoIterator<Item = T>,
        write: impl FnMut(&mut String, T),
    ) {
        self.name(name);
        array(self.out, items, write);
    }

    /// Our own names have nothing to be escaped in them.
    fn name(&mut self, name: &'static str) {
        self.separate();
        self.out.push('"');
        self.out.push_str(name);
        self.out.push_str("\":");
    }

    fn separate(&mut self) {
        if !std::mem::take(&mut self.empty) {
            self.out.push(',');
        }
    }
}

impl Value for &str {
    fn write(self, out: &mut String) {
        // Looked at without stopping early: many bytes at a time.
        let escaped = self.bytes().fold(0, |any, byte| {
            any | u8::from(byte < b' ') | u8::from(byte == b'"') | u8::from(byte == b'\\')
        });
        if escaped == 0 {
            out.push('"');
            out.push_str(self);
            out.push('"');
        } else {
            // A text always has a JSON form: there is nothing that could fail.
            out.push_str(&serde_json::to_string(self).unwrap_or_default());
        }
    }
}

impl Value for u64 {
    fn write(mut self, out: &mut String) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (self % 10) as u8;
            self /= 10;
            if self == 0 {
                break;
            }
        }
        out.push_str(str::from_utf8(&digits[at..]).unwrap_or_default());
    }
}

impl Value for bool {
    fn write(self, out: &mut String) {
        out.push_str(if self { "true" } else { "false" });
    }
}

/// An amount is a text: no reader may take it for a binary float.
impl Value for Money {
    fn write(self, out: &mut String) {
        Text(self).write(out);
    }
}

impl Value for Decimal {
    fn write(self, out: &mut String) {
        Text(Money::new(self)).write(out);
    }
}

/// Something whose text needs no escapes, in quotes.
pub(crate) struct Text<T>(pub(crate) T);

impl<T: fmt::Display> Value for Text<T> {
    fn write(self, out: &mut String) {
        // Writing to a string does not fail.
        let _ = write!(out, "\"{}\"", self.0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(write: impl FnOnce(&mut Members<'_>)) -> String {
        let mut out = String::new();
        object(&mut out, write);
        out
    }

    #[test]
    fn members_stand_in_their_order_and_empty_objects_are_left_out() {
        let text = text(|all| {
            all.filled("none", |_| {});
            all.put("text", "a");
            all.filled("none", |inner| inner.maybe("x", None::<u64>));
            all.filled("some", |inner| inner.mark("x", true));
            all.mark("not", false);
            all.object("empty", |_| {});
            all.list("list", [1, 2], |out, n: u64| n.write(out));
            all.put("usd", Decimal::new(150, 3));
        });
        let expected = r#"{"text":"a","some":{"x":true},"empty":{},"list":[1,2],"usd":"0.15"}"#;
        assert_eq!(text, expected);
    }

    proptest! {
        #[test]
        fn is_read_back_as_it_was(name in ".*", value in ".*", number in any::<u64>()) {
            let text = text(|all| {
                all.put("text", value.as_str());
                all.put_named(&name, number);
            });
            prop_assume!(name != "text");
            let read: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&read["text"], &value);
            prop_assert_eq!(&read[&name], number);
        }
    }
}
