//! Clients that read slowly, or leave.

use std::{sync::Arc, time::Duration};

use http_body_util::BodyExt;
use tokio::time::{Instant, advance, timeout};
use tollgate_core::{Class, Outcome};
use tollgate_testkit::Script;

use crate::{
    gateway::{Setup, ask, leaf, read, silent, upstream},
    judge::unchanged,
    lane::{Kind, Lane},
};

const MINUTE: Duration = Duration::from_secs(60);

pub(crate) async fn slow_reader(lane: Lane) {
    let contents = vec![lane.content(); 1000];
    let frames = [vec![lane.start()], contents, vec![lane.finish()]].concat();
    let upstream = upstream(lane.answer(Script::frames(frames.clone())));
    let mut answer = ask(lane, Setup::default(), leaf(&upstream)).await;
    let probe = upstream.probes().remove(0);
    let mut seen = Vec::new();
    for read in 1..=10 {
        advance(10 * MINUTE).await;
        let frame = answer.body_mut().frame().await.expect("more").expect("whole");
        seen.extend_from_slice(&frame.into_data().expect("data"));
        let ahead = probe.taken() - seen.len() as u64;
        assert!(ahead <= 3 * lane.content().len() as u64, "{lane}: {ahead} bytes after {read}");
    }
    let outcome = answer.extensions().get::<Outcome>().cloned();
    let mut rest = read(answer).await;
    rest.body = [seen, rest.body.to_vec()].concat().into();
    unchanged(lane, &rest, &frames.concat());
    assert_eq!(outcome.and_then(|outcome| outcome.ending()), Some(None));
}

pub(crate) async fn gone_before_the_first_byte(lane: Lane) {
    let (alive, start) = (Arc::new(()), Instant::now());
    let asking = ask(lane, Setup::default(), silent(&alive));
    assert!(timeout(MINUTE, asking).await.is_err(), "{lane}: nothing was answered");
    assert_eq!((Arc::strong_count(&alive), start.elapsed()), (1, MINUTE), "{lane}");
}

pub(crate) async fn gone_within_the_answer(lane: Lane) {
    let begun = match lane.kind {
        Kind::Json => lane.whole()[..9].to_owned(),
        _ => [lane.start(), lane.content()].concat(),
    };
    let upstream = upstream(lane.answer(Script::new(begun).stall()));
    let asking = ask(lane, Setup::default(), leaf(&upstream));
    match timeout(MINUTE, asking).await {
        Err(_) => assert_eq!(lane.kind, Kind::Json, "a stream is shown at its first content"),
        Ok(mut answer) => {
            let outcome = answer.extensions().get::<Outcome>().cloned().expect("recorded");
            answer.body_mut().frame().await.expect("content").expect("whole");
            assert_eq!(outcome.ending(), None, "{lane}");
            drop(answer);
            assert_eq!(outcome.ending(), Some(Some(Class::Cancelled)), "{lane}");
        }
    }
    assert!(upstream.probes()[0].dropped_early(), "{lane}: the upstream was let go at once");
}
