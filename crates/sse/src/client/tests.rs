use std::{convert::Infallible, sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tollgate_core::{Cause, Class, Failure, Outcome, Refusal, StreamError};
use tollgate_wire::Caller;
use tower::{Layer, ServiceExt, service_fn};

use super::*;
use crate::{
    Gate, Gated, GatedBody, Limits,
    samples::{SAMPLES, Sample},
    scripted::{Scripted, trailers},
};

type Inner = std::future::Ready<Result<Response<Scripted>, Infallible>>;
type Answer = Response<SseBody<Inner, Scripted>>;

async fn answered(layer: SseLayer, request: Request<()>, response: Response<Scripted>) -> Answer {
    let mut slot = Some(response);
    let service = service_fn(move |_: Request<()>| std::future::ready(Ok(slot.take().unwrap())));
    layer.layer(service).oneshot(request).await.unwrap()
}

fn head(sample: &Sample, script: Scripted) -> Response<Scripted> {
    Response::builder().header("content-type", sample.content_type).body(script).unwrap()
}

async fn streamed(sample: &Sample, script: Scripted) -> Answer {
    answered(SseLayer::new(), sample.request(), head(sample, script)).await
}

async fn text(answer: Answer) -> String {
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn outcome(answer: &Answer) -> Outcome {
    answer.extensions().get::<Outcome>().unwrap().clone()
}

/// Asserts that `got` is `sent` and then exactly one error event of ours, and returns its data.
///
/// White space after an array's last element belongs to the next one, which never came.
fn broken_after(sample: &Sample, sent: &str, got: &str) -> Value {
    let sent = if sample.is_array() { sent.trim_end() } else { sent };
    let rest = got.strip_prefix(sent).unwrap_or_else(|| panic!("{sent}\nis not in\n{got}"));
    assert!(rest.starts_with(sample.broken), "{rest}");
    let data = match sample.is_array() {
        true => rest.strip_prefix(",\n").unwrap().strip_suffix(']').unwrap(),
        false => {
            assert_eq!(rest.matches("data: ").count(), 1, "{rest}");
            rest.split_once("data: ").unwrap().1.strip_suffix("\n\n").unwrap()
        }
    };
    serde_json::from_str(data).unwrap()
}

#[tokio::test]
async fn a_complete_stream_passes_byte_for_byte() {
    for sample in &SAMPLES {
        let whole = sample.whole();
        let script = Scripted::new([whole.as_str()]).trailers(trailers());
        let answer = streamed(sample, script).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], sample.content_type);
        assert_eq!(answer.headers()["cache-control"], "no-cache");
        assert_eq!(answer.headers()["x-accel-buffering"], "no");
        let outcome = outcome(&answer);
        let collected = answer.into_body().collect().await.unwrap();
        assert_eq!(collected.trailers(), Some(&trailers()));
        assert_eq!(collected.to_bytes(), whole);
        assert_eq!(outcome.ending(), Some(None));
        assert!(outcome.first_content().is_some());
    }
}

#[tokio::test]
async fn fault_16_however_it_is_cut() {
    for sample in &SAMPLES {
        let whole = sample.whole();
        for cut in 0..=whole.len() {
            let (head, tail) = whole.as_bytes().split_at(cut);
            let script = Scripted::new([]).chunk(head).chunk(tail);
            assert_eq!(text(streamed(sample, script).await).await, whole, "cut at {cut}");
        }
        let script = whole.as_bytes().chunks(1).fold(Scripted::new([]), Scripted::chunk);
        assert_eq!(text(streamed(sample, script).await).await, whole);
    }
}

#[tokio::test]
async fn fault_17_comments_and_odd_line_ends_pass_as_they_are() {
    let sample = &SAMPLES[0];
    let odd = [": hi\r\r", "retry: 5\n\n", sample.content, "\n\n: bye\r\n", sample.finish, "\r\n"];
    let whole = format!("\u{feff}{}", odd.concat());
    for cut in 0..=whole.len() {
        let (head, tail) = whole.as_bytes().split_at(cut);
        let answer = streamed(sample, Scripted::new([]).chunk(head).chunk(tail)).await;
        assert_eq!(text(answer).await, whole, "cut at {cut}");
    }
}

