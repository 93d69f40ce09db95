//! What a request's messages hold, read only where somebody must know.

use std::borrow::Cow;

use bytes::Bytes;
use tollgate_core::{Frames, Protocol};

use crate::{
    dialect,
    json::{self, Array, Object, Scanner},
};

/// What the messages of a request hold beside text.
///
/// A set flag is certain as far as the request is what its protocol says; an unset one means "not
/// seen where it would stand".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Content {
    /// Pictures.
    pub images: bool,
    /// Sounds.
    pub audio: bool,
    /// Films.
    pub video: bool,
    /// PDF and other files that are not plain text.
    pub documents: bool,
    /// Reasoning of an earlier answer that only who gave it can read: signatures, encrypted items,
    /// thought signatures.
    pub reasoning: bool,
    /// It refers to items an upstream keeps.
    pub state: bool,
}

impl Content {
    /// Notes media of this MIME type. Text is no medium.
    pub(crate) fn media(&mut self, mime: &str) {
        match mime.split('/').next().unwrap_or_default() {
            "image" => self.images = true,
            "audio" => self.audio = true,
            "video" => self.video = true,
            "application" => self.documents = true,
            _ => {}
        }
    }
}

/// Returns what the messages of a request hold. Walks the whole body, building no tree; joins its
/// frames if there are several.
///
/// ```
/// use bytes::Bytes;
/// use tollgate_wire::{content, tollgate_core::Protocol};
///
/// let body = Bytes::from(r#"{"messages":[{"role":"user","content":[
///     {"type":"text","text":"what is this?"},
///     {"type":"image_url","image_url":{"url":"https://example.org/a.png"}}]}]}"#);
/// let seen = content::content(Protocol::OpenAiChat, &body.into());
/// assert!(seen.images && !seen.audio);
/// ```
pub fn content(protocol: Protocol, body: &Frames) -> Content {
    let mut content = Content::default();
    let text = body.joined();
    for (key, value) in Object::new(&text).map_while(Result::ok) {
        dialect(protocol).read_content(&key, value, &mut content);
    }
    content
}

/// Returns the name of what a request goes on from: the earlier response, the conversation or the
/// cached content some upstream keeps.
pub fn state(protocol: Protocol, body: &Frames) -> Option<String> {
    let keys: &[&str] = match protocol {
        Protocol::OpenAiResponses => &["previous_response_id", "conversation"],
        Protocol::Gemini => &["cachedContent", "cached_content"],
        _ => &[],
    };
    let mut scanner = Scanner::new(|key: &str| keys.contains(&key));
    body.as_slice().iter().try_for_each(|frame| scanner.feed(frame)).ok()?;
    let members = scanner.finish().ok()?;
    let values = members.into_iter().map(|member| body.slice(member.value));
    let name = |value: Bytes| {
        let inner = if value.starts_with(b"{") { json::member(&value, "id")? } else { &value[..] };
        json::string(inner).map(Cow::into_owned)
    };
    values.filter_map(name).find(|name| !name.is_empty())
}

/// Gives `take` what a conversation begins with and keeps while it goes on: what the client calls
/// it, its instructions, and the first turn of the user. Only text counts, so that cache marks may
/// move.
pub fn opening(protocol: Protocol, body: &Frames, take: &mut dyn FnMut(&[u8])) {
    let text: Bytes = body.joined();
    for (key, value) in Object::new(&text).map_while(Result::ok) {
        dialect(protocol).read_opening(&key, value, take);
    }
}

/// The elements of an array; none of what is no array.
pub(crate) fn items(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    Array::new(value).map_while(Result::ok)
}

/// Whether an object has a member that says something.
pub(crate) fn has(object: &[u8], key: &str) -> bool {
    json::member(object, key).is_some_and(|value| !json::is_blank(value))
}

/// Gives `take` the turns until the first of the user, that one included.
pub(crate) fn opening_turns(turns: &[u8], text: &str, take: &mut dyn FnMut(&[u8])) {
    for turn in items(turns) {
        opening_text(json::member(turn, text).unwrap_or_default(), take);
        let role = json::member(turn, "role").and_then(json::string);
        if matches!(role.as_deref(), Some("user") | None) {
            return;
        }
    }
}

