//! Many streams at the pace of a model.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{task::JoinSet, time::sleep};

use super::{Effort, alternate, each};
use crate::{
    Failed,
    ask::{APART, Ask},
    client::Client,
    process::Process,
    report::{Gate, Row},
    side::Pair,
    stats::micros,
};

pub(super) const STREAMS: usize = 256;
const PACE: Duration = Duration::from_millis(50);

/// Measures 256 streams of 20 events a second each: every event is a wake-up of its own.
pub(crate) async fn measure(pair: &Pair, effort: &Effort) -> Result<Vec<Row>, Failed> {
    let ask = Ask::stream(APART, "[[sim:events:400]][[sim:pace:50ms]]");
    let rounds = alternate(pair, effort.rounds, async |process| {
        cpu_per_event(process, &ask, effort.paced).await
    });
    let what = "CPU per event, 256 streams at 20/s";
    Ok(vec![Row::new(what, "µs", each(&rounds.await?, |cost| *cost), Gate::Ratio(1.15))])
}

async fn cpu_per_event(process: &Process, ask: &Ask, lasting: Duration) -> Result<f64, Failed> {
    let events = Arc::new(AtomicU64::new(0));
    let streams = open(process, ask, &events).await?;
    sleep(PACE * 4).await;
    let (before, seen) = (process.cpu()?, events.load(Ordering::Relaxed));
    sleep(lasting).await;
    let (after, seen) = (process.cpu()?, events.load(Ordering::Relaxed) - seen);
    drop(streams);
    // The sides share the providers' core: let them notice that nobody listens any more.
    sleep(PACE * 2).await;
    Ok(micros(after - before) / seen as f64)
}

/// Opens the streams spread over one pace, so that their events do not come in step.
async fn open(
    process: &Process,
    ask: &Ask,
    events: &Arc<AtomicU64>,
) -> Result<JoinSet<()>, Failed> {
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        let mut client = Client::counting(process.address, events.clone()).await?;
        let ask = ask.clone();
        streams
            .spawn(async move { drop(client.ask(&ask).await.map_err(|error| error.to_string())) });
        sleep(PACE / STREAMS as u32).await;
    }
    Ok(streams)
}
