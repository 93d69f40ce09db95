//! When the end of an answer is released, and that each attempt is recorded once.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use common::{ALL, CHAT, GEMINI, MESSAGES, RESPONSES, post, prices};
use http::{Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use proptest::prelude::*;
use tokio::sync::Semaphore;
use tollgate_core::{Attempt, Cause, Ending as Ended};
use tollgate_meter::{Channel, Charge, Ledger, MemoryLedger, MeterLayer};
use tollgate_testkit::{Answer, EndCounter, Script, Upstream, end_contract, wrapper_contract};
use tower::{Layer, ServiceExt, service_fn};

/// A ledger on a disk that takes its time: a permit is a write that is through.
#[derive(Clone)]
struct Disk(Arc<Mutex<Vec<Charge>>>, Arc<Semaphore>);

impl Disk {
    fn new() -> Self {
        Self(Arc::default(), Arc::new(Semaphore::new(0)))
    }
}

impl Ledger for Disk {
    type Recording = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn record(&self, charge: Charge) -> Self::Recording {
        self.0.lock().unwrap().push(charge);
        let disk = self.1.clone();
        Box::pin(async move { disk.acquire().await.unwrap().forget() })
    }
}

async fn next<B>(body: &mut B) -> Poll<Option<Bytes>>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Debug,
{
    poll_fn(|cx| {
        let frame = Pin::new(&mut *body).poll_frame(cx);
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.unwrap().into_data().unwrap())))
    })
    .await
}

#[tokio::test]
async fn the_end_waits_until_the_ledger_has_the_charge() {
    for sized in [false, true] {
        for announced in [false, true] {
            let disk = Disk::new();
            let script = Script::new(CHAT.json).cut_at(&[9]);
            let script = if sized { script.sized() } else { script };
            let mut answer =
                Answer::new(StatusCode::OK, script).header("content-type", "application/json");
            if announced {
                answer = answer.header("content-length", CHAT.json.len());
            }
            let layer = MeterLayer::new(disk.clone(), prices()).target(CHAT.target());
            let service = layer.layer(Upstream::always(answer));
            let mut body = Box::pin(service.oneshot(CHAT.asking()).await.unwrap().into_body());
            assert_eq!(next(&mut body).await, Poll::Ready(Some(Bytes::from(&CHAT.json[..9]))));
            assert!(disk.0.lock().unwrap().is_empty());
            assert_eq!(next(&mut body).await, Poll::Pending, "the last frame is the end");
            assert!(!body.is_end_stream());
            disk.1.add_permits(1);
            assert_eq!(next(&mut body).await, Poll::Ready(Some(Bytes::from(&CHAT.json[9..]))));
            assert!(!sized || body.is_end_stream());
            assert_eq!(next(&mut body).await, Poll::Ready(None));
            assert_eq!(disk.0.lock().unwrap().len(), 1);
        }
    }
}

#[tokio::test]
async fn a_stream_waits_only_at_its_end() {
    let disk = Disk::new();
    let layer = MeterLayer::new(disk.clone(), prices()).target(MESSAGES.target());
    let service = layer.layer(Upstream::always(Answer::sse(MESSAGES.stream())));
    let mut body = Box::pin(service.oneshot(MESSAGES.asking_stream()).await.unwrap().into_body());
    let (last, before) = MESSAGES.events.split_last().unwrap();
    for event in before {
        assert_eq!(next(&mut body).await, Poll::Ready(Some(Bytes::from(*event))));
    }
    assert_eq!(next(&mut body).await, Poll::Pending);
    disk.1.add_permits(1);
    assert_eq!(next(&mut body).await, Poll::Ready(Some(Bytes::from(*last))));
    assert_eq!(next(&mut body).await, Poll::Ready(None));
}

