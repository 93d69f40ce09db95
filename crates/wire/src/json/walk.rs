use std::borrow::Cow;

use super::{Malformed, skip};

/// The members of a JSON object in order, each as its name and the bytes of its value.
///
/// Only the object's own level and the balance below it are checked. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Object<'a>(Walk<'a>);

/// A member's name, without escapes, and its value, both in bytes.
type RawMember<'a> = (Cow<'a, [u8]>, &'a [u8]);

impl<'a> Object<'a> {
    /// Starts at the first member of `text`.
    pub fn new(text: &'a [u8]) -> Self {
        Self(Walk::new(text, b'{', b'}'))
    }

    /// Returns the next member, its name in bytes, which are not checked to be text.
    #[inline]
    pub(crate) fn member(&mut self) -> Option<Result<RawMember<'a>, Malformed>> {
        self.0.step(|walk| {
            let (key, is_plain) = walk.key()?;
            walk.expect(b':')?;
            let value = walk.value()?;
            let name = match is_plain {
                true => Cow::Borrowed(&key[1..key.len() - 1]),
                false => {
                    let text = super::string(key).ok_or(Malformed { at: walk.at })?;
                    Cow::Owned(text.into_owned().into_bytes())
                }
            };
            Ok((name, value))
        })
    }

    /// What stands behind what was walked so far: behind the object, once all of it was.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.0.text[self.0.at.min(self.0.text.len())..]
    }
}

impl<'a> Iterator for Object<'a> {
    type Item = Result<(Cow<'a, str>, &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = match self.member()? {
            Ok(member) => member,
            Err(error) => return Some(Err(error)),
        };
        let Some(name) = text(name) else {
            self.0.state = State::Done;
            return Some(Err(Malformed { at: self.0.at }));
        };
        Some(Ok((name, value)))
    }
}

/// The elements of a JSON array in order, each as the bytes it is written in.
///
/// Only the array's own level and the balance below it are checked. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Array<'a>(Walk<'a>);

impl<'a> Array<'a> {
    /// Starts at the first element of `text`.
    pub fn new(text: &'a [u8]) -> Self {
        Self(Walk::new(text, b'[', b']'))
    }
}

impl<'a> Iterator for Array<'a> {
    type Item = Result<&'a [u8], Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.step(Walk::value)
    }
}

/// Returns the value that `text` begins with, whatever follows it.
pub fn leading(text: &[u8]) -> Option<&[u8]> {
    Walk::new(text, b'[', b']').value().ok()
}

