//! The fault table, driven through the gateway's whole stack from a scripted upstream.
//!
//! One trial per row, protocol and kind of answer. With a single target nothing can fall back:
//! before content a fault must be a typed HTTP error in the caller's protocol, after it exactly one
//! error event of that protocol and then the end. Time is paused and no port is opened.
//!
//! `docs/faults.md` is generated from the list of trials; `UPDATE_DOCS=1` writes it anew.

mod breaks;
mod clients;
mod cuts;
mod fallback;
mod gateway;
mod judge;
mod lane;
mod logs;
mod matrix;
mod silence;
mod table;
mod translated;
mod wire;
mod wrong;

use libtest_mimic::{Arguments, Trial};

use crate::{lane::Lane, table::Row};

fn main() {
    let arguments = Arguments::from_args();
    let rows = table::rows();
    let page = matrix::page(&rows);
    let mut trials: Vec<_> = rows.into_iter().flat_map(trials).collect();
    trials.push(Trial::test("docs_matrix_is_current", move || matrix::is_current(&page)));
    libtest_mimic::run(&arguments, trials).exit();
}

fn trials(row: Row) -> impl Iterator<Item = Trial> {
    Lane::of(row.kinds).map(move |lane| {
        let name = format!("fault_{:02}_{}::{lane}", row.number, row.name);
        Trial::test(name, move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_time().start_paused(true).build()?;
            runtime.block_on((row.run)(lane));
            Ok(())
        })
    })
}
