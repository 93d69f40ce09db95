//! A request as far as the simulation looks at it, the same for all protocols.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, error::Category, value::RawValue};

use crate::json::Json;

/// What is wrong with a request, to be told in the provider's words.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// The body is no JSON.
    Syntax(String),
    /// A required member is missing.
    Missing(&'static str),
    /// A member is not what it should be.
    Value(String),
}

/// A generating request.
#[derive(Debug, Default)]
pub(crate) struct Ask {
    pub(crate) model: String,
    pub(crate) stream: bool,
    /// Gemini's stream without `alt=sse`.
    pub(crate) array: bool,
    /// The text of the last user message.
    pub(crate) prompt: String,
    /// Tool results the conversation ends in.
    pub(crate) results: Vec<String>,
    /// How often the model has spoken since the user did.
    pub(crate) rounds: usize,
    pub(crate) tools: Vec<Tool>,
    pub(crate) choice: Choice,
    pub(crate) format: Format,
    pub(crate) thinking: bool,
    pub(crate) limit: Option<u64>,
    /// Texts the answer ends before.
    pub(crate) stop: Vec<String>,
    /// Whose signature thoughts carry.
    pub(crate) vendor: &'static str,
    /// Thoughts are counted, not told, as OpenAI does it in Chat Completions.
    pub(crate) quiet: bool,
    pub(crate) stream_usage: bool,
    /// Tokens of everything that was sent.
    pub(crate) input: u64,
    /// Members of the request that the answer repeats.
    pub(crate) echo: Vec<(&'static str, Json)>,
}

/// What matters of a conversation.
#[derive(Debug)]
pub(crate) struct Talk {
    /// The last text of a user.
    pub(crate) prompt: String,
    /// The tool results it ends in.
    pub(crate) results: Vec<String>,
    /// How often the model has spoken since the prompt.
    pub(crate) rounds: usize,
}

#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) schema: Value,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Choice {
    #[default]
    Auto,
    None,
    Any,
    Named(String),
}

#[derive(Debug, Default)]
pub(crate) enum Format {
    #[default]
    Text,
    Json,
    Schema(Value),
}

/// Four bytes a token, in and out: whoever meters this can check it by hand.
pub(crate) fn tokens(bytes: usize) -> u64 {
    bytes.div_ceil(4) as u64
}

/// Reads a request's body.
pub(crate) fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Bad> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        Category::Data => Bad::Value(error.to_string()),
        _ => Bad::Syntax(error.to_string()),
    })
}

/// Reads a member that was set aside.
pub(crate) fn parse<T: DeserializeOwned>(raw: &RawValue) -> Result<T, Bad> {
    serde_json::from_str(raw.get()).map_err(|error| Bad::Value(error.to_string()))
}

/// The tokens of the members that hold a prompt.
pub(crate) fn weigh<const N: usize>(parts: [Option<&RawValue>; N]) -> u64 {
    tokens(parts.into_iter().flatten().map(|raw| raw.get().len()).sum())
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
    Part(Part),
}

#[derive(Deserialize)]
struct Part {
    text: Option<String>,
}

/// The text in a content, which is a string, a part or a list of parts.
pub(crate) fn text(content: Option<&RawValue>) -> Result<String, Bad> {
    let Some(content) = content else { return Ok(String::new()) };
    if content.get().starts_with('"') {
        return parse(content);
    }
    Ok(match parse(content)? {
        Content::Text(text) => text,
        Content::Part(part) => part.text.unwrap_or_default(),
        Content::Parts(parts) => {
            let texts: Vec<_> = parts.into_iter().filter_map(|part| part.text).collect();
            texts.join("\n")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_text_in_every_form_of_content() {
        let of = |json: &str| text(Some(&RawValue::from_string(json.to_owned()).unwrap()));
        assert_eq!(of("\"a\\nb\"").unwrap(), "a\nb");
        assert_eq!(of(r#"[{"type":"text","text":"a"},{"image":1},{"text":"b"}]"#).unwrap(), "a\nb");
        assert_eq!(of(r#"{"text":"a"}"#).unwrap(), "a");
        assert!(of("7").is_err());
        assert_eq!(text(None).unwrap(), "");
    }

    #[test]
    fn tells_broken_json_from_wrong_json() {
        assert!(matches!(read::<Vec<u8>>(b"[1,"), Err(Bad::Syntax(_))));
        assert!(matches!(read::<Vec<u8>>(b"{}"), Err(Bad::Value(_))));
    }
}
