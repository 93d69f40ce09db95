//! The gate an answer waits behind until its first content.

mod body;
mod future;
mod held;
mod passed;
mod sound;
mod verdict;

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, header::CONTENT_LENGTH, response::Parts};
use tollgate_core::{Cause, Failure, Frames, Refusal};
use tollgate_wire::{Caller, Fault, ORIGIN, dialect, discreet};

pub use self::{body::GatedBody, future::Gate, passed::Passed, sound::Sound, verdict::Media};
pub(crate) use self::{
    body::StreamParts,
    held::{Held, Stream},
};

/// How much is held, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// One event of a stream. Default: 16 MiB. A larger one that had to be held fails the answer.
    pub event: usize,
    /// A JSON answer, and everything before the first content of a stream. Default: 32 MiB.
    /// A larger JSON answer is committed as it stands; a stream that says nothing fails.
    pub answer: usize,
    /// An error answer. Default: 1 MiB. The rest of a larger one is not read.
    pub error: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { event: crate::Decoder::DEFAULT_LIMIT, answer: 32 << 20, error: 1 << 20 }
    }
}

/// What became of an answer behind the [`Gate`].
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // the large one is the happy path
pub enum Gated<B> {
    /// It has content: head, what was held and the rest, byte for byte. Or it is none of the
    /// gate's business.
    Committed(http::Response<GatedBody<B>>),
    /// It failed before anybody saw of it. The inner body is dropped.
    Failed(Box<Failed>),
}

/// An answer that failed before its first content.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failed {
    /// What went wrong, as the upstream said it or as we found it.
    pub fault: Fault,
    /// The same as the fact that travels between layers. If an inner layer wrote one, it is that.
    pub failure: Failure,
    /// The head of the answer.
    pub head: Parts,
    /// What was held of its body.
    pub body: Frames,
    /// The answer is an error answer that was read whole.
    pub whole: bool,
}

impl Failed {
    /// The refusal an inner layer answered with, which concerns the caller and ends the plan.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.head.extensions.get()
    }

    /// Whether it is an upstream's own error answer in JSON, whole, and may be shown as it came to
    /// a client of the same protocol.
    pub fn is_forwardable(&self) -> bool {
        // Whoever left the whole fault has rendered it for the caller.
        let facts = &self.head.extensions;
        self.whole
            && (facts.get::<Failure>().is_none() || facts.get::<Fault>().is_some())
            && !self.head.headers.contains_key(http::header::CONTENT_ENCODING)
            && tollgate_wire::json::is_valid(&self.body.joined())
    }

    /// Returns the error as `caller` is to see it.
    ///
    /// What an inner layer refused stays as it was rendered, and the upstream's own JSON too unless
    /// it speaks of the gateway's credential or quota, with `***` for keys and internal hosts in it;
    /// anything else is rendered in the caller's protocol, with the upstream's request id. The
    /// [`Failure`] travels along, and that the answer needs no second rendering.
    pub fn into_response(self, caller: Caller) -> Response<Bytes> {
        let is_rendered = self.refusal().is_some() || self.is_rendered();
        let is_forwarded = !is_rendered && self.is_forwardable() && !self.fault.is_ours();
        let Self { fault, failure, mut head, body, .. } = self;
        let facts = &mut head.extensions;
        facts.insert(Passed::failed());
        if is_rendered {
            return Response::from_parts(head, body.joined());
        }
        facts.insert(failure);
        facts.insert(fault.clone());
        if is_forwarded {
            let origin = HeaderValue::from_static(fault.origin.as_str());
            head.headers.insert(ORIGIN, origin);
            return discreetly(Response::from_parts(head, body.joined()));
        }
        let mut response = caller.answer(&fault.hiding_ours());
        let id = HeaderName::from_static(dialect(caller.protocol).request_id_header());
        // The upstream's own id says more than ours, which the edge shows anyway.
        if let Some(theirs) = head.headers.remove(&id) {
            response.headers_mut().insert(id, theirs);
        }
        *response.extensions_mut() = head.extensions;
        response
    }

    /// Whether another gate's owner has rendered it.
    fn is_rendered(&self) -> bool {
        self.head.extensions.get::<Passed>().is_some_and(Passed::is_failed)
    }
}

/// An upstream's own error without the keys and hosts it may name.
fn discreetly(mut response: Response<Bytes>) -> Response<Bytes> {
    let text = std::str::from_utf8(response.body()).map(discreet);
    if let Ok(Cow::Owned(text)) = text {
        response.headers_mut().remove(CONTENT_LENGTH);
        *response.body_mut() = text.into();
    }
    response
}

/// The failure that is in `fault`.
fn failure_of(fault: &Fault) -> Failure {
    let mut failure = Failure::new(fault.class, fault.message.clone());
    failure.retry_after = fault.retry_after;
    if fault.is_ours() { failure.cause(Cause::Credential) } else { failure }
}
