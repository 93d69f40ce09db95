//! Every body of the crate keeps the body contract.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::convert::Infallible;

use http::{Request, Response};
use tollgate_core::{CallFacts, CallId, Needs, Operation, Protocol, StreamError};
use tollgate_sse::{
    DeadlineLayer, Decoded, End, Framing, Gate, Gated, Machine, MapEvents, Observe, Out, SseLayer,
    on_events,
};
use tollgate_testkit::{Script, ScriptBody, body_contract, end_contract, wrapper_contract};
use tower::{Layer, ServiceExt, service_fn};

const CONTENT: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n";
const FINISH: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

fn call() -> tollgate_core::Call {
    CallFacts {
        id: CallId::random(),
        protocol: Protocol::OpenAiChat,
        operation: Operation::Generate,
        model: None,
        stream: true,
        json_array: false,
        output_limit: None,
        candidates: 1,
        stream_usage: false,
        asks_cost: false,
        user: None,
        service_tier: None,
        needs: Needs::default(),
    }
    .into()
}

fn now<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut cx) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("nothing here waits"),
    }
}

fn response(body: ScriptBody, content_type: &str) -> Response<ScriptBody> {
    Response::builder().header("content-type", content_type).body(body).unwrap()
}

fn client(
    body: ScriptBody,
    content_type: &'static str,
    path: &str,
) -> impl http_body::Body<Data = bytes::Bytes, Error = <ScriptBody as http_body::Body>::Error>
+ Unpin
+ use<> {
    let mut slot = Some(response(body, content_type));
    let inner = service_fn(move |_: Request<()>| {
        std::future::ready(Ok::<_, Infallible>(slot.take().unwrap()))
    });
    let request = Request::post(path).body(()).unwrap();
    Box::pin(now(SseLayer::new().layer(inner).oneshot(request)).unwrap().into_body())
}

#[tokio::test]
async fn an_observed_body() {
    wrapper_contract(|body| Observe::new(body, Framing::Sse, on_events(|_| {}, |_| {}))).await;
    end_contract(|body, ends| {
        Observe::new(body, Framing::Sse, on_events(|_| {}, move |_| ends.fire()))
    })
    .await;
}

/// Copies every event.
#[derive(Debug)]
struct Copies;

impl Machine for Copies {
    fn event(&mut self, event: Decoded<'_>, out: &mut Out) -> Result<(), StreamError> {
        out.event(event.name(), event.data());
        Ok(())
    }

    fn finish(&mut self, _: End, _: &mut Out) -> Result<(), StreamError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_mapped_body() {
    let script = Script::new([CONTENT, FINISH].concat()).split_every(7);
    let mapped = || MapEvents::new(script.body(), Framing::Sse, Framing::Sse, Copies);
    let got = body_contract(mapped).await;
    assert_eq!(got.data(), [CONTENT, FINISH].concat());
    let script = script.reset();
    let mapped = || MapEvents::new(script.body(), Framing::Sse, Framing::Sse, Copies);
    assert!(body_contract(mapped).await.error.is_some());
}

#[tokio::test]
async fn a_body_that_passed_the_gate() {
    let script = Script::new([CONTENT, FINISH].concat()).split_every(9);
    let gated = || match now(Gate::new(response(script.body(), "text/event-stream"), &call())) {
        Gated::Committed(response) => Box::pin(response.into_body()),
        Gated::Failed(failed) => panic!("{failed:?}"),
    };
    assert_eq!(body_contract(gated).await.data(), [CONTENT, FINISH].concat());
    let script = script.reset();
    let gated = || match now(Gate::new(response(script.body(), "text/event-stream"), &call())) {
        Gated::Committed(response) => Box::pin(response.into_body()),
        Gated::Failed(failed) => panic!("{failed:?}"),
    };
    assert!(body_contract(gated).await.error.is_some());
}

#[tokio::test]
async fn a_clients_stream_which_never_fails() {
    let chat = "/v1/chat/completions";
    for (script, complete) in [
        (Script::new([CONTENT, FINISH].concat()).split_every(11), true),
        (Script::frames([CONTENT, FINISH]), true),
        (Script::frames([CONTENT, FINISH]).reset(), false),
        (Script::new(CONTENT).split_every(5), false),
    ] {
        let got = body_contract(|| client(script.body(), "text/event-stream", chat)).await;
        assert!(got.error.is_none());
        assert_eq!(got.data() == [CONTENT, FINISH].concat().as_bytes(), complete);
    }
}

#[tokio::test]
async fn a_clients_other_bodies() {
    wrapper_contract(|body| client(body, "text/html", "/somewhere")).await;
    let script = Script::frames(["{\"a\":", "1}"]);
    let got = body_contract(|| client(script.body(), "application/json", "/v1/messages")).await;
    assert_eq!(got.frames, ["{\"a\":", "1}"]);
    let failed = || client(Script::new("{").body(), "application/json", "/v1/messages");
    assert!(body_contract(failed).await.error.is_none());
}

#[tokio::test]
async fn a_body_with_deadlines() {
    for content_type in ["text/event-stream", "application/json"] {
        wrapper_contract(|body| {
            let mut slot = Some(response(body, content_type));
            let inner = service_fn(move |_: Request<()>| {
                std::future::ready(Ok::<_, Infallible>(slot.take().unwrap()))
            });
            let request = Request::post("/v1/messages").body(()).unwrap();
            let answer = now(DeadlineLayer::new().layer(inner).oneshot(request)).unwrap();
            Box::pin(answer.into_body())
        })
        .await;
    }
}
