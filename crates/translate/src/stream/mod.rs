//! Streams while they come.
//!
//! A stream of one protocol is read as [`Event`]s of the conversation model, which are written as
//! a stream of another: one small machine with a memory per protocol and direction
//! ([`DecodeStream`], [`EncodeStream`]), and no protocol knows its other half. A whole answer is
//! nothing else: [`Fold`] makes one of the events, [`unfold`] makes events of one.
//!
//! ```
//! use bytes::BytesMut;
//! use tollgate_core::{Caps, Protocol};
//! use tollgate_translate::{Incoming, Onto, Translator};
//!
//! // A Claude client, a server that speaks Chat.
//! let body = br#"{"model":"fast","max_tokens":500,"stream":true,
//!     "messages":[{"role":"user","content":"Hi"}]}"#;
//! let translator = Translator::new(Protocol::AnthropicMessages, Protocol::OpenAiChat);
//! let caps = Caps::default();
//! let onto = Onto::new("gpt-5-mini", &caps);
//! let (_, exchange) = translator.request(&Incoming::new(body), &onto).unwrap();
//! let mut stream = exchange.stream().unwrap();
//!
//! let mut out = BytesMut::new();
//! stream.event(None, br#"{"choices":[{"index":0,"delta":{"content":"Hello"}}]}"#, &mut out);
//! assert!(std::str::from_utf8(&out).unwrap().contains(r#""type":"text_delta","text":"Hello""#));
//!
//! // The body ended before the model did: that is an error, and no `message_stop`.
//! out.clear();
//! stream.end(&mut out);
//! assert!(out.starts_with(b"event: error\n"));
//! assert_eq!(stream.fault().unwrap().code.as_deref(), Some("upstream_truncated"));
//! ```
//!
//! # When something leaves
//!
//! Each event of the upstream leaves as soon as the client's protocol can express it. What waits
//! is only what cannot be said yet: the arguments of a call towards Gemini, which knows whole calls
//! alone; a block that is younger than an open one where a protocol has one open block; a name
//! that has not come; the ending, until the upstream's is certain.
//!
//! # How it ends
//!
//! As its own protocol ends: Chat with `[DONE]`, Messages with `message_stop`, Responses with its
//! whole output repeated, Gemini with nothing. Messages and Responses are complete with their last
//! event; Chat and Gemini when every alternative has finished and the body ended as it should, or
//! `[DONE]` was said. Everything else is one error event in the client's protocol, and nothing
//! after it. [`StreamTranslator::is_committed`] tells whether the client saw anything before: until
//! then the answer can still become a plain error.
//!
//! # What is kept
//!
//! Nothing that grows with the stream, unless the client's protocol repeats it: Responses its
//! output, Chat the text of a block of reasoning beside its signature, Gemini the arguments of one
//! call. That and what waits for its turn is limited to 16 MiB.
//!
//! # The surprise
//!
//! A signature that comes after the text it is bound to stands behind it where a protocol would
//! have it before: it cannot be taken back to where it belongs.

mod event;
mod fold;
mod order;
mod out;
mod restore;
mod translator;

pub use self::{
    event::{DecodeStream, Delta, EncodeStream, Ending, Event, Flow, Head, Sink, Start, Tool},
    fold::{Fold, unfold},
    out::Out,
    translator::{StreamCollector, StreamTranslator},
};
pub(crate) use self::{
    event::{broken, failed, malformed_call},
    order::InOrder,
    out::{LIMIT, Pen},
    translator::Terms,
};
