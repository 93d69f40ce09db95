//! What is read of an answer as it passes.

use std::collections::VecDeque;

use bytes::Bytes;
use http::{HeaderMap, header};
use memchr::memmem;
use tollgate_core::{Call, Class, Frames, Protocol, Quality, StreamError, Usage};
use tollgate_sse::{Decoder, Framing, Tail};
use tollgate_wire::{
    Automaton, Seen, dialect,
    usage::{Forwarded, Profile, Reader, Sent, is_extra_usage_chunk, with_cost},
};

use crate::Ending;

/// What was done to the request and must be undone in the answer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Undo {
    /// Take out the chunk that tells the usage we asked for.
    pub(crate) strip: bool,
    /// Tell the cost in the usage, which the client asked for and the host does not tell.
    pub(crate) cost: bool,
}

/// Reads usage from an answer's bytes, and says which bytes leave.
pub(crate) struct Meter {
    reader: Reader,
    forwarded: Forwarded,
    kind: Kind,
}

enum Kind {
    /// A JSON answer: its frames, kept for an estimate, and held where the cost goes into them.
    Whole {
        frames: Vec<Bytes>,
        held: bool,
    },
    Events(Box<Events>),
}

struct Events {
    /// `None` once the bytes cannot be read any more.
    decoder: Option<Decoder>,
    automaton: Box<dyn Automaton>,
    has_content: bool,
    failed: Option<Class>,
    undo: Undo,
    cut: Cut,
}

impl Meter {
    /// Returns what reads the answer with this head. `None` for one nobody reads: encoded, or
    /// neither JSON nor events.
    pub(crate) fn of(
        call: &Call,
        protocol: Protocol,
        profile: Profile,
        headers: &HeaderMap,
        undo: Undo,
    ) -> Option<Self> {
        let kind = match framing(call, protocol, headers)? {
            None => Kind::Whole { frames: Vec::new(), held: undo.cost },
            Some(framing) => Kind::Events(Box::new(Events {
                decoder: Some(Decoder::new(framing)),
                automaton: dialect(protocol).automaton(call),
                has_content: false,
                failed: None,
                undo,
                cut: Cut::default(),
            })),
        };
        Some(Self { reader: Reader::new(profile), forwarded: Forwarded::new(protocol), kind })
    }

    /// Whether the length of what leaves is not that of what comes.
    pub(crate) fn changes_length(&self) -> bool {
        match &self.kind {
            Kind::Whole { held, .. } => *held,
            Kind::Events(events) => events.undo.strip || events.undo.cost,
        }
    }

    /// Reads a frame; what leaves of it goes to `out`, unless all of it leaves as it is: then it
    /// is returned.
    pub(crate) fn frame(
        &mut self,
        frame: Bytes,
        cost: Cost<'_>,
        out: &mut VecDeque<Bytes>,
    ) -> Option<Bytes> {
        match &mut self.kind {
            Kind::Whole { frames, held } => {
                self.reader.part(&frame);
                frames.push(frame.clone());
                (!*held).then_some(frame)
            }
            Kind::Events(events) => {
                let mut to = To { reader: &mut self.reader, forwarded: &mut self.forwarded, out };
                events.frame(frame, cost, &mut to)
            }
        }
    }

    /// Whether there was content; a JSON answer has none before its end.
    pub(crate) fn has_content(&self) -> bool {
        matches!(&self.kind, Kind::Events(events) if events.has_content)
    }

    /// Reads what is left when the answer ended as it should. Returns how it ended.
    pub(crate) fn end(&mut self, out: &mut VecDeque<Bytes>) -> Ending {
        match &mut self.kind {
            Kind::Whole { .. } => Ending::Complete,
            Kind::Events(events) => {
                let mut to = To { reader: &mut self.reader, forwarded: &mut self.forwarded, out };
                events.end(&mut to)
            }
        }
    }

    /// Whether the client has all there is to an answer it does not want the rest of.
    pub(crate) fn is_complete(&self) -> bool {
        match &self.kind {
            Kind::Whole { .. } => false,
            Kind::Events(events) => events.failed.is_none() && events.automaton.is_complete(true),
        }
    }

    /// What an answer used that ended so: as it told, else estimated from what went by.
    pub(crate) fn usage(&mut self, ending: Ending, sent: &Sent) -> Usage {
        let told = self.reader.so_far(ending == Ending::Complete);
        if let Kind::Whole { frames, .. } = &mut self.kind
            && matches!(told.quality, Quality::Absent)
        {
            self.forwarded.answer(&Frames::new(std::mem::take(frames)).joined());
        }
        self.forwarded.estimate(told, sent)
    }

    /// What of a held answer leaves, once its cost is known.
    pub(crate) fn release(&mut self, cost: Option<&str>) -> Option<Bytes> {
        let Kind::Whole { frames, held: true } = &mut self.kind else { return None };
        let whole = Frames::new(std::mem::take(frames)).joined();
        Some(match cost {
            Some(cost) => with_cost(&whole, cost),
            None => whole,
        })
    }
}

impl Events {
    fn frame(&mut self, frame: Bytes, cost: Cost<'_>, to: &mut To<'_>) -> Option<Bytes> {
        let cuts = self.undo.strip || self.undo.cost;
        if cuts {
            self.cut.push(frame.clone());
        }
        if let Some(mut decoder) = self.decoder.take() {
            decoder.push(frame.clone());
            self.decoder = self.events(&mut decoder, cost, to).then_some(decoder);
        }
        if !cuts {
            return Some(frame);
        }
        if self.decoder.is_none() {
            self.cut.release(u64::MAX, to.out);
        }
        None
    }

