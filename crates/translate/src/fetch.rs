use std::collections::{BTreeMap, HashSet};

use tollgate_core::{Caps, Protocol, Refusal};

use crate::{
    codec::codec,
    media,
    model::{Conversation, Item, Media, MediaKind, Part, Place, Source},
    warning::{Code, Report, Warnings},
};

/// Media that an upstream cannot fetch itself and somebody else must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Where it is.
    pub url: String,
    /// What it must be.
    pub kind: MediaKind,
}

/// Media that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its media type, as the server said.
    pub mime: String,
    /// Its bytes, base64 in the standard alphabet.
    pub data: String,
}

impl Fetched {
    /// Returns what a server of this media type sent.
    pub fn new(mime: impl Into<String>, bytes: &[u8]) -> Self {
        Self { mime: mime.into(), data: media::base64(bytes) }
    }
}

/// Returns what must be fetched before a conversation can be written for a model, each address
/// once, in order. Nothing is fetched that the upstream fetches itself.
pub fn wanted(conversation: &Conversation, to: Protocol, caps: &Caps) -> Vec<Wanted> {
    let mut out: Vec<Wanted> = Vec::new();
    let mut known = HashSet::new();
    for item in &conversation.items {
        for media in parts(item).1.iter().filter_map(as_media) {
            let Source::Url(url) = &media.source else { continue };
            if !codec(to).fetches(media.kind, caps) && known.insert(url) {
                out.push(Wanted { url: url.clone(), kind: media.kind });
            }
        }
    }
    out
}

/// Puts fetched media in the place of their addresses; what is not among them stays.
pub fn inline(conversation: &mut Conversation, fetched: &BTreeMap<String, Fetched>) -> Warnings {
    let mut report = Report::new(codec(conversation.source));
    for item in &mut conversation.items {
        let place = parts(item).0;
        let parts = match item {
            Item::Message(message) => &mut message.parts,
            Item::ToolResult(result) => &mut result.parts,
            Item::Opaque { .. } => continue,
        };
        for part in parts {
            let Part::Media(media) = part else { continue };
            let Source::Url(url) = &media.source else { continue };
            if let Some(fetched) = fetched.get(url) {
                media.source = source(fetched);
                report.place(Code::MediaInlined, place);
            }
        }
    }
    report.into_warnings()
}

/// Returns the refusal of a conversation whose media at `url` could not be fetched; `why` ends its
/// message. It names where the media stand.
pub fn unfetched(conversation: &Conversation, url: &str, why: &str) -> Refusal {
    let is_there = |item: &&Item| {
        let media = parts(item).1.iter().filter_map(as_media);
        media
            .map(|media| &media.source)
            .any(|source| matches!(source, Source::Url(at) if at == url))
    };
    let place = conversation.items.iter().find(is_there).map(|item| parts(item).0);
    let report = Report::new(codec(conversation.source));
    let why = format!("holds media that cannot be fetched: {why}");
    report.refuse_place(place.unwrap_or_default(), &why).code("invalid_image_url")
}

fn source(fetched: &Fetched) -> Source {
    let mime = fetched.mime.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let named = (!mime.is_empty() && mime != "application/octet-stream").then_some(mime);
    let seen = || media::sniff(&fetched.data).unwrap_or("application/octet-stream").to_owned();
    Source::Base64 { mime: named.unwrap_or_else(seen), data: fetched.data.clone() }
}

/// An item's place and parts.
pub(crate) fn parts(item: &Item) -> (Place, &[Part]) {
    match item {
        Item::Message(message) => (message.place, &message.parts),
        Item::ToolResult(result) => (result.place, &result.parts),
        Item::Opaque { place, .. } => (*place, &[]),
    }
}

pub(crate) fn as_media(part: &Part) -> Option<&Media> {
    match part {
        Part::Media(media) => Some(media),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Incoming, Onto};

    const BODY: &[u8] = br#"{"model":"m","messages":[{"role":"user","content":[
        {"type":"image_url","image_url":{"url":"https://e.org/a.png"}},
        {"type":"image_url","image_url":{"url":"https://e.org/a.png"}}]}]}"#;

    fn decoded() -> Conversation {
        codec(Protocol::OpenAiChat).decode_request(&Incoming::new(BODY)).unwrap()
    }

    #[test]
    fn only_what_the_upstream_cannot_fetch_is_wanted_and_once() {
        let (conversation, caps) = (decoded(), Caps::default());
        let urls = |to| wanted(&conversation, to, &caps).len();
        assert_eq!(urls(Protocol::Gemini), 1);
        assert_eq!(urls(Protocol::AnthropicMessages), 0);
    }

    #[test]
    fn an_address_nobody_fetched_is_refused_and_a_fetched_one_is_sent() {
        let (mut conversation, caps) = (decoded(), Caps::default());
        let onto = Onto::new("m", &caps);
        let gemini = codec(Protocol::Gemini);
        let mut report = Report::new(codec(Protocol::OpenAiChat));
        let refusal = gemini.encode_request(&conversation, &onto, &mut report).unwrap_err();
        assert_eq!(refusal.param.as_deref(), Some("messages[0]"));

        let png = Fetched { mime: "image/png".to_owned(), data: "iVBORw0KGgo=".to_owned() };
        let fetched = BTreeMap::from([("https://e.org/a.png".to_owned(), png)]);
        let warnings = inline(&mut conversation, &fetched);
        assert_eq!(warnings.header().unwrap(), "media_inlined:/messages/0");
        let sent = gemini.encode_request(&conversation, &onto, &mut report).unwrap();
        assert!(String::from_utf8(sent.body).unwrap().contains("\"data\":\"iVBORw0KGgo=\""));
    }
}
