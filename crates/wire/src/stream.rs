//! Stream automata: what an event of a stream means, and whether the stream is complete.

use std::fmt;

use bytes::Bytes;

use crate::Fault;

/// One whole event of a stream: of SSE, or an element of Gemini's JSON array.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// The SSE event name; `None` where the event has none.
    pub name: Option<&'a str>,
    /// The data, lines joined with `\n`.
    pub data: &'a [u8],
}

/// What an event means to whoever holds, forwards or times the stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// Life-cycle, ping, role-only delta, or unknown: the stream lives, nothing was answered yet.
    Lifecycle,
    /// A part of the answer, or its regular ending: commits the stream.
    Content,
    /// The upstream's own error; nothing follows it.
    Error(Box<Fault>),
    /// The stream's last word, though its answer is not whole: whoever is shown it would take the
    /// answer for finished.
    Unfinished,
    /// Not what the protocol's events look like.
    Malformed,
}

/// The grammar of one protocol's streams, as a machine with memory. One per response.
///
/// Before the first content every event is validated. After it an event is scanned for what ends
/// the stream and not parsed otherwise.
pub trait Automaton: Send + fmt::Debug {
    /// Reads the next event.
    fn event(&mut self, event: Event<'_>) -> Seen;

    /// Whether the stream is complete if it ends here.
    ///
    /// `clean` says that the HTTP body ended as it should: Chat and Gemini need that besides a
    /// finish of every choice or candidate, Anthropic and Responses only their terminal event.
    fn is_complete(&self, clean: bool) -> bool;

    /// Renders the one event that ends the stream as broken, in the protocol's own shape
    /// (`protocols/streaming.md` §6), with what it must repeat of the events seen so far.
    ///
    /// `id` is the request id to show. No terminator follows it.
    fn error_event(&self, fault: &Fault, id: &str) -> OwnEvent;
}

/// An event of our own making. The framing (SSE or JSON array) is added by whoever sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnEvent {
    /// The SSE event name, for protocols that name their events.
    pub name: Option<&'static str>,
    /// One JSON text without line breaks.
    pub data: Bytes,
}
