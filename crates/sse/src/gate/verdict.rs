use bytes::Bytes;
use http::{HeaderMap, StatusCode, header, response::Parts};
use tollgate_core::{Call, Class, Failure, Protocol, Refusal, StreamError};
use tollgate_wire::{
    Fault, Seen, dialect,
    json::{self, Array, Malformed, Object, Scanner},
};

use super::{Held, Limits, Sound, Stream};
use crate::Framing;

/// What kind of body a head announces by its `content-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Media {
    /// `text/event-stream`.
    EventStream,
    /// `application/json`, or any type that ends in `+json`.
    Json,
    /// There is no `content-type`.
    Missing,
    /// Anything else.
    Other,
}

impl Media {
    /// Reads the `content-type`, in whichever case and with whichever parameters.
    pub fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(header::CONTENT_TYPE) else { return Self::Missing };
        // As nearly every host writes it.
        if value == "application/json" {
            return Self::Json;
        }
        let kind = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        let kind = kind.trim_ascii();
        let suffix = kind.iter().rposition(|byte| *byte == b'+').map_or(&b""[..], |at| &kind[at..]);
        if kind.eq_ignore_ascii_case(b"application/json") || suffix.eq_ignore_ascii_case(b"+json") {
            Self::Json
        } else if kind.eq_ignore_ascii_case(b"text/event-stream") {
            Self::EventStream
        } else {
            Self::Other
        }
    }
}

/// What the gate decided.
#[derive(Debug)]
pub(super) enum Verdict {
    Commit,
    /// We found it wrong.
    Broken(StreamError),
    /// The upstream said so within an answer.
    Said(Box<Fault>),
    /// The upstream answered with an error, read whole or cut.
    Answered {
        whole: bool,
    },
    /// The upstream answered with an error to what nobody here has read, held whole or as far as is
    /// held.
    Unread,
}

pub(super) fn bad_answer(message: &'static str) -> Verdict {
    Verdict::Broken(StreamError::new(Class::ServerError, message).code("upstream_bad_answer"))
}

fn too_much() -> Verdict {
    let message = "the upstream's stream is too large before its first content";
    Verdict::Broken(StreamError::new(Class::ServerError, message).code("event_too_large"))
}

/// What is held, and what decides about it.
#[derive(Debug)]
pub(super) enum Hold {
    Stream(Box<Stream>),
    Whole {
        held: Held,
        scanner: Scanner<fn(&str) -> bool>,
        sound: Option<Sound>,
    },
    Error(Held),
    /// An error answer to an operation without a model.
    Unread(Held),
}

/// What a head leads to.
#[derive(Debug)]
pub(super) enum Entry {
    Pass,
    Hold(Hold),
    Wrong,
}

impl Entry {
    /// `is_read` says that the call's body was: whether it asks for a stream is known.
    pub(super) fn of(head: &Parts, call: &Call, limits: Limits, is_read: bool) -> Self {
        if !call.operation.has_model() {
            let is_error = head.status.is_client_error() || head.status.is_server_error();
            return if is_error { Self::Hold(Hold::Unread(Held::default())) } else { Self::Pass };
        }
        if !head.status.is_success() {
            return Self::Hold(Hold::Error(Held::default()));
        }
        if has_no_body(head.status) || is_encoded(&head.headers) {
            return Self::Pass;
        }
        let array = call.json_array && call.protocol == Protocol::Gemini;
        let stream = |framing| Self::Hold(Hold::stream(framing, call, limits));
        match Media::of(&head.headers) {
            Media::EventStream if array || (is_read && !call.stream) => Self::Wrong,
            Media::EventStream => stream(Framing::Sse),
            Media::Json | Media::Missing if array => stream(Framing::JsonArray),
            Media::Missing if call.stream => stream(Framing::Sse),
            Media::Json | Media::Missing => Self::Hold(Hold::whole(head.extensions.get().cloned())),
            Media::Other => Self::Wrong,
        }
    }
}

fn has_no_body(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT)
}

/// Whether the body is compressed, so that nobody can read it here.
fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

impl Hold {
    fn stream(framing: Framing, call: &Call, limits: Limits) -> Self {
        Self::Stream(Box::new(Stream::new(framing, call, limits.event)))
    }

    fn whole(sound: Option<Sound>) -> Self {
        let scanner = Scanner::new((|key| key == "error") as fn(&str) -> bool);
        Self::Whole { held: Held::default(), scanner, sound }
    }

    /// Takes in a frame.
    pub(super) fn chunk(&mut self, chunk: Bytes, limits: Limits) -> Option<Verdict> {
        match self {
            Self::Stream(stream) => {
                stream.push(chunk);
                let over = stream.held.len() > limits.answer;
                events(stream).or_else(|| over.then(too_much))
            }
            Self::Whole { held, scanner, sound } => {
                let fed = feed(held, scanner, sound.as_ref(), chunk);
                if fed.is_err() {
                    return Some(bad_answer("the upstream's answer is not JSON"));
                }
                (held.len() > limits.answer).then_some(Verdict::Commit)
            }
            Self::Error(held) => {
                held.push(chunk);
                (held.len() > limits.error).then_some(Verdict::Answered { whole: false })
            }
            Self::Unread(held) => {
                held.push(chunk);
                (held.len() > limits.error).then_some(Verdict::Unread)
            }
        }
    }

