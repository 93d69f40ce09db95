//! The outermost layer: gives each call its id, answers health checks, writes the response headers.

use std::{
    future::Future,
    ops::RangeInclusive,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use pin_project_lite::pin_project;
use tollgate_core::{Class, Deadline, Outcome, Refusal, Reply, Served};
use tollgate_meter::{EndUser, IdempotencyKey, Tags};
use tollgate_translate::Policy;
use tollgate_wire::{Caller, dialect};
use tower::{Layer, Service};

use super::paths::{Own, straighten};
use crate::{measures::Measures, serve::Ambiguous, state::SharedState};

const CALL_ID: HeaderName = HeaderName::from_static("x-tollgate-call-id");
const TARGET: HeaderName = HeaderName::from_static("x-tollgate-target");
const COST: HeaderName = HeaderName::from_static("x-tollgate-cost");
const TAGS: HeaderName = HeaderName::from_static("x-tollgate-tags");
const USER: HeaderName = HeaderName::from_static("x-tollgate-user");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Bytes of a name the caller gives.
const NAME: RangeInclusive<usize> = 1..=256;
const ATTEMPTS: HeaderName = HeaderName::from_static("x-tollgate-attempts");
const WARNINGS: HeaderName = HeaderName::from_static("x-tollgate-warnings");

/// Whether new requests should come here; shared with whoever decides to drain.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Returns a readiness that says yes.
    pub fn ready() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    /// Says no from now on.
    pub fn end(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    fn is_ready(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Layer of [`Edge`].
#[derive(Clone, Debug)]
pub(super) struct EdgeLayer {
    readiness: Readiness,
    state: SharedState,
    measures: Option<Measures>,
}

impl EdgeLayer {
    /// Returns the layer; `readiness` is what `/readyz` says, `state` how long a call may take,
    /// `measures` what `/metrics` shows.
    pub(super) fn new(
        readiness: Readiness,
        state: SharedState,
        measures: Option<Measures>,
    ) -> Self {
        Self { readiness, state, measures }
    }
}

impl<S> Layer<S> for EdgeLayer {
    type Service = Edge<S>;

    fn layer(&self, inner: S) -> Edge<S> {
        Edge {
            inner,
            readiness: self.readiness.clone(),
            state: self.state.clone(),
            measures: self.measures.clone(),
        }
    }
}

/// Middleware that gives each call its id, answers `/healthz` and `/readyz`, refuses what the listener
/// found ambiguous, and shows on each
/// answer which call it is and who answered.
#[derive(Clone, Debug)]
pub(super) struct Edge<S> {
    inner: S,
    readiness: Readiness,
    state: SharedState,
    measures: Option<Measures>,
}

impl<S> Edge<S> {
    fn health(&self, method: &Method, path: &str) -> Option<Response<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            return None;
        }
        let ok = match Own::at(path)? {
            Own::Health => true,
            Own::Ready => self.readiness.is_ready(),
            Own::Metrics => return self.measures.as_ref().map(|measures| shown(measures.show())),
            Own::Targets | Own::Spend | Own::Call(_) => return None,
        };
        let (status, text) = match ok {
            true => (StatusCode::OK, "ok\n"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        };
        let mut response = Response::new(Bytes::from_static(text.as_bytes()));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        Some(response)
    }
}

impl<S> Edge<S> {
    /// Writes down what the configuration says of a call, where it is not what the layers do
    /// anyway.
    fn decided<B>(&self, request: &mut Request<B>) {
        let state = self.state.load();
        straighten(request, &state.router);
        let extensions = request.extensions_mut();
        if let Some(total) = state.patience.total {
            extensions.insert(Deadline(Instant::now() + total));
        }
        if state.translation.policy != Policy::default() {
            extensions.insert(state.translation.policy);
        }
    }
}

impl<S, B, ResBody> Service<Request<B>> for Edge<S>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
{
    type Response = Response<Reply<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let own = request.extensions().get().map(|why| ambiguous(Caller::of(&request), *why));
        let own = own.or_else(|| self.health(request.method(), request.uri().path()));
        if let Some(response) = own {
            return ResponseFuture { state: State::Own { response: Some(response) } };
        }
        self.decided(&mut request);
        let caller = Caller::of(&request);
        let outcome = Outcome::new();
        told_by_headers(&mut request);
        request.extensions_mut().insert(caller);
        request.extensions_mut().insert(outcome.clone());
        let future = self.inner.call(request);
        let shared = self.state.clone();
        ResponseFuture { state: State::Calling { future, caller, outcome, shared } }
    }
}

pin_project! {
    /// Response future of [`Edge`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    #[derive(Debug)]
    enum State<F> {
        Own { response: Option<Response<Bytes>> },
        Calling { #[pin] future: F, caller: Caller, outcome: Outcome, shared: SharedState },
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Reply<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Own { response } => {
                let response = response.take().expect("polled after completion");
                Poll::Ready(Ok(response.map(Reply::own)))
            }
            StateProj::Calling { future, caller, outcome, shared } => {
                let mut response = ready!(future.poll(cx))?;
                warn_of_price(outcome, shared, &mut response);
                label(*caller, outcome, &mut response);
                Poll::Ready(Ok(response.map(Reply::inner)))
            }
        }
    }
}

/// Refuses what has more than one reading, and whatever else comes on its connection.
fn ambiguous(caller: Caller, Ambiguous(why): Ambiguous) -> Response<Bytes> {
    let refusal = Refusal::new(Class::InvalidRequest, why).code("ambiguous_request");
    let mut response = caller.refuse(refusal);
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn shown(text: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(text));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Shows which call this was and who answered; hides what describes our account.
fn label<B>(caller: Caller, outcome: &Outcome, response: &mut Response<B>) {
    let served = response.extensions().get::<Served>().cloned();
    let headers = response.headers_mut();
    tollgate_upstream::strip_account_headers(headers);
    let id = text(caller.id.to_string());
    let request_id = dialect(caller.protocol).request_id_header();
    if let (Some(id), false) = (id.clone(), headers.contains_key(request_id)) {
        headers.insert(HeaderName::from_static(request_id), id);
    }
    let target = served.as_ref().and_then(|served| text(served.target.name()));
    let attempts = served.as_ref().map(|served| HeaderValue::from(served.attempts));
    // Known by now only where the answer is there whole: a stream's is found by its call.
    let cost = outcome.cost().flatten().and_then(|cost| text(cost.to_string()));
    for (name, value) in [(CALL_ID, id), (TARGET, target), (ATTEMPTS, attempts), (COST, cost)] {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
}

/// Says of an answer that nobody will know what it costs.
fn warn_of_price<B>(outcome: &Outcome, state: &SharedState, response: &mut Response<B>) {
    let served = response.extensions().get::<Served>().filter(|_| response.status().is_success());
    let Some(served) = served.filter(|served| !served.target.model.is_empty()) else { return };
    let is_known = match outcome.cost() {
        Some(cost) => cost.is_some(),
        None => state.load().is_priced(&served.target),
    };
    if !is_known {
        let warning = HeaderValue::from_static("price_unknown:/model");
        response.headers_mut().append(WARNINGS, warning);
    }
}

/// Notes what the caller says about the call in headers of ours.
fn told_by_headers<B>(request: &mut Request<B>) {
    let said = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let tags = said(TAGS).map(Tags::parse).filter(|tags| !tags.is_empty());
    let name = |header| said(header).map(str::trim).filter(|name| NAME.contains(&name.len()));
    let user = name(USER).map(|user| EndUser(user.into()));
    let key = name(IDEMPOTENCY_KEY).map(|key| IdempotencyKey(key.into()));
    if let Some(tags) = tags {
        request.extensions_mut().insert(tags);
    }
    if let Some(user) = user {
        request.extensions_mut().insert(user);
    }
    if let Some(key) = key {
        request.extensions_mut().insert(key);
    }
}

fn text(text: String) -> Option<HeaderValue> {
    HeaderValue::try_from(text).ok()
}
