//! What a plan costs where nothing fails, beside the same stack without it: a call with an answer of
//! 1 KB, and the events of a stream. And how long it takes from the byte that fails an attempt to
//! the first byte of the next one.
#![allow(missing_docs)]

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future,
    hint::black_box,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use http::{HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body::Frame;
use tollgate_core::{
    Board, Body, Call, CallFacts, Operation, Plan, PlanStep, Principal, Protocol, Target,
};
use tollgate_fallback::FallbackLayer;
use tollgate_sse::SseLayer;
use tower::{Layer, Service};

const EVENTS: usize = 256;

/// Answers with the same frames each time; who is asked first at `failing` with an error.
#[derive(Clone)]
struct Answers {
    frames: Arc<[Bytes]>,
    kind: HeaderValue,
    failing: Option<&'static str>,
}

struct Frames(VecDeque<Bytes>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|frame| Ok(Frame::data(frame))))
    }
}

impl Service<Request<Body>> for Answers {
    type Response = Response<Frames>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<Frames>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let target = request.extensions().get::<Arc<Target>>();
        let fails = target.is_some_and(|target| Some(&*target.deployment) == self.failing);
        let frames = match fails {
            true => VecDeque::from([Bytes::from_static(b"data: {not json\n\n")]),
            false => self.frames.iter().cloned().collect(),
        };
        let mut response = Response::new(Frames(frames));
        response.headers_mut().insert(CONTENT_TYPE, self.kind.clone());
        black_box(request);
        std::future::ready(Ok(response))
    }
}

fn json() -> Answers {
    let text = "x".repeat(1000);
    let answer = format!(
        "{{\"id\":\"c\",\"choices\":[{{\"index\":0,\"message\":{{\"content\":\"{text}\"}}}}]}}"
    );
    let kind = HeaderValue::from_static("application/json");
    Answers { frames: Arc::new([answer.into()]), kind, failing: None }
}

fn stream() -> Answers {
    let event = Bytes::from_static(
        b"data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\
          \"choices\":[{\"index\":0,\"delta\":{\"content\":\"word \"}}]}\n\n",
    );
    let end = Bytes::from_static(
        b"data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
          data: [DONE]\n\n",
    );
    let frames = std::iter::repeat_n(event, EVENTS - 1).chain([end]).collect();
    Answers { frames, kind: HeaderValue::from_static("text/event-stream"), failing: None }
}

/// A request as the gateway's outer layers leave it.
fn request(stream: bool, targets: &[Arc<Target>]) -> Request<Body> {
    let call = Call::from(CallFacts {
        model: Some("fast".into()),
        stream,
        ..CallFacts::clone(&Call::new(Protocol::OpenAiChat, Operation::Generate))
    });
    let mut plan = Plan::default();
    plan.chosen = targets.iter().map(|t| PlanStep::new(t.clone(), "as listed")).collect();
    let principal = Principal::new(tollgate_core::KeyId::new("k"), "k");
    Request::post("http://localhost/v1/chat/completions")
        .header("content-type", HeaderValue::from_static("application/json"))
        .header("accept", HeaderValue::from_static("*/*"))
        .header("user-agent", HeaderValue::from_static("OpenAI/Python 1.0"))
        .header("x-stainless-lang", HeaderValue::from_static("python"))
        .header("x-stainless-os", HeaderValue::from_static("Linux"))
        .header("content-length", HeaderValue::from_static("1000"))
        .header("host", HeaderValue::from_static("localhost"))
        .extension(call)
        .extension(plan)
        .extension(targets[0].clone())
        .extension(Arc::new(principal))
        .body(Body::from(format!("{{\"model\":\"gpt-5\",\"messages\":[\"{}\"]}}", "x".repeat(900))))
        .unwrap_or_default()
}

fn targets(names: &[&str]) -> Vec<Arc<Target>> {
    let target = |name: &&str| {
        let base_url = http::Uri::from_static("http://localhost/v1");
        Arc::new(Target::new(*name, Protocol::OpenAiChat, "gpt-5", base_url))
    };
    names.iter().map(target).collect()
}

/// Calls and reads the answer to its end, which never waits.
fn read<S, B>(service: &mut S, request: Request<Body>) -> usize
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body<Data = Bytes>,
{
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(())) = service.poll_ready(&mut cx) else { return 0 };
    let mut future = pin!(service.call(request));
    let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut cx) else { return 0 };
    let mut body = pin!(response.into_body());
    let mut bytes = 0;
    while let Poll::Ready(Some(Ok(frame))) = body.as_mut().poll_frame(&mut cx) {
        bytes += frame.data_ref().map_or(0, Bytes::len);
    }
    bytes
}

fn happy(c: &mut Criterion) {
    for (name, answers, events) in [("json", json(), 1), ("stream", stream(), EVENTS)] {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(events as u64));
        let is_stream = events > 1;
        let (one, two) = (targets(&["a"]), targets(&["a", "b"]));
        let layer = FallbackLayer::new(Board::new());
        let batch = BatchSize::SmallInput;
        let mut bare = answers.clone();
        group.bench_function("bare", |b| {
            b.iter_batched(|| request(is_stream, &one), |r| read(&mut bare, r), batch);
        });
        let mut honest = SseLayer::new().layer(answers.clone());
        group.bench_function("sse", |b| {
            b.iter_batched(|| request(is_stream, &one), |r| read(&mut honest, r), batch);
        });
        let mut alone = SseLayer::new().layer(layer.clone().attempts(1).layer(answers.clone()));
        group.bench_function("sse, fallback, one attempt", |b| {
            b.iter_batched(|| request(is_stream, &one), |r| read(&mut alone, r), batch);
        });
        let mut planned = SseLayer::new().layer(layer.layer(answers.clone()));
        group.bench_function("sse, fallback, two targets", |b| {
            b.iter_batched(|| request(is_stream, &two), |r| read(&mut planned, r), batch);
        });
        group.finish();
    }
}

fn failing(c: &mut Criterion) {
    let mut group = c.benchmark_group("second attempt");
    let two = targets(&["a", "b"]);
    let one_event =
        |failing| Answers { frames: stream().frames[254..].into(), failing, ..stream() };
    for (name, failing) in [("first answers", None), ("first fails", Some("a"))] {
        // Failing targets are never set aside here.
        let breaker = tollgate_fallback::Breaker::new().in_a_row(u32::MAX).share(2.0, 1);
        let layer = FallbackLayer::new(Board::new()).breaker(breaker);
        let mut service = SseLayer::new().layer(layer.layer(one_event(failing)));
        group.bench_function(name, |b| {
            b.iter_batched(
                || request(true, &two),
                |r| read(&mut service, r),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, happy, failing);
criterion_main!(benches);