    /// The body ended as it should.
    pub(super) fn end(&mut self, call: &Call) -> Verdict {
        match self {
            Self::Stream(stream) => end_of_stream(stream),
            Self::Whole { held, sound, .. } if is_vouched_for(held, sound.as_ref()) => {
                Verdict::Commit
            }
            Self::Whole { held, scanner, .. } => {
                let nothing = Scanner::new((|_| false) as fn(&str) -> bool);
                let scanner = std::mem::replace(scanner, nothing);
                end_of_answer(held, scanner, call)
            }
            Self::Error(_) => Verdict::Answered { whole: true },
            Self::Unread(_) => Verdict::Unread,
        }
    }

    /// The body failed.
    pub(super) fn failed(&mut self, error: StreamError) -> Verdict {
        match self {
            Self::Stream(stream) if stream.automaton.is_complete(false) => Verdict::Commit,
            Self::Error(_) | Self::Unread(_) => Verdict::Answered { whole: false },
            _ => Verdict::Broken(error),
        }
    }

    /// What is held of an error answer nobody reads but for whom it concerns.
    pub(super) fn unread(&self) -> Option<&Held> {
        match self {
            Self::Unread(held) => Some(held),
            _ => None,
        }
    }

    pub(super) fn into_held(self) -> Held {
        match self {
            Self::Stream(stream) => stream.held,
            Self::Whole { held, .. } | Self::Error(held) | Self::Unread(held) => held,
        }
    }
}

/// Whether all there is so far was read by somebody else.
fn is_vouched_for(held: &Held, sound: Option<&Sound>) -> bool {
    held.only().zip(sound).is_some_and(|(frame, sound)| sound.is_said_of(frame))
}

/// Takes in a frame and reads it, unless somebody vouches for it as the whole answer.
fn feed<W: Fn(&str) -> bool>(
    held: &mut Held,
    scanner: &mut Scanner<W>,
    sound: Option<&Sound>,
    chunk: Bytes,
) -> Result<(), Malformed> {
    if chunk.is_empty() {
        return Ok(());
    }
    // More follows what was said to be all: it is read after all.
    let before = held.only().filter(|_| is_vouched_for(held, sound)).cloned();
    held.push(chunk.clone());
    if is_vouched_for(held, sound) {
        return Ok(());
    }
    before.into_iter().chain([chunk]).try_for_each(|frame| scanner.feed(&frame))
}

fn events(stream: &mut Stream) -> Option<Verdict> {
    loop {
        match stream.step() {
            Ok(None) => return None,
            Ok(Some(Seen::Content)) if stream.decoder.stands_alone() => {
                return Some(bad_answer("the upstream answered with one object, not with a list"));
            }
            Ok(Some(seen)) => {
                if let Some(verdict) = judge(seen) {
                    return Some(verdict);
                }
            }
            Err(error) => return Some(Verdict::Broken(error)),
        }
    }
}

fn judge(seen: Seen) -> Option<Verdict> {
    match seen {
        Seen::Lifecycle => None,
        Seen::Content => Some(Verdict::Commit),
        Seen::Error(fault) => Some(Verdict::Said(fault)),
        Seen::Unfinished => Some(Verdict::Broken(StreamError::truncated())),
        Seen::Malformed => {
            Some(bad_answer("the upstream sent an event its protocol does not have"))
        }
    }
}

fn end_of_stream(stream: &mut Stream) -> Verdict {
    let (seen, clean) = stream.finish();
    if let Some(verdict) = judge(seen) {
        return verdict;
    }
    match stream.automaton.is_complete(clean) {
        true => Verdict::Commit,
        false => Verdict::Broken(StreamError::truncated()),
    }
}

fn end_of_answer(held: &Held, scanner: Scanner<fn(&str) -> bool>, call: &Call) -> Verdict {
    if held.is_empty() {
        return bad_answer("the upstream's answer is empty");
    }
    let Ok(members) = scanner.finish() else {
        return bad_answer("the upstream's answer is not whole");
    };
    if held.first() != Some(b'{') {
        return no_object(&held.joined(), call);
    }
    if members.is_empty() {
        return Verdict::Commit;
    }
    let text = held.joined();
    let suspect = members.iter().any(|member| !json::is_null(&text[member.value.clone()]));
    let fault =
        suspect.then(|| dialect(call.protocol).error_in_answer(Object::new(&text))).flatten();
    fault.map_or(Verdict::Commit, |fault| Verdict::Said(Box::new(fault)))
}

/// An answer that is JSON, but none of any protocol's. Gemini's errors come as arrays of one.
fn no_object(text: &[u8], call: &Call) -> Verdict {
    let only = Array::new(text.trim_ascii()).next().and_then(Result::ok);
    let only = only.filter(|element| element.starts_with(b"{"));
    match only.and_then(|only| dialect(call.protocol).error_in_answer(Object::new(only))) {
        Some(fault) => Verdict::Said(Box::new(fault)),
        // Its stream as a list, where events were asked for.
        None if call.stream && call.protocol == Protocol::Gemini && only.is_some() => {
            Verdict::Commit
        }
        None => bad_answer("the upstream's answer is no JSON object"),
    }
}

/// What an error answer says: what an inner layer wrote down, else what its bytes say.
pub(super) fn fault_of(head: &Parts, body: &[u8], call: &Call) -> Fault {
    if let Some(refusal) = head.extensions.get::<Refusal>() {
        return refusal.into();
    }
    if let Some(fault) = head.extensions.get::<Fault>() {
        return fault.clone();
    }
    match head.extensions.get::<Failure>() {
        Some(failure) => failure.into(),
        None => dialect(call.protocol).classify(head.status, &head.headers, body),
    }
}
