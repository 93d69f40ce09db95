//! Requests and answers of one LLM protocol in the words of another.
//!
//! Four protocols, each with a decoder into one conversation model and an encoder out of it:
//! OpenAI Chat Completions, OpenAI Responses, Anthropic Messages, Gemini generateContent. No
//! protocol is the hub, and no two know each other. Everything here is a pure function of its
//! arguments: no I/O, no clock, no randomness, and the same conversation is always written as the
//! same bytes, so that upstream prompt caches hold.
//!
//! ```
//! use tollgate_core::{Caps, Protocol};
//! use tollgate_translate::{Incoming, Onto, Translator};
//!
//! // A Claude client, a GPT model.
//! let body = br#"{"model":"fast","max_tokens":500,"top_k":5,"system":"Be brief.",
//!     "messages":[{"role":"user","content":"Hi"}]}"#;
//! let translator = Translator::new(Protocol::AnthropicMessages, Protocol::OpenAiChat);
//! let caps = Caps::default();
//! let (sent, exchange) =
//!     translator.request(&Incoming::new(body), &Onto::new("gpt-5-mini", &caps)).unwrap();
//!
//! assert_eq!(sent.path, "/v1/chat/completions");
//! assert_eq!(
//!     String::from_utf8(sent.body).unwrap(),
//!     r#"{"model":"gpt-5-mini","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"}],"max_completion_tokens":500}"#
//! );
//! // Nothing is lost in silence.
//! assert_eq!(exchange.warnings().header().unwrap(), "dropped_field:/top_k");
//! ```
//!
//! # What is carried and what is not
//!
//! Each field of each protocol's request has a row in a table ([`Codec::dispositions`],
//! [`find`]): it is carried, approximated, dropped or refused in each other protocol. Whatever is
//! not carried as it stood is a [`Warning`] that names it in the client's words; what the model
//! must see and cannot is a [`Refusal`](tollgate_core::Refusal). A strict [`Policy`] refuses
//! instead of warning. What only one protocol has stays with its node in the model and is written
//! back to that protocol alone.
//!
//! # What the model of a target takes
//!
//! No codec looks at a model's name. What a model takes (a thinking budget or a level, which
//! sampling, media in tool results, …) comes in as [`Caps`](tollgate_core::Caps).
//!
//! # Streams
//!
//! [`Exchange::stream`] translates the answer while it comes, event by event: see [`stream`].
//!
//! # Numbers and texts
//!
//! Arguments, schemas and numbers pass as they were spelled: `12345678901234567890` stays, `1.0`
//! does not become `1`.
//!
//! # Reasoning
//!
//! What a provider signed or encrypted is handed back to that provider unchanged, also through a
//! client of another protocol: there it travels in an envelope in the slot that protocol has for
//! such values. It is never shown to another provider, and reasoning never becomes visible text.
//!
//! # The surprise
//!
//! A request in its own protocol is not translated at all: whoever forwards it sends its bytes.
//! The codecs can write their own protocol, but `null` members, item ids and spelling of equal
//! things are lost on that way.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod answers;
pub mod anthropic_messages;
mod carrier;
pub mod case;
mod codec;
mod date;
mod effort;
mod embed;
mod envelope;
mod exchange;
mod fetch;
mod forget;
pub mod gemini;
mod ids;
pub mod json;
pub mod layer;
mod lost;
mod media;
pub mod model;
mod names;
mod openai;
pub mod openai_chat;
pub mod openai_responses;
mod restore;
mod schema;
mod search;
mod shape;
mod state;
pub mod stream;
mod table;
mod untaken;
mod warning;

pub use tollgate_core;

pub use self::{
    codec::{Asked, Codec, Incoming, Onto, Outgoing, codec},
    embed::{EmbedAnswer, EmbedRequest},
    exchange::{Exchange, Kind, Policy, Translator, error, models, render},
    fetch::{Fetched, Wanted, inline, unfetched, wanted},
    forget::forget_reasoning,
    layer::TranslateLayer,
    restore::Restore,
    stream::StreamTranslator,
    table::{Disposition, Row, find},
    warning::{Code, Report, Warning, Warnings},
};
