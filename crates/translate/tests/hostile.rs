//! Upstreams that keep to nothing: events in any order, cut off, with bytes changed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "it is a test")]

mod grammar;

use bytes::BytesMut;
use proptest::{collection::vec, prelude::*, sample::Index};
use tollgate_core::{Call, Caps, Operation, Protocol};
use tollgate_sse::{Decoder, Framing, Tail};
use tollgate_translate::{Exchange, Incoming, Onto, Translator};
use tollgate_wire::{Event, Seen, dialect};

const CHAT: &[&str] = &[
    r#"{"id":"1","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"}}]}"#,
    r#"{"choices":[{"index":1,"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"reasoning":"a","reasoning_details":[{"type":"reasoning.text","text":"a","index":0}]}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"reasoning_details":[{"type":"reasoning.encrypted","data":"x","format":"google-gemini-v1","id":"c1"}]}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"reasoning_details":[{"type":"reasoning.summary","summary":"s","index":3},{"type":"reasoning.encrypted","data":"x","format":"openai-responses-v1"}]}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":"{\"a\":"}}]}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}},{"index":1,"function":{"name":"g","arguments":"{}"}}]}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"c2","type":"custom","custom":{"name":"h","input":"x"}}]}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"function_call":{"name":"f","arguments":"{"}}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"refusal":"no","extra_content":{"google":{"thought_signature":"s"}}}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"annotations":[{"type":"url_citation","url_citation":{"url":"u","start_index":9,"end_index":1}}]}}]}"#,
    r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
    r#"{"choices":[{"index":1,"delta":{},"finish_reason":"length"}]}"#,
    "[DONE]",
];

const RESPONSES: &[&str] = &[
    r#"{"type":"response.created","response":{"id":"r","model":"m","output":[]}}"#,
    r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"message","id":"i0","content":[]}}"#,
    r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"Hi"}"#,
    r#"{"type":"response.refusal.delta","output_index":0,"content_index":1,"delta":"no"}"#,
    r#"{"type":"response.output_text.annotation.added","output_index":0,"content_index":0,"annotation":{"type":"url_citation","url":"u","start_index":5,"end_index":2}}"#,
    r#"{"type":"response.output_text.done","output_index":0,"content_index":0,"text":"Hi there"}"#,
    r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"message","id":"i0","content":[{"type":"output_text","text":"Hi there","annotations":[]}]}}"#,
    r#"{"type":"response.reasoning_summary_text.delta","output_index":1,"summary_index":0,"delta":"s"}"#,
    r#"{"type":"response.reasoning_text.delta","output_index":1,"content_index":0,"delta":"t"}"#,
    r#"{"type":"response.output_item.done","output_index":1,"item":{"type":"reasoning","id":"i1","summary":[{"type":"summary_text","text":"s2"}],"encrypted_content":"x"}}"#,
    r#"{"type":"response.output_item.added","output_index":2,"item":{"type":"function_call","id":"i2","call_id":"c","name":"f","arguments":""}}"#,
    r#"{"type":"response.function_call_arguments.delta","output_index":2,"delta":"{\"a\":"}"#,
    r#"{"type":"response.output_item.done","output_index":2,"item":{"type":"function_call","call_id":"c","name":"f","arguments":"{\"a\":1}"}}"#,
    r#"{"type":"response.completed","response":{"id":"r","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"x"}]}]}}"#,
];

const MESSAGES: &[&str] = &[
    r#"{"type":"message_start","message":{"id":"msg","model":"m","usage":{"input_tokens":1,"output_tokens":1}}}"#,
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"a"}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"b"}}"#,
    r#"{"type":"content_block_start","index":1,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
    r#"{"type":"content_block_delta","index":1,"delta":{"type":"thinking_delta","thinking":"t"}}"#,
    r#"{"type":"content_block_delta","index":1,"delta":{"type":"signature_delta","signature":"s"}}"#,
    r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#,
    r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"a\""}}"#,
    r#"{"type":"content_block_start","index":3,"content_block":{"type":"redacted_thinking","data":"d"}}"#,
    r#"{"type":"content_block_start","index":4,"content_block":{"type":"server_tool_use","id":"s","name":"web_search","input":{}}}"#,
    r#"{"type":"content_block_stop","index":0}"#,
    r#"{"type":"content_block_stop","index":2}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":3}}"#,
    r#"{"type":"message_stop"}"#,
];

