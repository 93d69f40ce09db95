//! Usage written as each provider writes it, and read back.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use tollgate_core::{Frames, InTokens, OutTokens, Protocol, Quality, Ttl, Usage};
use tollgate_wire::{
    Event,
    usage::{Forwarded, Profile, Reader, Sent, ask, is_extra_usage_chunk, with_cost},
};

const MANY: u64 = 1 << 30;

/// Disjoint counts from which every provider's object can be written.
#[derive(Clone, Debug)]
struct Parts {
    text: u64,
    audio: u64,
    read: u64,
    read_audio: u64,
    short: u64,
    long: u64,
    tool_in: u64,
    out: u64,
    out_audio: u64,
    reasoning: u64,
}

impl Parts {
    fn input(&self) -> u64 {
        self.text + self.audio
    }

    fn written(&self) -> u64 {
        self.short + self.long
    }

    /// With what it read from a cache that tells no modality and what it wrote.
    fn prompt(&self) -> u64 {
        self.input() + self.read + self.written()
    }

    fn visible(&self) -> u64 {
        self.out + self.out_audio
    }
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 1..100_u64, 0..MANY]
}

fn parts() -> impl Strategy<Value = Parts> {
    let prompt = (count(), count(), count(), count(), count(), count(), count());
    (prompt, count(), count(), count()).prop_map(
        |((text, audio, read, read_audio, short, long, tool_in), out, out_audio, reasoning)| {
            Parts { text, audio, read, read_audio, short, long, tool_in, out, out_audio, reasoning }
        },
    )
}

fn event(reader: &mut Reader, data: &Value) {
    reader.event(Event { name: None, data: data.to_string().as_bytes() });
}

fn of(protocol: Protocol, provider: &str, answer: &Value) -> Usage {
    let mut reader = Reader::new(Profile::of(protocol, provider));
    reader.answer(answer.to_string().as_bytes());
    reader.finish(true)
}

fn converse(answer: &Value) -> Usage {
    let mut reader = Reader::new(Profile::converse());
    reader.answer(answer.to_string().as_bytes());
    reader.finish(true)
}

// ---- the providers' objects ---------------------------------------------------------------------

fn chat_usage(p: &Parts) -> Value {
    json!({
        "prompt_tokens": p.prompt(),
        "completion_tokens": p.visible() + p.reasoning,
        "total_tokens": p.prompt() + p.visible() + p.reasoning,
        "prompt_tokens_details": {
            "cached_tokens": p.read, "audio_tokens": p.audio, "cache_write_tokens": p.written(),
        },
        "completion_tokens_details": {
            "reasoning_tokens": p.reasoning, "audio_tokens": p.out_audio,
        },
    })
}

fn responses_usage(p: &Parts) -> Value {
    json!({
        "input_tokens": p.prompt(),
        "input_tokens_details": {
            "cached_tokens": p.read, "audio_tokens": p.audio, "cache_write_tokens": p.written(),
            "cache_write_tokens_details": { "ttl_30m_tokens": p.short, "ttl_12h_tokens": p.long },
        },
        "output_tokens": p.visible() + p.reasoning,
        "output_tokens_details": {
            "reasoning_tokens": p.reasoning, "audio_tokens": p.out_audio,
        },
        "total_tokens": p.prompt() + p.visible() + p.reasoning,
    })
}

fn messages_usage(p: &Parts) -> Value {
    json!({
        "input_tokens": p.text,
        "cache_read_input_tokens": p.read,
        "cache_creation_input_tokens": p.written(),
        "cache_creation": {
            "ephemeral_5m_input_tokens": p.short, "ephemeral_1h_input_tokens": p.long,
        },
        "output_tokens": p.out + p.reasoning,
        "output_tokens_details": { "thinking_tokens": p.reasoning },
        "service_tier": "standard",
    })
}

