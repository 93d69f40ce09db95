use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, Method};
use tollgate_core::{
    AllowedModels, Call, CallFacts, Frames, KeyId, Operation, Plan, Principal, Protocol, Refusal,
};
use tollgate_route::{Ask, Endpoint, Provider, Resolve, Router, WISHES};
use tollgate_wire::{dialect, locate, peek::peek};

pub(crate) const CHAT: Protocol = Protocol::OpenAiChat;
pub(crate) const RESPONSES: Protocol = Protocol::OpenAiResponses;
pub(crate) const MESSAGES: Protocol = Protocol::AnthropicMessages;
pub(crate) const GEMINI: Protocol = Protocol::Gemini;

pub(crate) fn provider(name: &'static str, protocols: &[Protocol]) -> Provider {
    let url = || http::Uri::from_static("http://upstream.test/v1");
    let add = |provider: Provider, protocol: &Protocol| {
        provider.endpoint(Endpoint::new(*protocol, url()))
    };
    protocols.iter().fold(Provider::new(name), add)
}

/// Providers as somebody has them with four keys.
pub(crate) fn router() -> Router {
    let mut gemini = provider("gemini", &[GEMINI]);
    gemini.aliases = vec!["google"];
    Router::new([
        provider("openai", &[CHAT, RESPONSES]),
        provider("anthropic", &[MESSAGES]),
        gemini,
        provider("groq", &[CHAT]),
    ])
    .random(numbers(1))
}

/// A sequence that is the same each time.
pub(crate) fn numbers(seed: u64) -> impl Fn() -> u64 + Send + Sync + 'static {
    let state = Arc::new(AtomicU64::new(seed));
    move || {
        let n = state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ (n >> 31)
    }
}

/// A request as a client sends it.
#[derive(Clone)]
pub(crate) struct Request {
    call: Call,
    body: Frames,
    headers: HeaderMap,
    principal: Option<Principal>,
    now: Option<Instant>,
}

impl Request {
    pub(crate) fn new(protocol: Protocol, body: impl Into<String>) -> Self {
        let path = match protocol {
            Protocol::OpenAiResponses => "/v1/responses",
            Protocol::AnthropicMessages => "/v1/messages",
            Protocol::Gemini => "/v1beta/models/fast:generateContent",
            _ => "/v1/chat/completions",
        };
        Self::to(path, body)
    }

    pub(crate) fn to(path: &str, body: impl Into<String>) -> Self {
        let headers = HeaderMap::new();
        let located = locate(&Method::POST, path, &headers).unwrap();
        let body: Frames = Bytes::from(body.into()).into();
        let peek = peek(dialect(located.protocol), &body).unwrap();
        let bare = Call::new(located.protocol, located.route.operation);
        let call = CallFacts {
            model: located.route.model.or(peek.model).map(Into::into),
            stream: peek.stream,
            output_limit: peek.output_limit,
            candidates: peek.candidates.unwrap_or(1),
            needs: peek.needs,
            ..CallFacts::clone(&bare)
        };
        Self { call: call.into(), body, headers, principal: None, now: None }
    }

    /// A short question to a model.
    pub(crate) fn of(protocol: Protocol, model: &str) -> Self {
        let mut request = Self::new(protocol, format!(r#"{{"model":"{model}"}}"#));
        let facts = CallFacts { model: Some(model.into()), ..CallFacts::clone(&request.call) };
        request.call = facts.into();
        request
    }

    pub(crate) fn operation(mut self, operation: Operation) -> Self {
        self.call = CallFacts { operation, ..CallFacts::clone(&self.call) }.into();
        self
    }

    pub(crate) fn by(mut self, models: &[&str]) -> Self {
        let mut principal = Principal::new(KeyId::new("k"), "dev");
        principal.models = AllowedModels::only(models.iter().copied());
        self.principal = Some(principal);
        self
    }

    pub(crate) fn at(mut self, now: Instant) -> Self {
        self.now = Some(now);
        self
    }

    pub(crate) fn wishing(mut self, header: &'static str) -> Self {
        self.headers.insert(WISHES, http::HeaderValue::from_static(header));
        self
    }

    pub(crate) fn ask(&self) -> Ask<'_> {
        let mut ask = Ask::new(&self.call).headers(&self.headers).body(&self.body);
        if let Some(principal) = &self.principal {
            ask = ask.principal(principal);
        }
        match self.now {
            Some(now) => ask.at(now),
            None => ask,
        }
    }

    pub(crate) fn plan(&self, router: &Router) -> Result<Plan, Refusal> {
        router.resolve(&self.ask())
    }

    /// The deployments and models to be asked, in order.
    pub(crate) fn targets(&self, router: &Router) -> Vec<String> {
        let plan = self.plan(router).unwrap();
        let name = |step: &tollgate_core::PlanStep| {
            [&*step.target.deployment, "/", &*step.target.model].concat()
        };
        plan.chosen.iter().map(name).collect()
    }

    pub(crate) fn first(&self, router: &Router) -> String {
        self.targets(router).remove(0)
    }

    pub(crate) fn refusal(&self, router: &Router) -> Refusal {
        self.plan(router).unwrap_err()
    }
}
