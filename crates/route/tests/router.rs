//! The router alone: what names mean, who is asked in which order, who is left out.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "router/support.rs"]
mod support;

#[path = "router/affinity.rs"]
mod affinity;
#[path = "router/allowed.rs"]
mod allowed;
#[path = "router/explain.rs"]
mod explain;
#[path = "router/fitness.rs"]
mod fitness;
#[path = "router/names.rs"]
mod names;
#[path = "router/orders.rs"]
mod orders;
#[path = "router/wishes.rs"]
mod wishes;
