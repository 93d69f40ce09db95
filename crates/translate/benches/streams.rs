//! One event of one protocol made into one of another, beside `serde_json::Value` parsing and
//! printing the same bytes.

#![allow(missing_docs, clippy::unwrap_used, reason = "it is a benchmark")]

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::Value;
use tollgate_core::{Caps, Protocol};
use tollgate_translate::{Incoming, Onto, StreamTranslator, Translator};

/// An event's name and data.
type Event = (Option<&'static str>, &'static str);

/// What begins a stream, and the event it is then made of.
fn script(protocol: Protocol) -> (&'static [Event], Event) {
    match protocol {
        Protocol::OpenAiResponses => (
            &[
                (
                    Some("response.created"),
                    r#"{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","created_at":1,"model":"m","status":"in_progress","output":[]}}"#,
                ),
                (
                    Some("response.output_item.added"),
                    r#"{"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":{"id":"msg_1","type":"message","status":"in_progress","role":"assistant","content":[]}}"#,
                ),
            ],
            (
                Some("response.output_text.delta"),
                r#"{"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_68a0c5f3b1e4","output_index":0,"content_index":0,"delta":" brown fox","logprobs":[],"obfuscation":"x8dk2"}"#,
            ),
        ),
        Protocol::AnthropicMessages => (
            &[
                (
                    Some("message_start"),
                    r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":1}}}"#,
                ),
                (
                    Some("content_block_start"),
                    r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
                ),
            ],
            (
                Some("content_block_delta"),
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" brown fox"}}"#,
            ),
        ),
        Protocol::Gemini => (
            &[],
            (
                None,
                r#"{"candidates":[{"content":{"parts":[{"text":" brown fox"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":3,"totalTokenCount":8},"modelVersion":"gemini-2.5-flash","responseId":"abcdef"}"#,
            ),
        ),
        _ => (
            &[(
                None,
                r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
            )],
            (
                None,
                r#"{"id":"chatcmpl-CQxG5sWXhB","object":"chat.completion.chunk","created":1700000000,"model":"gpt-5-mini","service_tier":"default","system_fingerprint":"fp_1","choices":[{"index":0,"delta":{"content":" brown fox"},"logprobs":null,"finish_reason":null}],"usage":null}"#,
            ),
        ),
    }
}

fn translator(from: Protocol, to: Protocol) -> StreamTranslator {
    let body = match from {
        Protocol::Gemini => r#"{"contents":[{"parts":[{"text":"Hi"}]}]}"#,
        Protocol::OpenAiResponses => r#"{"model":"m","input":"Hi"}"#,
        _ => r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}"#,
    };
    let incoming = Incoming { model: Some("m"), stream: true, ..Incoming::new(body.as_bytes()) };
    let onto = Onto { model: "m", caps: &Caps::default(), scope: [0; 8], family: "" };
    let (_, exchange) = Translator::new(from, to).request(&incoming, &onto).unwrap();
    exchange.stream().unwrap()
}

/// A stream that has begun.
fn begun(client: Protocol, upstream: Protocol) -> (StreamTranslator, BytesMut) {
    let mut out = BytesMut::with_capacity(1 << 16);
    let mut stream = translator(client, upstream);
    for (name, data) in script(upstream).0 {
        stream.event(*name, data.as_bytes(), &mut out);
    }
    let (name, data) = script(upstream).1;
    stream.event(name, data.as_bytes(), &mut out);
    assert!(stream.is_committed() && stream.fault().is_none());
    (stream, out)
}

fn events(c: &mut Criterion) {
    for upstream in Protocol::ALL {
        let (name, data) = script(upstream).1;
        let data = data.as_bytes();
        let mut group = c.benchmark_group(format!("event from {upstream}"));
        group.throughput(Throughput::Bytes(data.len() as u64));
        group.bench_function("value", |b| {
            b.iter(|| serde_json::from_slice::<Value>(black_box(data)).unwrap().to_string());
        });
        for client in Protocol::ALL.into_iter().filter(|client| *client != upstream) {
            let (mut stream, mut out) = begun(client, upstream);
            let mut fed = 0;
            group.bench_function(client.as_str(), |b| {
                b.iter(|| {
                    fed += 1;
                    // What Responses repeats at its end is bounded: begin again before that.
                    if fed % 100_000 == 0 {
                        (stream, out) = begun(client, upstream);
                    }
                    out.clear();
                    stream.event(name, black_box(data), &mut out);
                    out.len()
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, events);
criterion_main!(benches);
