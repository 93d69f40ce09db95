use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use tollgate_core::{BoxError, Call};

use super::{
    SseBody,
    early::{Sooner, Waiting},
    finish::Client,
};
use crate::{Gate, Gated, Limits};

pin_project! {
    /// Response future of [`Sse`](super::Sse).
    #[derive(Debug)]
    pub struct ResponseFuture<F, B> {
        #[pin]
        kind: Kind<F, B>,
    }
}

pin_project! {
    #[project = KindProj]
    #[derive(Debug)]
    enum Kind<F, B> {
        Passing { #[pin] future: F },
        Gating { #[pin] flight: Flight<F, B>, client: Client },
        /// As `Gating`, but ready to answer early.
        Impatient { waiting: Option<Waiting<F, B>> },
    }
}

impl<F, B> ResponseFuture<F, B> {
    pub(super) fn pass(future: F) -> Self {
        Self { kind: Kind::Passing { future } }
    }

    pub(super) fn gated(future: F, client: Client) -> Self {
        let flight = Flight::new(future, &client);
        let kind = match client.early_keep_alive() {
            Some(keep) => {
                Kind::Impatient { waiting: Some(Waiting::new(Box::pin(flight), keep, client)) }
            }
            None => Kind::Gating { flight, client },
        };
        Self { kind }
    }
}

impl<F, B, E> Future for ResponseFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<SseBody<F, B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProj::Passing { future } => {
                Poll::Ready(ready!(future.poll(cx)).map(|response| response.map(SseBody::inner)))
            }
            KindProj::Gating { flight, client } => {
                Poll::Ready(ready!(flight.poll(cx)).map(|gated| client.finish(gated)))
            }
            KindProj::Impatient { waiting } => {
                let mut waited = waiting.take().expect("not polled after it was ready");
                match waited.poll(cx) {
                    Poll::Ready(Sooner::Answer(answer)) => {
                        Poll::Ready(answer.map(|gated| waited.client().finish(gated)))
                    }
                    Poll::Ready(Sooner::Words(words)) => Poll::Ready(Ok(waited.answer(words))),
                    Poll::Pending => {
                        *waiting = Some(waited);
                        Poll::Pending
                    }
                }
            }
        }
    }
}

pin_project! {
    /// An answer on its way: called, then behind the gate.
    #[project = FlightProj]
    #[derive(Debug)]
    pub(super) enum Flight<F, B> {
        Calling { #[pin] future: F, call: Call, limits: Limits, is_read: bool },
        Gating { gate: Gate<B> },
    }
}

impl<F, B> Flight<F, B> {
    fn new(future: F, client: &Client) -> Self {
        let (call, limits) = (client.call.clone(), client.settings.limits);
        Self::Calling { future, call, limits, is_read: client.is_read }
    }
}

impl<F, B, E> Future for Flight<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Output = Result<Gated<B>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let gate = match self.as_mut().project() {
                FlightProj::Gating { gate } => return Pin::new(gate).poll(cx).map(Ok),
                FlightProj::Calling { future, call, limits, is_read } => {
                    let response = ready!(future.poll(cx))?;
                    match *is_read {
                        true => Gate::with_limits(response, call, *limits),
                        false => Gate::of_unread(response, call, *limits),
                    }
                }
            };
            self.set(Self::Gating { gate });
        }
    }
}
