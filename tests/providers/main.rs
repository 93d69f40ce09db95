//! What `[providers.NAME]` says: where a provider is, how it is reached, and what proves who pays.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod discovery;
mod gateway;
mod hosts;
mod ways;
