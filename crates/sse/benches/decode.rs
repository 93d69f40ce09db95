//! What a stream costs per event: decoding alone, and the client's whole side of it.
#![allow(missing_docs)]

use std::{
    collections::VecDeque,
    convert::Infallible,
    hint::black_box,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::{Request, Response};
use http_body::{Body, Frame};
use tollgate_core::{CallFacts, CallId, Needs, Operation, Protocol};
use tollgate_sse::{Decoder, Framing, SseLayer};
use tower::{Layer, Service};

const EVENTS: usize = 256;

fn events() -> Vec<Bytes> {
    let chunk = |delta: &str, finish: &str| {
        Bytes::from(format!(
            "data: {{\"id\":\"chatcmpl-BxyzAbCdEfGhIjKlMnOpQrStUv\",\"object\":\"chat.completion.chunk\",\
             \"created\":1763000000,\"model\":\"gpt-5-mini-2025-08-07\",\"service_tier\":\"default\",\
             \"system_fingerprint\":\"fp_0123456789\",\"choices\":[{{\"index\":0,\"delta\":{delta},\
             \"logprobs\":null,\"finish_reason\":{finish}}}],\"obfuscation\":\"abcdefgh\"}}\n\n"
        ))
    };
    let mut events = vec![chunk("{\"role\":\"assistant\",\"content\":\"\"}", "null")];
    events.resize_with(EVENTS - 2, || chunk("{\"content\":\" word\"}", "null"));
    events.push(chunk("{}", "\"stop\""));
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    events
}

fn decode(chunks: &[Bytes]) -> usize {
    let mut decoder = Decoder::new(Framing::Sse);
    let mut bytes = 0;
    for chunk in chunks {
        decoder.push(chunk.clone());
        while let Ok(Some(event)) = decoder.next() {
            bytes += event.data().len();
        }
    }
    bytes
}

struct Chunks(VecDeque<Bytes>);

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|chunk| Ok(Frame::data(chunk))))
    }
}

/// Answers with the chunks, and knows no waiting.
#[derive(Clone)]
struct Answers(Vec<Bytes>);

impl Service<Request<()>> for Answers {
    type Response = Response<Chunks>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<Chunks>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        let mut response = Response::new(Chunks(self.0.clone().into()));
        let event_stream = http::HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert("content-type", event_stream);
        std::future::ready(Ok(response))
    }
}

fn request() -> Request<()> {
    let facts = CallFacts {
        id: CallId::random(),
        protocol: Protocol::OpenAiChat,
        operation: Operation::Generate,
        model: Some("gpt-5-mini".into()),
        stream: true,
        json_array: false,
        output_limit: None,
        candidates: 1,
        stream_usage: false,
        asks_cost: false,
        user: None,
        service_tier: None,
        needs: Needs::default(),
    };
    Request::builder().extension(tollgate_core::Call::from(facts)).body(()).expect("a request")
}

fn drain<B: Body<Data = Bytes>>(body: B) -> usize {
    let mut cx = Context::from_waker(Waker::noop());
    let mut body = pin!(body);
    let mut bytes = 0;
    while let Poll::Ready(Some(Ok(frame))) = body.as_mut().poll_frame(&mut cx) {
        bytes += frame.data_ref().map_or(0, Bytes::len);
    }
    bytes
}

/// Sends one request through `service` and reads the answer.
fn exchange<S, B>(service: &mut S) -> usize
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes>,
{
    let mut cx = Context::from_waker(Waker::noop());
    let future = pin!(service.call(request()));
    match future.poll(&mut cx) {
        Poll::Ready(Ok(response)) => drain(response.into_body()),
        Poll::Ready(Err(never)) => match never {},
        Poll::Pending => 0,
    }
}

fn benches(criterion: &mut Criterion) {
    let events = events();
    let whole = Bytes::from(events.concat());
    let odd: Vec<_> = (0..whole.len())
        .step_by(1000)
        .map(|at| whole.slice(at..whole.len().min(at + 1000)))
        .collect();
    let total = whole.len();

    let mut group = criterion.benchmark_group("decode_256_events");
    group.throughput(Throughput::Elements(EVENTS as u64));
    for (name, chunks) in [
        ("one_chunk", vec![whole.clone()]),
        ("a_chunk_per_event", events.clone()),
        ("chunks_of_1000_bytes", odd),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| decode(black_box(&chunks))));
    }
    group.finish();

    let mut group = criterion.benchmark_group("client_256_events");
    group.throughput(Throughput::Elements(EVENTS as u64));
    for (name, chunks) in [("one_chunk", vec![whole]), ("a_chunk_per_event", events)] {
        let mut bare = Answers(chunks);
        let mut layered = SseLayer::new().layer(bare.clone());
        assert_eq!(exchange(&mut layered), total, "every byte passes");
        group.bench_function(format!("{name}/bare"), |b| b.iter(|| exchange(black_box(&mut bare))));
        group.bench_function(format!("{name}/gated"), |b| {
            b.iter(|| exchange(black_box(&mut layered)));
        });
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
