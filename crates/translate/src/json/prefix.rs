//! Arguments that arrive in fragments.

/// A JSON object that comes in pieces: tells a piece with which it can no longer become one.
#[derive(Clone, Debug)]
pub(crate) struct Prefix {
    state: State,
    /// What is open: `true` an object, `false` an array.
    open: Vec<bool>,
}

/// What is not the beginning of a JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoObject;

/// Deeper is not read.
const DEEPEST: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Begin,
    Value,
    FirstValue,
    FirstKey,
    Key,
    Colon,
    Next,
    Text { key: bool },
    Escape { key: bool },
    Unicode { key: bool, left: u8 },
    Word { rest: &'static [u8] },
    Number(Digits),
    Done,
}

/// Where in a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Digits {
    Sign,
    Zero,
    Whole,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    Power,
}

impl Default for Prefix {
    fn default() -> Self {
        Self { state: State::Begin, open: Vec::new() }
    }
}

impl Prefix {
    /// Reads the next piece.
    pub(crate) fn push(&mut self, text: &str) -> Result<(), NoObject> {
        text.bytes().try_for_each(|byte| self.byte(byte))
    }

    /// Whether nothing but white space came.
    pub(crate) fn is_empty(&self) -> bool {
        self.state == State::Begin
    }

    /// Whether the object is whole.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    fn byte(&mut self, byte: u8) -> Result<(), NoObject> {
        self.state = match (self.state, byte) {
            (State::Text { key: true }, b'"') => State::Colon,
            (State::Text { key: false }, b'"') => State::Next,
            (State::Text { key }, b'\\') => State::Escape { key },
            (State::Text { .. }, 0..0x20) => return Err(NoObject),
            (State::Text { key }, _) => State::Text { key },
            (State::Escape { key }, b'u') => State::Unicode { key, left: 4 },
            (State::Escape { key }, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                State::Text { key }
            }
            (State::Unicode { key, left }, b) if b.is_ascii_hexdigit() => match left {
                1 => State::Text { key },
                left => State::Unicode { key, left: left - 1 },
            },
            (State::Word { rest: [next, rest @ ..] }, b) if *next == b => match rest {
                [] => State::Next,
                rest => State::Word { rest },
            },
            (State::Number(digits), b) => return self.digit(digits, b),
            (State::Escape { .. } | State::Unicode { .. } | State::Word { .. }, _) => {
                return Err(NoObject);
            }
            (state, b' ' | b'\t' | b'\n' | b'\r') => state,
            (state, b) => return self.token(state, b),
        };
        Ok(())
    }

    /// Reads a byte outside of strings, words and numbers.
    fn token(&mut self, state: State, byte: u8) -> Result<(), NoObject> {
        self.state = match (state, byte) {
            (State::Begin | State::Value | State::FirstValue, b'{') => {
                self.enter(true)?;
                State::FirstKey
            }
            (State::Value | State::FirstValue, b'[') => {
                self.enter(false)?;
                State::FirstValue
            }
            (State::Value | State::FirstValue, _) if self.is_scalar(byte) => return Ok(()),
            (State::FirstKey | State::Key, b'"') => State::Text { key: true },
            (State::Colon, b':') => State::Value,
            (State::Next, b',') if self.open.last() == Some(&true) => State::Key,
            (State::Next, b',') => State::Value,
            (State::FirstKey, b'}') => self.leave(),
            (State::Next, b'}') if self.open.last() == Some(&true) => self.leave(),
            (State::FirstValue, b']') => self.leave(),
            (State::Next, b']') if self.open.last() == Some(&false) => self.leave(),
            _ => return Err(NoObject),
        };
        Ok(())
    }

    /// Begins a string, a word or a number.
    fn is_scalar(&mut self, byte: u8) -> bool {
        self.state = match byte {
            b'"' => State::Text { key: false },
            b't' => State::Word { rest: b"rue" },
            b'f' => State::Word { rest: b"alse" },
            b'n' => State::Word { rest: b"ull" },
            b'-' => State::Number(Digits::Sign),
            b'0' => State::Number(Digits::Zero),
            b'1'..=b'9' => State::Number(Digits::Whole),
            _ => return false,
        };
        true
    }

    fn digit(&mut self, digits: Digits, byte: u8) -> Result<(), NoObject> {
        use Digits::{Exponent, ExponentSign, Fraction, Point, Power, Sign, Whole, Zero};
        let next = match (digits, byte) {
            (Sign, b'0') => Zero,
            (Sign | Whole, b'0'..=b'9') => Whole,
            (Zero | Whole, b'.') => Point,
            (Point | Fraction, b'0'..=b'9') => Fraction,
            (Zero | Whole | Fraction, b'e' | b'E') => Exponent,
            (Exponent, b'+' | b'-') => ExponentSign,
            (Exponent | ExponentSign | Power, b'0'..=b'9') => Power,
            (Zero | Whole | Fraction | Power, _) => {
                self.state = State::Next;
                return self.byte(byte);
            }
            _ => return Err(NoObject),
        };
        self.state = State::Number(next);
        Ok(())
    }

    fn enter(&mut self, object: bool) -> Result<(), NoObject> {
        if self.open.len() == DEEPEST {
            return Err(NoObject);
        }
        self.open.push(object);
        Ok(())
    }

    fn leave(&mut self) -> State {
        self.open.pop();
        if self.open.is_empty() { State::Done } else { State::Next }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Prefix, NoObject> {
        let mut prefix = Prefix::default();
        prefix.push(text).map(|()| prefix)
    }

    #[test]
    fn an_object_is_done_where_it_ends_and_not_before() {
        let text = r#" {"a":[1,-2.5e+3,"x\"\u00e9"],"b":{"c":null,"d":[]},"e":true} "#;
        let whole = text.rfind('}').unwrap() + 1;
        for end in 0..=text.len() {
            if text.is_char_boundary(end) {
                let prefix = read(&text[..end]).unwrap();
                assert_eq!(prefix.is_done(), end >= whole, "{end}");
            }
        }
    }

    #[test]
    fn what_cannot_become_an_object_is_told_at_once() {
        for text in
            ["[", "1", "nul", "{a", "{\"a\" 1", "{\"a\":1}}", "{\"a\":01", "{,", "{\"a\":tru,"]
        {
            assert_eq!(read(text).map(|_| ()), Err(NoObject), "{text}");
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_parser(text in r#"[{}\[\]":,0-9a-e.truefalsn\\ -]{0,12}"#) {
            let object = serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|v| v.is_object());
            let done = read(&text).is_ok_and(|prefix| prefix.is_done());
            prop_assert_eq!(done, object, "{}", text);
        }
    }
}
