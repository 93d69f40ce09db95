//! What a client must see when something failed: before content, and after it.

use serde_json::Value;
use tollgate_core::{Class, Protocol};

use crate::{
    gateway::Seen,
    lane::{Kind, Lane},
};

/// A typed HTTP error of the upstream in the caller's protocol, with the class on record.
pub(crate) fn failed(lane: Lane, seen: &Seen, class: Class, code: &str) {
    http_error(lane, seen, class, code, "upstream");
    assert_eq!(seen.ending(), Some(Some(class)), "{lane}: the outcome");
}

/// A typed HTTP error of the gateway's own in the caller's protocol.
pub(crate) fn refused(lane: Lane, seen: &Seen, class: Class, code: &str) {
    http_error(lane, seen, class, code, "gateway");
}

fn http_error(lane: Lane, seen: &Seen, class: Class, code: &str, origin: &str) {
    let text = seen.text();
    let (status, word) = shape(lane.protocol, class);
    assert_eq!(seen.status, status, "{lane}: {text}");
    assert_eq!(seen.headers["content-type"], "application/json", "{lane}");
    assert_eq!(seen.headers["x-tollgate-origin"], origin, "{lane}: {text}");
    let answer: Value = serde_json::from_str(&text).expect("an error answer is JSON");
    error_object(lane, &answer, word, code);
    match lane.protocol {
        Protocol::AnthropicMessages => assert!(answer["request_id"].is_string(), "{text}"),
        Protocol::Gemini => assert_eq!(answer["error"]["code"], status, "{text}"),
        _ => {}
    }
}

/// The error of `protocols/errors.md` §4: status, and the word for the class.
fn shape(protocol: Protocol, class: Class) -> (u16, &'static str) {
    match (protocol, class) {
        (Protocol::AnthropicMessages, Class::Timeout) => (504, "timeout_error"),
        (Protocol::AnthropicMessages, Class::Overloaded) => (529, "overloaded_error"),
        (Protocol::AnthropicMessages, Class::TooLarge) => (413, "request_too_large"),
        (Protocol::AnthropicMessages, Class::InvalidRequest) => (400, "invalid_request_error"),
        (Protocol::AnthropicMessages, _) => (500, "api_error"),
        (Protocol::Gemini, Class::Timeout) => (504, "DEADLINE_EXCEEDED"),
        (Protocol::Gemini, Class::Overloaded) => (503, "UNAVAILABLE"),
        (Protocol::Gemini, Class::TooLarge | Class::InvalidRequest) => (400, "INVALID_ARGUMENT"),
        (Protocol::Gemini, _) => (500, "INTERNAL"),
        (_, Class::Timeout) => (504, "server_error"),
        (_, Class::Overloaded) => (503, "server_error"),
        (_, Class::TooLarge) => (413, "invalid_request_error"),
        (_, Class::InvalidRequest) => (400, "invalid_request_error"),
        _ => (502, "server_error"),
    }
}

/// The error object itself. `code` is looked for where the protocol has a place for codes.
fn error_object(lane: Lane, answer: &Value, word: &str, code: &str) {
    let error = &answer["error"];
    assert!(error["message"].as_str().is_some_and(|m| !m.is_empty()), "{lane}: {answer}");
    match lane.protocol {
        Protocol::AnthropicMessages => {
            assert_eq!(
                (&answer["type"], &error["type"]),
                (&"error".into(), &word.into()),
                "{lane}"
            );
        }
        Protocol::Gemini => assert_eq!(error["status"], word, "{lane}: {answer}"),
        _ => {
            assert_eq!((&error["type"], &error["code"]), (&word.into(), &code.into()), "{lane}");
            assert!(error.get("param").is_some(), "{lane}: {answer}");
        }
    }
}

/// A stream that was `sent` so far and then ended in exactly one error event of the protocol.
pub(crate) fn broken(lane: Lane, seen: &Seen, sent: &str, class: Class, code: &str) {
    assert_eq!(seen.status, 200, "{lane}");
    let text = seen.text();
    let rest = text.strip_prefix(sent);
    let rest =
        rest.unwrap_or_else(|| unreachable!("{lane}: content was lost\n{sent}\n---\n{text}"));
    for ending in ["[DONE]", "message_stop", "response.completed", "finish_reason", "finishReason"]
    {
        assert!(!rest.contains(ending), "{lane}: shown as finished by {rest}");
    }
    let event = match lane.kind {
        Kind::Array => last_element(lane, &text, rest),
        _ => only_event(lane, rest),
    };
    error_event(lane, &event, class, code);
    assert_eq!(seen.ending(), Some(Some(class)), "{lane}: the outcome");
}

/// The data of the one event that `rest` must be.
fn only_event(lane: Lane, rest: &str) -> Value {
    let event = rest.strip_suffix("\n\n").unwrap_or_else(|| unreachable!("{lane}: {rest:?}"));
    let name = match lane.protocol {
        Protocol::OpenAiResponses => "event: response.failed\n",
        Protocol::AnthropicMessages => "event: error\n",
        _ => "",
    };
    let data = event.strip_prefix(name).and_then(|event| event.strip_prefix("data: "));
    let data = data.unwrap_or_else(|| unreachable!("{lane}: {rest:?}"));
    assert!(!data.contains('\n'), "{lane}: more than one event: {rest:?}");
    if lane.protocol == Protocol::Gemini {
        assert!(data.starts_with("{\"error\":"), "the key clients look for is the first: {data}");
    }
    serde_json::from_str(data).expect("the error event is JSON")
}

/// The last element of an array that `rest` must close.
fn last_element(lane: Lane, text: &str, rest: &str) -> Value {
    let whole: Value = serde_json::from_str(text).expect("the array is closed");
    let element = rest.trim_start_matches([',', '\n']);
    assert!(element.starts_with("{\"error\":") && element.ends_with(']'), "{lane}: {rest:?}");
    let elements = whole.as_array().expect("an array");
    let errors = elements.iter().filter(|element| element.get("error").is_some()).count();
    assert_eq!(errors, 1, "{lane}: {text}");
    elements.last().expect("it has the error").clone()
}

fn error_event(lane: Lane, event: &Value, class: Class, code: &str) {
    let (_, word) = shape(lane.protocol, class);
    if lane.protocol != Protocol::OpenAiResponses {
        return error_object(lane, event, word, code);
    }
    let response = &event["response"];
    assert_eq!(
        (&event["type"], &response["status"]),
        (&"response.failed".into(), &"failed".into())
    );
    assert_eq!(response["error"]["code"], "server_error", "{event}");
    assert_eq!((&response["id"], &response["model"]), (&"r".into(), &"m".into()), "{event}");
    assert!(event["sequence_number"].as_u64() > Some(1), "the numbers go on: {event}");
}

/// The answer as it came, and a success on record.
pub(crate) fn unchanged(lane: Lane, seen: &Seen, expected: &str) {
    assert_eq!(seen.status, 200, "{lane}: {}", seen.text());
    assert_eq!(seen.text(), expected, "{lane}");
    assert_eq!(seen.ending(), Some(None), "{lane}: the outcome");
    let outcome = seen.outcome.as_ref().expect("recorded");
    assert!(outcome.first_content().is_some(), "{lane}: the time to first content");
}
