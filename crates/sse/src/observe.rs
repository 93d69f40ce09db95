use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::{Decoded, Decoder, End, Framing, Tail};

/// Who wants to see the events of a body that passes.
///
/// Made once per response. For two closures there is [`on_events`].
pub trait Observer {
    /// Sees the next whole event. Keep-alives (comments, blank lines) are not shown.
    fn event(&mut self, event: Decoded<'_>);

    /// Hears how the body ended, exactly once, and nothing after it.
    fn end(self, end: End);
}

/// Makes an observer of two closures: one for each event, one for the end.
pub fn on_events<F, G>(event: F, end: G) -> OnEvents<F, G>
where
    F: FnMut(Decoded<'_>),
    G: FnOnce(End),
{
    OnEvents { event, end }
}

/// Observer made of two closures by [`on_events`].
#[derive(Clone, Copy)]
pub struct OnEvents<F, G> {
    event: F,
    end: G,
}

impl<F, G> Observer for OnEvents<F, G>
where
    F: FnMut(Decoded<'_>),
    G: FnOnce(End),
{
    fn event(&mut self, event: Decoded<'_>) {
        (self.event)(event);
    }

    fn end(self, end: End) {
        (self.end)(end);
    }
}

impl<F, G> fmt::Debug for OnEvents<F, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnEvents")
    }
}

pin_project! {
    /// A body that passes as it is while an [`Observer`] sees its events.
    ///
    /// Every frame leaves as it came and when it came. Where the bytes cannot be decoded (an event
    /// over the limit of its [`Decoder`], no array) the observer sees no further event, and still
    /// hears the end.
    pub struct Observe<B, O>
    where
        O: Observer,
    {
        #[pin]
        body: B,
        watch: Watch<O>,
    }
}

/// The observer, until it has heard the end.
struct Watch<O: Observer> {
    observer: Option<O>,
    decoder: Option<Decoder>,
}

impl<B, O: Observer> Observe<B, O> {
    /// Shows the events of `body` to `observer`.
    pub fn new(body: B, framing: Framing, observer: O) -> Self {
        Self::with_decoder(body, Decoder::new(framing), observer)
    }

    /// The same with a decoder whose limit was set. It must be at the start of a stream.
    pub fn with_decoder(body: B, decoder: Decoder, observer: O) -> Self {
        let watch = Watch { observer: Some(observer), decoder: Some(decoder) };
        Self { body, watch }
    }
}

impl<O: Observer> Watch<O> {
    fn chunk(&mut self, chunk: &Bytes) {
        let (Some(decoder), Some(observer)) = (&mut self.decoder, &mut self.observer) else {
            return;
        };
        decoder.push(chunk.clone());
        loop {
            match decoder.next() {
                Ok(Some(event)) if event.is_keep_alive() => {}
                Ok(Some(event)) => observer.event(event),
                Ok(None) => return,
                Err(_) => break,
            }
        }
        self.decoder = None;
    }

    fn end(&mut self, end: End) {
        let Some(mut observer) = self.observer.take() else { return };
        let mut decoder = self.decoder.take().filter(|_| end == End::Complete);
        if let Some(Tail::Event(event)) = decoder.as_mut().map(Decoder::finish) {
            observer.event(event);
        }
        observer.end(end);
    }
}

impl<O: Observer> Drop for Watch<O> {
    fn drop(&mut self) {
        self.end(End::Dropped);
    }
}

impl<B, O> Body for Observe<B, O>
where
    B: Body<Data = Bytes>,
    O: Observer,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.body.as_mut().poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(chunk) = frame.data_ref() {
                    this.watch.chunk(chunk);
                }
                // The reader may take our word for it and never poll again.
                if this.body.is_end_stream() {
                    this.watch.end(End::Complete);
                }
            }
            Some(Err(_)) => this.watch.end(End::Failed),
            None => this.watch.end(End::Complete),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: fmt::Debug, O: Observer> fmt::Debug for Observe<B, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observe")
            .field("body", &self.body)
            .field("decoder", &self.watch.decoder)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use http_body_util::{BodyExt, Empty, Full};

    use super::*;
    use crate::scripted::{Scripted, trailers};

    type Log = Rc<RefCell<Vec<String>>>;

    fn watched<B>(body: B) -> (Observe<B, impl Observer>, Log) {
        let log = Log::default();
        let (events, ends) = (log.clone(), log.clone());
        let observer = on_events(
            move |event| events.borrow_mut().push(String::from_utf8_lossy(event.data()).into()),
            move |end| ends.borrow_mut().push(end.to_string()),
        );
        (Observe::new(body, Framing::Sse, observer), log)
    }

    #[tokio::test]
    async fn passes_every_frame_and_shows_every_event() {
        let script = Scripted::new(["data: 1\n\n: c\n\nda", "ta: 2\n\n"]).trailers(trailers());
        let (body, log) = watched(script);
        let collected = body.collect().await.unwrap();
        assert_eq!(collected.trailers(), Some(&trailers()));
        assert_eq!(collected.to_bytes(), "data: 1\n\n: c\n\ndata: 2\n\n");
        assert_eq!(*log.borrow(), ["1", "2", "complete"]);
    }

    #[tokio::test]
    async fn shows_a_last_event_without_blank_line() {
        let (body, log) = watched(Scripted::new(["data: [DONE]"]));
        body.collect().await.unwrap();
        assert_eq!(*log.borrow(), ["[DONE]", "complete"]);
    }

    #[tokio::test]
    async fn reports_once_when_the_body_fails() {
        let (mut body, log) = watched(Scripted::new(["data: 1\n\n"]).fails("reset"));
        body.frame().await.unwrap().unwrap();
        body.frame().await.unwrap().unwrap_err();
        drop(body);
        assert_eq!(*log.borrow(), ["1", "failed"]);
    }

    #[tokio::test]
    async fn reports_once_when_dropped_or_never_polled() {
        let (mut body, log) = watched(Scripted::new(["data: 1\n\n", "data: 2\n\n"]));
        body.frame().await.unwrap().unwrap();
        drop(body);
        assert_eq!(*log.borrow(), ["1", "dropped"]);
        let (body, log) = watched(Empty::<Bytes>::new());
        drop(body);
        assert_eq!(*log.borrow(), ["dropped"]);
    }

    #[tokio::test]
    async fn reports_completion_to_a_reader_that_trusts_is_end_stream() {
        let (mut body, log) = watched(Full::new(Bytes::from_static(b"data: 1\n\n")));
        assert_eq!(body.size_hint().exact(), Some(9));
        body.frame().await.unwrap().unwrap();
        assert!(body.is_end_stream());
        drop(body);
        assert_eq!(*log.borrow(), ["1", "complete"]);
    }

    #[tokio::test]
    async fn bytes_pass_where_the_decoder_gave_up() {
        let text = "x".repeat(100);
        let log = Log::default();
        let ends = log.clone();
        let observer = on_events(|_| {}, move |end| ends.borrow_mut().push(end.to_string()));
        let decoder = Decoder::new(Framing::Sse).limit(10);
        let script = Scripted::new([text.as_str(), "data: 1\n\n"]);
        let body = Observe::with_decoder(script, decoder, observer);
        assert_eq!(body.collect().await.unwrap().to_bytes().len(), 109);
        assert_eq!(*log.borrow(), ["complete"]);
    }
}
