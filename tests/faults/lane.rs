//! What a fault is driven through: a protocol, the kind of answer asked for, a small answer of it.

use std::fmt;

use bytes::Bytes;
use http::{Request, header::CONTENT_TYPE};
use http_body_util::Full;
use tollgate_core::Protocol;
use tollgate_testkit::{Answer, Script};
use tollgate_tests::CLIENT_KEY;

/// The kind of answer a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Json,
    Stream,
    /// Gemini's stream without `alt=sse`: one JSON array.
    Array,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "json",
            Self::Stream => "stream",
            Self::Array => "array",
        })
    }
}

/// One protocol and one kind of answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lane {
    pub(crate) protocol: Protocol,
    pub(crate) kind: Kind,
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.protocol, self.kind)
    }
}

impl Lane {
    /// Every lane whose kind is one of `kinds`.
    pub(crate) fn of(kinds: &'static [Kind]) -> impl Iterator<Item = Self> {
        let lanes = |protocol| kinds.iter().map(move |kind| Self { protocol, kind: *kind });
        Protocol::ALL.into_iter().flat_map(lanes).filter(|lane| lane.exists())
    }

    fn exists(self) -> bool {
        self.kind != Kind::Array || self.protocol == Protocol::Gemini
    }

    pub(crate) fn streams(self) -> bool {
        self.kind != Kind::Json
    }

    /// The client's request.
    pub(crate) fn request(self) -> Request<Full<Bytes>> {
        self.request_with("")
    }

    /// The client's request with a text of its own in it.
    pub(crate) fn request_with(self, text: &str) -> Request<Full<Bytes>> {
        let (path, named) = match (self.protocol, self.kind) {
            (Protocol::OpenAiResponses, _) => ("/v1/responses", true),
            (Protocol::AnthropicMessages, _) => ("/v1/messages", true),
            (Protocol::Gemini, Kind::Json) => ("/v1beta/models/m:generateContent", false),
            (Protocol::Gemini, Kind::Stream) => {
                ("/v1beta/models/m:streamGenerateContent?alt=sse", false)
            }
            (Protocol::Gemini, Kind::Array) => ("/v1beta/models/m:streamGenerateContent", false),
            _ => ("/v1/chat/completions", true),
        };
        let stream = self.streams();
        let body = match named {
            true => format!(r#"{{"model":"m","stream":{stream},"note":"{text}"}}"#),
            false => format!(r#"{{"contents":[],"note":"{text}"}}"#),
        };
        let request = Request::post(path).header("x-api-key", CLIENT_KEY);
        let request = request.header(CONTENT_TYPE, "application/json");
        request.body(Full::from(body)).expect("a valid request")
    }

    /// What the upstream says its body is.
    pub(crate) fn content_type(self) -> &'static str {
        match self.kind {
            Kind::Stream => "text/event-stream",
            Kind::Json | Kind::Array => "application/json",
        }
    }

    /// A 200 of this lane's type with this body.
    pub(crate) fn answer(self, script: Script) -> Answer {
        Answer::new(http::StatusCode::OK, script).header(CONTENT_TYPE, self.content_type())
    }

    /// A whole answer, as small as can be, with a field and (in streams) an event nobody knows.
    pub(crate) fn whole(self) -> String {
        match self.kind {
            Kind::Json => self.json().to_owned(),
            _ => [self.start(), self.content(), self.unknown(), self.finish()].concat(),
        }
    }

    fn json(self) -> &'static str {
        match self.protocol {
            Protocol::OpenAiResponses => {
                r#"{"id":"r","object":"response","status":"completed","error":null,"output":[{"type":"message","content":[{"type":"output_text","text":"é😀"}],"x_new":1}]}"#
            }
            Protocol::AnthropicMessages => {
                r#"{"id":"m","type":"message","content":[{"type":"text","text":"é😀"},{"type":"x_new"}],"stop_reason":"end_turn","x_new":{"a":[1]}}"#
            }
            Protocol::Gemini => {
                r#"{"candidates":[{"content":{"parts":[{"text":"é😀","xNew":1}]},"finishReason":"STOP"}]}"#
            }
            _ => {
                r#"{"id":"c","x_new":{"a":[1]},"choices":[{"index":0,"message":{"role":"assistant","content":"é😀"},"finish_reason":"stop"}]}"#
            }
        }
    }

