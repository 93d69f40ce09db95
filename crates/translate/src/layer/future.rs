use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response, response::Parts};
use http_body::Body as _;
use pin_project_lite::pin_project;
use tollgate_core::{Body, BoxError, Call, Frames};
use tollgate_sse::{Gate, Gated, GatedBody, Limits};
use tollgate_wire::InspectFuture;
use tower_service::Service;

use super::{
    MediaFetch, TranslateBody, TranslateLayer,
    fetch::Fetches,
    lane::Lane,
    request::{self, Next, Ready, Refused, Sent, Waiting},
    unstreamed::Unstreamed,
};

pin_project! {
    /// Response future of [`Translate`](super::Translate).
    pub struct ResponseFuture<S, M, B, R>
    where
        S: Service<Request<Body>>,
        M: MediaFetch,
    {
        #[pin]
        kind: Kind<S, S::Future, M, M::Fetching, R>,
        _body: PhantomData<fn() -> B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<S, F, M, T, R> {
        /// Nothing is translated, unless a call for a stream is answered with none.
        Passing { #[pin] future: F, unstreamed: Option<Box<Unstreamed>> },
        // Boxed: whoever needs no translation moves nothing of it.
        Translating { state: Pin<Box<State<S, F, M, T, R>>> },
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, F, M, T, R> {
        /// The request is read.
        Inspecting { #[pin] inspect: InspectFuture<Body>, start: Option<Start<S, M>> },
        /// There is nothing to translate after all.
        Passing { #[pin] future: F },
        /// Media are fetched for it.
        Fetching { fetches: Fetches<T>, waiting: Option<(Box<Waiting>, S)>, answer: usize },
        /// The upstream is asked.
        Calling { #[pin] future: F, sent: Option<Box<Sent>>, answer: usize },
        /// It has not said anything yet.
        Gating { gate: Gate<R>, sent: Option<Box<Sent>>, answer: usize },
        /// Its answer, which is no stream, is read.
        Reading { #[pin] reading: Reading<R> },
        /// It is answered.
        Done { response: Option<Response<Bytes>> },
    }
}

/// What is needed when the request was read.
struct Start<S, M> {
    inner: S,
    layer: TranslateLayer<M>,
    /// The call, where it was known before the body.
    call: Option<Call>,
}

pin_project! {
    struct Reading<R> {
        #[pin]
        body: GatedBody<R>,
        frames: Vec<Bytes>,
        head: Option<(Parts, Box<Sent>)>,
    }
}

impl<S: Service<Request<Body>>, M: MediaFetch, B, R> ResponseFuture<S, M, B, R> {
    pub(super) fn passing(future: S::Future, unstreamed: Option<Box<Unstreamed>>) -> Self {
        Self { kind: Kind::Passing { future, unstreamed }, _body: PhantomData }
    }

    pub(super) fn inspecting(
        inspect: InspectFuture<Body>,
        call: Option<Call>,
        inner: S,
        layer: TranslateLayer<M>,
    ) -> Self {
        let start = Some(Start { inner, layer, call });
        let state = Box::pin(State::Inspecting { inspect, start });
        Self { kind: Kind::Translating { state }, _body: PhantomData }
    }
}

impl<S, M, B, R> Future for ResponseFuture<S, M, B, R>
where
    S: Service<Request<Body>, Response = Response<R>>,
    M: MediaFetch,
    R: http_body::Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<TranslateBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut kind = self.project().kind;
        let (future, unstreamed) = match kind.as_mut().project() {
            KindProj::Translating { state } => return state.as_mut().poll_answer(cx),
            KindProj::Passing { future, unstreamed } => (future, unstreamed),
        };
        let response = ready!(future.poll(cx))?;
        let limit = unstreamed.as_ref().map_or(0, |unstreamed| unstreamed.answer);
        let sent = unstreamed.take().and_then(|unstreamed| unstreamed.sent(&response));
        let Some(sent) = sent else {
            return Poll::Ready(Ok(response.map(TranslateBody::inner)));
        };
        let mut state = Box::pin(gate(response, sent, limit));
        let polled = state.as_mut().poll_answer(cx);
        kind.set(Kind::Translating { state });
        polled
    }
}

impl<S, M, R> State<S, S::Future, M, M::Fetching, R>
where
    S: Service<Request<Body>, Response = Response<R>>,
    M: MediaFetch,
    R: http_body::Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    fn poll_answer(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<TranslateBody<R>>, S::Error>> {
        let mut state = self;
        loop {
            let next = match state.as_mut().project() {
                StateProj::Passing { future } => {
                    let response = ready!(future.poll(cx))?;
                    return Poll::Ready(Ok(response.map(TranslateBody::inner)));
                }
                StateProj::Inspecting { inspect, start } => {
                    let inspected = ready!(inspect.poll(cx));
                    start.take().expect("polled after completion").inspected(inspected)
                }
                StateProj::Fetching { fetches, waiting, answer } => {
                    let found = ready!(Pin::new(fetches).poll(cx));
                    let (waiting, inner) = waiting.take().expect("polled after completion");
                    ask(waiting.resume(found), inner, *answer)
                }
                StateProj::Calling { future, sent, answer } => {
                    let response = ready!(future.poll(cx))?;
                    let sent = sent.take().expect("polled after completion");
                    gate(response, sent, *answer)
                }
                StateProj::Gating { gate, sent, answer } => {
                    let gated = ready!(Pin::new(gate).poll(cx));
                    match gated_answer(gated, sent.take().expect("polled once"), *answer) {
                        Gone::Stream(response) => return Poll::Ready(Ok(*response)),
                        Gone::Own(response) => done(*response),
                        Gone::Reading(reading) => State::Reading { reading: *reading },
                    }
                }
                StateProj::Reading { reading } => done(ready!(reading.poll(cx))),
                StateProj::Done { response } => {
                    let response = response.take().expect("polled after completion");
                    return Poll::Ready(Ok(response.map(TranslateBody::own)));
                }
            };
            state.set(next);
        }
    }
}

type StateOf<S, M, R> =
    State<S, <S as Service<Request<Body>>>::Future, M, <M as MediaFetch>::Fetching, R>;

fn done<S, F, M, T, R>(response: Response<Bytes>) -> State<S, F, M, T, R> {
    State::Done { response: Some(response) }
}

impl<S, M> Start<S, M>
where
    S: Service<Request<Body>>,
    M: MediaFetch,
{
    fn inspected<R>(
        mut self,
        inspected: Result<Request<Body>, Response<Bytes>>,
    ) -> StateOf<S, M, R> {
        let mut request = match inspected {
            Ok(request) => request,
            Err(refused) => return done(refused),
        };
        if let Some(call) = self.call {
            request.extensions_mut().insert(call);
        }
        let settings = &self.layer.settings;
        let Some(lane) = Lane::of(settings, &request) else {
            return State::Passing { future: self.inner.call(request) };
        };
        let answer = settings.answer;
        match request::begin(lane, request, self.layer.fetch.is_some()) {
            Ok(Next::Fetch(wanted, waiting)) => {
                let fetch = self.layer.fetch.as_ref().expect("media are only wanted for it");
                let fetches = Fetches::new(fetch, wanted);
                State::Fetching { fetches, waiting: Some((waiting, self.inner)), answer }
            }
            Ok(Next::Send(ready)) => ask(Ok(ready), self.inner, answer),
            Err(refused) => ask(Err(refused), self.inner, answer),
        }
    }
}

/// Asks the upstream.
fn ask<S, M, T, R>(
    ready: Result<Ready, Refused>,
    mut inner: S,
    answer: usize,
) -> State<S, S::Future, M, T, R>
where
    S: Service<Request<Body>>,
{
    match ready {
        Ok(Ready { request, sent }) => {
            State::Calling { future: inner.call(request), sent: Some(sent), answer }
        }
        Err(refused) => {
            let (lane, refusal) = *refused;
            done(lane.caller().refuse(refusal))
        }
    }
}

fn gate<S, F, M, T, R>(
    response: Response<R>,
    sent: Box<Sent>,
    answer: usize,
) -> State<S, F, M, T, R> {
    let mut limits = Limits::default();
    limits.answer = answer;
    let gate = Gate::with_limits(response, &sent.inner, limits);
    State::Gating { gate, sent: Some(sent), answer }
}

/// What an answer that passed the gate goes on as.
enum Gone<R> {
    Stream(Box<Response<TranslateBody<R>>>),
    Reading(Box<Reading<R>>),
    Own(Box<Response<Bytes>>),
}

fn gated_answer<R>(gated: Gated<R>, sent: Box<Sent>, limit: usize) -> Gone<R> {
    let response = match gated {
        Gated::Failed(failed) => return Gone::Own(Box::new(sent.failed(*failed))),
        Gated::Committed(response) => response,
    };
    let (head, body) = response.into_parts();
    if body.is_stream() {
        let Some(machine) = sent.stream() else {
            return Gone::Own(Box::new(sent.unasked(head)));
        };
        let body = TranslateBody::events(body, machine, sent.attempt.clone());
        return Gone::Stream(Box::new(Response::from_parts(sent.stream_head(head), body)));
    }
    match body.is_whole() {
        true => {
            Gone::Reading(Box::new(Reading { body, frames: Vec::new(), head: Some((head, sent)) }))
        }
        false => Gone::Own(Box::new(sent.not_whole(head, limit))),
    }
}

impl<R: http_body::Body<Data = Bytes>> Future for Reading<R> {
    type Output = Response<Bytes>;

    /// What passed the gate whole cannot fail.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response<Bytes>> {
        let mut this = self.project();
        while let Some(Ok(frame)) = ready!(this.body.as_mut().poll_frame(cx)) {
            this.frames.extend(frame.into_data().ok());
        }
        let (head, sent) = this.head.take().expect("polled after completion");
        let text = Frames::new(std::mem::take(this.frames)).joined();
        Poll::Ready(sent.whole(head, &text))
    }
}

impl<S: Service<Request<Body>>, M: MediaFetch, B, R> fmt::Debug for ResponseFuture<S, M, B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