fn gemini_usage(p: &Parts) -> Value {
    let (cached, prompt) = (p.read + p.read_audio, p.input() + p.read + p.read_audio);
    let by = |text: u64, audio: u64| json!([{ "modality": "TEXT", "tokenCount": text }, { "modality": "AUDIO", "tokenCount": audio }]);
    json!({
        "promptTokenCount": prompt,
        "cachedContentTokenCount": cached,
        "candidatesTokenCount": p.visible(),
        "thoughtsTokenCount": p.reasoning,
        "toolUsePromptTokenCount": p.tool_in,
        "totalTokenCount": prompt + p.tool_in + p.visible() + p.reasoning,
        "promptTokensDetails": by(p.text + p.read, p.audio + p.read_audio),
        "cacheTokensDetails": by(p.read, p.read_audio),
        "candidatesTokensDetails": by(p.out, p.out_audio),
    })
}

fn converse_usage(p: &Parts) -> Value {
    json!({
        "inputTokens": p.text,
        "outputTokens": p.out,
        "totalTokens": p.text + p.out + p.read + p.written(),
        "cacheReadInputTokens": p.read,
        "cacheWriteInputTokens": p.written(),
        "cacheDetails": [
            { "ttl": "5m", "inputTokens": p.short }, { "ttl": "1h", "inputTokens": p.long },
        ],
    })
}

/// The parts, as a usage has them.
fn prompt_parts(usage: &Usage) -> (InTokens, InTokens, Vec<(Ttl, u64)>) {
    let write = usage.write.iter().map(|(ttl, tokens)| (*ttl, tokens.total())).collect();
    (usage.prompt, usage.read, write)
}

fn text(count: u64) -> InTokens {
    InTokens { text: Some(count), ..InTokens::default() }
}

fn with_audio(text: u64, audio: u64) -> InTokens {
    InTokens { text: Some(text), audio: Some(audio), ..InTokens::default() }
}

fn output(text: u64, audio: Option<u64>) -> OutTokens {
    OutTokens { text: Some(text), audio, ..OutTokens::default() }
}

