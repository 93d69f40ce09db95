//! What an error's body says, whoever wrote it.

use http::StatusCode;
use serde_json::Value;

use crate::{
    discreet,
    json::{self, Object},
};

/// The longest message taken from a body that is no JSON, in characters.
const TEXT_LIMIT: usize = 300;

/// An error body, read.
#[derive(Debug)]
pub(crate) struct Said {
    /// The object that describes the error; `Null` where the body holds none.
    pub(crate) error: Value,
    /// What people read. Never empty.
    pub(crate) message: String,
    /// The message in lower case, with what else the text tests look at.
    pub(crate) text: String,
}

impl Said {
    /// Reads any body: the protocols' envelopes, `{"error":"…"}`, `{"message":…}`, FastAPI's
    /// `{"detail":…}`, HTML, text, nothing.
    pub(crate) fn read(status: StatusCode, body: &[u8]) -> Self {
        match serde_json::from_slice(body) {
            Ok(root @ (Value::Object(_) | Value::Array(_))) => Self::of(root, Some(status)),
            _ => Self::new(Value::Null, &plain_text(body).unwrap_or_else(|| nothing(Some(status)))),
        }
    }

    /// Reads what came without an error status: the value of an `error` member, an event or a whole
    /// body.
    pub(crate) fn in_answer(error: &[u8]) -> Self {
        Self::of(serde_json::from_slice(error).unwrap_or_default(), None)
    }

    /// Reads the value of an `error` member, an event or a whole body.
    pub(crate) fn of(root: Value, status: Option<StatusCode>) -> Self {
        let error = describing(root);
        let message = message(&error).unwrap_or_else(|| nothing(status));
        Self::new(error, &message)
    }

    fn new(error: Value, message: &str) -> Self {
        let raw = error.pointer("/metadata/raw").and_then(Value::as_str).unwrap_or_default();
        let text = format!("{message}\n{raw}").to_lowercase();
        Self { message: discreet(message).into_owned(), error, text }
    }

    /// Returns the string at `pointer` of the error object, or `""`.
    pub(crate) fn str(&self, pointer: &str) -> &str {
        self.error.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns the HTTP status that the error names, as number or digits.
    pub(crate) fn numeric_code(&self) -> Option<u16> {
        let members = ["code", "status_code", "status"].into_iter();
        members.filter_map(|key| self.error.get(key)).find_map(http_status)
    }

    /// Whether the text contains one of `needles`, which are in lower case.
    pub(crate) fn mentions(&self, needles: &[&str]) -> bool {
        needles.iter().any(|needle| self.text.contains(needle))
    }
}

/// Returns the error at the top level of a whole answer that holds none of `results`.
pub(crate) fn error_of<'a>(answer: Object<'a>, results: &[&str]) -> Option<&'a [u8]> {
    let mut error = None;
    for member in answer {
        let (key, value) = member.ok()?;
        if results.contains(&key.as_ref()) && !json::is_blank(value) {
            return None;
        }
        if key == "error" && !json::is_blank(value) {
            error = Some(value);
        }
    }
    error
}

fn http_status(code: &Value) -> Option<u16> {
    let number = code.as_u64().or_else(|| code.as_str()?.parse().ok())?;
    u16::try_from(number).ok().filter(|number| (400..600).contains(number))
}

/// Takes the describing object out of its envelope.
fn describing(root: Value) -> Value {
    match root {
        Value::Array(items) => {
            items.into_iter().find(Value::is_object).map_or(Value::Null, describing)
        }
        Value::Object(mut members) => match members.remove("error") {
            Some(error @ (Value::Object(_) | Value::String(_))) => error,
            Some(other) => {
                members.insert("error".to_owned(), other);
                Value::Object(members)
            }
            None => Value::Object(members),
        },
        other => other,
    }
}

fn message(error: &Value) -> Option<String> {
    let text = match error {
        Value::String(text) => text.clone(),
        _ => ["message", "detail", "error_description", "title", "msg"]
            .iter()
            .filter_map(|key| error.get(key))
            .find_map(described)?,
    };
    Some(text).filter(|text| !text.trim().is_empty())
}

