//! Arguments that arrive as values of paths (Vertex).

use crate::{
    json::{Json, Node, Object},
    stream::{Flow, LIMIT, broken},
};

/// An object that grows value by value.
#[derive(Debug, Default)]
pub(super) struct Partial {
    root: Tree,
    bytes: usize,
}

#[derive(Debug, Default)]
enum Tree {
    #[default]
    Nothing,
    Text(String),
    /// Any other value, as it was written.
    Value(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

/// More elements than this beyond what is there are not made up.
const WIDEST: usize = 1024;

impl Partial {
    /// Takes in one of the values of a part.
    pub(super) fn put(&mut self, arg: Node<'_>) -> Flow {
        let path = arg.get("jsonPath").or_else(|| arg.get("json_path")).and_then(Node::string);
        let Some(path) = path else { return Ok(()) };
        let value = |names: [&str; 2]| names.into_iter().find_map(|name| arg.get(name));
        let slot = self.slot(&path)?;
        let mut grown = path.len();
        if let Some(text) = value(["stringValue", "string_value"]).and_then(Node::str) {
            grown += text.len();
            match slot {
                Tree::Text(before) => before.push_str(&text),
                slot => *slot = Tree::Text(text.into_owned()),
            }
        } else if let Some(other) =
            value(["numberValue", "number_value"]).or_else(|| value(["boolValue", "bool_value"]))
        {
            let other = other.raw();
            grown += other.as_str().len();
            *slot = Tree::Value(other.as_str().to_owned());
        } else {
            *slot = Tree::Value("null".to_owned());
        }
        self.bytes += grown;
        match self.bytes {
            ..=LIMIT => Ok(()),
            _ => Err(broken("the upstream calls a tool with too long arguments")),
        }
    }

    fn slot(&mut self, path: &str) -> Result<&mut Tree, Box<tollgate_wire::Fault>> {
        let bad = || broken("the upstream sent an argument whose path cannot be read");
        let mut at = &mut self.root;
        for step in steps(path).ok_or_else(bad)? {
            at = match step {
                Step::Member(name) => at.member(name),
                Step::Element(index) => at.element(index).ok_or_else(bad)?,
            };
        }
        Ok(at)
    }

    /// The object's text.
    pub(super) fn text(&self) -> String {
        match &self.root {
            Tree::Object(_) => self.root.json().to_string(),
            _ => "{}".to_owned(),
        }
    }
}

impl Tree {
    fn member(&mut self, name: String) -> &mut Self {
        if !matches!(self, Self::Object(_)) {
            *self = Self::Object(Vec::new());
        }
        let Self::Object(members) = self else { return self };
        let at = members.iter().position(|(each, _)| *each == name).unwrap_or_else(|| {
            members.push((name, Self::Nothing));
            members.len() - 1
        });
        &mut members[at].1
    }

    fn element(&mut self, index: usize) -> Option<&mut Self> {
        if !matches!(self, Self::Array(_)) {
            *self = Self::Array(Vec::new());
        }
        let Self::Array(elements) = self else { return None };
        if index > elements.len() + WIDEST {
            return None;
        }
        while elements.len() <= index {
            elements.push(Self::Nothing);
        }
        elements.get_mut(index)
    }

    fn json(&self) -> Json<'_> {
        match self {
            Self::Nothing => Json::Null,
            Self::Text(text) => text.into(),
            Self::Value(text) => Json::Raw(text.as_str().into()),
            Self::Array(elements) => Json::Array(elements.iter().map(Self::json).collect()),
            Self::Object(members) => {
                let member =
                    |(name, value): &'_ (String, Self)| (name.clone(), value.json().into_owned());
                let mut object = Object::new();
                members.iter().map(member).for_each(|(name, value)| object.put(name, value));
                object.into()
            }
        }
    }
}

#[derive(Debug, PartialEq)]
enum Step {
    Member(String),
    Element(usize),
}

/// The steps of `$.a.b[0]['c d']`.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$').unwrap_or(path);
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let (step, after) = if let Some(inside) = rest.strip_prefix('[') {
            bracket(inside)?
        } else {
            let name = rest.strip_prefix('.').unwrap_or(rest);
            let end = name.find(['.', '[']).unwrap_or(name.len());
            (Step::Member(name[..end].to_owned()), &name[end..])
        };
        steps.push(step);
        rest = after;
    }
    (!steps.is_empty() && steps.len() <= 64).then_some(steps)
}

/// What stands in brackets, and what follows them.
fn bracket(inside: &str) -> Option<(Step, &str)> {
    let quote = inside.chars().next().filter(|c| *c == '\'' || *c == '"');
    match quote {
        Some(quote) => {
            let end = inside[1..].find(quote)? + 1;
            let after = inside[end + 1..].strip_prefix(']')?;
            Some((Step::Member(inside[1..end].to_owned()), after))
        }
        None => {
            let end = inside.find(']')?;
            Some((Step::Element(inside[..end].parse().ok()?), &inside[end + 1..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Raw;

    fn put(partial: &mut Partial, arg: &str) -> Flow {
        partial.put(Raw::parse(arg).unwrap().node())
    }

    #[test]
    fn values_find_their_place_and_texts_grow() {
        let mut partial = Partial::default();
        for arg in [
            r#"{"jsonPath":"$.r.list[0].name","stringValue":"a","willContinue":true}"#,
            r#"{"jsonPath":"$.r.list[0].name","stringValue":"b"}"#,
            r#"{"jsonPath":"$.r.list[1]['x y']","numberValue":1.50}"#,
            r#"{"jsonPath":"$.ok","boolValue":true}"#,
            r#"{"jsonPath":"$.no","nullValue":"NULL_VALUE"}"#,
        ] {
            put(&mut partial, arg).unwrap();
        }
        let wanted = r#"{"r":{"list":[{"name":"ab"},{"x y":1.50}]},"ok":true,"no":null}"#;
        assert_eq!(partial.text(), wanted);
    }

    #[test]
    fn absurd_paths_are_refused() {
        let mut partial = Partial::default();
        for path in ["$", "$[9999999]", "$.a[x]", "$['a"] {
            let arg = format!(r#"{{"jsonPath":"{path}","stringValue":"x"}}"#);
            assert!(put(&mut partial, &arg).is_err(), "{path}");
        }
        assert_eq!(partial.text(), "{}");
    }
}
