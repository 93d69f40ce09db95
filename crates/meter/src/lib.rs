//! Middleware that meters what an LLM call used and what it cost, from the bytes that passed.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod account;
mod body;
mod charge;
mod drain;
mod future;
mod layer;
mod ledger;
mod meter;
mod prices;
mod service;

pub use self::{
    body::MeterBody,
    charge::{Charge, EndUser, Ending, Tags},
    drain::{Background, Work},
    future::ResponseFuture,
    layer::MeterLayer,
    ledger::{Channel, Ledger, MemoryLedger},
    prices::Prices,
    service::Meter,
};