proptest! {
    /// I1, I2, I3.
    #[test]
    fn chat_counts_come_apart_and_together_again(p in parts()) {
        let usage = of(Protocol::OpenAiChat, "openai", &json!({ "usage": chat_usage(&p) }));
        prop_assert_eq!(usage.quality, Quality::Exact);
        let expected =
            (with_audio(p.text, p.audio), text(p.read), vec![(Ttl::Unknown, p.written())]);
        prop_assert_eq!(prompt_parts(&usage), expected);
        prop_assert_eq!(usage.output, output(p.out, Some(p.out_audio)));
        prop_assert_eq!(usage.reasoning, Some(p.reasoning));
        prop_assert_eq!(usage.prompt_total(), p.prompt());
        prop_assert_eq!(usage.output_total(), p.visible() + p.reasoning);
        let total = usage.prompt_total() + usage.output_total();
        prop_assert_eq!(usage.reported.total_tokens, Some(total));
    }

    /// I1, I2, I3.
    #[test]
    fn responses_counts_come_apart_and_together_again(p in parts()) {
        let answer = json!({ "object": "response", "usage": responses_usage(&p) });
        let usage = of(Protocol::OpenAiResponses, "openai", &answer);
        prop_assert_eq!(usage.quality, Quality::Exact);
        let write = vec![(Ttl::M30, p.short), (Ttl::H12, p.long)];
        prop_assert_eq!(
            prompt_parts(&usage), (with_audio(p.text, p.audio), text(p.read), write)
        );
        prop_assert_eq!(usage.output, output(p.out, Some(p.out_audio)));
        prop_assert_eq!(usage.reasoning, Some(p.reasoning));
        prop_assert_eq!(
            usage.reported.total_tokens, Some(usage.prompt_total() + usage.output_total())
        );
    }

    /// I1, I2, I4.
    #[test]
    fn messages_counts_stand_beside_each_other(p in parts()) {
        let answer = json!({ "type": "message", "usage": messages_usage(&p) });
        let usage = of(Protocol::AnthropicMessages, "anthropic", &answer);
        prop_assert_eq!(usage.quality, Quality::Exact);
        let write = vec![(Ttl::M5, p.short), (Ttl::H1, p.long)];
        prop_assert_eq!(prompt_parts(&usage), (text(p.text), text(p.read), write));
        prop_assert_eq!(usage.prompt_total(), p.text + p.read + p.written());
        prop_assert_eq!((usage.output, usage.reasoning), (output(p.out, None), Some(p.reasoning)));
        prop_assert_eq!(usage.output_total(), p.out + p.reasoning);
    }

    /// I1, I2, I5.
    #[test]
    fn gemini_counts_come_apart_by_modality(p in parts()) {
        let usage = of(Protocol::Gemini, "gemini", &json!({ "usageMetadata": gemini_usage(&p) }));
        prop_assert_eq!(usage.quality, Quality::Exact);
        let read = with_audio(p.read, p.read_audio);
        prop_assert_eq!(prompt_parts(&usage), (with_audio(p.text, p.audio), read, Vec::new()));
        prop_assert_eq!(usage.output, output(p.out, Some(p.out_audio)));
        let total = usage.prompt_total() + p.tool_in + usage.output_total();
        prop_assert_eq!(usage.reported.total_tokens, Some(total));
        prop_assert_eq!((usage.tool_in, usage.reasoning), (Some(p.tool_in), Some(p.reasoning)));
    }

    /// I6.
    #[test]
    fn converse_counts_stand_beside_each_other(p in parts()) {
        let usage = converse(&json!({ "usage": converse_usage(&p) }));
        prop_assert_eq!(usage.quality, Quality::Exact);
        let write = vec![(Ttl::M5, p.short), (Ttl::H1, p.long)];
        prop_assert_eq!(prompt_parts(&usage), (text(p.text), text(p.read), write));
        let total = usage.prompt_total() + usage.output_total();
        prop_assert_eq!(usage.reported.total_tokens, Some(total));
    }

    /// I7, and the same host counting the other way: the total tells them apart.
    #[test]
    fn xais_reasoning_is_where_its_total_says(p in parts(), inside in any::<bool>()) {
        let mut told = chat_usage(&p);
        if !inside {
            told["completion_tokens"] = json!(p.visible());
        }
        let usage = of(Protocol::OpenAiChat, "xai", &json!({ "usage": told }));
        prop_assert_eq!(usage.quality, Quality::Exact);
        prop_assert_eq!(usage.output, output(p.out, Some(p.out_audio)));
        prop_assert_eq!(usage.output_total(), p.visible() + p.reasoning);
        let total = usage.prompt_total() + usage.output_total();
        prop_assert_eq!(usage.reported.total_tokens, Some(total));
    }

    /// Whatever is said, what is charged is no less than the prompt, and a contradiction is marked.
    #[test]
    fn caches_larger_than_the_prompt_are_marked_and_counted_beside_it(
        prompt in 0..1000_u64, read in 0..1000_u64, write in 0..1000_u64,
    ) {
        let usage = of(Protocol::OpenAiChat, "openai", &json!({ "usage": {
            "prompt_tokens": prompt, "completion_tokens": 1, "total_tokens": prompt + 1,
            "prompt_tokens_details": { "cached_tokens": read, "cache_write_tokens": write },
        }}));
        let fits = read + write <= prompt;
        let expected = if fits { prompt } else { prompt + read + write };
        prop_assert_eq!(usage.prompt_total(), expected);
        let quality = if fits { Quality::Exact } else { Quality::Inconsistent };
        prop_assert_eq!(usage.quality, quality);
    }
}

// ---- streams ------------------------------------------------------------------------------------

/// Everything but the bytes it was read from.
fn content(mut usage: Usage) -> Usage {
    usage.raw.clear();
    usage
}

/// Parts that have come this far, in eighths.
fn so_far(p: &Parts, eighths: u64) -> Parts {
    let grown = |whole: u64| whole * eighths / 8;
    Parts {
        out: grown(p.out),
        out_audio: grown(p.out_audio),
        reasoning: grown(p.reasoning),
        ..p.clone()
    }
}

/// How often the last report is repeated.
fn steps() -> impl Strategy<Value = (Vec<u64>, usize)> {
    (prop::collection::vec(0..8_u64, 0..4), 1..4_usize)
}

fn streamed(
    reader: Reader,
    p: &Parts,
    (steps, repeats): &(Vec<u64>, usize),
    report: impl Fn(&Parts) -> Value,
) -> Usage {
    let mut reader = reader;
    let mut steps = steps.clone();
    steps.sort_unstable();
    for eighths in steps {
        event(&mut reader, &report(&so_far(p, eighths)));
    }
    (0..*repeats).for_each(|_| event(&mut reader, &report(p)));
    reader.finish(true)
}

