use std::{
    cmp::Ordering,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Extensions, HeaderMap};
use tokio::time::{Instant, Sleep};
use tollgate_core::{Attempt, Call, Cause, Class, Deadline, Ending, Protocol, StreamError, Target};
use tollgate_wire::{Automaton, Seen, dialect};

use super::Deadlines;
use crate::{DecodeError, Decoder, Framing, Media};

/// Runs the clocks of one request on one timer, which is set again only when it fires too early.
#[derive(Debug)]
pub(super) struct Clock {
    deadlines: Deadlines,
    total: Option<Instant>,
    attempt: Option<Attempt>,
    call: Option<Call>,
    protocol: Option<Protocol>,
    started: Instant,
    /// When the last sign of life came.
    last: Instant,
    watch: Watch,
    sleep: Pin<Box<Sleep>>,
}

/// What is waited for.
enum Watch {
    Head,
    /// The next event; with an automaton the first content.
    Events(Box<Decoder>, Option<Box<dyn Automaton>>),
    /// The end of a JSON answer, which is content when it is whole.
    Whole,
    Frames,
}

impl Clock {
    pub(super) fn new(own: Deadlines, extensions: &Extensions, call: Option<Call>) -> Self {
        let started = Instant::now();
        let target = extensions.get::<Arc<Target>>().map(|target| target.protocol);
        let total = extensions.get::<Deadline>().map(|at| Instant::from_std(at.0));
        let deadlines = extensions.get().copied().unwrap_or(own);
        let mut clock = Self {
            deadlines,
            total,
            attempt: extensions.get().cloned(),
            protocol: target.or(call.as_ref().map(|call| call.protocol)),
            call,
            started,
            last: started,
            watch: Watch::Head,
            sleep: Box::pin(tokio::time::sleep_until(started)),
        };
        let (due, _) = clock.due();
        clock.sleep.as_mut().reset(due);
        clock
    }

    /// The head is there: what its body is decides how it is watched.
    pub(super) fn head(&mut self, headers: &HeaderMap) {
        self.last = Instant::now();
        self.watch = match self.framing(headers) {
            Some(framing) => Watch::Events(Box::new(Decoder::new(framing)), self.automaton()),
            None if self.has_content() && Media::of(headers) == Media::Json => Watch::Whole,
            None => Watch::Frames,
        };
    }

    /// Whether it is a call of which one can say when its answer has content.
    fn has_content(&self) -> bool {
        self.call.as_ref().is_some_and(|call| call.operation.has_model())
    }

    fn framing(&self, headers: &HeaderMap) -> Option<Framing> {
        let array = self.call.as_ref().is_some_and(|call| call.json_array)
            && self.protocol == Some(Protocol::Gemini);
        match Media::of(headers) {
            Media::EventStream => Some(Framing::Sse),
            Media::Json if array => Some(Framing::JsonArray),
            _ => None,
        }
    }

    fn automaton(&self) -> Option<Box<dyn Automaton>> {
        let call = self.call.as_ref().filter(|call| call.operation.has_model())?;
        Some(dialect(self.protocol?).automaton(call))
    }

    /// Notes what a chunk of the body says about the upstream's life. Errors: the call is over.
    pub(super) fn chunk(&mut self, chunk: &Bytes) -> Result<(), StreamError> {
        let now = Instant::now();
        if self.total.is_some_and(|total| now >= total) {
            return Err(self.expired(self.over()));
        }
        match &mut self.watch {
            Watch::Events(decoder, automaton) => match alive(decoder, automaton, chunk) {
                Ok(true) => self.last = now,
                Ok(false) => {}
                Err(_) => (self.watch, self.last) = (Watch::Frames, now),
            },
            _ => self.last = now,
        }
        Ok(())
    }

    /// Waits until a clock runs out; says which.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<StreamError> {
        loop {
            let (due, code) = self.due();
            if self.sleep.deadline() > due {
                self.sleep.as_mut().reset(due);
            }
            ready!(self.sleep.as_mut().poll(cx));
            if Instant::now() >= due {
                return Poll::Ready(self.expired(code));
            }
            self.sleep.as_mut().reset(due);
        }
    }

    fn due(&self) -> (Instant, &'static str) {
        let first_content = (self.started + self.deadlines.first_content, "first_content_timeout");
        let idle = (self.last + self.deadlines.idle, "idle_timeout");
        let own = match &self.watch {
            Watch::Head => {
                let head = (self.started + self.deadlines.head, "head_timeout");
                let streams = self.call.as_ref().is_some_and(|call| call.stream);
                match first_content.0.cmp(&head.0) {
                    Ordering::Less if self.has_content() => first_content,
                    Ordering::Equal if streams => first_content,
                    _ => head,
                }
            }
            Watch::Events(_, Some(_)) => first_content,
            Watch::Whole => idle.min(first_content),
            Watch::Events(_, None) | Watch::Frames => idle,
        };
        match self.total {
            Some(total) if total < own.0 => (total, self.over()),
            _ => own,
        }
    }

    /// How it is called that nothing may take longer: a stream that has begun was at its limit.
    fn over(&self) -> &'static str {
        let streams = self.call.as_ref().is_some_and(|call| call.stream);
        match &self.watch {
            Watch::Head => "total_timeout",
            Watch::Whole | Watch::Frames if !streams => "total_timeout",
            _ => "stream_limit",
        }
    }

    fn expired(&self, code: &'static str) -> StreamError {
        if let Some(attempt) = &self.attempt {
            attempt.end(Ending::Failed(Cause::Deadline));
        }
        let message = match code {
            "head_timeout" => "the upstream did not answer in time",
            "first_content_timeout" if matches!(self.watch, Watch::Whole) => {
                "the upstream's answer was not whole in time"
            }
            "first_content_timeout" => "the upstream's answer did not begin in time",
            "idle_timeout" => "the upstream fell silent within its answer",
            _ => "the call took longer than it may",
        };
        StreamError::new(Class::Timeout, message).code(code)
    }
}

/// Whether a chunk completes an event that is more than a comment. Content ends the automaton.
fn alive(
    decoder: &mut Decoder,
    automaton: &mut Option<Box<dyn Automaton>>,
    chunk: &Bytes,
) -> Result<bool, DecodeError> {
    if automaton.is_none() && decoder.pass(chunk) {
        return Ok(true);
    }
    decoder.push(chunk.clone());
    let mut alive = false;
    while let Some(waiting) = automaton {
        let Some(event) = decoder.next()? else { return Ok(alive) };
        alive |= !event.is_keep_alive();
        let seen = match event.data() {
            [] => Seen::Lifecycle,
            _ => waiting.event(event.event()),
        };
        if matches!(seen, Seen::Content | Seen::Error(_)) {
            *automaton = None;
        }
    }
    while let Some(says_something) = decoder.skip()? {
        alive |= says_something;
    }
    Ok(alive)
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head => "Head",
            Self::Events(_, Some(_)) => "FirstContent",
            Self::Events(_, None) => "Events",
            Self::Whole => "Whole",
            Self::Frames => "Frames",
        })
    }
}
