use std::ops::Range;

use super::{CallKind, Extra};
use crate::json::Raw;

/// A part of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Text people read.
    Text(Text),
    /// The assistant declines.
    Refusal(String),
    /// What the assistant thought.
    Reasoning(Reasoning),
    /// The assistant calls a tool of the client.
    ToolCall(ToolCall),
    /// The assistant calls a tool the provider runs.
    ServerToolCall(ServerToolCall),
    /// What a tool the provider runs returned.
    ServerToolResult(ServerToolResult),
    /// An image, a sound, a film, a document.
    Media(Media),
    /// A result of the client's own search.
    SearchResult(SearchResult),
    /// A part only its own protocol has.
    Raw {
        /// Its type, for people.
        kind: String,
        /// The whole part.
        value: Raw,
    },
}

impl Part {
    /// Returns a text part with nothing beside the text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(Text { text: text.into(), ..Text::default() })
    }

    /// The text, if it is a text part.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(&text.text),
            _ => None,
        }
    }
}

/// Text people read.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Text {
    pub text: String,
    pub citations: Vec<Citation>,
    pub cache: Option<CacheHint>,
    /// A signature bound to this text (Gemini).
    pub signature: Option<Opaque>,
    pub logprobs: Option<Raw>,
    pub extra: Extra,
}

/// What the assistant thought. Never becomes visible text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reasoning {
    /// The sections that can be read; empty where there is nothing to read.
    pub text: Vec<String>,
    /// It is the reasoning itself, not a summary of it.
    pub raw: bool,
    /// What only the provider that made it can read.
    pub opaque: Option<Opaque>,
    /// What only its own protocol has.
    pub extra: Extra,
}

impl Reasoning {
    /// The sections as one text, a blank line between them.
    pub fn joined(&self) -> String {
        self.text.join("\n\n")
    }
}

/// Whose a signature or an encrypted value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Vendor {
    OpenAi,
    Anthropic,
    Google,
}

/// What a provider's opaque value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OpaqueKind {
    /// The signature of a readable thinking block.
    Thinking,
    /// Thinking that cannot be read at all.
    Redacted,
    /// A signature of thoughts or text.
    Thought,
    /// Encrypted reasoning.
    Encrypted,
    /// A signature bound to a tool call.
    Call,
}

/// What only the provider that made it can read; handed back to it unchanged or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opaque {
    /// Who made it.
    pub vendor: Vendor,
    /// What it is.
    pub kind: OpaqueKind,
    /// As it was given.
    pub payload: String,
    /// The family of models that can read it; empty: unknown.
    pub family: String,
    /// The item's own id, where the vendor gave one; empty: none.
    pub item_id: String,
    /// The beginning of the digest of the text it belongs to; zeros: none.
    pub digest: [u8; 8],
    /// The beginning of the digest of the upstream account; zeros: unknown.
    pub scope: [u8; 8],
}

impl Opaque {
    /// Returns a value that says nothing of family, text and account.
    pub fn new(vendor: Vendor, kind: OpaqueKind, payload: impl Into<String>) -> Self {
        Self {
            vendor,
            kind,
            payload: payload.into(),
            family: String::new(),
            item_id: String::new(),
            digest: [0; 8],
            scope: [0; 8],
        }
    }
}

/// The assistant calls a tool of the client.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct ToolCall {
    pub id: String,
    pub name: String,
    pub namespace: Option<String>,
    pub kind: CallKind,
    pub args: Args,
    pub signature: Option<Opaque>,
    pub cache: Option<CacheHint>,
    pub extra: Extra,
}

impl ToolCall {
    /// Returns a function call.
    pub fn new(id: impl Into<String>, name: impl Into<String>, args: Args) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            namespace: None,
            kind: CallKind::Function,
            args,
            signature: None,
            cache: None,
            extra: Extra::default(),
        }
    }
}

/// The arguments of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Args {
    /// A JSON object, spelled as it came.
    Json(Raw),
    /// A custom tool's input, or arguments that are no JSON object; verbatim.
    Text(String),
}

