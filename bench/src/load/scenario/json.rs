//! CPU per request of JSON answers.

use super::{Effort, alternate, cpu_per_answer};
use crate::{
    Failed,
    ask::Ask,
    report::{Gate, Row},
    side::Pair,
};

/// Measures requests of four sizes.
pub(crate) async fn measure(pair: &Pair, effort: &Effort) -> Result<Vec<Row>, Failed> {
    let sizes = [
        ("CPU per request, JSON 1 KB", Ask::conversation(1 << 10, 1), Gate::Ratio(1.3)),
        ("CPU per request, JSON 8 KB", Ask::conversation(8 << 10, 7), Gate::None),
        ("CPU per request, JSON 200 KB", Ask::conversation(200 << 10, 161), Gate::Ratio(1.5)),
        ("CPU per request, JSON 2 MB", Ask::image(2 << 20), Gate::Ratio(2.0)),
    ];
    let mut rows = Vec::new();
    for (what, ask, gate) in sizes {
        let round = effort.round;
        let rounds = alternate(pair, effort.rounds, async |process| {
            cpu_per_answer(process, &ask, round).await
        });
        rows.push(Row::new(what, "µs", rounds.await?, gate));
    }
    Ok(rows)
}
