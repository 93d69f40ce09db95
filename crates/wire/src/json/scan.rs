use std::{borrow::Cow, ops::Range};

use super::{Malformed, skip};

/// A member of the top-level object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, unescaped.
    pub key: String,
    /// Where it begins: the quote before its name, in bytes from the start of the text.
    pub at: usize,
    /// Where its value stands, in bytes from the start of the text.
    pub value: Range<usize>,
}

/// Reads a JSON text that comes in frames: finds the top-level members asked for and checks that
/// the whole is one balanced value.
///
/// Feed frames in order, then call [`Scanner::finish`]. Memory is the member list and one bit of
/// stack per open bracket.
///
/// ```
/// use tollgate_wire::json::Scanner;
///
/// let mut scanner = Scanner::new(|key| key == "model");
/// for frame in [r#"{"messages":["#, r#"{"model":"no"}],"mod"#, r#"el":"gpt"}"#] {
///     scanner.feed(frame.as_bytes()).unwrap();
/// }
/// let members = scanner.finish().unwrap();
/// assert_eq!((members[0].key.as_str(), members[0].value.clone()), ("model", 37..42));
/// ```
#[derive(Clone, Debug)]
pub struct Scanner<W> {
    wanted: W,
    members: Vec<Member>,
    stack: Vec<u8>,
    state: State,
    key: Vec<u8>,
    key_is_escaped: bool,
    key_start: usize,
    value_start: usize,
    value_end: usize,
    at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Before the root value, or after it.
    Outside,
    /// In the root object before a key or its end.
    Key,
    /// In a key.
    InKey,
    InKeyEscape,
    Colon,
    Value,
    /// In a value of the root level that is neither string nor container.
    Scalar,
    /// After a value: white space, a comma or the end.
    AfterValue,
    /// In a container below the root.
    Nested,
    String,
    Escape,
    /// The root value is whole.
    Ended,
}

/// A key longer than this is nobody's.
const KEY_LIMIT: usize = 256;

impl<W: Fn(&str) -> bool> Scanner<W> {
    /// Returns a scanner that remembers the members whose name `wanted` accepts.
    pub fn new(wanted: W) -> Self {
        Self {
            wanted,
            members: Vec::new(),
            stack: Vec::new(),
            state: State::Outside,
            key: Vec::new(),
            key_is_escaped: false,
            key_start: 0,
            value_start: 0,
            value_end: 0,
            at: 0,
        }
    }

    /// Reads the next frame.
    ///
    /// Errors: the first byte that cannot stand where it stands; the scanner is of no use then.
    pub fn feed(&mut self, frame: &[u8]) -> Result<(), Malformed> {
        let mut rest = frame;
        while !rest.is_empty() {
            let used = match self.state {
                State::String => self.string(rest),
                State::InKey => self.key(rest),
                State::Nested => self.nested(rest)?,
                _ => self.byte(rest[0])?,
            };
            self.at += used;
            rest = &rest[used..];
        }
        Ok(())
    }

    /// Returns the members found, in the order of the text.
    ///
    /// Errors: the text ended before its root value did.
    pub fn finish(self) -> Result<Vec<Member>, Malformed> {
        match self.state {
            State::Ended => Ok(self.members),
            _ => Err(Malformed { at: self.at }),
        }
    }

    /// Returns the members found so far, in the order of the text.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Returns from where on the text is still needed to read the next member that is wanted: the
    /// start of its value, or the next byte.
    pub fn pending(&self) -> usize {
        let in_value = matches!(
            self.state,
            State::Scalar | State::AfterValue | State::Nested | State::String | State::Escape
        );
        let in_member = in_value && self.stack.first() == Some(&b'{');
        if in_member && self.wanted_key().is_some() { self.value_start } else { self.at }
    }

    /// Whether the root value is whole.
    pub fn is_whole(&self) -> bool {
        self.state == State::Ended
    }

    fn string(&mut self, rest: &[u8]) -> usize {
        match skip::string(rest) {
            Some(length) => {
                self.state = self.after_string(self.at + length);
                length
            }
            None => self.cut_string(rest),
        }
    }

    /// The string goes on in the next frame.
    fn cut_string(&mut self, part: &[u8]) -> usize {
        self.state = match skip::ends_in_escape(part) {
            true => State::Escape,
            false => State::String,
        };
        part.len()
    }

    fn after_string(&mut self, end: usize) -> State {
        if self.stack.len() > 1 {
            return State::Nested;
        }
        self.value_end = end;
        State::AfterValue
    }

