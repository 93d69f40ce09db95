//! Event streams of LLM protocols.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod call;
mod client;
mod deadline;
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
    client::{ResponseFuture as SseFuture, Sse, SseBody, SseLayer},
    deadline::{DeadlineBody, DeadlineFuture, DeadlineLayer, DeadlineService, Deadlines},
    decode::{DecodeError, Decoded, Decoder, Framing, Tail},
    encode::{Encoder, encode_event},
    end::End,
    gate::{Failed, Gate, Gated, GatedBody, Limits},
    map::{Machine, MapEvents, Out},
    observe::{Observe, Observer, OnEvents, on_events},
};
