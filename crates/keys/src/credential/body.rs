use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tollgate_core::Reply;

use super::mask::Mask;

pin_project! {
    /// Response body of [`SetCredential`](super::SetCredential): the inner service's without our
    /// credential, frame by frame.
    ///
    /// Its length is the inner body's, and errors and trailers come after all bytes before them.
    pub struct ResponseBody<B>
    where
        B: Body,
    {
        #[pin]
        inner: Reply<B>,
        mask: Option<Mask>,
        // Boxed: a credential is next to never cut by the end of a frame.
        queued: Option<Box<Result<Frame<Bytes>, B::Error>>>,
        ended: bool,
    }
}

impl<B: Body<Data = Bytes>> ResponseBody<B> {
    pub(super) fn inner(body: B, mask: Option<Mask>) -> Self {
        Self { inner: Reply::inner(body), mask, queued: None, ended: false }
    }

    pub(super) fn own(text: Bytes) -> Self {
        Self { inner: Reply::own(text), mask: None, queued: None, ended: false }
    }

    fn held(&self) -> usize {
        let queued = self.queued.as_deref().and_then(|frame| frame.as_ref().ok()?.data_ref());
        self.mask.as_ref().map_or(0, Mask::held) + queued.map_or(0, Bytes::len)
    }
}

impl<B: Body> fmt::Debug for ResponseBody<B> {
    /// Leaves the inner body out: it may show what has not been masked yet.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody")
            .field("mask", &self.mask)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

type Item<E> = Option<Result<Frame<Bytes>, E>>;

/// Passes `item` through `mask` and returns what to send now and what to send next.
fn masked<E>(mask: &mut Mask, item: Item<E>) -> (Bytes, Item<E>) {
    match item {
        Some(Ok(frame)) => match frame.into_data() {
            Ok(piece) => {
                let released = mask.feed(piece);
                let piece = Some(released.piece).filter(|piece| !piece.is_empty());
                (released.before, piece.map(|piece| Ok(Frame::data(piece))))
            }
            Err(frame) => (mask.finish(), Some(Ok(trailers(mask, frame)))),
        },
        other => (mask.finish(), other),
    }
}

fn trailers(mask: &Mask, frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            mask.headers(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let Some(mask) = this.mask else { return this.inner.poll_frame(cx) };
        loop {
            if let Some(item) = this.queued.take() {
                return Poll::Ready(Some(*item));
            }
            if *this.ended {
                return Poll::Ready(None);
            }
            let item = ready!(this.inner.as_mut().poll_frame(cx));
            *this.ended = !matches!(item, Some(Ok(_)));
            let (first, next) = masked(mask, item);
            if first.is_empty() {
                match next {
                    Some(item) => return Poll::Ready(Some(item)),
                    None => continue,
                }
            }
            *this.queued = next.map(Box::new);
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.queued.is_none() && self.held() == 0 && (self.ended || self.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, held) = (self.inner.size_hint(), self.held() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(held));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint
    }
}
