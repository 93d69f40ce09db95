//! What reading usage costs: per event that tells none, per event that does, per whole answer.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tollgate_core::Protocol;
use tollgate_wire::{
    Event,
    usage::{Forwarded, Profile, Reader},
};

fn event(data: &str) -> Event<'_> {
    Event { name: None, data: data.as_bytes() }
}

/// An event as hundreds come, and one that tells usage.
fn samples(protocol: Protocol) -> (&'static str, &'static str) {
    match protocol {
        Protocol::OpenAiResponses => (
            r#"{"type":"response.output_text.delta","sequence_number":5,"item_id":"msg_1","output_index":0,"content_index":0,"delta":" word","logprobs":[],"obfuscation":"abcdefgh"}"#,
            r#"{"type":"response.completed","sequence_number":9,"response":{"id":"resp_1","object":"response","model":"gpt-5-mini","output":[{"type":"message","content":[{"type":"output_text","text":"word"}]}],"service_tier":"default","usage":{"input_tokens":90,"input_tokens_details":{"cached_tokens":0},"output_tokens":12,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":102}}}"#,
        ),
        Protocol::AnthropicMessages => (
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" word"}}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"input_tokens":90,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":12}}"#,
        ),
        Protocol::Gemini => (
            r#"{"candidates":[{"content":{"parts":[{"text":" word"}],"role":"model"},"index":0}],"modelVersion":"gemini-2.5-flash","responseId":"r1"}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":" word"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":7,"totalTokenCount":16,"promptTokensDetails":[{"modality":"TEXT","tokenCount":9}]},"modelVersion":"gemini-2.5-flash","responseId":"r1"}"#,
        ),
        _ => (
            r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1763000000,"model":"gpt-5-mini","service_tier":"default","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"abcdefgh"}"#,
            r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1763000000,"model":"gpt-5-mini","service_tier":"default","choices":[],"usage":{"prompt_tokens":90,"completion_tokens":12,"total_tokens":102,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}"#,
        ),
    }
}

fn events(criterion: &mut Criterion) {
    for protocol in Protocol::ALL {
        let (without, with) = samples(protocol);
        let mut group = criterion.benchmark_group(format!("usage/{protocol}"));
        let mut reader = Reader::new(Profile::of(protocol, "openai"));
        group.bench_function("event_without", |bencher| {
            bencher.iter(|| reader.event(event(black_box(without))));
        });
        group.bench_function("event_with", |bencher| {
            bencher.iter(|| reader.event(event(black_box(with))));
        });
        group.bench_function("finish", |bencher| {
            bencher.iter(|| black_box(&reader).so_far(true));
        });
        let mut forwarded = Forwarded::new(protocol);
        group.bench_function("forwarded", |bencher| {
            bencher.iter(|| forwarded.event(event(black_box(without))));
        });
        group.finish();
    }
}

/// A chat answer of 8 KB.
fn answers(criterion: &mut Criterion) {
    let prose = "What passes below is none of the keeper's business. ".repeat(150);
    let answer = format!(
        r#"{{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-5-mini","choices":[{{"index":0,"message":{{"role":"assistant","content":"{prose}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":90,"completion_tokens":1500,"total_tokens":1590}}}}"#
    );
    criterion.bench_function("usage/answer_8_kb", |bencher| {
        bencher.iter(|| {
            let mut reader = Reader::new(Profile::of(Protocol::OpenAiChat, "openai"));
            reader.answer(black_box(answer.as_bytes()));
            reader.finish(true)
        });
    });
}

criterion_group!(benches, events, answers);
criterion_main!(benches);
