//! Event streams of LLM protocols: read, written, watched, held back and ended honestly.
//!
//! From the smallest to the largest:
//!
//! - [`Decoder`] takes bytes cut anywhere and gives whole events: server-sent events, or the JSON
//!   array of Gemini without `alt=sse` ([`Framing`]). [`Encoder`] and [`encode_event`] write them.
//! - [`Observe`] shows the events of a body that passes untouched; [`MapEvents`] makes other
//!   events of them. Both say exactly once how it [`End`]ed.
//! - [`Gate`] holds an answer until its first content, its failure or its end. It is the one place
//!   where that is decided.
//! - [`SseLayer`] stands on the client's side: errors before content are HTTP errors, errors after
//!   it one event of the protocol; idle streams are kept alive.
//! - [`DeadlineLayer`] stands around one upstream and limits its silence.
//!
//! No layer spawns a task; dropping a future or body drops what is inside.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod call;
pub mod client;
pub mod deadline;
mod decode;
mod encode;
mod end;
mod gate;
mod map;
mod observe;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod scripted;

pub use self::{
    client::SseLayer,
    deadline::{DeadlineLayer, Deadlines},
    decode::{DecodeError, Decoded, Decoder, Framing, Tail},
    encode::{Encoder, encode_event},
    end::End,
    gate::{Failed, Gate, Gated, GatedBody, Limits, Media, Passed, Sound},
    map::{Machine, MapEvents, Out},
    observe::{Observe, Observer, OnEvents, on_events},
};
