//! Answers that are read on when their client has left.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use common::{Bench, CHAT, MESSAGES, PRICE, cost, post};
use http_body_util::BodyExt;
use tollgate_core::Quality;
use tollgate_meter::{Ending, Work};
use tollgate_testkit::{Answer, Script, Upstream};

/// Work that was handed over and not run yet.
#[derive(Clone, Default)]
struct Handed(Arc<Mutex<Vec<Work>>>);

impl Handed {
    fn take(&self) -> Option<Work> {
        self.0.lock().unwrap().pop()
    }
}

fn drained(answer: Answer, handed: &Handed) -> Bench {
    let handed = handed.clone();
    Bench::of(Upstream::always(answer), |layer| {
        layer.target(CHAT.target()).drain(
            |_| Some(Duration::from_secs(60)),
            move |work| handed.0.lock().unwrap().push(work),
        )
    })
}

/// Takes one frame and leaves.
async fn leave(bench: &Bench, request: &'static str) {
    let mut body = bench.ask(post(CHAT.path, request)).await.into_body();
    body.frame().await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn fault_38_the_usage_of_a_drained_answer_is_exact_though_the_client_left() {
    for request in [CHAT.stream_request, r#"{"model":"m","messages":[],"stream":true}"#] {
        let handed = Handed::default();
        let script = CHAT.stream().pace(Duration::from_secs(5));
        let bench = drained(Answer::sse(script), &handed);
        leave(&bench, request).await;
        assert!(bench.ledger.charges().is_empty());
        assert!(!bench.upstream.probes()[0].dropped_early());
        handed.take().unwrap().await;
        let charge = bench.charge();
        assert_eq!((charge.ending, charge.usage.quality), (Ending::Cancelled, Quality::Exact));
        assert_eq!(cost(&charge).as_deref(), Some(PRICE));
    }
}

#[tokio::test(start_paused = true)]
async fn past_the_limit_it_is_estimated_and_the_upstream_told() {
    let handed = Handed::default();
    let bench = drained(Answer::sse(CHAT.first(3).stall()), &handed);
    leave(&bench, CHAT.stream_request).await;
    let began = tokio::time::Instant::now();
    handed.take().unwrap().await;
    assert_eq!(began.elapsed(), Duration::from_secs(60));
    let charge = bench.charge();
    assert_eq!((charge.ending, charge.usage.quality), (Ending::Cancelled, Quality::Estimated));
    assert_eq!(charge.usage.output_total(), 4);
    assert!(bench.upstream.probes()[0].dropped_early());
}

#[tokio::test]
async fn work_that_is_dropped_settles_what_it_has_seen() {
    let handed = Handed::default();
    let bench = drained(Answer::sse(CHAT.stream()), &handed);
    leave(&bench, CHAT.stream_request).await;
    drop(handed.take().unwrap());
    let charge = bench.charge();
    assert_eq!((charge.ending, charge.usage.quality), (Ending::Cancelled, Quality::Estimated));
}

#[tokio::test(start_paused = true)]
async fn a_drained_answer_that_breaks_is_an_answer_the_client_left() {
    let handed = Handed::default();
    let bench = drained(Answer::sse(CHAT.first(3).reset()), &handed);
    leave(&bench, CHAT.stream_request).await;
    handed.take().unwrap().await;
    let charge = bench.charge();
    assert_eq!((charge.ending, charge.usage.quality), (Ending::Cancelled, Quality::Estimated));
}

#[tokio::test]
async fn nothing_is_read_on_that_tells_no_more() {
    let handed = Handed::default();
    let bench = drained(Answer::sse(CHAT.stream().stall()), &handed);
    let mut body = bench.ask(CHAT.asking_stream()).await.into_body();
    for _ in CHAT.events {
        body.frame().await.unwrap().unwrap();
    }
    drop(body);
    assert!(handed.take().is_none());
    assert_eq!(bench.charge().ending, Ending::Complete);

    let bench = drained(Answer::json(200, CHAT.json), &handed);
    bench.whole(CHAT.asking()).await;
    assert!(handed.take().is_none(), "it came to its end");
}

#[tokio::test]
async fn an_attempt_that_lost_a_race_is_not_read_on() {
    let handed = Handed::default();
    let bench = drained(Answer::sse(CHAT.stream()), &handed);
    let attempt = tollgate_core::Attempt::new(1);
    let mut request = CHAT.asking_stream();
    request.extensions_mut().insert(attempt.clone());
    let mut body = bench.ask(request).await.into_body();
    body.frame().await.unwrap().unwrap();
    attempt.end(tollgate_core::Ending::Hedged);
    drop(body);
    assert!(handed.take().is_none());
    assert_eq!(bench.charge().ending, Ending::Hedged);
}

#[tokio::test]
async fn only_targets_that_want_it_are_drained() {
    let upstream = Upstream::always(Answer::sse(MESSAGES.stream()));
    let bench = Bench::of(upstream, |layer| {
        layer.target(MESSAGES.target()).drain(|_| None, |_| panic!("nothing is handed over"))
    });
    let charge = bench.leave(MESSAGES.asking_stream(), 2).await;
    assert_eq!(charge.usage.quality, Quality::Estimated);
}

#[tokio::test(start_paused = true)]
async fn json_is_drained_too() {
    let handed = Handed::default();
    let script = Script::new(CHAT.json).split_every(100).pace(Duration::from_secs(1));
    let answer =
        Answer::new(http::StatusCode::OK, script).header("content-type", "application/json");
    let bench = drained(answer, &handed);
    leave(&bench, CHAT.request).await;
    handed.take().unwrap().await;
    let charge = bench.charge();
    assert_eq!((charge.usage.quality, cost(&charge).as_deref()), (Quality::Exact, Some(PRICE)));
}
