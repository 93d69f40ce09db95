use std::fmt;

use bytes::BytesMut;
use tollgate_core::{Call, Class, Operation, Protocol, Quality, StreamError, Usage};
use tollgate_sse::Framing;
use tollgate_wire::{
    Automaton, Fault, Seen, dialect,
    json::Array,
    usage::{Profile, Reader},
};

use super::{
    DecodeStream, EncodeStream, Event, Flow, Out, Sink, Start, event::broken, fold::unfold,
    out::Frames, restore::Restorer,
};
use crate::{
    codec::{Asked, codec},
    restore::Restore,
    warning::{Report, Warnings},
};

/// What a stream is translated with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    /// The client's protocol.
    pub(crate) from: Protocol,
    /// The upstream's protocol.
    pub(crate) to: Protocol,
    /// The upstream's model, where its answer does not say.
    pub(crate) model: &'a str,
    pub(crate) asked: &'a Asked,
    pub(crate) restore: &'a Restore,
    pub(crate) profile: Option<Profile>,
}

/// Translates one stream while it comes: the upstream's events in, the client's bytes out.
///
/// Made by [`Exchange::stream`](crate::Exchange::stream), fed in order. Every event leaves as soon
/// as the client's protocol can express it. What is written is whole frames of the client's
/// body; it ends in the protocol's own ending, or in one error event and nothing after it.
pub struct StreamTranslator {
    source: Source,
    restorer: Option<Restorer>,
    encoder: Box<dyn EncodeStream>,
    frames: Frames,
    report: Report,
    /// The request id to show in errors.
    model: String,
    from: Protocol,
    hides_ours: bool,
    committed: bool,
    state: State,
}

/// What reads the upstream.
pub(super) struct Source {
    pub(super) protocol: Protocol,
    automaton: Box<dyn Automaton>,
    decoder: Box<dyn DecodeStream>,
    reader: Reader,
    seed: String,
    started: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum State {
    Open,
    Complete,
    Failed(Box<Fault>),
}

impl Source {
    pub(super) fn new(terms: &Terms<'_>) -> Self {
        let call = Call::new(terms.to, Operation::Generate);
        let call = tollgate_core::CallFacts {
            stream: true,
            candidates: terms.asked.candidates,
            ..(*call).clone()
        };
        let profile = terms.profile.unwrap_or_else(|| Profile::of(terms.to, ""));
        Self {
            protocol: terms.to,
            automaton: dialect(terms.to).automaton(&call.into()),
            decoder: codec(terms.to).decode_stream(&terms.asked.id),
            reader: Reader::new(profile),
            seed: terms.asked.id.clone(),
            started: false,
        }
    }

    /// Reads an event; whether the stream is complete with it.
    pub(super) fn event(
        &mut self,
        name: Option<&str>,
        data: &[u8],
        out: &mut dyn Sink,
    ) -> Result<bool, Box<Fault>> {
        if self.decoder.is_over() {
            return Ok(false);
        }
        let event = tollgate_wire::Event { name, data };
        self.reader.event(event);
        match self.automaton.event(event) {
            Seen::Error(fault) => return Err(fault),
            Seen::Malformed => return Err(broken("the upstream sent an event that is no JSON")),
            Seen::Lifecycle | Seen::Content | Seen::Unfinished => {}
        }
        let mut told = Told { out, reader: &self.reader, started: &mut self.started };
        self.decoder.event(name, data, &mut told)?;
        Ok(self.automaton.is_complete(false)
            || (self.decoder.is_over() && self.automaton.is_complete(true)))
    }

    /// Tells what was held until the end.
    pub(super) fn finish(&mut self, out: &mut dyn Sink) -> Flow {
        let usage = self.usage(true);
        let mut told = Told { out, reader: &self.reader, started: &mut self.started };
        self.decoder.finish(&mut told)?;
        if let Some(usage) = usage {
            told.event(Event::Usage(usage))?;
        }
        told.event(Event::End)
    }

    /// Whether the stream is complete if the body ends here as it should.
    pub(super) fn is_complete(&self) -> bool {
        self.automaton.is_complete(true)
    }

