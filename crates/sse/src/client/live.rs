use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep};
use tollgate_core::{BoxError, CallId, Class, Outcome, StreamError};
use tollgate_wire::{Fault, Seen};

use crate::{
    Encoder, Framing, encode_event,
    gate::{Stream, StreamParts},
};

/// What ends an event whose own end was left out.
const BLANK: Bytes = Bytes::from_static(b"\n\n");

/// Writes down how a stream ended; dropped before that, that the client left.
#[derive(Debug)]
pub(super) struct Record(Outcome);

impl Record {
    pub(super) fn new(outcome: Outcome) -> Self {
        Self(outcome)
    }

    pub(super) fn ended(&self, class: Option<Class>) {
        self.0.ended(class);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.0.ended(Some(Class::Cancelled));
    }
}

/// Fires when nothing was sent for a while. The timer is set once and again only when it fires.
#[derive(Debug)]
pub(super) struct KeepAlive {
    idle: Duration,
    words: &'static [u8],
    since: Instant,
    /// Something was sent since the clock was last read: it is read only where one must wait.
    busy: bool,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl KeepAlive {
    pub(super) fn new(idle: Duration, words: &'static [u8]) -> Self {
        Self { idle, words, since: Instant::now(), busy: false, sleep: None }
    }

    fn touch(&mut self) {
        self.busy = true;
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        if std::mem::take(&mut self.busy) {
            self.since = Instant::now();
        }
        loop {
            let due = self.since + self.idle;
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            ready!(sleep.as_mut().poll(cx));
            if Instant::now() >= due {
                self.since = Instant::now();
                sleep.as_mut().reset(self.since + self.idle);
                return Poll::Ready(Bytes::from_static(self.words));
            }
            sleep.as_mut().reset(due);
        }
    }
}

/// A committed stream on its way to the client.
#[derive(Debug)]
pub(super) struct Live<B> {
    stream: Box<Stream>,
    /// `None` once it was read to its end, failed, or is not wanted any more.
    rest: Option<Pin<Box<B>>>,
    trailers: Option<Box<HeaderMap>>,
    /// How far into the stream the client may see.
    release: u64,
    last_words: Option<Bytes>,
    /// The last byte given was a carriage return, of which a line feed may be part.
    after_cr: bool,
    keep_alive: Option<KeepAlive>,
    record: Record,
    id: CallId,
}

impl<B> Live<B> {
    pub(super) fn new(
        parts: StreamParts<B>,
        keep_alive: Option<KeepAlive>,
        record: Record,
        id: CallId,
    ) -> Self {
        let StreamParts { stream, rest, trailers } = parts;
        let ended = rest.is_none();
        let mut live = Self {
            release: 0,
            last_words: None,
            after_cr: false,
            stream,
            rest,
            trailers,
            keep_alive,
            record,
            id,
        };
        if live.read() && ended {
            live.complete();
        }
        live
    }

    /// Reads what was pushed and releases it; whether the stream goes on.
    fn read(&mut self) -> bool {
        if self.stream.is_ahead() {
            return true;
        }
        loop {
            self.release = self.stream.decoder.position();
            match self.stream.step() {
                Ok(None) => break,
                Ok(Some(Seen::Error(fault))) => {
                    self.said(*fault);
                    return false;
                }
                // It is not shown: its reader would stop before what follows.
                Ok(Some(Seen::Unfinished)) => {
                    self.broken(&StreamError::truncated());
                    return false;
                }
                Ok(Some(_)) => {}
                Err(error) => {
                    self.broken(&error);
                    return false;
                }
            }
        }
        // A line feed that belongs to the last event's line end may have come alone.
        self.release = self.stream.decoder.position();
        true
    }

    /// The upstream said so itself: its event is the last, as it came unless it speaks of us.
    fn said(&mut self, fault: Fault) {
        self.stop(Some(fault.class));
        if fault.is_ours() {
            self.last_words = Some(self.error_event(&fault.hiding_ours()));
            return;
        }
        self.release = self.stream.decoder.position();
        self.last_words = match self.stream.decoder.framing() {
            Framing::JsonArray => Some(Bytes::from_static(b"]")),
            // Without the blank line no reader would see it.
            Framing::Sse if self.stream.decoder.is_unterminated() => Some(BLANK),
            Framing::Sse => None,
        };
    }

