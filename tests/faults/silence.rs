//! Upstreams that say nothing, or too little for too long.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tollgate_core::Class;
use tollgate_gateway::Patience;
use tollgate_testkit::{Probe, Script};

use crate::{
    gateway::{Seen, Setup, ask, exchange, read, silent, within},
    judge::{broken, failed},
    lane::{Kind, Lane},
};

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(crate) async fn before_the_head(lane: Lane) {
    let (alive, start) = (Arc::new(()), Instant::now());
    let seen = read(ask(lane, Setup::default(), silent(&alive)).await).await;
    assert_eq!(start.elapsed(), seconds(300), "the default of a head and of first content");
    let code = if lane.streams() { "first_content_timeout" } else { "head_timeout" };
    failed(lane, &seen, Class::Timeout, code);
    assert_eq!(Arc::strong_count(&alive), 1, "the request to the upstream was dropped");
}

pub(crate) async fn after_the_head(lane: Lane) {
    if lane.kind == Kind::Json {
        let silence = silence(lane, Script::default().stall()).await;
        return silence.fails(lane, "idle_timeout", 120);
    }
    let begun = Script::new(lane.start());
    let pinging = (0..100).fold(begun.clone(), |s, _| s.wait(seconds(50)).then(lane.ping()));
    for script in [Script::default().stall(), begun.stall(), pinging] {
        silence(lane, script).await.fails(lane, "first_content_timeout", 300);
    }
}

struct Silence {
    seen: Seen,
    probe: Probe,
    after: Duration,
}

async fn silence(lane: Lane, script: Script) -> Silence {
    let start = Instant::now();
    let (seen, probe) = exchange(lane, lane.answer(script)).await;
    Silence { seen, probe, after: start.elapsed() }
}

impl Silence {
    fn fails(&self, lane: Lane, code: &str, after: u64) {
        failed(lane, &self.seen, Class::Timeout, code);
        assert_eq!(self.after, seconds(after), "{lane}");
        assert!(self.probe.dropped_early(), "{lane}: the upstream was let go");
    }

    fn breaks(&self, lane: Lane, sent: &str, after: u64) {
        broken(lane, &self.seen, sent, Class::Timeout, "idle_timeout");
        assert_eq!(self.after, seconds(after), "{lane}");
        assert!(self.probe.dropped_early(), "{lane}: the upstream was let go");
    }
}

/// What a committed stream has shown.
fn begun(lane: Lane) -> String {
    [lane.start(), lane.content()].concat()
}

pub(crate) async fn within_the_answer(lane: Lane) {
    if lane.kind == Kind::Json {
        let whole = lane.whole();
        let frames = Script::new(whole.clone()).end_at(9).wait(seconds(100));
        let silence = silence(lane, frames.then(whole.into_bytes()[9..12].to_vec()).stall()).await;
        return silence.fails(lane, "idle_timeout", 220);
    }
    let begun = begun(lane);
    let silence = silence(lane, Script::new(begun.clone()).stall()).await;
    // Every 15 seconds until the 120th, at which the stream ends.
    silence.breaks(lane, &(begun + &lane.keep_alive().repeat(7)), 120);
}

pub(crate) async fn pings_count_as_life(lane: Lane) {
    let mut sent = begun(lane);
    let mut script = Script::new(sent.clone());
    for _ in 0..5 {
        script = script.wait(seconds(110)).then(lane.ping());
        sent += &(lane.keep_alive().repeat(7) + lane.ping());
    }
    sent += &lane.keep_alive().repeat(7);
    silence(lane, script.stall()).await.breaks(lane, &sent, 5 * 110 + 120);
}

pub(crate) async fn comments_do_not_count_as_life(lane: Lane) {
    let mut sent = begun(lane);
    let mut script = Script::new(sent.clone());
    for _ in 0..10 {
        script = script.wait(seconds(50)).then(lane.comment());
    }
    if lane.kind != Kind::Array {
        let shown = lane.keep_alive().repeat(3) + lane.comment();
        sent += &(shown.repeat(2) + lane.keep_alive());
    }
    silence(lane, script.stall()).await.breaks(lane, &sent, 120);
}

pub(crate) async fn beyond_the_total(lane: Lane) {
    // A JSON answer would have to be whole after five minutes.
    let total = seconds(if lane.kind == Kind::Json { 240 } else { 600 });
    let patience = Patience { total: Some(total), ..Patience::default() };
    let setup = Setup { patience, ..Setup::default() };
    let (first, life) = match lane.kind {
        Kind::Json => (lane.whole()[..9].to_owned(), " "),
        _ => (begun(lane), lane.ping()),
    };
    let script = Script::new(first.clone());
    let script = (0..100).fold(script, |s, _| s.wait(seconds(59)).then(life));
    let start = Instant::now();
    let (seen, probe) = within(lane, setup, lane.answer(script)).await;
    let elapsed = start.elapsed();
    assert!(elapsed >= total && elapsed < total + seconds(5), "{lane}: {elapsed:?}");
    assert!(probe.dropped_early(), "{lane}: the upstream was let go");
    if lane.kind == Kind::Json {
        return failed(lane, &seen, Class::Timeout, "total_timeout");
    }
    let shown = (lane.keep_alive().repeat(3) + life).repeat(10);
    broken(lane, &seen, &(first + &shown), Class::Timeout, "stream_limit");
}
