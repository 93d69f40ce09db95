use std::{
    future::{Future, Ready, ready},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
};

use crate::Charge;

/// Where charges go.
///
/// Cloned into each answer: make it a handle. [`Ledger::record`] is called exactly once for each
/// attempt, at its end, also when the client has left.
pub trait Ledger: Send + Sync + 'static {
    /// Completes when the charge is as safe as this ledger makes it. An answer's end waits for it;
    /// dropped, the charge is recorded all the same.
    type Recording: Future<Output = ()> + Send;

    /// Takes a charge. Must not block: what takes time belongs into the future or behind it.
    fn record(&self, charge: Charge) -> Self::Recording;
}

impl<L: Ledger + ?Sized> Ledger for Arc<L> {
    type Recording = L::Recording;

    fn record(&self, charge: Charge) -> L::Recording {
        (**self).record(charge)
    }
}

/// A ledger in memory, for tests and small programs. Clones share their charges.
#[derive(Clone, Debug, Default)]
pub struct MemoryLedger(Arc<Mutex<Vec<Charge>>>);

impl MemoryLedger {
    /// Returns a ledger without charges.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the charges so far, in the order in which attempts ended.
    pub fn charges(&self) -> Vec<Charge> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Charge>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger for MemoryLedger {
    type Recording = Ready<()>;

    fn record(&self, charge: Charge) -> Ready<()> {
        self.lock().push(charge);
        ready(())
    }
}

/// A ledger that hands charges to whoever holds the receiver.
///
/// ```
/// use tollgate_meter::Channel;
///
/// let (ledger, charges) = Channel::new();
/// # drop(ledger);
/// assert_eq!(charges.iter().count(), 0, "ends with its last ledger");
/// ```
#[derive(Clone, Debug)]
pub struct Channel(mpsc::Sender<Charge>);

impl Channel {
    /// Returns a ledger and what receives its charges. Nothing bounds how many wait: whoever
    /// receives must keep up. Without a receiver charges are lost.
    pub fn new() -> (Self, mpsc::Receiver<Charge>) {
        let (sender, receiver) = mpsc::channel();
        (Self(sender), receiver)
    }
}

impl Ledger for Channel {
    type Recording = Ready<()>;

    fn record(&self, charge: Charge) -> Ready<()> {
        let _ = self.0.send(charge);
        ready(())
    }
}