#[tokio::test]
async fn events_that_arrive_together_leave_together() {
    let sample = &SAMPLES[0];
    let chunk = sample.content.repeat(20);
    let script = Scripted::new([sample.content, chunk.as_str(), sample.finish]);
    let mut body = streamed(sample, script).await.into_body();
    let mut sizes = Vec::new();
    while let Some(frame) = body.frame().await {
        sizes.push(frame.unwrap().into_data().unwrap().len());
    }
    assert_eq!(sizes, [sample.content.len(), chunk.len(), sample.finish.len()]);
}

#[tokio::test]
async fn fault_10_an_error_before_content_is_an_http_error() {
    for sample in &SAMPLES {
        let script = Scripted::new([sample.start, sample.error]);
        let dropped = script.dropped();
        let answer = streamed(sample, script).await;
        assert!(dropped.load(Ordering::SeqCst));
        let expected = if sample.path == "/v1/messages" { 529 } else { 503 };
        assert_eq!(answer.status(), expected, "{sample:?}");
        assert_eq!(answer.headers()["x-tollgate-origin"], "upstream");
        let failure = answer.extensions().get::<Failure>().unwrap();
        assert_eq!((failure.class, failure.cause), (Class::Overloaded, Cause::Upstream));
        assert_eq!(outcome(&answer).ending(), Some(Some(Class::Overloaded)));
        let body: Value = serde_json::from_str(&text(answer).await).unwrap();
        assert_eq!(body["error"]["message"], "busy");
    }
}

#[tokio::test]
async fn garbage_or_an_end_before_content_is_an_http_error() {
    for sample in &SAMPLES {
        for script in [
            Scripted::new([sample.start]),
            Scripted::new([sample.start]).fails("reset"),
            Scripted::new([sample.start, "data: <html>\n\n"]),
            Scripted::new([]),
        ] {
            let answer = streamed(sample, script).await;
            assert!(answer.status().is_server_error(), "{:?} {sample:?}", answer.status());
            assert_eq!(answer.extensions().get::<Failure>().unwrap().class, Class::ServerError);
        }
    }
}

#[tokio::test]
async fn an_answer_that_only_finishes_is_an_answer() {
    for sample in &SAMPLES {
        let finish = match sample.is_array() {
            true => sample.finish.replacen(",\r\n", "[", 1),
            false => sample.finish.to_owned(),
        };
        let answer = streamed(sample, Scripted::new([finish.as_str()])).await;
        assert_eq!((answer.status(), text(answer).await), (StatusCode::OK, finish));
    }
}

#[tokio::test]
async fn fault_11_a_reset_after_content_ends_in_one_error_event() {
    for sample in &SAMPLES {
        let script = Scripted::new([sample.start, sample.content]).fails("reset");
        let answer = streamed(sample, script).await;
        let outcome = outcome(&answer);
        let sent = [sample.start, sample.content].concat();
        let error = broken_after(sample, &sent, &text(answer).await);
        assert!(error.to_string().contains("ended before it was complete"), "{error}");
        assert_eq!(outcome.ending(), Some(Some(Class::ServerError)));
    }
}

#[tokio::test]
async fn a_reset_after_the_finish_breaks_only_protocols_without_terminal_event() {
    for sample in &SAMPLES {
        let finish = sample.finish.trim_end_matches("\n]\n");
        let script = Scripted::new([sample.start, sample.content, finish]).fails("reset");
        let got = text(streamed(sample, script).await).await;
        let sent = [sample.start, sample.content, finish].concat();
        match sample.path {
            "/v1/messages" | "/v1/responses" => assert_eq!(got, sent),
            _ => drop(broken_after(sample, &sent, &got)),
        }
    }
}

#[tokio::test]
async fn fault_14_an_end_without_finish_is_no_success() {
    for sample in &SAMPLES {
        for tail in ["", ": bye\n\n"] {
            let tail = if sample.is_array() { "" } else { tail };
            let answer =
                streamed(sample, Scripted::new([sample.start, sample.content, tail])).await;
            let outcome = outcome(&answer);
            let sent = [sample.start, sample.content, tail].concat();
            broken_after(sample, &sent, &text(answer).await);
            assert_eq!(outcome.ending(), Some(Some(Class::ServerError)));
        }
    }
    let array = &SAMPLES[4];
    let closed = Scripted::new([array.start, array.content, "]"]);
    let sent = [array.start, array.content].concat();
    broken_after(array, &sent, &text(streamed(array, closed).await).await);
}

