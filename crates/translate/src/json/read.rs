use std::{borrow::Cow, fmt};

use tollgate_core::{Class, Refusal};
use tollgate_wire::json;

use super::{Json, Number, Object, Raw};
use crate::model::Extra;

/// A JSON value that was checked to be one, read where it stands.
#[derive(Clone, Copy)]
pub(crate) struct Node<'a>(&'a [u8]);

impl<'a> Node<'a> {
    /// Checks a text.
    pub(crate) fn parse(text: &'a [u8]) -> Result<Self, Bad> {
        let valid = std::str::from_utf8(text).is_ok() && json::is_valid(text);
        valid.then(|| Self(text.trim_ascii())).ok_or(Bad::new("", "the body is not valid JSON"))
    }

    /// Takes a text that was checked before.
    pub(super) fn trusted(text: &'a [u8]) -> Self {
        Self(text)
    }

    pub(crate) fn is_null(self) -> bool {
        json::is_null(self.0)
    }

    pub(crate) fn is_object(self) -> bool {
        self.0.first() == Some(&b'{')
    }

    pub(crate) fn is_array(self) -> bool {
        self.0.first() == Some(&b'[')
    }

    pub(crate) fn is_string(self) -> bool {
        self.0.first() == Some(&b'"')
    }

    pub(crate) fn str(self) -> Option<Cow<'a, str>> {
        json::string(self.0)
    }

    pub(crate) fn string(self) -> Option<String> {
        self.str().map(Cow::into_owned)
    }

    pub(crate) fn bool(self) -> Option<bool> {
        json::boolean(self.0)
    }

    /// A number, also one spelled as a string.
    pub(crate) fn number(self) -> Option<Number> {
        let text = std::str::from_utf8(self.0).ok()?;
        match text.as_bytes().first()? {
            b'-' | b'0'..=b'9' => Some(Number::trusted(text)),
            b'"' => Number::parse(text.trim_matches('"')),
            _ => None,
        }
    }

    pub(crate) fn u64(self) -> Option<u64> {
        self.number()?.as_u64()
    }

    pub(crate) fn fields(self) -> Option<Fields<'a>> {
        self.is_object().then(|| {
            let members = json::Object::new(self.0).map_while(Result::ok);
            Fields { rest: members.map(|(key, value)| (key, Self(value))).collect() }
        })
    }

    /// The elements; none if it is no array.
    pub(crate) fn elements(self) -> impl Iterator<Item = Self> {
        json::Array::new(self.0).map_while(Result::ok).map(Self)
    }

    /// The first member of that name which is not null.
    pub(crate) fn get(self, key: &str) -> Option<Self> {
        json::member(self.0, key).map(Self).filter(|node| !node.is_null())
    }

    pub(crate) fn raw(self) -> Raw {
        Raw::compact(self.0)
    }

    /// The whole as a tree that can be rewritten.
    pub(crate) fn tree(self) -> Json<'a> {
        match self.0.first() {
            Some(b'{') => {
                let members = json::Object::new(self.0).map_while(Result::ok);
                Json::Object(Object(members.map(|(key, v)| (key, Self(v).tree())).collect()))
            }
            Some(b'[') => Json::Array(self.elements().map(Self::tree).collect()),
            Some(b'"') => self.str().map_or(Json::Null, Json::Str),
            _ => std::str::from_utf8(self.0).map_or(Json::Null, |text| Json::Raw(text.into())),
        }
    }
}

impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.0))
    }
}

/// The members of an object, taken one by one; what nobody took is unknown to us.
///
/// A member that is `null` counts as absent.
#[derive(Debug, Default)]
pub(crate) struct Fields<'a> {
    rest: Vec<(Cow<'a, str>, Node<'a>)>,
}

impl<'a> Fields<'a> {
    /// Renames `snake_case` members to the `camelCase` the protocol writes.
    pub(crate) fn camel(mut self) -> Self {
        for (key, _) in &mut self.rest {
            if key.contains('_') {
                *key = Cow::Owned(camel(key));
            }
        }
        self
    }

