use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use tollgate_core::Call;

use super::{Held, Limits, Passed, Stream};

pin_project! {
    /// The body of an answer that passed the gate: what was held, as it came, and then the rest.
    #[derive(Debug)]
    pub struct GatedBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    #[derive(Debug)]
    enum Kind<B> {
        Pass { #[pin] body: B, whole: bool },
        Opened { opened: Opened<B> },
    }
}

/// What was held and what is to come.
#[derive(Debug)]
pub(crate) struct Opened<B> {
    pub(crate) what: What,
    /// `None` once it was read to its end.
    pub(crate) rest: Option<Pin<Box<B>>>,
    pub(crate) trailers: Option<Box<HeaderMap>>,
}

/// What kind of answer passed.
#[derive(Debug)]
pub(crate) enum What {
    Stream(Box<Stream>),
    Answer(Held),
}

impl What {
    fn held(&self) -> &Held {
        match self {
            Self::Stream(stream) => &stream.held,
            Self::Answer(held) => held,
        }
    }

    fn held_mut(&mut self) -> &mut Held {
        match self {
            Self::Stream(stream) => &mut stream.held,
            Self::Answer(held) => held,
        }
    }
}

impl<B> GatedBody<B> {
    /// Returns a body nobody looked into.
    pub fn pass(body: B) -> Self {
        Self { kind: Kind::Pass { body, whole: false } }
    }

    /// Returns the body of an answer somebody else has looked into.
    pub(super) fn known(body: B, whole: bool) -> Self {
        Self { kind: Kind::Pass { body, whole } }
    }

    pub(super) fn opened(opened: Opened<B>) -> Self {
        Self { kind: Kind::Opened { opened } }
    }

    /// Whether the answer is an event stream that was looked into.
    pub fn is_stream(&self) -> bool {
        matches!(&self.kind, Kind::Opened { opened } if matches!(opened.what, What::Stream(_)))
    }

    /// Whether the answer is held whole: nothing of it can fail any more.
    pub fn is_whole(&self) -> bool {
        match &self.kind {
            Kind::Pass { whole, .. } => *whole,
            Kind::Opened { opened } => opened.rest.is_none(),
        }
    }

    /// Returns what another gate may know of the answer to `call` to spare it a second reading.
    /// `None` for a body nobody looked into, and for what is better read again.
    pub fn passed(&mut self, call: &Call, limits: Limits) -> Option<Passed> {
        let whole = self.is_whole();
        let Kind::Opened { opened } = &mut self.kind else { return None };
        match &mut opened.what {
            What::Answer(_) => Some(Passed::answer(whole)),
            What::Stream(_) if whole => None,
            What::Stream(stream) => {
                let held = stream.part(call, limits.event);
                match std::mem::replace(&mut opened.what, What::Answer(held)) {
                    What::Stream(stream) => Some(Passed::stream(stream)),
                    What::Answer(_) => None,
                }
            }
        }
    }

    /// Takes the stream out of its body, or gives the body back if it is none.
    #[allow(clippy::result_large_err)] // it is the body itself, not an error
    pub(crate) fn into_stream(self) -> Result<StreamParts<B>, Self> {
        match self.kind {
            Kind::Opened { opened: Opened { what: What::Stream(stream), rest, trailers } } => {
                Ok(StreamParts { stream, rest, trailers })
            }
            kind => Err(Self { kind }),
        }
    }
}

/// A stream taken out of its body.
#[derive(Debug)]
pub(crate) struct StreamParts<B> {
    pub(crate) stream: Box<Stream>,
    pub(crate) rest: Option<Pin<Box<B>>>,
    pub(crate) trailers: Option<Box<HeaderMap>>,
}

impl<B: Body<Data = Bytes>> Opened<B> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(bytes) = self.what.held_mut().pop() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        let Some(rest) = &mut self.rest else {
            return Poll::Ready(self.trailers.take().map(|t| Ok(Frame::trailers(*t))));
        };
        Poll::Ready(ready!(rest.as_mut().poll_frame(cx)))
    }

    fn is_end_stream(&self) -> bool {
        self.what.held().is_empty()
            && self.trailers.is_none()
            && self.rest.as_ref().is_none_or(|rest| rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.what.held().len() as u64;
        let rest = match &self.rest {
            Some(rest) => rest.size_hint(),
            None => SizeHint::with_exact(0),
        };
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + held);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + held);
        }
        hint
    }
}

impl<B: Body<Data = Bytes>> Body for GatedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProj::Pass { body, .. } => body.poll_frame(cx),
            KindProj::Opened { opened } => opened.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Pass { body, .. } => body.is_end_stream(),
            Kind::Opened { opened } => opened.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Pass { body, .. } => body.size_hint(),
            Kind::Opened { opened } => opened.size_hint(),
        }
    }
}
