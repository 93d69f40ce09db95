//! One line of log for each call, written when its answer has ended, and its span.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tollgate_core::{
    BoxError, Call, CallId, Class, Failure, Outcome, Principal, Protocol, Refusal, Served,
    StreamError,
};
use tollgate_wire::Caller;
use tower::{Layer, Service};

use super::trace::CallSpan;
use crate::serve::Peer;

/// The target of the lines, for filters: `RUST_LOG=info,tollgate::access=off`.
const TARGET: &str = "tollgate::access";

/// Layer of [`Access`].
#[derive(Clone, Copy, Debug)]
pub(super) struct AccessLayer {
    is_on: bool,
}

impl AccessLayer {
    /// Returns the layer; where it is not `on` every call passes as it is.
    pub(super) fn new(on: bool) -> Self {
        Self { is_on: on }
    }
}

impl<S> Layer<S> for AccessLayer {
    type Service = Access<S>;

    fn layer(&self, inner: S) -> Access<S> {
        Access { inner, is_on: self.is_on }
    }
}

/// Middleware that logs one line for each call once its answer has ended, or nobody wants the rest:
/// who asked for what, who answered, how it went and what it cost. Where traces are collected, all
/// that is further in is done within the call's span. Nothing of prompt or answer, and no credential
/// is in either.
///
/// Sits inside of the edge, which knows the call's id, and outside of everything else. [`Noted`]
/// further in tells it what only they know.
#[derive(Clone, Debug)]
pub(super) struct Access<S> {
    inner: S,
    is_on: bool,
}

impl<S, B, ResBody> Service<Request<B>> for Access<S>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
    ResBody: Body,
{
    type Response = Response<AccessBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let is_on = self.is_on && tracing::enabled!(target: TARGET, tracing::Level::INFO);
        let line = is_on.then(|| Box::new(Line::begin(&mut request)));
        let span = CallSpan::begin(&request);
        let future = within(&span, || self.inner.call(request));
        ResponseFuture { future: Some(future), line, span }
    }
}

/// What the layers further in know of a call, for its line: a fact on the request.
#[derive(Clone, Debug, Default)]
struct Known(Arc<Cells>);

#[derive(Debug, Default)]
struct Cells {
    key: OnceLock<Arc<Principal>>,
    call: OnceLock<Call>,
}

/// Layer of [`Noted`].
#[derive(Clone, Copy, Debug)]
pub(super) struct NoteLayer;

impl<S> Layer<S> for NoteLayer {
    type Service = Noted<S>;

    fn layer(&self, inner: S) -> Noted<S> {
        Noted { inner }
    }
}

/// Middleware that notes for the call's line who asks and for what, as far as the layers outside of
/// it have found out.
#[derive(Clone, Debug)]
pub(super) struct Noted<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for Noted<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let extensions = request.extensions();
        if let Some(Known(cells)) = extensions.get() {
            extensions.get::<Arc<Principal>>().map(|key| cells.key.set(key.clone()));
            extensions.get::<Call>().map(|call| cells.call.set(call.clone()));
        }
        self.inner.call(request)
    }
}

/// A line in the making.
#[derive(Debug)]
struct Line {
    id: CallId,
    client: Option<Peer>,
    protocol: Protocol,
    path: Box<str>,
    began: Instant,
    outcome: Outcome,
    known: Known,
    status: Option<StatusCode>,
    served: Option<Served>,
    /// Why the answer is an error.
    class: Option<Class>,
}

impl Line {
    fn begin<B>(request: &mut Request<B>) -> Self {
        let caller = Caller::of(request);
        let known = Known::default();
        let path = request.uri().path().into();
        let extensions = request.extensions_mut();
        let client = extensions.get::<Peer>().copied();
        let outcome = extensions.get::<Outcome>().cloned().unwrap_or_default();
        extensions.insert(known.clone());
        let (id, protocol) = (caller.id, caller.protocol);
        let began = Instant::now();
        let (status, served, class) = (None, None, None);
        Self { id, client, protocol, path, began, outcome, known, status, served, class }
    }

    fn answered<B>(&mut self, response: &Response<B>) {
        let extensions = response.extensions();
        self.status = Some(response.status());
        self.served = extensions.get().cloned();
        let refused = extensions.get::<Refusal>().map(|refusal| refusal.class);
        self.class = refused.or_else(|| extensions.get::<Failure>().map(|failure| failure.class));
    }