#[tokio::test]
async fn an_error_answer_waits_too_and_an_empty_one_is_recorded_unpolled() {
    let disk = Disk::new();
    let layer = MeterLayer::new(disk.clone(), prices()).target(CHAT.target());
    let service = layer.layer(Upstream::always(Answer::json(500, "{}")));
    let mut body = Box::pin(service.oneshot(CHAT.asking()).await.unwrap().into_body());
    assert_eq!(next(&mut body).await, Poll::Pending);
    disk.1.add_permits(1);
    assert_eq!(next(&mut body).await, Poll::Ready(Some(Bytes::from("{}"))));

    let disk = Disk::new();
    let layer = MeterLayer::new(disk.clone(), prices()).target(CHAT.target());
    let service = layer.layer(Upstream::always(Answer::json(200, "")));
    drop(service.oneshot(CHAT.asking()).await.unwrap());
    assert_eq!(disk.0.lock().unwrap()[0].ending.as_str(), "server_error");
}

#[tokio::test]
async fn a_charge_is_recorded_though_nobody_waits_for_it() {
    let disk = Disk::new();
    let layer = MeterLayer::new(disk.clone(), prices()).target(CHAT.target());
    let service = layer.layer(Upstream::always(Answer::json(200, CHAT.json)));
    let mut body = Box::pin(service.oneshot(CHAT.asking()).await.unwrap().into_body());
    assert_eq!(next(&mut body).await, Poll::Pending);
    drop(body);
    assert_eq!(disk.0.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_channel_hands_charges_over() {
    let (ledger, charges) = Channel::new();
    let layer = MeterLayer::new(ledger, prices()).target(CHAT.target());
    let service = layer.layer(Upstream::always(Answer::json(200, CHAT.json)));
    service.oneshot(CHAT.asking()).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(charges.try_iter().count(), 1);
}

/// Wraps a body as the answer to a call of each operation and kind.
async fn wrapped(
    path: &str,
    kind: Option<&str>,
    body: tollgate_testkit::ScriptBody,
    ledger: MemoryLedger,
) -> impl http_body::Body<Data = Bytes, Error = tollgate_core::BoxError> {
    let body = Mutex::new(Some(body));
    let body = Arc::new(body);
    let kind = kind.map(str::to_owned);
    let inner = service_fn(move |_| {
        let mut response = Response::new(body.lock().unwrap().take().unwrap());
        if let Some(kind) = &kind {
            response.headers_mut().insert("content-type", kind.parse().unwrap());
        }
        async { Ok::<_, std::convert::Infallible>(response) }
    });
    let layer = MeterLayer::new(ledger, prices()).target(CHAT.target());
    layer.layer(inner).oneshot(post(path, CHAT.stream_request)).await.unwrap().into_body()
}

/// Futures here never wait.
fn now<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("waits"),
    }
}

const KINDS: [Option<&str>; 4] =
    [Some("text/event-stream"), Some("application/json"), Some("text/html"), None];

#[tokio::test(start_paused = true)]
async fn the_body_keeps_the_contract_and_every_byte() {
    for path in ["/v1/chat/completions", "/v1/files"] {
        for kind in KINDS {
            let wrap = |body| Box::pin(now(wrapped(path, kind, body, MemoryLedger::new())));
            wrapper_contract(wrap).await;
        }
    }
}

/// Fires with each charge.
#[derive(Clone)]
struct Fires(EndCounter);

impl Ledger for Fires {
    type Recording = std::future::Ready<()>;

    fn record(&self, _: Charge) -> Self::Recording {
        self.0.fire();
        std::future::ready(())
    }
}

#[tokio::test]
async fn a_charge_is_made_once_however_the_body_ends() {
    for kind in KINDS {
        end_contract(|body, counter| {
            let body = Arc::new(Mutex::new(Some(body)));
            let inner = service_fn(move |_| {
                let mut response = Response::new(body.lock().unwrap().take().unwrap());
                if let Some(kind) = kind {
                    response.headers_mut().insert("content-type", kind.parse().unwrap());
                }
                async { Ok::<_, std::convert::Infallible>(response) }
            });
            let layer = MeterLayer::new(Fires(counter), prices()).target(CHAT.target());
            Box::pin(now(layer.layer(inner).oneshot(CHAT.asking_stream())).unwrap().into_body())
        })
        .await;
    }
}

