use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::time::Instant;
use tollgate_core::{
    Attempt, Cause, Class, Deadline, Ending, Failure, Protocol, Sent, StreamError, Target,
};
use tower::{Layer, ServiceExt, service_fn};

use super::*;
use crate::{
    SseLayer,
    samples::{SAMPLES, Sample},
    scripted::{Scripted, trailers},
};

fn layer() -> DeadlineLayer {
    let seconds = Duration::from_secs;
    DeadlineLayer::new().head(seconds(100)).first_content(seconds(50)).idle(seconds(20))
}

fn head(sample: &Sample, script: Scripted) -> Response<Scripted> {
    Response::builder().header("content-type", sample.content_type).body(script).unwrap()
}

/// Sends `request`; the head comes after `wait` seconds.
async fn asked(
    request: Request<()>,
    wait: u64,
    response: Response<Scripted>,
) -> Response<tollgate_core::Reply<DeadlineBody<Scripted>>> {
    let mut slot = Some(response);
    let service = service_fn(move |_: Request<()>| {
        let response = slot.take().unwrap();
        async move {
            tokio::time::sleep(Duration::from_secs(wait)).await;
            Ok::<_, Infallible>(response)
        }
    });
    layer().layer(service).oneshot(request).await.unwrap()
}

/// Reads the body to its end: what came, after how many seconds, and the code of its error.
async fn read<B>(mut body: B) -> (String, u64, Option<&'static str>)
where
    B: http_body::Body<Data = bytes::Bytes> + Unpin,
    B::Error: Into<tollgate_core::BoxError>,
{
    let since = Instant::now();
    let mut text = String::new();
    let error = loop {
        match body.frame().await {
            None => break None,
            Some(Err(error)) => break StreamError::from_boxed(error.into()).stable_code(),
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_default();
                text.push_str(std::str::from_utf8(&data).unwrap());
            }
        }
    };
    if error.is_some() {
        assert!(body.is_end_stream() && body.frame().await.is_none());
    }
    (text, since.elapsed().as_secs(), error)
}

