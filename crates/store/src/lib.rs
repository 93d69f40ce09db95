//! Charges and virtual keys of a gateway, in one SQLite file.
//!
//! [`SqliteStore`] is a [`Ledger`](tollgate_meter::Ledger) and a
//! [`KeyStore`](tollgate_keys::KeyStore).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod call;
mod counters;
mod details;
mod error;
mod journal;
mod options;
mod queue;
mod row;
mod spend;
mod sqlite;
mod sum;

pub use self::{
    call::{AttemptRecord, CallRecord},
    counters::Counters,
    error::StoreError,
    options::{Durability, Options},
    spend::{Range, SpendBy, SpendRow, UnknownGrouping},
    sqlite::{Migration, Recording, SqliteStore, pending},
};
