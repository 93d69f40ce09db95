//! Servers that answer a call for a stream with a whole answer of the same protocol.

use http::{HeaderMap, Request, Response, Uri, header};
use tollgate_core::{Attempt, Body, Frames};
use tollgate_sse::Media;

use super::{
    lane::Lane,
    layer::Settings,
    request::{self, Sent},
};

/// A call for a stream that is sent as it came, kept for the case that the answer is none.
#[derive(Debug)]
pub(super) struct Unstreamed {
    lane: Lane,
    uri: Uri,
    frames: Frames,
    attempt: Option<Attempt>,
    /// How large an answer may be.
    pub(super) answer: usize,
}

impl Unstreamed {
    /// Keeps a call for a stream; `None` for any other, and for one whose body nobody has read.
    pub(super) fn of(settings: &Settings, request: &Request<Body>) -> Option<Box<Self>> {
        let lane = Lane::of_stream(settings, request)?;
        Some(Box::new(Self {
            lane,
            uri: request.uri().clone(),
            frames: request.body().frames()?.clone(),
            attempt: request.extensions().get().cloned(),
            answer: settings.answer,
        }))
    }

    /// Returns what makes the stream of an answer that is none; `None` where it need not be made.
    pub(super) fn sent<B>(self, response: &Response<B>) -> Option<Box<Sent>> {
        if !(response.status().is_success() && is_plain_json(response.headers())) {
            return None;
        }
        let Self { lane, uri, frames, attempt, .. } = self;
        request::unstreamed(lane, uri, &frames, attempt).map(Box::new)
    }
}

fn is_plain_json(headers: &HeaderMap) -> bool {
    let encoding = headers.get(header::CONTENT_ENCODING);
    Media::of(headers) == Media::Json && encoding.is_none_or(|coding| coding == "identity")
}
