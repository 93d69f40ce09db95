//! A span for each attempt, as OpenTelemetry's conventions want it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

use common::{Bench, CHAT, GEMINI, PRICE};
use http_body_util::BodyExt;
use tollgate_testkit::Answer;
use tracing::{
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{Registry, layer::Context, prelude::*, registry::LookupSpan};

type Fields = BTreeMap<&'static str, String>;

/// Keeps the fields of every span, and how often it was entered and closed.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Seen>>>);

type Seen = (span::Id, Fields, usize, usize);

struct Reading<'a>(&'a mut Fields);

impl Visit for Reading<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        panic!("{field}: exporters make a text of the unsigned {value}");
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

impl Kept {
    fn with(&self, id: &span::Id, change: impl FnOnce(&mut Fields, &mut usize, &mut usize)) {
        let mut spans = self.0.lock().unwrap();
        if let Some((_, fields, entered, closed)) = spans.iter_mut().rev().find(|s| s.0 == *id) {
            change(fields, entered, closed);
        }
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> tracing_subscriber::Layer<S> for Kept {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, _: Context<'_, S>) {
        if attributes.metadata().target().starts_with("tollgate_meter") {
            let mut fields = Fields::new();
            attributes.record(&mut Reading(&mut fields));
            self.0.lock().unwrap().push((id.clone(), fields, 0, 0));
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, _: Context<'_, S>) {
        self.with(id, |fields, _, _| values.record(&mut Reading(fields)));
    }

    fn on_enter(&self, id: &span::Id, _: Context<'_, S>) {
        self.with(id, |_, entered, _| *entered += 1);
    }

    fn on_close(&self, id: span::Id, _: Context<'_, S>) {
        self.with(&id, |_, _, closed| *closed += 1);
    }
}

/// The one span of what is done.
fn span<F: Future<Output = ()>>(work: impl FnOnce() -> F) -> Fields {
    let kept = Kept::default();
    let subscriber = Registry::default().with(kept.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    tracing::subscriber::with_default(subscriber, || runtime.block_on(work()));
    let mut spans = kept.0.lock().unwrap();
    assert_eq!(spans.len(), 1);
    let (_, fields, entered, closed) = spans.remove(0);
    assert!(entered > 0 && closed == 1, "entered {entered} times, closed {closed} times");
    fields
}

#[test]
fn a_complete_attempt_says_who_was_asked_and_what_it_used() {
    let fields = span(|| async {
        let bench = Bench::new(&CHAT, Answer::sse(CHAT.stream()));
        bench.whole(CHAT.asking_stream()).await;
    });
    for (name, value) in [
        ("otel.name", "chat m"),
        ("otel.kind", "client"),
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "openai"),
        ("gen_ai.request.model", "m"),
        ("gen_ai.usage.input_tokens", "100"),
        ("gen_ai.usage.output_tokens", "20"),
        ("server.address", "upstream.test"),
        ("server.port", "8080"),
        ("http.response.status_code", "200"),
        ("tollgate.cost.usd", PRICE),
        ("tollgate.usage.quality", "exact"),
        ("tollgate.attempt", "1"),
    ] {
        assert_eq!(fields.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(!fields.contains_key("error.type") && !fields.contains_key("otel.status_code"));
}

#[test]
fn the_conventions_name_providers_and_operations() {
    let fields = span(|| async {
        let text = r#"{"candidates":[],"modelVersion":"m-001","usageMetadata":{"promptTokenCount":1,"totalTokenCount":1}}"#;
        Bench::new(&GEMINI, Answer::json(200, text)).whole(GEMINI.asking()).await;
    });
    assert_eq!(fields["gen_ai.provider.name"], "gcp.gemini");
    assert_eq!(fields["otel.name"], "generate_content m");
    assert_eq!(fields["gen_ai.response.model"], "m-001");
}

#[test]
fn failures_and_clients_that_leave_are_told_apart() {
    let failed = span(|| async {
        Bench::new(&CHAT, Answer::json(429, "{}")).whole(CHAT.asking()).await;
    });
    assert_eq!((&*failed["error.type"], &*failed["otel.status_code"]), ("rate_limit", "ERROR"));
    let left = span(|| async {
        let bench = Bench::new(&CHAT, Answer::sse(CHAT.stream()));
        bench.leave(CHAT.asking_stream(), 2).await;
    });
    assert_eq!(left["error.type"], "cancelled");
    assert!(!left.contains_key("otel.status_code"));
}

#[test]
fn nothing_of_the_conversation_or_a_credential_is_in_it() {
    let fields = span(|| async {
        let bench = Bench::new(&CHAT, Answer::sse(CHAT.stream()));
        let body =
            r#"{"model":"m","messages":[{"content":"a secret"}],"stream":true,"user":"u-1"}"#;
        let mut request = common::post(CHAT.path, body);
        request.headers_mut().insert("authorization", "Bearer sk-1".parse().unwrap());
        bench.ask(request).await.into_body().collect().await.unwrap();
    });
    let all = format!("{fields:?}");
    for word in ["secret", "Hello", "sk-1", "u-1"] {
        assert!(!all.contains(word), "{word} in {all}");
    }
}
