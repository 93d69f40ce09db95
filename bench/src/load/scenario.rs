//! What is measured.

mod failing;
mod json;
mod latency;
mod slow;
mod start;
mod stream;
mod translated;

use std::{net::SocketAddr, rc::Rc, time::Duration};

use crate::{
    Failed,
    ask::Ask,
    client::{Client, Seen},
    process::Process,
    report::{self, Row},
    side::{Bench, Pair},
    stats::micros,
};

/// How long everything takes.
#[derive(Debug)]
pub(crate) struct Effort {
    /// Rounds of each measure.
    rounds: usize,
    /// A closed loop's round on one side.
    round: Duration,
    /// A round at a fixed rate, or of slow streams, on one side.
    paced: Duration,
}

impl Effort {
    pub(crate) const FULL: Self =
        Self { rounds: 7, round: Duration::from_millis(1000), paced: Duration::from_millis(2500) };
    pub(crate) const QUICK: Self =
        Self { rounds: 3, round: Duration::from_millis(400), paced: Duration::from_millis(1000) };
}

/// Connections of a closed loop.
const CONNECTIONS: usize = 16;

/// Measures everything whose name holds `only`, and prints each line as soon as it is known.
pub(crate) async fn all(
    bench: &Bench,
    effort: &Effort,
    only: Option<&str>,
) -> Result<Vec<Row>, Failed> {
    let gateway = up(bench.gateway()?).await?;
    let apart = Pair { bare: up(bench.bare(bench.apart)?).await?, gateway: gateway.clone() };
    let together = Pair { bare: up(bench.bare(bench.together)?).await?, gateway };
    let wanted = |name: &str| only.is_none_or(|only| name.contains(only));
    let mut rows = Vec::new();
    if wanted("json") {
        show(&mut rows, json::measure(&apart, effort).await?);
    }
    if wanted("latency") {
        show(&mut rows, latency::measure(&apart, bench.apart, effort).await?);
    }
    if wanted("stream") {
        show(&mut rows, stream::measure(&apart, &together, effort).await?);
    }
    if wanted("slow") {
        show(&mut rows, slow::measure(&apart, effort).await?);
    }
    if wanted("failing") {
        show(&mut rows, failing::measure(bench, effort).await?);
    }
    if wanted("start") {
        show(&mut rows, start::measure(bench, effort).await?);
    }
    if wanted("translated") {
        show(&mut rows, translated::measure(bench, &apart, effort).await?);
    }
    Ok(rows)
}

fn show(rows: &mut Vec<Row>, new: Vec<Row>) {
    new.iter().for_each(report::print);
    rows.extend(new);
}

async fn up(mut process: Process) -> Result<Rc<Process>, Failed> {
    process.serves(&Ask::conversation(1 << 10, 1)).await?;
    Ok(Rc::new(process))
}

/// Takes a measure of both sides, `rounds` times; who is first alternates.
async fn alternate<T>(
    pair: &Pair,
    rounds: usize,
    measure: impl AsyncFn(&Process) -> Result<T, Failed>,
) -> Result<Vec<(T, T)>, Failed> {
    let mut pairs = Vec::with_capacity(rounds);
    for round in 0..rounds {
        pairs.push(if round % 2 == 0 {
            let bare = measure(&pair.bare).await?;
            (bare, measure(&pair.gateway).await?)
        } else {
            let gateway = measure(&pair.gateway).await?;
            (measure(&pair.bare).await?, gateway)
        });
    }
    Ok(pairs)
}

/// Returns one measure of each round.
fn each<T>(rounds: &[(T, T)], of: impl Fn(&T) -> f64) -> Vec<(f64, f64)> {
    rounds.iter().map(|(bare, gateway)| (of(bare), of(gateway))).collect()
}

/// Returns the CPU time per answer in microseconds, under a closed loop of `CONNECTIONS`.
///
/// Providers and load generator, which are one thread, do not sleep meanwhile. Else the slower of
/// two programs would be charged for more than it does: whoever writes to a sleeping thread pays
/// for waking it, and the faster the program the less its peers sleep.
async fn cpu_per_answer(process: &Process, ask: &Ask, lasting: Duration) -> Result<f64, Failed> {
    let mut clients = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        clients.push(warm(process.address, ask).await?);
    }
    let awake = tokio::spawn(stay_awake());
    let before = process.cpu()?;
    let answers = hammer(clients, ask, lasting).await;
    let spent = process.cpu()? - before;
    awake.abort();
    Ok(micros(spent) / answers? as f64)
}

async fn stay_awake() {
    loop {
        tokio::task::yield_now().await;
    }
}

/// Returns a connection that has been used, as a client's in the middle of its work.
async fn warm(to: SocketAddr, ask: &Ask) -> Result<Client, Failed> {
    let mut client = Client::connect(to).await?;
    client.ask(ask).await?;
    Ok(client)
}

async fn hammer(clients: Vec<Client>, ask: &Ask, lasting: Duration) -> Result<usize, Failed> {
    let end = tokio::time::Instant::now() + lasting;
    let mut loops = tokio::task::JoinSet::new();
    for mut client in clients {
        let ask = ask.clone();
        loops.spawn(async move {
            let mut answers = 0;
            while tokio::time::Instant::now() < end {
                client.ask(&ask).await.map_err(|error| error.to_string())?;
                answers += 1;
            }
            Ok::<usize, String>(answers)
        });
    }
    let mut answers = 0;
    while let Some(joined) = loops.join_next().await {
        answers += joined??;
    }
    Ok(answers)
}

/// Asks 40 times a second on one connection.
async fn paced(to: SocketAddr, ask: &Ask, lasting: Duration) -> Result<Vec<Seen>, Failed> {
    const PERIOD: Duration = Duration::from_millis(25);
    let mut client = warm(to, ask).await?;
    let mut tick = tokio::time::interval(PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let end = tokio::time::Instant::now() + lasting;
    let mut seen = Vec::new();
    while tokio::time::Instant::now() < end {
        tick.tick().await;
        seen.push(client.ask(ask).await?);
    }
    Ok(seen)
}
