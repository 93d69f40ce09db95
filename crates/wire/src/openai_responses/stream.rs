use std::borrow::Cow;

use serde_json::json;
use tollgate_core::Class;

use crate::{
    Automaton, Event, Fault, OwnEvent, Seen,
    json::{self, Array},
    openai,
};

/// What an error inside a response may be called; anything else is `server_error`.
const ERROR_CODES: [&str; 20] = [
    "server_error",
    "rate_limit_exceeded",
    "invalid_prompt",
    "data_residency_mismatch",
    "bio_policy",
    "vector_store_timeout",
    "invalid_image",
    "invalid_image_format",
    "invalid_base64_image",
    "invalid_image_url",
    "image_too_large",
    "image_too_small",
    "image_parse_error",
    "image_content_policy_violation",
    "invalid_image_mode",
    "image_file_too_large",
    "unsupported_image_media_type",
    "empty_image_file",
    "failed_to_download_image",
    "image_file_not_found",
];

/// The automaton of a Responses stream: complete with `response.completed` or
/// `response.incomplete`.
#[derive(Debug, Default)]
pub(super) struct ResponsesStream {
    committed: bool,
    ended: bool,
    /// The number the next event should have.
    next: u64,
    created: Option<Created>,
}

/// What every event about the whole response repeats.
#[derive(Debug)]
struct Created {
    id: String,
    model: String,
    /// As written: a whole number or one with a fraction.
    at: serde_json::Number,
}

impl ResponsesStream {
    fn judge(&mut self, kind: &str, data: &[u8]) -> Seen {
        match kind {
            "error" => self.fail(json::member(data, "error").unwrap_or(data)),
            "response.failed" => {
                let error = json::member(data, "response").and_then(|r| json::member(r, "error"));
                self.fail(error.unwrap_or(b"null"))
            }
            "response.completed" | "response.incomplete" => self.end(data),
            _ if self.committed => Seen::Content,
            _ if is_content(kind, data) => Seen::Content,
            _ => {
                self.remember(data);
                Seen::Lifecycle
            }
        }
    }

    fn fail(&mut self, error: &[u8]) -> Seen {
        Seen::Error(Box::new(openai::in_stream(error)))
    }

    /// The one event that is worth a full parse: cut short it would pass for the end.
    fn end(&mut self, data: &[u8]) -> Seen {
        if !json::is_valid(data) {
            return Seen::Malformed;
        }
        self.ended = true;
        Seen::Content
    }

    fn remember(&mut self, data: &[u8]) {
        let Some(response) = json::member(data, "response") else { return };
        let text = |key| json::member(response, key).and_then(json::string).map(Cow::into_owned);
        let Some(id) = text("id") else { return };
        let at = json::member(response, "created_at");
        self.created = Some(Created {
            id,
            model: text("model").unwrap_or_default(),
            at: at.and_then(|at| serde_json::from_slice(at).ok()).unwrap_or_else(|| 0.into()),
        });
    }

    /// Counts on; before the first content the event's own number is read.
    fn count(&mut self, data: &[u8]) {
        let own = || json::member(data, "sequence_number").and_then(json::integer);
        let number = if self.committed { None } else { own() };
        self.next = number.unwrap_or(self.next).saturating_add(1);
    }
}

/// The event's name, or its data's `type` where the name says nothing.
fn kind<'a>(event: Event<'a>) -> Cow<'a, str> {
    match event.name {
        Some(name) if name == "error" || name.starts_with("response.") => Cow::Borrowed(name),
        _ => json::member(event.data, "type").and_then(json::string).unwrap_or_default(),
    }
}

fn is_content(kind: &str, data: &[u8]) -> bool {
    match kind {
        "response.output_item.added" => json::member(data, "item").is_some_and(starts_with_content),
        "response.output_text.annotation.added" => true,
        "response.image_generation_call.partial_image" => true,
        _ if kind.ends_with(".delta") => {
            json::member(data, "delta").is_some_and(|delta| !json::is_blank(delta))
        }
        _ => kind.ends_with(".done"),
    }
}

/// A call says what is to be done as soon as it starts; a message or reasoning starts empty.
fn starts_with_content(item: &[u8]) -> bool {
    match json::member(item, "type").and_then(json::string).as_deref() {
        Some("message") => json::member(item, "content")
            .is_some_and(|parts| Array::new(parts).map_while(Result::ok).any(says_something)),
        Some("reasoning") | None => false,
        Some(_) => true,
    }
}

