use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::link::Link;

/// An answer's body. Read to its end it gives its connection back; dropped before, it closes it.
#[derive(Debug)]
pub(crate) struct Received {
    body: Incoming,
    /// `None` once it is not needed, and for one that is shared.
    link: Option<Box<Link>>,
}

impl Received {
    /// Returns a body that comes over `link`.
    pub(super) fn on(body: Incoming, link: Box<Link>) -> Self {
        if body.is_end_stream() {
            link.rest();
            return Self { body, link: None };
        }
        Self { body, link: Some(link) }
    }

    /// Returns a body that comes over a connection with a task.
    pub(super) fn shared(body: Incoming) -> Self {
        Self { body, link: None }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self { body, link } = self.get_mut();
        let Some(driven) = link else { return Pin::new(body).poll_frame(cx) };
        let frame = ready!(driven.drive(cx, |cx| Pin::new(&mut *body).poll_frame(cx)));
        match frame {
            // A server need not poll for an end that it knows of.
            Some(Ok(_)) if !body.is_end_stream() => {}
            Some(Err(_)) => *link = None,
            _ => link.take().into_iter().for_each(Link::rest),
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
