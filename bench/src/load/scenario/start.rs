//! Starting up, and memory: each round has processes of its own.

use std::time::Duration;

use tokio::time::sleep;

use super::{Effort, each, slow::STREAMS};
use crate::{
    Failed,
    ask::{APART, Ask},
    client::Client,
    process::Process,
    report::{Gate, Row},
    side::Bench,
};

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * 1024.0;

/// Says something, then nothing for now.
pub(super) const SILENT: &str = "[[sim:events:8]][[sim:stall:4]]";

/// Of one side in one round.
#[derive(Debug)]
pub(super) struct Life {
    /// Milliseconds until the first request was served.
    start: f64,
    /// Bytes after it.
    idle: f64,
    /// Bytes with all streams open.
    open: f64,
}

impl Life {
    /// KiB that each stream takes.
    pub(super) fn per_stream(&self) -> f64 {
        (self.open - self.idle) / STREAMS as f64 / KIB
    }
}

/// Measures the time to the first served request, and memory with no and with 256 open streams
/// that say nothing for now.
pub(crate) async fn measure(bench: &Bench, effort: &Effort) -> Result<Vec<Row>, Failed> {
    let lives = lives(bench, &Ask::stream(APART, SILENT), effort).await?;
    let of = |of: fn(&Life) -> f64| each(&lives, of);
    Ok(vec![
        Row::new("start to first served request", "ms", of(|l| l.start), Gate::AtMost(50.0)),
        Row::new("memory, idle", "MiB", of(|l| l.idle / MIB), Gate::AtMost(12.0)),
        Row::new("memory, 256 open streams", "MiB", of(|l| l.open / MIB), Gate::AtMost(40.0)),
        Row::new("memory per idle open stream", "KiB", of(Life::per_stream), Gate::Above(20.0)),
    ])
}

/// Lives of both sides with streams that answer `silent`.
pub(super) async fn lives(
    bench: &Bench,
    silent: &Ask,
    effort: &Effort,
) -> Result<Vec<(Life, Life)>, Failed> {
    let mut lives = Vec::with_capacity(effort.rounds);
    for _ in 0..effort.rounds {
        let bare = life(bench.bare(bench.apart)?, silent).await?;
        lives.push((bare, life(bench.gateway()?, silent).await?));
    }
    Ok(lives)
}

async fn life(mut process: Process, silent: &Ask) -> Result<Life, Failed> {
    let start = process.serves(&Ask::conversation(1 << 10, 1)).await?;
    sleep(Duration::from_millis(50)).await;
    let idle = process.resident()?;
    let mut streams = Vec::with_capacity(STREAMS);
    for _ in 0..STREAMS {
        let mut client = Client::connect(process.address).await?;
        let answer = client.open(silent).await?;
        streams.push((client, answer));
    }
    sleep(Duration::from_millis(200)).await;
    let open = process.resident()?;
    Ok(Life { start: start.as_secs_f64() * 1e3, idle, open })
}
