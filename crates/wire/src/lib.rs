//! What the LLM protocols look like on the wire.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod aim;
mod answers;
pub mod anthropic_messages;
mod caller;
pub mod content;
pub mod credential;
mod date;
mod dialect;
mod discreet;
mod fault;
pub mod gemini;
mod hints;
mod inspect;
pub mod json;
mod members;
mod models;
mod openai;
pub mod openai_chat;
pub mod openai_responses;
pub mod patch;
mod path;
pub mod peek;
mod prompt;
mod said;
pub mod segment;
mod stream;
pub mod usage;
mod words;

pub use tollgate_core;

pub use self::{
    aim::{aim, with_path},
    caller::{Caller, ORIGIN},
    dialect::{Dialect, Route, dialect},
    discreet::discreet,
    fault::{Fault, Rendered},
    inspect::{Inspect, InspectFuture},
    models::ModelCard,
    path::{Located, asks_model, locate, prefix},
    prompt::prompt_bytes,
    stream::{Automaton, Event, OwnEvent, Seen},
};
