//! Middleware that asks another upstream when one fails, before anybody sees of it.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod answer;
mod backoff;
mod body;
mod breaker;
mod budget;
mod counts;
mod future;
mod layer;
mod policy;
mod run;
mod service;

pub use self::{
    backoff::Backoff,
    body::FallbackBody,
    breaker::Breaker,
    budget::Budget,
    counts::Counts,
    future::ResponseFuture,
    layer::FallbackLayer,
    policy::{Action, ByClass, Limited, Or, Policy, Tried},
    service::Fallback,
};
