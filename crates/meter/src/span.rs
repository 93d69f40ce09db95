//! A span for each attempt, in OpenTelemetry's conventions for generative AI.
//!
//! Without the feature `tracing` there is none, and nothing is done.

#[cfg(not(feature = "tracing"))]
pub(crate) use self::off::Span;
#[cfg(feature = "tracing")]
pub(crate) use self::on::Span;

#[cfg(not(feature = "tracing"))]
mod off {
    use crate::{Charge, account::Facts};

    #[derive(Clone)]
    pub(crate) struct Span;

    /// What stands for being inside of a span.
    pub(crate) struct Entered;

    impl Span {
        pub(crate) fn none() -> Self {
            Self
        }

        pub(crate) fn begin(_: &Facts) -> Self {
            Self
        }

        pub(crate) fn enter(&self) -> Entered {
            Entered
        }

        pub(crate) fn end(&self, _: &Charge) {}
    }
}

#[cfg(feature = "tracing")]
mod on {
    use std::fmt;

    use tollgate_core::{Operation, Protocol};
    use tracing::field::Empty;

    use crate::{Charge, Ending, account::Facts};

    #[derive(Clone)]
    pub(crate) struct Span(tracing::Span);

    impl Span {
        pub(crate) fn none() -> Self {
            Self(tracing::Span::none())
        }

        /// Opens the span of an attempt. Nothing of the prompt, and no credential, is in it.
        pub(crate) fn begin(facts: &Facts) -> Self {
            let target = facts.target.as_deref();
            let model = target.map(|target| &*target.model).filter(|model| !model.is_empty());
            let model = model.or(facts.call.model.as_deref());
            let operation = operation(facts.protocol(), facts.call.operation);
            let span = tracing::info_span!(
                "gen_ai",
                otel.name = %Name(operation, model),
                otel.kind = "client",
                otel.status_code = Empty,
                gen_ai.operation.name = operation,
                gen_ai.provider.name = target.map(|target| provider(&target.kind)),
                gen_ai.request.model = model,
                gen_ai.request.max_tokens = facts.call.output_limit.map(whole),
                gen_ai.response.model = Empty,
                gen_ai.usage.input_tokens = Empty,
                gen_ai.usage.output_tokens = Empty,
                server.address = target.and_then(|target| target.base_url.host()),
                server.port = target.and_then(|target| target.base_url.port_u16()).map(i64::from),
                http.response.status_code = Empty,
                error.type = Empty,
                tollgate.call.id = %facts.call.id,
                tollgate.idempotency_key = facts.idempotency_key.as_deref(),
                tollgate.attempt = i64::from(facts.attempt.number()),
                tollgate.usage.quality = Empty,
                tollgate.cost.usd = Empty,
            );
            Self(span)
        }

        pub(crate) fn enter(&self) -> tracing::span::Entered<'_> {
            self.0.enter()
        }

        /// Writes down how the attempt ended.
        pub(crate) fn end(&self, charge: &Charge) {
            if self.0.is_disabled() {
                return;
            }
            let usage = &charge.usage;
            if let Some(model) = &usage.served.model {
                self.0.record("gen_ai.response.model", model.as_str());
            }
            if charge.tells_usage() {
                let input = usage.prompt_total().saturating_add(usage.tool_in.unwrap_or(0));
                self.0.record("gen_ai.usage.input_tokens", whole(input));
                self.0.record("gen_ai.usage.output_tokens", whole(usage.output_total()));
                self.0.record("tollgate.usage.quality", charge.quality_word());
            }
            if let Some(status) = charge.status {
                self.0.record("http.response.status_code", i64::from(status));
            }
            if let Some(cost) = charge.cost {
                self.0.record("tollgate.cost.usd", tracing::field::display(cost));
            }
            if charge.ending != Ending::Complete {
                self.0.record("error.type", charge.ending.as_str());
            }
            if matches!(charge.ending, Ending::Failed(_)) {
                self.0.record("otel.status_code", "ERROR");
            }
        }
    }

    /// A number as OpenTelemetry has them: of an unsigned one exporters make a text.
    fn whole(n: u64) -> i64 {
        i64::try_from(n).unwrap_or(i64::MAX)
    }

    /// What is done, with which model.
    struct Name<'a>(&'static str, Option<&'a str>);

    impl fmt::Display for Name<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)?;
            let model = self.1.filter(|model| !model.is_empty());
            model.map_or(Ok(()), |model| write!(f, " {model}"))
        }
    }

    /// The conventions' name of what was asked for.
    fn operation(protocol: Protocol, operation: Operation) -> &'static str {
        match (operation, protocol) {
            (Operation::Generate, Protocol::Gemini) => "generate_content",
            (Operation::Generate, _) => "chat",
            (Operation::Embed, _) => "embeddings",
            (other, _) => other.as_str(),
        }
    }

    /// The conventions' name of a provider; its own where they have none.
    fn provider(kind: &str) -> &str {
        match kind {
            "gemini" | "google" => "gcp.gemini",
            "vertex" => "gcp.vertex_ai",
            "azure" => "azure.ai.openai",
            "azure-ai" => "azure.ai.inference",
            "bedrock" => "aws.bedrock",
            "mistral" => "mistral_ai",
            "xai" => "x_ai",
            own => own,
        }
    }
}
