//! Requests and answers of one LLM protocol in the words of another.
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
pub mod gemini;
mod ids;
pub mod json;
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
mod table;
mod warning;

pub use tollgate_core;

pub use self::{
    codec::{Asked, Codec, Incoming, Onto, Outgoing, codec},
    embed::{EmbedAnswer, EmbedRequest},
    exchange::{Exchange, Kind, Policy, Translator, error, models, render},
    fetch::{Fetched, Wanted, inline, wanted},
    restore::Restore,
    table::{Disposition, Row, find},
    warning::{Code, Report, Warning, Warnings},
};
