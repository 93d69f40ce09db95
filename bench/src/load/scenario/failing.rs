//! What targets that fail cost the calls that were meant for them, and those that were not.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use memchr::memmem;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};

use super::{Effort, paced, up};
use crate::{
    Failed,
    ask::{APART, Ask},
    client::{Client, Seen},
    process::{Process, free_address},
    report::{Gate, Row},
    side::{Bench, provider},
    stats::{micros, percentile},
};

/// Fails for a reason that sets nobody aside, in the first event of a stream.
const FAILING: &str =
    "data: {\"error\":{\"message\":\"no such model\",\"code\":\"model_not_found\"}}\n\n";

const WELL: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"paid\"},\
                    \"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// Streams that wait for a target that is silent.
const WAITING: usize = 128;
/// Clients of a target that refuses connections, ten calls a second each.
const REFUSED: usize = 20;

/// Measures how long after the byte that fails an attempt the next one begins, beside what a
/// request takes through the bare proxy; and what a call takes beside targets that are dead, beside
/// what it takes alone.
pub(crate) async fn measure(bench: &Bench, effort: &Effort) -> Result<Vec<Row>, Failed> {
    let notes = Notes::default();
    let failing = Stub { answer: FAILING, side: Side::Failing, notes: notes.clone() };
    let (failing, second) = (failing.serve().await?, well(&notes).serve().await?);
    let (silent, refused) = (TcpListener::bind("127.0.0.1:0").await?, free_address()?);
    let config = [
        provider("failing", failing),
        provider("second", second),
        provider("silent", silent.local_addr()?),
        provider("refused", refused),
        "[models.pair]\ntargets = [\"failing/m\", \"second/m\"]\n".to_owned(),
    ];
    let gateway = up(bench.gateway_with("failing", &config.concat())?).await?;
    let bare = bench.bare(second)?;
    let mut rows = moving_on(&bare, &gateway, &notes, effort).await?;
    rows.extend(beside(&gateway, effort).await?);
    Ok(rows)
}

async fn moving_on(
    bare: &Process,
    gateway: &Process,
    notes: &Notes,
    effort: &Effort,
) -> Result<Vec<Row>, Failed> {
    let ask = Ask::named("pair", "");
    let mut rounds = Vec::with_capacity(effort.rounds);
    // The bare proxy has been waited for by nobody yet.
    let mut client = patient(bare.address).await?;
    for _ in 0..effort.rounds {
        for _ in 0..effort.paced.as_millis() / 25 {
            notes.begin();
            client.ask(&ask).await?;
            sleep(Duration::from_millis(10)).await;
        }
        let hops = notes.take();
        paced(gateway.address, &ask, effort.paced).await?;
        rounds.push((hops, notes.take()));
    }
    let of = |share: f64| {
        let at = |times: &Vec<f64>| percentile(times.clone(), share);
        rounds.iter().map(|(bare, gateway)| (at(bare), at(gateway))).collect()
    };
    Ok(vec![
        Row::new("failing byte to 2nd attempt p50 (bare: hop)", "µs", of(0.5), Gate::None),
        Row::new("failing byte to 2nd attempt p99 (bare: hop)", "µs", of(0.99), Gate::None),
    ])
}

async fn patient(to: SocketAddr) -> Result<Client, Failed> {
    for _ in 0..200 {
        if let Ok(client) = Client::connect(to).await {
            return Ok(client);
        }
        sleep(Duration::from_millis(5)).await;
    }
    Client::connect(to).await
}

/// Alone first, then beside the dead; both at 40 calls a second.
async fn beside(gateway: &Process, effort: &Effort) -> Result<Vec<Row>, Failed> {
    let ask = Ask::stream(APART, "[[sim:events:16]]");
    let mut rounds = Vec::with_capacity(effort.rounds);
    for _ in 0..effort.rounds {
        let alone = paced(gateway.address, &ask, effort.paced).await?;
        let dead = dead(gateway.address);
        sleep(Duration::from_millis(300)).await;
        let beside = paced(gateway.address, &ask, effort.paced).await?;
        drop(dead);
        sleep(Duration::from_millis(100)).await;
        rounds.push((alone, beside));
    }
    let of = |share: f64| {
        let at = |seen: &Vec<Seen>| {
            percentile(seen.iter().map(|seen| micros(seen.whole)).collect(), share)
        };
        rounds.iter().map(|(alone, beside)| (at(alone), at(beside))).collect()
    };
    Ok(vec![
        Row::new("p50 beside dead targets (bare: alone)", "µs", of(0.5), Gate::None),
        Row::new("p99 beside dead targets (bare: alone)", "µs", of(0.99), Gate::None),
    ])
}

/// Clients of the targets that are dead, until this is dropped.
fn dead(gateway: SocketAddr) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for _ in 0..WAITING {
        clients.spawn(async move {
            let Ok(mut client) = Client::connect(gateway).await else { return };
            let _ = client.ask(&Ask::named("silent/m", "")).await.map_err(|e| e.to_string());
        });
    }
    for _ in 0..REFUSED {
        clients.spawn(async move {
            let Ok(mut client) = Client::connect(gateway).await else { return };
            loop {
                let _ = client.ask(&Ask::named("refused/m", "")).await.map_err(|e| e.to_string());
                sleep(Duration::from_millis(100)).await;
            }
        });
    }
    clients
}

/// When an attempt was failed, and how long after that others began.
#[derive(Clone, Debug, Default)]
struct Notes(Arc<Mutex<(Option<Instant>, Vec<f64>)>>);

impl Notes {
    fn begin(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 = Some(Instant::now());
    }

    fn arrived(&self) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(began) = notes.0.take() {
            notes.1.push(micros(began.elapsed()));
        }
    }

    fn take(&self) -> Vec<f64> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).1)
    }
}

/// An upstream that gives one answer to everything and notes when.
#[derive(Clone, Debug)]
struct Stub {
    answer: &'static str,
    side: Side,
    notes: Notes,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    /// Notes when it begins to answer.
    Failing,
    /// Notes when the first byte of a request came.
    Second,
}

fn well(notes: &Notes) -> Stub {
    Stub { answer: WELL, side: Side::Second, notes: notes.clone() }
}

impl Stub {
    async fn serve(self) -> Result<SocketAddr, Failed> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let _ = socket.set_nodelay(true);
                tokio::spawn(self.clone().speak(socket));
            }
        });
        Ok(address)
    }

    async fn speak(self, mut socket: TcpStream) {
        let mut request = Vec::new();
        while let Ok(1..) = socket.read_buf(&mut request).await {
            if self.side == Side::Second {
                self.notes.arrived();
            }
            if !is_whole(&request) {
                continue;
            }
            request.clear();
            if self.side == Side::Failing {
                self.notes.begin();
            }
            if socket.write_all(self.said().as_bytes()).await.is_err() {
                return;
            }
        }
    }

    fn said(&self) -> String {
        let (answer, length) = (self.answer, self.answer.len());
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
             content-length: {length}\r\n\r\n{answer}"
        )
    }
}

/// Whether head and body have come.
fn is_whole(request: &[u8]) -> bool {
    let Some(end) = memmem::find(request, b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
    request.len() >= end + 4 + length
}