/// A message as a string, or FastAPI's list of what is wrong where.
fn described(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Array(items) => {
            let lines: Vec<_> = items.iter().filter_map(complaint).collect();
            Some(lines.join("; ")).filter(|text| !text.is_empty())
        }
        Value::Object(_) => {
            ["message", "msg", "detail"].iter().find_map(|k| described(value.get(k)?))
        }
        _ => None,
    }
}

fn complaint(item: &Value) -> Option<String> {
    let what = described(item.get("msg").unwrap_or(item))?;
    let place = item.get("loc").and_then(Value::as_array).map(|steps| {
        let steps: Vec<_> = steps.iter().map(step).collect();
        steps.join(".")
    });
    Some(match place {
        Some(place) => format!("{place}: {what}"),
        None => what,
    })
}

fn step(step: &Value) -> String {
    step.as_str().map_or_else(|| step.to_string(), str::to_owned)
}

/// The text of a body without tags, scripts, styles and surplus white space.
fn plain_text(body: &[u8]) -> Option<String> {
    // Only the beginning can be shown; four bytes a character and markup leave room.
    let start = &body[..body.len().min(64 * TEXT_LIMIT)];
    let text = without_tags(&String::from_utf8_lossy(start));
    let words: Vec<_> = text.split_whitespace().collect();
    let text: String = words.join(" ").chars().take(TEXT_LIMIT).collect();
    Some(text).filter(|text| !text.is_empty())
}

fn without_tags(text: &str) -> String {
    if !text.trim_start().starts_with('<') {
        return text.to_owned();
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('<') {
        plain.push_str(&rest[..open]);
        plain.push(' ');
        rest = after_tag(&rest[open..]);
    }
    plain.push_str(rest);
    plain
}

/// What follows the tag at the start of `text`; a script or style is skipped with its content.
fn after_tag(text: &str) -> &str {
    let lower = text.get(..7).unwrap_or(text).to_ascii_lowercase();
    let end = match () {
        () if lower.starts_with("<!--") => "-->",
        () if lower.starts_with("<script") => "</script>",
        () if lower.starts_with("<style") => "</style>",
        () => ">",
    };
    text.find(end).map_or("", |at| &text[at + end.len()..])
}

fn nothing(status: Option<StatusCode>) -> String {
    match status {
        Some(status) if !status.is_success() => {
            format!("the upstream answered with status {status} and said nothing more")
        }
        _ => "the upstream reported an error and said nothing more".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &str) -> String {
        Said::read(StatusCode::BAD_GATEWAY, body.as_bytes()).message
    }

    #[test]
    fn finds_the_message_in_every_envelope() {
        for (body, expected) in [
            (r#"{"error":{"message":"a"}}"#, "a"),
            (r#"{"type":"error","error":{"type":"api_error","message":"a"}}"#, "a"),
            (r#"[{"error":{"message":"a"}}]"#, "a"),
            (r#"{"error":"a"}"#, "a"),
            (r#"{"message":"a"}"#, "a"),
            (r#"{"detail":"a"}"#, "a"),
            (r#"{"detail":[{"loc":["body","n",0],"msg":"bad"},{"msg":"b"}]}"#, "body.n.0: bad; b"),
            ("upstream connect error", "upstream connect error"),
        ] {
            assert_eq!(message(body), expected, "{body}");
        }
    }

    #[test]
    fn strips_markup_and_keeps_300_characters() {
        let html = "<!DOCTYPE html><html><head><style>p{}</style><script>x<1</script></head>\
                    <body><h1>502 Bad Gateway</h1>\n<p>cloud</p></body></html>";
        assert_eq!(message(html), "502 Bad Gateway cloud");
        assert_eq!(message(&"é".repeat(5000)).chars().count(), 300);
    }

    #[test]
    fn an_empty_body_is_named_by_its_status() {
        for body in ["", "  ", "{}", "[]", "<html></html>", r#"{"error":{"message":""}}"#] {
            assert!(message(body).contains("502"), "{body}");
        }
    }
}
