//! Whatever upstreams do and whenever clients leave: what must hold of each call.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use common::{Answered, LANES, Lane, deployment, read, refused, stack, status};
use http_body_util::BodyExt;
use proptest::{collection::vec, option, prelude::*, sample::select};
use tokio::time::{Instant, timeout};
use tollgate_core::{Board, Class, Deadline, Failure, Refusal, Served};
use tollgate_fallback::{ByClass, FallbackLayer};
use tollgate_sse::SseLayer;
use tollgate_testkit::{Answer, Script, Upstream};
use tower::ServiceExt;

/// What an upstream does when it is asked.
#[derive(Clone, Copy, Debug)]
enum Does {
    Answers,
    AnswersLate(u64),
    Refuses,
    Says(u16),
    Limits(u64),
    ResetsBeforeHead,
    NeverAnswers,
    StallsBeforeContent,
    ResetsBeforeContent,
    EndsBeforeContent,
    ErrsBeforeContent,
    SendsAPage,
    ResetsAfterContent,
    StallsAfterContent,
    EndsAfterContent,
    ErrsAfterContent,
    RefusesTheCaller,
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn does() -> impl Strategy<Value = Does> {
    prop_oneof![
        4 => Just(Does::Answers),
        1 => (1..15_u64).prop_map(Does::AnswersLate),
        8 => select(vec![
            Does::Refuses,
            Does::ResetsBeforeHead,
            Does::NeverAnswers,
            Does::StallsBeforeContent,
            Does::ResetsBeforeContent,
            Does::EndsBeforeContent,
            Does::ErrsBeforeContent,
            Does::SendsAPage,
            Does::ResetsAfterContent,
            Does::StallsAfterContent,
            Does::EndsAfterContent,
            Does::ErrsAfterContent,
            Does::RefusesTheCaller,
        ]),
        4 => select(vec![400, 401, 402, 403, 404, 409, 413, 429, 500, 503, 529]).prop_map(Does::Says),
        1 => (0..40_u64).prop_map(Does::Limits),
    ]
}

/// One call: how many deployments it may ask, when its client leaves, and its deadline.
#[derive(Clone, Debug)]
struct Asks {
    lane: Lane,
    deployments: usize,
    leaves_after: Option<u64>,
    deadline: Option<u64>,
    then_waits: u64,
}

fn asks() -> impl Strategy<Value = Asks> {
    let waits = prop_oneof![Just(0), 0..3_u64, 1..400_u64];
    (select(LANES.to_vec()), 1..=NAMES.len(), option::of(0..60_u64), option::of(1..60_u64), waits)
        .prop_map(|(lane, deployments, leaves_after, deadline, then_waits)| Asks {
            lane,
            deployments,
            leaves_after,
            deadline,
            then_waits,
        })
}

/// The lane's answer, with the deployment's name for its content.
fn parts(lane: Lane, name: &str) -> [String; 3] {
    let content = lane.content.replace("one", &format!("said by {name}"));
    [lane.start.to_owned(), content, lane.finish.to_owned()]
}

fn answer(lane: Lane, name: &str, does: Does) -> Answer {
    let [start, content, finish] = parts(lane, name);
    let before = || Script::new(start.clone());
    let after = || Script::frames([start.clone(), content.clone()]);
    let whole = || lane.plays(Script::frames([start.clone(), content.clone(), finish.clone()]));
    let refusal = Refusal::new(Class::RateLimit, "yours");
    match does {
        Does::Answers => whole(),
        Does::AnswersLate(seconds) => whole().after(Duration::from_secs(seconds)),
        Does::Refuses => refused(),
        Does::Says(code) => status(code),
        Does::Limits(seconds) => status(429).header("retry-after", seconds),
        Does::ResetsBeforeHead => Answer::error(),
        Does::NeverAnswers => Answer::silence(),
        Does::StallsBeforeContent => lane.plays(before().stall()),
        Does::ResetsBeforeContent => lane.plays(before().reset()),
        Does::EndsBeforeContent => lane.plays(before()),
        Does::ErrsBeforeContent if lane.is_array() => {
            lane.plays(before().then(lane.error.to_owned()))
        }
        Does::ErrsBeforeContent => lane.plays(Script::new(lane.error)),
        Does::SendsAPage => Answer::new(http::StatusCode::OK, Script::new("<html>"))
            .header("content-type", "text/html"),
        Does::ResetsAfterContent => lane.plays(after().reset()),
        Does::StallsAfterContent => lane.plays(after().stall()),
        Does::EndsAfterContent => lane.plays(after()),
        Does::ErrsAfterContent => lane.plays(after().then(lane.error)),
        Does::RefusesTheCaller => status(429).extension(refusal),
    }
}

type Scripts = BTreeMap<&'static str, VecDeque<Does>>;

/// A gateway, what its upstreams will do, and in whose protocol.
struct Bed {
    upstream: Upstream,
    board: Board,
    layer: FallbackLayer,
    lane: Arc<Mutex<Lane>>,
}

const ATTEMPTS: u32 = 4;

impl Bed {
    fn new(scripts: Scripts) -> Self {
        let (lane, scripts) = (Arc::new(Mutex::new(LANES[0])), Mutex::new(scripts));
        let current = lane.clone();
        let upstream = Upstream::choose(move |received| {
            let name = deployment(received);
            let does = scripts.lock().unwrap().get_mut(&*name).unwrap().pop_front();
            answer(*current.lock().unwrap(), &name, does.unwrap_or(Does::Answers))
        });
        let board = Board::new();
        let layer = FallbackLayer::new(board.clone()).attempts(ATTEMPTS).policy(ByClass::new());
        Self { upstream, board, layer, lane }
    }