const GEMINI: &[&str] = &[
    r#"{"responseId":"r","modelVersion":"m","candidates":[{"content":{"parts":[{"text":"Hi"}]}}]}"#,
    r#"{"candidates":[{"content":{"parts":[{"text":"t","thought":true},{"text":"","thoughtSignature":"s"}]}}]}"#,
    r#"{"candidates":[{"index":1,"content":{"parts":[{"thoughtSignature":"s"},{"text":"x","thoughtSignature":"s"}]}}]}"#,
    r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":1}}}]}}]}"#,
    r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"g","willContinue":true}}]}}]}"#,
    r#"{"candidates":[{"content":{"parts":[{"functionCall":{"partialArgs":[{"jsonPath":"$.a[0].b","stringValue":"x"}],"willContinue":true}}]}}]}"#,
    r#"{"candidates":[{"content":{"parts":[{"functionCall":{}}]}}]}"#,
    r#"{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"aGk="}},{"executableCode":{"code":"1"}}]}}]}"#,
    r#"{"candidates":[{"groundingMetadata":{"groundingChunks":[{"web":{"uri":"u"}}],"groundingSupports":[{"segment":{"endIndex":99},"groundingChunkIndices":[0,7]}]}}]}"#,
    r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#,
    r#"{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1}}"#,
    r#"{"candidates":[{"index":1,"finishReason":"MALFORMED_FUNCTION_CALL"}]}"#,
];

fn pool(protocol: Protocol) -> &'static [&'static str] {
    match protocol {
        Protocol::OpenAiResponses => RESPONSES,
        Protocol::AnthropicMessages => MESSAGES,
        Protocol::Gemini => GEMINI,
        _ => CHAT,
    }
}

/// What becomes of an event on its way.
#[derive(Clone, Debug)]
enum Harm {
    None,
    Cut(Index),
    Byte(Index, u8),
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        30 => Just(Harm::None),
        1 => any::<Index>().prop_map(Harm::Cut),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Harm::Byte(at, byte)),
    ]
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
        _ => r#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#,
    };
    let incoming = Incoming { model: Some("m"), stream: true, ..Incoming::new(body.as_bytes()) };
    let translator = Translator::new(client, upstream);
    translator.request(&incoming, &Onto::new("m", &Caps::default())).unwrap().1
}

type Events = Vec<(Option<String>, Vec<u8>)>;

fn events(out: BytesMut) -> Events {
    let mut decoder = Decoder::new(Framing::Sse);
    decoder.push(out.freeze());
    let mut events = Vec::new();
    while let Some(event) = decoder.next().unwrap() {
        events.push((event.name().map(str::to_owned), event.data().to_vec()));
    }
    assert!(matches!(decoder.finish(), Tail::Clean));
    events
}

/// Feeds what comes and checks that a client could read it to its one end.
fn holds(client: Protocol, upstream: Protocol, script: &[(Index, Harm)]) -> Result<(), String> {
    let mut stream = exchange(client, upstream).stream().unwrap();
    let mut out = BytesMut::new();
    for (index, harm) in script {
        let mut data = index.get(pool(upstream)).as_bytes().to_vec();
        match harm {
            Harm::None => {}
            Harm::Cut(at) => data.truncate(at.index(data.len())),
            Harm::Byte(at, byte) => {
                let at = at.index(data.len());
                data[at] = *byte;
            }
        }
        stream.event(None, &data, &mut out);
    }
    stream.end(&mut out);
    let events = events(out);
    grammar::check(client, &events)?;
    let mut automaton = dialect(client).automaton(&Call::new(client, Operation::Generate));
    let mut errors = 0;
    for (name, data) in &events {
        match automaton.event(Event { name: name.as_deref(), data }) {
            Seen::Error(_) => errors += 1,
            Seen::Malformed => return Err(format!("no event: {name:?}")),
            _ => {}
        }
    }
    let failed = stream.fault().is_some();
    match (failed, errors, automaton.is_complete(true)) {
        (true, 1, _) | (false, 0, true) => Ok(()),
        other => Err(format!("{other:?}: {:?}", stream.fault())),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_comes_a_client_reads_one_stream_with_one_end(
        script in vec((any::<Index>(), harm()), 0..14),
    ) {
        for upstream in Protocol::ALL {
            for client in Protocol::ALL.into_iter().filter(|client| *client != upstream) {
                let held = holds(client, upstream, &script);
                prop_assert!(held.is_ok(), "{} to {}: {:?}", upstream, client, held);
            }
        }
    }
}
