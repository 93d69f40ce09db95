//! Streams between protocols.
//!
//! The bare proxy passes the answer of a provider that speaks the client's protocol itself: the same
//! events as the client gets of the gateway.

use tollgate_core::Protocol;

use super::{
    Effort, each,
    latency::{self, Times},
    start::{self, Life, SILENT},
    stream::{self, Costs},
};
use crate::{
    Failed,
    ask::{APART, Ask, MESSAGES, RESPONSES},
    report::{Gate, Row},
    side::{Bench, Pair},
};

/// A client's protocol, and the provider that speaks another.
struct Lane {
    client: Protocol,
    provider: &'static str,
    cost: &'static str,
    first: &'static str,
}

const LANES: [Lane; 4] = [
    Lane {
        client: Protocol::AnthropicMessages,
        provider: APART,
        cost: "CPU per event, Messages on Chat",
        first: "first event added, Messages on Chat",
    },
    Lane {
        client: Protocol::OpenAiChat,
        provider: MESSAGES,
        cost: "CPU per event, Chat on Messages",
        first: "first event added, Chat on Messages",
    },
    Lane {
        client: Protocol::Gemini,
        provider: APART,
        cost: "CPU per event, Gemini on Chat",
        first: "first event added, Gemini on Chat",
    },
    Lane {
        client: Protocol::OpenAiChat,
        provider: RESPONSES,
        cost: "CPU per event, Chat on Responses",
        first: "first event added, Chat on Responses",
    },
];

impl Lane {
    fn ask(&self, marker: &str) -> Ask {
        Ask::other(self.client, self.provider, marker)
    }
}

/// Measures what a further event costs, how much later the first one comes, and what an open stream
/// takes, where each event is translated.
pub(crate) async fn measure(
    bench: &Bench,
    pair: &Pair,
    effort: &Effort,
) -> Result<Vec<Row>, Failed> {
    let mut rows = Vec::new();
    for lane in &LANES {
        let costs = stream::costs(pair, |marker| lane.ask(marker), effort).await?;
        rows.push(Row::new(lane.cost, "µs", each(&costs, Costs::per_event), Gate::Ratio(2.0)));
    }
    let shorter = Effort { paced: effort.paced / 2, ..*effort };
    for lane in &LANES {
        let ask = lane.ask("[[sim:events:16]]");
        let times = latency::times(pair, bench.apart, &ask, &shorter).await?;
        let first = |times: &Times| times.first;
        rows.push(Row::new(lane.first, "µs", each(&times, first), Gate::None));
    }
    let lives = start::lives(bench, &LANES[0].ask(SILENT), effort).await?;
    let what = "memory per open stream, Messages on Chat";
    rows.push(Row::new(what, "KiB", each(&lives, Life::per_stream), Gate::Above(40.0)));
    Ok(rows)
}
