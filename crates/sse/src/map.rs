use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tollgate_core::{BoxError, Class, StreamError};
use tollgate_wire::OwnEvent;

use crate::{Decoded, Decoder, Encoder, End, Framing, Tail};

/// Turns the events of one stream into those of another: one machine per response, fed in order.
pub trait Machine {
    /// Reads the next whole event and writes what follows from it, which may be nothing.
    /// Keep-alives (comments, blank lines) are not shown.
    ///
    /// Errors: end the stream with this error after what was written so far.
    fn event(&mut self, event: Decoded<'_>, out: &mut Out) -> Result<(), StreamError>;

    /// Hears the end and writes what is left to say. Called once, unless the body is dropped.
    ///
    /// Errors: as [`Machine::event`]. A stream that failed ends in its own error whatever is
    /// returned.
    fn finish(&mut self, end: End, out: &mut Out) -> Result<(), StreamError>;
}

/// Where a [`Machine`] writes its events.
#[derive(Debug)]
pub struct Out {
    encoder: Encoder,
    bytes: BytesMut,
}

impl Out {
    fn new(framing: Framing) -> Self {
        Self { encoder: Encoder::new(framing), bytes: BytesMut::new() }
    }

    /// Writes an event with JSON text `data` (or `[DONE]`).
    pub fn event(&mut self, name: Option<&str>, data: &[u8]) {
        self.encoder.event(name, data, &mut self.bytes);
    }

    /// Writes an event of our own.
    pub fn own(&mut self, event: &OwnEvent) {
        self.event(event.name, &event.data);
    }

    /// Passes on a keep-alive or other bytes as they are. They must end on an event's boundary.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn take(&mut self) -> Option<Bytes> {
        (!self.bytes.is_empty()).then(|| self.bytes.split().freeze())
    }
}

pin_project! {
    /// A body whose events are those a [`Machine`] makes of another body's.
    ///
    /// The inner body is polled only when everything made of its last frame was taken. What is
    /// made of one frame leaves as one frame. Trailers are passed on. A failed inner body ends
    /// this one in a [`StreamError`], after the machine's last words.
    pub struct MapEvents<B, M> {
        #[pin]
        body: B,
        decoder: Decoder,
        machine: M,
        out: Out,
        state: State,
    }
}

#[derive(Debug)]
enum State {
    Reading,
    /// Everything was read: what is made is sent, then this.
    Ending(Option<HeaderMap>, Option<StreamError>),
}

impl<B, M> MapEvents<B, M> {
    /// Feeds the events of `body`, framed as `from`, to `machine` and frames what it makes as `to`.
    pub fn new(body: B, from: Framing, to: Framing, machine: M) -> Self {
        Self::with_decoder(body, Decoder::new(from), to, machine)
    }

    /// The same with a decoder whose limit was set. It must be at the start of a stream.
    pub fn with_decoder(body: B, decoder: Decoder, to: Framing, machine: M) -> Self {
        Self { body, decoder, machine, out: Out::new(to), state: State::Reading }
    }
}

/// The parts of the body that are not pinned.
struct Mapping<'a, M> {
    decoder: &'a mut Decoder,
    machine: &'a mut M,
    out: &'a mut Out,
}

impl<M: Machine> Mapping<'_, M> {
    fn chunk(&mut self, chunk: Bytes) -> Result<(), StreamError> {
        self.decoder.push(chunk);
        while let Some(event) = self.decoder.next().map_err(undecodable)? {
            if !event.is_keep_alive() {
                self.machine.event(event, self.out)?;
            }
        }
        Ok(())
    }

    /// Ends a body that was read to its end.
    fn complete(&mut self) -> Result<(), StreamError> {
        let end = match self.decoder.finish() {
            Tail::Truncated => End::Failed,
            Tail::Clean => End::Complete,
            Tail::Event(event) => {
                self.machine.event(event, self.out)?;
                End::Complete
            }
        };
        self.machine.finish(end, self.out)?;
        if end == End::Failed {
            return Err(StreamError::truncated());
        }
        self.out.encoder.close(&mut self.out.bytes);
        Ok(())
    }

    fn failed(&mut self, error: StreamError) -> State {
        let _ = self.machine.finish(End::Failed, self.out);
        State::Ending(None, Some(error))
    }

    /// What one frame of the inner body leads to; `None` to go on reading.
    fn frame(&mut self, frame: Option<Result<Frame<Bytes>, BoxError>>) -> Option<State> {
        let (result, trailers) = match frame {
            Some(Err(error)) => return Some(self.failed(StreamError::from_boxed(error))),
            None => (self.complete(), None),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(chunk) => return self.chunk(chunk).err().map(|error| self.failed(error)),
                Err(frame) => (self.complete(), frame.into_trailers().ok()),
            },
        };
        Some(State::Ending(trailers, result.err()))
    }
}

