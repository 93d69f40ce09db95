//! What is charged for an attempt, by how it went.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{ALL, Bench, CHAT, GEMINI, MESSAGES, PRICE, RESPONSES, cost, post, price, target};
use http::StatusCode;
use http_body_util::BodyExt;
use tollgate_catalog::Mark;
use tollgate_core::{
    Attempt, Cause, Class, Ending as Ended, Failure, KeyId, Outcome, Principal, Protocol, Quality,
    Refusal, Sent,
};
use tollgate_meter::{EndUser, Ending, IdempotencyKey, Tags};
use tollgate_testkit::{Answer, Script, Upstream};
use tower::ServiceExt;

fn estimated(charge: &tollgate_meter::Charge) -> bool {
    charge.usage.quality == Quality::Estimated && charge.usage.method.is_some()
}

#[tokio::test]
async fn a_whole_answer_is_charged_exactly_json_or_stream() {
    for spoken in ALL {
        let json = Bench::new(&spoken, Answer::json(200, spoken.json));
        let (body, charge) = json.whole(spoken.asking()).await;
        assert_eq!(body, spoken.json);
        assert_eq!(cost(&charge).as_deref(), Some(PRICE), "{:?}", spoken.protocol);
        assert_eq!((charge.usage.quality, charge.ending), (Quality::Exact, Ending::Complete));
        assert_eq!((charge.usage.prompt_total(), charge.usage.output_total()), (100, 20));
        assert_eq!((charge.status, charge.stream, charge.attempt), (Some(200), false, 1));

        for cut in 1..60 {
            let answer = Answer::sse(spoken.stream().split_every(cut));
            let stream = Bench::new(&spoken, answer);
            let (body, streamed) = stream.whole(spoken.asking_stream()).await;
            assert_eq!(body, spoken.text());
            assert_eq!(streamed.cost, charge.cost, "{:?} cut {cut}", spoken.protocol);
            assert_eq!(
                (streamed.usage.quality, streamed.ending),
                (Quality::Exact, Ending::Complete)
            );
            assert!(streamed.stream && streamed.first_content.is_some());
        }
    }
}

#[tokio::test]
async fn geminis_array_is_a_stream() {
    let text = format!(
        "[{}]",
        GEMINI
            .events
            .iter()
            .map(|e| e.trim().strip_prefix("data: ").unwrap())
            .collect::<Vec<_>>()
            .join(",\r\n")
    );
    for cut in [1, 7, 1000] {
        let script = Script::new(text.clone()).split_every(cut);
        let answer = Answer::new(StatusCode::OK, script).header("content-type", "application/json");
        let bench = Bench::new(&GEMINI, answer);
        let (body, charge) =
            bench.whole(post("/v1beta/models/m:streamGenerateContent", GEMINI.request)).await;
        assert_eq!(body, text);
        assert_eq!((cost(&charge).as_deref(), charge.ending), (Some(PRICE), Ending::Complete));
    }
}

