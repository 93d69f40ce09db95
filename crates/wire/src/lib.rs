//! What the LLM protocols look like on the wire.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod credential;
mod dialect;
mod fault;
pub mod json;
mod models;
pub mod peek;
mod stream;

pub use self::{
    dialect::{Dialect, Route},
    fault::{Fault, Rendered},
    models::ModelCard,
    stream::{Automaton, Event, OwnEvent, Seen},
};
