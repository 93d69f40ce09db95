//! The leaf of a stack: sends a request to its target and answers with what came back.
//!
//! [`Upstream`] is a service for any request body. Where a request goes and what of it an upstream
//! may see is decided by pure functions ([`url`], [`headers`]); what is known of a provider is data
//! ([`Preset`]).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod body;
mod connect;
mod error;
mod future;
pub mod headers;
mod preset;
mod service;
pub mod url;

pub use self::{
    body::UpstreamBody,
    connect::Resolver,
    future::ResponseFuture,
    headers::strip_account_headers,
    preset::{Auth, Endpoint, PRESETS, Preset, preset},
    service::{Builder, HttpsConnector, Upstream},
};
