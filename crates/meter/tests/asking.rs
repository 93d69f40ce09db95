//! Usage and cost are asked for, and what they bring is undone.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{Bench, CHAT, PRICE, RESPONSES, cost, post, target};
use http_body_util::BodyExt;
use tollgate_core::{Protocol, Quality};
use tollgate_testkit::{Answer, Script, Upstream, body_contract};

const UNASKED: &str = r#"{"model":"m","messages":[],"stream":true}"#;
const WITH_COST: &str = r#"{"model":"m","messages":[],"usage":{"include":true}}"#;
const STREAM_WITH_COST: &str =
    r#"{"model":"m","messages":[],"stream":true,"usage":{"include":true}}"#;

#[tokio::test]
async fn fault_54b_usage_that_was_not_asked_for_is_asked_for_and_taken_out_again() {
    for line_end in ["\n", "\r\n", "\r"] {
        let sent = CHAT.text().replace('\n', line_end);
        let usage = CHAT.events[4].replace('\n', line_end);
        let expected = sent.replace(&usage, "");
        for at in 0..=sent.len() {
            let script = Script::new(sent.clone()).cut_at(&[at]);
            let bench = Bench::new(&CHAT, Answer::sse(script));
            let (body, charge) = bench.whole(post(CHAT.path, UNASKED)).await;
            assert_eq!(body, expected, "cut at {at}");
            assert_eq!(
                (cost(&charge).as_deref(), charge.usage.quality),
                (Some(PRICE), Quality::Exact)
            );
            let asked = &bench.upstream.received()[0].json()["stream_options"]["include_usage"];
            assert_eq!(asked, true);
        }
        for size in 1..40 {
            let bench = Bench::new(&CHAT, Answer::sse(Script::new(sent.clone()).split_every(size)));
            assert_eq!(bench.whole(post(CHAT.path, UNASKED)).await.0, expected, "every {size}");
        }
    }
}

