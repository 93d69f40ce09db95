use http::HeaderValue;
use serde_json::json;

use super::*;
use crate::sign::sign;

/// What the provider says to a body; nothing where it takes it.
fn says(protocol: Protocol, version: &'static str, body: &Value) -> Option<String> {
    let mut headers = HeaderMap::new();
    headers.insert("anthropic-version", HeaderValue::from_static(version));
    let model = body["model"].as_str().unwrap_or("gemini-3-pro");
    let request = Request { protocol, headers: &headers, model, counting: false };
    let fault = request.check(body.to_string().as_bytes()).err()?;
    fault.message
}

fn chat(more: Value) -> Option<String> {
    says(Protocol::OpenAiChat, "", &with(json!({"model": "gpt-5", "messages": []}), more))
}

fn responses(more: Value) -> Option<String> {
    says(Protocol::OpenAiResponses, "", &with(json!({"model": "gpt-5", "input": []}), more))
}

fn claude(more: Value) -> Option<String> {
    let messages = json!([{"role": "user", "content": "x"}]);
    let usual = json!({"model": "claude-sonnet-4-5", "max_tokens": 4000, "messages": messages});
    says(Protocol::AnthropicMessages, "2023-06-01", &with(usual, more))
}

fn gemini(more: Value) -> Option<String> {
    says(Protocol::Gemini, "", &more)
}

fn with(mut usual: Value, more: Value) -> Value {
    let more = more.as_object().cloned().unwrap_or_default();
    usual.as_object_mut().unwrap().extend(more);
    usual
}

#[track_caller]
fn refuses(said: Option<String>, words: &str) {
    assert!(said.as_deref().is_some_and(|said| said.contains(words)), "{said:?}");
}

#[track_caller]
fn takes(said: Option<String>) {
    assert_eq!(said, None);
}

fn call(id: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}})
}

#[test]
fn chat_knows_its_members() {
    takes(chat(json!({"max_completion_tokens": 9, "temperature": 1})));
    refuses(chat(json!({"top_k": 9})), "Unknown parameter: 'top_k'.");
    refuses(chat(json!({"max_tokens": 9})), "Use 'max_completion_tokens' instead");
    refuses(chat(json!({"tool_choice": "auto"})), "'tool_choice' is only allowed");
    refuses(chat(json!({"stream_options": {"include_usage": true}})), "'stream_options'");
    let extra = json!([{"role": "assistant", "content": "x", "provider_specific_fields": {}}]);
    refuses(chat(json!({"messages": extra})), "'messages[0].provider_specific_fields'");
    let aloud = json!([{"role": "assistant", "content": "x", "reasoning_content": "y"}]);
    refuses(chat(json!({"messages": aloud})), "reasoning_content");
    takes(chat(json!({"messages": aloud, "model": "deepseek-reasoner"})));
}

#[test]
fn chat_wants_each_call_answered_once_and_at_once() {
    let calls = json!({"role": "assistant", "content": null, "tool_calls": [call("a"), call("b")]});
    let answer = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "x"});
    let said = |messages: &[Value]| chat(json!({"messages": messages}));
    takes(said(&[calls.clone(), answer("b"), answer("a")]));
    refuses(said(&[calls.clone(), answer("a")]), "did not have response messages: b");
    let user = json!({"role": "user", "content": "x"});
    refuses(said(&[calls.clone(), answer("a"), user, answer("b")]), "response messages: b");
    refuses(said(&[answer("a")]), "must be a response to a preceeding message");
    refuses(said(&[calls.clone(), answer("a"), answer("a")]), "must be a response");
    let twice = json!({"role": "assistant", "tool_calls": [call("a"), call("a")]});
    refuses(said(&[twice]), "Duplicate tool call id");
    let long = json!({"role": "assistant", "tool_calls": [call(&"x".repeat(41))]});
    refuses(said(&[long]), "length from 1 to 40");
}

