use std::{collections::VecDeque, sync::Arc, thread, time::Duration};

use super::{database::Database, patience::Hold};
use crate::{
    Durability,
    counters::{Counts, add},
    journal::Journal,
    queue::Queue,
    row::{Packed, Row},
};

/// How many charges one transaction takes: others may write in between.
const CHUNK: usize = 4096;
const GATHER: Duration = Duration::from_millis(100);
/// While neither database nor journal can be written.
const RETRY: Duration = Duration::from_millis(100);

/// A charge, and what holds the answer that waits for it. Dropped: nobody waits any longer.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) packed: Box<Packed>,
    pub(super) _hold: Option<Hold>,
}

impl Entry {
    fn row(&self) -> Row<'_> {
        self.packed.row()
    }
}

pub(super) type Entries = Queue<Entry>;

/// The thread that writes to the database.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) queue: Arc<Entries>,
    pub(super) journal: Arc<Journal>,
    pub(super) counts: Arc<Counts>,
    pub(super) database: Database,
    pub(super) durability: Durability,
}

impl Writer {
    pub(super) fn run(mut self) {
        loop {
            let taken = self.queue.take(self.database.next_look(), self.gather());
            let ended = taken.closed && taken.items.is_empty();
            self.keep_all(taken.items);
            if taken.hurry || taken.closed || self.database.sync_due() {
                self.sync();
            }
            self.replay();
            if ended {
                break;
            }
        }
        self.database.finish();
    }

    fn gather(&self) -> Duration {
        match self.durability {
            Durability::Batched => GATHER,
            Durability::Strict => Duration::ZERO,
        }
    }

    fn keep_all(&mut self, mut entries: VecDeque<Entry>) {
        while !entries.is_empty() {
            let rest = entries.split_off(entries.len().min(CHUNK));
            let mut chunk = std::mem::replace(&mut entries, rest);
            let count = chunk.len();
            // Of what is told twice the first stays first.
            chunk.make_contiguous().sort_by_key(|entry| entry.packed.identity());
            self.keep(&chunk);
            drop(chunk);
            self.queue.kept(count);
            if self.durability == Durability::Strict {
                self.queue.safe();
            }
        }
    }

    /// Keeps charges in the database or else in the journal; while neither takes them, in memory.
    fn keep(&mut self, entries: &VecDeque<Entry>) {
        while let Err(why) = self.try_keep(entries) {
            if self.queue.is_closed() {
                return self.counts.lose(entries.len(), &why);
            }
            thread::sleep(RETRY);
        }
    }

    fn try_keep(&mut self, entries: &VecDeque<Entry>) -> Result<(), std::io::Error> {
        let rows = entries.iter().map(Entry::row);
        if !self.database.is_down() {
            match self.database.commit(rows.clone()) {
                Ok(new) => {
                    add(&self.counts.written, new);
                    add(&self.counts.repeated, entries.len() - new);
                    return Ok(());
                }
                Err(e) => self.counts.fail("the database cannot be written", &e),
            }
        }
        self.journal.append(rows)?;
        add(&self.counts.journaled, entries.len());
        Ok(())
    }

    fn sync(&mut self) {
        match self.database.sync() {
            Ok(()) => self.queue.safe(),
            Err(e) => self.counts.fail("the database cannot be synced", &e),
        }
    }

    fn replay(&mut self) {
        if self.database.is_down() || !self.journal.is_filled() {
            return;
        }
        match self.journal.replay(&mut self.database) {
            Ok(count) => {
                add(&self.counts.replayed, count);
                tracing::info!(count, "charges of the journal are in the database");
            }
            Err(e) => self.counts.fail("the journal cannot be taken into the database", &e),
        }
    }
}

/// However the thread ends, nobody waits for it in vain.
impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.stop();
    }
}

/// The thread that takes what the writer's queue has no place for, straight to the journal.
#[derive(Debug)]
pub(super) struct Spill {
    pub(super) queue: Arc<Entries>,
    pub(super) journal: Arc<Journal>,
    pub(super) counts: Arc<Counts>,
}

impl Spill {
    pub(super) fn run(self) {
        loop {
            let taken = self.queue.take(Duration::from_secs(3600), Duration::ZERO);
            let count = taken.items.len();
            if count > 0 {
                self.keep(&taken.items);
            }
            drop(taken.items);
            self.queue.kept(count);
            self.queue.safe();
            if taken.closed && count == 0 {
                break;
            }
        }
    }

    fn keep(&self, entries: &VecDeque<Entry>) {
        match self.journal.append(entries.iter().map(Entry::row)) {
            Ok(()) => {
                add(&self.counts.journaled, entries.len());
            }
            Err(e) => self.counts.lose(entries.len(), &e),
        }
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        self.queue.stop();
    }
}
