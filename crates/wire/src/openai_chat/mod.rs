//! OpenAI Chat Completions (and embeddings), and every server compatible with it.

mod content;
mod stream;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use tollgate_core::{Body, Call, Operation, Protocol, Refusal};

use self::stream::ChatStream;
use crate::{
    Automaton, Dialect, Fault, ModelCard, Rendered, Route,
    aim::aim_body,
    content::{Content, Medium},
    json::{self, Object},
    members, openai,
    path::decoded,
    peek::Peek,
};

/// The dialect of `/v1/chat/completions`.
///
/// ```
/// use tollgate_wire::{Dialect, openai_chat::OpenAiChat};
///
/// let route = OpenAiChat.route(&http::Method::GET, "/v1/models/meta/llama").unwrap();
/// assert_eq!(route.model.as_deref(), Some("meta/llama"));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenAiChat;

impl Dialect for OpenAiChat {
    fn protocol(&self) -> Protocol {
        Protocol::OpenAiChat
    }

    fn route(&self, method: &Method, path: &str) -> Option<Route> {
        let path = path.strip_prefix("/v1").unwrap_or(path);
        let (operation, model) = match (method.as_str(), path) {
            ("POST", "/chat/completions") => (Operation::Generate, None),
            ("POST", "/embeddings") => (Operation::Embed, None),
            ("GET", "/models") => (Operation::ListModels, None),
            ("GET", _) => (Operation::GetModel, Some(path.strip_prefix("/models/")?)),
            _ => return None,
        };
        let model = model.map(decoded);
        (model.as_deref() != Some("")).then_some(Route { operation, model, stream: false })
    }

    fn aim(&self, request: &mut Request<Body>, model: &str) -> Result<(), Refusal> {
        aim_body(self, request, model)
    }

    fn reads_member(&self, key: &str) -> bool {
        matches!(
            key,
            "model"
                | "stream"
                | "stream_options"
                | "max_completion_tokens"
                | "max_tokens"
                | "n"
                | "tools"
                | "functions"
                | "response_format"
                | "reasoning_effort"
                | "reasoning"
                | "usage"
                | "user"
                | "safety_identifier"
                | "service_tier"
        )
    }

    fn read_member(&self, key: &str, value: &[u8], peek: &mut Peek) -> Result<(), String> {
        match key {
            "model" => return members::model(value, peek),
            "stream" => return members::stream(value, peek),
            "stream_options" => peek.stream_usage = asks_usage(value),
            "max_completion_tokens" => members::limit(value, peek),
            // The other one wins wherever it stands.
            "max_tokens" if peek.output_limit.is_none() => members::limit(value, peek),
            "n" => members::candidates(value, peek),
            "tools" | "functions" => members::tools(value, peek),
            "response_format" => {
                peek.needs.structured_output = members::says_other_than(value, "type", "text");
                peek.needs.schema = members::says(value, "type", "json_schema");
            }
            "reasoning_effort" => {
                peek.needs.reasoning |= json::string(value).is_some_and(|effort| effort != "none");
            }
            "reasoning" => peek.needs.reasoning |= asks_reasoning(value),
            "usage" => peek.asks_cost = true,
            "user" | "safety_identifier" => members::user(Some(value), key != "user", peek),
            "service_tier" => members::tier(value, peek),
            _ => {}
        }
        Ok(())
    }

    fn read_content(&self, key: &str, value: &[u8], content: &mut Content) {
        content::read(key, value, content);
    }