fn says_something(part: &[u8]) -> bool {
    ["text", "refusal"]
        .iter()
        .filter_map(|key| json::member(part, key))
        .any(|text| !json::is_blank(text))
}

/// The code for an error inside a response, of the closed list.
pub(super) fn inner_code(fault: &Fault) -> &str {
    match fault.code.as_deref() {
        Some(code) if ERROR_CODES.contains(&code) => code,
        _ if fault.class == Class::RateLimit => "rate_limit_exceeded",
        _ => "server_error",
    }
}

impl Automaton for ResponsesStream {
    fn event(&mut self, event: Event<'_>) -> Seen {
        let data = event.data.trim_ascii();
        if data == b"[DONE]" {
            return Seen::Lifecycle;
        }
        let whole = || data.starts_with(b"{") && json::is_valid(data);
        if !self.committed && !whole() {
            return Seen::Malformed;
        }
        self.count(data);
        let kind = kind(Event { data, ..event });
        let unnamed = kind.is_empty() && !self.committed;
        if let Some(error) = json::member(data, "error").filter(|e| unnamed && !json::is_blank(e)) {
            return self.fail(error);
        }
        let seen = self.judge(&kind, data);
        self.committed |= seen == Seen::Content;
        seen
    }

    fn is_complete(&self, _: bool) -> bool {
        self.ended
    }

    fn error_event(&self, fault: &Fault, _: &str) -> OwnEvent {
        let Some(created) = &self.created else { return self.flat_error(fault) };
        let data = json!({
            "type": "response.failed",
            "sequence_number": self.next,
            "response": {
                "id": created.id,
                "object": "response",
                "created_at": created.at,
                "status": "failed",
                "error": { "code": inner_code(fault), "message": fault.message },
                "incomplete_details": null,
                "instructions": null,
                "metadata": {},
                "model": created.model,
                "output": [],
                "parallel_tool_calls": true,
                "temperature": null,
                "tool_choice": "auto",
                "tools": [],
                "top_p": null,
            },
        });
        OwnEvent { name: Some("response.failed"), data: data.to_string().into() }
    }
}