#[tokio::test]
async fn events_leave_as_soon_as_they_are_whole() {
    let bench = Bench::new(&CHAT, Answer::sse(CHAT.stream()));
    let mut body = bench.ask(post(CHAT.path, UNASKED)).await.into_body();
    for event in [0, 1, 2, 3, 5] {
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(frame, CHAT.events[event]);
    }
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_last_chunk_without_its_blank_line_is_taken_out_too() {
    let text = [CHAT.events[1], CHAT.events[3], CHAT.events[4].trim_end()].concat();
    let bench = Bench::new(&CHAT, Answer::sse(Script::new(text).split_every(5)));
    let (body, charge) = bench.whole(post(CHAT.path, UNASKED)).await;
    assert_eq!(body, [CHAT.events[1], CHAT.events[3]].concat());
    assert_eq!(cost(&charge).as_deref(), Some(PRICE));
}

#[tokio::test]
async fn a_client_that_asked_itself_gets_the_chunk_and_every_other_byte() {
    for size in [1, 9, 10_000] {
        let bench = Bench::new(&CHAT, Answer::sse(CHAT.stream().split_every(size)));
        let (body, _) = bench.whole(CHAT.asking_stream()).await;
        assert_eq!(body, CHAT.text());
        assert_eq!(bench.upstream.received()[0].body(), CHAT.stream_request);
    }
}

#[tokio::test]
async fn the_length_of_a_request_that_was_changed_is_the_new_one() {
    let bench = Bench::new(&CHAT, Answer::sse(CHAT.stream()));
    let mut request = post(CHAT.path, UNASKED);
    request.headers_mut().insert("content-length", UNASKED.len().into());
    bench.whole(request).await;
    let received = &bench.upstream.received()[0];
    assert_eq!(received.headers["content-length"], received.body().len().to_string());
}

#[tokio::test]
async fn a_json_answer_tells_its_cost_to_whom_asked_for_it() {
    for size in [1, 7, 10_000] {
        let script = Script::new(CHAT.json).split_every(size).sized();
        let answer = Answer::new(http::StatusCode::OK, script)
            .header("content-type", "application/json")
            .header("content-length", CHAT.json.len());
        let bench = Bench::new(&CHAT, answer);
        let response = bench.ask(post(CHAT.path, WITH_COST)).await;
        assert!(!response.headers().contains_key("content-length"), "it is longer now");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let expected = CHAT.json.replace(r#""usage":{"#, &format!(r#""usage":{{"cost":{PRICE},"#));
        assert_eq!(body, expected);
        assert_eq!(bench.upstream.received()[0].body(), r#"{"model":"m","messages":[]}"#);
    }
}

#[tokio::test]
async fn a_stream_tells_its_cost_in_the_usage_it_asked_for() {
    let expected = CHAT.text().replace(r#""usage":{"#, &format!(r#""usage":{{"cost":{PRICE},"#));
    for at in 0..=CHAT.text().len() {
        let bench = Bench::new(&CHAT, Answer::sse(Script::new(CHAT.text()).cut_at(&[at])));
        let (body, charge) = bench.whole(post(CHAT.path, STREAM_WITH_COST)).await;
        assert_eq!(body, expected, "cut at {at}");
        assert_eq!(cost(&charge).as_deref(), Some(PRICE));
    }
    let request = r#"{"model":"m","input":"x","stream":true,"usage":{"include":true}}"#;
    let bench = Bench::new(&RESPONSES, Answer::sse(RESPONSES.stream().split_every(11)));
    let (body, _) = bench.whole(post(RESPONSES.path, request)).await;
    let expected =
        RESPONSES.text().replace(r#""usage":{"#, &format!(r#""usage":{{"cost":{PRICE},"#));
    assert_eq!(body, expected);
}

#[tokio::test]
async fn a_cost_that_is_not_known_is_not_told() {
    let bench = Bench::of(Upstream::always(Answer::json(200, CHAT.json)), |layer| layer);
    assert_eq!(bench.whole(post(CHAT.path, WITH_COST)).await.0, CHAT.json);
}

#[tokio::test]
async fn openrouter_tells_its_cost_itself() {
    let json = r#"{"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,"cost":0.0042}}"#;
    let bench = Bench::of(Upstream::always(Answer::json(200, json)), |layer| {
        layer.target(target("openrouter", Protocol::OpenAiChat))
    });
    let (body, charge) = bench.whole(post(CHAT.path, WITH_COST)).await;
    assert_eq!((&body[..], cost(&charge).as_deref()), (json.as_bytes(), Some("0.0042")));
    assert_eq!(bench.upstream.received()[0].body(), WITH_COST);
}

#[tokio::test]
async fn a_broken_answer_that_was_held_leaves_as_far_as_it_came() {
    let script = Script::new(&CHAT.json[..70]).reset();
    let answer =
        Answer::new(http::StatusCode::OK, script).header("content-type", "application/json");
    let bench = Bench::new(&CHAT, answer);
    let mut body = bench.ask(post(CHAT.path, WITH_COST)).await.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), CHAT.json[..70]);
    assert!(body.frame().await.unwrap().is_err());
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn bodies_that_change_keep_the_contract() {
    for request in [UNASKED, STREAM_WITH_COST, WITH_COST] {
        for size in [1, 13, 10_000] {
            let stream = request != WITH_COST;
            let script = if stream { CHAT.stream() } else { Script::new(CHAT.json) };
            let answer = Answer::new(http::StatusCode::OK, script.split_every(size).sized());
            let kind = if stream { "text/event-stream" } else { "application/json" };
            let bench = Bench::new(&CHAT, answer.header("content-type", kind));
            let mut bodies = Vec::new();
            for _ in 0..2000 {
                bodies.push(bench.ask(post(CHAT.path, request)).await.into_body());
            }
            body_contract(|| bodies.pop().unwrap()).await;
        }
    }
}
