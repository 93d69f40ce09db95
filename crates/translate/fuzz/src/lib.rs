//! What every fuzz target does: `cargo +nightly fuzz run openai_chat`, in `crates/translate`.

use tollgate_core::{Caps, Protocol};
use tollgate_translate::{Asked, Incoming, Onto, Report, codec, stream::Fold};

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
    stream(from, body);
    let _ = codec(from).decode_embed(&incoming);
    let _ = codec(from).decode_embedded(body);
    let _ = codec(from).decode_models(body);
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
