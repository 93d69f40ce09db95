//! One short stream per protocol and framing, for tests.

use http::Request;
use tollgate_core::{Call, CallFacts, CallId, Needs, Operation, Protocol};

/// A stream in its parts, and how its protocol says that something failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) protocol: Protocol,
    pub(crate) path: &'static str,
    pub(crate) content_type: &'static str,
    /// Says nothing yet.
    pub(crate) start: &'static str,
    pub(crate) content: &'static str,
    pub(crate) finish: &'static str,
    /// An error of the upstream's: it has no capacity.
    pub(crate) error: &'static str,
    /// How an error event of ours begins.
    pub(crate) broken: &'static str,
}

pub(crate) const SAMPLES: [Sample; 5] = [
    Sample {
        protocol: Protocol::OpenAiChat,
        path: "/v1/chat/completions",
        content_type: "text/event-stream",
        start: "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n",
        content: "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"é\u{1f600}\"}}]}\n\n",
        finish: "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
        error: "data: {\"error\":{\"message\":\"busy\",\"type\":\"server_error\",\"code\":\"server_is_overloaded\",\"param\":null}}\n\n",
        broken: "data: {\"error\":",
    },
    Sample {
        protocol: Protocol::OpenAiResponses,
        path: "/v1/responses",
        content_type: "text/event-stream; charset=utf-8",
        start: "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"r\",\"model\":\"m\",\"created_at\":1}}\n\n",
        content: "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":1,\"delta\":\"é\"}\n\n",
        finish: "event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":2,\"response\":{\"id\":\"r\",\"status\":\"completed\"}}\n\n",
        error: "event: error\ndata: {\"type\":\"error\",\"sequence_number\":1,\"code\":\"server_is_overloaded\",\"message\":\"busy\",\"param\":null}\n\n",
        broken: "event: response.failed\ndata: ",
    },
    Sample {
        protocol: Protocol::AnthropicMessages,
        path: "/v1/messages",
        content_type: "text/event-stream",
        start: "event: message_start\r\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\"}}\r\n\r\nevent: ping\r\ndata: {\"type\":\"ping\"}\r\n\r\n",
        content: "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"é\"}}\n\n",
        finish: "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        error: "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n",
        broken: "event: error\ndata: ",
    },
    Sample {
        protocol: Protocol::Gemini,
        path: "/v1beta/models/gemini-3:streamGenerateContent?alt=sse",
        content_type: "text/event-stream",
        start: "data: {\"usageMetadata\":{\"promptTokenCount\":1}}\r\n\r\n",
        content: "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"é\"}]}}]}\r\n\r\n",
        finish: "data: {\"candidates\":[{\"finishReason\":\"STOP\"}]}\r\n\r\n",
        error: "data: {\"error\":{\"code\":503,\"message\":\"busy\",\"status\":\"UNAVAILABLE\"}}\r\n\r\n",
        broken: "data: {\"error\":",
    },
    Sample {
        protocol: Protocol::Gemini,
        path: "/v1beta/models/gemini-3:streamGenerateContent",
        content_type: "application/json; charset=UTF-8",
        start: "[{\"usageMetadata\":{\"promptTokenCount\":1}}\n",
        content: ",\r\n{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"}]é\"}]}}]}\n",
        finish: ",\r\n{\"candidates\":[{\"finishReason\":\"STOP\"}]}\n]\n",
        error: ",\r\n{\"error\":{\"code\":503,\"message\":\"busy\",\"status\":\"UNAVAILABLE\"}}",
        broken: ",\n{\"error\":",
    },
];

impl Sample {
    pub(crate) fn is_array(&self) -> bool {
        self.content_type.starts_with("application/json")
    }

    /// The whole stream, complete.
    pub(crate) fn whole(&self) -> String {
        [self.start, self.content, self.finish].concat()
    }

    pub(crate) fn call(&self) -> Call {
        self.call_for(true)
    }

    /// The call for a stream, or for the same as a whole.
    pub(crate) fn call_for(&self, stream: bool) -> Call {
        CallFacts {
            id: CallId::random(),
            protocol: self.protocol,
            operation: Operation::Generate,
            model: Some("m".into()),
            stream,
            json_array: stream && self.is_array(),
            output_limit: None,
            candidates: 1,
            stream_usage: false,
            asks_cost: false,
            user: None,
            service_tier: None,
            needs: Needs::default(),
        }
        .into()
    }

    pub(crate) fn request(&self) -> Request<()> {
        Request::post(self.path).extension(self.call()).body(()).unwrap()
    }
}
