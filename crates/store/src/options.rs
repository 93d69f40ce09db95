use std::time::Duration;

/// When a charge counts as kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// Charges are written together every 100 ms and on the disk after a second at the latest. An
    /// answer waits for nothing. The default.
    #[default]
    Batched,
    /// An answer's end is released when its charge is on the disk.
    Strict,
}

/// How a store works.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    pub(crate) durability: Durability,
    pub(crate) queue: usize,
    pub(crate) journal: u64,
    pub(crate) patience: Duration,
    #[cfg(test)]
    pub(crate) before_commit: Option<crate::sqlite::BeforeCommit>,
}

impl Options {
    /// Returns the defaults: batched, 65,536 charges in the queue, 256 MiB of journal.
    pub fn new() -> Self {
        Self {
            durability: Durability::default(),
            queue: 65_536,
            journal: 256 << 20,
            patience: Duration::from_secs(10),
            #[cfg(test)]
            before_commit: None,
        }
    }

    /// Sets when a charge counts as kept. Default: [`Durability::Batched`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets how many charges may wait to be written before further ones go to the journal.
    /// Default: 65,536, which takes some 100 MiB when it is full. Zero counts as one.
    pub fn queue(mut self, charges: usize) -> Self {
        self.queue = charges.max(1);
        self
    }

    /// Sets how many bytes the journal may grow to. Default: 256 MiB.
    pub fn journal(mut self, bytes: u64) -> Self {
        self.journal = bytes;
        self
    }

    /// Sets how long an answer waits in [`Durability::Strict`] at most, whatever keeps its charge
    /// from the disk: neither the file nor the journal can be written, or a write does not return.
    /// It then ends without its charge being safe, which is logged and counted in [`Counters::released`](crate::Counters::released). Default: 10 s.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}