impl Args {
    /// Reads what a string-typed protocol sends: empty means no arguments.
    pub fn of_text(text: &str) -> Self {
        if text.trim().is_empty() {
            return Self::empty();
        }
        match Raw::spelled(text).filter(Raw::is_object) {
            Some(object) => Self::Json(object),
            None => Self::Text(text.to_owned()),
        }
    }

    /// No arguments: `{}`.
    pub fn empty() -> Self {
        Raw::parse("{}").map_or_else(|| Self::Text(String::new()), Self::Json)
    }

    /// As a string-typed protocol writes it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Json(raw) => raw.as_str(),
            Self::Text(text) => text,
        }
    }
}

/// The assistant calls a tool the provider runs.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerToolCall {
    /// The tool's name at its provider.
    pub name: String,
    /// The whole part.
    pub value: Raw,
}

/// What a tool the provider runs returned.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerToolResult {
    /// The part's type at its provider.
    pub name: String,
    /// The whole part.
    pub value: Raw,
}

/// What a media part shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum MediaKind {
    Image,
    Audio,
    Video,
    Document,
}

impl MediaKind {
    /// What a media type is of; anything but image, sound and film is a document.
    pub fn of_mime(mime: &str) -> Self {
        match mime.split('/').next().unwrap_or_default() {
            "image" => Self::Image,
            "audio" => Self::Audio,
            "video" => Self::Video,
            _ => Self::Document,
        }
    }

    /// The words used in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "an image",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Document => "a document",
        }
    }
}

/// An image, a sound, a film, a document.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Media {
    pub kind: MediaKind,
    pub source: Source,
    /// The media type, where the source does not say it.
    pub mime: Option<String>,
    /// Or the file's name.
    pub title: Option<String>,
    /// What the client says about a document.
    pub context: Option<String>,
    /// `low`, `high`, `auto`, `original`.
    pub detail: Option<String>,
    pub cache: Option<CacheHint>,
    /// Whether the answer shall cite it.
    pub citations: Option<bool>,
    /// Gemini's offsets and rate.
    pub video: Option<Raw>,
    pub signature: Option<Opaque>,
    pub extra: Extra,
}

impl Media {
    /// Returns media with nothing beside its source.
    pub fn new(kind: MediaKind, source: Source) -> Self {
        Self {
            kind,
            source,
            mime: None,
            title: None,
            context: None,
            detail: None,
            cache: None,
            citations: None,
            video: None,
            signature: None,
            extra: Extra::default(),
        }
    }
}

/// Where media comes from.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Source {
    /// An address on the web.
    Url(String),
    /// The bytes, base64 in the standard alphabet.
    Base64 { mime: String, data: String },
    /// A file kept by a provider.
    File { vendor: Vendor, id: String },
    /// An address only its provider understands (`gs://`, the Gemini Files API).
    Uri { uri: String, mime: Option<String> },
    /// A text document.
    Text { mime: String, text: String },
    /// A document made of parts.
    Blocks(Vec<Part>),
}

/// A result of the client's own search.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct SearchResult {
    pub source: String,
    pub title: String,
    pub parts: Vec<Part>,
    pub cache: Option<CacheHint>,
    pub citations: Option<bool>,
    pub extra: Extra,
}

/// What a citation points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum CitationKind {
    Url,
    Document,
    SearchResult,
    File,
}

/// A source of what is said.
#[derive(Clone, Debug, PartialEq)]
pub struct Citation {
    /// What it points at.
    pub kind: CitationKind,
    /// Where that is.
    pub url: Option<String>,
    /// What that is called.
    pub title: Option<String>,
    /// What of it is cited.
    pub cited_text: Option<String>,
    /// What of the part's text rests on it, in characters; `None`: all of it.
    pub span: Option<Range<usize>>,
    /// The whole citation in its own protocol.
    pub native: Raw,
}

/// The prefix up to here is worth caching.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheHint {
    /// How long, as written (`5m`, `1h`).
    pub ttl: Option<String>,
}
