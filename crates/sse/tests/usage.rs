//! Usage is read from the bytes of a stream, wherever they are cut.
#![allow(clippy::unwrap_used, clippy::panic)]

use bytes::Bytes;
use proptest::prelude::*;
use tollgate_core::{Protocol, Quality, Usage};
use tollgate_sse::{Decoder, Framing};
use tollgate_wire::usage::{Profile, Reader};

const CHAT: &str = concat!(
    "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\":{\"}}],\"usage\":null}\n\n",
    ": keep-alive\n\n",
    "data: {\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4,\"total_tokens\":13}}\n\n",
    "data: [DONE]\n\n",
);

const MESSAGES: &str = concat!(
    "event: message_start\r\n",
    "data: {\"type\":\"message_start\",\"message\":{\"model\":\"m\",\"usage\":{\"input_tokens\":4,\"cache_read_input_tokens\":5,\"output_tokens\":1}}}\r\n\r\n",
    "event: ping\r\ndata: {\"type\":\"ping\"}\r\n\r\n",
    "event: message_delta\r\n",
    "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\r\n",
    "data: \"usage\":{\"input_tokens\":0,\"output_tokens\":4}}\r\n\r\n",
);

const GEMINI: &str = concat!(
    "[{\"usageMetadata\":{\"promptTokenCount\":9,\"totalTokenCount\":9},\"modelVersion\":\"m\"}\n,\r\n",
    "{\"usageMetadata\":{\"promptTokenCount\":9,\"candidatesTokenCount\":1,\"thoughtsTokenCount\":3,\"totalTokenCount\":13}}]",
);

fn read(protocol: Protocol, framing: Framing, frames: &[Bytes]) -> Usage {
    let mut reader = Reader::new(Profile::of(protocol, "any"));
    let mut decoder = Decoder::new(framing);
    for frame in frames {
        decoder.push(frame.clone());
        while let Some(event) = decoder.next().unwrap() {
            reader.event(event.event());
        }
    }
    reader.finish(true)
}

proptest! {
    #[test]
    fn cuts_make_no_difference(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        for (protocol, framing, text) in [
            (Protocol::OpenAiChat, Framing::Sse, CHAT),
            (Protocol::AnthropicMessages, Framing::Sse, MESSAGES),
            (Protocol::Gemini, Framing::JsonArray, GEMINI),
        ] {
            let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(text.len())).collect();
            at.extend([0, text.len()]);
            at.sort_unstable();
            let bytes = Bytes::from(text);
            let frames: Vec<_> = at.windows(2).map(|pair| bytes.slice(pair[0]..pair[1])).collect();
            let usage = read(protocol, framing, &frames);
            prop_assert_eq!((usage.prompt_total(), usage.output_total()), (9, 4));
            prop_assert_eq!(usage.quality, Quality::Exact);
            prop_assert_eq!(usage.served.model.as_deref(), Some("m"));
        }
    }
}
