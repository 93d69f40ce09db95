use std::{
    mem,
    sync::{Arc, Mutex},
};

use tollgate_core::Protocol;

use crate::said::Used;

/// What the simulated provider charges for one request: the truth a meter is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillRow {
    /// The protocol that was spoken.
    pub protocol: Protocol,
    /// The model as asked for.
    pub model: String,
    /// Input tokens, those read from and written to the cache included.
    pub input: u64,
    /// Input tokens read from the cache.
    pub cached: u64,
    /// Input tokens written to the cache.
    pub written: u64,
    /// Output tokens the client took, reasoning included; all of them for an answer in one piece.
    pub output: u64,
    /// Reasoning tokens the client took.
    pub reasoning: u64,
    /// The answer was taken to its last byte and was not broken off by the script.
    pub completed: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Bill(Arc<Mutex<Vec<BillRow>>>);

impl Bill {
    pub(crate) fn rows(&self) -> Vec<BillRow> {
        self.0.lock().expect("nobody panics while holding this lock").clone()
    }

    /// Opens the row of one request; it is written when the returned tab is dropped.
    pub(crate) fn open(&self, protocol: Protocol, model: &str, used: Used, whole: bool) -> Tab {
        let (output, reasoning) = if whole { (used.output, used.reasoning) } else { (0, 0) };
        let row = BillRow {
            protocol,
            model: model.to_owned(),
            input: used.input,
            cached: used.cached,
            written: used.written,
            output,
            reasoning,
            completed: false,
        };
        Tab { bill: self.clone(), row }
    }
}

/// An open row.
#[derive(Debug)]
pub(crate) struct Tab {
    bill: Bill,
    row: BillRow,
}

impl Tab {
    pub(crate) fn took(&mut self, spend: Spend) {
        self.row.output += spend.output;
        self.row.reasoning += spend.reasoning;
    }

    pub(crate) fn complete(&mut self) {
        self.row.completed = true;
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        let empty = BillRow { model: String::new(), ..self.row };
        let row = mem::replace(&mut self.row, empty);
        self.bill.0.lock().expect("nobody panics while holding this lock").push(row);
    }
}

/// Output tokens one event carries.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spend {
    pub(crate) output: u64,
    pub(crate) reasoning: u64,
}
