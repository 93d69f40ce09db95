//! A tool loop of two turns through a client of each protocol: what the upstream signed comes back
//! to it as it was, and never reaches another.

#![allow(clippy::unwrap_used, clippy::panic, reason = "it is a test")]

use serde_json::{Value, json};
use tollgate_core::{Caps, Protocol};
use tollgate_translate::{Asked, Incoming, Onto, Report, codec};

/// What an upstream answers: it thinks, signs, speaks and calls a tool.
fn answer(upstream: Protocol) -> Value {
    match upstream {
        Protocol::AnthropicMessages => json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "c",
            "content": [
                {"type": "thinking", "thinking": "let me see", "signature": "c2lnLTE="},
                {"type": "redacted_thinking", "data": "cmVkLTE="},
                {"type": "text", "text": "Looking."},
                {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}}
            ],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": {"input_tokens": 1, "output_tokens": 1}
        }),
        Protocol::OpenAiResponses => json!({
            "id": "resp_1", "object": "response", "created_at": 1, "status": "completed",
            "model": "g", "error": null, "incomplete_details": null,
            "output": [
                {"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAA-1",
                 "summary": [{"type": "summary_text", "text": "let me see"}]},
                {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                 "content": [{"type": "output_text", "text": "Looking.", "annotations": []}]},
                {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f",
                 "arguments": "{\"a\":1}", "status": "completed"}
            ]
        }),
        _ => json!({
            "candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model",
                "parts": [
                    {"text": "let me see", "thought": true},
                    {"text": "Looking.", "thoughtSignature": "dGV4dC1zaWc="},
                    {"functionCall": {"name": "f", "args": {"a": 1}},
                     "thoughtSignature": "Y2FsbC1zaWc="}
                ]}}],
            "modelVersion": "gem", "responseId": "r1"
        }),
    }
}

/// The signatures an upstream must get back, in order.
fn signed(upstream: Protocol) -> &'static [&'static str] {
    match upstream {
        Protocol::AnthropicMessages => &["c2lnLTE=", "cmVkLTE="],
        Protocol::OpenAiResponses => &["gAAA-1"],
        _ => &["dGV4dC1zaWc=", "Y2FsbC1zaWc="],
    }
}

/// What a client shows of an upstream's answer.
fn shown(upstream: Protocol, client: Protocol) -> Value {
    let asked = Asked {
        reasoning: true,
        legacy_functions: false,
        stream_usage: false,
        candidates: 1,
        now: 1,
        id: "x".to_owned(),
        echo: Vec::new(),
    };
    let body = answer(upstream).to_string();
    let answer = codec(upstream).decode_answer(body.as_bytes(), "seed").unwrap();
    let mut report = Report::new(codec(upstream));
    let shown = codec(client).encode_answer(&answer, &asked, &mut report).unwrap();
    serde_json::from_slice(&shown).unwrap()
}

/// The client's next request: it sends the answer back as it came, with the tool's result.
fn next(client: Protocol, shown: &Value) -> Value {
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
    match client {
        Protocol::OpenAiChat => {
            let message = &shown["choices"][0]["message"];
            let id = &message["tool_calls"][0]["id"];
            json!({"model": "m", "messages": [{"role": "user", "content": "q"}, message,
                {"role": "tool", "tool_call_id": id, "content": "ok"}],
                "tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]})
        }
        Protocol::OpenAiResponses => {
            let output = shown["output"].as_array().unwrap();
            let call = output.iter().find(|item| item["type"] == "function_call").unwrap();
            let mut input = vec![json!({"role": "user", "content": "q"})];
            input.extend(output.iter().cloned());
            input.push(json!({"type": "function_call_output", "call_id": call["call_id"],
                "output": "ok"}));
            json!({"model": "m", "input": input, "tools": [{"type": "function", "name": "f",
                "parameters": schema, "strict": false}]})
        }
        Protocol::AnthropicMessages => {
            let content = shown["content"].as_array().unwrap();
            let call = content.iter().find(|block| block["type"] == "tool_use").unwrap();
            json!({"model": "m", "max_tokens": 9000, "messages": [
                {"role": "user", "content": "q"}, {"role": "assistant", "content": content},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call["id"],
                    "content": "ok"}]}],
                "tools": [{"name": "f", "input_schema": schema}]})
        }
        _ => {
            let content = &shown["candidates"][0]["content"];
            let parts = content["parts"].as_array().unwrap();
            let call = parts.iter().find(|part| part.get("functionCall").is_some()).unwrap();
            let response = json!({"functionResponse": {"id": call["functionCall"]["id"],
                "name": "f", "response": {"output": "ok"}}});
            json!({"contents": [{"role": "user", "parts": [{"text": "q"}]}, content,
                {"role": "user", "parts": [response]}],
                "tools": [{"functionDeclarations": [{"name": "f",
                    "parametersJsonSchema": schema}]}]})
        }
    }
}

fn sent(client: Protocol, request: &Value, upstream: Protocol) -> String {
    let body = request.to_string();
    let incoming = Incoming { model: Some("m"), ..Incoming::new(body.as_bytes()) };
    let conversation = codec(client).decode_request(&incoming).unwrap();
    let caps = Caps::default();
    let mut report = Report::new(codec(client));
    let sent = codec(upstream).encode_request(&conversation, &Onto::new("m", &caps), &mut report);
    String::from_utf8(sent.unwrap().body).unwrap()
}

const SIGNING: [Protocol; 3] =
    [Protocol::AnthropicMessages, Protocol::OpenAiResponses, Protocol::Gemini];

#[test]
fn what_an_upstream_signed_comes_back_to_it_in_order() {
    for upstream in SIGNING {
        for client in Protocol::ALL {
            let request = next(client, &shown(upstream, client));
            let body = sent(client, &request, upstream);
            let mut rest = body.as_str();
            for signature in signed(upstream) {
                let quoted = format!("\"{signature}\"");
                let found = rest.find(&quoted);
                let at = found.unwrap_or_else(|| {
                    panic!("{signature} of {upstream} is lost through {client}: {body}")
                });
                rest = &rest[at + quoted.len()..];
            }
            assert!(!body.contains("VEdTM"), "an envelope reaches {upstream}: {body}");
        }
    }
}

#[test]
fn what_an_upstream_signed_reaches_no_other() {
    for upstream in SIGNING {
        for client in Protocol::ALL {
            let request = next(client, &shown(upstream, client));
            // OpenAI's two protocols are one provider's.
            let others = SIGNING.into_iter().filter(|other| *other != upstream && *other != client);
            for other in others {
                let body = sent(client, &request, other);
                for signature in signed(upstream) {
                    let quoted = format!("\"{signature}\"");
                    assert!(!body.contains(&quoted), "{upstream} to {other} by {client}: {body}");
                }
                assert!(!body.contains("let me see"), "{upstream} to {other} by {client}: {body}");
                assert!(!body.contains("VEdTM"), "{upstream} to {other} by {client}: {body}");
                assert!(body.contains("Looking."), "{upstream} to {other} by {client}: {body}");
            }
        }
    }
}
