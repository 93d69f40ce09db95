//! A metered upstream in memory, and what it says in each protocol.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tollgate_catalog::{Catalogue, Component, Rates};
use tollgate_core::{BoxError, Decimal, Protocol, Target};
use tollgate_meter::{Charge, MemoryLedger, Meter, MeterBody, MeterLayer};
use tollgate_testkit::{Answer, Script, ScriptBody, Upstream};
use tower::{Layer, ServiceExt};

pub type Metered = Meter<Upstream, MemoryLedger, Catalogue>;
pub type MeteredBody = MeterBody<ScriptBody, MemoryLedger, Catalogue>;

/// How a protocol asks and answers. Each answer used 100 tokens of prompt, 40 of them read from a
/// cache, and 20 of output.
#[derive(Clone, Copy, Debug)]
pub struct Spoken {
    pub protocol: Protocol,
    pub kind: &'static str,
    pub path: &'static str,
    pub stream_path: &'static str,
    pub request: &'static str,
    pub stream_request: &'static str,
    pub json: &'static str,
    pub events: &'static [&'static str],
    /// How many of the events there are before the first content, and before the last content.
    pub before_content: usize,
}

pub const CHAT: Spoken = Spoken {
    protocol: Protocol::OpenAiChat,
    kind: "openai",
    path: "/v1/chat/completions",
    stream_path: "/v1/chat/completions",
    request: r#"{"model":"m","messages":[]}"#,
    stream_request: r#"{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}"#,
    json: r#"{"choices":[{"message":{"content":"Hello there"},"finish_reason":"stop"}],"usage":{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,"prompt_tokens_details":{"cached_tokens":40}}}"#,
    events: &[
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}],\"usage\":null}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"},\"finish_reason\":null}],\"usage\":null}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" there\"},\"finish_reason\":null}],\"usage\":null}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":20,\"total_tokens\":120,\"prompt_tokens_details\":{\"cached_tokens\":40}}}\n\n",
        "data: [DONE]\n\n",
    ],
    before_content: 1,
};

pub const RESPONSES: Spoken = Spoken {
    protocol: Protocol::OpenAiResponses,
    kind: "openai",
    path: "/v1/responses",
    stream_path: "/v1/responses",
    request: r#"{"model":"m","input":"x"}"#,
    stream_request: r#"{"model":"m","input":"x","stream":true}"#,
    json: r#"{"object":"response","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"Hello there"}]}],"usage":{"input_tokens":100,"input_tokens_details":{"cached_tokens":40},"output_tokens":20,"total_tokens":120}}"#,
    events: &[
        "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"status\":\"in_progress\",\"usage\":null}}\n\n",
        "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"Hello\"}\n\n",
        "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\" there\"}\n\n",
        "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\",\"usage\":{\"input_tokens\":100,\"input_tokens_details\":{\"cached_tokens\":40},\"output_tokens\":20,\"total_tokens\":120}}}\n\n",
    ],
    before_content: 1,
};

pub const MESSAGES: Spoken = Spoken {
    protocol: Protocol::AnthropicMessages,
    kind: "anthropic",
    path: "/v1/messages",
    stream_path: "/v1/messages",
    request: r#"{"model":"m","max_tokens":1000,"messages":[]}"#,
    stream_request: r#"{"model":"m","max_tokens":1000,"messages":[],"stream":true}"#,
    json: r#"{"type":"message","content":[{"type":"text","text":"Hello there"}],"stop_reason":"end_turn","usage":{"input_tokens":60,"cache_read_input_tokens":40,"output_tokens":20}}"#,
    events: &[
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":60,\"cache_read_input_tokens\":40,\"output_tokens\":1}}}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" there\"}}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":20}}\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    ],
    before_content: 1,
};

pub const GEMINI: Spoken = Spoken {
    protocol: Protocol::Gemini,
    kind: "google",
    path: "/v1beta/models/m:generateContent",
    stream_path: "/v1beta/models/m:streamGenerateContent?alt=sse",
    request: r#"{"contents":[]}"#,
    stream_request: r#"{"contents":[]}"#,
    json: r#"{"candidates":[{"content":{"parts":[{"text":"Hello there"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":100,"cachedContentTokenCount":40,"candidatesTokenCount":20,"totalTokenCount":120}}"#,
    events: &[
        "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hello\"}]}}],\"usageMetadata\":{\"promptTokenCount\":100,\"cachedContentTokenCount\":40,\"totalTokenCount\":100}}\n\n",
        "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\" there\"}]},\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":100,\"cachedContentTokenCount\":40,\"candidatesTokenCount\":20,\"totalTokenCount\":120}}\n\n",
    ],
    before_content: 0,
};

