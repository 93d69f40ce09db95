//! The gateway built from Tollgate's layers, as a library its binary and the whole tests share.
//!
//! The only place that knows all layers: [`stack`] is their order, [`State`] what they read while
//! serving, [`serve`] the listener.

mod config;
mod logs;
mod names;
mod serve;
mod stack;
mod state;

pub use self::{
    config::{Config, ConfigError, Deadlines, Source},
    logs::Logs,
    names::{Names, Provider},
    serve::{Limits, serve},
    stack::{Options, Readiness, stack},
    state::{CredentialsByName, SharedState, State},
};
