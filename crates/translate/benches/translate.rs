//! Decoding one protocol's body and encoding another's, beside `serde_json::Value` parsing and
//! printing the same bytes.

#![allow(missing_docs, clippy::unwrap_used, reason = "it is a benchmark")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Value, json};
use tollgate_core::{Caps, Protocol};
use tollgate_translate::{Asked, Incoming, Onto, Report, codec};

/// A Chat request of about so many turns, each with a tool call.
fn chat(turns: usize) -> Vec<u8> {
    let words = "The quick brown fox jumps over the lazy dog. ".repeat(8);
    let schema = json!({"type": "object", "properties": {"city": {"type": "string",
        "description": "The city to look at"}, "days": {"type": "integer"}}, "required": ["city"]});
    let tool = |name: &str| {
        json!({"type": "function", "function": {"name": name, "description": "Looks it up",
            "parameters": schema}})
    };
    let mut messages = vec![json!({"role": "system", "content": words})];
    for turn in 0..turns {
        let id = format!("call_{turn}");
        let call = json!({"id": id, "type": "function", "function": {"name": "weather",
            "arguments": "{\"city\":\"Paris\",\"days\":3}"}});
        messages.push(json!({"role": "user", "content": words}));
        messages.push(json!({"role": "assistant", "content": null, "tool_calls": [call]}));
        messages.push(json!({"role": "tool", "tool_call_id": id, "content": words}));
        messages.push(json!({"role": "assistant", "content": words}));
    }
    messages.push(json!({"role": "user", "content": "And tomorrow?"}));
    let body = json!({"model": "m", "max_completion_tokens": 1000, "temperature": 0.5,
        "messages": messages, "tools": [tool("weather"), tool("news")]});
    body.to_string().into_bytes()
}

/// The same request in another protocol.
fn in_protocol(chat: &[u8], to: Protocol) -> Vec<u8> {
    translate(chat, Protocol::OpenAiChat, to)
}

fn translate(body: &[u8], from: Protocol, to: Protocol) -> Vec<u8> {
    let caps = Caps::default();
    let incoming = Incoming { model: Some("m"), ..Incoming::new(body) };
    let conversation = codec(from).decode_request(&incoming).unwrap();
    let mut report = Report::new(codec(from));
    codec(to).encode_request(&conversation, &Onto::new("m", &caps), &mut report).unwrap().body
}

fn value(body: &[u8]) -> Vec<u8> {
    serde_json::from_slice::<Value>(body).unwrap().to_string().into_bytes()
}

fn requests(c: &mut Criterion) {
    for (size, turns) in [("2 KB", 1), ("200 KB", 150)] {
        let chat = chat(turns);
        for from in Protocol::ALL {
            let body = in_protocol(&chat, from);
            let mut group = c.benchmark_group(format!("request {size} from {from}"));
            group.throughput(Throughput::Bytes(body.len() as u64));
            group.bench_function("value", |b| b.iter(|| value(black_box(&body))));
            for to in Protocol::ALL.into_iter().filter(|to| *to != from) {
                group.bench_function(to.as_str(), |b| {
                    b.iter(|| translate(black_box(&body), from, to));
                });
            }
            group.finish();
        }
    }
}

fn answer(body: &[u8], from: Protocol, to: Protocol) -> Vec<u8> {
    let asked = Asked {
        reasoning: true,
        legacy_functions: false,
        stream_usage: false,
        candidates: 1,
        now: 0,
        id: "1".to_owned(),
        echo: Vec::new(),
    };
    let answer = codec(from).decode_answer(body, "seed").unwrap();
    let mut report = Report::new(codec(from));
    codec(to).encode_answer(&answer, &asked, &mut report).unwrap()
}

fn answers(c: &mut Criterion) {
    let words = "The quick brown fox jumps over the lazy dog. ".repeat(20);
    let chat = json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": words,
            "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "weather",
                "arguments": "{\"city\":\"Paris\"}"}}]},
            "finish_reason": "tool_calls", "logprobs": null}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}});
    let chat = chat.to_string().into_bytes();
    for from in Protocol::ALL {
        let body = answer(&chat, Protocol::OpenAiChat, from);
        let mut group = c.benchmark_group(format!("answer from {from}"));
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function("value", |b| b.iter(|| value(black_box(&body))));
        for to in Protocol::ALL.into_iter().filter(|to| *to != from) {
            group.bench_function(to.as_str(), |b| {
                b.iter(|| answer(black_box(&body), from, to));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, requests, answers);
criterion_main!(benches);
