//! The requests: Chat Completions as the Python SDK writes them, `model` after `messages`; and a short
//! question in each other protocol.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use http_body_util::Full;
use serde_json::{Value, json};
use tollgate_core::Protocol;

/// The client's key, as the gateway's configuration has it.
pub(crate) const KEY: &str = "tg-bench-0123456789abcdef0123456789abcdef";

/// The provider whose streams come with one write per event.
pub(crate) const APART: &str = "apart";
/// The provider whose streams come in as few writes as can be.
pub(crate) const TOGETHER: &str = "together";

/// The provider that speaks Anthropic Messages alone, one write per event.
pub(crate) const MESSAGES: &str = "messages";
/// The provider that speaks OpenAI Responses alone, one write per event.
pub(crate) const RESPONSES: &str = "responses";

const HEADERS: [(&str, &str); 11] = [
    ("host", "127.0.0.1"),
    ("accept", "application/json"),
    ("content-type", "application/json"),
    ("user-agent", "OpenAI/Python 2.8.0"),
    ("x-stainless-lang", "python"),
    ("x-stainless-package-version", "2.8.0"),
    ("x-stainless-os", "Linux"),
    ("x-stainless-arch", "x64"),
    ("x-stainless-runtime", "CPython"),
    ("x-stainless-runtime-version", "3.13.0"),
    ("x-stainless-retry-count", "0"),
];

const PROSE: &str = "A gate that lifts for whoever paid is no gate for whoever did not. The keeper \
    says \"pay first\", writes the sum into the book, and lifts the bar; what passes below is none \
    of the keeper's business, and is neither opened nor weighed.\n";

/// A request that can be sent many times.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
    end: &'static [u8],
}

impl Ask {
    /// A conversation of about `bytes` bytes in `turns` turns, answered by a short JSON.
    pub(crate) fn conversation(bytes: usize, turns: usize) -> Self {
        let each = bytes.saturating_sub(200) / turns;
        let said = |n: usize| {
            let role = if n.is_multiple_of(2) { "user" } else { "assistant" };
            json!({"role": role, "content": prose(each.saturating_sub(40))})
        };
        let mut messages: Vec<_> = (0..turns).map(said).collect();
        messages.push(last("[[sim:say:paid]]"));
        Self::new(&text_of(APART), &messages, false)
    }

    /// A question about one base64 image of about `bytes` bytes, answered by a short JSON.
    pub(crate) fn image(bytes: usize) -> Self {
        let url = format!("data:image/png;base64,{}", "iVBORw0KGgo9".repeat(bytes / 12));
        let content = json!([
            {"type": "text", "text": "Which gate is this?"},
            {"type": "image_url", "image_url": {"url": url}},
        ]);
        let messages = [
            json!({"role": "user", "content": content}),
            json!({"role": "assistant", "content": "The one at the river."}),
            last("[[sim:say:paid]]"),
        ];
        Self::new(&text_of(APART), &messages, false)
    }

    /// A short question answered by a stream as the marker says.
    pub(crate) fn stream(provider: &str, marker: &str) -> Self {
        Self::named(&text_of(provider), marker)
    }

    /// The same of a model by its whole name.
    pub(crate) fn named(model: &str, marker: &str) -> Self {
        Self::new(model, &[last(marker)], true)
    }

    /// A short question of a client of another protocol, answered by a stream as the marker says.
    pub(crate) fn other(client: Protocol, provider: &str, marker: &str) -> Self {
        let (model, content) = (format!("{provider}/sim-text"), format!("May I pass? {marker}"));
        let messages = json!([{"role": "user", "content": content}]);
        let (path, body, end) = match client {
            Protocol::OpenAiResponses => (
                "/v1/responses".to_owned(),
                json!({"model": model, "stream": true, "input": content}),
                "response.completed",
            ),
            Protocol::AnthropicMessages => (
                "/v1/messages".to_owned(),
                json!({"model": model, "stream": true, "max_tokens": 4096, "messages": messages}),
                "message_stop",
            ),
            Protocol::Gemini => (
                format!("/v1beta/models/{model}:streamGenerateContent?alt=sse"),
                json!({"contents": [{"role": "user", "parts": [{"text": content}]}]}),
                "finishReason",
            ),
            _ => return Self::stream(provider, marker),
        };
        let mut headers = headers();
        if client == Protocol::AnthropicMessages {
            headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
        }
        let uri = path.parse().expect("each path is one");
        Self { uri, headers, body: body.to_string().into(), end: end.as_bytes() }
    }

    fn new(model: &str, messages: &[Value], stream: bool) -> Self {
        let mut body = json!({"messages": messages, "model": model});
        if stream {
            body["stream"] = true.into();
        }
        let uri = Uri::from_static("/v1/chat/completions");
        Self { uri, headers: headers(), body: body.to_string().into(), end: b"[DONE]" }
    }

    /// What stands in the last event of a stream that answers it.
    pub(crate) fn end(&self) -> &'static [u8] {
        self.end
    }

    /// Returns the request, ready for a connection.
    pub(crate) fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::post(self.uri.clone())
            .body(Full::new(self.body.clone()))
            .expect("every part is valid");
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// A provider's model that echoes.
fn text_of(provider: &str) -> String {
    format!("{provider}/sim-text")
}

fn headers() -> HeaderMap {
    let mut headers: HeaderMap = HEADERS
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
    let bearer = HeaderValue::try_from(format!("Bearer {KEY}")).expect("the key is ASCII");
    headers.insert(http::header::AUTHORIZATION, bearer);
    headers
}

fn last(marker: &str) -> Value {
    json!({"role": "user", "content": format!("May I pass? {marker}")})
}

fn prose(bytes: usize) -> String {
    PROSE.chars().cycle().take(bytes).collect()
}
