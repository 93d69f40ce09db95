use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tollgate_core::{Attempt, BoxError, Cause, Class, Ending, StreamError};
use tollgate_sse::{DecodeError, Decoder, Framing, GatedBody, Tail};
use tollgate_wire::Fault;

use crate::stream::StreamTranslator;

pin_project! {
    /// Response body of [`Translate`](super::Translate).
    ///
    /// The inner service's, untouched, where nothing was translated; a whole text; or a stream made
    /// of another protocol's. A translated stream never fails: what goes wrong is told in its last
    /// event, in the client's protocol. Its trailers are not passed on.
    pub struct TranslateBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        Inner { #[pin] body: B },
        Own { text: Option<Bytes> },
        Events { events: Pin<Box<Events<B>>> },
    }
}

impl<B> TranslateBody<B> {
    pub(super) fn inner(body: B) -> Self {
        Self { kind: Kind::Inner { body } }
    }

    pub(super) fn own(text: Bytes) -> Self {
        Self { kind: Kind::Own { text: Some(text).filter(|text| !text.is_empty()) } }
    }

    pub(super) fn events(
        body: GatedBody<B>,
        machine: StreamTranslator,
        attempt: Option<Attempt>,
    ) -> Self {
        let events = Events {
            body: Some(body),
            decoder: Decoder::new(Framing::Sse),
            machine,
            bytes: BytesMut::new(),
            attempt,
        };
        Self { kind: Kind::Events { events: Box::pin(events) } }
    }
}

impl<B> Body for TranslateBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().kind.project() {
            KindProj::Inner { body } => body.poll_frame(cx).map_err(Into::into),
            KindProj::Own { text } => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            KindProj::Events { events } => {
                events.as_mut().poll_bytes(cx).map(|bytes| bytes.map(|b| Ok(Frame::data(b))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Own { text } => text.is_none(),
            Kind::Events { events } => events.body.is_none() && events.bytes.is_empty(),
        }
    }

    /// Nothing is known of a stream that is translated.
    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } => body.size_hint(),
            Kind::Own { text } => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Kind::Events { .. } => SizeHint::default(),
        }
    }
}

impl<B: fmt::Debug> fmt::Debug for TranslateBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("TranslateBody");
        match &self.kind {
            Kind::Inner { body } => shown.field("inner", body).finish(),
            Kind::Own { .. } => shown.field("own", &true).finish(),
            Kind::Events { events } => shown.field("events", &events.machine).finish(),
        }
    }
}

pin_project! {
    /// A stream on its way from one protocol to another.
    struct Events<B> {
        // `None` once it ended or is not wanted any more: the upstream is told at once by the drop.
        #[pin]
        body: Option<GatedBody<B>>,
        decoder: Decoder,
        machine: StreamTranslator,
        bytes: BytesMut,
        attempt: Option<Attempt>,
    }
}

/// The parts of a stream that are not pinned.
struct Moving<'a> {
    decoder: &'a mut Decoder,
    machine: &'a mut StreamTranslator,
    bytes: &'a mut BytesMut,
    attempt: Option<&'a Attempt>,
}

impl Moving<'_> {
    /// Takes in a frame; whether nothing of the body is wanted any more.
    fn frame(&mut self, frame: Option<Result<Frame<Bytes>, BoxError>>) -> bool {
        let ended = frame.is_none();
        match frame {
            None => self.end(),
            Some(Err(error)) => {
                let fault = Fault::from(&StreamError::from_boxed(error));
                self.machine.fail(&fault, self.bytes);
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(chunk) => self.chunk(chunk),
                Err(_trailers) => {}
            },
        }
        ended || self.machine.fault().is_some()
    }

    fn chunk(&mut self, chunk: Bytes) {
        self.decoder.push(chunk);
        loop {
            match self.decoder.next() {
                Ok(Some(event)) => {
                    if !event.is_keep_alive() {
                        self.machine.event(event.name(), event.data(), self.bytes);
                    }
                }
                Ok(None) => return,
                Err(error) => return self.machine.fail(&undecodable(error), self.bytes),
            }
        }
    }

    /// The body was read to its end.
    fn end(&mut self) {
        match self.decoder.finish() {
            Tail::Clean => {}
            Tail::Event(event) => self.machine.event(event.name(), event.data(), self.bytes),
            Tail::Truncated => {
                let fault = Fault::from(&StreamError::truncated());
                return self.machine.fail(&fault, self.bytes);
            }
        }
        self.machine.end(self.bytes);
    }

    /// Says why the body is dropped before its end, if that was our doing.
    fn tell(&self) {
        let ours = self.machine.fault().is_some_and(is_unreadable);
        if let Some(attempt) = self.attempt.filter(|_| ours) {
            attempt.end(Ending::Failed(Cause::Translator));
        }
    }
}

/// Whether it is a fault of what was read or written here.
fn is_unreadable(fault: &Fault) -> bool {
    matches!(fault.code.as_deref(), Some("upstream_bad_answer" | "malformed_tool_call"))
}

fn undecodable(error: DecodeError) -> Fault {
    let code = match error {
        DecodeError::TooLarge { .. } => "event_too_large",
        _ => "upstream_bad_answer",
    };
    let mut fault = Fault::new(Class::ServerError, error.to_string());
    fault.code = Some(code.to_owned());
    fault
}

impl<B> Events<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// The next piece of the client's stream: what was made of one frame leaves as one.
    fn poll_bytes(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut this = self.project();
        loop {
            if !this.bytes.is_empty() {
                return Poll::Ready(Some(this.bytes.split().freeze()));
            }
            let Some(body) = this.body.as_mut().as_pin_mut() else { return Poll::Ready(None) };
            let frame = ready!(body.poll_frame(cx)).map(|frame| frame.map_err(Into::into));
            let mut moving = Moving {
                decoder: this.decoder,
                machine: this.machine,
                bytes: this.bytes,
                attempt: this.attempt.as_ref(),
            };
            if moving.frame(frame) {
                moving.tell();
                this.body.set(None);
            }
        }
    }
}
