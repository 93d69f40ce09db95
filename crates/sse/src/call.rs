use http::Request;
use tollgate_core::{Call, CallFacts, CallId, Needs};
use tollgate_wire::{dialect, locate};

/// Returns the call a request belongs to: its fact, else what its head alone says.
///
/// `None` where no protocol knows the path. A head says nothing of the body: `stream` is only
/// known where the path says it, and one answer is taken to be asked for.
pub(crate) fn call_of<B>(request: &Request<B>) -> Option<Call> {
    if let Some(call) = request.extensions().get::<Call>() {
        return Some(call.clone());
    }
    let uri = request.uri();
    let located = locate(request.method(), uri.path(), request.headers())?;
    let stream = located.route.stream;
    let facts = CallFacts {
        id: request.extensions().get().copied().unwrap_or_else(CallId::random),
        protocol: located.protocol,
        operation: located.route.operation,
        model: located.route.model.map(Into::into),
        stream,
        json_array: stream
            && dialect(located.protocol).streams_an_array(uri.query().unwrap_or_default()),
        output_limit: None,
        candidates: 1,
        stream_usage: false,
        asks_cost: false,
        user: None,
        service_tier: None,
        needs: Needs::default(),
    };
    Some(facts.into())
}