    fn usage(&self, complete: bool) -> Option<Box<Usage>> {
        Some(self.reader.so_far(complete)).filter(|usage| usage.quality != Quality::Absent)
    }

    /// Tells a whole answer that came instead of a stream.
    pub(super) fn answer(&mut self, body: &[u8], out: &mut dyn Sink) -> Flow {
        let mut answer = codec(self.protocol).decode_answer(body, &self.seed)?;
        self.reader.answer(body);
        answer.usage = self.usage(true);
        unfold(answer, out)
    }
}

/// Sees to it that a stream begins once, and adds what was told of usage by then.
struct Told<'a> {
    out: &'a mut dyn Sink,
    reader: &'a Reader,
    started: &'a mut bool,
}

impl Told<'_> {
    fn start(&mut self, start: Start<'_>) -> Flow {
        if std::mem::replace(self.started, true) {
            return Ok(());
        }
        let told = Some(self.reader.so_far(false));
        let usage = told.filter(|usage| usage.quality != Quality::Absent);
        self.out.event(Event::Start(Start { usage, ..start }))
    }
}

impl Sink for Told<'_> {
    fn event(&mut self, event: Event<'_>) -> Flow {
        if let Event::Start(start) = event {
            return self.start(start);
        }
        if !*self.started {
            let nothing = || std::borrow::Cow::Borrowed("");
            self.start(Start { id: nothing(), model: nothing(), created: 0, usage: None })?;
        }
        self.out.event(event)
    }
}

/// From the model's events to the client's bytes.
struct Shown<'a, 'b> {
    restorer: Option<&'a mut Restorer>,
    last: Last<'a, 'b>,
}

impl Sink for Shown<'_, '_> {
    fn event(&mut self, event: Event<'_>) -> Flow {
        match &mut self.restorer {
            Some(restorer) => restorer.event(event, &mut self.last),
            None => self.last.event(event),
        }
    }
}

struct Last<'a, 'b> {
    encoder: &'a mut dyn EncodeStream,
    out: Out<'b>,
    model: &'a str,
    committed: &'a mut bool,
}

impl Sink for Last<'_, '_> {
    fn event(&mut self, mut event: Event<'_>) -> Flow {
        if let Event::Start(start) = &mut event
            && start.model.is_empty()
        {
            start.model = self.model.to_owned().into();
        }
        if let Event::Lost(code, path) = event {
            self.out.warn(code, path);
            return Ok(());
        }
        let content = event.is_content();
        self.encoder.event(event, &mut self.out)?;
        *self.committed |= content;
        Ok(())
    }
}

impl StreamTranslator {
    pub(crate) fn new(terms: &Terms<'_>) -> Self {
        Self {
            source: Source::new(terms),
            restorer: Restorer::new(terms.restore),
            encoder: codec(terms.from).encode_stream(terms.asked, terms.to),
            frames: Frames::new(Framing::Sse),
            report: Report::new(codec(terms.to)),
            model: terms.model.to_owned(),
            from: terms.from,
            hides_ours: false,
            committed: false,
            state: State::Open,
        }
    }

    /// Sets the framing of the client's body. Default: server-sent events.
    ///
    /// An array ([`Framing::JsonArray`]) is what Gemini's clients get that did not ask for
    /// `alt=sse`; only their protocol has it.
    pub fn framing(mut self, framing: Framing) -> Self {
        self.frames = Frames::new(framing);
        self
    }

    /// Sets that the credential at the upstream is the gateway's own: the client is not told of a
    /// rejection of it as if it were its own ([`Fault::hiding_ours`]). Default: the client's.
    pub fn hiding_ours(mut self, hides: bool) -> Self {
        self.hides_ours = hides;
        self
    }

    /// Reads the upstream's next event and writes what can be said since then. After the end,
    /// and after an error, nothing is written any more.
    ///
    /// `name` is the event's name where it has one; `data` its data, lines joined with `\n`.
    pub fn event(&mut self, name: Option<&str>, data: &[u8], out: &mut BytesMut) {
        self.advance(out, |source, sink| match source.event(name, data, sink)? {
            true => source.finish(sink),
            false => Ok(()),
        });
    }

