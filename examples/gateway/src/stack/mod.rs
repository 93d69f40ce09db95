//! The stack: which layers, in which order, and why.

mod edge;
mod operations;

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use tollgate_core::{Body, BoxError};
use tollgate_keys::{CredentialLayer, KeyLayer};
use tollgate_route::RouteLayer;
use tollgate_sse::{DeadlineLayer, SseLayer};
use tollgate_wire::Inspect;
use tower::{Service, ServiceBuilder};

pub use self::edge::Readiness;
use self::{edge::EdgeLayer, operations::OperationsLayer};
use crate::state::SharedState;

/// What is fixed for a stack's life.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes a request body may have.
    pub max_body: usize,
    /// How long a whole call may take.
    pub total: Option<Duration>,
    /// How long an upstream may be silent.
    pub deadlines: DeadlineLayer,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_body: 32 << 20, total: None, deadlines: DeadlineLayer::new() }
    }
}

/// Builds the gateway's service in front of `leaf`, the service that sends to upstreams.
pub fn stack<L, B, ReqBody>(
    state: SharedState,
    readiness: Readiness,
    options: Options,
    leaf: L,
) -> impl Service<
    Request<ReqBody>,
    Response = Response<impl http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static>,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send
where
    L: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    L::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError> + Send,
    ReqBody: http_body::Body<Data = Bytes> + Send + 'static,
    ReqBody::Error: Into<BoxError>,
{
    let inspect = Inspect::new().limit(options.max_body);
    ServiceBuilder::new()
        // Each answer shows which call it was; health needs no key.
        .layer(EdgeLayer::new(readiness).total(options.total))
        // Who is asking, before any body is read. The client's credential ends here.
        .layer(KeyLayer::new(state.clone()).limit(options.max_body).canonical(state.clone()))
        // Lists and unknown paths need a key and nothing of what follows.
        .layer(OperationsLayer::new(state.clone()))
        // Who could answer. From here on the call has a target.
        .layer(RouteLayer::new(state.clone()).inspect(inspect))
        // The client's side of a stream: nothing before the first content, honest endings.
        .layer(SseLayer::new())
        // How long this upstream may be silent.
        .layer(options.deadlines)
        // Removes every credential of the client's, sets ours for this target.
        .layer(CredentialLayer::new(state))
        .service(leaf)
}
