use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tollgate_core::{BoxError, StreamError};

use super::clock::Clock;

pin_project! {
    /// A body that ends in a [`StreamError`] when a deadline passes. Its bytes pass untouched.
    #[derive(Debug)]
    pub struct DeadlineBody<B> {
        // `None` once a deadline passed: the upstream is told at once by the drop.
        #[pin]
        body: Option<B>,
        clock: Box<Clock>,
    }
}

impl<B> DeadlineBody<B> {
    pub(super) fn new(body: B, clock: Box<Clock>) -> Self {
        Self { body: Some(body), clock }
    }
}

/// Ends the body in `error`.
fn expire<B>(mut body: Pin<&mut Option<B>>, error: StreamError) -> BoxError {
    body.set(None);
    error.into()
}

impl<B> Body for DeadlineBody<B>
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
        let mut this = self.project();
        let Some(body) = this.body.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        let Poll::Ready(frame) = body.poll_frame(cx) else {
            let error = ready!(this.clock.poll(cx));
            return Poll::Ready(Some(Err(expire(this.body, error))));
        };
        let chunk = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
        if let Some(Err(error)) = chunk.map(|chunk| this.clock.chunk(chunk)) {
            return Poll::Ready(Some(Err(expire(this.body, error))));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}
