//! Calls along a plan: budgets, breakers, probes, waiting, and what is left behind.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use common::{LANES, Lane, ask, asked, refused, stack, status};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::time::Instant;
use tollgate_core::{
    Attempt, Board, Body, BoxError, Call, Class, Deadline, Ejection, Ending, Failure, Operation,
    Plan, Refusal, Scope, Served, State,
};
use tollgate_fallback::{Backoff, Breaker, Budget, ByClass, FallbackLayer, Policy, Tried};
use tollgate_sse::SseLayer;
use tollgate_testkit::{Answer, Ended, Script, ScriptBody, Upstream};
use tower::{Layer, ServiceExt, layer::util::Identity, service_fn};

const CHAT: Lane = LANES[5];
const CHAT_STREAM: Lane = LANES[0];

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

fn with_deadline(lane: Lane, deployments: &[&str], seconds: u64) -> Request<Body> {
    let mut request = lane.request(deployments);
    request.extensions_mut().insert(Deadline(now() + Duration::from_secs(seconds)));
    request
}

#[tokio::test(start_paused = true)]
async fn fault_30_when_everything_fails_nobody_is_asked_and_the_answer_is_immediate() {
    for lane in LANES {
        let upstream = Upstream::always(status(500));
        let layer = FallbackLayer::new(Board::new());
        let service = stack(SseLayer::new(), &layer, &upstream);
        for _ in 0..20 {
            ask(service.clone(), lane.request(&["a", "b"])).await;
        }
        let (before, start) = (upstream.received().len(), Instant::now());
        let seen = ask(service, lane.request(&["a", "b"])).await;
        let expected = if lane.path == "/v1/messages" { 529 } else { 503 };
        assert_eq!((seen.status, start.elapsed()), (expected, Duration::ZERO), "{}", seen.body);
        assert!(seen.headers.contains_key("retry-after"));
        assert!(seen.extensions.get::<Refusal>().is_some());
        assert_eq!(seen.extensions.get::<Served>().unwrap().attempts, 0);
        assert_eq!(upstream.received().len(), before, "no upstream was asked");
        assert!(layer.counts().refused() > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn fault_30_one_probe_at_a_time_and_an_answer_ends_it() {
    let answers = Arc::new(Mutex::new(status(500)));
    let script = answers.clone();
    let upstream = Upstream::choose(move |_| script.lock().unwrap().clone());
    let board = Board::new();
    let layer = FallbackLayer::new(board.clone()).policy(ByClass::new().retries(0));
    let service = stack(SseLayer::new(), &layer, &upstream);
    for _ in 0..5 {
        ask(service.clone(), CHAT.request(&["a"])).await;
    }
    let standing = board.of(&CHAT.target("a"));
    assert!(matches!(standing.state(now()), State::Ejected(_)));
    tokio::time::advance(Duration::from_secs(5)).await;
    assert!(matches!(standing.state(now()), State::Probing(_)));

    let before = upstream.received().len();
    *answers.lock().unwrap() = CHAT.good().after(Duration::from_secs(3));
    let probe = tokio::spawn(ask(service.clone(), CHAT.request(&["a"])));
    tokio::task::yield_now().await;
    for _ in 0..10 {
        assert_eq!(ask(service.clone(), CHAT.request(&["a"])).await.status, 503);
    }
    assert_eq!(upstream.received().len(), before + 1, "one probe");
    assert_eq!(probe.await.unwrap().status, 200);
    assert_eq!(standing.state(now()), State::Open);
    assert_eq!(ask(service, CHAT.request(&["a"])).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_probe_whose_client_leaves_decides_nothing() {
    let upstream = Upstream::always(Answer::silence());
    let board = Board::new();
    let standing = board.of(&CHAT.target("a"));
    let ejection = Ejection::new(Class::ServerError, now(), now() + Duration::from_secs(1));
    standing.eject(Scope::Model, ejection);
    tokio::time::advance(Duration::from_secs(2)).await;
    let layer = FallbackLayer::new(board.clone());
    for _ in 0..3 {
        let service = stack(SseLayer::new(), &layer, &upstream);
        let call = ask(service, CHAT.request(&["a"]));
        tokio::time::timeout(Duration::from_secs(1), call).await.unwrap_err();
        assert!(matches!(standing.state(now()), State::Probing(_)));
    }
    assert_eq!(upstream.received().len(), 3, "the next call probes");
}

/// How many requests reach upstreams when all of 2,000 calls fail.
async fn storm(lane: Lane, bad: Answer, deployments: &[&str], pace: Duration) -> usize {
    let upstream = Upstream::always(bad);
    let layer = FallbackLayer::new(Board::new());
    let service = stack(SseLayer::new(), &layer, &upstream);
    for _ in 0..2000 {
        assert!(ask(service.clone(), lane.request(deployments)).await.status >= 400);
        tokio::time::advance(pace).await;
    }
    assert_eq!(layer.counts().attempts() as usize, upstream.received().len());
    upstream.received().len()
}

#[tokio::test(start_paused = true)]
async fn fault_31_a_total_failure_is_no_storm() {
    let (one, three) = (&["a"][..], &["a", "b", "c"][..]);
    for bad in [status(500), status(503), status(429), refused(), Answer::json(200, "{")] {
        for deployments in [one, three] {
            for pace in [Duration::ZERO, Duration::from_millis(100), Duration::from_secs(7)] {
                let requests = storm(CHAT, bad.clone(), deployments, pace).await;
                assert!(requests <= 2400, "{requests} for {bad:?} {deployments:?} {pace:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn fault_31_without_a_breaker_the_budget_holds() {
    let upstream = Upstream::always(status(500));
    let breaker = Breaker::new().in_a_row(u32::MAX).share(2.0, 1);
    let layer = FallbackLayer::new(Board::new()).breaker(breaker);
    let service = stack(SseLayer::new(), &layer, &upstream);
    for _ in 0..2000 {
        ask(service.clone(), CHAT.request(&["a"])).await;
    }
    let requests = upstream.received().len();
    assert!((2150..=2400).contains(&requests), "{requests}");
    assert!(layer.counts().unaffordable() > 1000);
}

#[tokio::test(start_paused = true)]
async fn fault_32_those_who_waited_for_a_limit_do_not_come_back_together() {
    let upstream = Upstream::choose(|_| CHAT.good().after(Duration::from_secs(1)));
    let board = Board::new();
    let until = now() + Duration::from_secs(3);
    let standing = board.of(&CHAT.target("a"));
    standing.eject(Scope::Model, Ejection::new(Class::RateLimit, now(), until));
    let layer = FallbackLayer::new(board);
    let service = stack(SseLayer::new(), &layer, &upstream);
    let calls: Vec<_> = (0..20)
        .map(|_| tokio::spawn(ask(service.clone(), with_deadline(CHAT, &["a"], 60))))
        .collect();
    tokio::time::sleep_until((until + Duration::from_millis(500)).into()).await;
    assert_eq!(upstream.received().len(), 1, "one asks whether it is well");
    for call in calls {
        assert_eq!(call.await.unwrap().status, 200);
    }
    assert_eq!(upstream.received().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn fault_60_a_dead_target_does_not_delay_calls_to_another() {
    let upstream = Upstream::choose(|received| match &*common::deployment(received) {
        "dead" => Answer::silence(),
        _ => CHAT.good(),
    });
    let layer = FallbackLayer::new(Board::new());
    let service = stack(SseLayer::new(), &layer, &upstream);
    let stuck: Vec<_> =
        (0..50).map(|_| tokio::spawn(ask(service.clone(), CHAT.request(&["dead"])))).collect();
    tokio::task::yield_now().await;
    let start = Instant::now();
    for _ in 0..50 {
        assert_eq!(ask(service.clone(), CHAT.request(&["well"])).await.status, 200);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    for call in stuck {
        assert_eq!(call.await.unwrap().status, 504);
    }
    // And once it is known to be dead, not even those who would ask it first.
    let start = Instant::now();
    let seen = ask(service, CHAT.request(&["dead", "well"])).await;
    assert_eq!((seen.status, start.elapsed()), (200, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn fault_27_one_target_is_asked_again_after_a_pause() {
    for lane in LANES {
        let upstream = Upstream::queue([status(500), lane.good()]);
        let layer = FallbackLayer::new(Board::new());
        let start = Instant::now();
        let seen = ask(stack(SseLayer::new(), &layer, &upstream), lane.request(&["a"])).await;
        assert_eq!((seen.status, seen.body), (200, lane.whole()));
        let millis = start.elapsed().as_millis();
        assert!((100..=201).contains(&millis), "{millis}");
        assert_eq!((layer.counts().retries(), layer.counts().fallbacks()), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_says_so_is_not_asked_again() {
    let upstream = Upstream::always(status(500).header("x-should-retry", "false"));
    let layer = FallbackLayer::new(Board::new());
    ask(stack(SseLayer::new(), &layer, &upstream), CHAT.request(&["a"])).await;
    assert_eq!(upstream.received().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_more_attempts_than_allowed() {
    let deployments: Vec<_> = (0..10).map(|n| n.to_string()).collect();
    let deployments: Vec<_> = deployments.iter().map(String::as_str).collect();
    for allowed in [1, 2, 6] {
        let upstream = Upstream::always(status(500));
        let layer = FallbackLayer::new(Board::new()).attempts(allowed);
        ask(stack(SseLayer::new(), &layer, &upstream), CHAT.request(&deployments)).await;
        assert_eq!(upstream.received().len(), allowed as usize);
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_after_the_deadline() {
    let upstream = Upstream::always(status(500).after(Duration::from_secs(6)));
    let layer = FallbackLayer::new(Board::new());
    let request = with_deadline(CHAT, &["a", "b", "c"], 6);
    let start = Instant::now();
    let seen = ask(stack(Identity::new(), &layer, &upstream), request).await;
    assert_eq!((upstream.received().len(), start.elapsed().as_secs()), (1, 6));
    assert!(seen.status >= 500);
}

#[tokio::test(start_paused = true)]
async fn a_policy_decides_and_a_closure_is_one() {
    let upstream = Upstream::always(status(418));
    let teapots = |tried: &Tried<'_>| {
        let is_one = tried.fault.status == Some(418);
        is_one.then_some(tollgate_fallback::Action::Next)
    };
    let layer = FallbackLayer::new(Board::new()).policy(teapots.or(ByClass::new()).limited(3));
    let service = stack(SseLayer::new(), &layer, &upstream);
    ask(service, CHAT.request(&["a", "b", "c", "d"])).await;
    assert_eq!(asked(&upstream), ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_an_inner_layer_ends_the_call_as_it_was_rendered() {
    let refusal = Refusal::new(Class::RateLimit, "budget");
    let upstream = Upstream::always(Answer::json(402, "{\"mine\":1}").extension(refusal));
    let board = Board::new();
    let layer = FallbackLayer::new(board.clone());
    for (lane, gated) in LANES.into_iter().flat_map(|lane| [(lane, true), (lane, false)]) {
        let request = lane.request(&["a", "b"]);
        let seen = match gated {
            true => ask(stack(SseLayer::new(), &layer, &upstream), request).await,
            false => ask(stack(Identity::new(), &layer, &upstream), request).await,
        };
        assert_eq!((seen.status, &*seen.body), (402, "{\"mine\":1}"));
    }
    assert!(asked(&upstream).iter().all(|name| name == "a"));
    assert_eq!(board.of(&CHAT.target("a")).state(now()), State::Open, "it says nothing of `a`");
}

#[tokio::test(start_paused = true)]
async fn the_most_helpful_error_is_told() {
    for (first, second, expected) in [
        (status(429), refused(), 429),
        (refused(), status(429), 429),
        (status(500), status(401), 500),
        (status(404), status(500), 500),
        (status(404), status(404), 404),
        (status(402), status(401), 503),
        (status(500), status(503), 503),
        (Answer::error(), status(500), 500),
    ] {
        let upstream = Upstream::queue([first, second]);
        let layer = FallbackLayer::new(Board::new()).policy(ByClass::new().retries(0));
        let seen = ask(stack(SseLayer::new(), &layer, &upstream), CHAT.request(&["a", "b"])).await;
        assert_eq!(seen.status, expected, "{}", seen.body);
        assert_eq!(upstream.received().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_without_an_answer_is_the_inner_services_own() {
    let upstream = Upstream::always(Answer::error());
    let layer = FallbackLayer::new(Board::new()).policy(ByClass::new().retries(0));
    let service = stack(SseLayer::new(), &layer, &upstream);
    let error = service.oneshot(CHAT.request(&["a", "b"])).await.map(drop).unwrap_err();
    assert!(error.is::<tollgate_testkit::Reset>());
    assert_eq!(upstream.received().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn alone_it_renders_what_it_says() {
    for lane in LANES {
        for (bad, told) in [(status(401), "upstream_auth"), (refused(), "upstream_connect")] {
            let upstream = Upstream::always(bad);
            let layer = FallbackLayer::new(Board::new()).policy(ByClass::new().retries(0));
            let seen = ask(stack(Identity::new(), &layer, &upstream), lane.request(&["a"])).await;
            assert!(seen.status >= 500 && seen.body.contains(told), "{}", seen.body);
            assert!(seen.extensions.get::<Failure>().is_some());
            assert_eq!(seen.headers["content-type"], "application/json");
        }
        let upstream = Upstream::always(lane.good());
        let layer = FallbackLayer::new(Board::new());
        let seen = ask(stack(Identity::new(), &layer, &upstream), lane.request(&["a"])).await;
        assert_eq!(seen.body, lane.whole(), "and gives what it held");
    }
}

#[tokio::test(start_paused = true)]
async fn stacked_twice_the_inner_one_has_no_plan() {
    for lane in LANES {
        let upstream = common::failing_first(lane, status(500));
        let layer = FallbackLayer::new(Board::new());
        let service = layer.layer(layer.layer(upstream.clone()));
        let seen = ask(SseLayer::new().layer(service), lane.request(&["a", "b"])).await;
        assert_eq!((seen.status, seen.body), (200, lane.whole()));
        assert_eq!(asked(&upstream), ["a", "b"]);
    }
}

#[tokio::test]
async fn without_a_plan_the_inner_service_is_asked_once_and_all_passes() {
    let answer = Answer::json(500, "{\"whatever\":").header("x-a", "b");
    let upstream = Upstream::always(answer);
    let service = FallbackLayer::new(Board::new()).layer(upstream.clone());
    let mut request = CHAT.request(&[]);
    for _ in 0..2 {
        let seen = ask(service.clone(), request).await;
        assert_eq!((seen.status, &*seen.body), (500, "{\"whatever\":"));
        assert_eq!(seen.headers["x-a"], "b");
        request = Request::post("/anything").body(Body::from("x")).unwrap();
    }
    assert_eq!(upstream.received().len(), 2);
}

#[tokio::test]
async fn who_was_not_inspected_is_inspected_and_may_be_refused() {
    let upstream = common::failing_first(CHAT, status(500));
    let service = FallbackLayer::new(Board::new()).layer(upstream.clone());
    let request = |body: &'static str| {
        let mut plan = Plan::one(CHAT.target("a"), "x");
        plan.chosen.extend(Plan::one(CHAT.target("b"), "x").chosen);
        Request::post(CHAT.path).extension(plan).body(Full::new(Bytes::from(body))).unwrap()
    };
    let whole = service.clone().oneshot(request("{\"model\":\"alias\"}")).await.unwrap();
    assert_eq!(whole.into_body().collect().await.unwrap().to_bytes(), CHAT.whole());
    let refused = service.oneshot(request("[")).await.unwrap();
    assert_eq!(refused.status(), 400);
    assert_eq!(upstream.received().len(), 2);
}

#[tokio::test]
async fn what_cannot_be_sent_again_is_sent_once() {
    let upstream = Upstream::always(status(500));
    let service = FallbackLayer::new(Board::new()).layer(upstream.clone());
    let unread = Body::untouched(Full::new(Bytes::from("{\"model\":\"alias\"}")));
    let seen = ask(service, CHAT.request(&["a", "b"]).map(|_| unread)).await;
    assert_eq!((seen.status, upstream.received().len()), (500, 1));
}

#[tokio::test(start_paused = true)]
async fn dropped_at_any_point_it_leaves_nothing_behind() {
    for lane in LANES {
        let slow = || {
            let frames = [lane.start, lane.content, lane.finish];
            lane.plays(Script::frames(frames).pace(Duration::from_secs(1)))
        };
        for seconds in 0..12 {
            let wait = Duration::from_secs(1);
            let answers = [status(500).after(wait), status(429).after(wait), slow().after(wait)];
            let upstream = Upstream::queue(answers);
            let board = Board::new();
            let backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(2));
            let layer = FallbackLayer::new(board.clone()).backoff(backoff);
            let service = stack(SseLayer::new(), &layer, &upstream);
            let call = ask(service, lane.request(&["a", "b"]));
            let _ = tokio::time::timeout(Duration::from_secs(seconds), call).await;
            for name in ["a", "b"] {
                let standing = board.of(&lane.target(name));
                assert_eq!((standing.in_flight(), standing.in_flight_tokens()), (0, 0));
                let later = now() + Duration::from_secs(3600);
                assert!(!matches!(standing.admit(later), tollgate_core::Admission::Closed(_)));
            }
            assert!(upstream.probes().iter().all(|probe| probe.ended().is_some()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_counts_until_its_answer_has_ended_and_its_pace_is_noted() {
    let frames = [CHAT_STREAM.start, CHAT_STREAM.content, CHAT_STREAM.finish];
    let script = Script::frames(frames).pace(Duration::from_secs(2));
    let upstream = Upstream::always(CHAT_STREAM.plays(script));
    let board = Board::new();
    let layer = FallbackLayer::new(board.clone());
    let service = stack(SseLayer::new(), &layer, &upstream);
    let standing = board.of(&CHAT_STREAM.target("a"));
    let response = service.oneshot(CHAT_STREAM.request(&["a"])).await.unwrap();
    assert_eq!(standing.in_flight(), 1);
    assert!(standing.in_flight_tokens() > 0);
    assert_eq!(standing.first_content(), Some(Duration::from_secs(4)));
    common::read(response).await;
    assert_eq!(standing.in_flight(), 0);
    assert!(standing.output_rate().unwrap() > 50.0);
    assert_eq!(upstream.probes()[0].ended(), Some(Ended::Complete));
}

#[tokio::test(start_paused = true)]
async fn how_long_a_json_answer_took_is_noted_and_how_long_counting_took_is_not() {
    for (operation, noted) in
        [(Operation::Generate, Some(Duration::from_secs(3))), (Operation::CountTokens, None)]
    {
        let upstream = Upstream::always(CHAT.good().after(Duration::from_secs(3)));
        let board = Board::new();
        let service = stack(SseLayer::new(), &FallbackLayer::new(board.clone()), &upstream);
        let mut request = CHAT.request(&["a"]);
        request.extensions_mut().insert(Call::new(CHAT.protocol, operation));
        ask(service, request).await;
        let standing = board.of(&CHAT.target("a"));
        assert_eq!((standing.answer(), standing.first_content()), (noted, None), "{operation:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_keeps_breaking_after_content_is_set_aside() {
    for (name, broken) in [
        ("reset", Script::new(CHAT_STREAM.content).reset()),
        ("cut", Script::new(CHAT_STREAM.content)),
        ("stall", Script::new(CHAT_STREAM.content).stall()),
        ("error", Script::frames([CHAT_STREAM.content, CHAT_STREAM.error])),
    ] {
        let upstream = common::failing_first(CHAT_STREAM, CHAT_STREAM.plays(broken));
        let layer = FallbackLayer::new(Board::new());
        let service = stack(SseLayer::new(), &layer, &upstream);
        for _ in 0..5 {
            ask(service.clone(), CHAT_STREAM.request(&["a", "b"])).await;
        }
        let seen = ask(service, CHAT_STREAM.request(&["a", "b"])).await;
        assert_eq!(seen.body, CHAT_STREAM.whole(), "{name}");
        assert_eq!(asked(&upstream), ["a", "a", "a", "a", "a", "b"], "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_budget_may_be_shared_and_may_be_nothing() {
    let upstream = Upstream::always(status(500));
    let layer = FallbackLayer::new(Board::new()).budget(Budget::new(0.0, 0));
    let service = stack(SseLayer::new(), &layer, &upstream);
    ask(service, CHAT.request(&["a", "b"])).await;
    assert_eq!(asked(&upstream), ["a", "b"], "the first at another deployment is free");
    assert_eq!(layer.counts().unaffordable(), 1);
}

#[tokio::test]
async fn what_was_sent_is_what_came_but_for_the_model() {
    let upstream = common::failing_first(CHAT, status(500));
    let service = FallbackLayer::new(Board::new()).layer(upstream.clone());
    let mut request = CHAT.request(&["a", "b"]);
    request.headers_mut().insert("x-beta", "1".parse().unwrap());
    request.extensions_mut().insert(42_u8);
    let call = request.extensions().get::<Call>().unwrap().id;
    ask(service, request).await;
    for (n, received) in upstream.received().iter().enumerate() {
        let name = ["a", "b"][n];
        assert_eq!(received.body(), format!("{{\"model\":\"model-of-{name}\",\"messages\":[]}}"));
        assert_eq!(received.headers["x-beta"], "1");
        assert_eq!(received.extensions.get::<u8>(), Some(&42));
        assert_eq!(received.extensions.get::<Call>().unwrap().id, call);
        assert!(received.extensions.get::<Plan>().is_none());
        let attempt = received.extensions.get::<tollgate_core::Attempt>().unwrap();
        assert_eq!((attempt.number() as usize, attempt.is_followed()), (n + 1, true));
    }
}

#[tokio::test]
async fn everything_can_be_sent_and_shared() {
    fn sent<T: Send + Sync + Clone + 'static>(_: &T) {}
    let layer = FallbackLayer::new(Board::new());
    let answer = |_: Request<Body>| async {
        Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from("{}"))))
    };
    let mut service = layer.layer(service_fn(answer));
    sent(&layer);
    sent(&service);
    let mut call = pin!(tower::Service::call(&mut service, CHAT.request(&["a"])));
    fn send<T: Send>(_: &T) {}
    send(&call);
    let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Ok(_))));
}

/// A body that notes, when it is dropped, whether its attempt was told why it ends.
struct Dropped {
    body: ScriptBody,
    attempt: Attempt,
    endings: Arc<Mutex<Vec<Option<Ending>>>>,
}

impl Drop for Dropped {
    fn drop(&mut self) {
        self.endings.lock().unwrap().push(self.attempt.ending());
    }
}

impl http_body::Body for Dropped {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        std::pin::Pin::new(&mut self.body).poll_frame(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_told_why_it_ends_before_its_body_is_dropped() {
    for lane in LANES {
        let page = Answer::new(http::StatusCode::OK, Script::new("<html>"));
        for bad in [
            status(500),
            page.header("content-type", "text/html"),
            lane.plays(Script::new(lane.start).reset()),
            lane.plays(Script::new(lane.error.trim_start_matches([',', '\r', '\n']))),
        ] {
            let upstream = common::failing_first(lane, bad);
            let endings: Arc<Mutex<Vec<_>>> = Arc::default();
            let (inner, noted) = (upstream, endings.clone());
            let watched = service_fn(move |request: Request<Body>| {
                let (inner, endings) = (inner.clone(), noted.clone());
                let attempt = request.extensions().get::<Attempt>().unwrap().clone();
                async move {
                    let response = inner.oneshot(request).await?;
                    Ok::<_, BoxError>(response.map(|body| Dropped { body, attempt, endings }))
                }
            });
            let service = SseLayer::new().layer(FallbackLayer::new(Board::new()).layer(watched));
            assert_eq!(ask(service, lane.request(&["a", "b"])).await.body, lane.whole());
            let endings = endings.lock().unwrap().clone();
            assert!(matches!(endings[..], [Some(Ending::Failed(_)), None]), "{endings:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn callers_without_time_set_nobody_aside() {
    let stalls = CHAT_STREAM.plays(Script::new(CHAT_STREAM.content).stall());
    for (lane, answer) in [(CHAT, Answer::silence()), (CHAT_STREAM, stalls)] {
        let upstream = Upstream::always(answer);
        let board = Board::new();
        let service = stack(SseLayer::new(), &FallbackLayer::new(board.clone()), &upstream);
        for _ in 0..20 {
            ask(service.clone(), with_deadline(lane, &["a"], 1)).await;
        }
        assert_eq!(board.of(&lane.target("a")).state(now()), State::Open);
        assert_eq!(upstream.received().len(), 20);
    }
}

const UNSIGNED: &str = r#"{"type":"error","error":{"type":"invalid_request_error","message":"Expected `thinking` or `redacted_thinking`, but found `tool_use`"}}"#;

fn repaired(request: &mut Request<Body>) -> bool {
    *request.body_mut() = Body::from(r#"{"model":"alias","repaired":true}"#);
    true
}

#[tokio::test(start_paused = true)]
async fn reasoning_that_is_refused_is_left_out_once_at_the_same_target() {
    let messages = LANES.into_iter().filter(|lane| lane.path == "/v1/messages");
    for lane in messages {
        let upstream =
            Upstream::choose(move |received| match received.json()["repaired"] == true {
                true => lane.good(),
                false => Answer::json(400, UNSIGNED),
            });
        let layer = FallbackLayer::new(Board::new()).repair(repaired);
        let (service, start) = (stack(SseLayer::new(), &layer, &upstream), Instant::now());
        // More often than there is a budget for.
        for _ in 0..30 {
            let seen = ask(service.clone(), lane.request(&["a", "b"])).await;
            assert_eq!((seen.status, start.elapsed()), (200, Duration::ZERO), "{}", seen.body);
            let served = seen.extensions.get::<Served>().unwrap();
            assert_eq!((&*served.target.deployment, served.attempts), ("a", 2));
            assert_eq!(seen.headers["x-tollgate-warnings"], "reasoning_dropped:/");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn reasoning_that_is_refused_again_or_cannot_be_left_out_fails_the_call() {
    let lane = LANES.into_iter().find(|lane| lane.path == "/v1/messages").unwrap();
    let no = |_: &mut Request<Body>| false;
    let layers = [
        (FallbackLayer::new(Board::new()), 1),
        (FallbackLayer::new(Board::new()).repair(no), 1),
        (FallbackLayer::new(Board::new()).repair(repaired), 2),
    ];
    for (layer, asked) in layers {
        let upstream = Upstream::always(Answer::json(400, UNSIGNED));
        let seen = ask(stack(SseLayer::new(), &layer, &upstream), lane.request(&["a", "b"])).await;
        assert_eq!(seen.status, 400, "{}", seen.body);
        assert_eq!(upstream.received().len(), asked);
    }
}