    /// Reads the whole events there are. Returns whether there may be more.
    fn events(&mut self, decoder: &mut Decoder, cost: Cost<'_>, to: &mut To<'_>) -> bool {
        loop {
            let Ok(event) = decoder.next() else { return false };
            let Some(event) = event else { return true };
            let (read, told) = (event.event(), self.undo.told(event.data()));
            self.event(read, to);
            let upto = decoder.position();
            match told {
                Told::Ours => self.cut.forget(upto),
                Told::Nothing => self.cut.release(upto, to.out),
                Told::Usage => {
                    let event = self.cut.joined(upto);
                    let cost = cost(&to.reader.so_far(true));
                    to.out.push_back(cost.map_or(event.clone(), |cost| with_cost(&event, &cost)));
                }
            }
        }
    }

    fn event(&mut self, event: tollgate_wire::Event<'_>, to: &mut To<'_>) {
        if event.data.is_empty() {
            return;
        }
        to.reader.event(event);
        to.forwarded.event(event);
        match self.automaton.event(event) {
            Seen::Content => self.has_content = true,
            Seen::Error(fault) => self.failed = Some(fault.class),
            _ => {}
        }
    }

    fn end(&mut self, to: &mut To<'_>) -> Ending {
        let clean = self.tail(to);
        self.cut.release(u64::MAX, to.out);
        match self.failed {
            Some(class) => Ending::Failed(class),
            None if self.automaton.is_complete(clean) => Ending::Complete,
            None => Ending::Failed(StreamError::truncated().class()),
        }
    }

    /// Reads what has no blank line after it. Returns whether nothing is left half said.
    fn tail(&mut self, to: &mut To<'_>) -> bool {
        let Some(mut decoder) = self.decoder.take() else { return true };
        match decoder.finish() {
            Tail::Clean => true,
            Tail::Truncated => false,
            Tail::Event(event) => {
                if matches!(self.undo.told(event.data()), Told::Ours) {
                    self.cut.forget(u64::MAX);
                }
                self.event(event.event(), to);
                true
            }
        }
    }
}

/// Where what is read of an event goes.
struct To<'a> {
    reader: &'a mut Reader,
    forwarded: &'a mut Forwarded,
    out: &'a mut VecDeque<Bytes>,
}

/// Tells what a usage costs, as decimal text.
pub(crate) type Cost<'a> = &'a dyn Fn(&Usage) -> Option<String>;

/// What an event tells that concerns what is to be undone.
enum Told {
    Nothing,
    /// The usage we asked for and the client did not.
    Ours,
    /// Usage that is to hold its cost.
    Usage,
}

impl Undo {
    fn told(self, data: &[u8]) -> Told {
        match () {
            () if self.strip && is_extra_usage_chunk(data) => Told::Ours,
            () if self.cost && memmem::find(data, b"\"usage\"").is_some() => Told::Usage,
            () => Told::Nothing,
        }
    }
}

/// How a body is framed: `Some(None)` a JSON text, `None` nobody knows.
fn framing(call: &Call, protocol: Protocol, headers: &HeaderMap) -> Option<Option<Framing>> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return None;
    }
    let kind = headers.get(header::CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase());
    let array = call.json_array && protocol == Protocol::Gemini;
    match kind.as_deref() {
        Some(kind) if kind.starts_with(b"text/event-stream") => Some(Some(Framing::Sse)),
        Some(kind) if kind.starts_with(b"application/json") && array => {
            Some(Some(Framing::JsonArray))
        }
        None if array => Some(Some(Framing::JsonArray)),
        None if call.stream => Some(Some(Framing::Sse)),
        Some(kind) if kind.starts_with(b"application/") && json(kind) => Some(None),
        None => Some(None),
        _ => None,
    }
}

fn json(kind: &[u8]) -> bool {
    let end = kind.iter().position(|byte| *byte == b';').unwrap_or(kind.len());
    let kind = kind[..end].trim_ascii();
    kind == b"application/json" || kind.ends_with(b"+json")
}

/// Bytes that came and did not leave yet, with their place in the stream.
#[derive(Debug, Default)]
struct Cut {
    waiting: VecDeque<Bytes>,
    /// Where the first of them stands.
    at: u64,
}

impl Cut {
    fn push(&mut self, chunk: Bytes) {
        self.waiting.push_back(chunk);
    }

    /// Lets everything before `upto` leave.
    fn release(&mut self, upto: u64, out: &mut VecDeque<Bytes>) {
        while let Some(piece) = self.take(upto) {
            out.push_back(piece);
        }
    }

    /// Forgets everything before `upto`.
    fn forget(&mut self, upto: u64) {
        while self.take(upto).is_some() {}
    }

    /// Takes everything before `upto` as one piece.
    fn joined(&mut self, upto: u64) -> Bytes {
        let mut pieces = VecDeque::new();
        self.release(upto, &mut pieces);
        Frames::new(pieces.into()).joined()
    }

    fn take(&mut self, upto: u64) -> Option<Bytes> {
        let left = upto.saturating_sub(self.at);
        let first = self.waiting.front_mut().filter(|_| left > 0)?;
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(first.len());
        let piece = first.split_to(length);
        if first.is_empty() {
            self.waiting.pop_front();
        }
        self.at += length as u64;
        Some(piece)
    }
}
