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
            let name = walk.name()?;
            walk.expect(b':')?;
            Ok((name, walk.value()?))
        })
    }

    /// Hands out each member with its value still unread. Returns the length of the object, if it
    /// was walked to its end.
    #[inline]
    pub(crate) fn each(mut self, mut read: impl FnMut(&[u8], &mut Value<'_, 'a>)) -> Option<usize> {
        while let Some(member) = self.0.step(|walk| {
            let name = walk.name()?;
            walk.expect(b':')?;
            walk.peek();
            let start = walk.at;
            read(&name, &mut Value(walk));
            if walk.at == start { walk.value().map(drop) } else { Ok(()) }
        }) {
            member.ok()?;
        }
        Some(self.0.at)
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

/// A member's value: whoever asks for it reads it, else it is passed over.
#[derive(Debug)]
pub(crate) struct Value<'w, 'a>(&'w mut Walk<'a>);

impl<'a> Value<'_, 'a> {
    /// The bytes it is written in.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        self.0.value().ok()
    }

    /// A whole number of few digits, below 10^12; any other value is left unread.
    #[inline]
    pub(crate) fn digits(&mut self) -> Option<u64> {
        let rest = &self.0.text[self.0.at..];
        let (mut number, mut length) = (0, 0);
        while let Some(digit @ b'0'..=b'9') = rest.get(length).copied() {
            number = number * 10 + u64::from(digit - b'0');
            length += 1;
            if length == DIGITS {
                return None;
            }
        }
        let ends = matches!(rest.get(length), Some(b',' | b'}'));
        (ends && length > 0).then(|| {
            self.0.at += length;
            number
        })
    }

    /// Walks an object; any other value is left unread, and one that is no JSON for its bytes.
    #[inline]
    pub(crate) fn each(&mut self, read: impl FnMut(&[u8], &mut Value<'_, 'a>)) {
        let length = Object::new(&self.0.text[self.0.at..]).each(read);
        self.0.at += length.unwrap_or(0);
    }
}

/// So many are no longer few.
const DIGITS: usize = 13;

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
    Later,
    Done,
}

impl<'a> Walk<'a> {
    fn new(text: &'a [u8], open: u8, close: u8) -> Self {
        Self { text, at: 0, open, close, state: State::Before }
    }

    /// Goes to the next item and reads it with `item`.
    #[inline]
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
    #[inline]
    fn advance(&mut self) -> Result<bool, Malformed> {
        match self.state {
            State::Done => return Ok(false),
            State::Before => self.expect(self.open)?,
            State::Later => {}
        }
        let next = self.peek();
        if next == Some(self.close) {
            self.state = State::Done;
            self.at += 1;
            return Ok(false);
        }
        if self.state == State::Later {
            self.take(next, b',')?;
        }
        Ok(true)
    }

    #[inline]
    fn peek(&mut self) -> Option<u8> {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        let next = self.peek();
        self.take(next, byte)
    }

    /// Goes behind the next byte, if it is this one.
    #[inline]
    fn take(&mut self, next: Option<u8>, byte: u8) -> Result<(), Malformed> {
        if next != Some(byte) {
            return Err(Malformed { at: self.at });
        }
        self.at += 1;
        Ok(())
    }

    /// A member's name, without escapes.
    #[inline(always)]
    fn name(&mut self) -> Result<Cow<'a, [u8]>, Malformed> {
        if self.peek() != Some(b'"') {
            return self.unescaped();
        }
        let rest = &self.text[self.at + 1..];
        match skip::plain(rest) {
            Some((length, true)) => {
                self.at += 1 + length;
                Ok(Cow::Borrowed(&rest[..length - 1]))
            }
            _ => self.unescaped(),
        }
    }

    #[cold]
    fn unescaped(&mut self) -> Result<Cow<'a, [u8]>, Malformed> {
        let text = super::string(self.value()?).ok_or(Malformed { at: self.at })?;
        Ok(Cow::Owned(text.into_owned().into_bytes()))
    }

    #[inline]
    fn value(&mut self) -> Result<&'a [u8], Malformed> {
        let first = self.peek();
        let start = self.at;
        let rest = &self.text[start..];
        let length = match first {
            Some(b'"') => skip::string(&rest[1..]).map(|length| 1 + length).ok_or(rest.len()),
            Some(b'{' | b'[') => skip::container(rest),
            Some(b't' | b'f' | b'n' | b'-' | b'0'..=b'9') => Ok(scalar(rest)),
            _ => Err(0),
        };
        self.at += length.map_err(|at| Malformed { at: start + at })?;
        Ok(&self.text[start..self.at])
    }
}

/// The length of a literal or a number, by its first byte.
#[inline]
fn scalar(text: &[u8]) -> usize {
    let ends = |b: &u8| matches!(b, b',' | b'}' | b']' | b':' | b' ' | b'\t' | b'\n' | b'\r');
    text.iter().position(ends).unwrap_or(text.len())
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
