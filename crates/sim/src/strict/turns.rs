//! Calls and their answers.

use std::collections::HashSet;

/// The ids of calls that wait for an answer, in their order.
#[derive(Debug, Default)]
pub(super) struct Waiting<'a> {
    open: Vec<&'a str>,
    ever: HashSet<&'a str>,
}

impl<'a> Waiting<'a> {
    /// A call; false if its id was used before.
    pub(super) fn call(&mut self, id: &'a str) -> bool {
        self.open.push(id);
        self.ever.insert(id)
    }

    /// An answer; false if nobody waits for it.
    pub(super) fn answer(&mut self, id: &str) -> bool {
        let at = self.open.iter().position(|open| *open == id);
        at.map(|at| self.open.remove(at)).is_some()
    }

    /// The calls nobody has answered.
    pub(super) fn left(&self) -> Option<String> {
        (!self.open.is_empty()).then(|| self.open.join(", "))
    }
}
