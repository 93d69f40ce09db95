//! Two deployments behind one alias, in every protocol, and what may go wrong at them.

#![allow(dead_code, clippy::unwrap_used, reason = "each test takes what it needs")]

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use tollgate_core::{
    Body, BoxError, Call, CallFacts, CallId, Cause, Class, Failure, Needs, Operation, Plan,
    PlanStep, Protocol, Sent, Target,
};
use tollgate_sse::DeadlineLayer;
use tollgate_testkit::{Answer, Received, Script, Upstream};
use tower::{Layer, Service};

/// One protocol, as JSON or as a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lane {
    pub(crate) protocol: Protocol,
    pub(crate) path: &'static str,
    pub(crate) stream: bool,
    pub(crate) content_type: &'static str,
    /// Says nothing yet.
    pub(crate) start: &'static str,
    pub(crate) content: &'static str,
    pub(crate) finish: &'static str,
    /// An error of the upstream's within an answer with status 200.
    pub(crate) error: &'static str,
    /// How an error event of ours begins.
    pub(crate) broken: &'static str,
}

const SSE: &str = "text/event-stream";
const JSON: &str = "application/json";

pub(crate) const LANES: [Lane; 9] = [
    Lane {
        protocol: Protocol::OpenAiChat,
        path: "/v1/chat/completions",
        stream: true,
        content_type: SSE,
        start: "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n",
        content: "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"one\"}}]}\n\n",
        finish: "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
        error: "data: {\"error\":{\"message\":\"busy\",\"type\":\"server_error\",\"code\":\"server_is_overloaded\",\"param\":null}}\n\n",
        broken: "data: {\"error\":",
    },
    Lane {
        protocol: Protocol::OpenAiResponses,
        path: "/v1/responses",
        stream: true,
        content_type: SSE,
        start: "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"r\",\"model\":\"m\",\"created_at\":1}}\n\n",
        content: "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":1,\"delta\":\"one\"}\n\n",
        finish: "event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":2,\"response\":{\"id\":\"r\",\"status\":\"completed\"}}\n\n",
        error: "event: error\ndata: {\"type\":\"error\",\"sequence_number\":1,\"code\":\"server_is_overloaded\",\"message\":\"busy\",\"param\":null}\n\n",
        broken: "event: response.failed\ndata: ",
    },
    Lane {
        protocol: Protocol::AnthropicMessages,
        path: "/v1/messages",
        stream: true,
        content_type: SSE,
        start: "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\"}}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n",
        content: "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"one\"}}\n\n",
        finish: "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        error: "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n",
        broken: "event: error\ndata: ",
    },
    Lane {
        protocol: Protocol::Gemini,
        path: "/v1beta/models/alias:streamGenerateContent?alt=sse",
        stream: true,
        content_type: SSE,
        start: "data: {\"usageMetadata\":{\"promptTokenCount\":1}}\r\n\r\n",
        content: "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"one\"}]}}]}\r\n\r\n",
        finish: "data: {\"candidates\":[{\"finishReason\":\"STOP\"}]}\r\n\r\n",
        error: "data: {\"error\":{\"code\":503,\"message\":\"busy\",\"status\":\"UNAVAILABLE\"}}\r\n\r\n",
        broken: "data: {\"error\":",
    },
    Lane {
        protocol: Protocol::Gemini,
        path: "/v1beta/models/alias:streamGenerateContent",
        stream: true,
        content_type: JSON,
        start: "[{\"usageMetadata\":{\"promptTokenCount\":1}}\n",
        content: ",\r\n{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"one\"}]}}]}\n",
        finish: ",\r\n{\"candidates\":[{\"finishReason\":\"STOP\"}]}\n]\n",
        error: ",\r\n{\"error\":{\"code\":503,\"message\":\"busy\",\"status\":\"UNAVAILABLE\"}}",
        broken: ",\n{\"error\":",
    },
    Lane {
        protocol: Protocol::OpenAiChat,
        path: "/v1/chat/completions",
        stream: false,
        content_type: JSON,
        start: "{\"id\":\"c\",",
        content: "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"one\"},",
        finish: "\"finish_reason\":\"stop\"}]}",
        error: "{\"error\":{\"message\":\"busy\",\"type\":\"server_error\",\"code\":\"server_is_overloaded\",\"param\":null}}",
        broken: "{\"error\":",
    },
    Lane {
        protocol: Protocol::OpenAiResponses,
        path: "/v1/responses",
        stream: false,
        content_type: JSON,
        start: "{\"id\":\"r\",\"object\":\"response\",",
        content: "\"output\":[{\"type\":\"message\",\"content\":[{\"type\":\"output_text\",\"text\":\"one\"}]}],",
        finish: "\"status\":\"completed\"}",
        error: "{\"error\":{\"message\":\"busy\",\"type\":\"server_error\",\"code\":\"server_is_overloaded\",\"param\":null}}",
        broken: "{\"error\":",
    },
    Lane {
        protocol: Protocol::AnthropicMessages,
        path: "/v1/messages",
        stream: false,
        content_type: JSON,
        start: "{\"id\":\"m\",\"type\":\"message\",",
        content: "\"content\":[{\"type\":\"text\",\"text\":\"one\"}],",
        finish: "\"stop_reason\":\"end_turn\"}",
        error: "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}",
        broken: "{\"type\":\"error\"",
    },
    Lane {
        protocol: Protocol::Gemini,
        path: "/v1beta/models/alias:generateContent",
        stream: false,
        content_type: JSON,
        start: "{\"responseId\":\"g\",",
        content: "\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"one\"}]},",
        finish: "\"finishReason\":\"STOP\"}]}",
        error: "{\"error\":{\"code\":503,\"message\":\"busy\",\"status\":\"UNAVAILABLE\"}}",
        broken: "{\"error\":",
    },
];