proptest! {
    /// I9 for hosts that repeat running totals, and those that tell once.
    #[test]
    fn running_totals_are_not_summed(p in parts(), steps in steps()) {
        let of_stream = |protocol, provider, report: &dyn Fn(&Parts) -> Value| {
            let reader = Reader::new(Profile::of(protocol, provider));
            content(streamed(reader, &p, &steps, report))
        };
        let chunk = |p: &Parts| json!({ "choices": [{}], "model": "m", "usage": chat_usage(p) });
        let whole = of(Protocol::OpenAiChat, "fireworks", &chunk(&p));
        prop_assert_eq!(of_stream(Protocol::OpenAiChat, "fireworks", &chunk), content(whole));
        let chunk = |p: &Parts| json!({ "modelVersion": "m", "usageMetadata": gemini_usage(p) });
        let whole = of(Protocol::Gemini, "gemini", &chunk(&p));
        prop_assert_eq!(of_stream(Protocol::Gemini, "gemini", &chunk), content(whole));
        let event = |p: &Parts| json!({ "response": { "model": "m", "usage": responses_usage(p) } });
        let whole = json!({ "model": "m", "usage": responses_usage(&p) });
        let whole = of(Protocol::OpenAiResponses, "openai", &whole);
        prop_assert_eq!(of_stream(Protocol::OpenAiResponses, "openai", &event), content(whole));
    }

    /// I9 for Anthropic: parts of it come early, parts late, parts as zeros nobody filled in.
    #[test]
    fn messages_merge_field_by_field(
        p in parts(), steps in steps(), early in any::<bool>(), zeros in any::<bool>(),
    ) {
        let mut reader = Reader::new(Profile::of(Protocol::AnthropicMessages, "anthropic"));
        let mut start = messages_usage(&so_far(&p, 0));
        start["output_tokens"] = json!(1);
        start.as_object_mut().unwrap().remove("output_tokens_details");
        let nothing = json!({ "input_tokens": 0, "output_tokens": 0 });
        let start = if early { start } else { nothing };
        event(&mut reader, &json!({ "type": "message_start", "message": { "model": "m", "usage": start } }));
        let delta = |p: &Parts| {
            let mut usage = messages_usage(p);
            let members = usage.as_object_mut().unwrap();
            for key in ["input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"] {
                match early {
                    true if zeros => { members.insert(key.to_owned(), json!(0)); }
                    true => { members.remove(key); }
                    false => {}
                }
            }
            if early {
                members.remove("cache_creation");
            }
            json!({ "type": "message_delta", "delta": {}, "usage": usage })
        };
        let merged = content(streamed(reader, &p, &steps, delta));
        let whole = json!({ "model": "m", "usage": messages_usage(&p) });
        prop_assert_eq!(merged, content(of(Protocol::AnthropicMessages, "anthropic", &whole)));
    }

    #[test]
    fn realtime_responses_add_up(first in parts(), second in parts()) {
        let mut reader = Reader::new(Profile::realtime());
        for p in [&first, &second] {
            event(&mut reader, &json!({ "type": "response.done", "response": { "usage": {
                "input_tokens": p.input() + p.read + p.read_audio,
                "output_tokens": p.visible(),
                "total_tokens": p.input() + p.read + p.read_audio + p.visible(),
                "input_token_details": {
                    "text_tokens": p.text + p.read, "audio_tokens": p.audio + p.read_audio,
                    "cached_tokens": p.read + p.read_audio,
                    "cached_tokens_details": { "text_tokens": p.read, "audio_tokens": p.read_audio },
                },
                "output_token_details": { "text_tokens": p.out, "audio_tokens": p.out_audio },
            }}}));
        }
        let usage = reader.finish(true);
        prop_assert_eq!(usage.quality, Quality::Exact);
        let sum = |part: fn(&Parts) -> u64| part(&first) + part(&second);
        prop_assert_eq!(usage.prompt, with_audio(sum(|p| p.text), sum(|p| p.audio)));
        prop_assert_eq!(usage.read, with_audio(sum(|p| p.read), sum(|p| p.read_audio)));
        prop_assert_eq!(usage.output, output(sum(|p| p.out), Some(sum(|p| p.out_audio))));
    }

    #[test]
    fn where_a_text_is_cut_makes_no_difference(p in parts(), cuts in prop::collection::vec(0..600_usize, 0..6)) {
        let answer = json!({
            "id": "x", "choices": [{ "message": { "content": "\"usage\":{\"prompt_tokens\":9}" } }],
            "model": "m", "usage": chat_usage(&p),
        }).to_string();
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(answer.len())).collect();
        cuts.extend([0, answer.len()]);
        cuts.sort_unstable();
        let bytes = Bytes::from(answer.clone());
        let frames: Vec<_> = cuts.windows(2).map(|pair| bytes.slice(pair[0]..pair[1])).collect();
        let profile = Profile::of(Protocol::OpenAiChat, "openai");
        let mut whole = Reader::new(profile);
        whole.answer(answer.as_bytes());
        let (mut cut, mut passing) = (Reader::new(profile), Reader::new(profile));
        frames.iter().for_each(|frame| passing.part(frame));
        cut.answer_frames(&Frames::new(frames));
        let whole = whole.finish(true);
        prop_assert_eq!(&cut.finish(true), &whole);
        prop_assert_eq!(passing.finish(true), whole);
    }
}

