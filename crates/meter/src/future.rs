use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use pin_project_lite::pin_project;
use tollgate_core::{Body, BoxError, Call, Class, Failure, Operation, Refusal, Sent, Usage};
use tollgate_wire::{InspectFuture, dialect, usage::Profile};
use tower_service::Service;

use crate::{
    Ending, Ledger, MeterBody, MeterLayer, Prices,
    account::Account,
    drain::Drain,
    meter::{Meter, Undo},
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
        Inspecting { #[pin] inspect: InspectFuture<B>, inner: Option<(S, MeterLayer<L, P>)> },
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
}

impl<S: Service<Request<Body>>, L: Ledger, P: Prices, B> ResponseFuture<S, L, P, B> {
    pub(crate) fn calling(future: S::Future, calling: Calling<L, P>) -> Self {
        Self { state: State::Calling { future, calling } }
    }

    pub(crate) fn inspecting(inspect: InspectFuture<B>, inner: S, layer: MeterLayer<L, P>) -> Self {
        Self { state: State::Inspecting { inspect, inner: Some((inner, layer)) } }
    }
}

impl<S, L, P, B, R> Future for ResponseFuture<S, L, P, B>
where
    S: Service<Request<Body>, Response = Response<R>>,
    L: Ledger + Clone,
    P: Prices + Clone,
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
                    return Poll::Ready(match ready!(future.poll(cx)) {
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
    fn answered<R>(&mut self, response: Response<R>) -> Response<MeterBody<R, L, P>>
    where
        R: http_body::Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        let Some(mut account) = self.account.take() else { return response.map(MeterBody::pass) };
        let (mut head, body) = response.into_parts();
        head.extensions.insert(account.outcome.clone());
        if let Some(class) = said_no(&head, &account.facts.call) {
            account.facts.head = answered_by_upstream(&head).then(|| at(&account, head.status));
            // Nothing is charged for an error before the first content.
            let recording = account.free(Ending::Failed(class)).recording;
            return Response::from_parts(head, MeterBody::settled(body, recording));
        }
        account.facts.head = Some(at(&account, head.status));
        let call = account.facts.call.clone();
        let protocol = account.facts.target.as_ref().map_or(call.protocol, |t| t.protocol);
        let meter = self
            .profile
            .and_then(|profile| Meter::of(&call, protocol, profile, &head.headers, self.undo));
        if meter.as_ref().is_some_and(Meter::changes_length) {
            head.headers.remove(header::CONTENT_LENGTH);
        }
        let drain = self.drain.take();
        Response::from_parts(head, MeterBody::metered(body, meter, account, drain))
    }

    /// The inner service failed without an answer.
    fn failed(&mut self) {
        if let Some(account) = self.account.take() {
            drop(account.free(Ending::Failed(Class::ServerError)));
        }
    }
}

/// Dropped without an answer: the client left, or another attempt was faster. What it read is
/// charged, for it may have been sent.
impl<L: Ledger, P: Prices> Drop for Calling<L, P> {
    fn drop(&mut self) {
        let Some(account) = self.account.take() else { return };
        let ending = account.facts.given_up();
        let estimated = self.profile.filter(|_| ending != Ending::Failed(Class::Timeout));
        let settled = match estimated {
            Some(_) => {
                let sent = account.facts.sent();
                let forwarded = tollgate_wire::usage::Forwarded::new(account.facts.call.protocol);
                let usage = forwarded.estimate(Usage::default(), &sent);
                account.used(ending, usage)
            }
            None if account.facts.call.operation == Operation::Other => account.unread(ending),
            None => account.free(ending),
        };
        drop(settled.recording);
    }
}

fn at<L, P>(account: &Account<L, P>, status: StatusCode) -> (StatusCode, std::time::Duration) {
    (status, account.facts.began.elapsed())
}

/// The class of an answer that is an error.
fn said_no(head: &http::response::Parts, call: &Call) -> Option<Class> {
    if let Some(failure) = head.extensions.get::<Failure>() {
        return Some(failure.class);
    }
    if let Some(refusal) = head.extensions.get::<Refusal>() {
        return Some(refusal.class);
    }
    let fails = head.status.is_client_error() || head.status.is_server_error();
    fails.then(|| dialect(call.protocol).classify(head.status, &head.headers, b"").class)
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
