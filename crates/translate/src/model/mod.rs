//! A conversation in no protocol's shape, richer than any of them.
//!
//! A decoder makes these values of one protocol's bytes, an encoder makes another protocol's bytes
//! of them. Whatever a protocol has beyond the model stays with its node as [`Extra`] or
//! [`Native`]: it is written back to the same protocol and reported towards any other.

mod answer;
mod item;
mod part;
mod request;
mod tool;

pub use self::{
    answer::{Answer, Candidate, Finish, FinishDetail, PromptBlock},
    item::{Item, Message, Place, Role, ToolResult},
    part::{
        Args, CacheHint, Citation, CitationKind, Media, MediaKind, Opaque, OpaqueKind, Part,
        Reasoning, SearchResult, ServerToolCall, ServerToolResult, Source, Text, ToolCall, Vendor,
    },
    request::{
        CacheRequest, Conversation, Field, Format, Identity, JsonSchema, Logprobs, Native,
        ReasoningBudget, ReasoningRequest, SamplingRequest, ServerState, StreamRequest, Tier,
    },
    tool::{CallKind, CustomTool, FunctionTool, ServerTool, ServerToolKind, Tool, ToolChoice},
};

use crate::json::Raw;

/// Members of an object that the model has no place for, in order, as they were written.
///
/// They belong to the protocol the conversation or answer was read from.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Extra(pub Vec<(Box<str>, Raw)>);

impl Extra {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a member.
    pub fn get(&self, name: &str) -> Option<&Raw> {
        self.0.iter().find(|(key, _)| &**key == name).map(|(_, value)| value)
    }
}

impl std::fmt::Debug for Extra {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(key, value)| (key, value))).finish()
    }
}
