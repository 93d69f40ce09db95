//! What the providers refuse.
//!
//! Each provider's own rules about a request, and its own words for breaking them. They say what
//! the real ones check beyond types: which members exist, which call an answer belongs to, what a
//! signature is good for.

mod anthropic;
mod chat;
mod claude;
mod gemini;
mod gemini_turns;
mod responses;
mod turns;

pub(crate) use self::{chat::is_openai, gemini::is_three};

use http::HeaderMap;
use serde_json::Value;
use tollgate_core::{Class, Protocol};

use crate::{dialect::Fault, openai};

/// A rule that was broken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    message: String,
    /// OpenAI's code and member.
    code: Option<&'static str>,
    param: Option<String>,
}

type Checked = Result<(), Wrong>;

impl Wrong {
    fn saying(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: None, param: None }
    }

    /// OpenAI's way: a code, and the member it is about.
    fn at(param: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { message: message.into(), code: Some(code), param: Some(param.into()) }
    }
}

impl From<Wrong> for Fault {
    fn from(wrong: Wrong) -> Self {
        let Wrong { message, code, param } = wrong;
        Self { param, code, ..Self::saying(Class::InvalidRequest, message) }
    }
}

/// What is asked, beside the body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) protocol: Protocol,
    pub(crate) headers: &'a HeaderMap,
    /// The model of the path.
    pub(crate) model: &'a str,
    /// Only tokens are counted.
    pub(crate) counting: bool,
}

impl Request<'_> {
    /// Applies the provider's rules to a body, which is left to others where it is no object.
    pub(crate) fn check(self, body: &[u8]) -> Result<(), Fault> {
        let Ok(body @ Value::Object(_)) = serde_json::from_slice::<Value>(body) else {
            return Ok(());
        };
        let checked = match self.protocol {
            Protocol::AnthropicMessages => anthropic::check(self, &body),
            Protocol::OpenAiResponses => responses::check(&body),
            Protocol::Gemini => gemini::check(self, &body),
            _ => chat::check(&body),
        };
        checked.map_err(|wrong| match self.protocol {
            Protocol::OpenAiChat | Protocol::OpenAiResponses => openai_fault(wrong),
            _ => wrong.into(),
        })
    }
}

fn openai_fault(wrong: Wrong) -> Fault {
    let fault = Fault::from(wrong);
    Fault { code: fault.code.or(Some(openai::INVALID_VALUE)), ..fault }
}

/// The first member of an object that is none of `known`.
fn unknown<'a>(value: &'a Value, known: &[&str]) -> Option<&'a str> {
    let members = value.as_object()?.keys().map(String::as_str);
    members.into_iter().find(|key| !known.contains(key))
}

/// The elements of a list; nothing of anything else.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Letters, digits, `_`, `-` and `more`, at most `most` of them.
fn named(name: &str, more: &str, most: usize) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || more.contains(c);
    !name.is_empty() && name.len() <= most && name.chars().all(fits)
}

/// The place of the first object schema that is not closed, or, with `complete`, does not require
/// all it has.
fn open_object(schema: &Value, complete: bool) -> Option<String> {
    open_at(schema, complete, "")
}

fn open_at(schema: &Value, complete: bool, at: &str) -> Option<String> {
    let object = schema["type"] == "object" || schema["properties"].is_object();
    if object && (schema["additionalProperties"] != false || complete && !whole(schema)) {
        return Some(if at.is_empty() { "()".to_owned() } else { format!("('{at}')") });
    }
    let members =
        ["properties", "$defs", "definitions"].iter().filter_map(|k| schema[*k].as_object());
    let members = members.flatten().map(|(name, inner)| (name.as_str(), inner));
    let options = ["anyOf", "allOf", "oneOf"].iter().flat_map(|k| list(&schema[*k]));
    let options = options.chain(schema.get("items")).map(|inner| (at, inner));
    members.chain(options).find_map(|(name, inner)| open_at(inner, complete, name))
}

/// Whether every property is required.
fn whole(schema: &Value) -> bool {
    let required = list(&schema["required"]);
    let properties = schema["properties"].as_object();
    properties.into_iter().flatten().all(|(name, _)| required.iter().any(|r| r == name))
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, clippy::redundant_clone, reason = "they read as JSON")]
mod tests;
