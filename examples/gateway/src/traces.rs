//! Traces of attempts, for whoever collects them.

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing::Subscriber;
use tracing_subscriber::{Layer, filter::LevelFilter, filter::Targets, registry::LookupSpan};

use crate::Failed;

/// Sends a span of each attempt to a collector, in OpenTelemetry's conventions for generative AI:
/// no prompt, no answer, no secret.
#[derive(Debug)]
pub(crate) struct Traces(SdkTracerProvider);

impl Traces {
    /// Returns what sends to `OTEL_EXPORTER_OTLP_ENDPOINT` (or `…_TRACES_ENDPOINT`) by OTLP over
    /// HTTP. `None` where neither is set.
    ///
    /// Errors: the address is none.
    pub(crate) fn from_env() -> Result<Option<Self>, Failed> {
        let names = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
        if names.iter().all(|name| std::env::var_os(name).is_none_or(|value| value.is_empty())) {
            return Ok(None);
        }
        let exporter = SpanExporter::builder().with_http().build()?;
        let resource = Resource::builder().with_service_name("tollgate").build();
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter);
        Ok(Some(Self(provider.with_resource(resource).build())))
    }

    /// Returns the layer that makes spans of attempts; without traces none is even begun.
    pub(crate) fn layer<S>(traces: Option<&Self>) -> impl Layer<S> + Send + Sync + 'static
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let level = traces.map_or(LevelFilter::OFF, |_| LevelFilter::INFO);
        let spans = traces.map(|traces| traces.0.tracer("tollgate"));
        let spans = spans.map(|tracer| tracing_opentelemetry::layer().with_tracer(tracer));
        spans.with_filter(Targets::new().with_target("tollgate_meter", level))
    }

    /// Sends what is left.
    pub(crate) fn end(self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}
