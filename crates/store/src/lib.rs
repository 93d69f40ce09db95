//! The ledger and the virtual keys of a gateway, in one SQLite file.
//!
//! [`SqliteStore`] is a [`Ledger`](tollgate_meter::Ledger): it takes the charge of each attempt and
//! never makes its caller wait. And it is a [`KeyStore`](tollgate_keys::KeyStore), which knows keys
//! by their hashes.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//!
//! use tollgate_core::{CallId, Money, Operation, Protocol};
//! use tollgate_keys::{KeyHash, KeyStore, NewKey};
//! use tollgate_meter::{Charge, Ledger};
//! use tollgate_store::{Options, Range, SpendBy, SqliteStore};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("tollgate.db");
//! let store = SqliteStore::open(&path, Options::new())?;
//!
//! // Charges, as a meter makes them. Told twice, counted once.
//! let now = SystemTime::now();
//! let mut charge =
//!     Charge::new(CallId::random(), now, Protocol::AnthropicMessages, Operation::Generate);
//! charge.cost = Some(Money::parse("0.0075")?);
//! drop(store.record(charge.clone()));
//! drop(store.record(charge.clone()));
//!
//! assert!(store.flush(Duration::from_secs(5)), "on the disk");
//! let days = store.spend(SpendBy::Day, Range::all().since(now))?;
//! assert_eq!((days[0].usd.to_string(), days[0].calls), ("0.0075".to_owned(), 1));
//! let call = store.call(charge.call, None)?.expect("recorded a moment ago");
//! assert_eq!(call.cost_usd, charge.cost);
//!
//! // Keys: shown once, kept as hashes.
//! let (key, record) = store.create(NewKey::new("dev"))?;
//! assert_eq!(store.lookup(&KeyHash::of(&key)), Some(record));
//!
//! assert!(store.close(Duration::from_secs(5)), "nothing is left behind");
//! # Ok(())
//! # }
//! ```
//!
//! # How safe a charge is
//!
//! With [`Durability::Batched`], the default, charges are written together every 100 ms and synced
//! every second. With [`Durability::Strict`] a [`Recording`] completes when its charge is on the
//! disk, and a meter releases the end of the answer only then.
//!
//! # When the file cannot be written
//!
//! Locked, full, slow or gone: charges go to a journal beside the file, and from there into it when
//! that is possible again. [`Counters`] tell how many. While not even the journal can be written
//! they wait in memory; those beyond [`Options::queue`] are lost, counted and logged.
//!
//! # What may surprise
//!
//! [`Range`] and [`SqliteStore::spent`] know whole days (UTC): what is asked is answered from sums,
//! not from charges. And everything but recording and looking up keys blocks: from asynchronous
//! code it belongs where blocking is allowed.

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
mod terse;

pub use self::{
    call::{AttemptRecord, CallRecord},
    counters::Counters,
    error::StoreError,
    options::{Durability, Options},
    spend::{Range, SpendBy, SpendRow, UnknownGrouping},
    sqlite::{Migration, Recording, SqliteStore, pending},
};
