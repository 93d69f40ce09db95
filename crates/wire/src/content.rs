//! What a request's messages hold, read only where somebody must know.

use std::borrow::Cow;

use bytes::Bytes;
use memchr::memmem;
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

/// What [`opening`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The conversation has gone on since.
    pub continues: bool,
}

/// So much of a long body is looked at first.
const HEAD: usize = 64 << 10;

/// Gives `take` what a conversation begins with and keeps while it goes on: the turns until the
/// first of the user. Only text counts, so that cache marks may move. `None`: there is no such turn.
///
/// Of a long body usually only the first 64 KiB are read.
pub fn opening(protocol: Protocol, body: &Frames, take: &mut dyn FnMut(&[u8])) -> Option<Opening> {
    let head = body.slice(0..HEAD);
    let found = opening_of(protocol, &head).or_else(|| match head.len() < body.len() {
        true => None,
        false => Some((Vec::new(), Opening { continues: false })),
    });
    let whole;
    let (texts, opening) = match found {
        Some((texts, opening)) => (texts, opening),
        None => {
            whole = body.joined();
            opening_of(protocol, &whole)?
        }
    };
    texts.iter().for_each(|text| take(text));
    (!texts.is_empty()).then_some(opening)
}

/// The texts of the turns until the first of the user, if that is whole here.
fn opening_of(protocol: Protocol, text: &[u8]) -> Option<(Vec<&[u8]>, Opening)> {
    let (member, part) = dialect(protocol).turns();
    let turns = begun(text, member)?;
    if let [b'"', ..] = turns {
        let whole = json::leading(turns)?;
        return Some((vec![whole], Opening { continues: false }));
    }
    let (mut texts, mut turns) = (Vec::new(), Array::new(turns));
    while let Some(Ok(turn)) = turns.next() {
        add_text(json::member(turn, part).unwrap_or_default(), &mut texts);
        let role = json::member(turn, "role").and_then(json::string);
        if matches!(role.as_deref(), Some("user") | None) {
            return Some((texts, Opening { continues: turns.next().is_some() }));
        }
    }
    None
}

/// What there is of the value of a top-level member, also where the text ends within it.
fn begun<'a>(text: &'a [u8], member: &str) -> Option<&'a [u8]> {
    let mut members = Object::new(text);
    loop {
        let before = members.rest();
        match members.next()? {
            Ok((key, value)) if key == member => return Some(value),
            Ok(_) => {}
            Err(_) => {
                let before = before.trim_ascii_start();
                let rest = before.strip_prefix(b",").or(before.strip_prefix(b"{"))?;
                let rest = rest.trim_ascii_start();
                let key = json::leading(rest)?;
                let value = rest[key.len()..].trim_ascii_start().strip_prefix(b":")?;
                return (json::string(key)? == member).then(|| value.trim_ascii_start());
            }
        }
    }
}

/// Adds a text: a string, or the `text` of each part.
fn add_text<'a>(value: &'a [u8], texts: &mut Vec<&'a [u8]>) {
    match value.first() {
        Some(b'"') => texts.push(value),
        Some(b'[') => texts.extend(items(value).filter_map(|part| json::member(part, "text"))),
        _ => {}
    }
}

/// Something messages may hold beside text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Medium {
    Images,
    Audio,
    Video,
    Documents,
    /// Reasoning of an earlier answer.
    Reasoning,
}

/// Whether a request may hold a medium: a quick look for the words it could not do without.
pub fn may_hold(protocol: Protocol, body: &Frames, medium: Medium) -> bool {
    let marks = dialect(protocol).marks(medium);
    marks.iter().any(|mark| stands_in(body, mark.as_bytes()))
}

/// Whether a short word stands in the frames or over their edges.
fn stands_in(body: &Frames, word: &[u8]) -> bool {
    let (finder, reach) = (memmem::Finder::new(word), word.len() - 1);
    // What stands before the next frame, as far as the word could begin there.
    let mut edge: Vec<u8> = Vec::new();
    body.as_slice().iter().any(|frame| {
        if finder.find(frame).is_some() {
            return true;
        }
        edge.extend_from_slice(&frame[..frame.len().min(reach)]);
        let found = finder.find(&edge).is_some();
        if frame.len() > reach {
            edge.clear();
            edge.extend_from_slice(&frame[frame.len() - reach..]);
        }
        edge.drain(..edge.len().saturating_sub(reach));
        found
    })
}

