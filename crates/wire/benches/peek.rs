//! What reading a request costs by its size, and what an event costs by its protocol.
#![allow(missing_docs)]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use http::Request;
use tollgate_core::{Body, Call, CallFacts, CallId, Frames, Needs, Operation, Protocol, Target};
use tollgate_wire::{Event, aim, dialect, peek::peek};

/// What a connection hands over at once, as it has grown on a large body.
const FRAME: usize = 64 << 10;

const PROSE: &str = "The keeper says \\\"pay first\\\", writes the sum into the book, and lifts the \
    bar; what passes below is none of the keeper's business, and is neither opened nor weighed.\\n";

/// As the Python SDK writes it: `model` comes last.
fn conversation(bytes: usize, turns: usize) -> String {
    let prose = PROSE.repeat((bytes / turns / PROSE.len()).max(1));
    let turn = |n: usize| {
        let role = if n.is_multiple_of(2) { "user" } else { "assistant" };
        format!(r#"{{"role":"{role}","content":"{prose}"}}"#)
    };
    let messages: Vec<_> = (0..turns).map(turn).collect();
    format!(r#"{{"messages":[{}],"model":"openai/gpt-5-mini","stream":true}}"#, messages.join(","))
}

fn image(bytes: usize) -> String {
    let data = "iVBORw0KGgo9".repeat(bytes / 12);
    format!(
        r#"{{"messages":[{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{data}"}}}}]}}],"model":"openai/gpt-5-mini"}}"#
    )
}

fn framed(body: String) -> Frames {
    let body = Bytes::from(body);
    let frame = |at: usize| body.slice(at..body.len().min(at + FRAME));
    Frames::new((0..body.len()).step_by(FRAME).map(frame).collect())
}

fn bodies() -> [(&'static str, Frames); 4] {
    [
        ("1_kb", framed(conversation(1 << 10, 2))),
        ("8_kb", framed(conversation(8 << 10, 8))),
        ("200_kb", framed(conversation(200 << 10, 162))),
        ("2_mb_image", framed(image(2 << 20))),
    ]
}

fn peeks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("peek");
    for (name, body) in bodies() {
        group.throughput(Throughput::Bytes(body.len() as u64));
        let chat = dialect(Protocol::OpenAiChat);
        group.bench_with_input(BenchmarkId::from_parameter(name), &body, |bencher, body| {
            bencher.iter(|| peek(chat, black_box(body)));
        });
    }
    group.finish();
}

fn call() -> Call {
    let facts = CallFacts {
        id: CallId::random(),
        protocol: Protocol::OpenAiChat,
        operation: Operation::Generate,
        model: Some("openai/gpt-5-mini".into()),
        stream: true,
        json_array: false,
        output_limit: None,
        candidates: 1,
        stream_usage: false,
        asks_cost: false,
        user: None,
        service_tier: None,
        needs: Needs::default(),
    };
    facts.into()
}

/// Sets another model in a request nobody has inspected: a scan and a splice.
fn aims(criterion: &mut Criterion) {
    let base = "https://api.openai.com/v1".parse().expect("a URL");
    let target = Target::new("openai", Protocol::OpenAiChat, "gpt-5-mini", base);
    let call = call();
    let mut group = criterion.benchmark_group("aim");
    for (name, body) in bodies() {
        group.throughput(Throughput::Bytes(body.len() as u64));
        let request = || {
            let builder = Request::post("/v1/chat/completions").extension(call.clone());
            builder.body(Body::from(body.clone())).expect("a request")
        };
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(request, |r| aim(r, &target), BatchSize::SmallInput);
        });
    }
    group.finish();
}

/// A first event with content, and one as hundreds follow.
fn deltas(protocol: Protocol) -> [Event<'static>; 2] {
    let (first, next): ((_, &[u8]), (_, &[u8])) = match protocol {
        Protocol::OpenAiResponses => (
            (Some("response.created"), br#"{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","created_at":1763000000,"status":"in_progress","model":"gpt-5-mini","output":[]}}"#),
            (Some("response.output_text.delta"), br#"{"type":"response.output_text.delta","sequence_number":5,"item_id":"msg_1","output_index":0,"content_index":0,"delta":" word","logprobs":[],"obfuscation":"abcdefgh"}"#),
        ),
        Protocol::AnthropicMessages => (
            (Some("message_start"), br#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-haiku-4-5","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":1}}}"#),
            (Some("content_block_delta"), br#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" word"}}"#),
        ),
        Protocol::Gemini => (
            (None, br#"{"candidates":[{"content":{"parts":[{"text":"A"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":9,"totalTokenCount":9},"modelVersion":"gemini-2.5-flash","responseId":"r1"}"#),
            (None, br#"{"candidates":[{"content":{"parts":[{"text":" word"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":7,"totalTokenCount":16},"modelVersion":"gemini-2.5-flash","responseId":"r1"}"#),
        ),
        _ => (
            (None, br#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1763000000,"model":"gpt-5-mini","choices":[{"index":0,"delta":{"role":"assistant","content":"A"},"finish_reason":null}]}"#),
            (None, br#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1763000000,"model":"gpt-5-mini","service_tier":"default","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}],"obfuscation":"abcdefgh"}"#),
        ),
    };
    [first, next].map(|(name, data)| Event { name, data })
}

/// An event after the stream is committed.
fn events(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("event");
    for protocol in Protocol::ALL {
        let call = Call::new(protocol, Operation::Generate);
        let [first, next] = deltas(protocol);
        let mut automaton = dialect(protocol).automaton(&call);
        automaton.event(first);
        automaton.event(next);
        group.bench_function(protocol.as_str(), |bencher| {
            bencher.iter(|| automaton.event(black_box(next)));
        });
    }
    group.finish();
}

criterion_group!(benches, peeks, aims, events);
criterion_main!(benches);
