//! The translator of streams by its rules, one small stream each.

#![allow(clippy::unwrap_used, clippy::panic, reason = "it is a test")]
#![allow(clippy::needless_pass_by_value, reason = "values are made where they are used")]

use bytes::BytesMut;
use serde_json::{Value, json};
use tollgate_core::{Caps, Class, Protocol, Refusal};
use tollgate_sse::{Decoder, Framing};
use tollgate_translate::{Exchange, Incoming, Kind, Onto, Outgoing, StreamTranslator, Translator};
use tollgate_wire::Fault;

use Protocol::{AnthropicMessages, Gemini, OpenAiChat, OpenAiResponses};

fn exchange(client: Protocol, upstream: Protocol, body: &Value) -> Exchange {
    let body = body.to_string();
    let incoming = Incoming { model: Some("m"), stream: true, ..Incoming::new(body.as_bytes()) };
    let translator = Translator::new(client, upstream).call(1, "call");
    translator.request(&incoming, &Onto::new("m", &Caps::default())).unwrap().1
}

/// A client that asks for nothing special.
fn plain(client: Protocol, upstream: Protocol) -> StreamTranslator {
    let body = match client {
        Gemini => json!({"contents": [{"parts": [{"text": "Hi"}]}]}),
        OpenAiResponses => json!({"model": "m", "input": "Hi"}),
        _ => {
            json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]})
        }
    };
    exchange(client, upstream, &body).stream().unwrap()
}

/// Feeds events and the end; the client's bytes.
fn run(stream: &mut StreamTranslator, events: &[Value]) -> String {
    let mut out = BytesMut::new();
    for event in events {
        stream.event(event["type"].as_str(), event.to_string().as_bytes(), &mut out);
    }
    stream.end(&mut out);
    String::from_utf8(out.to_vec()).unwrap()
}

fn data(text: &str, framing: Framing) -> Vec<Value> {
    let mut decoder = Decoder::new(framing);
    decoder.push(text.to_owned().into());
    let mut all = Vec::new();
    while let Some(event) = decoder.next().unwrap() {
        all.extend(serde_json::from_slice::<Value>(event.data()).ok());
    }
    all
}

fn delta(delta: Value) -> Value {
    json!({"id": "1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
}

fn finish(reason: &str) -> Value {
    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}

fn call(arguments: &str) -> Value {
    let function = json!({"name": "f", "arguments": arguments});
    delta(
        json!({"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": function}]}),
    )
}

fn sent(kind: Kind, model: &str) -> Result<Outgoing, Refusal> {
    let body = match kind {
        Kind::Embed => r#"{"model":"m","input":"Hi"}"#,
        _ => r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}"#,
    };
    let from = if kind == Kind::Count { AnthropicMessages } else { OpenAiChat };
    let caps = Caps::default();
    let onto = Onto::new(model, &caps);
    let sent =
        Translator::new(from, Gemini).kind(kind).request(&Incoming::new(body.as_bytes()), &onto);
    sent.map(|(outgoing, _)| outgoing)
}

#[test]
fn fault_61_a_models_name_says_nothing_else_of_geminis_path() {
    for (kind, verb) in [
        (Kind::Generate, "generateContent"),
        (Kind::Count, "countTokens"),
        (Kind::Embed, "batchEmbedContents"),
    ] {
        for (model, expected) in [
            ("publishers/google/models/m@1", "publishers/google/models/m@1"),
            ("models/m", "models/m"),
            ("m:countTokens?x=", "m%3AcountTokens%3Fx%3D"),
            ("m:batchEmbedContents#", "m%3AbatchEmbedContents%23"),
            ("m?key=1", "m%3Fkey%3D1"),
            ("m%2e é", "m%252e%20%C3%A9"),
        ] {
            let path = sent(kind, model).unwrap().path;
            assert_eq!(path, format!("/v1beta/models/{expected}:{verb}"));
        }
        for model in ["..", "../x", "m\r\nx: y", "m\0"] {
            let refusal = sent(kind, model).unwrap_err();
            assert_eq!(refusal.class, Class::InvalidRequest);
            assert_eq!(refusal.param.as_deref(), Some("model"), "{model:?}");
        }
    }
}

#[test]
fn an_array_is_closed_behind_its_last_element_also_behind_an_error() {
    let events = [delta(json!({"content": "Hi"})), finish("stop")];
    let mut stream = plain(Gemini, OpenAiChat).framing(Framing::JsonArray);
    let text = run(&mut stream, &events);
    let whole: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(whole[0]["candidates"][0]["content"]["parts"][0]["text"], "Hi");
    assert_eq!(whole[1]["candidates"][0]["finishReason"], "STOP");
    let mut stream = plain(Gemini, OpenAiChat).framing(Framing::JsonArray);
    let text = run(&mut stream, &events[..1]);
    let broken: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(broken[1]["error"]["status"], "INTERNAL");
}

