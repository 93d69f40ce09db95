use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tollgate_core::{Body, BoxError, Call, Class, Plan, Protocol, Refusal, Reply, Served, Target};
use tollgate_wire::{Caller, InspectFuture, aim, patch};
use tower_service::Service;

use crate::{Ask, Resolve, ResponseBody, body::Naming};

pin_project! {
    /// Response future of [`Route`](crate::Route).
    #[derive(Debug)]
    pub struct ResponseFuture<S: Service<Request<Body>>, R, B> {
        #[pin]
        state: State<S, S::Future, R, B>,
    }
}

pin_project! {
    #[project = StateProj]
    #[project_replace = StateReplaced]
    #[derive(Debug)]
    enum State<S, F, R, B> {
        Inspecting { #[pin] inspect: InspectFuture<B>, inner: Option<(S, R)> },
        Calling { #[pin] future: F, first: Option<Arc<Target>>, tell: Option<Tell<R>> },
    }
}

impl<S: Service<Request<Body>>, R, B> ResponseFuture<S, R, B> {
    pub(crate) fn new(inspect: InspectFuture<B>, inner: S, resolve: R) -> Self {
        Self { state: State::Inspecting { inspect, inner: Some((inner, resolve)) } }
    }
}

#[allow(clippy::result_large_err, reason = "either is the whole message that goes on")]
impl<S, R, B, ResBody> Future for ResponseFuture<S, R, B>
where
    S: Service<Request<Body>, Response = Response<ResBody>>,
    R: Resolve,
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<ResponseBody<ResBody, R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let calling = match state.as_mut().project() {
                StateProj::Calling { future, first, tell } => {
                    let response = served(ready!(future.poll(cx))?, first.take());
                    let naming = tell.take().and_then(|tell| tell.answered(&response));
                    let body = |body| ResponseBody::new(Reply::inner(body), naming);
                    return Poll::Ready(Ok(response.map(body)));
                }
                StateProj::Inspecting { inspect, inner } => {
                    let inspected = ready!(inspect.poll(cx));
                    let (mut inner, resolve) = inner.take().expect("polled after completion");
                    match inspected.and_then(|request| plan(request, &resolve)) {
                        Err(refused) => return Poll::Ready(Ok(refused.map(own))),
                        Ok(request) => {
                            let first = request.extensions().get::<Arc<Target>>().cloned();
                            let tell = Tell::of(resolve, &request);
                            State::Calling { future: inner.call(request), first, tell }
                        }
                    }
                }
            };
            state.as_mut().project_replace(calling);
        }
    }
}

/// Says who answered, where nobody inside, who may have tried several, has said so.
fn served<B>(mut response: Response<B>, first: Option<Arc<Target>>) -> Response<B> {
    let told = response.extensions().get::<Served>().is_some();
    if let Some(target) = first.filter(|_| !told) {
        response.extensions_mut().insert(Served::new(target, 1));
    }
    response
}

/// Tells the resolver who answered well.
#[derive(Debug)]
struct Tell<R> {
    resolve: R,
    affinity: u64,
    protocol: Protocol,
}

impl<R: Resolve> Tell<R> {
    /// Where there was a choice, it is worth remembering.
    fn of(resolve: R, request: &Request<Body>) -> Option<Self> {
        let affinity = request.extensions().get::<Plan>()?.affinity?;
        let protocol = request.extensions().get::<Call>()?.protocol;
        Some(Self { resolve, affinity, protocol })
    }

    fn answered<B>(self, response: &Response<B>) -> Option<Naming<R>> {
        let Self { resolve, affinity, protocol } = self;
        let served = response.extensions().get::<Served>();
        let target = served.filter(|_| response.status().is_success())?.target.clone();
        resolve.answered(affinity, &target);
        let kept = protocol == Protocol::OpenAiResponses && target.protocol == protocol;
        kept.then(|| Naming::new(resolve, target))
    }
}

fn own<B, R>(text: Bytes) -> ResponseBody<B, R> {
    ResponseBody::new(Reply::own(text), None)
}

/// Writes the plan and its first target into the request and aims it there.
#[allow(clippy::result_large_err, reason = "either is the whole message that goes on")]
fn plan<R: Resolve>(
    mut request: Request<Body>,
    resolve: &R,
) -> Result<Request<Body>, Response<Bytes>> {
    let caller = Caller::of(&request);
    let call = request.extensions().get::<Call>().filter(|call| call.operation.has_model());
    let Some(call) = call else { return Ok(request) };
    resolve
        .resolve(&Ask::of(call, &request))
        .and_then(|plan| follow(&mut request, plan))
        .map_err(|refusal| caller.refuse(refusal))?;
    Ok(request)
}

fn follow(request: &mut Request<Body>, plan: Plan) -> Result<(), Refusal> {
    let Some(target) = plan.first().cloned() else {
        return Err(Refusal::new(Class::NotFound, "no upstream can serve this request"));
    };
    remove(request, plan.removes)?;
    aim(request, &target)?;
    request.extensions_mut().insert(target);
    request.extensions_mut().insert(plan);
    Ok(())
}

/// Removes members from the body: who is asked is none of the upstream's business.
fn remove(request: &mut Request<Body>, members: &[&str]) -> Result<(), Refusal> {
    let Some(mut frames) = request.body().frames().filter(|_| !members.is_empty()).cloned() else {
        return Ok(());
    };
    for member in members {
        frames = patch::remove(&frames, member).map_err(|malformed| {
            let message = format!("the request body is not a JSON object: {malformed}");
            Refusal::new(Class::InvalidRequest, message)
        })?;
    }
    request.body_mut().set_frames(frames);
    Ok(())
}