impl ResponsesStream {
    /// For a stream that broke before it said which response it is.
    fn flat_error(&self, fault: &Fault) -> OwnEvent {
        let data = json!({
            "type": "error",
            "sequence_number": self.next,
            "code": openai::code(fault),
            "message": fault.message,
            "param": fault.param,
        });
        OwnEvent { name: Some("error"), data: data.to_string().into() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn feed(stream: &mut ResponsesStream, data: &str) -> Seen {
        stream.event(Event { name: None, data: data.as_bytes() })
    }

    fn created() -> ResponsesStream {
        let mut stream = ResponsesStream::default();
        let first = r#"{"type":"response.created","sequence_number":0,
            "response":{"id":"resp_1","created_at":1.5,"model":"gpt","output":[]}}"#;
        assert_eq!(feed(&mut stream, first), Seen::Lifecycle);
        stream
    }

    const DELTA: &str = r#"{"type":"response.output_text.delta","sequence_number":4,"delta":"x"}"#;

    #[test]
    fn what_only_opens_or_says_nothing_is_no_content() {
        for data in [
            r#"{"type":"response.in_progress","response":{"id":"r"}}"#,
            r#"{"type":"response.queued","response":{"id":"r"}}"#,
            r#"{"type":"response.output_item.added","item":{"type":"message","content":[]}}"#,
            r#"{"type":"response.output_item.added","item":{"type":"reasoning","summary":[]}}"#,
            r#"{"type":"response.content_part.added","part":{"type":"output_text","text":""}}"#,
            r#"{"type":"response.output_text.delta","delta":""}"#,
            r#"{"type":"keepalive"}"#,
            r#"{"type":"response.something_new"}"#,
            "{}",
            "[DONE]",
        ] {
            assert_eq!(feed(&mut created(), data), Seen::Lifecycle, "{data}");
        }
    }

    #[test]
    fn deltas_calls_and_whole_items_are_content() {
        for data in [
            DELTA,
            r#"{"type":"response.refusal.delta","delta":"x"}"#,
            r#"{"type":"response.function_call_arguments.delta","delta":"{"}"#,
            r#"{"type":"response.output_item.added","item":{"type":"function_call","name":"f"}}"#,
            r#"{"type":"response.output_item.added","item":{"type":"message","content":[{"text":"x"}]}}"#,
            r#"{"type":"response.output_item.done","item":{"type":"reasoning"}}"#,
            r#"{"type":"response.incomplete","response":{}}"#,
        ] {
            assert_eq!(feed(&mut created(), data), Seen::Content, "{data}");
        }
    }

    #[test]
    fn the_name_of_an_event_is_as_good_as_its_type() {
        let event = Event { name: Some("response.output_text.delta"), data: br#"{"delta":"x"}"# };
        assert_eq!(created().event(event), Seen::Content);
        let event = Event { name: Some("message"), data: DELTA.as_bytes() };
        assert_eq!(created().event(event), Seen::Content);
    }

    #[test]
    fn only_the_terminal_event_completes() {
        let mut stream = created();
        feed(&mut stream, DELTA);
        assert!(!stream.is_complete(true));
        let cut = r#"{"type":"response.completed","response":{"id":"resp_1""#;
        assert_eq!(feed(&mut stream, cut), Seen::Malformed);
        assert!(!stream.is_complete(true));
        feed(&mut stream, r#"{"type":"response.completed","response":{"error":null}}"#);
        assert!(stream.is_complete(true) && stream.is_complete(false));
    }

    #[test]
    fn errors_are_read_flat_nested_and_from_a_failed_response() {
        for data in [
            r#"{"type":"error","code":"rate_limit_exceeded","message":"m","param":null}"#,
            r#"{"type":"error","error":{"code":"rate_limit_exceeded","message":"m"}}"#,
            r#"{"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded","message":"m"}}}"#,
            r#"{"error":{"code":"rate_limit_exceeded","message":"m"}}"#,
        ] {
            let Seen::Error(fault) = feed(&mut created(), data) else { panic!("{data}") };
            assert_eq!((fault.class, fault.message.as_str()), (Class::RateLimit, "m"));
        }
        let mut stream = created();
        feed(&mut stream, DELTA);
        let failed = r#"{"type":"response.failed","response":{"error":null}}"#;
        assert!(matches!(feed(&mut stream, failed), Seen::Error(_)));
        assert!(!stream.is_complete(true));
    }

    fn ended(stream: &ResponsesStream, fault: &Fault) -> (Option<&'static str>, Value) {
        let event = stream.error_event(fault, "req");
        (event.name, serde_json::from_slice(&event.data).unwrap())
    }

    #[test]
    fn a_broken_response_ends_failed_under_its_own_name() {
        let mut stream = created();
        feed(&mut stream, DELTA);
        feed(&mut stream, DELTA);
        let (name, data) = ended(&stream, &Fault::new(Class::Timeout, "idle"));
        assert_eq!((name, &data["type"]), (Some("response.failed"), &"response.failed".into()));
        assert_eq!(data["sequence_number"], 6);
        let response = data["response"].as_object().unwrap();
        assert_eq!((&response["id"], &response["model"]), (&"resp_1".into(), &"gpt".into()));
        assert_eq!((&response["created_at"], &response["status"]), (&json!(1.5), &"failed".into()));
        assert_eq!(response["error"], json!({"code":"server_error","message":"idle"}));
        for required in [
            "id",
            "object",
            "created_at",
            "error",
            "incomplete_details",
            "instructions",
            "model",
            "tools",
            "output",
            "parallel_tool_calls",
            "metadata",
            "tool_choice",
            "temperature",
            "top_p",
        ] {
            assert!(response.contains_key(required), "{required}");
        }
    }

    #[test]
    fn before_it_is_created_it_ends_in_a_flat_error() {
        let (name, data) = ended(&ResponsesStream::default(), &Fault::new(Class::Overloaded, "m"));
        assert_eq!(name, Some("error"));
        let expected = json!({"type":"error","sequence_number":0,"code":"server_is_overloaded",
            "message":"m","param":null});
        assert_eq!(data, expected);
    }

    #[test]
    fn a_code_outside_the_closed_list_is_a_server_error() {
        let mut fault = Fault::new(Class::RateLimit, "m");
        assert_eq!(inner_code(&fault), "rate_limit_exceeded");
        fault.code = Some("bio_policy".into());
        assert_eq!(inner_code(&fault), "bio_policy");
        let mut fault = Fault::new(Class::Quota, "m");
        fault.code = Some("insufficient_quota".into());
        assert_eq!(inner_code(&fault), "server_error");
    }

    proptest! {
        #[test]
        fn never_panics(events in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..6)) {
            let mut committed = created();
            feed(&mut committed, DELTA);
            for data in &events {
                committed.event(Event { name: Some("response.completed"), data });
                committed.event(Event { name: None, data });
                ResponsesStream::default().event(Event { name: None, data });
            }
        }
    }
}