    fn key(&mut self, rest: &[u8]) -> usize {
        let found = memchr::memchr2(b'"', b'\\', rest);
        let part = &rest[..found.unwrap_or(rest.len())];
        if self.key.len() <= KEY_LIMIT {
            self.key.extend_from_slice(part);
        }
        let Some(found) = found else { return rest.len() };
        if rest[found] == b'\\' {
            self.key.push(b'\\');
            self.key_is_escaped = true;
            self.state = State::InKeyEscape;
        } else {
            self.state = State::Colon;
        }
        found + 1
    }

    /// Skips within a container below the root until it ends, or a string is not whole.
    fn nested(&mut self, rest: &[u8]) -> Result<usize, Malformed> {
        let mut i = skip::to_mark(rest);
        while let Some(&byte) = rest.get(i) {
            i += 1;
            match byte {
                b'"' => match skip::string(&rest[i..]) {
                    Some(length) => i += length,
                    None => return Ok(i + self.cut_string(&rest[i..])),
                },
                b'{' | b'[' => self.stack.push(byte),
                _ => {
                    self.close(byte, self.at + i - 1)?;
                    if self.stack.len() == 1 {
                        self.value_end = self.at + i;
                        self.state = State::AfterValue;
                        return Ok(i);
                    }
                }
            }
            i += skip::to_mark(&rest[i..]);
        }
        Ok(rest.len())
    }

    fn close(&mut self, byte: u8, at: usize) -> Result<(), Malformed> {
        match (self.stack.pop(), byte) {
            (Some(b'{'), b'}') | (Some(b'['), b']') => Ok(()),
            _ => Err(Malformed { at }),
        }
    }

    fn byte(&mut self, byte: u8) -> Result<usize, Malformed> {
        let white = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.state = match (self.state, byte) {
            (State::Escape, _) => State::String,
            (State::InKeyEscape, _) => {
                self.key.push(byte);
                State::InKey
            }
            (State::Scalar, b',' | b'}' | b']') => {
                self.value_end = self.at;
                self.after_value(byte)?
            }
            (State::Scalar, _) if white => {
                self.value_end = self.at;
                State::AfterValue
            }
            (State::Scalar, b'"' | b'{' | b'[' | b':') => return self.malformed(),
            (state, _) if white || state == State::Scalar => state,
            (State::Outside, b'{') => {
                self.stack.push(byte);
                State::Key
            }
            (State::Outside, b'[') => {
                self.stack.push(byte);
                State::Value
            }
            (State::Key, b'"') => {
                self.key.clear();
                self.key_is_escaped = false;
                self.key_start = self.at;
                State::InKey
            }
            (State::Key | State::Value, b'}' | b']') if self.may_close(byte) => self.end(byte)?,
            (State::Colon, b':') => State::Value,
            (State::Value, _) => self.value(byte)?,
            (State::AfterValue, _) => self.after_value(byte)?,
            _ => return self.malformed(),
        };
        Ok(1)
    }

    /// An empty root container closes where its first item could start.
    fn may_close(&self, byte: u8) -> bool {
        self.value_end == 0 && (byte == b'}') == (self.state == State::Key)
    }

    fn value(&mut self, byte: u8) -> Result<State, Malformed> {
        self.value_start = self.at;
        match byte {
            b'"' => Ok(State::String),
            b'{' | b'[' => {
                self.stack.push(byte);
                Ok(State::Nested)
            }
            b't' | b'f' | b'n' | b'-' | b'0'..=b'9' => Ok(State::Scalar),
            _ => Err(Malformed { at: self.at }),
        }
    }

    fn after_value(&mut self, byte: u8) -> Result<State, Malformed> {
        match byte {
            b',' => {
                self.remember();
                Ok(if self.stack == b"{" { State::Key } else { State::Value })
            }
            b'}' | b']' => {
                self.remember();
                self.end(byte)
            }
            _ => Err(Malformed { at: self.at }),
        }
    }

    fn end(&mut self, byte: u8) -> Result<State, Malformed> {
        self.close(byte, self.at)?;
        Ok(State::Ended)
    }

    fn remember(&mut self) {
        if self.stack != b"{" {
            return;
        }
        if let Some(key) = self.wanted_key() {
            let value = self.value_start..self.value_end;
            let key = key.into_owned();
            self.members.push(Member { key, at: self.key_start, value });
        }
    }