/// The elements of an array; none of what is no array.
pub(crate) fn items(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    Array::new(value).map_while(Result::ok)
}

/// Whether an object has a member that says something.
pub(crate) fn has(object: &[u8], key: &str) -> bool {
    json::member(object, key).is_some_and(|value| !json::is_blank(value))
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
            let medium = match expected {
                "images" => Medium::Images,
                "audio" => Medium::Audio,
                "documents" => Medium::Documents,
                "reasoning" => Medium::Reasoning,
                _ => continue,
            };
            assert!(may_hold(protocol, &Bytes::from(text).into(), medium), "{protocol} {text}");
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

    fn begins(protocol: Protocol, text: &str, frame: usize) -> (Vec<u8>, Option<Opening>) {
        let mut all = Vec::new();
        let pieces = text.as_bytes().chunks(frame).map(Bytes::copy_from_slice);
        let opening =
            opening(protocol, &Frames::new(pieces.collect()), &mut |part| all.extend(part));
        (all, opening)
    }

    #[test]
    fn a_conversation_that_goes_on_begins_the_same() {
        let long = "x".repeat(2 * HEAD);
        for (protocol, first, later) in [
            (
                CHAT,
                r#"{"messages":[{"role":"system","content":"s"},{"role":"user","content":"u"}]}"#,
                r#"{"stream":true,"messages":[{"role":"system","content":"s"},{"role":"user","content":"u"},{"role":"assistant","content":"LONG"},{"role":"user","content":"v"}]}"#,
            ),
            (
                CHAT,
                r#"{"tools":["LONG"],"messages":[{"role":"user","content":"u"}]}"#,
                r#"{"messages":[{"role":"user","content":"u"},{"role":"user","content":"v"}],"tools":["LONG"]}"#,
            ),
            (
                CHAT,
                r#"{"messages":[{"role":"user","content":"LONG"}]}"#,
                r#"{"x":1,"messages":[{"role":"user","content":"LONG"},{"role":"user","content":"v"}]}"#,
            ),
            (
                RESPONSES,
                r#"{"instructions":"s","input":[{"role":"user","content":"u"}]}"#,
                r#"{"input":[{"role":"user","content":"u"},{"role":"user","content":"v"}]}"#,
            ),
            (
                MESSAGES,
                r#"{"system":[],"messages":[{"role":"user","content":[{"type":"text","text":"u","cache_control":{}}]}]}"#,
                r#"{"messages":[{"role":"user","content":[{"type":"text","text":"u"}]},{"role":"assistant","content":"LONG"}]}"#,
            ),
            (
                GEMINI,
                r#"{"contents":[{"role":"user","parts":[{"text":"u"}]}]}"#,
                r#"{"contents":[{"role":"user","parts":[{"text":"u"}]},{"role":"model","parts":[]}]}"#,
            ),
        ] {
            let [first, later] = [first, later].map(|text| text.replace("LONG", &long));
            for frame in [1000, usize::MAX] {
                let (begun, opening) = begins(protocol, &first, frame);
                assert_eq!(
                    (begun.is_empty(), opening),
                    (false, Some(Opening { continues: false }))
                );
                let (again, opening) = begins(protocol, &later, frame);
                assert!(begun == again, "{protocol}");
                assert_eq!(opening, Some(Opening { continues: true }), "{protocol}");
            }
        }
        let other = r#"{"messages":[{"role":"user","content":"other"}]}"#;
        assert_eq!(begins(CHAT, other, 9).0, br#""other""#);
        assert_eq!(begins(RESPONSES, r#"{"input":"x"}"#, 9).0, br#""x""#);
        for none in ["", "{}", "[]", r#"{"messages":[]}"#, r#"{"messages":[{"role":"system"}]}"#] {
            assert_eq!(begins(CHAT, none, 9).1, None, "{none}");
        }
    }

    #[test]
    fn marks_are_seen_however_the_body_is_cut() {
        let text = br#"{"messages":[{"content":[{"type":"input_audio"}]}]}"#;
        for size in 1..text.len() {
            let pieces = text.chunks(size).map(Bytes::copy_from_slice);
            let body = Frames::new(pieces.collect());
            assert!(may_hold(CHAT, &body, Medium::Audio), "{size}");
            assert!(!may_hold(CHAT, &body, Medium::Images), "{size}");
        }
    }
}
