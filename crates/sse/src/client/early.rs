use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use tollgate_core::{BoxError, Class, Outcome, StreamError};
use tollgate_wire::Fault;

use super::{
    SseBody,
    finish::{Client, set_stream_headers},
    future::Flight,
    live::{KeepAlive, Live, Record},
};
use crate::Gated;

/// An answer on its way to a client that is kept awake meanwhile.
#[derive(Debug)]
pub(super) struct Waiting<F, B> {
    flight: Pin<Box<Flight<F, B>>>,
    keep: KeepAlive,
    client: Client,
}

/// What came first.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // taken apart at once, never stored
pub(super) enum Sooner<B, E> {
    Answer(Result<Gated<B>, E>),
    Words(Bytes),
}

impl<F, B> Waiting<F, B> {
    pub(super) fn new(flight: Pin<Box<Flight<F, B>>>, keep: KeepAlive, client: Client) -> Self {
        Self { flight, keep, client }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Answers now, with `words`; the real answer follows in the body.
    pub(super) fn answer(self, words: Bytes) -> Response<SseBody<F, B>> {
        let outcome = Outcome::new();
        let record = Record::new(outcome.clone());
        let early = Early { words: Some(words), waiting: Some(self), record: Some(record) };
        let mut response = Response::new(SseBody::early(early));
        response.extensions_mut().insert(outcome);
        set_stream_headers(&mut response);
        response
    }
}

impl<F, B, E> Waiting<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Sooner<B, E>> {
        match self.flight.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Sooner::Answer(answer)),
            Poll::Pending => self.keep.poll(cx).map(Sooner::Words),
        }
    }
}

/// The body of an answer whose head left before its content was known.
#[derive(Debug)]
pub(super) struct Early<F, B> {
    words: Option<Bytes>,
    /// `None` once the stream is over.
    waiting: Option<Waiting<F, B>>,
    record: Option<Record>,
}

/// What an early answer goes on with.
#[derive(Debug)]
pub(super) enum Next<B> {
    Bytes(Bytes),
    Live(Box<Live<B>>),
    End,
}

impl<F, B, E> Early<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Next<B>> {
        if let Some(words) = self.words.take() {
            return Poll::Ready(Next::Bytes(words));
        }
        let Some(waiting) = &mut self.waiting else { return Poll::Ready(Next::End) };
        waiting.poll(cx).map(|sooner| match sooner {
            Sooner::Words(words) => Next::Bytes(words),
            Sooner::Answer(answer) => self.arrived(answer),
        })
    }

    fn arrived(&mut self, answer: Result<Gated<B>, E>) -> Next<B> {
        let (Some(waiting), Some(record)) = (self.waiting.take(), self.record.take()) else {
            return Next::End;
        };
        let fault = match answer {
            Ok(Gated::Committed(response)) => match response.into_body().into_stream() {
                Ok(parts) => {
                    let (keep, id) = (waiting.client.keep_alive(), waiting.client.call.id);
                    return Next::Live(Box::new(Live::new(parts, keep, record, id)));
                }
                Err(_) => Fault::from(&no_stream()),
            },
            Ok(Gated::Failed(failed)) => failed.fault,
            Err(_) => Fault::from(&StreamError::truncated()),
        };
        record.ended(Some(fault.class));
        Next::Bytes(waiting.client.only_event(fault))
    }
}

fn no_stream() -> StreamError {
    let message = "the upstream answered a call for a stream with something else";
    StreamError::new(Class::ServerError, message).code("upstream_bad_answer")
}

impl<F, B> Early<F, B> {
    pub(super) fn is_end_stream(&self) -> bool {
        self.words.is_none() && self.waiting.is_none()
    }
}