#[tokio::test]
async fn fault_15_a_cut_event_is_not_shown() {
    for sample in &SAMPLES {
        let cut = &sample.finish
            [..sample.finish.find("finish").or(sample.finish.find("status")).unwrap_or(30)];
        let answer = streamed(sample, Scripted::new([sample.start, sample.content, cut])).await;
        let sent = [sample.start, sample.content].concat();
        broken_after(sample, &sent, &text(answer).await);
    }
}

#[tokio::test]
async fn a_last_event_without_blank_line_is_closed_before_an_error_follows() {
    let sample = &SAMPLES[0];
    let open = sample.content.trim_end();
    let got = text(streamed(sample, Scripted::new([sample.content, open])).await).await;
    let sent = [sample.content, open, "\n\n"].concat();
    broken_after(sample, &sent, &got);
    let finish = sample.finish.trim_end();
    let got = text(streamed(sample, Scripted::new([sample.content, finish])).await).await;
    assert_eq!(got, [sample.content, finish].concat());
}

#[tokio::test]
async fn fault_18_an_event_over_the_limit_breaks_the_stream() {
    for sample in &SAMPLES {
        let limits = Limits { event: 500, ..Limits::default() };
        let big = "data: {".to_owned() + &"x".repeat(1000);
        let big = if sample.is_array() { big.replace("data: ", ",") } else { big };
        let script = Scripted::new([sample.start, sample.content, &big]).stalls();
        let dropped = script.dropped();
        let layer = SseLayer::new().limits(limits);
        let answer = answered(layer, sample.request(), head(sample, script)).await;
        let sent = [sample.start, sample.content].concat();
        let error = broken_after(sample, &sent, &text(answer).await);
        assert!(error.to_string().contains("larger than 500 bytes"), "{error}");
        assert!(dropped.load(Ordering::SeqCst));
    }
}

#[tokio::test]
async fn endless_life_without_content_is_cut_off() {
    let sample = &SAMPLES[0];
    let limits = Limits { answer: 1000, ..Limits::default() };
    let script = (0..50).fold(Scripted::new([]), |script, _| script.chunk(sample.start)).stalls();
    let layer = SseLayer::new().limits(limits);
    let answer = answered(layer, sample.request(), head(sample, script)).await;
    assert_eq!(answer.status(), 502);
    assert_eq!(answer.extensions().get::<Failure>().unwrap().code, Some("event_too_large"));
}

#[tokio::test]
async fn the_upstreams_own_error_after_content_passes_and_is_the_last() {
    for sample in &SAMPLES {
        let script = Scripted::new([sample.start, sample.content, sample.error, sample.content]);
        let answer = streamed(sample, script).await;
        let outcome = outcome(&answer);
        let mut expected = [sample.start, sample.content, sample.error].concat();
        if sample.is_array() {
            expected.push(']');
        }
        assert_eq!(text(answer).await, expected);
        assert_eq!(outcome.ending(), Some(Some(Class::Overloaded)));
    }
}

#[tokio::test]
async fn an_error_about_our_credential_is_never_shown() {
    let sample = &SAMPLES[2];
    let ours = sample.error.replace("overloaded_error", "authentication_error");
    let script = Scripted::new([sample.start, sample.content, &ours]);
    let sent = [sample.start, sample.content].concat();
    let error = broken_after(sample, &sent, &text(streamed(sample, script).await).await);
    assert_eq!(error["error"]["type"], "api_error");
    assert!(!error.to_string().contains("busy"));
    let answer = streamed(sample, Scripted::new([ours.as_str()])).await;
    assert!(answer.status().is_server_error());
    let failure = answer.extensions().get::<Failure>().unwrap();
    assert_eq!((failure.class, failure.cause), (Class::Auth, Cause::Credential));
}