pub const ALL: [Spoken; 4] = [CHAT, RESPONSES, MESSAGES, GEMINI];

/// 60 at 1 dollar a million, 40 at 0.1, 20 at 10.
pub const PRICE: &str = "0.000264";

impl Spoken {
    pub fn stream(&self) -> Script {
        Script::frames(self.events.iter().copied())
    }

    pub fn text(&self) -> String {
        self.events.concat()
    }

    /// The first `n` events.
    pub fn first(&self, n: usize) -> Script {
        Script::frames(self.events[..n].iter().copied())
    }

    pub fn target(&self) -> Arc<Target> {
        target(self.kind, self.protocol)
    }

    pub fn asking(&self) -> Request<Full<Bytes>> {
        post(self.path, self.request)
    }

    pub fn asking_stream(&self) -> Request<Full<Bytes>> {
        post(self.stream_path, self.stream_request)
    }
}

pub fn target(kind: &str, protocol: Protocol) -> Arc<Target> {
    let host = "http://upstream.test:8080/v1".parse().unwrap();
    Arc::new(Target::new(kind, protocol, "m", host))
}

pub fn post(path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(path).body(Full::new(body.into())).unwrap()
}

/// Every host's model `m`: a dollar a million in, 0.1 for what is cached, 10 out.
pub fn prices() -> Catalogue {
    let rates = || -> Rates {
        let dollars = [
            (Component::Input, Decimal::ONE),
            (Component::CacheRead, Decimal::new(1, 1)),
            (Component::Output, Decimal::TEN),
        ];
        dollars.into_iter().collect()
    };
    ["openai", "anthropic", "google", "openrouter", "groq"]
        .iter()
        .fold(Catalogue::empty(), |prices, host| prices.with_price(host, "m", rates()))
}

/// A metered upstream, its ledger, and the upstream itself.
pub struct Bench {
    pub service: Metered,
    pub ledger: MemoryLedger,
    pub upstream: Upstream,
}

impl Bench {
    pub fn new(spoken: &Spoken, answer: Answer) -> Self {
        Self::of(Upstream::always(answer), |layer| layer.target(spoken.target()))
    }

    pub fn of(
        upstream: Upstream,
        set: impl FnOnce(MeterLayer<MemoryLedger, Catalogue>) -> MeterLayer<MemoryLedger, Catalogue>,
    ) -> Self {
        let ledger = MemoryLedger::new();
        let layer = set(MeterLayer::new(ledger.clone(), prices()));
        Self { service: layer.layer(upstream.clone()), ledger, upstream }
    }

    /// Asks, and gives the head of the answer.
    pub async fn ask(&self, request: Request<Full<Bytes>>) -> Response<MeteredBody> {
        self.service.clone().oneshot(request).await.unwrap()
    }

    /// Asks and takes the whole answer.
    pub async fn whole(&self, request: Request<Full<Bytes>>) -> (Bytes, Charge) {
        let body = self.ask(request).await.into_body().collect().await.unwrap().to_bytes();
        (body, self.charge())
    }

    /// Asks and takes the answer until it breaks.
    pub async fn broken(&self, request: Request<Full<Bytes>>) -> (BoxError, Charge) {
        let error = self.ask(request).await.into_body().collect().await.unwrap_err();
        (error, self.charge())
    }

    /// Asks, takes `frames` frames and leaves.
    pub async fn leave(&self, request: Request<Full<Bytes>>, frames: usize) -> Charge {
        let mut body = self.ask(request).await.into_body();
        for _ in 0..frames {
            body.frame().await.unwrap().unwrap();
        }
        assert!(self.ledger.charges().is_empty(), "charged too early");
        drop(body);
        self.charge()
    }

    /// The one charge there is.
    pub fn charge(&self) -> Charge {
        let charges = self.ledger.charges();
        assert_eq!(charges.len(), 1, "each attempt has one charge: {charges:?}");
        charges.into_iter().next().unwrap()
    }
}

pub fn cost(charge: &Charge) -> Option<String> {
    charge.cost.map(|cost| cost.to_string())
}

/// What 1 and 10 dollars a million make of this many tokens.
pub fn price(input: u64, output: u64) -> Option<String> {
    let total = Decimal::new(input as i64, 6) + Decimal::new(output as i64 * 10, 6);
    Some(total.normalize().to_string())
}
