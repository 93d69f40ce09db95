//! What the LLM protocols look like on the wire.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod answers;
pub mod anthropic_messages;
mod date;
pub mod credential;
mod dialect;
mod fault;
pub mod gemini;
mod hints;
pub mod json;
mod members;
mod models;
mod openai;
pub mod openai_chat;
pub mod openai_responses;
pub mod peek;
mod said;
mod stream;
mod words;

pub use self::{
    dialect::{Dialect, Route, dialect},
    fault::{Fault, Rendered},
    models::ModelCard,
    stream::{Automaton, Event, OwnEvent, Seen},
};
