//! What is read of an answer as it passes.

use std::collections::VecDeque;

use bytes::Bytes;
use http::{HeaderMap, header};
use memchr::memmem;
use tollgate_core::{
    Call, Class, Frames, InTokens, Operation, OutTokens, Protocol, Quality, StreamError, Usage,
};
use tollgate_sse::{Decoder, Framing, Media, Sound, Tail};
use tollgate_wire::{
    Automaton, Seen, dialect,
    json::{self, Object},
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
    protocol: Protocol,
    operation: Operation,
    reader: Reader,
    forwarded: Forwarded,
    /// What was told, once a JSON answer is whole.
    told: Option<Box<Usage>>,
    kind: Kind,
}

enum Kind {
    Whole(Whole),
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
    /// The last event was taken out.
    took_out: bool,
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
    ) -> Option<Box<Self>> {
        let kind = match framing(call, protocol, headers)? {
            None => Kind::Whole(Whole::new(undo.cost, call.operation == Operation::Generate)),
            Some(framing) => Kind::Events(Box::new(Events {
                decoder: Some(Decoder::new(framing)),
                automaton: dialect(protocol).automaton(call),
                has_content: false,
                failed: None,
                undo,
                cut: Cut::default(),
                took_out: false,
            })),
        };
        let (reader, forwarded) = (Reader::new(profile), Forwarded::new(protocol));
        let operation = call.operation;
        Some(Box::new(Self { protocol, operation, reader, forwarded, told: None, kind }))
    }

    /// Whether the answer comes in events.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.kind, Kind::Events(_))
    }

    /// Tells whoever reads after us what we have found of a JSON answer.
    pub(crate) fn sound(&self) -> Option<Sound> {
        match &self.kind {
            Kind::Whole(whole) => Some(whole.sound.clone()),
            Kind::Events(_) => None,
        }
    }

    /// Whether the length of what leaves is not that of what comes.
    pub(crate) fn changes_length(&self) -> bool {
        match &self.kind {
            Kind::Whole(whole) => whole.held,
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
            Kind::Whole(whole) => {
                self.reader.part(&frame);
                if self.reader.is_sound() {
                    whole.sound.vouch(&frame);
                }
                whole.frame(frame, &mut self.forwarded, out)
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

    /// Reads what is left when the body ended as it should. Returns how the answer ended.
    pub(crate) fn end(&mut self, out: &mut VecDeque<Bytes>) -> Ending {
        match &mut self.kind {
            Kind::Whole(whole) => {
                let told = self.reader.so_far(true);
                if told.quality == Quality::Absent {
                    return whole.judge(self.protocol, &mut self.forwarded);
                }
                self.told = Some(told);
                let fault = self.reader.tells_error().then(|| whole.fault(self.protocol));
                fault.flatten().map_or(Ending::Complete, Ending::Failed)
            }
            Kind::Events(events) => {
                let mut to = To { reader: &mut self.reader, forwarded: &mut self.forwarded, out };
                events.end(&mut to)
            }
        }
    }

    /// Whether the client has all there is to an answer it does not want the rest of.
    pub(crate) fn is_complete(&self) -> bool {
        match &self.kind {
            Kind::Whole(_) => false,
            Kind::Events(events) => events.failed.is_none() && events.automaton.is_complete(true),
        }
    }

    /// Whether there is nothing to learn from the rest of an answer: it is complete, and told its
    /// usage.
    pub(crate) fn is_told(&self) -> bool {
        self.is_complete() && self.reader.so_far(true).quality == Quality::Exact
    }

    /// What an answer used that ended so: as it told, what it left out estimated from what went by.
    /// `None` for one that failed before it said anything.
    pub(crate) fn usage(
        &mut self,
        ending: Ending,
        sent: impl FnOnce() -> Sent,
    ) -> Option<Box<Usage>> {
        // What a whole JSON answer tells is its last word, also where it tells an error beside.
        let complete = ending == Ending::Complete || self.told.is_some();
        let told = self.told.take().unwrap_or_else(|| self.reader.so_far(complete));
        let absent = told.quality == Quality::Absent;
        if absent && matches!(ending, Ending::Failed(_)) && !self.has_begun() {
            return None;
        }
        if self.is_enough(&told) {
            return Some(told);
        }
        if let Kind::Whole(whole) = &mut self.kind
            && !tells_output(&told)
        {
            whole.count(&mut self.forwarded);
        }
        let usage = match self.reader.is_final(complete) {
            true => self.forwarded.complete(*told, &sent()),
            false => self.forwarded.estimate(*told, &sent()),
        };
        Some(Box::new(usage))
    }

    /// Whether nothing is left to estimate.
    fn is_enough(&self, told: &Usage) -> bool {
        let reported = matches!(told.quality, Quality::Exact | Quality::Inconsistent);
        reported
            && match self.operation {
                Operation::Generate => tells_prompt(told) && tells_output(told),
                Operation::Embed => tells_prompt(told),
                _ => true,
            }
    }

    /// Whether any of the answer proper went by.
    fn has_begun(&self) -> bool {
        match &self.kind {
            Kind::Whole(whole) => whole.has_begun,
            Kind::Events(events) => events.has_content,
        }
    }

    /// Lets a held answer leave, with its cost, which is known now.
    pub(crate) fn release(
        &mut self,
        cost: impl FnOnce() -> Option<String>,
        out: &mut VecDeque<Bytes>,
    ) {
        let Kind::Whole(whole) = &mut self.kind else { return };
        if whole.held {
            let text = whole.joined();
            out.push_back(match cost() {
                Some(cost) => with_cost(&text, &cost),
                None => text,
            });
        }
    }
}

fn tells_prompt(usage: &Usage) -> bool {
    usage.prompt != InTokens::default()
}

fn tells_output(usage: &Usage) -> bool {
    usage.output != OutTokens::default()
}

/// A JSON answer: its frames, kept for an estimate, and held where the cost goes into them.
struct Whole {
    frames: Vec<Bytes>,
    size: usize,
    held: bool,
    /// It is an answer whose text counts.
    speaks: bool,
    has_begun: bool,
    /// It is too large to be kept; or its text was counted.
    is_counted: bool,
    /// Tells others that the answer is what it should be.
    sound: Sound,
}

impl Whole {
    /// More than this is not kept for an estimate: the rest is known by its length.
    const KEPT: usize = 1 << 20;
    /// More than this is not held for its cost.
    const HELD: usize = 32 << 20;

    fn new(held: bool, speaks: bool) -> Self {
        let frames = Vec::new();
        let sound = Sound::new();
        Self { frames, size: 0, held, speaks, has_begun: false, is_counted: false, sound }
    }

    fn frame(
        &mut self,
        frame: Bytes,
        forwarded: &mut Forwarded,
        out: &mut VecDeque<Bytes>,
    ) -> Option<Bytes> {
        self.has_begun |= frame.trim_ascii_start().starts_with(b"{") || self.size > 0;
        if self.is_counted {
            self.length(frame.len(), forwarded);
            return Some(frame);
        }
        self.size += frame.len();
        self.frames.push(frame.clone());
        if self.size <= if self.held { Self::HELD } else { Self::KEPT } {
            return (!self.held).then_some(frame);
        }
        self.let_go(forwarded, out).then_some(frame)
    }

    /// Gives up on keeping the frames. Returns whether they have left before.
    fn let_go(&mut self, forwarded: &mut Forwarded, out: &mut VecDeque<Bytes>) -> bool {
        let frames = std::mem::take(&mut self.frames);
        self.is_counted = true;
        self.length(self.size, forwarded);
        if std::mem::take(&mut self.held) {
            out.extend(frames);
            return false;
        }
        true
    }

    fn length(&self, bytes: usize, forwarded: &mut Forwarded) {
        if self.speaks {
            forwarded.length(bytes);
        }
    }

    fn joined(&mut self) -> Bytes {
        let whole = Frames::new(std::mem::take(&mut self.frames)).joined();
        self.frames.push(whole.clone());
        whole
    }

    /// Says of an answer without usage how it ended.
    fn judge(&mut self, protocol: Protocol, forwarded: &mut Forwarded) -> Ending {
        if self.is_counted {
            return Ending::Complete;
        }
        let text = self.joined();
        if !json::is_valid(&text) {
            return Ending::Failed(StreamError::truncated().class());
        }
        if let Some(class) = self.fault(protocol) {
            // What the upstream says is no answer, and costs nothing.
            self.has_begun = false;
            return Ending::Failed(class);
        }
        self.count(forwarded);
        Ending::Complete
    }

    /// What went wrong, of an answer that is an error. One too large to be kept is none.
    fn fault(&mut self, protocol: Protocol) -> Option<Class> {
        let text = self.joined();
        Some(dialect(protocol).error_in_answer(Object::new(&text))?.class)
    }

    /// Counts the text of what is kept.
    fn count(&mut self, forwarded: &mut Forwarded) {
        if self.speaks && !self.is_counted {
            forwarded.answer(&self.joined());
        }
        self.is_counted = true;
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
            // The end of its line may be cut in two: the rest goes the way of the event.
            match self.took_out {
                true => self.cut.forget(decoder.position()),
                false => self.cut.release(decoder.position(), to.out),
            }
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
            let may_tell = self.event(event.event(), to);
            let told = if may_tell { self.undo.told(event.data()) } else { Told::Nothing };
            let upto = decoder.position();
            self.took_out = matches!(told, Told::Ours);
            match told {
                Told::Ours => self.cut.forget(upto),
                Told::Nothing => self.cut.release(upto, to.out),
                Told::Usage => {
                    let event = self.cut.joined(upto);
                    let told = Some(to.reader.so_far(true));
                    let whole = told.filter(|told| tells_prompt(told) && tells_output(told));
                    let cost = whole.and_then(|told| cost(&told));
                    to.out.push_back(match cost {
                        Some(cost) => with_cost(&event, &cost),
                        None => event,
                    });
                }
            }
        }
    }

    /// Returns whether the event may have told usage.
    fn event(&mut self, event: tollgate_wire::Event<'_>, to: &mut To<'_>) -> bool {
        if event.data.is_empty() {
            return false;
        }
        let may_tell = to.reader.event(event);
        to.forwarded.event(event);
        match self.automaton.event(event) {
            Seen::Content => self.has_content = true,
            Seen::Error(fault) => self.failed = Some(fault.class),
            _ => {}
        }
        may_tell
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
            () if self.cost && tells_usage(data) => Told::Usage,
            () => Told::Nothing,
        }
    }
}

/// Whether there is a usage that is not null: many chunks of a stream say that there is none.
fn tells_usage(data: &[u8]) -> bool {
    const USAGE: &[u8] = b"\"usage\"";
    memmem::find_iter(data, USAGE).any(|at| {
        let value = data[at + USAGE.len()..].trim_ascii_start().strip_prefix(b":");
        value.is_some_and(|value| value.trim_ascii_start().starts_with(b"{"))
    })
}

/// How a body is framed: `Some(None)` a JSON text, `None` nobody knows.
fn framing(call: &Call, protocol: Protocol, headers: &HeaderMap) -> Option<Option<Framing>> {
    let encoding = headers.get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return None;
    }
    let array = call.stream && call.json_array && protocol == Protocol::Gemini;
    match Media::of(headers) {
        Media::EventStream => Some(Some(Framing::Sse)),
        Media::Json | Media::Missing if array => Some(Some(Framing::JsonArray)),
        Media::Missing if call.stream => Some(Some(Framing::Sse)),
        Media::Json | Media::Missing => Some(None),
        Media::Other => None,
    }
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