#[test]
fn every_delta_leaves_with_its_event() {
    for client in [OpenAiResponses, AnthropicMessages, Gemini] {
        let mut stream = plain(client, OpenAiChat);
        for word in ["one", "two", "three"] {
            let mut out = BytesMut::new();
            stream.event(None, delta(json!({"content": word})).to_string().as_bytes(), &mut out);
            assert!(String::from_utf8_lossy(&out).contains(word), "{client} {word}");
        }
    }
}

#[test]
fn what_the_request_renamed_is_given_back() {
    let tools = json!([{"functionDeclarations": [{"name": "a.b"}]}]);
    let body = json!({"contents": [{"parts": [{"text": "Hi"}]}], "tools": tools});
    let exchange = exchange(Gemini, AnthropicMessages, &body);
    // The name as it was sent: what the translator made of it stands in the request.
    let body = body.to_string();
    let incoming = Incoming { model: Some("m"), ..Incoming::new(body.as_bytes()) };
    let (sent, _) = Translator::new(Gemini, AnthropicMessages)
        .request(&incoming, &Onto::new("m", &Caps::default()))
        .unwrap();
    let sent: Value = serde_json::from_slice(&sent.body).unwrap();
    let name = sent["tools"][0]["name"].as_str().unwrap();
    assert_ne!(name, "a.b");
    let block = json!({"type": "tool_use", "id": "t", "name": name, "input": {}});
    let text = run(
        &mut exchange.stream().unwrap(),
        &[
            json!({"type": "message_start", "message": {"id": "msg_1", "model": "m"}}),
            json!({"type": "content_block_start", "index": 0, "content_block": block}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}}),
            json!({"type": "message_stop"}),
        ],
    );
    assert!(text.contains(r#""name":"a.b""#) && !text.contains(name), "{text}");
}

#[test]
fn the_text_of_a_free_text_tool_is_unwrapped() {
    let tool = json!({"type": "custom", "custom": {"name": "sh"}});
    let body =
        json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "tools": [tool]});
    let part = json!({"functionCall": {"name": "sh", "args": {"input": "ls \"x\"\n"}}});
    let frame = json!({"candidates": [{"content": {"parts": [part]}, "finishReason": "STOP"}]});
    let text = run(&mut exchange(OpenAiChat, Gemini, &body).stream().unwrap(), &[frame]);
    assert!(text.contains(r#""type":"custom","custom":{"name":"sh","input":""}"#), "{text}");
    assert!(text.contains(r#""custom":{"input":"ls \"x\"\n"}"#), "{text}");
    assert!(text.contains(r#""finish_reason":"tool_calls""#), "{text}");
}

#[test]
fn content_that_comes_with_the_beginning_of_a_message_is_told() {
    let call = json!({"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}});
    let content = json!([{"type": "text", "text": "Hi"}, call]);
    let message =
        json!({"id": "msg_1", "model": "m", "content": content, "stop_reason": "tool_use"});
    let events =
        [json!({"type": "message_start", "message": message}), json!({"type": "message_stop"})];
    let text = run(&mut plain(OpenAiChat, AnthropicMessages), &events);
    for mark in [r#""content":"Hi""#, r#"{\"a\":1}"#, r#""finish_reason":"tool_calls""#] {
        assert!(text.contains(mark), "{mark}: {text}");
    }
}

#[test]
fn an_array_where_a_stream_was_asked_for_is_told_as_one() {
    let element = |text: &str| json!({"candidates": [{"content": {"parts": [{"text": text}]}}]});
    let last = json!({"candidates": [{"finishReason": "STOP"}]});
    let (mut out, mut stream) = (BytesMut::new(), plain(OpenAiChat, Gemini));
    let whole = json!([element("Hel"), element("lo"), last]).to_string();
    stream.answer(whole.as_bytes(), &mut out);
    let text = String::from_utf8(out.to_vec()).unwrap();
    assert!(text.contains(r#""content":"lo""#) && text.ends_with("[DONE]\n\n"), "{text}");
    let (mut out, mut stream) = (BytesMut::new(), plain(OpenAiChat, Gemini));
    stream.answer(&whole.as_bytes()[..whole.len() - 30], &mut out);
    assert_eq!(stream.fault().unwrap().code.as_deref(), Some("upstream_truncated"));
}

#[test]
fn a_whole_answer_is_told_as_a_stream() {
    let answer = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m",
        "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 2}});
    let (mut stream, mut out) = (plain(OpenAiChat, AnthropicMessages), BytesMut::new());
    stream.answer(answer.to_string().as_bytes(), &mut out);
    let text = String::from_utf8_lossy(&out);
    assert!(text.contains(r#""delta":{"content":"Hi"}"#) && text.ends_with("data: [DONE]\n\n"));
    assert!(stream.is_over() && stream.is_committed());
}

#[test]
fn a_rejection_of_our_own_credential_is_not_the_callers() {
    let (mut stream, mut out) =
        (plain(AnthropicMessages, OpenAiChat).hiding_ours(true), BytesMut::new());
    stream.fail(&Fault::new(Class::Auth, "invalid key"), &mut out);
    let text = String::from_utf8_lossy(&out);
    assert!(text.contains("api_error") && !text.contains("invalid key"), "{text}");
    assert_eq!(stream.fault().unwrap().class, Class::Auth);
    assert!(!stream.is_committed());
}

#[test]
fn arguments_nobody_can_read_pass_as_text_and_are_an_error_as_an_object() {
    let events = [delta(json!({"content": "Hi"})), call("{\"a\":nope}"), finish("tool_calls")];
    let text = run(&mut plain(OpenAiResponses, OpenAiChat), &events);
    assert!(text.contains(r#""arguments":"{\"a\":nope}""#) && text.contains("response.completed"));
    let mut stream = plain(AnthropicMessages, OpenAiChat);
    let text = run(&mut stream, &events);
    assert!(text.contains("event: error") && !text.contains("message_stop"), "{text}");
    assert_eq!(stream.fault().unwrap().code.as_deref(), Some("malformed_tool_call"));
    let text = run(&mut plain(Gemini, OpenAiChat), &events);
    assert!(text.contains("MALFORMED_FUNCTION_CALL") && !text.contains("functionCall\""), "{text}");
}

#[test]
fn arguments_that_the_limit_cut_off_end_as_cut_off() {
    let events = [call("{\"a\":"), finish("length")];
    let text = run(&mut plain(AnthropicMessages, OpenAiChat), &events);
    assert!(text.contains(r#""stop_reason":"max_tokens""#) && text.contains("message_stop"));
    let text = run(&mut plain(OpenAiResponses, OpenAiChat), &events);
    let last = data(&text, Framing::Sse).pop().unwrap();
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(last["response"]["output"][0]["status"], "incomplete");
}

#[test]
fn a_malformed_call_alone_is_an_error_and_beside_text_a_stop() {
    let frame = |parts: Value| json!({"candidates": [{"content": {"parts": parts}, "finishReason": "MALFORMED_FUNCTION_CALL"}]});
    for client in [OpenAiChat, OpenAiResponses, AnthropicMessages] {
        let mut stream = plain(client, Gemini);
        run(&mut stream, &[frame(json!([]))]);
        assert_eq!(stream.fault().unwrap().code.as_deref(), Some("malformed_tool_call"));
        let mut stream = plain(client, Gemini);
        run(&mut stream, &[frame(json!([{"text": "Hi"}]))]);
        assert_eq!(stream.fault(), None);
        assert!(!stream.warnings().is_empty());
    }
}

#[test]
fn content_behind_a_finish_is_kept_and_the_last_finish_holds() {
    let late = delta(json!({"content": "late"}));
    let events = [delta(json!({"content": "a"})), finish("stop"), late, finish("length")];
    let text = run(&mut plain(AnthropicMessages, OpenAiChat), &events);
    assert!(text.contains("late") && text.contains("max_tokens"), "{text}");
    assert_eq!(text.matches("event: message_delta").count(), 1);
}

#[test]
fn nothing_is_said_behind_an_ending() {
    let mut stream = plain(AnthropicMessages, OpenAiChat);
    run(&mut stream, &[delta(json!({"content": "a"})), finish("stop")]);
    let mut out = BytesMut::new();
    stream.event(None, delta(json!({"content": "b"})).to_string().as_bytes(), &mut out);
    stream.end(&mut out);
    stream.fail(&Fault::new(Class::Timeout, "late"), &mut out);
    assert!(out.is_empty());
    assert_eq!(stream.fault(), None);
}

#[test]
fn calls_without_ids_and_indices_are_told_apart() {
    let one = |name: &str| {
        let function = json!({"name": name, "arguments": {"x": 1}});
        delta(json!({"tool_calls": [{"function": function}]}))
    };
    let text =
        run(&mut plain(AnthropicMessages, OpenAiChat), &[one("f"), one("g"), finish("stop")]);
    let names: Vec<_> = data(&text, Framing::Sse)
        .into_iter()
        .filter_map(|event| event["content_block"]["name"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(names, ["f", "g"]);
    assert!(text.contains(r#""stop_reason":"tool_use""#));
}

#[test]
fn several_alternatives_keep_their_numbers() {
    let choice = |index: u64, delta: Value, reason: Value| json!({"id": "1", "model": "m", "choices": [{"index": index, "delta": delta, "finish_reason": reason}]});
    let events = [
        choice(0, json!({"content": "a"}), Value::Null),
        choice(1, json!({"content": "b"}), Value::Null),
        choice(1, json!({}), json!("stop")),
        choice(0, json!({}), json!("length")),
    ];
    let body = json!({"contents": [{"parts": [{"text": "Hi"}]}], "generationConfig": {"candidateCount": 2}});
    let exchange = exchange(Gemini, OpenAiChat, &body);
    let text = run(&mut exchange.stream().unwrap(), &events);
    let frames = data(&text, Framing::Sse);
    let said: Vec<_> =
        frames.iter().map(|frame| frame["candidates"][0]["index"].as_u64()).collect();
    assert_eq!(said, [Some(0), Some(1), Some(0), Some(1)]);
    // One that never finished is no end.
    let mut stream = exchange.stream().unwrap();
    run(&mut stream, &events[..3]);
    assert_eq!(stream.fault().unwrap().code.as_deref(), Some("upstream_truncated"));
}

#[test]
fn a_late_signature_of_a_text_follows_it() {
    let part =
        |part: Value| json!({"responseId": "r", "candidates": [{"content": {"parts": [part]}}]});
    let last = json!({"candidates": [{"content": {"parts": [{"text": "", "thoughtSignature": "c2ln"}]}, "finishReason": "STOP"}]});
    let events = [part(json!({"text": "Hi"})), last];
    let text = run(&mut plain(OpenAiChat, Gemini), &events);
    assert!(text.contains(r#""extra_content":{"google":{"thought_signature":"c2ln"}}"#), "{text}");
    let text = run(&mut plain(AnthropicMessages, Gemini), &events);
    let blocks: Vec<_> = data(&text, Framing::Sse)
        .into_iter()
        .filter_map(|event| event["content_block"]["type"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(blocks, ["text"], "clients take the last block for the answer");
}

#[test]
fn citations_count_characters_and_stand_before_the_finish() {
    let grounding = json!({"groundingChunks": [{"web": {"uri": "https://x.org", "title": "X"}}],
        "groundingSupports": [{"segment": {"startIndex": 0, "endIndex": 6, "text": "漢字"}, "groundingChunkIndices": [0]}]});
    let frame = json!({"candidates": [{"content": {"parts": [{"text": "漢字."}]}, "groundingMetadata": grounding, "finishReason": "STOP"}]});
    let text = run(&mut plain(OpenAiChat, Gemini), std::slice::from_ref(&frame));
    let chunks = data(&text, Framing::Sse);
    let at = chunks.len() - 2;
    let cited = &chunks[at]["choices"][0]["delta"]["annotations"][0]["url_citation"];
    assert_eq!((cited["start_index"].as_u64(), cited["end_index"].as_u64()), (Some(0), Some(2)));
    let text = run(&mut plain(OpenAiResponses, Gemini), &[frame]);
    assert!(text.contains("response.output_text.annotation.added"), "{text}");
}

#[test]
fn reasoning_told_twice_in_a_chunk_is_told_once() {
    let detail = json!([{"type": "reasoning.text", "text": "hm", "format": "anthropic-claude-v1", "index": 0}]);
    let signed = json!([{"type": "reasoning.text", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0}]);
    let events = [
        delta(json!({"reasoning": "hm", "reasoning_details": detail})),
        delta(json!({"reasoning_details": signed})),
        delta(json!({"content": "Hi"})),
        finish("stop"),
    ];
    let body = json!({"model": "m", "max_tokens": 9000, "thinking": {"type": "enabled", "budget_tokens": 4000},
        "messages": [{"role": "user", "content": "Hi"}]});
    let text = run(&mut exchange(AnthropicMessages, OpenAiChat, &body).stream().unwrap(), &events);
    let thought: String = data(&text, Framing::Sse)
        .iter()
        .filter_map(|event| event["delta"]["thinking"].as_str())
        .collect();
    assert_eq!(thought, "hm");
    assert!(text.contains(r#""signature_delta","signature":"c2ln""#), "{text}");
}
