//! The span of a call, for whoever collects traces: the spans of its attempts are within it.

use http::{HeaderMap, Request, Response};
use opentelemetry::{
    propagation::{Extractor, TextMapPropagator},
    trace::TraceContextExt,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tollgate_meter::IdempotencyKey;
use tollgate_wire::Caller;
use tracing::{Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// A call's span: open until its answer has ended, or nobody wants the rest.
#[derive(Debug)]
pub(super) struct CallSpan(Span);

impl CallSpan {
    /// Opens the span of a call, within the trace the client tells of in `traceparent`
    /// (<https://www.w3.org/TR/trace-context/>). `None` where nobody collects traces.
    pub(super) fn begin<B>(request: &Request<B>) -> Option<Box<Self>> {
        let key = || request.extensions().get::<IdempotencyKey>();
        // The target is the meter's, so that one filter is for both.
        let span = tracing::info_span!(
            target: "tollgate_meter::call",
            "call",
            otel.name = %request.method(),
            otel.kind = "server",
            otel.status_code = Empty,
            http.request.method = %request.method(),
            http.response.status_code = Empty,
            url.path = request.uri().path(),
            tollgate.call.id = %Caller::of(request).id,
            tollgate.idempotency_key = key().map(|key| &*key.0),
        );
        if span.is_disabled() {
            return None;
        }
        let told = TraceContextPropagator::new().extract(&Headers(request.headers()));
        if told.span().span_context().is_valid() {
            // Fails only where the span is no longer, or not, one of OpenTelemetry's.
            let _ = span.set_parent(told);
        }
        Some(Box::new(Self(span)))
    }

    /// Does something within the call.
    pub(super) fn within<R>(&self, act: impl FnOnce() -> R) -> R {
        self.0.in_scope(act)
    }

    /// Notes how the call is answered.
    pub(super) fn answered<B>(&self, response: &Response<B>) {
        let status = response.status();
        self.0.record("http.response.status_code", i64::from(status.as_u16()));
        if status.is_server_error() {
            self.0.record("otel.status_code", "ERROR");
        }
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