#[tokio::test(start_paused = true)]
async fn fault_08_a_stall_before_the_head_is_a_504() {
    for sample in &SAMPLES {
        let script = Scripted::new([]);
        let dropped = script.dropped();
        let attempt = Attempt::new(1);
        let mut request = sample.request();
        request.extensions_mut().insert(attempt.clone());
        let since = Instant::now();
        let answer = asked(request, 1000, head(sample, script)).await;
        assert_eq!((answer.status().as_u16(), since.elapsed().as_secs()), (504, 50));
        let failure = answer.extensions().get::<Failure>().unwrap();
        assert_eq!(
            (failure.class, failure.cause, failure.sent, failure.code),
            (Class::Timeout, Cause::Deadline, Sent::Maybe, Some("first_content_timeout")),
        );
        assert_eq!(attempt.ending(), Some(Ending::Failed(Cause::Deadline)));
        assert!(dropped.load(Ordering::SeqCst));
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice::<serde_json::Value>(&body).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_model_has_the_whole_head_deadline() {
    let request = || Request::get("/v1/files").body(()).unwrap();
    let slow = asked(request(), 90, head(&SAMPLES[4], Scripted::new(["{}"]))).await;
    assert_eq!(slow.status(), 200);
    let since = Instant::now();
    let late = asked(request(), 101, head(&SAMPLES[4], Scripted::new(["{}"]))).await;
    assert_eq!((late.status().as_u16(), since.elapsed().as_secs()), (504, 100));
    assert_eq!(late.extensions().get::<Failure>().unwrap().code, Some("head_timeout"));
}

#[tokio::test(start_paused = true)]
async fn fault_09_a_json_answer_is_content_when_it_is_whole() {
    let request = || Request::post("/v1/messages").body(()).unwrap();
    let json = || Response::builder().header("content-type", "application/json");
    let since = Instant::now();
    let late = asked(request(), 60, json().body(Scripted::new(["{}"])).unwrap()).await;
    assert_eq!((late.status().as_u16(), since.elapsed().as_secs()), (504, 50));

    // Whatever drips, blanks above all, puts off its end for nobody.
    let drips = (0..99).fold(Scripted::new([]), |script, _| script.waits(9).chunk(" "));
    let answer = asked(request(), 0, json().body(drips).unwrap()).await;
    let (_, seconds, code) = read(answer.into_body()).await;
    assert_eq!((seconds, code), (50, Some("first_content_timeout")));

    let slow = (0..4).fold(Scripted::new([]), |script, _| script.waits(9).chunk("1"));
    let answer = asked(request(), 0, json().body(slow).unwrap()).await;
    assert_eq!(read(answer.into_body()).await, ("1111".to_owned(), 36, None));
}

#[tokio::test(start_paused = true)]
async fn fault_09_a_stall_before_the_first_content_ends_the_body() {
    for sample in &SAMPLES {
        let stalls = Scripted::new([sample.start]).stalls();
        let pings = (0..9).fold(Scripted::new([sample.start]), |script, _| {
            script.waits(9).chunk(if sample.is_array() { "\n" } else { ": ping\n\n" })
        });
        for script in [stalls, pings] {
            let dropped = script.dropped();
            let attempt = Attempt::new(1);
            let mut request = sample.request();
            request.extensions_mut().insert(attempt.clone());
            let answer = asked(request, 10, head(sample, script)).await;
            assert_eq!(answer.status(), 200);
            let (_, seconds, code) = read(answer.into_body()).await;
            assert_eq!((seconds, code), (40, Some("first_content_timeout")), "{sample:?}");
            assert!(dropped.load(Ordering::SeqCst), "the upstream is told at once");
            assert_eq!(attempt.ending(), Some(Ending::Failed(Cause::Deadline)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn fault_12_a_stall_after_content_ends_the_body() {
    for sample in &SAMPLES {
        let script = Scripted::new([sample.start, sample.content]).waits(15);
        let script = script.chunk(sample.content).stalls();
        let answer = asked(sample.request(), 0, head(sample, script)).await;
        let (text, seconds, code) = read(answer.into_body()).await;
        assert_eq!(text, [sample.start, sample.content, sample.content].concat());
        assert_eq!((seconds, code), (35, Some("idle_timeout")));
    }
}

#[tokio::test(start_paused = true)]
async fn whole_events_reset_the_idle_clock_and_comments_and_halves_do_not() {
    let sample = &SAMPLES[2];
    let ping = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
    for (chunk, lives) in [(ping, true), (": c\n\n", false), ("data: {", false), ("\n\n", false)] {
        let script =
            (0..5).fold(Scripted::new([sample.content]), |script, _| script.waits(15).chunk(chunk));
        let answer = asked(sample.request(), 0, head(sample, script)).await;
        let code = read(answer.into_body()).await.2;
        assert_eq!(code.is_none(), lives, "{chunk}");
    }
}

#[tokio::test(start_paused = true)]
async fn frames_reset_the_idle_clock_of_other_bodies() {
    let json = || Response::builder().header("content-type", "application/json");
    let script = (0..9).fold(Scripted::new([]), |script, _| script.waits(15).chunk("["));
    let request = Request::get("/v1/files").body(()).unwrap();
    let answer = asked(request, 0, json().body(script.stalls()).unwrap()).await;
    let (text, seconds, code) = read(answer.into_body()).await;
    assert_eq!((text.len(), seconds, code), (9, 155, Some("idle_timeout")));
}

#[tokio::test(start_paused = true)]
async fn fault_13_nothing_resets_the_total() {
    let sample = &SAMPLES[0];
    let with_total = |seconds| {
        let at = Instant::now() + Duration::from_secs(seconds);
        let mut request = sample.request();
        request.extensions_mut().insert(Deadline(at.into_std()));
        request
    };
    let script = (0..99)
        .fold(Scripted::new([sample.content]), |script, _| script.waits(5).chunk(sample.content));
    let answer = asked(with_total(100), 0, head(sample, script)).await;
    let (_, seconds, code) = read(answer.into_body()).await;
    assert_eq!((seconds, code), (100, Some("stream_limit")));
    let answer = asked(with_total(7), 30, head(sample, Scripted::new([]))).await;
    assert_eq!(answer.extensions().get::<Failure>().unwrap().code, Some("total_timeout"));
}

#[tokio::test(start_paused = true)]
async fn first_content_is_the_targets_protocols() {
    let sample = &SAMPLES[2];
    let target = Target::new("a", sample.protocol, "m", http::Uri::from_static("http://a"));
    let mut request = SAMPLES[0].request();
    request.extensions_mut().insert(Arc::new(target));
    assert_ne!(SAMPLES[0].protocol, Protocol::AnthropicMessages);
    let script = Scripted::new([sample.start, sample.content]).stalls();
    let answer = asked(request, 0, head(sample, script)).await;
    assert_eq!(read(answer.into_body()).await.2, Some("idle_timeout"));
}

#[tokio::test(start_paused = true)]
async fn a_request_brings_deadlines_of_its_own() {
    let mut request = SAMPLES[0].request();
    let own = Deadlines { first_content: Duration::from_secs(5), ..Deadlines::default() };
    request.extensions_mut().insert(own);
    let since = Instant::now();
    let answer = asked(request, 60, head(&SAMPLES[0], Scripted::new([]))).await;
    assert_eq!((answer.status().as_u16(), since.elapsed().as_secs()), (504, 5));
}

#[tokio::test(start_paused = true)]
async fn what_is_in_time_passes_untouched() {
    for sample in &SAMPLES {
        let script = Scripted::new([sample.start]).waits(30).chunk(sample.content).waits(19);
        let script = script.chunk(sample.finish).trailers(trailers());
        let attempt = Attempt::new(1);
        let mut request = sample.request();
        request.extensions_mut().insert(attempt.clone());
        let answer = asked(request, 10, head(sample, script)).await;
        let collected = answer.into_body().collect().await.unwrap();
        assert_eq!(collected.trailers(), Some(&trailers()));
        assert_eq!(collected.to_bytes(), sample.whole());
        assert_eq!(attempt.ending(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn the_client_sees_a_504_before_content_and_an_error_event_after() {
    for sample in &SAMPLES {
        let ask = |script| {
            let mut slot = Some(head(sample, script));
            let inner = service_fn(move |_: Request<()>| {
                std::future::ready(Ok::<_, Infallible>(slot.take().unwrap()))
            });
            SseLayer::new().layer(layer().layer(inner)).oneshot(sample.request())
        };
        let answer = ask(Scripted::new([sample.start]).stalls()).await.unwrap();
        assert_eq!(answer.status(), 504);
        let failure = answer.extensions().get::<Failure>().unwrap();
        assert_eq!((failure.class, failure.cause), (Class::Timeout, Cause::Deadline));

        let script = Scripted::new([sample.start, sample.content]).stalls();
        let dropped: Arc<AtomicBool> = script.dropped();
        let answer = ask(script).await.unwrap();
        let (text, seconds, error) = read(Box::pin(answer.into_body())).await;
        assert_eq!((seconds, error), (20, None));
        assert!(text.contains("fell silent"), "{text}");
        assert!(dropped.load(Ordering::SeqCst));
    }
}

#[test]
fn everything_can_be_sent_and_shared() {
    fn all<T: Send + Sync + Clone + 'static>() {}
    fn send<T: Send + 'static>() {}
    all::<DeadlineLayer>();
    all::<DeadlineService<()>>();
    send::<DeadlineFuture<std::future::Ready<()>>>();
    send::<DeadlineBody<Scripted>>();
}