// ---- what nobody should send --------------------------------------------------------------------

fn profiles() -> Vec<Profile> {
    let providers = ["openai", "xai", "google", "perplexity", "openrouter", "mistral", "groq"];
    let of = |protocol| providers.into_iter().map(move |name| Profile::of(protocol, name));
    let mut profiles: Vec<_> = Protocol::ALL.into_iter().flat_map(of).collect();
    let media = [Profile::media(), Profile::images(), Profile::realtime()];
    profiles.extend([Profile::converse(), Profile::cohere()]);
    profiles.extend(media);
    profiles
}

fn all_of(data: &[u8]) {
    for profile in profiles() {
        let mut reader = Reader::new(profile);
        reader.event(Event { name: None, data });
        reader.answer(data);
        let frames = Frames::new(data.chunks(3).map(Bytes::copy_from_slice).collect());
        reader.answer_frames(&frames);
        let told = reader.so_far(false);
        let _ = told.prompt_total().checked_add(told.output_total());
        assert!(told.raw.iter().map(Bytes::len).sum::<usize>() <= 3 * (64 << 10));
        assert_ne!(told.quality, Quality::Estimated);
        reader.finish(true);
        let _ = ask(&frames, profile);
    }
    for protocol in Protocol::ALL {
        let mut forwarded = Forwarded::new(protocol);
        forwarded.event(Event { name: None, data });
        forwarded.answer(data);
        forwarded.estimate(Usage::default(), &Sent { input_bytes: u64::MAX, ..Sent::default() });
    }
    is_extra_usage_chunk(data);
    with_cost(&Bytes::copy_from_slice(data), "0.1");
}

/// Values that are no honest counts.
fn odd() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(-1)),
        Just(json!(u64::MAX)),
        Just(json!(1e300)),
        Just(json!(0.5)),
        Just(json!("12")),
        Just(json!("x")),
        Just(json!(null)),
        Just(json!([])),
        Just(json!({ "a": 1 })),
        Just(json!(true)),
        any::<u32>().prop_map(|n| json!(n)),
    ]
}

/// Replaces what stands at the `at`th place of a tree.
fn replace(value: &mut Value, at: &mut usize, odd: &Value) {
    match value {
        Value::Object(members) => {
            members.iter_mut().for_each(|(_, value)| replace(value, at, odd));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| replace(value, at, odd)),
        leaf if *at == 0 => *leaf = odd.clone(),
        _ => {}
    }
    *at = at.wrapping_sub(1);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(data in prop::collection::vec(any::<u8>(), 0..300)) {
        all_of(&data);
    }

    #[test]
    fn almost_json_is_survived(data in r#"[\{\[]("(usage|usageMetadata|response|message|delta|model|meta|choices|output)": ?[\{\["]?(-?[0-9.]{1,30}|null|"\\u12"|[\]\},:"])?){0,6}[\]\}]{0,4}"#) {
        all_of(data.as_bytes());
    }

    #[test]
    fn odd_counts_are_survived_and_never_more_than_a_mark(p in parts(), at in 0..20_usize, odd in odd()) {
        for told in [
            json!({ "usage": chat_usage(&p) }),
            json!({ "usage": responses_usage(&p) }),
            json!({ "usage": messages_usage(&p) }),
            json!({ "usageMetadata": gemini_usage(&p) }),
            json!({ "usage": converse_usage(&p) }),
        ] {
            let mut told = told;
            replace(&mut told, &mut at.clone(), &odd);
            all_of(told.to_string().as_bytes());
        }
    }
}

