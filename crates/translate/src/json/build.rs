use std::{borrow::Cow, fmt};

use super::{Number, Raw};

/// A JSON value being made: members in the order they are put, strings borrowed where possible.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    /// Any value as its text; what is written as it stands.
    Raw(Cow<'a, str>),
    Str(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    Object(Object<'a>),
}

impl<'a> Json<'a> {
    /// Returns the bytes of the text.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        self.write(&mut out);
        out
    }

    /// The same without what it borrows.
    pub(crate) fn into_owned(self) -> Json<'static> {
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::Bool(value),
            Self::Raw(text) => Json::Raw(text.into_owned().into()),
            Self::Str(text) => Json::Str(text.into_owned().into()),
            Self::Array(array) => Json::Array(array.into_iter().map(Json::into_owned).collect()),
            Self::Object(object) => {
                let members = object.0.into_iter();
                let owned = |(key, value): (Cow<'_, str>, Self)| {
                    (key.into_owned().into(), value.into_owned())
                };
                Json::Object(Object(members.map(owned).collect()))
            }
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_object(&self) -> Option<&Object<'a>> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    pub(crate) fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(array) => Some(array),
            _ => None,
        }
    }

    pub(crate) fn is_true(&self) -> bool {
        matches!(self, Self::Bool(true)) || matches!(self, Self::Raw(text) if text == "true")
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null) || matches!(self, Self::Raw(text) if text == "null")
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
            Self::Raw(text) => out.extend_from_slice(text.as_bytes()),
            Self::Str(text) => write_string(text, out),
            Self::Array(array) => {
                list(out, *b"[]", array, |item, out| item.write(out));
            }
            Self::Object(object) => {
                list(out, *b"{}", &object.0, |(key, value), out| {
                    write_string(key, out);
                    out.push(b':');
                    value.write(out);
                });
            }
        }
    }
}

fn list<T>(
    out: &mut Vec<u8>,
    [open, close]: [u8; 2],
    items: &[T],
    write: impl Fn(&T, &mut Vec<u8>),
) {
    out.push(open);
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(close);
}

pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&text.as_bytes()[plain..at]);
        plain = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
    }
    out.extend_from_slice(&text.as_bytes()[plain..]);
    out.push(b'"');
}

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_bytes()))
    }
}

/// The members of an object being made.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Object<'a>(pub(crate) Vec<(Cow<'a, str>, Json<'a>)>);

impl<'a> Object<'a> {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Returns an object whose `type` is this.
    pub(crate) fn of(kind: &'a str) -> Self {
        Self::new().with("type", kind)
    }

    /// Adds a member. A name must not be put twice.
    pub(crate) fn put(&mut self, key: impl Into<Cow<'a, str>>, value: impl Into<Json<'a>>) {
        self.0.push((key.into(), value.into()));
    }

    pub(crate) fn with(mut self, key: impl Into<Cow<'a, str>>, value: impl Into<Json<'a>>) -> Self {
        self.put(key, value);
        self
    }

    /// Adds a member if there is a value.
    pub(crate) fn maybe<T: Into<Json<'a>>>(mut self, key: &'a str, value: Option<T>) -> Self {
        if let Some(value) = value {
            self.put(key, value);
        }
        self
    }

    /// Adds a list if it is not empty.
    pub(crate) fn some<T: Into<Json<'a>>>(
        self,
        key: &'a str,
        values: impl IntoIterator<Item = T>,
    ) -> Self {
        let values: Vec<_> = values.into_iter().map(Into::into).collect();
        self.maybe(key, (!values.is_empty()).then_some(Json::Array(values)))
    }

    /// Adds an object if it is not empty.
    pub(crate) fn filled(self, key: &'a str, value: Object<'a>) -> Self {
        self.maybe(key, (!value.is_empty()).then_some(value))
    }

    /// Adds the members of another.
    pub(crate) fn join(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Json<'a>> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Json<'a>> {
        self.0.iter_mut().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<Json<'a>> {
        let at = self.0.iter().position(|(name, _)| name == key)?;
        Some(self.0.remove(at).1)
    }

    /// Sets a member where it stands, or adds it.
    pub(crate) fn set(&mut self, key: &'a str, value: impl Into<Json<'a>>) {
        match self.get_mut(key) {
            Some(old) => *old = value.into(),
            None => self.put(key, value),
        }
    }
}

impl<'a> From<Object<'a>> for Json<'a> {
    fn from(value: Object<'a>) -> Self {
        Self::Object(value)
    }
}

impl<'a> From<Vec<Json<'a>>> for Json<'a> {
    fn from(value: Vec<Json<'a>>) -> Self {
        Self::Array(value)
    }
}

impl<'a> From<&'a str> for Json<'a> {
    fn from(value: &'a str) -> Self {
        Self::Str(value.into())
    }
}

impl<'a> From<&'a String> for Json<'a> {
    fn from(value: &'a String) -> Self {
        Self::Str(value.into())
    }
}

impl From<String> for Json<'_> {
    fn from(value: String) -> Self {
        Self::Str(value.into())
    }
}

impl<'a> From<Cow<'a, str>> for Json<'a> {
    fn from(value: Cow<'a, str>) -> Self {
        Self::Str(value)
    }
}

impl<'a> From<&'a Raw> for Json<'a> {
    fn from(value: &'a Raw) -> Self {
        Self::Raw(value.as_str().into())
    }
}

impl From<Raw> for Json<'_> {
    fn from(value: Raw) -> Self {
        Self::Raw(value.as_str().to_owned().into())
    }
}

impl<'a> From<&'a Number> for Json<'a> {
    fn from(value: &'a Number) -> Self {
        Self::Raw(value.as_str().into())
    }
}

impl From<bool> for Json<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u64> for Json<'_> {
    fn from(value: u64) -> Self {
        Self::Raw(value.to_string().into())
    }
}

impl From<i64> for Json<'_> {
    fn from(value: i64) -> Self {
        Self::Raw(value.to_string().into())
    }
}

impl From<usize> for Json<'_> {
    fn from(value: usize) -> Self {
        Self::Raw(value.to_string().into())
    }
}

impl From<u32> for Json<'_> {
    fn from(value: u32) -> Self {
        Self::Raw(value.to_string().into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn strings_are_written_as_json_reads_them(text in any::<String>()) {
            let written = Json::from(text.as_str()).to_string();
            let read: String = serde_json::from_str(&written).unwrap();
            prop_assert_eq!(read, text);
        }
    }

    #[test]
    fn members_stand_in_the_order_they_were_put() {
        let object = Object::of("x").with("b", 1_u64).maybe("c", None::<bool>).with("a", true);
        assert_eq!(Json::from(object).to_string(), r#"{"type":"x","b":1,"a":true}"#);
    }
}