    /// The begin of a stream: nothing was said yet.
    pub(crate) fn start(self) -> &'static str {
        match (self.protocol, self.kind) {
            (Protocol::OpenAiResponses, _) => {
                "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"r\",\"model\":\"m\",\"created_at\":1}}\n\n"
            }
            (Protocol::AnthropicMessages, _) => {
                "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\"}}\n\n"
            }
            (Protocol::Gemini, Kind::Array) => "[{\"usageMetadata\":{\"promptTokenCount\":1}}\n",
            (Protocol::Gemini, _) => "data: {\"usageMetadata\":{\"promptTokenCount\":1}}\n\n",
            _ => {
                "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n"
            }
        }
    }

    /// An event that says something.
    pub(crate) fn content(self) -> &'static str {
        match (self.protocol, self.kind) {
            (Protocol::OpenAiResponses, _) => {
                "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":1,\"delta\":\"é😀\"}\n\n"
            }
            (Protocol::AnthropicMessages, _) => {
                "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"é😀\"}}\n\n"
            }
            (Protocol::Gemini, Kind::Array) => {
                ",\r\n{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"}]é😀\"}]}}]}"
            }
            (Protocol::Gemini, _) => {
                "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"é😀\"}]}}]}\n\n"
            }
            _ => {
                "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"é😀\"}}]}\n\n"
            }
        }
    }

    /// An event of the protocol that shows life and says nothing.
    pub(crate) fn ping(self) -> &'static str {
        match (self.protocol, self.kind) {
            (Protocol::OpenAiResponses, _) => {
                "event: response.in_progress\ndata: {\"type\":\"response.in_progress\",\"sequence_number\":1}\n\n"
            }
            (Protocol::AnthropicMessages, _) => "event: ping\ndata: {\"type\":\"ping\"}\n\n",
            (Protocol::Gemini, Kind::Array) => ",\n{\"usageMetadata\":{\"promptTokenCount\":1}}",
            (Protocol::Gemini, _) => "data: {\"usageMetadata\":{\"promptTokenCount\":1}}\n\n",
            _ => "data: {\"id\":\"c\",\"choices\":[]}\n\n",
        }
    }

    /// Bytes that are allowed between events and no sign of life.
    pub(crate) fn comment(self) -> &'static str {
        match self.kind {
            Kind::Array => "\n",
            _ => ": still here\n\n",
        }
    }

    /// An event no version of the protocol knows yet.
    pub(crate) fn unknown(self) -> &'static str {
        match (self.protocol, self.kind) {
            (Protocol::OpenAiResponses, _) => {
                "event: response.x_new.thing\ndata: {\"type\":\"response.x_new.thing\",\"sequence_number\":2,\"x\":{\"y\":[1]}}\n\n"
            }
            (Protocol::AnthropicMessages, _) => {
                "event: x_new\ndata: {\"type\":\"x_new\",\"x\":{\"y\":[1]}}\n\n"
            }
            (Protocol::Gemini, Kind::Array) => ",{\"xNew\":{\"y\":[1]}}",
            (Protocol::Gemini, _) => "event: x_new\ndata: {\"xNew\":{\"y\":[1]}}\n\n",
            _ => "event: x_new\ndata: {\"object\":\"x_new\",\"x\":{\"y\":[1]}}\n\n",
        }
    }

    /// The regular ending.
    pub(crate) fn finish(self) -> &'static str {
        match (self.protocol, self.kind) {
            (Protocol::OpenAiResponses, _) => {
                "event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":3,\"response\":{\"id\":\"r\",\"status\":\"completed\"}}\n\n"
            }
            (Protocol::AnthropicMessages, _) => {
                "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
            }
            (Protocol::Gemini, Kind::Array) => {
                ",\r\n{\"candidates\":[{\"finishReason\":\"STOP\"}]}\n]\n"
            }
            (Protocol::Gemini, _) => "data: {\"candidates\":[{\"finishReason\":\"STOP\"}]}\n\n",
            _ => {
                "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"
            }
        }
    }

    /// The upstream's word that it is overloaded: in a stream its first event, else the answer.
    pub(crate) fn overloaded(self) -> &'static str {
        match (self.protocol, self.kind) {
            (Protocol::OpenAiChat, Kind::Json) | (Protocol::OpenAiResponses, Kind::Json) => {
                "{\"error\":{\"message\":\"busy\",\"type\":\"server_error\",\"code\":\"server_is_overloaded\",\"param\":null}}"
            }
            (Protocol::OpenAiResponses, _) => {
                "event: error\ndata: {\"type\":\"error\",\"sequence_number\":0,\"code\":\"server_is_overloaded\",\"message\":\"busy\",\"param\":null}\n\n"
            }
            (Protocol::AnthropicMessages, Kind::Json) => {
                "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}"
            }
            (Protocol::AnthropicMessages, _) => {
                "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n"
            }
            (Protocol::Gemini, Kind::Json) => {
                "{\"error\":{\"code\":503,\"message\":\"busy\",\"status\":\"UNAVAILABLE\"}}"
            }
            (Protocol::Gemini, Kind::Array) => {
                "[{\"error\":{\"code\":503,\"message\":\"busy\",\"status\":\"UNAVAILABLE\"}}]"
            }
            (Protocol::Gemini, _) => {
                "data: {\"error\":{\"code\":503,\"message\":\"busy\",\"status\":\"UNAVAILABLE\"}}\n\n"
            }
            _ => {
                "data: {\"error\":{\"message\":\"busy\",\"type\":\"server_error\",\"code\":\"server_is_overloaded\",\"param\":null}}\n\n"
            }
        }
    }

    /// What the gateway itself says every 15 seconds between events.
    pub(crate) fn keep_alive(self) -> &'static str {
        match self.protocol {
            Protocol::AnthropicMessages => "event: ping\ndata: {\"type\":\"ping\"}\n\n",
            Protocol::Gemini => "",
            _ => ": keep-alive\n\n",
        }
    }
}