    /// Hears that the upstream's body ended as it should and writes the ending: the protocol's
    /// own if the stream is complete, else an error of class `server_error` with code
    /// `upstream_truncated`.
    pub fn end(&mut self, out: &mut BytesMut) {
        if self.state == State::Open && !self.source.is_complete() {
            return self.fail(&Fault::from(&StreamError::truncated()), out);
        }
        self.advance(out, |source, sink| source.finish(sink));
    }

    /// Ends the stream in an error of the caller's: the body broke off, time ran out. A stream
    /// that ended before is left as it is.
    pub fn fail(&mut self, fault: &Fault, out: &mut BytesMut) {
        if self.state == State::Open {
            let shown = if self.hides_ours { fault.clone().hiding_ours() } else { fault.clone() };
            let mut last = Out { frames: &mut self.frames, bytes: out, report: &mut self.report };
            self.encoder.fail(&shown, &mut last);
            self.frames.close(out);
            self.state = State::Failed(Box::new(fault.clone()));
        }
    }

    /// Reads a whole answer where a stream was asked for, and writes it as a stream.
    ///
    /// An array is Gemini's stream in one piece: its elements are events.
    pub fn answer(&mut self, body: &[u8], out: &mut BytesMut) {
        if body.trim_ascii_start().starts_with(b"[") {
            for element in Array::new(body).map_while(Result::ok) {
                self.event(None, element, out);
            }
            return self.end(out);
        }
        self.advance(out, |source, sink| source.answer(body, sink));
    }

    /// Lets the upstream speak and ends the stream where it is over.
    fn advance(
        &mut self,
        out: &mut BytesMut,
        speak: impl FnOnce(&mut Source, &mut dyn Sink) -> Flow,
    ) {
        if self.state != State::Open {
            return;
        }
        let mut ending = Ending::default();
        let last = Last {
            encoder: self.encoder.as_mut(),
            out: Out { frames: &mut self.frames, bytes: out, report: &mut self.report },
            model: &self.model,
            committed: &mut self.committed,
        };
        let mut shown = Shown { restorer: self.restorer.as_mut(), last };
        let flow = speak(&mut self.source, &mut Watch { out: &mut shown, ending: &mut ending });
        match flow {
            Err(fault) => self.fail(&fault, out),
            Ok(()) if ending.is_reached => {
                self.frames.close(out);
                self.state = State::Complete;
            }
            Ok(()) => {}
        }
    }

    /// Whether a client could see anything of the answer in what was written. Until then the
    /// answer can still become a plain error, or another upstream's.
    pub fn is_committed(&self) -> bool {
        self.committed
    }

    /// Whether the stream has its ending, regular or not: what follows is ignored.
    pub fn is_over(&self) -> bool {
        self.state != State::Open
    }

    /// The error the stream ended in, as it was before anything was hidden from the client.
    pub fn fault(&self) -> Option<&Fault> {
        match &self.state {
            State::Failed(fault) => Some(fault),
            _ => None,
        }
    }

    /// What the upstream told of usage so far.
    pub fn usage(&self) -> Box<Usage> {
        self.source.reader.so_far(self.state == State::Complete)
    }

    /// What of the answer was not carried as it stood, so far, in the upstream's words.
    pub fn warnings(&self) -> &Warnings {
        self.report.warnings()
    }
}

/// Whether the last event came by.
#[derive(Debug, Default)]
pub(super) struct Ending {
    pub(super) is_reached: bool,
}

struct Watch<'a> {
    out: &'a mut dyn Sink,
    ending: &'a mut Ending,
}

impl Sink for Watch<'_> {
    fn event(&mut self, event: Event<'_>) -> Flow {
        self.ending.is_reached |= matches!(event, Event::End);
        self.out.event(event)
    }
}

impl fmt::Debug for StreamTranslator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamTranslator")
            .field("from", &self.from)
            .field("to", &self.source.protocol)
            .field("committed", &self.committed)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Collects a stream into the whole answer a client asked for: for upstreams that are asked for a
