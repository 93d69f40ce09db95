use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tollgate_core::{Body, BoxError, Call, Class, Plan, Principal, Refusal, Reply, Served, Target};
use tollgate_wire::{Caller, InspectFuture, aim};
use tower_service::Service;

use crate::Resolve;

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
        Calling { #[pin] future: F, first: Option<Arc<Target>> },
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
    type Output = Result<Response<Reply<ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let calling = match state.as_mut().project() {
                StateProj::Calling { future, first } => {
                    let response = served(ready!(future.poll(cx))?, first.take());
                    return Poll::Ready(Ok(response.map(Reply::inner)));
                }
                StateProj::Inspecting { inspect, inner } => {
                    let inspected = ready!(inspect.poll(cx));
                    let (mut inner, resolve) = inner.take().expect("polled after completion");
                    match inspected.and_then(|request| plan(request, &resolve)) {
                        Err(refused) => return Poll::Ready(Ok(refused.map(Reply::own))),
                        Ok(request) => {
                            let first = request.extensions().get::<Arc<Target>>().cloned();
                            State::Calling { future: inner.call(request), first }
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

/// Writes the plan and its first target into the request and aims it there.
#[allow(clippy::result_large_err, reason = "either is the whole message that goes on")]
fn plan<R: Resolve>(
    mut request: Request<Body>,
    resolve: &R,
) -> Result<Request<Body>, Response<Bytes>> {
    let caller = Caller::of(&request);
    let extensions = request.extensions();
    let Some(call) = extensions.get::<Call>().filter(|call| call.operation.has_model()) else {
        return Ok(request);
    };
    let principal = extensions.get::<Arc<Principal>>().map(|p| &**p);
    resolve
        .resolve(call, principal)
        .and_then(|plan| follow(&mut request, plan))
        .map_err(|refusal| caller.refuse(refusal))?;
    Ok(request)
}

fn follow(request: &mut Request<Body>, plan: Plan) -> Result<(), Refusal> {
    let Some(target) = plan.first().cloned() else {
        return Err(Refusal::new(Class::NotFound, "no upstream can serve this request"));
    };
    aim(request, &target)?;
    request.extensions_mut().insert(target);
    request.extensions_mut().insert(plan);
    Ok(())
}
