use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tollgate_core::{Body, BoxError, Reply};
use tollgate_sse::{Gate, Gated, GatedBody};
use tollgate_wire::InspectFuture;
use tower_service::Service;

use crate::{
    Fallback, FallbackBody, Policy,
    run::{Run, Step},
};

pin_project! {
    /// Response future of [`Fallback`].
    pub struct ResponseFuture<S: Service<Request<Body>>, P, B, R> {
        #[pin]
        state: State<S, S::Future, S::Error, P, B, R>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, F, E, P, B, R> {
        Passing { #[pin] future: F },
        Inspecting { #[pin] inspect: InspectFuture<B>, service: Option<Fallback<S, P>> },
        Running { #[pin] phase: Phase<S, F, R>, run: Run<S, P, E> },
        Done { answer: Option<Result<Response<Bytes>, E>> },
    }
}

pin_project! {
    #[project = PhaseProj]
    enum Phase<S, F, R> {
        Calling { #[pin] future: F },
        Gating { gate: Gate<R> },
        Pausing { sleep: Pin<Box<Sleep>> },
        Readying { next: Option<Box<Next<S>>> },
    }
}

/// A further attempt, and who is to make it.
struct Next<S> {
    service: S,
    request: Request<Body>,
}

impl<S: Service<Request<Body>>, P, B, R> ResponseFuture<S, P, B, R> {
    pub(crate) fn passing(future: S::Future) -> Self {
        Self { state: State::Passing { future } }
    }

    pub(crate) fn inspecting(inspect: InspectFuture<B>, service: Fallback<S, P>) -> Self {
        Self { state: State::Inspecting { inspect, service: Some(service) } }
    }

    pub(crate) fn calling(future: S::Future, run: Run<S, P, S::Error>) -> Self {
        Self { state: State::Running { phase: Phase::Calling { future }, run } }
    }

    pub(crate) fn pausing(until: Instant, run: Run<S, P, S::Error>) -> Self {
        Self { state: State::Running { phase: Phase::pausing(until), run } }
    }

    pub(crate) fn done(answer: Result<Response<Bytes>, S::Error>) -> Self {
        Self { state: State::Done { answer: Some(answer) } }
    }
}

impl<S, F, R> Phase<S, F, R> {
    fn pausing(until: Instant) -> Self {
        Self::Pausing { sleep: Box::pin(tokio::time::sleep_until(until.into())) }
    }
}

type Answer<R, E> = Result<Response<Reply<FallbackBody<R>>>, E>;

impl<S, P, B, R> Future for ResponseFuture<S, P, B, R>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone,
    P: Policy + Clone,
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    R: http_body::Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Output = Answer<R, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProj::Running { phase, run } => return poll_run(phase, run, cx),
                StateProj::Passing { future } => {
                    return future.poll(cx).map(|answer| {
                        answer.map(|response| response.map(|body| pass(GatedBody::pass(body))))
                    });
                }
                StateProj::Inspecting { inspect, service } => {
                    let inspected = ready!(inspect.poll(cx));
                    let service = service.take().expect("not polled after it was ready");
                    match inspected {
                        Ok(request) => service.run_inspected(request),
                        Err(refused) => Self::done(Ok(refused)),
                    }
                }
                StateProj::Done { answer } => {
                    let answer = answer.take().expect("not polled after it was ready");
                    return Poll::Ready(answer.map(|response| response.map(Reply::own)));
                }
            };
            state.set(next.state);
        }
    }
}

fn pass<R>(body: GatedBody<R>) -> Reply<FallbackBody<R>> {
    Reply::inner(FallbackBody::new(body, None))
}

fn poll_run<S, P, R>(
    mut phase: Pin<&mut Phase<S, S::Future, R>>,
    run: &mut Run<S, P, S::Error>,
    cx: &mut Context<'_>,
) -> Poll<Answer<R, S::Error>>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone,
    P: Policy,
    R: http_body::Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    loop {
        let step = match phase.as_mut().project() {
            PhaseProj::Calling { future } => match ready!(future.poll(cx)) {
                Ok(response) => {
                    let gate = run.gate(response);
                    phase.set(Phase::Gating { gate });
                    continue;
                }
                Err(error) => run.broke(error),
            },
            PhaseProj::Gating { gate } => match ready!(Pin::new(gate).poll(cx)) {
                Gated::Committed(response) => return Poll::Ready(Ok(run.committed(response))),
                Gated::Failed(failed) => run.failed(failed),
            },
            PhaseProj::Pausing { sleep } => {
                ready!(sleep.as_mut().poll(cx));
                run.next()
            }
            PhaseProj::Readying { next } => {
                let ready = next.as_mut().expect("taken only when the phase ends");
                match ready!(ready.service.poll_ready(cx)) {
                    Ok(()) => {
                        let Next { mut service, request } =
                            *next.take().expect("there was one above");
                        phase.set(Phase::Calling { future: service.call(request) });
                        continue;
                    }
                    Err(error) => run.unready(error),
                }
            }
        };
        match step {
            Step::Ask(request) => {
                let next = Next { service: run.service(), request };
                phase.set(Phase::Readying { next: Some(Box::new(next)) });
            }
            Step::Pause(until) => phase.set(Phase::pausing(until)),
            Step::Done(answer) => {
                // What has failed is let go before its answer is passed on.
                phase.set(Phase::Readying { next: None });
                return Poll::Ready(answer.map(|response| response.map(Reply::own)));
            }
        }
    }
}

impl<S: Service<Request<Body>>, P, B, R> fmt::Debug for ResponseFuture<S, P, B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