#[tokio::test]
async fn what_the_caller_said_and_who_asked_is_on_the_charge() {
    let bench = Bench::new(&CHAT, Answer::json(200, CHAT.json));
    let mut request = post(CHAT.path, r#"{"model":"fast","messages":[],"user":"u-1"}"#);
    let principal = std::sync::Arc::new(Principal::new(KeyId::new("k1"), "dev"));
    request.extensions_mut().insert(principal);
    request.extensions_mut().insert(Tags::parse("a,b"));
    request.extensions_mut().insert(Attempt::new(3));
    let (_, charge) = bench.whole(request).await;
    assert_eq!(charge.principal.unwrap().key.as_str(), "k1");
    assert_eq!(charge.tags.iter().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((charge.attempt, charge.asked.as_deref()), (3, Some("fast")));
    assert_eq!(charge.user.as_deref(), Some("u-1"));

    let bench = Bench::new(&CHAT, Answer::json(200, CHAT.json));
    let mut request = post(CHAT.path, r#"{"model":"fast","messages":[],"user":"u-1"}"#);
    request.extensions_mut().insert(EndUser("header".into()));
    request.extensions_mut().insert(IdempotencyKey("i-1".into()));
    let (_, charge) = bench.whole(request).await;
    assert_eq!(charge.user.as_deref(), Some("header"));
    assert_eq!(charge.idempotency_key.as_deref(), Some("i-1"));
}

#[tokio::test]
async fn the_outcome_of_the_call_knows_the_sum() {
    let bench = Bench::new(&CHAT, Answer::json(200, CHAT.json));
    let outcome = Outcome::new();
    for _ in 0..2 {
        let mut request = CHAT.asking();
        request.extensions_mut().insert(outcome.clone());
        let response = bench.ask(request).await;
        assert!(response.extensions().get::<Outcome>().is_some());
        response.into_body().collect().await.unwrap();
    }
    assert_eq!(outcome.cost().unwrap().unwrap().to_string(), "0.000528");
}

#[tokio::test]
async fn error_answers_cost_nothing() {
    for (status, class) in [
        (400, Class::InvalidRequest),
        (404, Class::NotFound),
        (429, Class::RateLimit),
        (500, Class::ServerError),
    ] {
        for spoken in ALL {
            let bench = Bench::new(&spoken, Answer::json(status, r#"{"error":{"message":"no"}}"#));
            let (_, charge) = bench.whole(spoken.asking()).await;
            assert_eq!(cost(&charge).as_deref(), Some("0"));
            assert_eq!((charge.ending, charge.status), (Ending::Failed(class), Some(status)));
            assert!(!charge.tells_usage() && charge.priced.is_none());
        }
    }
}

#[tokio::test]
async fn a_refusal_or_failure_of_an_inner_layer_costs_nothing_and_has_its_class() {
    let refused = Answer::json(402, "{}").extension(Refusal::new(Class::Quota, "spent"));
    let unreached = Failure::new(Class::Connect, "refused").cause(Cause::Connect).sent(Sent::No);
    let late = Failure::new(Class::Timeout, "late").cause(Cause::Deadline).sent(Sent::Maybe);
    for (answer, class) in [
        (refused, Class::Quota),
        (Answer::json(502, "{}").extension(unreached), Class::Connect),
        (Answer::json(504, "{}").extension(late), Class::Timeout),
    ] {
        let bench = Bench::new(&MESSAGES, answer);
        let (_, charge) = bench.whole(MESSAGES.asking()).await;
        assert_eq!((charge.ending, charge.status), (Ending::Failed(class), None));
        assert_eq!(cost(&charge).as_deref(), Some("0"));
    }
}

#[tokio::test]
async fn an_inner_error_costs_nothing_and_stays_an_error() {
    let bench = Bench::new(&CHAT, Answer::error());
    assert!(bench.service.clone().oneshot(CHAT.asking()).await.is_err());
    let charge = bench.charge();
    assert_eq!(charge.ending, Ending::Failed(Class::ServerError));
    assert_eq!((cost(&charge).as_deref(), charge.head), (Some("0"), None));
}

#[tokio::test]
async fn an_error_inside_before_any_content_costs_nothing() {
    let chat = "data: {\"error\":{\"message\":\"busy\",\"code\":503}}\n\n";
    let bench = Bench::new(&CHAT, Answer::sse(Script::new(chat)));
    let (_, charge) = bench.whole(CHAT.asking_stream()).await;
    assert!(matches!(charge.ending, Ending::Failed(_)), "{:?}", charge.ending);
    assert_eq!(cost(&charge).as_deref(), Some("0"));

    let bench = Bench::new(&CHAT, Answer::json(200, r#"{"error":{"message":"x","code":429}}"#));
    let (_, charge) = bench.whole(CHAT.asking()).await;
    assert_eq!(charge.ending, Ending::Failed(Class::RateLimit));
    assert_eq!(cost(&charge).as_deref(), Some("0"));
}

#[tokio::test]
async fn a_json_error_that_tells_usage_failed_and_costs_what_it_says() {
    let text = r#"{"error":{"message":"overloaded","code":503},"usage":{"prompt_tokens":100,"completion_tokens":0,"total_tokens":100}}"#;
    for cut in 1..text.len() {
        let script = Script::new(text).split_every(cut);
        let answer = Answer::new(StatusCode::OK, script).header("content-type", "application/json");
        let (body, charge) = Bench::new(&CHAT, answer).whole(CHAT.asking()).await;
        assert_eq!(body, text);
        assert!(matches!(charge.ending, Ending::Failed(_)), "{:?} cut {cut}", charge.ending);
        assert_eq!(
            (cost(&charge).as_deref(), charge.usage.quality),
            (Some("0.0001"), Quality::Exact)
        );
    }
    let answer = Answer::json(200, RESPONSES.json.replacen('{', r#"{"error":null,"#, 1));
    let (_, charge) = Bench::new(&RESPONSES, answer).whole(RESPONSES.asking()).await;
    assert_eq!((cost(&charge).as_deref(), charge.ending), (Some(PRICE), Ending::Complete));
}

#[tokio::test]
async fn an_error_inside_after_content_is_charged_by_what_was_told_and_went_by() {
    let error = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}\n\n";
    let bench = Bench::new(&MESSAGES, Answer::sse(MESSAGES.first(3).then(error)));
    let (_, charge) = bench.whole(MESSAGES.asking_stream()).await;
    assert_eq!(charge.ending, Ending::Failed(Class::Overloaded));
    assert!(estimated(&charge));
    assert_eq!((charge.usage.prompt_total(), charge.usage.read.total()), (100, 40));
    // "Hello there", 11 bytes.
    assert_eq!(charge.usage.output_total(), 4);
    assert_eq!(cost(&charge).as_deref(), Some("0.000104"));
}

#[tokio::test]
async fn a_broken_stream_is_charged_by_what_was_told_and_went_by() {
    for spoken in ALL {
        let content = spoken.before_content + 1;
        for script in [spoken.first(content), spoken.first(content).reset()] {
            let bench = Bench::new(&spoken, Answer::sse(script));
            let body = bench.ask(spoken.asking_stream()).await.into_body();
            let _ = body.collect().await;
            let charge = bench.charge();
            assert_eq!(charge.ending, Ending::Failed(Class::ServerError), "{:?}", spoken.protocol);
            assert!(estimated(&charge) && charge.cost.unwrap() > tollgate_core::Money::ZERO);
            assert_eq!(charge.usage.output_total(), 2, "Hello");
        }
    }
}

#[tokio::test]
async fn what_broke_off_before_anything_was_said_costs_nothing() {
    for spoken in [CHAT, RESPONSES] {
        for script in [spoken.first(1), spoken.first(1).reset(), Script::default()] {
            let bench = Bench::new(&spoken, Answer::sse(script));
            let _ = bench.ask(spoken.asking_stream()).await.into_body().collect().await;
            let charge = bench.charge();
            assert_eq!(charge.ending, Ending::Failed(Class::ServerError));
            assert_eq!(cost(&charge).as_deref(), Some("0"), "{:?}", spoken.protocol);
        }
    }
    for text in ["", "<html>"] {
        let bench = Bench::new(&CHAT, Answer::json(200, text));
        let (_, charge) = bench.whole(CHAT.asking()).await;
        assert_eq!(charge.ending, Ending::Failed(Class::ServerError));
        assert_eq!(cost(&charge).as_deref(), Some("0"), "{text:?}");
    }
}

#[tokio::test]
async fn a_broken_json_answer_is_charged_for_what_came() {
    let half = &CHAT.json[..70];
    for script in [Script::new(half).reset(), Script::new(half)] {
        let answer = Answer::new(StatusCode::OK, script).header("content-type", "application/json");
        let bench = Bench::new(&CHAT, answer);
        let _ = bench.ask(CHAT.asking()).await.into_body().collect().await;
        let charge = bench.charge();
        assert_eq!(charge.ending, Ending::Failed(Class::ServerError));
        assert!(estimated(&charge));
        assert_eq!(charge.usage.output_total(), 20);
    }
}

#[tokio::test]
async fn the_class_of_a_broken_body_is_the_one_its_error_names() {
    let late = || tollgate_core::StreamError::new(Class::Timeout, "idle");
    let bench = Bench::new(&CHAT, Answer::sse(CHAT.first(2).fail(late)));
    let (error, charge) = bench.broken(CHAT.asking_stream()).await;
    assert_eq!(charge.ending, Ending::Failed(Class::Timeout));
    assert_eq!(tollgate_core::StreamError::from_boxed(error).class(), Class::Timeout);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_before_the_head_pays_for_what_was_sent() {
    let bench = Bench::new(&CHAT, Answer::silence());
    let body = format!(r#"{{"model":"m","messages":[{{"content":"{}"}}]}}"#, "x".repeat(657));
    let call = bench.service.clone().oneshot(post(CHAT.path, body));
    assert!(tokio::time::timeout(Duration::from_secs(9), call).await.is_err());
    let charge = bench.charge();
    assert_eq!((charge.ending, charge.status), (Ending::Cancelled, None));
    assert!(estimated(&charge));
    assert_eq!((charge.usage.prompt_total(), charge.usage.output_total()), (200, 0));
    assert_eq!(cost(&charge), price(200, 0));
}

#[tokio::test]
async fn what_was_never_sent_costs_nothing() {
    use tower::Service;
    let bench = Bench::new(&CHAT, Answer::silence());
    let mut request = CHAT.asking().map(|_| tollgate_core::Body::empty());
    request
        .extensions_mut()
        .insert(tollgate_core::Call::new(Protocol::OpenAiChat, tollgate_core::Operation::Generate));
    drop(bench.service.clone().call(request));
    let charge = bench.charge();
    assert_eq!((charge.ending, cost(&charge).as_deref()), (Ending::Cancelled, Some("0")));
    assert!(!charge.tells_usage());
}

#[tokio::test]
async fn no_attempt_begins_while_the_request_is_still_read() {
    let bench = Bench::new(&CHAT, Answer::json(200, CHAT.json));
    let refused = bench.ask(post(CHAT.path, "not json")).await;
    assert_eq!(refused.status(), 400);
    assert!(!refused.into_body().collect().await.unwrap().to_bytes().is_empty());
    drop(bench.service.clone().oneshot(CHAT.asking()));
    assert!(bench.ledger.charges().is_empty() && bench.upstream.received().is_empty());
}

#[tokio::test]
async fn a_client_that_leaves_within_a_stream_pays_an_estimate() {
    for spoken in ALL {
        let bench = Bench::new(&spoken, Answer::sse(spoken.stream()));
        let charge = bench.leave(spoken.asking_stream(), spoken.before_content + 1).await;
        assert_eq!(charge.ending, Ending::Cancelled, "{:?}", spoken.protocol);
        assert!(estimated(&charge));
        assert_eq!(charge.usage.output_total(), 2);
        assert!(charge.cost.unwrap() > tollgate_core::Money::ZERO);
        assert!(bench.upstream.probes()[0].dropped_early());
    }
}

#[tokio::test]
async fn a_client_that_leaves_after_the_last_event_took_all_there_is() {
    for spoken in ALL {
        let stalled = spoken.stream().stall();
        let bench = Bench::new(&spoken, Answer::sse(stalled));
        let charge = bench.leave(spoken.asking_stream(), spoken.events.len()).await;
        assert_eq!((charge.ending, cost(&charge).as_deref()), (Ending::Complete, Some(PRICE)));
        assert_eq!(charge.usage.quality, Quality::Exact, "{:?}", spoken.protocol);
    }
}

#[tokio::test]
async fn a_client_that_leaves_a_json_answer_pays_an_estimate() {
    let script = Script::new(CHAT.json).cut_at(&[50]);
    let answer = Answer::new(StatusCode::OK, script).header("content-type", "application/json");
    let bench = Bench::new(&CHAT, answer);
    let charge = bench.leave(CHAT.asking(), 1).await;
    assert_eq!(charge.ending, Ending::Cancelled);
    assert!(estimated(&charge) && charge.usage.output_total() == 15);
}

#[tokio::test]
async fn the_tier_that_was_asked_for_is_told_and_marks_a_price_whose_answer_is_silent() {
    let request = r#"{"model":"m","messages":[],"service_tier":"flex"}"#;
    let served = CHAT.json.replacen('{', r#"{"service_tier":"default","#, 1);
    for (answer, assumed) in [(CHAT.json.to_owned(), true), (served, false)] {
        let bench = Bench::new(&CHAT, Answer::json(200, answer));
        let (_, charge) = bench.whole(post(CHAT.path, request)).await;
        assert_eq!(charge.asked_tier.as_deref(), Some("flex"));
        assert_eq!(charge.priced.unwrap().marks.contains(&Mark::TierAssumed), assumed);
    }
    let bench = Bench::new(&CHAT, Answer::json(200, CHAT.json));
    assert_eq!(bench.whole(CHAT.asking()).await.1.asked_tier, None);
}

#[tokio::test]
async fn reasoning_nobody_saw_is_estimated_by_what_the_model_told_before() {
    let told = CHAT.json.replace(
        r#""prompt_tokens_details""#,
        r#""completion_tokens_details":{"reasoning_tokens":15},"prompt_tokens_details""#,
    );
    let broken = || Answer::sse(CHAT.first(2).reset());
    let upstream = Upstream::queue([broken(), Answer::json(200, told), broken()]);
    let bench = Bench::of(upstream, |layer| layer.target(CHAT.target()));
    for request in [CHAT.asking_stream(), CHAT.asking(), CHAT.asking_stream()] {
        let _ = bench.ask(request).await.into_body().collect().await;
    }
    let charges = bench.ledger.charges();
    let reasoning: Vec<_> = charges.iter().map(|charge| charge.usage.reasoning).collect();
    assert_eq!(reasoning, [None, Some(15), Some(15)], "nothing is known before the first answer");
    assert!(estimated(&charges[0]) && estimated(&charges[2]));
    let more = charges[2].cost.unwrap().minus(charges[0].cost.unwrap());
    assert_eq!(more.unwrap().to_string(), "0.00015");
    assert_ne!(charges[0].usage.method, charges[2].usage.method);
}

#[tokio::test(start_paused = true)]
async fn whoever_ends_an_attempt_says_why() {
    for (why, ending, free) in [
        (Ended::Hedged, Ending::Hedged, false),
        (Ended::Failed(Cause::Deadline), Ending::Failed(Class::Timeout), true),
        (Ended::Failed(Cause::Upstream), Ending::Failed(Class::ServerError), true),
    ] {
        let bench = Bench::new(&MESSAGES, Answer::silence());
        let attempt = Attempt::new(2);
        let mut request = MESSAGES.asking();
        request.extensions_mut().insert(attempt.clone());
        let call = bench.service.clone().oneshot(request);
        let ended = tokio::time::timeout(Duration::from_secs(1), async {
            attempt.end(why);
            call.await
        });
        assert!(ended.await.is_err());
        let charge = bench.charge();
        assert_eq!((charge.ending, charge.attempt), (ending, 2));
        assert_eq!(charge.cost.unwrap().is_zero(), free);

        let bench = Bench::new(&MESSAGES, Answer::sse(MESSAGES.stream()));
        let mut request = MESSAGES.asking_stream();
        request.extensions_mut().insert(attempt);
        let charge = bench.leave(request, 2).await;
        assert_eq!(charge.ending, ending);
        assert!(estimated(&charge) && charge.usage.prompt_total() == 100);
    }
}

#[tokio::test]
async fn counting_tokens_and_listing_models_is_free() {
    for (spoken, path) in
        [(MESSAGES, "/v1/messages/count_tokens"), (GEMINI, "/v1beta/models/m:countTokens")]
    {
        let bench = Bench::new(&spoken, Answer::json(200, r#"{"input_tokens":9,"totalTokens":9}"#));
        let (_, charge) = bench.whole(post(path, spoken.request)).await;
        assert_eq!(cost(&charge).as_deref(), Some("0"));
        assert!(!charge.tells_usage());
    }
    let bench = Bench::new(&CHAT, Answer::json(200, r#"{"data":[]}"#));
    let mut request = post("/v1/models", "");
    *request.method_mut() = http::Method::GET;
    let (_, charge) = bench.whole(request).await;
    assert_eq!(cost(&charge).as_deref(), Some("0"));
}

#[tokio::test]
async fn of_other_operations_nobody_knows_the_cost() {
    let bench = Bench::new(&CHAT, Answer::json(200, r#"{"usage":{"prompt_tokens":100}}"#));
    let (body, charge) = bench.whole(post("/v1/files", "anything")).await;
    assert_eq!(body, r#"{"usage":{"prompt_tokens":100}}"#);
    assert_eq!((charge.cost, charge.usage.quality), (None, Quality::Absent));
    assert_eq!(charge.ending, Ending::Complete);
}

#[tokio::test]
async fn an_answer_nobody_can_read_has_no_known_cost() {
    for (name, value) in [("content-encoding", "br"), ("content-type", "audio/mpeg")] {
        let answer = Answer::new(StatusCode::OK, Script::new("bytes")).header(name, value);
        let bench = Bench::new(&CHAT, answer);
        let (body, charge) = bench.whole(CHAT.asking()).await;
        assert_eq!((&body[..], charge.cost), (&b"bytes"[..], None));
    }
}

#[tokio::test]
async fn an_unknown_price_is_never_zero() {
    let target = target("openai", Protocol::OpenAiChat);
    let unknown = |_: &tollgate_core::Target, usage: &_, occasion: &_| {
        let none = tollgate_catalog::Catalogue::empty();
        tollgate_catalog::price(&none, "openai", "m", usage, occasion)
    };
    let ledger = tollgate_meter::MemoryLedger::new();
    let layer = tollgate_meter::MeterLayer::new(ledger.clone(), unknown).target(target);
    let upstream = Upstream::always(Answer::json(200, CHAT.json));
    let service = tower::Layer::layer(&layer, upstream.clone());
    let response = service.oneshot(CHAT.asking()).await.unwrap();
    response.into_body().collect().await.unwrap();
    let charge = &ledger.charges()[0];
    assert_eq!((charge.cost, charge.usage.quality), (None, Quality::Exact));
    assert_eq!(charge.priced.as_ref().unwrap().marks.len(), 1);

    let untold = Bench::of(upstream, |layer| layer);
    let (_, charge) = untold.whole(CHAT.asking()).await;
    assert!(charge.cost.is_none() && charge.target.is_none() && charge.priced.is_none());
}

#[tokio::test]
async fn absurd_usage_is_marked_and_never_panics() {
    for (usage, quality) in [
        (r#"{"prompt_tokens":-5,"completion_tokens":20,"total_tokens":15}"#, Quality::Inconsistent),
        (r#"{"prompt_tokens":1e18,"completion_tokens":20}"#, Quality::Inconsistent),
        (
            r#"{"prompt_tokens":18446744073709551615,"completion_tokens":18446744073709551615}"#,
            Quality::Inconsistent,
        ),
        (
            r#"{"prompt_tokens":9,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":99}}"#,
            Quality::Inconsistent,
        ),
        ("null", Quality::Estimated),
        ("{}", Quality::Estimated),
        (r#""lots""#, Quality::Estimated),
    ] {
        let json = format!(r#"{{"choices":[{{"message":{{"content":"Hi"}}}}],"usage":{usage}}}"#);
        let bench = Bench::new(&CHAT, Answer::json(200, json.clone()));
        let (body, charge) = bench.whole(CHAT.asking()).await;
        assert_eq!(body, json);
        assert_eq!(charge.ending, Ending::Complete);
        assert_eq!(charge.usage.quality, quality, "{usage}");
    }
}

/// What is charged for a JSON answer of eleven bytes of text with this usage, asked for in a body of
/// 35 bytes.
async fn charged(spoken: &common::Spoken, member: &str, usage: &str) -> (u64, u64, Quality) {
    let text = match spoken.protocol {
        Protocol::OpenAiChat => r#""choices":[{"message":{"content":"Hello there"}}]"#,
        Protocol::AnthropicMessages => r#""content":[{"type":"text","text":"Hello there"}]"#,
        _ => r#""candidates":[{"content":{"parts":[{"text":"Hello there"}]}}]"#,
    };
    let bench = Bench::new(spoken, Answer::json(200, format!("{{{text},\"{member}\":{usage}}}")));
    let (_, charge) = bench.whole(post(spoken.path, format!("{:35}", r#"{"model":"m"}"#))).await;
    assert!(charge.cost.is_some(), "{usage}");
    (charge.usage.prompt_total(), charge.usage.output_total(), charge.usage.quality)
}

#[tokio::test]
async fn a_usage_without_its_prompt_is_not_a_prompt_without_a_price() {
    for (spoken, member, usage) in [
        (CHAT, "usage", r#"{"completion_tokens":5}"#),
        (MESSAGES, "usage", r#"{"output_tokens":5}"#),
        (GEMINI, "usageMetadata", r#"{"candidatesTokenCount":5}"#),
    ] {
        let (prompt, output, quality) = charged(&spoken, member, usage).await;
        assert!(prompt > 0 && output == 5, "{usage}: {prompt} {output}");
        assert_eq!(quality, Quality::Estimated, "{usage}");
    }
}

#[tokio::test]
async fn counts_that_are_none_are_estimated_and_marked() {
    for usage in [
        r#"{"prompt_tokens":1e18,"completion_tokens":5}"#,
        r#"{"prompt_tokens":-100,"completion_tokens":5}"#,
        r#"{"prompt_tokens":{},"completion_tokens":"five"}"#,
    ] {
        let (prompt, output, quality) = charged(&CHAT, "usage", usage).await;
        assert!(prompt > 0 && (4..=5).contains(&output), "{usage}: {prompt} {output}");
        assert_eq!(quality, Quality::Inconsistent, "{usage}");
    }
}

#[tokio::test]
async fn a_total_shows_what_was_left_out_of_it() {
    let left_out = [
        (CHAT, "usage", r#"{"completion_tokens":5,"total_tokens":15}"#, Quality::Exact),
        (CHAT, "usage", r#"{"prompt_tokens":10,"total_tokens":15}"#, Quality::Exact),
        (
            GEMINI,
            "usageMetadata",
            r#"{"candidatesTokenCount":5,"totalTokenCount":15}"#,
            Quality::Exact,
        ),
    ];
    for (spoken, member, usage, quality) in left_out {
        assert_eq!(charged(&spoken, member, usage).await, (10, 5, quality), "{usage}");
    }
    let alone = charged(&CHAT, "usage", r#"{"total_tokens":15}"#).await;
    assert_eq!(alone, (15, 4, Quality::Estimated), "the larger reading");
}

#[tokio::test]
async fn usage_that_repeats_counts_once() {
    let usage = CHAT.events[4];
    let text =
        [CHAT.events[0], usage, CHAT.events[1], usage, CHAT.events[3], usage, usage].concat();
    let bench = Bench::new(&CHAT, Answer::sse(Script::new(text)));
    let (_, charge) = bench.whole(CHAT.asking_stream()).await;
    assert_eq!(cost(&charge).as_deref(), Some(PRICE));
}

#[tokio::test]
async fn a_stream_that_tells_nothing_is_estimated() {
    let text = [CHAT.events[1], CHAT.events[2], CHAT.events[3], CHAT.events[5]].concat();
    let bench = Bench::new(&CHAT, Answer::sse(Script::new(text)));
    let (_, charge) = bench.whole(CHAT.asking_stream()).await;
    assert_eq!(charge.ending, Ending::Complete);
    assert!(estimated(&charge));
    assert_eq!(charge.usage.output_total(), 4);
}

#[tokio::test]
async fn an_estimated_stream_is_billed_at_the_model_its_chunks_name() {
    let chunk = r#"data: {"model":"served","choices":[{"index":0,"delta":{"content":"Hello"}}]}"#;
    let text = format!("{chunk}\n\n{chunk}\n\n");
    let bench = Bench::new(&CHAT, Answer::sse(Script::new(text)));
    let (_, charge) = bench.whole(CHAT.asking_stream()).await;
    assert!(estimated(&charge));
    assert_eq!(charge.usage.served.model.as_deref(), Some("served"));
}

#[tokio::test]
async fn a_huge_answer_without_usage_counts_by_its_length() {
    let word = "0123456789".repeat(6553);
    for pieces in [10, 40] {
        let frames = (0..pieces).map(|n| match n {
            0 => format!(r#"{{"choices":[{{"message":{{"content":"{word}"#),
            _ if n == pieces - 1 => r#""}}]}"#.to_owned(),
            _ => word.clone(),
        });
        let script = Script::frames(frames);
        let length = script.len() as u64;
        let answer = Answer::new(StatusCode::OK, script).header("content-type", "application/json");
        let bench = Bench::new(&CHAT, answer);
        let (body, charge) = bench.whole(CHAT.asking()).await;
        assert_eq!(body.len() as u64, length);
        assert_eq!(charge.ending, Ending::Complete);
        let output = charge.usage.output_total();
        let (least, most) = ((length - 50) * 2 / 7, length.div_ceil(1) * 2 / 7 + 1);
        assert!(estimated(&charge) && (least..=most).contains(&output), "{output}");
    }
}

#[tokio::test]
async fn an_image_in_the_request_is_not_counted_by_its_bytes() {
    let image = "QUJD".repeat(100_000);
    let body = format!(
        r#"{{"model":"m","messages":[{{"content":[{{"image_url":{{"url":"data:image/png;base64,{image}"}}}}]}}]}}"#
    );
    let bench = Bench::new(&CHAT, Answer::sse(CHAT.stream()));
    let charge = bench.leave(post(CHAT.path, body), 1).await;
    assert!((1000..1300).contains(&charge.usage.prompt_total()), "{:?}", charge.usage.prompt);
}