/// stream because a long silence would be cut.
///
/// Made by [`Exchange::collect`](crate::Exchange::collect).
#[derive(Debug)]
pub struct StreamCollector {
    source: Source,
    fold: super::Fold,
    fault: Option<Box<Fault>>,
    over: bool,
}

impl StreamCollector {
    pub(crate) fn new(terms: &Terms<'_>) -> Self {
        let fold = super::Fold::new(terms.to);
        Self { source: Source::new(terms), fold, fault: None, over: false }
    }

    /// Reads the upstream's next event.
    ///
    /// Errors: the stream failed; what follows is ignored.
    pub fn event(&mut self, name: Option<&str>, data: &[u8]) -> Result<(), Fault> {
        if !self.over {
            let flow = self.source.event(name, data, &mut self.fold);
            let flow = flow.and_then(|whole| {
                self.over = whole;
                if whole { self.source.finish(&mut self.fold) } else { Ok(()) }
            });
            self.fault = flow.err();
            self.over |= self.fault.is_some();
        }
        self.fault.as_deref().cloned().map_or(Ok(()), Err)
    }

    /// Hears that the body ended as it should and returns the answer.
    ///
    /// Errors: the stream failed or was not complete.
    pub(crate) fn end(mut self) -> Result<crate::model::Answer, Fault> {
        if let Some(fault) = self.fault {
            return Err(*fault);
        }
        if !self.over {
            if !self.source.is_complete() {
                return Err(Fault::from(&StreamError::truncated()));
            }
            self.source.finish(&mut self.fold).map_err(|fault| *fault)?;
        }
        self.fold.into_answer().ok_or_else(|| {
            Fault::new(Class::ServerError, "the upstream's stream did not come to its end")
        })
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("decoder", &self.decoder).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much a translator keeps of what went by.
    fn kept(stream: &StreamTranslator) -> usize {
        format!("{:?}{:?}", stream.source.decoder, stream.encoder).len()
    }

    fn begun(from: Protocol, to: Protocol) -> StreamTranslator {
        let asked = Asked {
            reasoning: true,
            legacy_functions: false,
            stream_usage: true,
            candidates: 1,
            now: 0,
            id: "1".to_owned(),
            echo: Vec::new(),
        };
        let restore = Restore::default();
        let terms = Terms { from, to, model: "m", asked: &asked, restore: &restore, profile: None };
        StreamTranslator::new(&terms)
    }

    /// What begins a stream, and an event of text that can follow any number of times.
    fn text(protocol: Protocol) -> (Option<&'static str>, &'static str) {
        match protocol {
            Protocol::OpenAiResponses => (
                Some(r#"{"type":"response.created","response":{"id":"resp_1","model":"m"}}"#),
                r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"wörd"}"#,
            ),
            Protocol::AnthropicMessages => (
                Some(
                    r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
                ),
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"wörd"}}"#,
            ),
            Protocol::Gemini => {
                (None, r#"{"candidates":[{"content":{"parts":[{"text":"wörd"}]}}]}"#)
            }
            _ => (
                None,
                r#"{"id":"1","model":"m","choices":[{"index":0,"delta":{"content":"wörd"}}]}"#,
            ),
        }
    }

    #[test]
    fn a_hundred_thousand_events_leave_nothing_behind() {
        for to in Protocol::ALL {
            for from in [Protocol::OpenAiChat, Protocol::AnthropicMessages, Protocol::Gemini] {
                if from == to {
                    continue;
                }
                let (mut stream, mut out) = (begun(from, to), BytesMut::new());
                let (begin, delta) = text(to);
                for data in begin.into_iter().chain([delta; 1000]) {
                    stream.event(None, data.as_bytes(), &mut out);
                }
                let before = kept(&stream);
                for _ in 0..100_000 {
                    out.clear();
                    stream.event(None, delta.as_bytes(), &mut out);
                    assert!(!out.is_empty());
                }
                // Counters have more digits; where characters stand is bounded apart.
                let runs = if to == Protocol::Gemini { 200_000 } else { 16 };
                assert!(kept(&stream) <= before + runs, "{to} {from}: {}", kept(&stream));
            }
        }
    }
}
