//! What every fuzz target does: `cargo xtask fuzz`, or `cargo +nightly fuzz run openai_chat` in
//! `crates/translate`.

use tollgate_core::{Caps, Protocol};
use tollgate_translate::{
    Asked, Exchange, Incoming, Onto, Report, Translator, codec, stream::Fold,
};

/// Reads `body` as everything a protocol knows, and writes what could be read in every protocol.
pub fn decode(from: Protocol, body: &[u8]) {
    let incoming = Incoming { model: Some("m"), ..Incoming::new(body) };
    let caps = Caps::default();
    let onto = Onto::new("m", &caps);
    if let Ok(conversation) = codec(from).decode_request(&incoming) {
        for to in Protocol::ALL {
            let mut report = Report::new(codec(from));
            let _ = codec(to).encode_request(&conversation, &onto, &mut report);
        }
    }
    if let Ok(answer) = codec(from).decode_answer(body, "seed") {
        let asked = Asked {
            reasoning: true,
            legacy_functions: false,
            stream_usage: false,
            candidates: 1,
            now: 0,
            id: "0".to_owned(),
            echo: Vec::new(),
        };
        for to in Protocol::ALL {
            let mut report = Report::new(codec(from));
            let _ = codec(to).encode_answer(&answer, &asked, &mut report);
        }
    }
    if let Some(rest) = codec(from).without_reasoning(body) {
        assert!(codec(from).without_reasoning(&rest).is_none_or(|again| again.len() <= rest.len()));
    }
    stream(from, body);
    Protocol::ALL.into_iter().filter(|to| *to != from).for_each(|to| translated(from, to, body));
    let _ = codec(from).decode_embed(&incoming);
    let _ = codec(from).decode_embedded(body);
    let _ = codec(from).decode_models(body);
}

/// Shows each line of `body` as an event of one stream to a client of another protocol.
fn translated(from: Protocol, to: Protocol, body: &[u8]) {
    let Some(exchange) = asking(to, from) else { return };
    let (Some(mut stream), mut out) = (exchange.stream(), bytes::BytesMut::new()) else { return };
    for line in body.split(|byte| *byte == b'\n') {
        stream.event(None, line, &mut out);
    }
    stream.end(&mut out);
    assert!(stream.is_over() && !out.is_empty(), "each stream has an end");
    let length = out.len();
    stream.event(None, b"{}", &mut out);
    assert_eq!(out.len(), length, "and nothing behind it");
}

fn asking(client: Protocol, upstream: Protocol) -> Option<Exchange> {
    let body = r#"{"model":"m","stream":true,"max_tokens":9,"input":"Hi",
        "messages":[{"role":"user","content":"Hi"}],"contents":[{"parts":[{"text":"Hi"}]}]}"#;
    let incoming = Incoming { model: Some("m"), stream: true, ..Incoming::new(body.as_bytes()) };
    let caps = Caps::default();
    let translator = Translator::new(client, upstream);
    translator.request(&incoming, &Onto::new("m", &caps)).ok().map(|(_, exchange)| exchange)
}

/// Reads each line of `body` as an event of one stream.
fn stream(from: Protocol, body: &[u8]) {
    let (mut reader, mut fold) = (codec(from).decode_stream("seed"), Fold::new(from));
    for line in body.split(|byte| *byte == b'\n') {
        if reader.event(None, line, &mut fold).is_err() {
            return;
        }
    }
    let _ = reader.finish(&mut fold);
}