    /// The stream broke, unless it had said its last word before.
    fn broken(&mut self, error: &StreamError) {
        if self.stream.automaton.is_complete(false) {
            return self.stop(None);
        }
        self.stop(Some(error.class()));
        self.last_words = Some(self.error_event(&Fault::from(error)));
    }

    /// The body ended as it should.
    fn complete(&mut self) {
        let (seen, clean) = self.stream.finish();
        match seen {
            Seen::Error(fault) => return self.said(*fault),
            Seen::Unfinished => return self.broken(&StreamError::truncated()),
            _ => {}
        }
        let complete = self.stream.automaton.is_complete(clean);
        if self.stream.decoder.is_unterminated() || (complete && clean) {
            self.release = self.stream.decoder.position();
        }
        match complete {
            true => {
                self.record.ended(None);
                self.rest = None;
            }
            false => self.broken(&StreamError::truncated()),
        }
    }

    /// Reads what came of a stream that was read further elsewhere; whether the stream goes on.
    fn catch_up(&mut self) -> bool {
        if !self.stream.is_ahead() {
            return true;
        }
        self.stream.read_anew();
        self.read()
    }

    /// Reads nothing more: the inner body is dropped, after it was written down why.
    fn stop(&mut self, class: Option<Class>) {
        self.record.ended(class);
        self.rest = None;
        self.trailers = None;
    }

    fn error_event(&self, fault: &Fault) -> Bytes {
        let event = self.stream.automaton.error_event(fault, &self.id.to_string());
        match self.stream.decoder.framing() {
            Framing::Sse if self.stream.decoder.is_unterminated() => {
                [BLANK, encode_event(&event)].concat().into()
            }
            Framing::Sse => encode_event(&event),
            Framing::JsonArray => last_element(&event.data, self.release > 0),
        }
    }
}

fn last_element(data: &[u8], others: bool) -> Bytes {
    let mut out = BytesMut::with_capacity(data.len() + 4);
    let mut encoder = match others {
        true => Encoder::resumed(Framing::JsonArray),
        false => Encoder::new(Framing::JsonArray),
    };
    encoder.event(None, data, &mut out);
    encoder.close(&mut out);
    out.freeze()
}

impl<B> Live<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// Never fails: what goes wrong is told in the stream itself.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        loop {
            if let Some(bytes) = self.next_bytes() {
                return Poll::Ready(Some(Frame::data(bytes)));
            }
            let Some(rest) = &mut self.rest else {
                return Poll::Ready(
                    self.trailers.take().map(|trailers| Frame::trailers(*trailers)),
                );
            };
            match rest.as_mut().poll_frame(cx) {
                Poll::Ready(frame) => self.take_in(frame),
                Poll::Pending => {
                    let Some(keep_alive) = &mut self.keep_alive else { return Poll::Pending };
                    return keep_alive.poll(cx).map(|words| Some(Frame::data(words)));
                }
            }
        }
    }

    fn next_bytes(&mut self) -> Option<Bytes> {
        let bytes = self.stream.held.take_to(self.release).or_else(|| self.last_words())?;
        self.after_cr = bytes.last() == Some(&b'\r');
        if let Some(keep_alive) = &mut self.keep_alive {
            keep_alive.touch();
        }
        Some(bytes)
    }

    /// Our own last event. Readers that know only `\n` and `\r\n` need the cut line end whole.
    fn last_words(&mut self) -> Option<Bytes> {
        let words = self.last_words.take()?;
        let whole = self.after_cr && self.stream.decoder.framing() == Framing::Sse;
        Some(if whole { [b"\n".as_slice(), &words].concat().into() } else { words })
    }

    fn take_in(&mut self, frame: Option<Result<Frame<Bytes>, B::Error>>) {
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                let error = StreamError::from_boxed(error.into());
                if self.catch_up() {
                    self.broken(&error);
                }
                return;
            }
            None => {
                if self.catch_up() {
                    self.complete();
                }
                self.rest = None;
                return;
            }
        };
        match frame.into_data() {
            Ok(chunk) => {
                self.stream.push(chunk);
                self.read();
            }
            Err(frame) => self.trailers = frame.into_trailers().ok().map(Box::new),
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.rest.is_none()
            && self.trailers.is_none()
            && self.last_words.is_none()
            && !self.stream.held.has_before(self.release)
    }
}