impl Lane {
    pub(crate) fn is_array(&self) -> bool {
        self.stream && self.content_type == JSON
    }

    /// The whole answer.
    pub(crate) fn whole(&self) -> String {
        [self.start, self.content, self.finish].concat()
    }

    pub(crate) fn good(&self) -> Answer {
        self.plays(Script::frames([self.start, self.content, self.finish]))
    }

    /// Status 200 and this.
    pub(crate) fn plays(&self, script: Script) -> Answer {
        Answer::new(http::StatusCode::OK, script).header("content-type", self.content_type)
    }

    pub(crate) fn call(&self) -> Call {
        CallFacts {
            id: CallId::random(),
            protocol: self.protocol,
            operation: Operation::Generate,
            model: Some("alias".into()),
            stream: self.stream,
            json_array: self.is_array(),
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

    pub(crate) fn target(&self, deployment: &str) -> Arc<Target> {
        let base_url = "http://localhost/v1".parse().unwrap();
        let model = format!("model-of-{deployment}");
        Arc::new(Target::new(deployment, self.protocol, model, base_url))
    }

    /// A request with a plan of these deployments, in this order.
    pub(crate) fn request(&self, deployments: &[&str]) -> Request<Body> {
        let mut plan = Plan::default();
        plan.chosen =
            deployments.iter().map(|name| PlanStep::new(self.target(name), "listed")).collect();
        Request::post(self.path)
            .extension(self.call())
            .extension(plan)
            .body(Body::from("{\"model\":\"alias\",\"messages\":[]}"))
            .unwrap()
    }
}

/// The deployment a request was meant for.
pub(crate) fn deployment(received: &Received) -> String {
    received.extensions.get::<Arc<Target>>().unwrap().deployment.to_string()
}

/// Who was asked so far, in order.
pub(crate) fn asked(upstream: &Upstream) -> Vec<String> {
    upstream.received().iter().map(deployment).collect()
}

/// An upstream at which `a` answers so, and everybody else as they should.
pub(crate) fn failing_first(lane: Lane, bad: Answer) -> Upstream {
    Upstream::choose(move |received| match &*deployment(received) {
        "a" => bad.clone(),
        _ => lane.good(),
    })
}

pub(crate) const HEAD: Duration = Duration::from_secs(10);
pub(crate) const FIRST_CONTENT: Duration = Duration::from_secs(20);
pub(crate) const IDLE: Duration = Duration::from_secs(30);

/// What stands between fallback and its upstreams.
pub(crate) fn patient() -> DeadlineLayer {
    DeadlineLayer::new().head(HEAD).first_content(FIRST_CONTENT).idle(IDLE)
}

/// That a connection was not made, as the client of an upstream says it.
pub(crate) fn refused() -> Answer {
    let failure = Failure::new(Class::Connect, "the upstream cannot be reached")
        .cause(Cause::Connect)
        .sent(Sent::No)
        .code("upstream_connect");
    Answer::json(502, "{\"error\":{}}").extension(failure)
}

/// An upstream's error in no particular protocol's shape.
pub(crate) fn status(status: u16) -> Answer {
    Answer::json(status, "{\"error\":{\"message\":\"no\"}}")
}

/// What a client saw.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) extensions: http::Extensions,
    pub(crate) body: String,
    /// The body failed.
    pub(crate) broke: bool,
}

pub(crate) async fn ask<S, R>(service: S, request: Request<Body>) -> Answered
where
    S: Service<Request<Body>, Response = Response<R>>,
    S::Error: std::fmt::Debug,
    R: http_body::Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    read(tower::ServiceExt::oneshot(service, request).await.unwrap()).await
}

pub(crate) async fn read<R>(response: Response<R>) -> Answered
where
    R: http_body::Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    let (head, body) = response.into_parts();
    let mut body = std::pin::pin!(body);
    let (mut bytes, mut broke) = (Vec::new(), false);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new())),
            Err(_) => broke = true,
        }
    }
    Answered {
        status: head.status.as_u16(),
        headers: head.headers,
        extensions: head.extensions,
        body: String::from_utf8(bytes).unwrap(),
        broke,
    }
}

/// Stacks `outer` around fallback around deadlines around the upstream.
pub(crate) fn stack<L, P>(
    outer: L,
    layer: &tollgate_fallback::FallbackLayer<P>,
    upstream: &Upstream,
) -> L::Service
where
    P: Clone,
    L: Layer<tollgate_fallback::Fallback<Deadlined, P>>,
{
    outer.layer(layer.layer(patient().layer(upstream.clone())))
}

pub(crate) type Deadlined = tollgate_sse::deadline::DeadlineService<Upstream>;
