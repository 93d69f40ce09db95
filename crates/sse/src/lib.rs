//! Event streams of LLM protocols.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod decode;
mod encode;

pub use self::{
    decode::{DecodeError, Decoded, Decoder, Framing, Tail},
    encode::{Encoder, encode_event},
};
