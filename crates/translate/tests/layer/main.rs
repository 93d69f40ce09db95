//! The layer in front of scripted upstreams of every protocol.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod answers;
mod bounds;
mod errors;
mod fetching;
mod samples;
mod streams;
