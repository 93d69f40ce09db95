//! OpenAI Responses.

mod content;
mod stream;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use tollgate_core::{Body, Call, Operation, Protocol, Refusal};

use self::stream::ResponsesStream;
use crate::{
    Automaton, Dialect, Fault, ModelCard, Rendered, Route,
    aim::aim_body,
    content::{Content, Medium},
    json::{self, Object},
    members, openai,
    peek::Peek,
};

/// Returns the code for an error inside a response, which is of a closed list: anything that is not
/// in it is `server_error`.
pub fn error_code(fault: &Fault) -> &str {
    stream::inner_code(fault)
}

/// The dialect of `/v1/responses`. Stored responses are no operation of it.
///
/// ```
/// use tollgate_core::Operation;
/// use tollgate_wire::{Dialect, openai_responses::OpenAiResponses};
///
/// let route = OpenAiResponses.route(&http::Method::POST, "/v1/responses").unwrap();
/// assert_eq!(route.operation, Operation::Generate);
/// assert!(OpenAiResponses.route(&http::Method::GET, "/v1/responses/resp_1").is_none());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenAiResponses;

impl Dialect for OpenAiResponses {
    fn protocol(&self) -> Protocol {
        Protocol::OpenAiResponses
    }

    fn route(&self, method: &Method, path: &str) -> Option<Route> {
        let operation = match path.strip_prefix("/v1").unwrap_or(path) {
            "/responses" => Operation::Generate,
            "/responses/input_tokens" => Operation::CountTokens,
            _ => return None,
        };
        (method == Method::POST).then_some(Route { operation, model: None, stream: false })
    }

    fn owns(&self, path: &str) -> bool {
        path.contains("/responses")
    }

    fn aim(&self, request: &mut Request<Body>, model: &str) -> Result<(), Refusal> {
        aim_body(self, request, model)
    }

    fn reads_member(&self, key: &str) -> bool {
        matches!(
            key,
            "model"
                | "stream"
                | "max_output_tokens"
                | "tools"
                | "text"
                | "reasoning"
                | "usage"
                | "user"
                | "safety_identifier"
                | "service_tier"
                | "previous_response_id"
                | "conversation"
        )
    }

    fn read_member(&self, key: &str, value: &[u8], peek: &mut Peek) -> Result<(), String> {
        match key {
            "model" => return members::model(value, peek),
            "stream" => return members::stream(value, peek),
            "max_output_tokens" => members::limit(value, peek),
            "service_tier" => members::tier(value, peek),
            "tools" => members::tools(value, peek),
            "text" => {
                let format = json::member(value, "format").unwrap_or_default();
                peek.needs.structured_output = members::says_other_than(format, "type", "text");
                peek.needs.schema = members::says(format, "type", "json_schema");
            }
            "reasoning" => {
                let effort = json::member(value, "effort").and_then(json::string);
                peek.needs.reasoning = value.starts_with(b"{")
                    && !json::is_blank(value)
                    && effort.as_deref() != Some("none");
            }
            "usage" => peek.asks_cost = true,
            "previous_response_id" | "conversation" => peek.needs.state |= !json::is_blank(value),
            "user" | "safety_identifier" => members::user(Some(value), key != "user", peek),
            _ => {}
        }
        Ok(())
    }

    fn read_content(&self, key: &str, value: &[u8], content: &mut Content) {
        content::read(key, value, content);
    }

    fn marks(&self, medium: Medium) -> &'static [&'static str] {
        match medium {
            Medium::Images => &["input_image"],
            Medium::Audio => &["input_audio"],
            Medium::Video => &[],
            Medium::Documents => &["input_file"],
            Medium::Reasoning => &["encrypted_content"],
        }
    }

    fn turns(&self) -> (&'static str, &'static str) {
        ("input", "content")
    }

    fn automaton(&self, _: &Call) -> Box<dyn Automaton> {
        Box::new(ResponsesStream::default())
    }

    fn classify(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
        openai::classify(status, headers, body)
    }

    fn error_in_answer(&self, answer: Object<'_>) -> Option<Fault> {
        openai::error_in_answer(answer, &["output"])
    }

    fn render(&self, fault: &Fault, id: &str) -> Rendered {
        openai::render(fault, id, "input")
    }

    fn keep_alive(&self) -> Option<&'static [u8]> {
        Some(b": keep-alive\n\n")
    }

    fn request_id_header(&self) -> &'static str {
        openai::REQUEST_ID
    }

    fn render_models(&self, models: &[ModelCard]) -> Bytes {
        openai::render_models(models)
    }

    fn render_model(&self, model: &ModelCard) -> Bytes {
        openai::render_model(model)
    }
}

#[cfg(test)]
mod tests {
    use tollgate_core::{Class, Frames};

    use super::*;
    use crate::peek::peek;

    fn read(body: &'static str) -> Peek {
        peek(&OpenAiResponses, &Frames::new(vec![body.into()])).unwrap()
    }

    #[test]
    fn knows_its_paths() {
        let of = |path| OpenAiResponses.route(&Method::POST, path).map(|route| route.operation);
        assert_eq!(of("/v1/responses"), Some(Operation::Generate));
        assert_eq!(of("/responses"), Some(Operation::Generate));
        assert_eq!(of("/v1/responses/input_tokens"), Some(Operation::CountTokens));
        assert_eq!(of("/v1/responses/compact"), None);
        assert!(OpenAiResponses.route(&Method::GET, "/v1/responses").is_none());
    }

    #[test]
    fn reads_what_a_layer_may_want_to_know() {
        let seen = read(
            r#"{"model":"m","stream":true,"max_output_tokens":16,"tools":[{"type":"custom"}],
               "text":{"format":{"type":"json_schema"}},"reasoning":{"effort":"high"}}"#,
        );
        assert_eq!((seen.stream, seen.output_limit), (true, Some(16)));
        assert!(seen.needs.tools && seen.needs.structured_output && seen.needs.reasoning);
        let plain =
            r#"{"text":{"format":{"type":"text"}},"reasoning":{"effort":"none"},"tools":null}"#;
        assert_eq!(read(plain), Peek::default());
    }

    #[test]
    fn a_failed_response_without_output_is_an_error() {
        let of = |text: &str| OpenAiResponses.error_in_answer(Object::new(text.as_bytes()));
        let failed = r#"{"status":"failed","error":{"code":"rate_limit_exceeded"},"output":[]}"#;
        assert_eq!(of(failed).unwrap().class, Class::RateLimit);
        assert!(of(r#"{"error":null,"output":[]}"#).is_none());
        assert!(of(r#"{"error":{"code":"x"},"output":[{}]}"#).is_none());
    }
}