#[test]
fn what_is_no_count_marks_the_whole() {
    for odd in [json!(-3), json!(u64::MAX), json!("many"), json!(2.5), json!({})] {
        let answer = json!({ "usage": { "prompt_tokens": odd, "completion_tokens": 5 } });
        let usage = of(Protocol::OpenAiChat, "openai", &answer);
        assert_eq!(usage.quality, Quality::Inconsistent, "{odd}");
        assert_eq!(usage.output_total(), 5);
    }
}

#[test]
fn nothing_told_is_absent_and_zero_is_told() {
    for answer in [json!({}), json!({ "usage": null }), json!({ "usage": {} })] {
        let usage = of(Protocol::OpenAiChat, "openai", &answer);
        assert_eq!((usage.quality, usage.prompt.text), (Quality::Absent, None));
    }
    let zero =
        json!({ "usage": { "prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0 } });
    let usage = of(Protocol::OpenAiChat, "openai", &zero);
    assert_eq!((usage.quality, usage.prompt.text), (Quality::Exact, Some(0)));
    assert_eq!((usage.read.text, usage.reasoning), (None, None));
}

#[test]
fn a_stream_that_breaks_off_is_partial_unless_its_last_report_came() {
    let reader = || Reader::new(Profile::of(Protocol::AnthropicMessages, "anthropic"));
    let mut reader = reader();
    event(
        &mut reader,
        &json!({ "message": { "usage": { "input_tokens": 7, "output_tokens": 1 } } }),
    );
    assert_eq!(reader.so_far(false).quality, Quality::Partial);
    assert_eq!(reader.so_far(true).quality, Quality::Partial);
    let delta = json!({ "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": 9 } });
    event(&mut reader, &delta);
    assert_eq!(reader.finish(false).quality, Quality::Exact);
    for (protocol, last) in [
        (Protocol::OpenAiChat, json!({ "choices": [], "usage": { "prompt_tokens": 1 } })),
        (Protocol::OpenAiResponses, json!({ "response": { "usage": { "input_tokens": 1 } } })),
    ] {
        let mut reader = Reader::new(Profile::of(protocol, "openai"));
        event(&mut reader, &last);
        assert_eq!(reader.finish(false).quality, Quality::Exact, "{protocol}");
    }
}

#[test]
fn memory_does_not_grow_with_what_is_sent() {
    let mut reader = Reader::new(Profile::of(Protocol::AnthropicMessages, "anthropic"));
    for n in 0..10_000 {
        event(&mut reader, &json!({ "usage": { "output_tokens": n, "note": "x".repeat(100) } }));
    }
    event(
        &mut reader,
        &json!({ "model": "x".repeat(10_000), "usage": { "speed": "x".repeat(10_000) } }),
    );
    let usage = reader.finish(true);
    assert_eq!(usage.output_total(), 9999);
    assert_eq!((&usage.served.model, &usage.served.speed), (&None, &None));
    assert!(usage.raw.iter().map(Bytes::len).sum::<usize>() <= 64 << 10);
    let mut reader = Reader::new(Profile::of(Protocol::OpenAiResponses, "openai"));
    let part = Bytes::from("x".repeat(1 << 20));
    reader.part(&Bytes::from_static(b"{\"output\":[\""));
    (0..100).for_each(|_| reader.part(&part));
    reader.part(&Bytes::from_static(b"\"],\"usage\":{\"input_tokens\":3}}"));
    assert_eq!(reader.finish(true).prompt_total(), 3);
    assert!(part.is_unique());
    let mut reader = Reader::new(Profile::of(Protocol::OpenAiChat, "openai"));
    event(&mut reader, &json!({ "usage": { "prompt_tokens": 1, "x": "x".repeat(70_000) } }));
    assert_eq!(reader.finish(true).quality, Quality::Inconsistent);
}
