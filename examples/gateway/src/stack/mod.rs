//! The stack: which layers, in which order, and why.

mod access;
mod cors;
mod decode;
mod drain;
mod edge;
mod operations;
mod panics;
mod paths;
mod patience;
mod targets;
mod trace;

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use tokio_util::task::TaskTracker;
use tollgate_core::{Body, BoxError, Target};
use tollgate_fallback::FallbackLayer;
use tollgate_keys::{CredentialLayer, KeyLayer};
use tollgate_meter::{MeterLayer, Work};
use tollgate_route::RouteLayer;
use tollgate_shed::ShedLayer;
use tollgate_sse::{DeadlineLayer, SseLayer};
use tollgate_translate::{TranslateLayer, forget_reasoning};
use tollgate_wire::Inspect;
use tower::{Service, ServiceBuilder};

use self::{
    access::{AccessLayer, NoteLayer},
    cors::CorsLayer,
    decode::DecodeLayer,
    drain::DrainLayer,
    edge::EdgeLayer,
    operations::OperationsLayer,
    panics::PanicLayer,
    patience::PatienceLayer,
};
pub use self::{cors::Origins, edge::Readiness, patience::Patience};
use crate::{
    books::Books, counts::Counts, measures::Measures, signal::Signal, state::SharedState,
    translation::Fetching,
};

/// What is fixed for a stack's life.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether a line is logged for each call. Default: none is.
    pub access_log: bool,
    /// Bytes a request body may have. Default: 32 MiB.
    pub max_body: usize,
    /// Requests in progress at once. Default: 10 000.
    pub max_requests: usize,
    /// Whose pages may call. Default: nobody's.
    pub origins: Origins,
    /// Ends whatever is running when it is given.
    pub cut: Signal,
    /// Counts what happens at the edge.
    pub counts: Counts,
    /// What is still done for clients that have left. Default: nobody waits for it.
    pub background: TaskTracker,
    /// What `/metrics` shows. Default: nothing, the path is nobody's.
    pub measures: Option<Measures>,
    /// Where charges go. Default: nowhere.
    pub books: Books,
    /// How further targets are asked. Default: as [`FallbackLayer::new`] on the state's board does.
    pub fallback: Option<FallbackLayer>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            access_log: false,
            max_body: 32 << 20,
            max_requests: 10_000,
            origins: Origins::default(),
            cut: Signal::new(),
            counts: Counts::default(),
            background: TaskTracker::new(),
            measures: None,
            books: Books::default(),
            fallback: None,
        }
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
    L: Service<Request<Body>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    L::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError> + Send,
    ReqBody: http_body::Body<Data = Bytes> + Send + 'static,
    ReqBody::Error: Into<BoxError>,
{
    let inspect = Inspect::new().limit(options.max_body);
    let fallback =
        options.fallback.unwrap_or_else(|| FallbackLayer::new(state.load().board.clone()));
    ServiceBuilder::new()
        // Which web pages may call; preflights have no key.
        .layer(CorsLayer::new(options.origins))
        // Each answer shows which call it was; health needs no key.
        .layer(EdgeLayer::new(readiness, state.clone(), options.measures))
        // A line and a span for each call, where they are wanted.
        .layer(AccessLayer::new(options.access_log))
        // A panic is a 500 and nobody else's trouble.
        .layer(PanicLayer::new(options.counts.clone()))
        // What is more than we can do is refused before it costs anything.
        .layer(ShedLayer::new(options.max_requests))
        // What clients send encoded is read as what it is; how much of it is read others decide.
        .layer(DecodeLayer)
        // Who is asking, before any body is read. The client's credential ends here.
        .layer(KeyLayer::new(state.clone()).limit(options.max_body).canonical(state.clone()))
        // Who it is, for the line.
        .layer(NoteLayer)
        // Lists and unknown paths need a key and nothing of what follows.
        .layer(OperationsLayer::new(state.clone(), options.books.clone()))
        // Who could answer. From here on the call has a target.
        .layer(RouteLayer::new(state.clone()).inspect(inspect))
        // What is asked for, for the line.
        .layer(NoteLayer)
        // What is above moves the future and the answer of what is below, once each: as pointers.
        .map_future(Box::pin)
        .map_response(|response: Response<_>| response.map(Box::pin))
        // The client's side of a stream: nothing before the first content, honest endings.
        .layer(SseLayer::new())
        // A panic within a stream is told in its last event.
        .layer(PanicLayer::new(options.counts))
        // So is the end of the process.
        .layer(DrainLayer::new(options.cut))
        // Tries the targets of the plan in order, until one has content. Where one refuses the
        // reasoning a client sends back, or has lost, it is asked once more without.
        .layer(fallback.repair(forget_reasoning))
        // Only where client and target differ. All that follows speaks the upstream's protocol.
        .layer(TranslateLayer::new().inspect(inspect).fetch(Fetching::new(state.clone())))
        // What this attempt bought, in the upstream's own terms.
        .layer(meter(&state, options.books, options.background))
        // Whose deadlines apply.
        .layer(PatienceLayer::new(state.clone()))
        // How long this upstream may be silent.
        .layer(DeadlineLayer::new())
        // Removes every credential of the client's, sets ours for this target.
        .layer(CredentialLayer::new(state))
        .service(leaf)
}

fn meter(
    state: &SharedState,
    books: Books,
    background: TaskTracker,
) -> MeterLayer<Books, SharedState> {
    let drains = state.clone();
    let limit = move |target: &Target| drains.load().drains.get(&target.provider).copied();
    let run = move |work: Work| drop(background.spawn(work));
    MeterLayer::new(books, state.clone()).drain(limit, run)
}
