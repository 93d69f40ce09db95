//! What the clients ask and the upstreams answer, in each protocol.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tollgate_core::{Body, BoxError, Protocol, Target};
use tollgate_testkit::{Answer, Received, Upstream};
use tollgate_translate::{TranslateLayer, layer::MediaFetch};
use tower::{Layer, ServiceExt};

/// What is said in one protocol.
pub(crate) struct Sample {
    pub(crate) protocol: Protocol,
    /// Where an answer is asked for, and where a stream is.
    pub(crate) path: &'static str,
    pub(crate) stream_path: &'static str,
    /// A question, and the same as a stream.
    pub(crate) request: &'static str,
    pub(crate) stream_request: &'static str,
    /// An answer that says `Hello`.
    pub(crate) answer: &'static str,
    /// Where the text stands in one.
    pub(crate) text: &'static str,
    /// The events of a stream that says the same, the last of them apart.
    pub(crate) events: &'static str,
    pub(crate) last: &'static str,
    /// A refusal for too many requests.
    pub(crate) limited: &'static str,
    /// Where an error says what happened, and where its kind.
    pub(crate) message: &'static str,
    pub(crate) kind: &'static str,
}

pub(crate) const SAMPLES: [Sample; 4] = [
    Sample {
        protocol: Protocol::OpenAiChat,
        path: "/v1/chat/completions",
        stream_path: "/v1/chat/completions",
        request: r#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#,
        stream_request: r#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":true}"#,
        answer: r#"{"id":"chatcmpl-1","object":"chat.completion","created":7,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hello","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#,
        text: "/choices/0/message/content",
        events: "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\ndata: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"},\"finish_reason\":null}]}\n\n",
        last: "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
        limited: r#"{"error":{"message":"slow down","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}"#,
        message: "/error/message",
        kind: "/error/type",
    },
    Sample {
        protocol: Protocol::OpenAiResponses,
        path: "/v1/responses",
        stream_path: "/v1/responses",
        request: r#"{"model":"m","input":"Hi"}"#,
        stream_request: r#"{"model":"m","input":"Hi","stream":true}"#,
        answer: r#"{"id":"resp_1","object":"response","created_at":7,"status":"completed","model":"m","output":[{"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Hello","annotations":[]}]}],"usage":{"input_tokens":3,"input_tokens_details":{"cached_tokens":0},"output_tokens":2,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":5}}"#,
        text: "/output/0/content/0/text",
        events: "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"resp_1\",\"object\":\"response\",\"created_at\":7,\"status\":\"in_progress\",\"model\":\"m\",\"output\":[]}}\n\nevent: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"sequence_number\":1,\"output_index\":0,\"item\":{\"type\":\"message\",\"id\":\"msg_1\",\"status\":\"in_progress\",\"role\":\"assistant\",\"content\":[]}}\n\nevent: response.content_part.added\ndata: {\"type\":\"response.content_part.added\",\"sequence_number\":2,\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"part\":{\"type\":\"output_text\",\"text\":\"\",\"annotations\":[]}}\n\nevent: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":3,\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"delta\":\"Hello\"}\n\n",
        last: "event: response.output_text.done\ndata: {\"type\":\"response.output_text.done\",\"sequence_number\":4,\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"text\":\"Hello\"}\n\nevent: response.content_part.done\ndata: {\"type\":\"response.content_part.done\",\"sequence_number\":5,\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"part\":{\"type\":\"output_text\",\"text\":\"Hello\",\"annotations\":[]}}\n\nevent: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\"sequence_number\":6,\"output_index\":0,\"item\":{\"type\":\"message\",\"id\":\"msg_1\",\"status\":\"completed\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"Hello\",\"annotations\":[]}]}}\n\nevent: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":7,\"response\":{\"id\":\"resp_1\",\"object\":\"response\",\"created_at\":7,\"status\":\"completed\",\"model\":\"m\",\"output\":[{\"type\":\"message\",\"id\":\"msg_1\",\"status\":\"completed\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"Hello\",\"annotations\":[]}]}],\"usage\":{\"input_tokens\":3,\"output_tokens\":2,\"total_tokens\":5}}}\n\n",
        limited: r#"{"error":{"message":"slow down","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}"#,
        message: "/error/message",
        kind: "/error/type",
    },
    Sample {
        protocol: Protocol::AnthropicMessages,
        path: "/v1/messages",
        stream_path: "/v1/messages",
        request: r#"{"model":"m","max_tokens":99,"messages":[{"role":"user","content":"Hi"}]}"#,
        stream_request: r#"{"model":"m","max_tokens":99,"messages":[{"role":"user","content":"Hi"}],"stream":true}"#,
        answer: r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":2}}"#,
        text: "/content/0/text",
        events: "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\n",
        last: "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":2}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        limited: r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow down"},"request_id":"req_1"}"#,
        message: "/error/message",
        kind: "/error/type",
    },
    Sample {
        protocol: Protocol::Gemini,
        path: "/v1beta/models/m:generateContent",
        stream_path: "/v1beta/models/m:streamGenerateContent?alt=sse",
        request: r#"{"contents":[{"role":"user","parts":[{"text":"Hi"}]}]}"#,
        stream_request: r#"{"contents":[{"role":"user","parts":[{"text":"Hi"}]}]}"#,
        answer: r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"Hello"}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2,"totalTokenCount":5},"modelVersion":"m","responseId":"r1"}"#,
        text: "/candidates/0/content/parts/0/text",
        events: "data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"Hello\"}]},\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":3},\"modelVersion\":\"m\",\"responseId\":\"r1\"}\n\n",
        last: "data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"\"}]},\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":3,\"candidatesTokenCount\":2,\"totalTokenCount\":5},\"modelVersion\":\"m\",\"responseId\":\"r1\"}\n\n",
        limited: r#"{"error":{"code":429,"message":"slow down","status":"RESOURCE_EXHAUSTED"}}"#,
        message: "/error/message",
        kind: "/error/status",
    },
];