fn text(bytes: Cow<'_, [u8]>) -> Option<Cow<'_, str>> {
    match bytes {
        Cow::Borrowed(bytes) => str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
}

#[derive(Clone, Debug)]
struct Walk<'a> {
    text: &'a [u8],
    at: usize,
    open: u8,
    close: u8,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Before,
    First,
    Later,
    Done,
}

impl<'a> Walk<'a> {
    fn new(text: &'a [u8], open: u8, close: u8) -> Self {
        Self { text, at: 0, open, close, state: State::Before }
    }

    /// Goes to the next item and reads it with `item`.
    fn step<T>(
        &mut self,
        item: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Option<Result<T, Malformed>> {
        let read = match self.advance() {
            Ok(true) => item(self),
            Ok(false) => return None,
            Err(error) => Err(error),
        };
        self.state = if read.is_ok() { State::Later } else { State::Done };
        Some(read)
    }

    /// Moves to the start of the next item. `Ok(false)`: there is none.
    fn advance(&mut self) -> Result<bool, Malformed> {
        if self.state == State::Done {
            return Ok(false);
        }
        if self.state == State::Before {
            self.expect(self.open)?;
            self.state = State::First;
        }
        if self.peek() == Some(self.close) {
            self.state = State::Done;
            self.at += 1;
            return Ok(false);
        }
        if self.state == State::Later {
            self.expect(b',')?;
        }
        Ok(true)
    }

    fn peek(&mut self) -> Option<u8> {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.peek() != Some(byte) {
            return Err(Malformed { at: self.at });
        }
        self.at += 1;
        Ok(())
    }

    /// Returns a value that should be a string, and whether it is one without escapes.
    fn key(&mut self) -> Result<(&'a [u8], bool), Malformed> {
        if self.peek() != Some(b'"') {
            return Ok((self.value()?, false));
        }
        let start = self.at;
        let (length, is_plain) =
            skip::plain(&self.text[start + 1..]).ok_or(Malformed { at: self.text.len() })?;
        self.at += 1 + length;
        Ok((&self.text[start..self.at], is_plain))
    }

    fn value(&mut self) -> Result<&'a [u8], Malformed> {
        let first = self.peek();
        let start = self.at;
        match first {
            Some(b'"') => self.skip_string()?,
            Some(b'{' | b'[') => self.skip_container()?,
            Some(b't' | b'f' | b'n' | b'-' | b'0'..=b'9') => self.skip_scalar(),
            _ => {}
        }
        match &self.text[start..self.at] {
            b"" => Err(Malformed { at: start }),
            value => Ok(value),
        }
    }

    fn skip_string(&mut self) -> Result<(), Malformed> {
        let rest = &self.text[self.at + 1..];
        let length = skip::string(rest).ok_or(Malformed { at: self.text.len() })?;
        self.at += 1 + length;
        Ok(())
    }

    fn skip_container(&mut self) -> Result<(), Malformed> {
        let mut open = Open::default();
        let mut at = self.at;
        loop {
            at += skip::to_mark(&self.text[at..]);
            let malformed = Malformed { at };
            match self.text.get(at) {
                Some(b'"') => {
                    at += skip::string(&self.text[at + 1..]).ok_or(malformed)?;
                }
                Some(byte @ (b'{' | b'[')) => open.push(*byte),
                Some(byte) if open.pop(*byte) => {}
                _ => return Err(malformed),
            }
            at += 1;
            if open.depth == 0 {
                self.at = at;
                return Ok(());
            }
        }
    }

    /// A literal or a number, by its first byte.
    fn skip_scalar(&mut self) {
        let rest = &self.text[self.at..];
        let ends = |b: &u8| matches!(b, b',' | b'}' | b']' | b':' | b' ' | b'\t' | b'\n' | b'\r');
        self.at += rest.iter().position(ends).unwrap_or(rest.len());
    }
}

/// The brackets that are open: the kinds of the innermost 64 as bits, and how many there are.
///
/// Below that depth a bracket that closes another kind goes unnoticed.
#[derive(Default)]
struct Open {
    braces: u64,
    depth: usize,
}

impl Open {
    #[inline]
    fn push(&mut self, byte: u8) {
        self.braces = self.braces << 1 | u64::from(byte == b'{');
        self.depth += 1;
    }

    /// Returns whether `byte` closes the innermost bracket.
    #[inline]
    fn pop(&mut self, byte: u8) -> bool {
        let matches = self.depth > 64 || (self.braces & 1 == 1) == (byte == b'}');
        self.braces >>= 1;
        self.depth -= 1;
        matches
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn members(text: &str) -> Vec<(String, String)> {
        Object::new(text.as_bytes())
            .map(|m| m.expect("well-formed"))
            .map(|(k, v)| (k.into_owned(), String::from_utf8_lossy(v).into_owned()))
            .collect()
    }

    #[test]
    fn hands_out_members_as_they_are_written() {
        let text = r#" { "a" : 1.0 , "b\u0063":{"x":"}\"]"},"d":[ ], "e" : null } "#;
        let seen = members(text);
        let expected = [("a", "1.0"), ("bc", r#"{"x":"}\"]"}"#), ("d", "[ ]"), ("e", "null")];
        assert_eq!(seen, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn empty_containers_have_no_items() {
        assert_eq!(Object::new(b"{}").count(), 0);
        assert_eq!(Array::new(b" [ ] ").count(), 0);
    }

    #[test]
    fn an_error_is_reported_once_and_ends_the_walk() {
        for text in
            ["", "[", "{\"a\"}", "{\"a\":}", "{\"a\":1,,}", "{\"a\":\"", "{\"a\":[", "{a:1}"]
        {
            let items: Vec<_> = Object::new(text.as_bytes()).take(5).collect();
            assert_eq!(items.iter().filter(|i| i.is_err()).count(), 1, "{text}");
            assert!(items.last().is_some_and(Result::is_err), "{text}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_serde_on_objects(map in prop::collection::btree_map(".*", ".*", 0..8)) {
            let text = serde_json::to_string(&map).unwrap();
            let walked: Vec<_> = Object::new(text.as_bytes()).map(Result::unwrap).collect();
            prop_assert_eq!(walked.len(), map.len());
            for (key, value) in walked {
                let text = crate::json::string(value).unwrap();
                prop_assert_eq!(text.as_ref(), &map[key.as_ref()]);
            }
        }

        #[test]
        fn never_panics(text in prop::collection::vec(any::<u8>(), 0..200)) {
            Object::new(&text).for_each(drop);
            Array::new(&text).for_each(drop);
        }

        #[test]
        fn never_panics_on_almost_json(text in r#"[\[\]{}:,"\\a1 ]{0,60}"#) {
            Object::new(text.as_bytes()).for_each(drop);
            Array::new(text.as_bytes()).for_each(drop);
        }
    }
}
