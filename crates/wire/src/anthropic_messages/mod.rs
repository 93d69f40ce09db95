//! Anthropic Messages.

mod content;
mod error;
mod stream;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Value, json};
use tollgate_core::{Body, Call, Operation, Protocol, Refusal};

use self::stream::MessagesStream;
use crate::{
    Automaton, Dialect, Fault, ModelCard, Rendered, Route,
    aim::aim_body,
    content::{Content, Medium},
    date,
    json::{self, Object},
    members,
    path::decoded,
    peek::Peek,
};

/// The dialect of `/v1/messages`.
///
/// ```
/// use tollgate_core::Operation;
/// use tollgate_wire::{Dialect, anthropic_messages::AnthropicMessages};
///
/// let route = AnthropicMessages.route(&http::Method::POST, "/v1/messages/count_tokens").unwrap();
/// assert_eq!(route.operation, Operation::CountTokens);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct AnthropicMessages;

impl Dialect for AnthropicMessages {
    fn protocol(&self) -> Protocol {
        Protocol::AnthropicMessages
    }

    fn route(&self, method: &Method, path: &str) -> Option<Route> {
        let (operation, model) = match (method.as_str(), path) {
            ("POST", "/v1/messages") => (Operation::Generate, None),
            ("POST", "/v1/messages/count_tokens") => (Operation::CountTokens, None),
            ("GET", "/v1/models") => (Operation::ListModels, None),
            ("GET", _) => (Operation::GetModel, Some(path.strip_prefix("/v1/models/")?)),
            _ => return None,
        };
        let model = model.map(decoded);
        (model.as_deref() != Some("")).then_some(Route { operation, model, stream: false })
    }

    fn claims(&self, headers: &HeaderMap) -> bool {
        headers.contains_key("anthropic-version")
    }

    fn owns(&self, path: &str) -> bool {
        path.starts_with("/v1/messages")
    }

    fn aim(&self, request: &mut Request<Body>, model: &str) -> Result<(), Refusal> {
        aim_body(self, request, model)
    }

    fn reads_member(&self, key: &str) -> bool {
        matches!(
            key,
            "model"
                | "stream"
                | "max_tokens"
                | "tools"
                | "output_config"
                | "output_format"
                | "thinking"
                | "metadata"
                | "service_tier"
        )
    }

    fn read_member(&self, key: &str, value: &[u8], peek: &mut Peek) -> Result<(), String> {
        match key {
            "model" => return members::model(value, peek),
            "stream" => return members::stream(value, peek),
            "max_tokens" => members::limit(value, peek),
            "tools" => members::tools(value, peek),
            "service_tier" => members::tier(value, peek),
            "output_format" => follows_schema(!json::is_blank(value), peek),
            "output_config" => {
                let says = |key| json::member(value, key).is_some_and(|v| !json::is_blank(v));
                follows_schema(says("format"), peek);
                peek.needs.reasoning |= says("effort");
            }
            "thinking" => {
                peek.needs.reasoning |= members::says_other_than(value, "type", "disabled");
            }
            "metadata" => members::user(json::member(value, "user_id"), true, peek),
            _ => {}
        }
        Ok(())
    }

    fn read_content(&self, key: &str, value: &[u8], content: &mut Content) {
        content::read(key, value, content);
    }

