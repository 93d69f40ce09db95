//! The gateway's whole stack in front of a leaf that plays a script, and what its client sees.

use std::{convert::Infallible, future::pending, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use tollgate_core::{Body, BoxError, Class, Outcome};
use tollgate_gateway::{Options, Patience, Readiness, stack};
use tollgate_testkit::{Answer, Probe, ScriptBody, Upstream};
use tollgate_tests::{one_attempt, patient};
use tower::{Service, ServiceExt, service_fn};

use crate::lane::Lane;

/// An answer of the gateway's whose body was not read yet.
pub(crate) type Answered = Response<UnsyncBoxBody<Bytes, BoxError>>;

/// An answer read to its end.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) outcome: Option<Outcome>,
}

impl Seen {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// How the call ended, as it was recorded.
    pub(crate) fn ending(&self) -> Option<Option<Class>> {
        self.outcome.as_ref()?.ending()
    }
}

/// How the gateway is set up.
pub(crate) struct Setup {
    pub(crate) options: Options,
    pub(crate) patience: Patience,
}

impl Default for Setup {
    fn default() -> Self {
        Self { options: one_attempt(), patience: Patience::default() }
    }
}

/// Asks the gateway over `leaf`; the answer's body is not read.
pub(crate) async fn ask<L, B>(lane: Lane, setup: Setup, leaf: L) -> Answered
where
    L: Service<Request<Body>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    L::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError> + Send,
{
    send(lane, setup, leaf, lane.request()).await
}

/// The same with a request of the test's own.
pub(crate) async fn send<L, B>(
    lane: Lane,
    setup: Setup,
    leaf: L,
    request: Request<Full<Bytes>>,
) -> Answered
where
    L: Service<Request<Body>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    L::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError> + Send,
{
    let state = patient(lane.protocol, "http://upstream.test/v1", &["m"], setup.patience);
    let gateway = stack(state, Readiness::ready(), setup.options, leaf);
    answered(gateway.oneshot(request).await.expect("infallible"))
}

/// The answer with its body in a box.
pub(crate) fn answered<B>(response: Response<B>) -> Answered
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    response.map(|body| body.map_err(Into::into).boxed_unsync())
}

/// Reads an answer to its end. A body of the gateway's never fails.
pub(crate) async fn read(answer: Answered) -> Seen {
    let (head, body) = answer.into_parts();
    Seen {
        status: head.status.as_u16(),
        headers: head.headers,
        outcome: head.extensions.get().cloned(),
        body: body.collect().await.expect("a body that ends honestly does not fail").to_bytes(),
    }
}

/// An upstream that always answers `answer`.
pub(crate) fn upstream(answer: Answer) -> Upstream {
    Upstream::always(answer)
}

/// An upstream as the leaf of a stack.
pub(crate) fn leaf(
    upstream: &Upstream,
) -> impl Service<
    Request<Body>,
    Response = Response<ScriptBody>,
    Error = Infallible,
    Future: Send + 'static,
> + Clone
+ Send
+ 'static {
    let upstream = upstream.clone();
    service_fn(move |request: Request<Body>| {
        let upstream = upstream.clone();
        async move { Ok(upstream.oneshot(request).await.expect("the script has no such failure")) }
    })
}

/// Asks the gateway over an upstream that answers `answer`, and reads the answer to its end.
pub(crate) async fn exchange(lane: Lane, answer: Answer) -> (Seen, Probe) {
    within(lane, Setup::default(), answer).await
}

/// The same with another setup.
pub(crate) async fn within(lane: Lane, setup: Setup, answer: Answer) -> (Seen, Probe) {
    let upstream = upstream(answer);
    let seen = read(ask(lane, setup, leaf(&upstream)).await).await;
    let probe = upstream.probes().pop().expect("the upstream was asked");
    (seen, probe)
}

/// A leaf that never answers; how many of its futures live shows in the count of `alive`.
pub(crate) fn silent(
    alive: &Arc<()>,
) -> impl Service<
    Request<Body>,
    Response = Response<ScriptBody>,
    Error = Infallible,
    Future: Send + 'static,
> + Clone
+ Send
+ 'static {
    let alive = Arc::downgrade(alive);
    service_fn(move |_: Request<Body>| {
        let guard = alive.upgrade();
        async move {
            let _guard = guard;
            pending::<Result<Response<ScriptBody>, Infallible>>().await
        }
    })
}