    fn marks(&self, medium: Medium) -> &'static [&'static str] {
        match medium {
            Medium::Images => &["image_url"],
            Medium::Audio => &["input_audio"],
            Medium::Video => &["video_url"],
            Medium::Documents => &["\"file\""],
            Medium::Reasoning => &["reasoning_details", "thought_signature"],
        }
    }

    fn turns(&self) -> (&'static str, &'static str) {
        ("messages", "content")
    }

    fn automaton(&self, call: &Call) -> Box<dyn Automaton> {
        Box::new(ChatStream::new(call.candidates))
    }

    fn classify(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
        openai::classify(status, headers, body)
    }

    fn error_in_answer(&self, answer: Object<'_>) -> Option<Fault> {
        openai::error_in_answer(answer, &["choices", "data"])
    }

    fn render(&self, fault: &Fault, id: &str) -> Rendered {
        openai::render(fault, id, "messages")
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

fn asks_usage(options: &[u8]) -> bool {
    json::member(options, "include_usage").and_then(json::boolean) == Some(true)
}

/// The `reasoning` object many compatible servers take.
fn asks_reasoning(reasoning: &[u8]) -> bool {
    let off = json::member(reasoning, "enabled").and_then(json::boolean) == Some(false)
        || json::member(reasoning, "effort").and_then(json::string).as_deref() == Some("none");
    reasoning.starts_with(b"{") && !off && !json::is_blank(reasoning)
}

#[cfg(test)]
mod tests {
    use tollgate_core::Frames;

    use super::*;
    use crate::peek::{PeekError, peek};

    fn read(body: &'static str) -> Result<Peek, PeekError> {
        peek(&OpenAiChat, &Frames::new(vec![body.into()]))
    }

    fn route(method: &str, path: &str) -> Option<(Operation, Option<String>)> {
        let method = method.parse().unwrap();
        OpenAiChat.route(&method, path).map(|route| (route.operation, route.model))
    }

    #[test]
    fn knows_its_paths_with_and_without_version() {
        for prefix in ["/v1", ""] {
            let of = |method, path: &str| route(method, &format!("{prefix}{path}"));
            assert_eq!(of("POST", "/chat/completions"), Some((Operation::Generate, None)));
            assert_eq!(of("POST", "/embeddings"), Some((Operation::Embed, None)));
            assert_eq!(of("GET", "/models"), Some((Operation::ListModels, None)));
            assert_eq!(of("GET", "/models/a/b"), Some((Operation::GetModel, Some("a/b".into()))));
            assert_eq!(of("GET", "/models/"), None);
            assert_eq!(of("GET", "/chat/completions"), None);
            assert_eq!(of("POST", "/chat/completions/"), None);
        }
    }

    #[test]
    fn reads_what_a_layer_may_want_to_know() {
        let seen = read(
            r#"{"max_completion_tokens":7,"max_tokens":9,"model":"m","stream":true,"n":3,"tools":[{}],
               "stream_options":{"include_usage":true},"response_format":{"type":"json_object"},
               "reasoning_effort":"low"}"#,
        )
        .unwrap();
        assert_eq!(
            (seen.model.as_deref(), seen.stream, seen.candidates),
            (Some("m"), true, Some(3))
        );
        assert_eq!((seen.output_limit, seen.stream_usage), (Some(7), true));
        assert!(seen.needs.tools && seen.needs.structured_output && seen.needs.reasoning);
    }

    #[test]
    fn null_and_odd_values_are_as_good_as_absent() {
        let seen = read(
            r#"{"model":"m","max_tokens":-1,"max_completion_tokens":null,"stream":null,"n":"many","tools":[],
               "stream_options":null,"response_format":{"type":"text"},"reasoning_effort":"none"}"#,
        )
        .unwrap();
        let plain = read(r#"{"model":"m"}"#).unwrap();
        assert_eq!(Peek { model_at: None, ..seen }, Peek { model_at: None, ..plain });
    }

    #[test]
    fn a_model_or_stream_of_another_kind_is_refused_by_name() {
        for (body, field) in [
            (r#"{"model":1}"#, "model"),
            (r#"{"model":""}"#, "model"),
            (r#"{"model":"m","stream":"yes"}"#, "stream"),
        ] {
            let Err(PeekError::Field(name, wrong)) = read(body) else { panic!("{body}") };
            assert_eq!(name, field);
            assert!(wrong.starts_with("must be"), "{wrong}");
        }
    }

    #[test]
    fn an_error_beside_a_result_is_none() {
        let of = |text: &str| OpenAiChat.error_in_answer(Object::new(text.as_bytes()));
        assert!(of(r#"{"error":{"message":"x"}}"#).is_some());
        assert!(of(r#"{"error":"x","choices":[]}"#).is_some());
        assert!(of(r#"{"error":{"message":"x"},"choices":[{}]}"#).is_none());
        assert!(of(r#"{"error":null,"choices":[{}]}"#).is_none());
        assert!(of(r#"{"id":"x"}"#).is_none());
    }
}
