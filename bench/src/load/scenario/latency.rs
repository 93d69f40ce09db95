//! What a request that is alone waits for.

use std::net::SocketAddr;

use super::{Effort, alternate, each, paced};
use crate::{
    Failed,
    ask::{APART, Ask},
    client::Seen,
    report::{Gate, Row},
    side::Pair,
    stats::{micros, percentile},
};

/// Nagle's algorithm against delayed acknowledgements costs 40 ms; nothing else here costs that.
const STALL: f64 = 38.0;

/// Measures at 40 requests a second. `direct` is where the providers are: what a proxy adds is
/// what is left without their time.
pub(crate) async fn measure(
    pair: &Pair,
    direct: SocketAddr,
    effort: &Effort,
) -> Result<Vec<Row>, Failed> {
    let json = Ask::conversation(1 << 10, 1);
    let stream = Ask::stream(APART, "[[sim:events:16]]");
    let (asked, streamed) =
        (times(pair, direct, &json, effort).await?, times(pair, direct, &stream, effort).await?);
    Ok(vec![
        Row::new("added latency p50 at 40/s", "µs", each(&asked, |t| t.added), Gate::None),
        Row::new("latency p99 at 40/s", "µs", each(&asked, |t| t.p99), Gate::None),
        Row::new("longest answer at 40/s", "ms", each(&asked, |t| t.longest), Gate::AtMost(STALL)),
        Row::new("time to first event added p50", "µs", each(&streamed, |t| t.first), Gate::None),
        Row::new("stream of 16 events added p50", "µs", each(&streamed, |t| t.added), Gate::None),
        Row::new(
            "longest stream of 16 events at 40/s",
            "ms",
            each(&streamed, |t| t.longest),
            Gate::AtMost(STALL),
        ),
    ])
}

/// Of one side in one round: microseconds, the longest in milliseconds.
#[derive(Debug)]
pub(super) struct Times {
    added: f64,
    pub(super) first: f64,
    p99: f64,
    longest: f64,
}

/// Asks each side for `effort.paced`, and the providers themselves for half as long.
pub(super) async fn times(
    pair: &Pair,
    direct: SocketAddr,
    ask: &Ask,
    effort: &Effort,
) -> Result<Vec<(Times, Times)>, Failed> {
    let lasting = effort.paced;
    alternate(pair, effort.rounds, async |process| {
        let nearer = paced(direct, ask, lasting / 2).await?;
        let seen = paced(process.address, ask, lasting).await?;
        let at = |seen: &[Seen], share| percentile(each_micros(seen, |seen| seen.whole), share);
        let first = |seen: &[Seen]| percentile(each_micros(seen, |seen| seen.first), 0.5);
        Ok(Times {
            added: at(&seen, 0.5) - at(&nearer, 0.5),
            first: first(&seen) - first(&nearer),
            p99: at(&seen, 0.99),
            longest: at(&seen, 1.0) / 1e3,
        })
    })
    .await
}

fn each_micros(seen: &[Seen], of: impl Fn(&Seen) -> std::time::Duration) -> Vec<f64> {
    seen.iter().map(|seen| micros(of(seen))).collect()
}