/// Every pair of different protocols: client, upstream.
pub(crate) fn pairs() -> impl Iterator<Item = (&'static Sample, &'static Sample)> {
    let all = || SAMPLES.iter();
    all()
        .flat_map(move |client| all().map(move |upstream| (client, upstream)))
        .filter(|(client, upstream)| client.protocol != upstream.protocol)
}

/// An answer read to its end.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) extensions: http::Extensions,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// What stands at a place of the JSON, as text.
    pub(crate) fn at(&self, pointer: &str) -> String {
        let found = self.json().pointer(pointer).cloned();
        let found = found.unwrap_or_else(|| panic!("no {pointer} in {}", self.text()));
        found.as_str().map_or_else(|| found.to_string(), str::to_owned)
    }
}

pub(crate) fn post(path: &str, body: &str) -> Request<Body> {
    let request = Request::post(path).header("content-type", "application/json");
    request.body(Body::from(body.to_owned())).unwrap()
}

/// Asks `upstream` through a layer, and reads the answer to its end.
pub(crate) async fn ask<M>(
    layer: TranslateLayer<M>,
    upstream: &Upstream,
    request: Request<Body>,
) -> Seen
where
    M: MediaFetch + Clone,
{
    let response = layer.layer(upstream.clone()).oneshot(request).await.unwrap();
    read(response).await
}

pub(crate) async fn read<B>(response: Response<B>) -> Seen
where
    B: http_body::Body<Data = Bytes, Error = BoxError>,
{
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Seen { status: head.status, headers: head.headers, extensions: head.extensions, body }
}

/// The one request an upstream received.
pub(crate) fn asked(upstream: &Upstream) -> Received {
    let mut received = upstream.received();
    assert_eq!(received.len(), 1);
    received.remove(0)
}

/// A client's question to an upstream that answers `answer`.
pub(crate) async fn exchange(
    client: &Sample,
    upstream: &Sample,
    answer: Answer,
) -> (Seen, Received) {
    let server = Upstream::always(answer);
    let request = post(client.path, client.request);
    let seen = ask(TranslateLayer::to(upstream.protocol), &server, request).await;
    (seen, asked(&server))
}

/// The same for a stream.
pub(crate) async fn streamed(
    client: &Sample,
    upstream: &Sample,
    answer: Answer,
) -> (Seen, Received) {
    let server = Upstream::always(answer);
    let request = post(client.stream_path, client.stream_request);
    let seen = ask(TranslateLayer::to(upstream.protocol), &server, request).await;
    (seen, asked(&server))
}

/// A target of ours.
pub(crate) fn target(protocol: Protocol, model: &str) -> Arc<Target> {
    let target = Target::new("up", protocol, model, "http://up.test/v1".parse().unwrap());
    Arc::new(target)
}
