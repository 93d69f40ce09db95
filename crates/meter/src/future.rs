use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use pin_project_lite::pin_project;
use tollgate_core::{Body, BoxError, Class, Failure, Protocol, Refusal, Sent, Usage};
use tollgate_wire::{
    InspectFuture, dialect,
    usage::{Forwarded, Profile},
};
use tower_service::Service;

use crate::{
    Ending, Ledger, MeterBody, MeterLayer, Prices,
    account::Account,
    drain::Drain,
    meter::{Meter, Undo},
    span::Span,
};

pin_project! {
    /// Response future of [`Meter`](crate::Meter).
    pub struct ResponseFuture<S: Service<Request<Body>>, L: Ledger, P: Prices, B> {
        #[pin]
        state: State<S, S::Future, L, P, B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, F, L: Ledger, P: Prices, B> {
        Inspecting { #[pin] inspect: InspectFuture<B>, inner: Option<(S, Arc<MeterLayer<L, P>>)> },
        Calling { #[pin] future: F, calling: Calling<L, P> },
        Refused { response: Option<Response<Bytes>> },
    }
}

/// An attempt under way.
pub(crate) struct Calling<L: Ledger, P: Prices> {
    /// `None` once there is an answer, or where there is no call.
    pub(crate) account: Option<Box<Account<L, P>>>,
    pub(crate) profile: Option<Profile>,
    pub(crate) undo: Undo,
    pub(crate) drain: Option<Drain>,
    pub(crate) span: Span,
    /// The inner service's future was polled: the request may have left.
    pub(crate) is_sent: bool,
}

impl<S: Service<Request<Body>>, L: Ledger, P: Prices, B> ResponseFuture<S, L, P, B> {
    pub(crate) fn calling(future: S::Future, calling: Calling<L, P>) -> Self {
        Self { state: State::Calling { future, calling } }
    }

    pub(crate) fn inspecting(
        inspect: InspectFuture<B>,
        inner: S,
        layer: Arc<MeterLayer<L, P>>,
    ) -> Self {
        Self { state: State::Inspecting { inspect, inner: Some((inner, layer)) } }
    }
}

impl<S, L, P, B, R> Future for ResponseFuture<S, L, P, B>
where
    S: Service<Request<Body>, Response = Response<R>>,
    L: Ledger,
    P: Prices,
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<MeterBody<R, L, P>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProj::Calling { future, calling } => {
                    return Poll::Ready(match ready!(calling.poll(future, cx)) {
                        Ok(response) => Ok(calling.answered(response)),
                        Err(error) => {
                            calling.failed();
                            Err(error)
                        }
                    });
                }
                StateProj::Inspecting { inspect, inner } => {
                    let inspected = ready!(inspect.poll(cx));
                    let (mut inner, layer) = inner.take().expect("polled after completion");
                    match inspected {
                        Err(response) => State::Refused { response: Some(response) },
                        Ok(mut request) => {
                            let calling = layer.open(&mut request);
                            State::Calling { future: inner.call(request), calling }
                        }
                    }
                }
                StateProj::Refused { response } => {
                    let response = response.take().expect("polled after completion");
                    return Poll::Ready(Ok(response.map(MeterBody::own)));
                }
            };
            state.set(next);
        }
    }
}

impl<L: Ledger, P: Prices> Calling<L, P> {
    /// Of a request nobody knows anything of.
    pub(crate) fn none() -> Self {
        Self {
            account: None,
            profile: None,
            undo: Undo::default(),
            drain: None,
            span: Span::none(),
            is_sent: false,
        }
    }

    fn poll<F: Future>(&mut self, future: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.is_sent = true;
        let _entered = self.span.enter();
        future.poll(cx)
    }

    fn answered<R>(&mut self, response: Response<R>) -> Response<MeterBody<R, L, P>>
    where
        R: http_body::Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        let Some(mut account) = self.account.take() else { return response.map(MeterBody::pass) };
        let (mut head, body) = response.into_parts();
        head.extensions.insert(account.outcome.clone());
        let protocol = account.facts.protocol();
        let answered = Some((head.status, account.facts.began.elapsed()));
        if let Some(class) = said_no(&head, protocol) {
            account.facts.head = answered.filter(|_| answered_by_upstream(&head));
            // Nothing is charged for an error before the first content.
            let recording = account.free(Ending::Failed(class)).recording;
            return Response::from_parts(head, MeterBody::settled(body, recording));
        }
        account.facts.head = answered;
        let meter = self.profile.and_then(|profile| {
            Meter::of(&account.facts.call, protocol, profile, &head.headers, self.undo)
        });
        if meter.as_deref().is_none_or(Meter::is_stream) {
            account.facts.prompt.let_go();
        }
        if let Some(sound) = meter.as_deref().and_then(Meter::sound) {
            head.extensions.insert(sound);
        }
        let left = announced(&head.headers);
        if meter.as_deref().is_some_and(Meter::changes_length) {
            head.headers.remove(header::CONTENT_LENGTH);
        }
        let drain = self.drain.take();
        Response::from_parts(head, MeterBody::metered(body, meter, account, drain, left))
    }

    /// The inner service failed without an answer.
    fn failed(&mut self) {
        if let Some(account) = self.account.take() {
            drop(account.free(Ending::Failed(Class::ServerError)));
        }
    }
}

/// Dropped without an answer: the client left, or another attempt was faster. What was sent is
/// charged, for it may have been read; what somebody of ours ended before any answer is not.
impl<L: Ledger, P: Prices> Drop for Calling<L, P> {
    fn drop(&mut self) {
        let Some(account) = self.account.take() else { return };
        let ending = account.facts.given_up();
        let settled = match self.profile {
            _ if !self.is_sent || matches!(ending, Ending::Failed(_)) => account.free(ending),
            Some(_) => {
                let forwarded = Forwarded::new(account.facts.protocol());
                let usage = forwarded.estimate(Usage::default(), &account.sent());
                account.used(ending, Box::new(usage))
            }
            None => account.unread(ending),
        };
        drop(settled.recording);
    }
}

/// The class of an answer that is an error. Of an upstream's own, as far as its head tells.
fn said_no(head: &http::response::Parts, protocol: Protocol) -> Option<Class> {
    if let Some(failure) = head.extensions.get::<Failure>() {
        return Some(failure.class);
    }
    if let Some(refusal) = head.extensions.get::<Refusal>() {
        return Some(refusal.class);
    }
    let fails = !head.status.is_success();
    fails.then(|| dialect(protocol).classify(head.status, &head.headers, b"").class)
}

/// How many bytes of body a head announces.
fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether the head is the upstream's, not that of a layer inside this one.
fn answered_by_upstream(head: &http::response::Parts) -> bool {
    head.extensions.get::<Refusal>().is_none()
        && head.extensions.get::<Failure>().is_none_or(|failure| failure.sent == Sent::Yes)
}

impl<S: Service<Request<Body>>, L: Ledger, P: Prices, B> fmt::Debug for ResponseFuture<S, L, P, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