#[tokio::test]
async fn fault_38_dropping_the_body_drops_the_upstreams() {
    for sample in &SAMPLES {
        let script = Scripted::new([sample.start, sample.content]).stalls();
        let dropped = script.dropped();
        let answer = streamed(sample, script).await;
        let outcome = outcome(&answer);
        let mut body = answer.into_body();
        body.frame().await.unwrap().unwrap();
        assert!(!dropped.load(Ordering::SeqCst));
        drop(body);
        assert!(dropped.load(Ordering::SeqCst));
        assert_eq!(outcome.ending(), Some(Some(Class::Cancelled)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_is_kept_alive_where_the_protocol_allows() {
    for sample in &SAMPLES {
        let script = Scripted::new([sample.start, sample.content]).waits(40).chunk(sample.finish);
        let got = text(streamed(sample, script).await).await;
        let words = tollgate_wire::dialect(sample.protocol).keep_alive();
        let words = words.map_or("", |words| std::str::from_utf8(words).unwrap()).repeat(2);
        assert_eq!(got, [sample.start, sample.content, &words, sample.finish].concat());
    }
    let script = Scripted::new([SAMPLES[0].content]).waits(40).chunk(SAMPLES[0].finish);
    let layer = SseLayer::new().without_keep_alive();
    let answer = answered(layer, SAMPLES[0].request(), head(&SAMPLES[0], script)).await;
    assert!(!text(answer).await.contains("keep-alive"));
}

#[tokio::test(start_paused = true)]
async fn a_busy_stream_is_not_kept_alive() {
    let sample = &SAMPLES[0];
    let script = Scripted::new([sample.content]).waits(10).chunk(sample.content).waits(10);
    let got = text(streamed(sample, script.chunk(sample.finish)).await).await;
    assert!(!got.contains("keep-alive"), "{got}");
}

#[tokio::test(start_paused = true)]
async fn keep_alive_before_commit_gives_up_the_status_line() {
    let layer = SseLayer::new().keep_alive_before_commit();
    for sample in &SAMPLES[..3] {
        let words = tollgate_wire::dialect(sample.protocol).keep_alive().unwrap();
        let words = std::str::from_utf8(words).unwrap().repeat(2);
        let script = Scripted::new([sample.start]).waits(31).chunk(sample.content);
        let answer =
            answered(layer, sample.request(), head(sample, script.chunk(sample.finish))).await;
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let outcome = outcome(&answer);
        assert_eq!(text(answer).await, words.clone() + &sample.whole());
        assert_eq!(outcome.ending(), Some(None));

        let script = Scripted::new([]).waits(31).chunk(sample.error);
        let answer = answered(layer, sample.request(), head(sample, script)).await;
        assert_eq!(answer.status(), 200);
        let got = text(answer).await;
        let error = got.strip_prefix(&words).unwrap();
        assert!(error.contains("busy") && error.ends_with("\n\n"), "{error}");

        let quick = head(sample, Scripted::new([sample.error]));
        assert_ne!(answered(layer, sample.request(), quick).await.status(), 200);
    }
    let gemini = &SAMPLES[3];
    let script = Scripted::new([]).waits(60).chunk(gemini.error);
    let answer = answered(layer, gemini.request(), head(gemini, script)).await;
    assert_eq!(answer.status(), 503);
}

#[tokio::test]
async fn fault_15_the_last_word_of_an_unfinished_stream_is_not_shown() {
    let sample = &SAMPLES[0];
    let sent = [sample.start, sample.content].concat();
    for last in ["data: [DONE]\n\n", "data: [DONE]"] {
        let got = text(streamed(sample, Scripted::new([sent.as_str(), last])).await).await;
        let got = got.replacen("\n\n\n\n", "\n\n", 1);
        let error = broken_after(sample, &sent, &got);
        assert_eq!(error["error"]["code"], "upstream_truncated");
    }
    let answer = streamed(sample, Scripted::new([sample.start, "data: [DONE]\n\n"])).await;
    assert_eq!(answer.status(), 502, "before content it is an ordinary error");
}

#[tokio::test]
async fn fault_14_an_error_event_without_its_blank_line_is_given_one() {
    for sample in SAMPLES.iter().filter(|sample| !sample.is_array()) {
        let error = sample.error.trim_end();
        let script = Scripted::new([sample.start, sample.content, error]);
        let got = text(streamed(sample, script).await).await;
        assert_eq!(got, [sample.start, sample.content, error, "\n\n"].concat());
    }
}

#[tokio::test]
async fn fault_21_a_stream_nobody_asked_for_is_none_of_the_answers() {
    for sample in &SAMPLES[..3] {
        let mut request = sample.request();
        request.extensions_mut().insert(sample.call_for(false));
        let answer =
            answered(SseLayer::new(), request, head(sample, Scripted::new([&*sample.whole()])));
        assert!(answer.await.status().is_server_error(), "{}", sample.protocol);
    }
}

#[tokio::test]
async fn fault_21_json_that_is_no_object_is_no_answer() {
    for (text, status) in [
        (r#"[{"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}]"#, 503),
        (r#" [{"error":{"code":400,"message":"no","status":"INVALID_ARGUMENT"}}]"#, 400),
        ("[]", 500),
        (r#"[{"candidates":[]}]"#, 500),
        (r#""ok""#, 500),
        ("7", 500),
    ] {
        let request = Request::post("/v1beta/models/m:generateContent").body(()).unwrap();
        let answer = answered(SseLayer::new(), request, json(Scripted::new([text]))).await;
        assert_eq!(answer.status(), status, "{text}");
    }
}

#[tokio::test]
async fn fault_21_one_object_is_no_list() {
    let sample = SAMPLES.iter().find(|sample| sample.is_array()).unwrap();
    let object = r#"{"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"STOP"}]}"#;
    for more in ["", "}", "{}", "x"] {
        let script = Scripted::new([&*[object, more].concat()]);
        assert_eq!(streamed(sample, script).await.status(), 500, "{more}");
    }
}

fn json(script: Scripted) -> Response<Scripted> {
    Response::builder().header("content-type", "application/json").body(script).unwrap()
}

#[tokio::test]
async fn a_json_answer_is_released_when_it_is_whole_frame_by_frame() {
    let script =
        Scripted::new(["{\"id\":1,", "\"error\":null,", "\"x\":[]}\n"]).trailers(trailers());
    let answer = answered(SseLayer::new(), SAMPLES[1].request(), json(script)).await;
    assert_eq!(outcome(&answer).ending(), Some(None));
    assert!(answer.headers().get("cache-control").is_none());
    let mut body = answer.into_body();
    assert_eq!(body.size_hint().exact(), Some(29));
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "{\"id\":1,");
    let rest = body.collect().await.unwrap();
    assert_eq!(rest.trailers(), Some(&trailers()));
    assert_eq!(rest.to_bytes(), "\"error\":null,\"x\":[]}\n");
}

#[tokio::test]
async fn fault_19_a_json_answer_that_is_not_whole_is_an_http_error() {
    for sample in &SAMPLES[..4] {
        for script in [
            Scripted::new(["{\"id\":1"]),
            Scripted::new(["{\"id\":1"]).fails("reset"),
            Scripted::new(["{\"id\":1}"]).fails("reset"),
            Scripted::new(["{]"]),
            Scripted::new(["<html>"]),
            Scripted::new([]),
        ] {
            let answer = answered(SseLayer::new(), sample.request(), json(script)).await;
            let failure = answer.extensions().get::<Failure>().unwrap();
            assert!(failure.code.is_some_and(|code| code.starts_with("upstream_")));
            assert!(answer.status().is_server_error());
            serde_json::from_str::<Value>(&text(answer).await).unwrap();
        }
    }
}

#[tokio::test]
async fn fault_67_an_empty_200_is_an_http_error() {
    let empty = Response::new(Scripted::new([]));
    let answer = answered(SseLayer::new(), SAMPLES[0].request(), empty).await;
    assert_eq!(answer.status(), 502);
}

#[tokio::test]
async fn fault_21_another_content_type_is_no_answer() {
    for sample in &SAMPLES {
        let html = Response::builder().header("content-type", "text/html");
        let html = html.body(Scripted::new(["<html>welcome</html>"])).unwrap();
        let answer = answered(SseLayer::new(), sample.request(), html).await;
        assert!(answer.status().is_server_error());
        assert!(!text(answer).await.contains("welcome"));
    }
}

#[tokio::test]
async fn an_error_within_a_json_answer_is_an_http_error() {
    let error = "{\"error\":{\"message\":\"no\",\"code\":\"rate_limit_exceeded\"}}";
    let answer =
        answered(SseLayer::new(), SAMPLES[0].request(), json(Scripted::new([error]))).await;
    assert_eq!(answer.status(), 429);
}

#[tokio::test]
async fn a_json_answer_beyond_the_limit_is_committed_as_it_stands() {
    let layer = SseLayer::new().limits(Limits { answer: 10, ..Limits::default() });
    let script = Scripted::new(["{\"id\":\"0123456789\",", "\"x\":"]).fails("reset");
    let answer = answered(layer, SAMPLES[0].request(), json(script)).await;
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    body.frame().await.unwrap().unwrap();
    body.frame().await.unwrap().unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap_err().to_string(), "reset");
}

fn error(status: u16, body: &str) -> Response<Scripted> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.header("retry-after", "7").body(Scripted::new([body])).unwrap()
}

#[tokio::test]
async fn an_error_answer_of_the_upstream_passes_as_it_came() {
    let body = "{\"error\": {\"message\":\"slow\", \"type\":\"requests\",\"odd\":1}}";
    let answer = answered(SseLayer::new(), SAMPLES[0].request(), error(429, body)).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["retry-after"]),
        (429, &"7".parse().unwrap())
    );
    assert_eq!(answer.headers()["x-tollgate-origin"], "upstream");
    let failure = answer.extensions().get::<Failure>().unwrap();
    assert_eq!(failure.class, Class::RateLimit);
    assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
    assert_eq!(text(answer).await, body);
}

#[tokio::test]
async fn an_error_answer_about_our_credential_or_in_html_is_rendered_anew() {
    let body = "{\"error\":{\"message\":\"bad key sk-1\",\"code\":\"invalid_api_key\"}}";
    let answer = answered(SseLayer::new(), SAMPLES[0].request(), error(401, body)).await;
    assert_eq!(answer.status(), 502);
    let got = text(answer).await;
    assert!(got.contains("upstream_auth") && !got.contains("sk-1"), "{got}");
    let answer = answered(SseLayer::new(), SAMPLES[2].request(), error(503, "<h1>no</h1>")).await;
    let got: Value = serde_json::from_str(&text(answer).await).unwrap();
    assert_eq!(got["type"], "error");
}

#[tokio::test]
async fn an_error_that_is_rendered_anew_keeps_the_upstreams_request_id() {
    for (sample, name) in [(&SAMPLES[0], "x-request-id"), (&SAMPLES[2], "request-id")] {
        for (status, body) in [(401, "{\"error\":{}}"), (402, "{\"error\":{}}"), (503, "<h1>")] {
            let mut response = error(status, body);
            response.headers_mut().insert(name, HeaderValue::from_static("req_upstream"));
            let answer = answered(SseLayer::new(), sample.request(), response).await;
            assert_eq!(answer.headers().get_all(name).iter().count(), 1);
            assert_eq!(answer.headers()[name], "req_upstream", "{status}");
        }
    }
}

#[tokio::test]
async fn a_huge_error_answer_is_read_only_so_far() {
    let script = Scripted::new(["[", &"1,".repeat(1 << 20)]).stalls();
    let response = Response::builder().status(500).body(script).unwrap();
    let answer = answered(SseLayer::new(), SAMPLES[0].request(), response).await;
    assert_eq!(answer.status(), 500);
    assert!(text(answer).await.len() < 2000);
}

#[tokio::test]
async fn a_refusal_of_an_inner_layer_passes_as_rendered() {
    let caller = Caller::of(&SAMPLES[2].request());
    let refused = caller.refuse(Refusal::new(Class::Auth, "who are you"));
    let (parts, body) = refused.into_parts();
    let script = Scripted::new([]).chunk(&body);
    let answer =
        answered(SseLayer::new(), SAMPLES[2].request(), Response::from_parts(parts, script)).await;
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.headers()["x-tollgate-origin"], "gateway");
    assert!(answer.extensions().get::<Failure>().is_none());
    assert_eq!(text(answer).await, body);
}

#[tokio::test]
async fn a_failure_of_an_inner_layer_is_rendered_for_the_client() {
    let mut response = error(504, "whatever");
    let failure = Failure::new(Class::Timeout, "too slow").cause(Cause::Deadline);
    response.extensions_mut().insert(failure.clone());
    let answer = answered(SseLayer::new(), SAMPLES[3].request(), response).await;
    assert_eq!(answer.status(), 504);
    assert_eq!(answer.extensions().get::<Failure>(), Some(&failure));
    let got: Value = serde_json::from_str(&text(answer).await).unwrap();
    assert_eq!(got["error"]["status"], "DEADLINE_EXCEEDED");
}

#[tokio::test]
async fn a_stream_error_of_an_inner_layer_keeps_its_class() {
    for sample in &SAMPLES {
        let timeout = StreamError::new(Class::Timeout, "fell silent").code("idle_timeout");
        let script = Scripted::new([sample.start, sample.content]).fails(timeout);
        let answer = streamed(sample, script).await;
        let outcome = outcome(&answer);
        let sent = [sample.start, sample.content].concat();
        let error = broken_after(sample, &sent, &text(answer).await);
        assert!(error.to_string().contains("fell silent"), "{error}");
        assert_eq!(outcome.ending(), Some(Some(Class::Timeout)));
    }
}

#[tokio::test]
async fn what_is_nobodys_passes_unread() {
    for (path, status) in [("/healthz", 500), ("/v1/files", 404), ("/v1/chat/completions", 204)] {
        let request = Request::post(path).body(()).unwrap();
        let response = Response::builder().status(status).body(Scripted::new(["<x"])).unwrap();
        let answer = answered(SseLayer::new(), request, response).await;
        assert_eq!(answer.status(), status);
        assert_eq!(text(answer).await, "<x");
    }
}

#[tokio::test]
async fn without_a_call_the_path_says_who_is_asking() {
    for sample in &SAMPLES {
        let request = Request::post(sample.path).body(()).unwrap();
        let script = Scripted::new([sample.start, sample.content]).fails("reset");
        let answer = answered(SseLayer::new(), request, head(sample, script)).await;
        let sent = [sample.start, sample.content].concat();
        broken_after(sample, &sent, &text(answer).await);
    }
}

#[tokio::test]
async fn stacked_twice_it_says_the_same() {
    for sample in &SAMPLES {
        for (ends, script) in [
            (true, Scripted::new([sample.start, sample.content, sample.finish])),
            (false, Scripted::new([sample.start, sample.content]).fails("reset")),
        ] {
            let mut slot = Some(head(sample, script));
            let inner = service_fn(move |_: Request<()>| {
                std::future::ready(Ok::<_, Infallible>(slot.take().unwrap()))
            });
            let service = SseLayer::new().layer(SseLayer::new().layer(inner));
            let body = service.oneshot(sample.request()).await.unwrap().into_body();
            let bytes = body.collect().await.unwrap().to_bytes();
            let got = std::str::from_utf8(&bytes).unwrap();
            let sent = [sample.start, sample.content].concat();
            match ends {
                true => assert_eq!(got, sample.whole()),
                false => drop(broken_after(sample, &sent, got)),
            }
        }
    }
}

#[test]
fn everything_can_be_sent_and_shared() {
    fn all<T: Send + Sync + 'static>() {}
    fn send<T: Send + 'static>() {}
    fn clones<T: Clone>() {}
    all::<SseLayer>();
    all::<Sse<()>>();
    clones::<Sse<()>>();
    send::<ResponseFuture<Inner, Full<Bytes>>>();
    send::<SseBody<Inner, Full<Bytes>>>();
    send::<crate::Gate<Full<Bytes>>>();
}

/// What a layer inside that gates makes of a stream.
async fn gated_within(sample: &Sample, script: Scripted) -> Response<GatedBody<Scripted>> {
    let (call, limits) = (sample.call(), Limits::default());
    let Gated::Committed(mut response) = Gate::new(head(sample, script), &call).await else {
        panic!("it has content");
    };
    let passed = response.body_mut().passed(&call, limits).unwrap();
    assert!(!response.body().is_stream(), "its state is given away");
    response.extensions_mut().insert(passed);
    response
}

async fn outside_of<B>(sample: &Sample, response: Response<B>) -> (String, Outcome)
where
    B: Body<Data = Bytes>,
    B::Error: Into<tollgate_core::BoxError> + std::fmt::Debug,
{
    let mut slot = Some(response);
    let service = service_fn(move |_: Request<()>| {
        std::future::ready(Ok::<_, Infallible>(slot.take().unwrap()))
    });
    let answer = SseLayer::new().layer(service).oneshot(sample.request()).await.unwrap();
    let outcome = answer.extensions().get::<Outcome>().unwrap().clone();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    (String::from_utf8(bytes.to_vec()).unwrap(), outcome)
}

#[tokio::test]
async fn what_passed_a_gate_inside_is_not_held_again_and_ends_as_honestly() {
    for sample in &SAMPLES {
        let whole = sample.whole();
        for cut in (1..whole.len()).filter(|at| whole.is_char_boundary(*at)) {
            let script = Scripted::new([&whole[..cut], &whole[cut..]]);
            let response = gated_within(sample, script).await;
            let (text, outcome) = outside_of(sample, response).await;
            assert_eq!((text, outcome.ending()), (whole.clone(), Some(None)));
        }
        let script = Scripted::new([sample.start, sample.content]).fails("reset");
        let response = gated_within(sample, script).await;
        let (text, outcome) = outside_of(sample, response).await;
        broken_after(sample, &[sample.start, sample.content].concat(), &text);
        assert_eq!(outcome.ending(), Some(Some(Class::ServerError)));
    }
}

#[tokio::test]
async fn what_stands_between_two_gates_may_change_the_bytes() {
    for sample in &SAMPLES {
        let whole = [sample.start, sample.content, sample.finish];
        // Cut otherwise, and after the first content.
        let response = gated_within(sample, Scripted::new(whole)).await;
        let text = whole.concat();
        let at = text.char_indices().nth(9).unwrap().0;
        let other = |script: Scripted| {
            let (parts, _) = Response::new(()).into_parts();
            let mut other = Response::from_parts(parts, script);
            *other.headers_mut() = response.headers().clone();
            *other.extensions_mut() = response.extensions().clone();
            other
        };
        let (seen, _) = outside_of(sample, other(Scripted::new([&text[..at], &text[at..]]))).await;
        assert_eq!(seen, text);
    }
    for sample in SAMPLES.iter().filter(|sample| !sample.is_array()) {
        // Other events, of which the first is the same, and which break off.
        let response = gated_within(sample, Scripted::new([sample.start, sample.content])).await;
        let events = [sample.start, sample.start, sample.content];
        let changed = response.map(|_| Scripted::new(events));
        let (seen, outcome) = outside_of(sample, changed).await;
        broken_after(sample, &events.concat(), &seen);
        assert_eq!(outcome.ending(), Some(Some(Class::ServerError)));
        // Less than was read.
        let response = gated_within(sample, Scripted::new([sample.start, sample.content])).await;
        let (seen, _) = outside_of(sample, response.map(|_| Scripted::new([sample.start]))).await;
        broken_after(sample, sample.start, &seen);
    }
}

#[tokio::test]
async fn an_error_that_was_rendered_inside_is_not_rendered_again() {
    for sample in &SAMPLES {
        let script = Scripted::new([sample.error.trim_start_matches([',', '\r', '\n'])]);
        let script = if sample.is_array() { Scripted::new(["["]) } else { script };
        let call = sample.call();
        let Gated::Failed(failed) = Gate::new(head(sample, script), &call).await else {
            panic!("it has no content");
        };
        let caller = Caller { protocol: call.protocol, id: call.id };
        let rendered = failed.into_response(caller);
        let status = rendered.status();
        let said = String::from_utf8(rendered.body().to_vec()).unwrap();
        let (seen, outcome) = outside_of(sample, rendered.map(Full::new)).await;
        assert!(status.is_server_error());
        assert_eq!(seen, said);
        assert!(outcome.ending().unwrap().is_some());
    }
}

#[tokio::test]
async fn an_upstreams_own_error_is_passed_on_without_keys_and_internal_hosts() {
    let sample = SAMPLES.iter().find(|sample| !sample.is_array()).unwrap();
    let said =
        r#"{"error": {"message":"http://10.1.2.3:8000/v1 refused Bearer eyJabc.def.ghi", "x":1}}"#;
    let response = Response::builder().status(400).header("content-type", "application/json");
    let response = response.header("content-length", said.len()).body(Scripted::new([said]));
    let answer = answered(SseLayer::new(), sample.request(), response.unwrap()).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert!(!answer.headers().contains_key("content-length"), "it is no longer that long");
    let expected = r#"{"error": {"message":"http://***/v1 refused Bearer ***", "x":1}}"#;
    assert_eq!(text(answer).await, expected);
}
