use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tollgate_core::{Body, Call, Operation, Principal, Reply};
use tollgate_wire::{Caller, InspectFuture, credential};
use tower_service::Service;

use super::{Canonical, check::Gate};

pin_project! {
    /// Response future of [`KeyService`](super::KeyService).
    pub struct ResponseFuture<S, F, K, C> {
        #[pin]
        state: State<S, F, K, C>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, F, K, C> {
        Inspecting { #[pin] inspecting: InspectFuture<Body>, held: Option<Held<S, K, C>> },
        Calling { #[pin] future: F },
        Refused { response: Option<Response<Bytes>> },
    }
}

/// What waits for the request's body.
struct Held<S, K, C> {
    inner: S,
    gate: Arc<Gate<K, C>>,
    who: Arc<Principal>,
    caller: Caller,
}

impl<S, F, K, C> ResponseFuture<S, F, K, C> {
    pub(super) fn inspecting(
        inspecting: InspectFuture<Body>,
        inner: S,
        gate: Arc<Gate<K, C>>,
        (who, caller): (Arc<Principal>, Caller),
    ) -> Self {
        let held = Some(Held { inner, gate, who, caller });
        Self { state: State::Inspecting { inspecting, held } }
    }

    pub(super) fn calling(future: F) -> Self {
        Self { state: State::Calling { future } }
    }

    pub(super) fn refused(response: Response<Bytes>) -> Self {
        Self { state: State::Refused { response: Some(response) } }
    }
}

impl<S, K, C> Held<S, K, C>
where
    S: Service<Request<Body>>,
    C: Canonical,
{
    /// Calls the inner service if the key may use the request's model.
    fn decide(mut self, mut request: Request<Body>) -> State<S, S::Future, K, C> {
        credential::strip(&mut request);
        let unread = || Call::new(self.caller.protocol, Operation::Other);
        let call = request.extensions().get().cloned().unwrap_or_else(unread);
        let may = self.gate.may(&self.who, &call, request.method());
        match may {
            Ok(()) => State::Calling { future: self.inner.call(request) },
            Err(refusal) => State::Refused { response: Some(self.caller.refuse(refusal)) },
        }
    }
}

impl<S, K, C, R> Future for ResponseFuture<S, S::Future, K, C>
where
    S: Service<Request<Body>, Response = Response<R>>,
    C: Canonical,
{
    type Output = Result<Response<Reply<R>>, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = match self.as_mut().project().state.project() {
                StateProj::Inspecting { inspecting, held } => {
                    let inspected = ready!(inspecting.poll(cx));
                    let held = held.take().expect("a future is not polled after its end");
                    match inspected {
                        Ok(request) => held.decide(request),
                        Err(response) => State::Refused { response: Some(response) },
                    }
                }
                StateProj::Calling { future } => {
                    return future.poll(cx).map_ok(|response| response.map(Reply::inner));
                }
                StateProj::Refused { response } => {
                    let response = response.take().expect("a future is not polled after its end");
                    return Poll::Ready(Ok(response.map(Reply::own)));
                }
            };
            self.as_mut().project().state.set(next);
        }
    }
}

impl<S, F, K, C> fmt::Debug for ResponseFuture<S, F, K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Inspecting { .. } => "ResponseFuture(Inspecting)",
            State::Calling { .. } => "ResponseFuture(Calling)",
            State::Refused { .. } => "ResponseFuture(Refused)",
        })
    }
}