    /// Asks, and checks what must hold. `None`: the client left before the head.
    async fn ask(&self, asks: &Asks) {
        *self.lane.lock().unwrap() = asks.lane;
        let before = self.upstream.received().len();
        let mut request = asks.lane.request(&NAMES[..asks.deployments]);
        if let Some(seconds) = asks.deadline {
            let deadline = Instant::now() + Duration::from_secs(seconds);
            request.extensions_mut().insert(Deadline(deadline.into_std()));
        }
        let service = stack(SseLayer::new().without_keep_alive(), &self.layer, &self.upstream);
        let patience = Duration::from_secs(asks.leaves_after.unwrap_or(10_000));
        let started = Instant::now();
        let answered = timeout(patience, service.oneshot(request)).await;
        let attempts = self.upstream.received().len() - before;
        assert!(attempts <= ATTEMPTS as usize, "{attempts}");
        if let Ok(Ok(response)) = answered {
            let left = patience.saturating_sub(started.elapsed());
            self.check(asks, response, attempts, left).await;
        }
        assert_eq!(self.upstream.received().len() - before, attempts, "asked after its answer");
        for standing in self.board.standings() {
            assert_eq!((standing.in_flight(), standing.in_flight_tokens()), (0, 0));
        }
        tokio::time::advance(Duration::from_secs(asks.then_waits)).await;
    }

    async fn check<B>(
        &self,
        asks: &Asks,
        response: http::Response<B>,
        attempts: usize,
        left: Duration,
    ) where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: Into<tollgate_core::BoxError>,
    {
        let served = response.extensions().get::<Served>().unwrap().clone();
        assert_eq!(served.attempts as usize, attempts);
        let Ok(seen) = timeout(left, read(response)).await else { return };
        assert!(!seen.broke);
        if seen.status == 200 {
            is_one_answer(asks.lane, &seen, &served.target.deployment);
        } else {
            is_one_error(asks.lane, &seen);
        }
    }
}

/// The whole answer of one deployment, or its beginning and one error event.
fn is_one_answer(lane: Lane, seen: &Answered, name: &str) {
    let [start, content, finish] = parts(lane, name);
    if seen.body == [&*start, &content, &finish].concat() {
        return;
    }
    assert!(lane.stream, "JSON is whole or an error: {}", seen.body);
    let said = [start, content].concat();
    let ending = seen.body.strip_prefix(said.trim_end()).unwrap_or_else(|| panic!("{}", seen.body));
    assert_eq!(ending.matches("\"message\":").count(), 1, "{ending}");
    assert!(!ending.contains("said by"), "{ending}");
}

fn is_one_error(lane: Lane, seen: &Answered) {
    assert!(seen.status >= 400, "{lane:?} {}", seen.status);
    let body: serde_json::Value = serde_json::from_str(&seen.body).unwrap();
    assert!(body["error"].is_object() || body["error"].is_string(), "{body}");
    let facts = &seen.extensions;
    assert!(facts.get::<Failure>().is_some() || facts.get::<Refusal>().is_some());
    assert!(!seen.body.contains("said by"), "{body}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn each_call_is_one_answer_or_one_error(
        scripts in vec(vec(does(), 0..8), NAMES.len()),
        calls in vec(asks(), 1..12),
    ) {
        let scripts = NAMES.into_iter().zip(scripts.into_iter().map(VecDeque::from)).collect();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let bed = Bed::new(scripts);
            for call in &calls {
                bed.ask(call).await;
            }
        });
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_of_a_stream_is_let_go_with_it() {
    let upstream = Upstream::always(LANES[0].plays(Script::new(LANES[0].content).stall()));
    let layer = FallbackLayer::new(Board::new());
    let service = stack(SseLayer::new(), &layer, &upstream);
    let mut response = service.oneshot(LANES[0].request(&["a"])).await.unwrap();
    response.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(upstream.probes()[0].ended(), None);
    drop(response);
    assert!(upstream.probes()[0].dropped_early());
}