    pub(crate) fn take(&mut self, key: &str) -> Option<Node<'a>> {
        let at = self.rest.iter().position(|(name, _)| name == key)?;
        let (_, node) = self.rest.remove(at);
        if node.is_null() { self.take(key) } else { Some(node) }
    }

    /// The value of a member that stays.
    pub(crate) fn peek(&self, key: &str) -> Option<Node<'a>> {
        self.rest.iter().find(|(name, node)| name == key && !node.is_null()).map(|(_, node)| *node)
    }

    fn read<T>(
        &mut self,
        key: &'static str,
        why: &'static str,
        read: impl FnOnce(Node<'a>) -> Option<T>,
    ) -> Result<Option<T>, Bad> {
        let Some(node) = self.take(key) else { return Ok(None) };
        read(node).map(Some).ok_or(Bad::new(key, why))
    }

    pub(crate) fn string(&mut self, key: &'static str) -> Result<Option<String>, Bad> {
        self.read(key, "must be a string", Node::string)
    }

    pub(crate) fn bool(&mut self, key: &'static str) -> Result<Option<bool>, Bad> {
        self.read(key, "must be a boolean", Node::bool)
    }

    pub(crate) fn u64(&mut self, key: &'static str) -> Result<Option<u64>, Bad> {
        self.read(key, "must be a whole number, not negative", Node::u64)
    }

    pub(crate) fn number(&mut self, key: &'static str) -> Result<Option<Number>, Bad> {
        self.read(key, "must be a number", Node::number)
    }

    pub(crate) fn fields(&mut self, key: &'static str) -> Result<Option<Fields<'a>>, Bad> {
        self.read(key, "must be an object", Node::fields)
    }

    pub(crate) fn array(&mut self, key: &'static str) -> Result<Vec<Node<'a>>, Bad> {
        let read = |node: Node<'a>| node.is_array().then(|| node.elements().collect());
        Ok(self.read(key, "must be an array", read)?.unwrap_or_default())
    }

    pub(crate) fn strings(&mut self, key: &'static str) -> Result<Vec<String>, Bad> {
        let bad = Bad::new(key, "must be an array of strings");
        let nodes = self.array(key)?.into_iter();
        nodes.map(Node::string).collect::<Option<_>>().ok_or(bad)
    }

    pub(crate) fn raw(&mut self, key: &str) -> Option<Raw> {
        self.take(key).map(Node::raw)
    }

    pub(crate) fn need(&mut self, key: &'static str) -> Result<String, Bad> {
        self.string(key)?.ok_or(Bad::new(key, "is required"))
    }

    /// What nobody took, nulls left out.
    pub(crate) fn extra(self) -> Extra {
        let rest = self.rest.into_iter().filter(|(_, node)| !node.is_null());
        Extra(rest.map(|(key, node)| (key.into(), node.raw())).collect())
    }
}

fn camel(key: &str) -> String {
    let mut words = key.split('_');
    let mut out = words.next().unwrap_or_default().to_owned();
    // A leading underscore is part of the name (`_responseJsonSchema`).
    if out.is_empty() {
        return key.to_owned();
    }
    for word in words {
        let mut letters = word.chars();
        out.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        out.push_str(letters.as_str());
    }
    out
}

/// Why a body is not what its protocol wants, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) path: String,
    pub(crate) why: String,
}

impl Bad {
    pub(crate) fn new(path: impl Into<String>, why: impl Into<String>) -> Self {
        Self { path: path.into(), why: why.into() }
    }

    /// Puts the path below another.
    pub(crate) fn under(mut self, parent: impl fmt::Display) -> Self {
        self.path = match self.path.as_str() {
            "" => parent.to_string(),
            path if path.starts_with('[') => format!("{parent}{path}"),
            path => format!("{parent}.{path}"),
        };
        self
    }
}

impl From<Bad> for Refusal {
    fn from(bad: Bad) -> Self {
        if bad.path.is_empty() {
            return Self::new(Class::InvalidRequest, bad.why).code("invalid_request");
        }
        let message = format!("`{}` {}", bad.path, bad.why);
        Self::new(Class::InvalidRequest, message).param(bad.path).code("invalid_value")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_count_as_absent_and_what_nobody_took_is_left() {
        let node = Node::parse(br#" {"a":null,"b":1.0,"c":{"x":1},"d":null} "#).unwrap();
        let mut fields = node.fields().unwrap();
        assert!(fields.take("a").is_none());
        assert_eq!(fields.number("b").unwrap().unwrap().as_str(), "1.0");
        assert_eq!(format!("{:?}", fields.extra()), r#"{"c": {"x":1}}"#);
    }

    #[test]
    fn snake_case_is_read_as_camel_case() {
        let node = Node::parse(br#"{"max_output_tokens":1,"_x_y":2,"topP":3}"#).unwrap();
        let mut fields = node.fields().unwrap().camel();
        assert_eq!(fields.u64("maxOutputTokens"), Ok(Some(1)));
        assert_eq!(fields.u64("_x_y"), Ok(Some(2)));
        assert_eq!(fields.u64("topP"), Ok(Some(3)));
    }

    #[test]
    fn a_refusal_names_the_whole_path() {
        let bad = Bad::new("role", "is required").under("[2]").under("messages");
        let refusal = Refusal::from(bad);
        assert_eq!(refusal.param.as_deref(), Some("messages[2].role"));
        assert_eq!(refusal.message, "`messages[2].role` is required");
    }
}
