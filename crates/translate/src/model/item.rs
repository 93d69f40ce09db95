use super::{CacheHint, CallKind, Extra, Part};
use crate::json::Raw;

/// Where in the client's own body an item stood; what warnings and refusals name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// In the list of messages, items or contents, counted from 0.
    Item(usize),
    /// In the instructions beside that list.
    #[default]
    Instructions,
}

/// One entry of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// Somebody said something, or the assistant called tools.
    Message(Message),
    /// What a tool returned.
    ToolResult(ToolResult),
    /// An item only its own protocol has (a compaction, a server tool's call, …).
    Opaque {
        /// Where it stood.
        place: Place,
        /// Its type, for people.
        kind: String,
        /// The whole item.
        value: Raw,
        /// It holds what the client produced: leaving it out would lose input.
        essential: bool,
    },
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Role {
    System,
    Developer,
    User,
    Assistant,
}

/// A message. An assistant's parts are ordered: reasoning, text and calls may alternate.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub parts: Vec<Part>,
    /// A name beside the role (Chat).
    pub name: Option<String>,
    /// Commentary or final answer (Responses).
    pub phase: Option<String>,
    /// The content was one plain string.
    pub plain: bool,
    /// Where it stood.
    pub place: Place,
    /// What only its own protocol has.
    pub extra: Extra,
}

impl Message {
    /// Returns a message without a place.
    pub fn new(role: Role, parts: Vec<Part>) -> Self {
        Self {
            role,
            parts,
            name: None,
            phase: None,
            plain: false,
            place: Place::default(),
            extra: Extra::default(),
        }
    }
}

/// What a tool returned.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolResult {
    /// Which call it answers.
    pub call_id: String,
    /// The tool, where the protocol says.
    pub tool_name: Option<String>,
    /// The output.
    pub parts: Vec<Part>,
    /// The tool failed.
    pub is_error: bool,
    /// The output as an object, where the protocol has one.
    pub structured: Option<Raw>,
    /// Of what kind the call was.
    pub kind: CallKind,
    /// The content was one plain string.
    pub plain: bool,
    /// The prefix up to here is worth caching.
    pub cache: Option<CacheHint>,
    /// Where it stood.
    pub place: Place,
    /// What only its own protocol has.
    pub extra: Extra,
}

impl ToolResult {
    /// Returns the result of a function call.
    pub fn new(call_id: impl Into<String>, parts: Vec<Part>) -> Self {
        Self {
            call_id: call_id.into(),
            tool_name: None,
            parts,
            is_error: false,
            structured: None,
            kind: CallKind::Function,
            plain: false,
            cache: None,
            place: Place::default(),
            extra: Extra::default(),
        }
    }

    /// The text of all text parts.
    pub fn text(&self) -> String {
        self.parts.iter().filter_map(Part::as_text).collect()
    }
}
