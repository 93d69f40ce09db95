//! CPU of streams that come as fast as they can.

use super::{Effort, alternate, cpu_per_answer, each};
use crate::{
    Failed,
    ask::{APART, Ask, TOGETHER},
    report::{Gate, Row},
    side::Pair,
};

const SHORT: usize = 16;
const LONG: usize = 256;

/// CPU per stream, in microseconds.
#[derive(Debug)]
pub(super) struct Costs {
    short: f64,
    long: f64,
}

impl Costs {
    /// What each further event costs, without what a request costs anyway.
    pub(super) fn per_event(&self) -> f64 {
        (self.long - self.short) / (LONG - SHORT) as f64
    }
}

/// Measures streams of 16 and 256 events, the events written each on its own and all at once.
pub(crate) async fn measure(
    apart: &Pair,
    together: &Pair,
    effort: &Effort,
) -> Result<Vec<Row>, Failed> {
    let alone = costs(apart, |marker| Ask::stream(APART, marker), effort).await?;
    let joined = costs(together, |marker| Ask::stream(TOGETHER, marker), effort).await?;
    let row = |what, rounds, gate| Row::new(what, "µs", rounds, gate);
    Ok(vec![
        row("CPU per stream of 16 events", each(&alone, |c| c.short), Gate::None),
        row("CPU per stream of 256 events", each(&alone, |c| c.long), Gate::None),
        row(
            "CPU per further event, written alone",
            each(&alone, Costs::per_event),
            Gate::Ratio(1.15),
        ),
        row("CPU per stream of 256, written together", each(&joined, |c| c.long), Gate::None),
        row("CPU per further event, written together", each(&joined, Costs::per_event), Gate::None),
    ])
}

pub(super) async fn costs(
    pair: &Pair,
    ask: impl Fn(&str) -> Ask,
    effort: &Effort,
) -> Result<Vec<(Costs, Costs)>, Failed> {
    let of = |events: usize| ask(&format!("[[sim:events:{events}]]"));
    let (short, long, round) = (of(SHORT), of(LONG), effort.round);
    alternate(pair, effort.rounds, async |process| {
        Ok(Costs {
            short: cpu_per_answer(process, &short, round).await?,
            long: cpu_per_answer(process, &long, round).await?,
        })
    })
    .await
}
