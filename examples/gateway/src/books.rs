//! Where the gateway's charges go, and what is read of them.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tollgate_meter::{Charge, Ledger, MemoryLedger};

/// The gateway's ledger. Clones are the same.
#[derive(Clone, Debug, Default)]
pub enum Books {
    /// Charges are forgotten. Only the answer's own header tells its cost.
    #[default]
    None,
    /// In memory, for tests. Never forgets.
    Memory(MemoryLedger),
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
        }
    }
}

/// Completes when a charge is as safe as it is to be.
#[derive(Debug)]
pub enum Recording {
    /// It is.
    Done,
}

impl Future for Recording {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        match &*self {
            Self::Done => Poll::Ready(()),
        }
    }
}
