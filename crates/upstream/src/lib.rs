//! The leaf of a stack: sends a request to its target and answers with what came back.
//!
//! [`Upstream`] is a service for any request body. Where a request goes and what of it an upstream
//! may see is decided by pure functions ([`url`], [`headers`]); what is known of a provider is data
//! ([`Preset`]); how a protocol is carried at hosts with paths of their own is [`transport`]; where a
//! key in a header is not enough to prove who pays, a [`Signer`] does.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod body;
mod builder;
mod connect;
mod envelope;
mod error;
mod events;
pub mod fetch;
mod future;
pub mod headers;
mod hosted;
mod hosting;
mod lanes;
mod pool;
mod preset;
mod proxy;
mod service;
mod sign;
mod tls;
pub mod transport;
pub mod url;

#[cfg(feature = "bedrock")]
pub use self::sign::{AwsKeys, SigV4};
#[cfg(feature = "vertex")]
pub use self::sign::{GoogleAccount, GoogleToken, InvalidAccount};
pub use self::{
    body::UpstreamBody,
    builder::Builder,
    connect::{Connector, Dialed, Dialer, Resolver},
    future::ResponseFuture,
    headers::strip_account_headers,
    hosting::{Hosting, Place},
    preset::{Auth, Endpoint, PRESETS, Preset, preset},
    proxy::{InvalidProxy, Proxies},
    service::{HttpsConnector, Upstream},
    sign::{Signer, Signing},
    tls::InvalidPem,
};