    /// How the call ended, in the words of the ledger.
    fn ending(&self, end: End) -> &'static str {
        let is_error = self.status.is_some_and(|status| status.as_u16() >= 400);
        match (self.class.or(self.outcome.ending().flatten()), end) {
            (Some(class), _) | (None, End::Broken(class)) => class.as_str(),
            (None, End::Left) if self.outcome.ending().is_none() => Class::Cancelled.as_str(),
            // One of the upstream's own that nobody here gave a class.
            (None, _) if is_error => "error",
            (None, _) => "complete",
        }
    }

    fn write(&self, end: End) {
        let Cells { key, call } = &*self.known.0;
        let served = self.served.as_ref();
        let (input, output) = self.outcome.tokens();
        let cost = self.outcome.cost().flatten();
        let millis = |duration: std::time::Duration| duration.as_millis() as u64;
        tracing::info!(
            target: TARGET,
            call = %self.id,
            client = self.client.map(|Peer(address)| tracing::field::display(address)),
            key = key.get().map(|key| &*key.name),
            protocol = self.protocol.as_str(),
            path = &*self.path,
            model = call.get().and_then(|call| call.model.as_deref()),
            stream = call.get().map(|call| call.stream),
            target = served.map(|served| served.target.name()),
            attempts = served.map(|served| served.attempts),
            status = self.status.map(|status| status.as_u16()),
            end = self.ending(end),
            ttft_ms = self.outcome.first_content().map(millis),
            duration_ms = millis(self.began.elapsed()),
            input_tokens = input,
            output_tokens = output,
            cost_usd = cost.map(tracing::field::display),
        );
    }
}

/// How an answer's body ended.
#[derive(Clone, Copy, Debug)]
enum End {
    Whole,
    Broken(Class),
    /// Nobody wanted the rest.
    Left,
}

/// Does something within a call's span, if it has one.
fn within<R>(span: &Option<Box<CallSpan>>, act: impl FnOnce() -> R) -> R {
    match span {
        Some(span) => span.within(act),
        None => act(),
    }
}

pin_project! {
    /// Response future of [`Access`]. Dropped before its end, the call is logged as cancelled.
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        // `None` once it is over.
        #[pin]
        future: Option<F>,
        line: Option<Box<Line>>,
        span: Option<Box<CallSpan>>,
    }

    impl<F> PinnedDrop for ResponseFuture<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            // First: what is inside settles as it is dropped.
            this.future.set(None);
            if let Some(line) = this.line.take() {
                line.write(End::Left);
            }
        }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<AccessBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let future = this.future.as_mut().as_pin_mut().expect("not polled after it was ready");
        let answer = ready!(within(this.span, || future.poll(cx)));
        this.future.set(None);
        let (mut line, span) = (this.line.take(), this.span.take());
        Poll::Ready(answer.map(|response| {
            span.iter().for_each(|span| span.answered(&response));
            line.iter_mut().for_each(|line| line.answered(&response));
            response.map(|body| AccessBody { body: Some(body), line, span })
        }))
    }
}

pin_project! {
    /// A body whose end is logged, and is the end of the call's span. Its frames pass untouched.
    #[derive(Debug)]
    pub struct AccessBody<B>
    where
        B: Body,
    {
        // `None` only while it is dropped.
        #[pin]
        body: Option<B>,
        line: Option<Box<Line>>,
        span: Option<Box<CallSpan>>,
    }

    impl<B> PinnedDrop for AccessBody<B>
    where
        B: Body,
    {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let is_whole = this.body.as_ref().get_ref().as_ref().is_none_or(Body::is_end_stream);
            // First: what is inside settles as it is dropped.
            within(this.span, || this.body.set(None));
            if let Some(line) = this.line.take() {
                line.write(if is_whole { End::Whole } else { End::Left });
            }
        }
    }
}

impl<B> Body for AccessBody<B>
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
        let this = self.project();
        let Some(body) = this.body.as_pin_mut() else { return Poll::Ready(None) };
        let (end, last) = match ready!(within(this.span, || body.poll_frame(cx))) {
            Some(Ok(frame)) => return Poll::Ready(Some(Ok(frame))),
            Some(Err(error)) => {
                let error = StreamError::from_boxed(error.into());
                (End::Broken(error.class()), Some(Err(error.into())))
            }
            None => (End::Whole, None),
        };
        if let Some(line) = this.line.take() {
            line.write(end);
        }
        Poll::Ready(last)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use tollgate_testkit::wrapper_contract;

    use super::*;

    fn line() -> Line {
        Line::begin(&mut Request::post("/v1/messages").body(()).unwrap())
    }

    #[tokio::test]
    async fn the_body_keeps_the_body_contract() {
        wrapper_contract(|body| AccessBody { body: Some(body), line: None, span: None }).await;
        let line = || Some(Box::new(line()));
        let logged = |body| AccessBody { body: Some(body), line: line(), span: None };
        wrapper_contract(logged).await;
    }

    #[test]
    fn the_end_is_told_in_the_words_of_the_ledger() {
        let mut line = line();
        assert_eq!(line.ending(End::Whole), "complete");
        assert_eq!(line.ending(End::Left), "cancelled");
        assert_eq!(line.ending(End::Broken(Class::Timeout)), "timeout");
        line.status = Some(StatusCode::BAD_REQUEST);
        assert_eq!(line.ending(End::Whole), "error", "nobody gave it a class");
        line.class = Some(Class::RateLimit);
        assert_eq!(line.ending(End::Whole), "rate_limit");

        let line = self::line();
        line.outcome.ended(None);
        assert_eq!(line.ending(End::Left), "complete", "the client had all there is");
        let line = self::line();
        line.outcome.ended(Some(Class::Overloaded));
        assert_eq!(line.ending(End::Whole), "overloaded", "the stream's last event says so");
    }
}
