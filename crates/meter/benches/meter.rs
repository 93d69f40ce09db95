//! What metering costs beside a service that only passes, in the same run: a request with an
//! answer of 1 KB, and an event of a stream.
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
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::{HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body::{Body as _, Frame, SizeHint};
use tollgate_catalog::{Catalogue, Occasion};
use tollgate_core::{Body, Call, CallFacts, Operation, Protocol, Quality, Target, Usage};
use tollgate_meter::{Charge, Ledger, MeterLayer, Prices};
use tower::{Layer, Service};

const EVENTS: usize = 256;

/// Answers with the same frames each time, and knows no waiting.
#[derive(Clone)]
struct Answers {
    frames: Arc<[Bytes]>,
    kind: HeaderValue,
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

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|frame| frame.len() as u64).sum())
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
        black_box(request);
        let mut response = Response::new(Frames(self.frames.iter().cloned().collect()));
        response.headers_mut().insert(CONTENT_TYPE, self.kind.clone());
        std::future::ready(Ok(response))
    }
}

/// Takes charges and keeps none.
#[derive(Clone)]
struct Nowhere;

impl Ledger for Nowhere {
    type Recording = std::future::Ready<()>;

    fn record(&self, charge: Charge) -> Self::Recording {
        black_box(charge);
        std::future::ready(())
    }
}

fn exchange<S, B>(service: &mut S, call: &Call) -> u64
where
    S: Service<Request<Body>, Response = Response<B>>,
    B: http_body::Body<Data = Bytes>,
{
    let mut cx = Context::from_waker(Waker::noop());
    let mut request = Request::new(Body::from(r#"{"model":"gpt-4o","messages":[]}"#));
    request.extensions_mut().insert(call.clone());
    let mut future = pin!(service.call(request));
    let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut cx) else { return 0 };
    let mut body = pin!(response.into_body());
    let mut bytes = 0;
    while let Poll::Ready(Some(Ok(frame))) = body.as_mut().poll_frame(&mut cx) {
        bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
        if body.is_end_stream() {
            break;
        }
    }
    bytes
}

fn layer() -> MeterLayer<Nowhere, Catalogue> {
    let host = http::Uri::from_static("https://api.openai.com/v1");
    let target = Target::new("openai", Protocol::OpenAiChat, "gpt-4o", host);
    MeterLayer::new(Nowhere, Catalogue::builtin()).target(Arc::new(target))
}

fn call(stream: bool) -> Call {
    let facts = (*Call::new(Protocol::OpenAiChat, Operation::Generate)).clone();
    CallFacts { stream, stream_usage: true, ..facts }.into()
}

fn json() -> Answers {
    let text = format!(
        r#"{{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-4o-2024-08-06","choices":[{{"index":0,"message":{{"role":"assistant","content":"{}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":100,"completion_tokens":150,"total_tokens":250,"prompt_tokens_details":{{"cached_tokens":0}}}}}}"#,
        "word ".repeat(150)
    );
    let kind = HeaderValue::from_static("application/json");
    Answers { frames: [Bytes::from(text)].into(), kind }
}

fn stream() -> Answers {
    let chunk = |delta: &str, finish: &str| {
        Bytes::from(format!(
            "data: {{\"id\":\"chatcmpl-BxyzAbCdEfGhIjKlMnOpQrStUv\",\"object\":\"chat.completion.chunk\",\
             \"created\":1763000000,\"model\":\"gpt-4o-2024-08-06\",\"choices\":[{{\"index\":0,\
             \"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}],\"usage\":null}}\n\n"
        ))
    };
    let mut events = vec![chunk("{\"role\":\"assistant\",\"content\":\"\"}", "null")];
    events.resize_with(EVENTS - 3, || chunk("{\"content\":\" word\"}", "null"));
    events.push(chunk("{}", "\"stop\""));
    events.push(Bytes::from_static(
        b"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":253,\"total_tokens\":353}}\n\n",
    ));
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    Answers { frames: events.into(), kind: HeaderValue::from_static("text/event-stream") }
}

fn bench(c: &mut Criterion) {
    for (name, answers, call, elements) in
        [("request", json(), call(false), 1), ("event", stream(), call(true), EVENTS as u64)]
    {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(elements));
        let (mut plain, mut metered) = (answers.clone(), layer().layer(answers));
        group.bench_function("passed", |b| b.iter(|| exchange(&mut plain, &call)));
        group.bench_function("metered", |b| b.iter(|| exchange(&mut metered, &call)));
        group.finish();
    }
}

/// The part of a request that is the price of its usage.
fn pricing(c: &mut Criterion) {
    let host = http::Uri::from_static("https://api.openai.com/v1");
    let target = Target::new("openai", Protocol::OpenAiChat, "gpt-4o", host);
    let mut usage = Usage::default();
    usage.prompt.text = Some(100);
    usage.output.text = Some(150);
    usage.served.model = Some("gpt-4o-2024-08-06".to_owned());
    usage.quality = Quality::Exact;
    let prices = Catalogue::builtin();
    let occasion = Occasion::default();
    c.bench_function("request/price", |b| {
        b.iter(|| Prices::price(&prices, &target, &usage, &occasion));
    });
}

criterion_group!(benches, bench, pricing);
criterion_main!(benches);