    /// The last key read, if somebody wants its member.
    fn wanted_key(&self) -> Option<Cow<'_, str>> {
        if self.key.len() > KEY_LIMIT {
            return None;
        }
        let key = match self.key_is_escaped {
            true => unescaped(&self.key).map(Cow::Owned),
            false => str::from_utf8(&self.key).ok().map(Cow::Borrowed),
        };
        key.filter(|key| (self.wanted)(key))
    }

    fn malformed(&self) -> Result<usize, Malformed> {
        Err(Malformed { at: self.at })
    }
}

fn unescaped(key: &[u8]) -> Option<String> {
    let quoted = [b"\"", key, b"\""].concat();
    serde_json::from_slice(&quoted).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn scan(frames: &[&[u8]]) -> Result<Vec<Member>, Malformed> {
        let mut scanner = Scanner::new(|_| true);
        frames.iter().try_for_each(|frame| scanner.feed(frame))?;
        scanner.finish()
    }

    #[test]
    fn finds_the_same_members_however_the_text_is_cut() {
        let text = br#" {"a":"x\"}","\u0062": {"a":[1,"]"]} ,"c":12 ,"d":true,"e":[]}  "#;
        let whole = scan(&[text]).unwrap();
        let keys: Vec<_> = whole.iter().map(|m| m.key.as_str()).collect();
        assert_eq!(keys, ["a", "b", "c", "d", "e"]);
        assert_eq!(&text[whole[2].value.clone()], b"12");
        for cut in 0..=text.len() {
            let (head, tail) = text.split_at(cut);
            assert_eq!(scan(&[head, tail]).unwrap(), whole, "cut at {cut}");
        }
        let bytes: Vec<_> = text.chunks(1).collect();
        assert_eq!(scan(&bytes).unwrap(), whole);
    }

    #[test]
    fn says_from_where_on_the_text_is_needed() {
        let text = br#"{"a":"xyz" , "b":[1,{"a":2}],"a":12 }"#;
        for cut in 0..=text.len() {
            let mut scanner = Scanner::new(|key: &str| key == "a");
            scanner.feed(&text[..cut]).unwrap();
            let needed = match cut {
                6..=11 => 5,
                34..=36 => 33,
                _ => cut,
            };
            assert_eq!(scanner.pending(), needed, "cut at {cut}");
        }
    }

    #[test]
    fn refuses_what_is_not_one_balanced_container() {
        for text in [
            "",
            "{",
            "{\"a\":1",
            "{\"a\":[}]}",
            "{\"a\":1}}",
            "{\"a\":1}x",
            "{\"a\" 1}",
            "{\"a\":1,}",
            "[1,]",
            "1",
            "{a:1}",
            "{\"a\":\"",
            "[}",
            "{\"a\":{]}",
            "{,}",
            "{\"a\":1 2}",
            "{\"a\":1:2}",
        ] {
            assert!(scan(&[text.as_bytes()]).is_err(), "{text}");
        }
    }

    #[test]
    fn roots_may_be_empty_or_arrays() {
        for text in ["{}", "[]", " [ ] ", "[1,\"a\",{\"x\":[]}]", "{\"a\":{}}"] {
            assert!(scan(&[text.as_bytes()]).is_ok(), "{text}");
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::hash_map(".*", inner, 0..6)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn agrees_with_serde(value in json(), pretty in any::<bool>(), cut in any::<usize>()) {
            let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) };
            let text = text.unwrap();
            let (head, tail) = text.split_at(cut % (text.len() + 1));
            match value {
                Value::Object(map) => {
                    let members = scan(&[head, tail]).unwrap();
                    prop_assert_eq!(members.len(), map.len());
                    for member in members {
                        let read: Value = serde_json::from_slice(&text[member.value]).unwrap();
                        prop_assert_eq!(&read, &map[&member.key]);
                    }
                }
                Value::Array(_) => prop_assert_eq!(scan(&[head, tail]).unwrap().len(), 0),
                _ => prop_assert!(scan(&[head, tail]).is_err()),
            }
        }

        #[test]
        fn a_proper_prefix_is_never_whole(value in json(), cut in any::<usize>()) {
            let text = serde_json::to_vec(&value).unwrap();
            let prefix = &text[..cut % text.len()];
            prop_assert!(scan(&[prefix]).is_err());
        }

        #[test]
        fn never_panics(text in r#"[\[\]{}:,"\\a1 ]{0,60}"#) {
            let _ = scan(&[text.as_bytes()]);
        }
    }
}
