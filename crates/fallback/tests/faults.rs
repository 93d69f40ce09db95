//! The fault table: whatever happens to the first target before its first content, the second
//! answers and nobody sees of it; after its first content there is exactly one error event.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::time::Duration;

use common::{Answered, LANES, Lane, ask, asked, failing_first, refused, stack, status};
use tokio::time::Instant;
use tollgate_core::{Attempt, Board, Cause, Class, Deadline, Ending, Failure, Protocol, Served};
use tollgate_fallback::{Action, ByClass, FallbackLayer};
use tollgate_sse::SseLayer;
use tollgate_testkit::{Answer, Ended, Script, Upstream};

/// Asserts that the second deployment's whole answer is all a client sees when the first one
/// answers so, in every lane that `bad` knows the fault for.
async fn moves_on(bad: impl Fn(Lane) -> Option<Answer>) {
    for lane in LANES {
        let Some(answer) = bad(lane) else { continue };
        let upstream = failing_first(lane, answer);
        let layer = FallbackLayer::new(Board::new());
        let service = stack(SseLayer::new(), &layer, &upstream);
        let seen = ask(service, lane.request(&["a", "b"])).await;
        assert_eq!((seen.status, seen.body), (200, lane.whole()), "{lane:?}");
        assert_eq!(asked(&upstream), ["a", "b"], "{lane:?}");
        let served = seen.extensions.get::<Served>().unwrap();
        assert_eq!((&*served.target.deployment, served.attempts), ("b", 2));
        assert_eq!(&*served.missed[0].target.deployment, "a");
        let received = upstream.received();
        let endings: Vec<_> = received
            .iter()
            .map(|received| received.extensions.get::<Attempt>().unwrap().ending())
            .collect();
        assert!(matches!(endings[..], [Some(Ending::Failed(_)), None]), "{lane:?} {endings:?}");
        let second = received.last().unwrap();
        let model = if lane.protocol == Protocol::Gemini {
            second.uri.path().contains("models/model-of-b:")
        } else {
            second.json()["model"] == "model-of-b"
        };
        assert!(model, "aimed at the second: {second:?}");
        assert_eq!((layer.counts().attempts(), layer.counts().fallbacks()), (2, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn fault_01_connect_refused_moves_on_at_once() {
    let before = Instant::now();
    moves_on(|_| Some(refused())).await;
    assert_eq!(before.elapsed(), Duration::ZERO, "no pause before another endpoint");
}

#[tokio::test(start_paused = true)]
async fn fault_06_a_reset_before_the_head_moves_on() {
    moves_on(|_| Some(Answer::error())).await;
}

#[tokio::test(start_paused = true)]
async fn fault_08_a_stall_before_the_head_moves_on() {
    moves_on(|_| Some(Answer::silence())).await;
}

#[tokio::test(start_paused = true)]
async fn fault_09_a_head_and_then_a_stall_moves_on() {
    moves_on(|lane| Some(lane.plays(Script::default().stall()))).await;
    moves_on(|lane| Some(lane.plays(Script::new(lane.start).stall()))).await;
}

#[tokio::test(start_paused = true)]
async fn fault_10_an_error_as_first_event_moves_on() {
    moves_on(|lane| {
        let error = if lane.is_array() { "[{\"error\":{\"code\":503}}" } else { lane.error };
        Some(lane.plays(Script::new(error)))
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn fault_10_an_error_after_events_without_content_moves_on() {
    let script = |lane: Lane| Script::frames([lane.start, lane.error]);
    moves_on(|lane| lane.stream.then(|| lane.plays(script(lane)))).await;
}

#[tokio::test(start_paused = true)]
async fn fault_11_a_reset_before_content_moves_on() {
    moves_on(|lane| Some(lane.plays(Script::new(lane.start).reset()))).await;
    moves_on(|lane| Some(lane.plays(Script::default().reset()))).await;
}

#[tokio::test(start_paused = true)]
async fn fault_14_an_end_before_content_moves_on() {
    moves_on(|lane| Some(lane.plays(Script::new(lane.start)))).await;
}

#[tokio::test(start_paused = true)]
async fn fault_17_a_stream_its_protocol_does_not_have_moves_on() {
    moves_on(|lane| lane.stream.then(|| lane.plays(Script::new("data: {not json\n\n")))).await;
}

#[tokio::test(start_paused = true)]
async fn fault_19_malformed_json_moves_on() {
    moves_on(|lane| (!lane.stream).then(|| Answer::json(200, "{\"id\":}"))).await;
    moves_on(|lane| (!lane.stream).then(|| Answer::json(200, lane.whole() + "}"))).await;
}

#[tokio::test(start_paused = true)]
async fn fault_19_a_truncated_body_moves_on() {
    let cut = |lane: Lane| lane.whole().len() - 3;
    moves_on(|lane| {
        let script = Script::new(lane.whole()).end_at(cut(lane));
        (!lane.stream).then(|| lane.plays(script))
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn fault_21_html_with_status_200_moves_on() {
    let page = Answer::new(http::StatusCode::OK, Script::new("<html>busy</html>"));
    moves_on(|_| Some(page.clone().header("content-type", "text/html"))).await;
}

#[tokio::test(start_paused = true)]
async fn fault_22_a_429_that_says_when_moves_on() {
    moves_on(|_| Some(status(429).header("retry-after", "7"))).await;
    moves_on(|_| Some(status(429).header("retry-after-ms", "7000"))).await;
}

#[tokio::test(start_paused = true)]
async fn fault_23_a_429_without_header_moves_on() {
    moves_on(|_| Some(status(429))).await;
}

#[tokio::test(start_paused = true)]
async fn fault_24_an_exhausted_quota_moves_on() {
    moves_on(|_| Some(status(402))).await;
}

#[tokio::test(start_paused = true)]
async fn fault_25_a_rejected_credential_moves_on() {
    moves_on(|_| Some(status(401))).await;
    moves_on(|_| Some(status(403))).await;
}

#[tokio::test(start_paused = true)]
async fn fault_26_overloaded_moves_on() {
    moves_on(|_| Some(status(503))).await;
    moves_on(|_| Some(status(529))).await;
}

#[tokio::test(start_paused = true)]
async fn fault_27_an_upstreams_own_error_moves_on() {
    for code in [500, 502, 504] {
        moves_on(|_| Some(status(code))).await;
    }
}

#[tokio::test(start_paused = true)]
async fn fault_28_an_unknown_model_moves_on() {
    moves_on(|_| Some(status(404))).await;
}

#[tokio::test(start_paused = true)]
async fn fault_67_an_empty_200_moves_on() {
    moves_on(|lane| Some(lane.plays(Script::default()))).await;
}

/// Asserts that a stream which breaks so after its first content ends in one error event, and that
/// nobody else is asked.
async fn ends_honestly(ending: impl Fn(Script, Lane) -> Script) {
    for lane in LANES.into_iter().filter(|lane| lane.stream) {
        let script = ending(Script::frames([lane.start, lane.content]), lane);
        let upstream = failing_first(lane, lane.plays(script));
        let layer = FallbackLayer::new(Board::new());
        let service = stack(SseLayer::new().without_keep_alive(), &layer, &upstream);
        let seen = ask(service, lane.request(&["a", "b"])).await;
        let said = [lane.start, lane.content].concat();
        let ending =
            seen.body.strip_prefix(said.trim_end()).unwrap_or_else(|| panic!("{}", seen.body));
        let is_ours = ending.contains(lane.broken);
        let is_theirs = ending.trim_start().starts_with(lane.error.trim_start());
        assert!(is_ours ^ is_theirs || lane.error.starts_with(lane.broken), "{ending}");
        assert_eq!(ending.matches("\"message\":").count(), 1, "{ending}");
        assert!(!seen.broke && !seen.body.contains(lane.finish));
        assert_eq!(asked(&upstream), ["a"], "nothing is repeated after content");
        assert_eq!(layer.counts().fallbacks(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn fault_11_a_reset_after_content_is_one_error_event() {
    ends_honestly(|script, _| script.reset()).await;
}

#[tokio::test(start_paused = true)]
async fn fault_12_a_stall_after_content_is_one_error_event() {
    ends_honestly(|script, _| script.stall()).await;
}

#[tokio::test(start_paused = true)]
async fn fault_14_an_end_after_content_is_one_error_event() {
    ends_honestly(|script, _| script).await;
}

#[tokio::test(start_paused = true)]
async fn fault_11_an_error_after_content_is_the_last_event() {
    ends_honestly(|script, lane| script.then(lane.error).then(lane.content)).await;
}

/// Asks one deployment after the other, all of which answer so.
async fn all_fail(lane: Lane, bad: Answer) -> Answered {
    let upstream = Upstream::always(bad);
    let layer = FallbackLayer::new(Board::new()).policy(ByClass::new().retries(0));
    ask(stack(SseLayer::new(), &layer, &upstream), lane.request(&["a", "b"])).await
}

/// What the class is answered with in a lane's protocol: OpenAI's, Anthropic's, Gemini's.
fn of(lane: Lane, statuses: [u16; 3]) -> u16 {
    match lane.protocol {
        Protocol::AnthropicMessages => statuses[1],
        Protocol::Gemini => statuses[2],
        _ => statuses[0],
    }
}

#[tokio::test(start_paused = true)]
async fn fault_01_all_refusing_is_a_502_of_the_callers_protocol() {
    for lane in LANES {
        let seen = all_fail(lane, refused()).await;
        assert_eq!(seen.status, of(lane, [502, 500, 500]), "{lane:?}");
        assert_eq!(seen.extensions.get::<Failure>().unwrap().class, Class::Connect);
        assert_eq!(seen.extensions.get::<Served>().unwrap().missed.len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn fault_08_all_silent_is_a_504() {
    for lane in LANES {
        let seen = all_fail(lane, Answer::silence()).await;
        assert_eq!(seen.status, 504, "{lane:?}");
        assert_eq!(seen.extensions.get::<Failure>().unwrap().cause, Cause::Deadline);
    }
}

#[tokio::test(start_paused = true)]
async fn fault_22_all_at_their_limits_is_a_429_with_the_smallest_retry_after() {
    for lane in LANES {
        let upstream = Upstream::choose(|received| {
            let seconds = if common::deployment(received) == "a" { "19" } else { "40" };
            status(429).header("retry-after", seconds)
        });
        let layer = FallbackLayer::new(Board::new());
        let service = stack(SseLayer::new(), &layer, &upstream);
        let seen = ask(service.clone(), lane.request(&["a", "b"])).await;
        assert_eq!((seen.status, &seen.headers["retry-after"]), (429, &"19".parse().unwrap()));
        assert_eq!(asked(&upstream), ["a", "b"]);
        let again = ask(service, lane.request(&["a", "b"])).await;
        assert_eq!((again.status, &again.headers["retry-after"]), (429, &"19".parse().unwrap()));
        assert_eq!(asked(&upstream).len(), 2, "nobody is asked before");
        assert_eq!(layer.counts().ejections(Class::RateLimit), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn fault_22_what_the_upstream_said_of_when_to_come_back_is_passed_on_as_it_is() {
    let lane = LANES[0];
    for (name, said) in [("retry-after", "3"), ("retry-after-ms", "6499.6")] {
        let upstream = Upstream::always(status(429).header(name, said));
        let layer = FallbackLayer::new(Board::new());
        let seen = ask(stack(SseLayer::new(), &layer, &upstream), lane.request(&["a"])).await;
        assert_eq!((seen.status, seen.headers[name].to_str().unwrap()), (429, said));
        let names = ["retry-after", "retry-after-ms"];
        let told = names.iter().filter(|name| seen.headers.contains_key(**name)).count();
        assert_eq!(told, 1, "{:?}", seen.headers);
    }
}

#[tokio::test(start_paused = true)]
async fn fault_22_the_same_target_is_waited_for_within_the_deadline() {
    for lane in LANES {
        let limited = || status(429).header("retry-after", "7");
        let upstream = Upstream::queue([limited(), lane.good()]);
        let layer = FallbackLayer::new(Board::new());
        let service = stack(SseLayer::new(), &layer, &upstream);
        let start = Instant::now();
        let mut request = lane.request(&["a"]);
        let deadline = Deadline((start + Duration::from_secs(30)).into_std());
        request.extensions_mut().insert(deadline);
        let seen = ask(service, request).await;
        assert_eq!((seen.status, seen.body), (200, lane.whole()));
        assert!((7..8).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
        assert_eq!(layer.counts().retries(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn fault_22_what_the_deadline_does_not_allow_is_not_waited_for() {
    let lane = LANES[0];
    for (hint, allowed) in [("7", 5), ("25", 60)] {
        let upstream = Upstream::always(status(429).header("retry-after", hint));
        let layer = FallbackLayer::new(Board::new());
        let start = Instant::now();
        let mut request = lane.request(&["a"]);
        let deadline = Deadline((start + Duration::from_secs(allowed)).into_std());
        request.extensions_mut().insert(deadline);
        let seen = ask(stack(SseLayer::new(), &layer, &upstream), request).await;
        assert_eq!((seen.status, seen.headers["retry-after"].to_str().unwrap()), (429, hint));
        assert_eq!((start.elapsed(), upstream.received().len()), (Duration::ZERO, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn fault_24_all_quotas_exhausted_is_a_503_that_hides_them() {
    for lane in LANES {
        let seen = all_fail(lane, status(402)).await;
        assert_eq!(seen.status, 503, "{lane:?} {}", seen.body);
        assert!(seen.body.contains("upstream_quota"), "{}", seen.body);
    }
}

#[tokio::test(start_paused = true)]
async fn fault_25_all_credentials_rejected_is_a_502_that_hides_them() {
    for (lane, code) in LANES.into_iter().flat_map(|lane| [(lane, 401), (lane, 403)]) {
        let upstream = Upstream::always(status(code));
        let layer = FallbackLayer::new(Board::new());
        let service = stack(SseLayer::new(), &layer, &upstream);
        // The second time nobody is asked: it is not an upstream that answers.
        for origin in ["upstream", "gateway"] {
            let seen = ask(service.clone(), lane.request(&["a", "b"])).await;
            assert_eq!(seen.status, 502, "{lane:?} {}", seen.body);
            assert!(seen.body.contains("upstream_auth"), "{}", seen.body);
            assert_eq!(seen.headers["x-tollgate-origin"], origin, "{lane:?}");
        }
        assert_eq!(asked(&upstream), ["a", "b"], "not asked again for a while");
    }
}

#[tokio::test(start_paused = true)]
async fn fault_28_a_bad_request_is_passed_on_and_nobody_else_is_asked() {
    let error = "{\"error\":{\"message\":\"bad\",\"type\":\"invalid_request_error\"}}";
    for (lane, code) in LANES.into_iter().flat_map(|lane| [(lane, 400), (lane, 422)]) {
        let upstream = failing_first(lane, Answer::json(code, error));
        let layer = FallbackLayer::new(Board::new());
        let seen = ask(stack(SseLayer::new(), &layer, &upstream), lane.request(&["a", "b"])).await;
        assert_eq!((seen.status, &*seen.body), (code, error), "as the upstream said it");
        assert_eq!(asked(&upstream), ["a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn fault_28_a_fault_of_our_translation_moves_on() {
    let failure = Failure::new(Class::InvalidRequest, "unknown field").cause(Cause::Translator);
    moves_on(|_| Some(Answer::json(400, "{}").extension(failure.clone()))).await;
}

#[tokio::test(start_paused = true)]
async fn fault_28_too_long_an_input_moves_to_a_larger_model_only_where_asked_for() {
    let lane = LANES[5];
    let long = "{\"error\":{\"code\":\"context_length_exceeded\",\"message\":\"too long\"}}";
    let upstream = Upstream::choose(move |received| match &*common::deployment(received) {
        "large" => lane.good(),
        _ => Answer::json(400, long),
    });
    let request = || {
        let mut request = lane.request(&["a", "small", "large"]);
        let plan = request.extensions_mut().get_mut::<tollgate_core::Plan>().unwrap();
        for (step, window) in plan.chosen.iter_mut().zip([100, 50, 1000]) {
            let target = std::sync::Arc::make_mut(&mut step.target);
            std::sync::Arc::make_mut(&mut target.caps).context_window = Some(window);
        }
        request
    };
    let layer = FallbackLayer::new(Board::new());
    let seen = ask(stack(SseLayer::new(), &layer, &upstream), request()).await;
    assert_eq!((seen.status, &*seen.body), (400, long));
    let layer = layer.policy(ByClass::new().larger_for_context_length());
    let seen = ask(stack(SseLayer::new(), &layer, &upstream), request()).await;
    assert_eq!(seen.status, 200);
    assert_eq!(asked(&upstream), ["a", "a", "large"], "not the smaller one");
}

#[tokio::test(start_paused = true)]
async fn fault_29_a_content_filter_is_passed_on() {
    let filtered = "{\"error\":{\"code\":\"content_filter\",\"message\":\"no\"}}";
    let lane = LANES[5];
    let upstream = failing_first(lane, Answer::json(400, filtered));
    let layer = FallbackLayer::new(Board::new());
    let seen = ask(stack(SseLayer::new(), &layer, &upstream), lane.request(&["a", "b"])).await;
    assert_eq!((seen.status, &*seen.body), (400, filtered));
    assert_eq!(asked(&upstream), ["a"]);
    let layer = layer.policy(ByClass::new().on(Class::ContentPolicy, Action::Next));
    let seen = ask(stack(SseLayer::new(), &layer, &upstream), lane.request(&["a", "b"])).await;
    assert_eq!(seen.status, 200, "a policy may say otherwise");
}

#[tokio::test(start_paused = true)]
async fn fault_37_a_client_that_leaves_before_the_first_byte_takes_the_attempt_along() {
    for lane in LANES {
        let upstream = Upstream::always(Answer::silence());
        let board = Board::new();
        let layer = FallbackLayer::new(board.clone());
        let service = stack(SseLayer::new(), &layer, &upstream);
        let left =
            tokio::time::timeout(Duration::from_secs(1), ask(service, lane.request(&["a", "b"])));
        left.await.unwrap_err();
        let standing = board.of(&lane.target("a"));
        assert_eq!(standing.in_flight(), 0);
        let received = upstream.received();
        let attempt = received[0].extensions.get::<Attempt>().unwrap();
        assert_eq!(attempt.ending(), None, "which says that the client left");
        assert_eq!(layer.counts().attempts(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn fault_38_a_client_that_leaves_within_the_answer_is_no_failure_of_the_target() {
    use tower::ServiceExt;
    for lane in LANES.into_iter().filter(|lane| lane.stream) {
        let script = Script::frames([lane.start, lane.content]).stall();
        let upstream = Upstream::always(lane.plays(script));
        let board = Board::new();
        let layer = FallbackLayer::new(board.clone());
        let service = stack(SseLayer::new(), &layer, &upstream);
        for _ in 0..20 {
            let response = service.clone().oneshot(lane.request(&["a"])).await.unwrap();
            assert_eq!(board.of(&lane.target("a")).in_flight(), 1);
            drop(response);
        }
        let standing = board.of(&lane.target("a"));
        assert_eq!(standing.in_flight(), 0);
        assert!(upstream.probes().iter().all(|probe| probe.ended() == Some(Ended::Dropped)));
        let now = Instant::now().into_std();
        assert_eq!(standing.state(now), tollgate_core::State::Open);
    }
}
