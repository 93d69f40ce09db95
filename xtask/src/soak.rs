//! What takes minutes and belongs to no everyday check: the store, killed often and filled far.

use crate::run::{Step, cargo, run};

/// How often each store of the crash test is killed.
const KILLS: &str = "50";

/// Runs the crash test with many kills, then asks a store of ten million charges what was spent.
/// `rows`: another number of charges.
pub(crate) fn all(rows: Option<String>) -> Step {
    let mut kills = cargo(&["test", "--quiet", "--package", "tollgate-store", "--test", "crash"]);
    kills.env("TOLLGATE_TEST_KILLS", KILLS);
    run(kills)?;
    let mut spend = cargo(&["run", "--quiet", "-p", "tollgate-store", "--example", "soak", "--"]);
    spend.args(rows);
    run(spend)
}