#[test]
fn openai_wants_strict_schemas_closed_and_names_plain() {
    let tool = |name: &str, parameters: Value| {
        let function = json!({"name": name, "strict": true, "parameters": parameters});
        json!({"tools": [{"type": "function", "function": function}]})
    };
    let mut schema = json!({"type": "object", "properties": {"a": {"type": "object",
        "properties": {}, "additionalProperties": false}}, "additionalProperties": false});
    refuses(chat(tool("f", schema.clone())), "'required' to include every key");
    schema["required"] = json!(["a"]);
    takes(chat(tool("f", schema.clone())));
    refuses(chat(tool("f.g", schema.clone())), "does not match pattern");
    schema["properties"]["a"].as_object_mut().unwrap().remove("additionalProperties");
    refuses(chat(tool("f", schema)), "In context=('a')");
    let format = json!({"response_format": {"type": "json_object"}});
    refuses(chat(format), "must contain the word 'json'");
}

#[test]
fn responses_knows_its_items() {
    let said = |input: Value| responses(json!({"input": input}));
    let call = json!({"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"});
    let output = json!({"type": "function_call_output", "call_id": "a", "output": "x"});
    takes(said(json!([call, output])));
    refuses(said(json!([output])), "No tool call found for function call output");
    refuses(said(json!([call])), "No tool output found for function call a.");
    refuses(
        said(json!([{"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}])),
        "'output_text'",
    );
    refuses(
        said(json!([with(call.clone(), json!({"namespace": null})), output])),
        "input[0].namespace",
    );
    refuses(said(json!([with(call.clone(), json!({"id": "call_1"})), output])), "begins with 'fc'");
    refuses(said(json!([{"type": "hologram"}])), "Invalid value: 'hologram'");
    refuses(responses(json!({"max_output_tokens": 2})), "Expected a value >= 16");
    refuses(responses(json!({"previous_response_id": "resp_1"})), "not found");
}

#[test]
fn responses_knows_its_own_reasoning() {
    let item = |content: &str| json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": content});
    let answer = json!({"role": "assistant", "content": "x"});
    let said = |input: Value| responses(json!({"input": input}));
    takes(said(json!([item(&sign("openai", "t")), answer])));
    refuses(said(json!([item(&sign("gemini", "t")), answer])), "could not be verified");
    refuses(said(json!([item(&sign("openai", "t"))])), "without its required following item");
}

#[test]
fn claude_takes_what_its_model_takes() {
    takes(claude(json!({"temperature": 0.5})));
    refuses(claude(json!({"temperature": 0.5, "top_p": 0.9})), "cannot both be specified");
    takes(claude(json!({"temperature": 0.5, "top_p": 0.9, "model": "claude-3-7-sonnet"})));
    refuses(claude(json!({"temperature": 0.5, "model": "claude-opus-4-7"})), "not supported");
    refuses(claude(json!({"temperature": 1.5})), "less than or equal to 1");
    refuses(claude(json!({"frequency_penalty": 0})), "frequency_penalty: Extra inputs");
    let body = json!({"model": "m", "temperature": 1, "messages": []});
    refuses(says(Protocol::AnthropicMessages, "2026-10-21", &body), "temperature: Extra inputs");
    let prefill = json!([{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]);
    takes(claude(json!({"messages": prefill})));
    refuses(claude(json!({"messages": prefill, "model": "claude-opus-4-6"})), "prefill");
}

#[test]
fn claude_wants_results_right_after_their_calls() {
    let said = |messages: Value| {
        claude(
            json!({"messages": messages, "tools": [{"name": "f", "input_schema": {"type": "object"}}]}),
        )
    };
    let user = json!({"role": "user", "content": "x"});
    let calls = |id: &str| json!({"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "f", "input": {}}]});
    let result = json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "x"}]});
    takes(said(json!([user, calls("a"), result])));
    refuses(
        said(json!([user, calls("a"), user])),
        "without `tool_result` blocks immediately after: a",
    );
    refuses(said(json!([user, result])), "unexpected `tool_use_id`");
    refuses(said(json!([user, calls("a.b"), result])), "should match pattern");
    refuses(said(json!([user, calls("a"), result, calls("a"), result])), "must be unique");
    refuses(said(json!([calls("a"), result])), "first message must use");
    refuses(
        said(json!([{"role": "user", "content": [{"type": "text", "text": ""}]}])),
        "non-empty",
    );
    refuses(
        said(json!([{"role": "system", "content": "x"}])),
        "Input should be 'user' or 'assistant'",
    );
}

#[test]
fn claude_thinks_with_its_own_thoughts() {
    let thinking = json!({"type": "enabled", "budget_tokens": 1024});
    refuses(
        claude(json!({"thinking": {"type": "enabled", "budget_tokens": 4000}})),
        "must be greater",
    );
    refuses(claude(json!({"thinking": thinking, "temperature": 0.5})), "only be set to 1");
    let thought = |text: &str| json!({"type": "thinking", "thinking": text, "signature": sign("anthropic", "t")});
    let call = json!({"type": "tool_use", "id": "a", "name": "f", "input": {}});
    let said = |content: Value| {
        let result = json!([{"type": "tool_result", "tool_use_id": "a", "content": "x"}]);
        let messages = json!([{"role": "user", "content": "x"},
            {"role": "assistant", "content": content}, {"role": "user", "content": result}]);
        let tools = json!([{"name": "f", "input_schema": {"type": "object"}}]);
        claude(json!({"messages": messages, "tools": tools, "thinking": thinking}))
    };
    takes(said(json!([thought("t"), call])));
    refuses(
        said(json!([call])),
        "Expected `thinking` or `redacted_thinking`, but found `tool_use`",
    );
    refuses(said(json!([thought("u"), call])), "Invalid `signature`");
}

#[test]
fn gemini_knows_its_schema_words() {
    let said = |function: Value| gemini(json!({"tools": [{"functionDeclarations": [function]}]}));
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": false});
    refuses(
        said(json!({"name": "f", "parameters": schema})),
        "Unknown name \"additionalProperties\"",
    );
    takes(said(json!({"name": "f", "parametersJsonSchema": schema})));
    takes(said(json!({"name": "f", "parameters_json_schema": schema})));
    refuses(
        said(json!({"name": "f", "parameters": {"type": ["string", "null"]}})),
        "cannot start list",
    );
    refuses(said(json!({"name": "f", "parameters": {"type": "OBJECT"}})), "should be non-empty");
    refuses(said(json!({"name": "1f"})), "Invalid function name");
    refuses(gemini(json!({"max_tokens": 3})), "Unknown name \"max_tokens\"");
    takes(gemini(json!({"generation_config": {"max_output_tokens": 3}})));
}

#[test]
fn gemini_counts_calls_and_responses_and_knows_its_signatures() {
    let user = json!({"role": "user", "parts": [{"text": "x"}]});
    let calls = |signature: Option<String>| {
        let mut first = json!({"functionCall": {"name": "f", "args": {}}});
        first["thoughtSignature"] = signature.into();
        json!({"role": "model", "parts": [first, {"functionCall": {"name": "g", "args": {}}}]})
    };
    let answer = |name: &str| json!({"functionResponse": {"name": name, "response": {}}});
    let said = |contents: Value| gemini(json!({"contents": contents}));
    let answers = json!({"role": "user", "parts": [answer("f"), answer("g")]});
    let own = || calls(Some(sign("gemini", "t")));
    takes(said(json!([user, own(), answers])));
    takes(said(json!([user, calls(Some("skip_thought_signature_validator".into())), answers])));
    refuses(said(json!([user, calls(None), answers])), "missing a thought_signature");
    takes(said(json!([user, calls(None), answers, user])));
    refuses(said(json!([user, calls(Some(sign("openai", "t"))), answers])), "Corrupted");
    let one = json!({"role": "user", "parts": [answer("f")]});
    refuses(said(json!([user, own(), one])), "number of function response parts");
    let others = json!({"role": "user", "parts": [answer("f"), answer("h")]});
    refuses(said(json!([user, own(), others])), "names and ids");
    refuses(said(json!([user, one])), "immediately after a function call turn");
    refuses(said(json!([{"role": "tool", "parts": [{"text": "x"}]}])), "valid role");
}