/// How an exchange goes.
#[derive(Clone, Debug)]
struct Play {
    spoken: usize,
    stream: bool,
    asks: bool,
    status: u16,
    cut: u64,
    cuts: usize,
    end: usize,
    ending: usize,
    flip: Option<(usize, u8)>,
    frames: usize,
    why: usize,
}

fn plays() -> impl Strategy<Value = Play> {
    let what =
        (0..4usize, any::<bool>(), any::<bool>(), prop_oneof![4 => Just(200u16), 1 => Just(500)]);
    let how = (any::<u64>(), 0..9usize, 0..1200usize, 0..4usize);
    let broken = prop::option::of((0..900usize, 1..255u8));
    (what, how, broken, 0..14usize, 0..4usize).prop_map(
        |((spoken, stream, asks, status), (cut, cuts, end, ending), flip, frames, why)| Play {
            spoken,
            stream,
            asks,
            status,
            cut,
            cuts,
            end,
            ending,
            flip,
            frames,
            why,
        },
    )
}

impl Play {
    fn answer(&self) -> Answer {
        let spoken = ALL[self.spoken];
        let mut script = match self.stream {
            true => spoken.stream(),
            false => Script::new(spoken.json),
        };
        if let Some((at, mask)) = self.flip {
            script = script.xor(at, mask);
        }
        script = script.random_cuts(self.cut, self.cuts);
        script = match self.ending {
            0 => script,
            1 => script.end_at(self.end),
            2 => script.reset_at(self.end),
            _ => script.stall_at(self.end),
        };
        let kind = if self.stream { "text/event-stream" } else { "application/json" };
        Answer::new(StatusCode::from_u16(self.status).unwrap(), script).header("content-type", kind)
    }

    fn request(&self) -> http::Request<http_body_util::Full<Bytes>> {
        let spoken = ALL[self.spoken];
        let request = if self.stream { spoken.stream_request } else { spoken.request };
        let path = if self.stream { spoken.stream_path } else { spoken.path };
        match self.asks && self.spoken < 2 {
            true => post(path, request.replacen('{', r#"{"usage":{"include":true},"#, 1)),
            false => post(path, request),
        }
    }
}

async fn play(play: &Play) {
    let ledger = MemoryLedger::new();
    let layer = MeterLayer::new(ledger.clone(), prices()).target(ALL[play.spoken].target());
    let attempt = Attempt::new(1);
    let mut request = play.request();
    request.extensions_mut().insert(attempt.clone());
    let service = layer.layer(Upstream::always(play.answer()));
    let mut body = Box::pin(service.oneshot(request).await.unwrap().into_body());
    for _ in 0..play.frames {
        let waiting = std::time::Duration::from_secs(1);
        let frame = tokio::time::timeout(waiting, body.frame()).await;
        if !matches!(frame, Ok(Some(Ok(_)))) {
            break;
        }
    }
    match play.why {
        0 => attempt.end(Ended::Hedged),
        1 => attempt.end(Ended::Failed(Cause::Deadline)),
        _ => {}
    }
    drop(body);
    let charges = ledger.charges();
    assert_eq!(charges.len(), 1);
    let charge = &charges[0];
    assert!(charge.cost.is_none_or(|cost| cost >= tollgate_core::Money::ZERO));
    assert!(play.status == 200 || charge.cost.unwrap().is_zero());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn each_attempt_is_recorded_exactly_once(one in plays()) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(play(&one));
    }

    #[test]
    fn a_whole_answer_costs_the_same_however_it_is_cut(spoken in 0..4usize, cut: u64, cuts in 0..30usize) {
        let spoken = [CHAT, RESPONSES, MESSAGES, GEMINI][spoken];
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let bench = common::Bench::new(&spoken, Answer::sse(spoken.stream().random_cuts(cut, cuts)));
            let (body, charge) = bench.whole(spoken.asking_stream()).await;
            assert_eq!(body, spoken.text());
            assert_eq!(common::cost(&charge).as_deref(), Some(common::PRICE));
        });
    }
}