/// Gives `take` a text: a string, or the `text` of each part.
pub(crate) fn opening_text(value: &[u8], take: &mut dyn FnMut(&[u8])) {
    match value.first() {
        Some(b'"') => take(value),
        Some(b'[') => items(value).for_each(|part| {
            take(json::member(part, "text").unwrap_or_default());
        }),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: Protocol = Protocol::OpenAiChat;
    const RESPONSES: Protocol = Protocol::OpenAiResponses;
    const MESSAGES: Protocol = Protocol::AnthropicMessages;
    const GEMINI: Protocol = Protocol::Gemini;

    fn seen(protocol: Protocol, text: &str) -> Content {
        let pieces = text.as_bytes().chunks(9).map(Bytes::copy_from_slice);
        content(protocol, &Frames::new(pieces.collect()))
    }

    fn words(seen: Content) -> Vec<&'static str> {
        let all = [
            (seen.images, "images"),
            (seen.audio, "audio"),
            (seen.video, "video"),
            (seen.documents, "documents"),
            (seen.reasoning, "reasoning"),
            (seen.state, "state"),
        ];
        all.into_iter().filter(|(seen, _)| *seen).map(|(_, word)| word).collect()
    }

    #[test]
    fn finds_media_history_and_state_in_each_protocol() {
        for (protocol, text, expected) in [
            (CHAT, r#"{"messages":[{"content":[{"type":"image_url"}]}]}"#, "images"),
            (CHAT, r#"{"messages":[{"content":[{"type":"input_audio"}]}]}"#, "audio"),
            (CHAT, r#"{"messages":[{"content":[{"type":"file","file":{}}]}]}"#, "documents"),
            (CHAT, r#"{"messages":[{"reasoning_details":[{"data":"x"}]}]}"#, "reasoning"),
            (
                CHAT,
                r#"{"messages":[{"tool_calls":[{"extra_content":{"google":{"thought_signature":"x"}}}]}]}"#,
                "reasoning",
            ),
            (RESPONSES, r#"{"input":[{"content":[{"type":"input_image"}]}]}"#, "images"),
            (RESPONSES, r#"{"input":[{"output":[{"type":"input_file"}]}]}"#, "documents"),
            (RESPONSES, r#"{"input":[{"type":"reasoning","encrypted_content":"x"}]}"#, "reasoning"),
            (RESPONSES, r#"{"input":[{"type":"item_reference","id":"x"}]}"#, "state"),
            (MESSAGES, r#"{"messages":[{"content":[{"type":"image"}]}]}"#, "images"),
            (
                MESSAGES,
                r#"{"messages":[{"content":[{"type":"tool_result","content":[{"type":"image"}]}]}]}"#,
                "images",
            ),
            (
                MESSAGES,
                r#"{"messages":[{"content":[{"type":"document","source":{"type":"base64"}}]}]}"#,
                "documents",
            ),
            (MESSAGES, r#"{"messages":[{"content":[{"type":"thinking"}]}]}"#, "reasoning"),
            (
                GEMINI,
                r#"{"contents":[{"parts":[{"inlineData":{"mimeType":"image/png","data":""}}]}]}"#,
                "images",
            ),
            (
                GEMINI,
                r#"{"contents":[{"parts":[{"file_data":{"mime_type":"application/pdf"}}]}]}"#,
                "documents",
            ),
            (
                GEMINI,
                r#"{"contents":[{"parts":[{"text":"","thoughtSignature":"x"}]}]}"#,
                "reasoning",
            ),
        ] {
            assert_eq!(words(seen(protocol, text)), [expected], "{protocol} {text}");
        }
    }

    #[test]
    fn words_and_schemas_are_no_media() {
        for (protocol, text) in [
            (
                CHAT,
                r#"{"messages":[{"content":"\"type\":\"image_url\""}],"tools":[{"image_url":1}]}"#,
            ),
            (CHAT, r#"{"messages":[{"content":[{"type":"text","text":"input_audio"}]}]}"#),
            (
                MESSAGES,
                r#"{"messages":[{"content":[{"type":"document","source":{"type":"text"}}]}]}"#,
            ),
            (RESPONSES, r#"{"input":"x","previous_response_id":null}"#),
            (GEMINI, r#"{"contents":[{"parts":[{"inlineData":{"mimeType":"text/plain"}}]}]}"#),
            (GEMINI, "no JSON"),
        ] {
            assert_eq!(seen(protocol, text), Content::default(), "{protocol} {text}");
        }
    }

    #[test]
    fn what_is_gone_on_from_has_a_name() {
        let named = |protocol, text: &'static str| state(protocol, &Bytes::from(text).into());
        for (protocol, text, expected) in [
            (RESPONSES, r#"{"input":"x","previous_response_id":"resp_1"}"#, Some("resp_1")),
            (RESPONSES, r#"{"conversation":{"id":"conv_1"}}"#, Some("conv_1")),
            (RESPONSES, r#"{"conversation":"conv_1","previous_response_id":null}"#, Some("conv_1")),
            (GEMINI, r#"{"cachedContent":"cachedContents/1"}"#, Some("cachedContents/1")),
            (MESSAGES, r#"{"conversation":"conv_1"}"#, None),
            (RESPONSES, "[]", None),
        ] {
            assert_eq!(named(protocol, text).as_deref(), expected, "{text}");
        }
    }

    fn begins(protocol: Protocol, text: &'static str) -> Vec<u8> {
        let mut all = Vec::new();
        opening(protocol, &Bytes::from_static(text.as_bytes()).into(), &mut |part| {
            all.extend_from_slice(part);
        });
        all
    }

    #[test]
    fn a_conversation_that_goes_on_begins_the_same() {
        for (protocol, first, later) in [
            (
                CHAT,
                r#"{"messages":[{"role":"system","content":"s"},{"role":"user","content":"u"}]}"#,
                r#"{"stream":true,"messages":[{"role":"system","content":"s"},{"role":"user","content":"u"},{"role":"assistant","content":"a"},{"role":"user","content":"v"}]}"#,
            ),
            (
                RESPONSES,
                r#"{"instructions":"s","input":[{"role":"user","content":"u"}]}"#,
                r#"{"instructions":"s","input":[{"role":"user","content":"u"},{"role":"user","content":"v"}]}"#,
            ),
            (
                MESSAGES,
                r#"{"system":[{"type":"text","text":"s"}],"messages":[{"role":"user","content":[{"type":"text","text":"u","cache_control":{}}]}]}"#,
                r#"{"system":[{"type":"text","text":"s","cache_control":{}}],"messages":[{"role":"user","content":[{"type":"text","text":"u"}]},{"role":"assistant","content":"a"}]}"#,
            ),
            (
                GEMINI,
                r#"{"contents":[{"role":"user","parts":[{"text":"u"}]}]}"#,
                r#"{"contents":[{"role":"user","parts":[{"text":"u"}]},{"role":"model","parts":[]}]}"#,
            ),
        ] {
            let begun = begins(protocol, first);
            assert!(!begun.is_empty());
            assert_eq!(begun, begins(protocol, later), "{protocol}");
        }
        let other = r#"{"messages":[{"role":"user","content":"other"}]}"#;
        assert_eq!(begins(CHAT, other), br#""other""#);
    }
}
