//! Keys at both ends of a gateway: who is asking, and with which credential an upstream is asked.
//!
//! [`KeyLayer`] turns the client's key into a [`Principal`](tollgate_core::Principal) and removes
//! every credential the client sent; [`CredentialLayer`] sets ours for the target of an attempt.
//! Keys are looked up in a [`KeyStore`]: [`MemoryKeys`], [`FileKeys`], a closure, or your own.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod credential;
mod file;
mod hash;
pub mod key;
mod memory;
mod record;

pub use self::{
    credential::{Credential, CredentialLayer, Credentials},
    file::{FileKeys, KeyFileError, NewKey},
    hash::{KeyHash, generate},
    key::{AsAsked, Canonical, KeyLayer},
    memory::MemoryKeys,
    record::{KeyRecord, KeyStore},
};
