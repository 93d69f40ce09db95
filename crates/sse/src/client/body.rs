use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tollgate_core::BoxError;

use super::{
    early::{Early, Next},
    live::Live,
};
use crate::GatedBody;

pin_project! {
    /// Response body of [`Sse`](super::Sse).
    ///
    /// A stream never fails: what goes wrong is told in its last event. Any other body ends as the
    /// inner one does.
    #[derive(Debug)]
    pub struct SseBody<F, B> {
        #[pin]
        kind: Kind<F, B>,
    }
}

pin_project! {
    #[project = KindProj]
    #[derive(Debug)]
    enum Kind<F, B> {
        Inner { #[pin] body: B },
        Gated { #[pin] body: GatedBody<B> },
        Own { text: Option<Bytes> },
        Live { live: Box<Live<B>> },
        Early { early: Box<Early<F, B>> },
    }
}

impl<F, B> SseBody<F, B> {
    pub(super) fn inner(body: B) -> Self {
        Self { kind: Kind::Inner { body } }
    }

    pub(super) fn gated(body: GatedBody<B>) -> Self {
        Self { kind: Kind::Gated { body } }
    }

    pub(super) fn own(text: Bytes) -> Self {
        Self { kind: Kind::Own { text: Some(text).filter(|text| !text.is_empty()) } }
    }

    pub(super) fn live(live: Live<B>) -> Self {
        Self { kind: Kind::Live { live: Box::new(live) } }
    }

    pub(super) fn early(early: Early<F, B>) -> Self {
        Self { kind: Kind::Early { early: Box::new(early) } }
    }
}

impl<F, B, E> Body for SseBody<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        loop {
            let next = match self.as_mut().project().kind.project() {
                KindProj::Inner { body } => return body.poll_frame(cx),
                KindProj::Gated { body } => return body.poll_frame(cx),
                KindProj::Own { text } => {
                    return Poll::Ready(text.take().map(|text| Ok(Frame::data(text))));
                }
                KindProj::Live { live } => return live.poll_frame(cx).map(|frame| frame.map(Ok)),
                KindProj::Early { early } => ready!(early.poll(cx)),
            };
            match next {
                Next::Bytes(bytes) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Next::End => return Poll::Ready(None),
                Next::Live(live) => self.set(Self { kind: Kind::Live { live } }),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Gated { body } => body.is_end_stream(),
            Kind::Own { text } => text.is_none(),
            Kind::Live { live } => live.is_end_stream(),
            Kind::Early { early } => early.is_end_stream(),
        }
    }

    /// Nothing is known of a stream, which may be cut, ended by an error event or kept alive.
    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } => body.size_hint(),
            Kind::Gated { body } => body.size_hint(),
            Kind::Own { text } => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Kind::Live { .. } | Kind::Early { .. } => SizeHint::default(),
        }
    }
}
