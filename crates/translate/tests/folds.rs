//! One truth: a stream says what the whole answer says, whichever protocols it passes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "it is a test")]

use bytes::{Bytes, BytesMut};
use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::{Index, select},
};
use tollgate_core::{Caps, Protocol, Usage};
use tollgate_sse::{Decoder, Framing, Tail};
use tollgate_translate::{
    Asked, Exchange, Incoming, Onto, Report, Translator, codec,
    model::{
        Answer, Args, Candidate, Extra, Finish, Opaque, OpaqueKind, Part, Reasoning, ToolCall,
        Vendor,
    },
};

/// A text of any script, with quotes and breaks inside, that is not blank.
fn text() -> impl Strategy<Value = String> {
    "[a-zé漢😀][ -~é漢😀\n\t\u{2028}]{0,40}[a-zé漢😀]"
}

fn arguments() -> impl Strategy<Value = Args> {
    let number = select(vec!["1", "1.0", "12345678901234567890", "null", "[true,{\"x\":[]}]"]);
    let value = prop_oneof![
        number.prop_map(str::to_owned),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    vec(("[a-z]{1,8}", value), 0..3).prop_map(|members| {
        let members: std::collections::BTreeMap<_, _> = members.into_iter().collect();
        let members: Vec<_> = members.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
        Args::of_text(&format!("{{{}}}", members.join(",")))
    })
}

fn reasoning(vendor: Vendor, text: String, signed: bool) -> Part {
    let kind = match vendor {
        Vendor::OpenAi => OpaqueKind::Encrypted,
        Vendor::Anthropic => OpaqueKind::Thinking,
        Vendor::Google => OpaqueKind::Thought,
    };
    let opaque = signed.then(|| Opaque::new(vendor, kind, "c2lnbmVk"));
    Part::Reasoning(Reasoning { text: vec![text], raw: false, opaque, extra: Extra::default() })
}

fn usage(input: u64, cached: u64, output: u64) -> Usage {
    let mut usage = Usage::default();
    usage.prompt.text = Some(input);
    usage.read.text = Some(cached);
    usage.output.text = Some(output);
    usage
}

/// An answer as any of the protocols could give it.
fn answer() -> impl Strategy<Value = Answer> {
    let thought =
        option::of((select(vec![Vendor::OpenAi, Vendor::Anthropic, Vendor::Google]), text()));
    let calls = vec(("[a-z][a-z0-9_]{0,10}", arguments(), any::<bool>()), 0..4);
    let cut = any::<bool>();
    (thought, text(), calls, cut, (1_u64..999, 0_u64..99, 1_u64..99)).prop_map(
        |(thought, text, calls, cut, (input, cached, output))| {
            let mut parts: Vec<_> = thought
                .into_iter()
                .map(|(vendor, text)| reasoning(vendor, text, vendor != Vendor::OpenAi))
                .collect();
            parts.push(Part::text(text));
            let called = !calls.is_empty();
            for (at, (name, args, signed)) in calls.into_iter().enumerate() {
                let mut call = ToolCall::new(format!("call_{at}"), name, args);
                let signature = || Opaque::new(Vendor::Google, OpaqueKind::Call, "Z29vZ2xl");
                call.signature = signed.then(signature);
                parts.push(Part::ToolCall(call));
            }
            let finish = match (cut, called) {
                (true, _) => Finish::Length,
                (false, true) => Finish::ToolCalls,
                (false, false) => Finish::Stop,
            };
            Answer {
                // No codec's own: what is written is what the model says.
                source: Protocol::OpenAiChat,
                id: "id1".to_owned(),
                created: 7,
                model: "served".to_owned(),
                candidates: vec![Candidate::new(parts, finish)],
                usage: Some(usage(input, cached, output).into()),
                prompt_block: None,
                extra: Extra::default(),
            }
        },
    )
}

fn unsigned(answer: &mut Answer) {
    for part in &mut answer.candidates[0].parts {
        if let Part::ToolCall(call) = part {
            call.signature = None;
        }
    }
}

fn asked() -> Asked {
    Asked {
        reasoning: true,
        legacy_functions: false,
        stream_usage: true,
        candidates: 1,
        now: 1,
        id: "call".to_owned(),
        echo: Vec::new(),
    }
}

fn exchange(client: Protocol, upstream: Protocol) -> Exchange {
    let body = match client {
        Protocol::OpenAiResponses => r#"{"model":"m","input":"Hi","reasoning":{"summary":"auto"}}"#,
        Protocol::AnthropicMessages => {
            r#"{"model":"m","max_tokens":9000,"thinking":{"type":"enabled","budget_tokens":4000},"messages":[{"role":"user","content":"Hi"}]}"#
        }
        Protocol::Gemini => {
            r#"{"contents":[{"parts":[{"text":"Hi"}]}],"generationConfig":{"thinkingConfig":{"includeThoughts":true}}}"#
        }
        _ => {
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Hi"}]}"#
        }
    };
    let incoming = Incoming { model: Some("m"), stream: true, ..Incoming::new(body.as_bytes()) };
    let translator = Translator::new(client, upstream).call(1, "call");
    translator.request(&incoming, &Onto::new("m", &Caps::default())).unwrap().1
}

/// Shows the events of a body that came in pieces of so many bytes.
fn feed(body: &[u8], pieces: usize, mut show: impl FnMut(Option<&str>, &[u8])) {
    let mut decoder = Decoder::new(Framing::Sse);
    for piece in body.chunks(pieces) {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(event) = decoder.next().unwrap() {
            show(event.name(), event.data());
        }
    }
    assert!(matches!(decoder.finish(), Tail::Clean));
}

/// The whole answer an upstream's stream amounts to, in the client's protocol.
fn collected(exchange: &Exchange, body: &[u8]) -> Vec<u8> {
    let mut stream = exchange.collect().unwrap();
    feed(body, body.len(), |name, data| stream.event(name, data).unwrap());
    exchange.collected(stream).unwrap().0
}

fn translated(exchange: &Exchange, body: &[u8], pieces: usize) -> Vec<u8> {
    let (mut stream, mut out) = (exchange.stream().unwrap(), BytesMut::new());
    feed(body, pieces, |name, data| stream.event(name, data, &mut out));
    stream.end(&mut out);
    assert_eq!(stream.fault(), None);
    out.to_vec()
}

/// An answer as far as a client can tell, and in which order.
fn told(answer: &Answer) -> Vec<String> {
    let mut told = vec![answer.model.clone()];
    for part in &answer.candidates[0].parts {
        told.push(match part {
            Part::Text(part) => format!("text {}", part.text),
            Part::Reasoning(part) => format!("thought {:?} {:?}", part.joined(), part.opaque),
            Part::ToolCall(call) => {
                format!(
                    "call {} {} {} {:?}",
                    call.id,
                    call.name,
                    call.args.as_str(),
                    call.signature
                )
            }
            other => format!("{other:?}"),
        });
    }
    told.push(format!("{:?}", answer.candidates[0].finish));
    let usage = answer.usage.as_ref().unwrap();
    told.push(format!("{} {}", usage.prompt_total(), usage.output_total()));
    told
}

fn read(protocol: Protocol, body: &[u8]) -> Vec<String> {
    told(&codec(protocol).decode_answer(body, "call").unwrap())
}

fn pairs() -> impl Iterator<Item = (Protocol, Protocol)> {
    let all = Protocol::ALL.into_iter();
    all.flat_map(|a| Protocol::ALL.map(|b| (a, b))).filter(|(a, b)| a != b)
}

/// What upstreams send between the deltas of an answer and nothing is meant by: pings, empty deltas,
/// roles again or unheard of, events nobody knows.
fn noise(protocol: Protocol) -> &'static [&'static str] {
    match protocol {
        Protocol::OpenAiResponses => &[
            r#"{"type":"keepalive","sequence_number":1}"#,
            r#"{"type":"response.in_progress","response":{"id":"id1","status":"in_progress"}}"#,
            r#"{"type":"response.unheard_of","output_index":0,"delta":"x"}"#,
        ],
        Protocol::AnthropicMessages => {
            &[r#"{"type":"ping"}"#, r#"{"type":"unheard_of","index":0,"delta":{"text":"x"}}"#]
        }
        Protocol::Gemini => &[
            r#"{"candidates":[{"index":0,"content":{"role":"model","parts":[{"text":""}]}}]}"#,
            r#"{"candidates":[{"index":0,"content":{"role":"narrator","parts":[]}}]}"#,
            r#"{"responseId":"id1","modelVersion":"served"}"#,
        ],
        _ => &[
            r#"{"choices":[{"index":0,"delta":{"role":"assistant"}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"role":"narrator","content":null}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"","tool_calls":[]}}]}"#,
            r#"{"choices":[{"index":0,"delta":{}}]}"#,
            r#"{"choices":[]}"#,
        ],
    }
}

/// The delta of a call once more, with who it is and nothing of its arguments.
fn again(data: &[u8]) -> Option<Vec<u8>> {
    let mut delta: serde_json::Value = serde_json::from_slice(data).ok()?;
    if let Some(calls) = delta.pointer_mut("/choices/0/delta/tool_calls") {
        for call in calls.as_array_mut()? {
            call["function"]["arguments"] = "".into();
        }
    } else if delta["type"] == "response.function_call_arguments.delta" {
        delta["delta"] = "".into();
    } else if delta["delta"]["type"] == "input_json_delta" {
        delta["delta"]["partial_json"] = "".into();
    } else {
        return None;
    }
    Some(delta.to_string().into_bytes())
}

/// Whether an answer's end begins with this event.
fn ends(data: &[u8]) -> bool {
    let data = String::from_utf8_lossy(data);
    let ends = ["finish_reason\":\"", "finishReason", "message_delta", "response.completed"];
    ends.iter().chain(&["response.incomplete"]).any(|end| data.contains(end))
}

/// The same stream with noise before some of its events, and the deltas of calls repeated.
fn disturbed(protocol: Protocol, body: &[u8], places: &[(Index, Index)]) -> Vec<u8> {
    let mut events = Vec::new();
    feed(body, body.len(), |name, data| events.push((name.map(str::to_owned), data.to_vec())));
    let end = events.iter().position(|(_, data)| ends(data)).unwrap();
    let mut out = Vec::new();
    let mut write = |name: Option<&str>, data: &[u8]| {
        out.extend(name.map(|name| format!("event: {name}\n").into_bytes()).unwrap_or_default());
        out.extend([b"data: ", data, b"\n\n"].concat());
    };
    for (at, (name, data)) in events.iter().enumerate() {
        let here = places.iter().filter(|(place, _)| 1 + place.index(end.max(1)) == at);
        for (_, what) in here {
            write(None, what.get(noise(protocol)).as_bytes());
        }
        write(name.as_deref(), data);
        if let Some(again) = again(data) {
            write(name.as_deref(), &again);
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_stream_says_what_the_whole_answer_says(answer in answer(), pieces in 1_usize..200) {
        for (middle, upstream) in pairs() {
            // An answer of the upstream, as a whole and as a stream of another protocol.
            let mut report = Report::new(codec(upstream));
            let mut source = answer.clone();
            source.source = middle;
            if [middle, upstream].contains(&Protocol::OpenAiResponses) {
                // Its answers bind no signatures to calls.
                unsigned(&mut source);
            }
            let body = codec(upstream).encode_answer(&source, &asked(), &mut report).unwrap();
            let exchange_here = exchange(middle, upstream);
            let whole = exchange_here.answer(&body).unwrap().0;
            let (mut stream, mut out) = (exchange_here.stream().unwrap(), BytesMut::new());
            stream.answer(&body, &mut out);
            prop_assert_eq!(stream.fault(), None);
            for client in Protocol::ALL.into_iter().filter(|client| *client != middle) {
                // The stream as a stream and as an answer, the answer as an answer.
                let there = exchange(client, middle);
                let wanted = read(client, &there.answer(&whole).unwrap().0);
                let folded = read(client, &collected(&there, &out));
                prop_assert_eq!(&folded, &wanted, "{} {} {}", upstream, middle, client);
                let shown = translated(&there, &out, pieces);
                prop_assert_eq!(&shown, &translated(&there, &out, out.len()));
            }
        }
    }

    #[test]
    fn fault_65_pings_repeats_and_odd_roles_between_the_deltas_of_calls_change_nothing(
        answer in answer(),
        places in vec((any::<Index>(), any::<Index>()), 1..12),
    ) {
        for (client, upstream) in pairs() {
            let mut report = Report::new(codec(upstream));
            let mut source = answer.clone();
            source.source = client;
            unsigned(&mut source);
            // A stream of the upstream, made of an answer of the client's protocol.
            let whole = codec(client).encode_answer(&source, &asked(), &mut report).unwrap();
            let (mut stream, mut body) =
                (exchange(upstream, client).stream().unwrap(), BytesMut::new());
            stream.answer(&whole, &mut body);
            let there = exchange(client, upstream);
            let noisy = disturbed(upstream, &body, &places);
            prop_assert!(noisy.len() > body.len());
            let wanted = read(client, &collected(&there, &body));
            prop_assert_eq!(&read(client, &collected(&there, &noisy)), &wanted);
            let shown = translated(&there, &noisy, noisy.len());
            let back = exchange(upstream, client);
            let wanted = translated(&there, &body, body.len());
            prop_assert_eq!(
                read(upstream, &collected(&back, &shown)),
                read(upstream, &collected(&back, &wanted)),
                "{} to {}", upstream, client
            );
        }
    }
}