pub(crate) fn undecodable(error: crate::DecodeError) -> StreamError {
    let code = match error {
        crate::DecodeError::TooLarge { .. } => "event_too_large",
        crate::DecodeError::Malformed => "upstream_bad_answer",
    };
    StreamError::new(Class::ServerError, error.to_string()).code(code)
}

impl<B, M> Body for MapEvents<B, M>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    M: Machine,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        loop {
            if let Some(bytes) = this.out.take() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if let State::Ending(trailers, error) = this.state {
                let trailers = trailers.take().map(|trailers| Ok(Frame::trailers(trailers)));
                return Poll::Ready(trailers.or_else(|| error.take().map(|e| Err(e.into()))));
            }
            let frame = ready!(this.body.as_mut().poll_frame(cx));
            let mut mapping =
                Mapping { decoder: this.decoder, machine: this.machine, out: this.out };
            if let Some(state) = mapping.frame(frame.map(|frame| frame.map_err(Into::into))) {
                *this.state = state;
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.out.bytes.is_empty() && matches!(self.state, State::Ending(None, None))
    }

    /// Nothing is known: events may grow, shrink or vanish.
    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl<B: fmt::Debug, M: fmt::Debug> fmt::Debug for MapEvents<B, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapEvents")
            .field("body", &self.body)
            .field("machine", &self.machine)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::scripted::{Scripted, trailers};

    /// Doubles each event; says how it ended.
    #[derive(Debug)]
    struct Doubles;

    impl Machine for Doubles {
        fn event(&mut self, event: Decoded<'_>, out: &mut Out) -> Result<(), StreamError> {
            match event.data() {
                b"0" => return Ok(()),
                b"-1" => return Err(StreamError::new(Class::ServerError, "negative")),
                _ => {}
            }
            out.event(event.name(), event.data());
            out.event(event.name(), event.data());
            Ok(())
        }

        fn finish(&mut self, end: End, out: &mut Out) -> Result<(), StreamError> {
            out.event(Some("end"), end.to_string().as_bytes());
            Ok(())
        }
    }

    fn doubled(script: Scripted) -> MapEvents<Scripted, Doubles> {
        MapEvents::new(script, Framing::Sse, Framing::Sse, Doubles)
    }

    async fn text<B>(body: &mut B) -> (String, Option<B::Error>)
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let mut text = String::new();
        loop {
            match body.frame().await {
                Some(Ok(frame)) => {
                    let data = frame.into_data().unwrap_or_default();
                    text.push_str(std::str::from_utf8(&data).unwrap());
                }
                Some(Err(error)) => return (text, Some(error)),
                None => return (text, None),
            }
        }
    }

    #[tokio::test]
    async fn what_is_made_of_one_frame_leaves_as_one_frame() {
        let mut body = doubled(Scripted::new(["data: 0\n\ndata: 1\n\nda", "ta: 2\n\n"]));
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, "data: 1\n\ndata: 1\n\n");
        let (rest, error) = text(&mut body).await;
        assert_eq!(rest, "data: 2\n\ndata: 2\n\nevent: end\ndata: complete\n\n");
        assert!(error.is_none() && body.is_end_stream());
    }

    #[tokio::test]
    async fn trailers_survive() {
        let body = doubled(Scripted::new(["data: 1"]).trailers(trailers()));
        let collected = body.collect().await.unwrap();
        assert_eq!(collected.trailers(), Some(&trailers()));
        assert!(collected.to_bytes().ends_with(b"complete\n\n"));
    }

    #[tokio::test]
    async fn a_failed_or_cut_body_ends_in_a_stream_error_after_the_last_words() {
        for script in
            [Scripted::new(["data: 1\n\n"]).fails("reset"), Scripted::new(["data: 1\n\ndata"])]
        {
            let (text, error) = text(&mut doubled(script)).await;
            assert!(text.ends_with("event: end\ndata: failed\n\n"), "{text}");
            let error = StreamError::from_boxed(error.unwrap());
            assert_eq!(error.stable_code(), Some("upstream_truncated"));
        }
    }

    #[tokio::test]
    async fn the_machine_can_end_the_stream() {
        let mut body = doubled(Scripted::new(["data: 1\n\ndata: -1\n\ndata: 2\n\n"]));
        let (text, error) = text(&mut body).await;
        assert_eq!(text, "data: 1\n\ndata: 1\n\nevent: end\ndata: failed\n\n");
        assert_eq!(error.unwrap().to_string(), "server_error: negative");
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn arrays_are_written_whole() {
        let script = Scripted::new(["data: 1\n\n"]);
        let mut body = MapEvents::new(script, Framing::Sse, Framing::JsonArray, Doubles);
        assert_eq!(text(&mut body).await.0, "[1,\n1,\ncomplete]");
    }
}