    fn marks(&self, medium: Medium) -> &'static [&'static str] {
        match medium {
            Medium::Images => &["\"image\""],
            Medium::Audio => &[],
            Medium::Video => &[],
            Medium::Documents => &["\"document\""],
            Medium::Reasoning => &["thinking\""],
        }
    }

    fn turns(&self) -> (&'static str, &'static str) {
        ("messages", "content")
    }

    fn automaton(&self, _: &Call) -> Box<dyn Automaton> {
        Box::new(MessagesStream::default())
    }

    fn classify(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
        error::classify(status, headers, body)
    }

    fn error_in_answer(&self, answer: Object<'_>) -> Option<Fault> {
        error::in_answer(answer)
    }

    fn render(&self, fault: &Fault, id: &str) -> Rendered {
        error::render(fault, id)
    }

    fn keep_alive(&self) -> Option<&'static [u8]> {
        Some(b"event: ping\ndata: {\"type\":\"ping\"}\n\n")
    }

    fn request_id_header(&self) -> &'static str {
        error::REQUEST_ID
    }

    fn render_models(&self, models: &[ModelCard]) -> Bytes {
        let data: Vec<_> = models.iter().map(model).collect();
        json!({
            "data": data,
            "has_more": false,
            "first_id": models.first().map(|card| &card.id),
            "last_id": models.last().map(|card| &card.id),
        })
        .to_string()
        .into()
    }

    fn render_model(&self, card: &ModelCard) -> Bytes {
        model(card).to_string().into()
    }
}

/// This protocol knows no structured answer without a schema.
fn follows_schema(said: bool, peek: &mut Peek) {
    peek.needs.structured_output |= said;
    peek.needs.schema |= said;
}

fn model(card: &ModelCard) -> Value {
    let mut model = json!({
        "type": "model",
        "id": card.id,
        "display_name": card.display_name.as_ref().unwrap_or(&card.id),
        "created_at": date::rfc3339(card.created),
    });
    for (key, limit) in
        [("max_input_tokens", card.max_input_tokens), ("max_tokens", card.max_output_tokens)]
    {
        if let Some(limit) = limit {
            model[key] = limit.into();
        }
    }
    model
}

#[cfg(test)]
mod tests {
    use tollgate_core::Frames;

    use super::*;
    use crate::peek::peek;

    fn read(body: &'static str) -> Peek {
        peek(&AnthropicMessages, &Frames::new(vec![body.into()])).unwrap()
    }

    #[test]
    fn knows_its_paths() {
        let of = |method: &str, path| {
            AnthropicMessages.route(&method.parse().unwrap(), path).map(|route| route.operation)
        };
        assert_eq!(of("POST", "/v1/messages"), Some(Operation::Generate));
        assert_eq!(of("POST", "/v1/messages/count_tokens"), Some(Operation::CountTokens));
        assert_eq!(of("GET", "/v1/models"), Some(Operation::ListModels));
        assert_eq!(of("GET", "/v1/models/claude"), Some(Operation::GetModel));
        assert_eq!(of("GET", "/v1/models/"), None);
        assert_eq!(of("POST", "/v1/messages/batches"), None);
    }

    #[test]
    fn reads_what_a_layer_may_want_to_know() {
        let seen = read(
            r#"{"model":"c","max_tokens":5,"stream":true,"tools":[{}],
               "thinking":{"type":"adaptive"},"output_config":{"format":{"type":"json_schema"}}}"#,
        );
        assert_eq!((seen.output_limit, seen.stream), (Some(5), true));
        assert!(seen.needs.tools && seen.needs.structured_output && seen.needs.reasoning);
        let plain = r#"{"thinking":{"type":"disabled"},"output_config":{},"output_format":null}"#;
        assert_eq!(read(plain), Peek::default());
    }

    #[test]
    fn models_are_listed_with_dates_and_limits() {
        let card = ModelCard {
            id: "c".into(),
            created: 1_785_366_570,
            max_input_tokens: Some(9),
            ..Default::default()
        };
        let list: Value =
            serde_json::from_slice(&AnthropicMessages.render_models(&[card])).unwrap();
        assert_eq!((&list["first_id"], &list["has_more"]), (&"c".into(), &false.into()));
        let expected = json!({"type":"model","id":"c","display_name":"c",
            "created_at":"2026-07-29T23:09:30Z","max_input_tokens":9});
        assert_eq!(list["data"][0], expected);
        let none: Value = serde_json::from_slice(&AnthropicMessages.render_models(&[])).unwrap();
        assert_eq!(none, json!({"data":[],"has_more":false,"first_id":null,"last_id":null}));
    }
}
