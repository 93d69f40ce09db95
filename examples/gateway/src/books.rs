//! Where the gateway's charges go, and what is read of them.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use serde::Serialize;
use tollgate_core::{CallId, KeyId, Money};
use tollgate_meter::{Charge, Ledger, MemoryLedger, Metrics};
use tollgate_store::{CallRecord, SqliteStore, StoreError};

/// How long a question waits for the charges of the last moment.
const LAST_MOMENT: Duration = Duration::from_millis(500);

/// The gateway's ledger. Clones are the same.
#[derive(Clone, Debug, Default)]
pub enum Books {
    /// Charges are forgotten. Only the answer's own header tells its cost.
    #[default]
    None,
    /// In memory, for tests. Never forgets.
    Memory(MemoryLedger),
    /// In a file, counted as they pass.
    Store(Metrics<SqliteStore>),
}

impl Ledger for Books {
    type Recording = Recording;

    fn record(&self, charge: Charge) -> Recording {
        match self {
            Self::None => Recording::Done,
            Self::Memory(ledger) => {
                drop(ledger.record(charge));
                Recording::Done
            }
            Self::Store(store) => Recording::Store(store.record(charge)),
        }
    }
}

/// Completes when a charge is as safe as it is to be.
#[derive(Debug)]
pub enum Recording {
    /// It is.
    Done,
    /// When the store says so.
    Store(tollgate_store::Recording),
}

impl Future for Recording {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut *self {
            Self::Done => Poll::Ready(()),
            Self::Store(recording) => Pin::new(recording).poll(cx),
        }
    }
}

/// What a key has spent, as `GET /v1/spend` answers it. Amounts are decimal texts of USD.
#[derive(Clone, Debug, Serialize)]
pub struct Spent {
    spent_usd: String,
    held_usd: String,
    budgets: [(); 0],
}

impl Books {
    /// Returns what a key has spent. Blocks.
    ///
    /// Errors: the store cannot be read.
    pub fn spent(&self, key: &KeyId) -> Result<Spent, StoreError> {
        let spent_usd = match self {
            Self::None => Money::ZERO,
            Self::Memory(ledger) => of_key(ledger, key),
            Self::Store(counted) => {
                let store = counted.inner();
                store.flush(LAST_MOMENT);
                store.spent(key, SystemTime::UNIX_EPOCH)?
            }
        };
        let held_usd = Money::ZERO.to_string();
        Ok(Spent { spent_usd: spent_usd.to_string(), held_usd, budgets: [] })
    }

    /// Returns what is known of a key's call. Blocks.
    ///
    /// Errors: the store cannot be read.
    pub fn call(&self, id: CallId, key: Option<&KeyId>) -> Result<Option<CallRecord>, StoreError> {
        let Self::Store(counted) = self else { return Ok(None) };
        let store = counted.inner();
        store.flush(LAST_MOMENT);
        store.call(id, key)
    }
}

fn of_key(ledger: &MemoryLedger, key: &KeyId) -> Money {
    let charges = ledger.charges();
    let own = charges.iter().filter(|c| c.principal.as_ref().is_some_and(|p| p.key == *key));
    Money::sum(own.filter_map(|charge| charge.cost)).unwrap_or_default()
}
