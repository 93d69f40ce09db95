use std::{borrow::Cow, fmt};

use tollgate_core::{Call, Class, Operation, Protocol, Usage};
use tollgate_wire::{Fault, dialect};

use super::Out;
use crate::{
    model::{CallKind, Citation, Finish, FinishDetail, Opaque, Part, PromptBlock},
    warning::Code,
};

/// What goes on, or the error the stream ends in.
pub type Flow = Result<(), Box<Fault>>;

/// A piece of an answer on its way.
///
/// [`Event::Start`] is first. Every block starts once, then grows, then ends once; several may be
/// open, of several candidates. A finish follows the blocks of its candidate. [`Event::End`] is
/// last; there is none in a stream that failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The upstream answers.
    Start(Start<'a>),
    /// A block of a candidate begins. Blocks are numbered in the order they begin.
    BlockStart {
        /// Which candidate.
        candidate: u64,
        /// Which block of it.
        block: u64,
        /// What it is.
        head: Head,
    },
    /// A block goes on.
    Delta {
        /// Which candidate.
        candidate: u64,
        /// Which block of it.
        block: u64,
        /// What is new.
        delta: Delta<'a>,
    },
    /// A block is whole.
    BlockEnd {
        /// Which candidate.
        candidate: u64,
        /// Which block of it.
        block: u64,
    },
    /// A candidate is whole. Told twice (by servers that go on after it) the last holds.
    Finish(Ending),
    /// The prompt itself was refused.
    Blocked(PromptBlock),
    /// Something of the answer is not in it; where it stood, in the upstream's words.
    Lost(Code, &'static str),
    /// What the answer used. The last holds.
    Usage(Box<Usage>),
    /// Nothing follows, and everything is there.
    End,
}

/// What is known when an answer begins.
#[derive(Clone, Debug)]
pub struct Start<'a> {
    /// The upstream's id; empty: it gave none.
    pub id: Cow<'a, str>,
    /// The model that serves; empty: it was not said.
    pub model: Cow<'a, str>,
    /// Unix seconds; 0: unknown.
    pub created: i64,
    /// What the upstream told of usage before it answered.
    pub usage: Option<Box<Usage>>,
}

/// What a block is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Head {
    /// Text people read; its signature, where it was known before the text.
    Text(Option<Opaque>),
    /// The assistant declines.
    Refusal,
    /// What the assistant thinks: sections, each begun by [`Delta::Section`].
    Reasoning {
        /// It is the reasoning itself, not a summary of it.
        raw: bool,
    },
    /// The assistant calls a tool of the client; its deltas are the arguments.
    Tool(Tool),
    /// A part that comes whole: media, a server's tool, what only its own protocol has.
    Whole(Part),
}

/// The beginning of a tool call.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Tool {
    pub id: String,
    pub name: String,
    pub namespace: Option<String>,
    pub kind: CallKind,
    /// Where it was known before the arguments.
    pub signature: Option<Opaque>,
}

/// What is new in a block.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Delta<'a> {
    /// More text, reasoning or arguments.
    Text(Cow<'a, str>),
    /// A new section of reasoning.
    Section,
    /// The signature or the encrypted value of the block.
    Opaque(Opaque),
    /// A source of the text.
    Citation(Citation),
}

/// How a candidate ended.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Ending {
    pub candidate: u64,
    pub finish: Finish,
    /// The protocol's own word for that.
    pub native: String,
    pub detail: Option<FinishDetail>,
}

impl Event<'_> {
    /// The same without what it borrows.
    pub fn into_owned(self) -> Event<'static> {
        match self {
            Self::Start(start) => Event::Start(Start {
                id: start.id.into_owned().into(),
                model: start.model.into_owned().into(),
                ..start
            }),
            Self::BlockStart { candidate, block, head } => {
                Event::BlockStart { candidate, block, head }
            }
            Self::Delta { candidate, block, delta } => {
                Event::Delta { candidate, block, delta: delta.into_owned() }
            }
            Self::BlockEnd { candidate, block } => Event::BlockEnd { candidate, block },
            Self::Finish(ending) => Event::Finish(ending),
            Self::Blocked(block) => Event::Blocked(block),
            Self::Lost(code, path) => Event::Lost(code, path),
            Self::Usage(usage) => Event::Usage(usage),
            Self::End => Event::End,
        }
    }

    /// Whether a client can see something of the answer in it: what commits a stream.
    pub fn is_content(&self) -> bool {
        match self {
            Self::BlockStart { head, .. } => matches!(head, Head::Tool(_) | Head::Whole(_)),
            Self::Delta { delta: Delta::Text(text), .. } => !text.is_empty(),
            Self::Delta { delta, .. } => !matches!(delta, Delta::Section),
            Self::Finish(_) | Self::Blocked(_) => true,
            _ => false,
        }
    }
}

impl Delta<'_> {
    /// The same without what it borrows.
    pub fn into_owned(self) -> Delta<'static> {
        match self {
            Self::Text(text) => Delta::Text(text.into_owned().into()),
            Self::Section => Delta::Section,
            Self::Opaque(opaque) => Delta::Opaque(opaque),
            Self::Citation(citation) => Delta::Citation(citation),
        }
    }
}

/// Takes the events of one answer.
pub trait Sink {
    /// Takes the next.
    ///
    /// Errors: the stream ends in this fault.
    fn event(&mut self, event: Event<'_>) -> Flow;
}

/// Reads the events of one upstream's stream, in its protocol. One per response.
pub trait DecodeStream: fmt::Debug + Send {
    /// Reads the next event.
    ///
    /// Errors: it is not what the protocol says, or the sink's own.
    fn event(&mut self, name: Option<&str>, data: &[u8], out: &mut dyn Sink) -> Flow;

    /// Hears that the stream is complete and tells what was held until then. [`Event::End`] and
    /// the usage are told by the caller.
    ///
    /// Errors: the sink's.
    fn finish(&mut self, out: &mut dyn Sink) -> Flow;

    /// Whether nothing can follow what was read so far. Default: only the body's end says so.
    fn is_over(&self) -> bool {
        false
    }
}

/// Writes one answer as a client's stream, in its protocol. One per response.
pub trait EncodeStream: fmt::Debug + Send {
    /// Writes what can be said since this event.
    ///
    /// Errors: the answer cannot be shown in this protocol (a malformed tool call, a buffer that
    /// is full).
    fn event(&mut self, event: Event<'_>, out: &mut Out<'_>) -> Flow;

    /// Writes the one event that ends the stream as broken. Nothing follows it.
    fn fail(&mut self, fault: &Fault, out: &mut Out<'_>);
}

/// A fault of an upstream that does not keep to its protocol.
pub(crate) fn broken(message: impl Into<String>) -> Box<Fault> {
    let mut fault = Fault::new(Class::ServerError, message);
    fault.code = Some("upstream_bad_answer".to_owned());
    Box::new(fault)
}

/// A tool call nobody can read.
pub(crate) fn malformed_call(message: Option<&str>) -> Box<Fault> {
    let message = message.unwrap_or("the model produced a tool call that cannot be read");
    let mut fault = Fault::new(Class::ServerError, message);
    fault.code = Some("malformed_tool_call".to_owned());
    Box::new(fault)
}

/// Writes the error event of a protocol that needs to know nothing for it.
pub(crate) fn failed(client: Protocol, fault: &Fault, id: &str, out: &mut Out<'_>) {
    let automaton = dialect(client).automaton(&Call::new(client, Operation::Generate));
    let event = automaton.error_event(fault, id);
    out.frame(event.name, |text| text.extend_from_slice(&event.data));
}
