//! What deciding costs: the resolver alone, by how much there is to choose, and the whole layer
//! beside one whose plan is a closure's.
#![allow(missing_docs)]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use tollgate_core::{
    Board, Body, Call, CallFacts, Frames, Operation, Plan, Principal, Protocol, Refusal, Target,
};
use tollgate_route::{Alias, Ask, Endpoint, Order, Provider, Resolve, RouteLayer, Router};
use tower::{Layer, Service};

const BODY: &str = r#"{"model":"MODEL","messages":[{"role":"user","content":"hello there"}]}"#;

fn router() -> Router {
    let speaks = |name| {
        let url = http::Uri::from_static("http://upstream.test/v1");
        Provider::new(name).endpoint(Endpoint::new(Protocol::OpenAiChat, url))
    };
    let list = ["openai/gpt-5-mini", "groq/llama-3.1-8b-instant", "mistral/mistral-small-latest"];
    let aliases = Order::ALL.map(|order| (order.as_str(), Alias::new(list).order(order)));
    let board = Board::new();
    let router = Router::new(["openai", "groq", "mistral"].map(speaks))
        .aliases(aliases)
        .board(board.clone());
    let plan = router.resolve(&Ask::new(&call("priority"))).expect("an alias");
    for step in &plan.chosen {
        board.of(&step.target).saw_first_content(Instant::now(), std::time::Duration::from_secs(1));
    }
    router
}

fn call(model: &str) -> Call {
    let bare = Call::new(Protocol::OpenAiChat, Operation::Generate);
    CallFacts { model: Some(model.into()), ..CallFacts::clone(&bare) }.into()
}

fn resolves(criterion: &mut Criterion) {
    let (router, headers) = (router(), HeaderMap::new());
    let mut group = criterion.benchmark_group("resolve");
    let names = ["openai/gpt-5-mini", "gpt-5-mini"].into_iter();
    for name in names.chain(Order::ALL.map(Order::as_str)) {
        let call = call(name);
        let body = Frames::from(Bytes::from(BODY.replace("MODEL", name)));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let ask = Ask::new(&call).headers(&headers).body(&body);
                router.resolve(black_box(&ask))
            });
        });
    }
    let call = {
        let mut facts = CallFacts::clone(&call("priority"));
        facts.needs.wishes = true;
        Call::from(facts)
    };
    let turn = format!(r#"{{"role":"user","content":"{}"}}"#, "words, and words ".repeat(64));
    let turns = vec![turn; 190].join(",");
    let body = format!(r#"{{"messages":[{turns}],"model":"priority"}}"#);
    let body =
        Frames::new(body.into_bytes().chunks(64 << 10).map(Bytes::copy_from_slice).collect());
    let long = self::call("priority");
    group.bench_function("priority, 200 KB", |bencher| {
        bencher.iter(|| router.resolve(black_box(&Ask::new(&long).body(&body))));
    });
    let body = BODY.replace("MODEL\"", r#"priority","provider":{"only":["groq"]}"#);
    let body = Frames::from(Bytes::from(body));
    group.bench_function("wishes", |bencher| {
        bencher.iter(|| router.resolve(black_box(&Ask::new(&call).body(&body))));
    });
    group.finish();
}

/// Answers at once, with nothing.
#[derive(Clone)]
struct Nothing;

impl Service<Request<Body>> for Nothing {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        black_box(request);
        ready(Ok(Response::default()))
    }
}

fn once<S: Service<Request<Full<Bytes>>>>(service: &mut S, body: Bytes) {
    let request = Request::post("/v1/chat/completions").body(Full::new(body));
    let future = pin!(service.call(request.expect("a request")));
    let polled = future.poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_ready());
}

fn layers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("layer");
    let body = Bytes::from(BODY.replace("MODEL", "openai/gpt-5-mini"));
    let url = http::Uri::from_static("http://upstream.test/v1");
    let target = Target::new("openai", Protocol::OpenAiChat, "gpt-5-mini", url);
    let target = Arc::new(target);
    let closure = move |_: &Call, _: Option<&Principal>| -> Result<Plan, Refusal> {
        Ok(Plan::one(target.clone(), "the only one"))
    };
    let mut service = RouteLayer::new(closure).layer(Nothing);
    group.bench_function("closure", |b| b.iter(|| once(&mut service, body.clone())));
    let mut service = RouteLayer::new(Arc::new(router())).layer(Nothing);
    group.bench_function("router", |b| b.iter(|| once(&mut service, body.clone())));
    group.finish();
}

criterion_group!(benches, resolves, layers);
criterion_main!(benches);
