//! Requests without the reasoning they send back.

#![allow(clippy::unwrap_used, reason = "it is a test")]

use http::{Request, header};
use serde_json::{Value, json};
use tollgate_core::{Body, Call, Operation, Protocol};
use tollgate_translate::forget_reasoning;

/// The body after it was made to forget; `None` if there was nothing to forget.
fn forgotten(client: Protocol, body: &Value) -> Option<Value> {
    let text = body.to_string();
    let mut request = Request::new(Body::from(text.clone()));
    request.headers_mut().insert(header::CONTENT_LENGTH, text.len().into());
    request.extensions_mut().insert(Call::new(client, Operation::Generate));
    let changed = forget_reasoning(&mut request);
    let rest = request.body().frames().unwrap().joined();
    assert_eq!(request.headers()[header::CONTENT_LENGTH], rest.len().to_string().as_str());
    assert_eq!(changed, rest != text, "what did not change is as it was");
    changed.then(|| serde_json::from_slice(&rest).unwrap())
}

#[test]
fn a_claude_on_a_budget_does_not_think_once_its_thoughts_are_gone() {
    let call = json!({"type": "tool_use", "id": "t", "name": "f", "input": {"n": 1}});
    let thought = json!({"type": "thinking", "thinking": "…", "signature": "s"});
    let hidden = json!({"type": "redacted_thinking", "data": "d"});
    let result = json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]});
    let edits = json!([{"type": "clear_thinking_20251015", "keep": "all"}]);
    let body = json!({"model": "m", "max_tokens": 9000, "context_management": {"edits": edits},
        "thinking": {"type": "enabled", "budget_tokens": 2000}, "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [thought]},
            {"role": "assistant", "content": [thought, hidden, call]}, result]});
    let rest = json!({"model": "m", "max_tokens": 9000, "messages": [
        {"role": "user", "content": "Hi"}, {"role": "assistant", "content": [call]}, result]});
    assert_eq!(forgotten(Protocol::AnthropicMessages, &body), Some(rest.clone()));
    assert_eq!(forgotten(Protocol::AnthropicMessages, &rest), None);
}

#[test]
fn a_claude_that_decides_itself_goes_on_thinking() {
    let thought = json!({"type": "thinking", "thinking": "…", "signature": "s"});
    let text = json!({"type": "text", "text": "Hm"});
    let with = |content: Value| {
        json!({"thinking": {"type": "adaptive"}, "messages": [
            {"role": "user", "content": "Hi"}, {"role": "assistant", "content": content}]})
    };
    let rest = forgotten(Protocol::AnthropicMessages, &with(json!([thought, text])));
    assert_eq!(rest, Some(with(json!([text]))));
    assert_eq!(forgotten(Protocol::AnthropicMessages, &with(json!("Hm"))), None);
}

#[test]
fn items_lose_the_ids_by_which_they_want_their_reasoning() {
    let reasoning = json!({"type": "reasoning", "id": "rs_1", "summary": []});
    let gone = json!({"type": "item_reference", "id": "rs_2"});
    let call = json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"});
    let mut named = call.clone();
    named["id"] = "fc_1".into();
    let body = json!({"input": [reasoning, gone, named]});
    let rest = json!({"input": [call]});
    assert_eq!(forgotten(Protocol::OpenAiResponses, &body), Some(rest));
    assert_eq!(forgotten(Protocol::OpenAiResponses, &json!({"input": "Hi"})), None);
}

#[test]
fn chat_messages_keep_what_is_said_and_called() {
    let google = json!({"google": {"thought_signature": "s"}});
    let function = json!({"name": "f", "arguments": "{}"});
    let call = json!({"id": "c", "type": "function", "function": function});
    let mut signed = call.clone();
    signed["extra_content"] = google;
    let body = json!({"messages": [
        {"role": "user", "content": "Hi", "reasoning": "mine"},
        {"role": "assistant", "content": null, "reasoning_content": "…", "reasoning_details": [],
            "tool_calls": [signed]}]});
    let rest = json!({"messages": [
        {"role": "user", "content": "Hi", "reasoning": "mine"},
        {"role": "assistant", "content": null, "tool_calls": [call]}]});
    assert_eq!(forgotten(Protocol::OpenAiChat, &body), Some(rest));
}

#[test]
fn the_first_call_of_a_gemini_turn_says_that_its_signature_is_lost() {
    let call = json!({"functionCall": {"name": "f", "args": {}}});
    let mut signed = call.clone();
    signed["thoughtSignature"] = "s".into();
    signed["thought_signature"] = "s".into();
    let body = json!({"contents": [{"role": "model", "parts": [
        {"text": "…", "thought": true}, signed, signed]}]});
    let mut bypassed = call.clone();
    bypassed["thoughtSignature"] = "skip_thought_signature_validator".into();
    let rest = json!({"contents": [{"role": "model", "parts": [bypassed, call]}]});
    assert_eq!(forgotten(Protocol::Gemini, &body), Some(rest));
}

#[test]
fn a_request_that_nobody_inspected_stays_as_it_is() {
    let mut request = Request::new(Body::from("{\"messages\":[]}"));
    assert!(!forget_reasoning(&mut request));
}
