//! Middleware that asks another upstream when one fails, before anybody sees of it.
//!
//! [`FallbackLayer`] runs the [`Plan`] a request brings: one target after the other, until one
//! gives content. Each answer, JSON or stream, waits behind the [`Gate`] for its first content, so
//! that whatever goes wrong before (no connection, a status that is an error, a stall, an error
//! inside a 200, a page of HTML) moves on unseen. After the first content nothing is repeated.
//!
//! ```
//! use std::sync::Arc;
//!
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use tollgate_core::{Board, Body, Plan, PlanStep, Protocol, Served, Target};
//! use tollgate_fallback::FallbackLayer;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! // Two deployments, of which the first breaks off before it has said anything.
//! let layer = FallbackLayer::new(Board::new());
//! let counts = layer.counts();
//! let service = ServiceBuilder::new().layer(layer).service(service_fn(|r: Request<Body>| async move {
//!     let target = r.extensions().get::<Arc<Target>>().cloned().unwrap();
//!     let body = r.into_body().collect().await.unwrap().to_bytes();
//!     let said = match &*target.deployment {
//!         "west" => r#"{"id":"c","choices":[{"mess"#,
//!         _ if body == r#"{"model":"gpt-5","messages":[]}"# => r#"{"choices":[],"id":"from the east"}"#,
//!         _ => r#"{"error":"aimed at somebody else"}"#,
//!     };
//!     Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(said))))
//! }));
//!
//! let target = |deployment: &str| {
//!     let base_url = "http://localhost/v1".parse().unwrap();
//!     Arc::new(Target::new(deployment, Protocol::OpenAiChat, "gpt-5", base_url))
//! };
//! let mut plan = Plan::one(target("west"), "nearest");
//! plan.chosen.push(PlanStep::new(target("east"), "in reserve"));
//!
//! let body = Full::new(Bytes::from(r#"{"model":"fast","messages":[]}"#));
//! let request = Request::post("/v1/chat/completions").extension(plan).body(body).unwrap();
//! let response = service.oneshot(request).await.unwrap();
//!
//! assert_eq!(response.status(), 200, "nobody sees of the first attempt");
//! let served = response.extensions().get::<Served>().unwrap();
//! assert_eq!((&*served.target.deployment, served.attempts), ("east", 2));
//! assert_eq!(counts.fallbacks(), 1);
//! let body = response.into_body().collect().await.unwrap().to_bytes();
//! assert_eq!(body, r#"{"choices":[],"id":"from the east"}"#, "byte for byte");
//! # }
//! ```
//!
//! # What happens after a failure
//!
//! A [`Policy`] decides; [`ByClass`] is on by default, and its table says what each class of failure
//! leads to. Another deployment is asked at once, the same one after a pause ([`Backoff`]), or when
//! the upstream itself says: `retry-after`, `retry-after-ms` and the providers' own hints. A closure
//! is a policy, and [`Policy::or`] puts one before another.
//!
//! A target that refuses the reasoning a request sends back is asked once more without it, where
//! [`FallbackLayer::repair`] says how to leave it out; `x-tollgate-warnings` tells the caller. That
//! costs nothing of the budget.
//!
//! # Who is not asked
//!
//! A [`Breaker`] sets a target aside on the [`Board`] that fails too often, is at its limit, or
//! rejects our credential or quota; other models of the same deployment only where it is the
//! deployment's fault. When the time is over one call after the other probes. When everybody is
//! set aside a call is refused at once and nobody is asked: 429 or 503 with `retry-after`, 502 or
//! 503 where only the gateway's owner can help. A call with a [`Deadline`] waits for who is only at
//! a limit, within [`FallbackLayer::patience`].
//!
//! # How much more is asked
//!
//! A call makes up to [`FallbackLayer::attempts`]. All calls together share a [`Budget`] for
//! repeating a request at the same deployment and for further attempts where something was set
//! aside: when everything fails, upstreams are asked hardly more often than clients ask.
//!
//! # What the caller is told when all fail
//!
//! The most helpful error: first what the caller can change, then what passes by itself (429 with
//! the smallest `retry-after` before 5xx), then what only the gateway's owner can change; of equals
//! the last. In JSON of the same protocol the upstream's own answer stays as it came. An inner
//! service that fails without an answer, and with nothing better to tell, fails the call with its own
//! error.
//!
//! # The surprise
//!
//! A request without [`Plan`] passes to the inner service as it is, once and ungated. And the plan
//! is taken out of the request: a request further in belongs to one attempt.
//!
//! # Facts
//!
//! | fact | on | |
//! | --- | --- | --- |
//! | [`Plan`] | request | taken; absent or empty: one attempt at the inner service |
//! | [`Call`](tollgate_core::Call) | request | read; absent: the layer inspects for itself |
//! | [`Deadline`] | request | read; absent: nobody is waited for |
//! | [`Target`](tollgate_core::Target) | request, per attempt | written, and the request aimed at it |
//! | [`Attempt`](tollgate_core::Attempt) | request, per attempt | written; its ending is set before a failed attempt is dropped |
//! | [`Served`](tollgate_core::Served) | response | written, on errors too |
//! | [`Failure`](tollgate_core::Failure), [`Refusal`](tollgate_core::Refusal) | response | read; of the error that is passed on also written |
//! | [`Outcome`](tollgate_core::Outcome) | response | read when an answer has ended: how it went after its first content |
//!
//! # Neighbours
//!
//! Inside `RouteLayer`, which writes the plan, and `SseLayer`, which ends streams that break after
//! their first content; it does not hold a second time what this layer held. Outside everything
//! that concerns one attempt: translation, metering, deadlines, credentials. Without `DeadlineLayer`
//! inside a silent upstream is waited for without end.
//!
//! [`Plan`]: tollgate_core::Plan
//! [`Board`]: tollgate_core::Board
//! [`Deadline`]: tollgate_core::Deadline
//! [`Gate`]: tollgate_sse::Gate

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod answer;
mod backoff;
mod body;
mod breaker;
mod budget;
mod counts;
mod future;
mod layer;
mod policy;
mod repair;
mod run;
mod service;
mod spare;

pub use self::{
    backoff::Backoff,
    body::FallbackBody,
    breaker::Breaker,
    budget::Budget,
    counts::Counts,
    future::ResponseFuture,
    layer::FallbackLayer,
    policy::{Action, ByClass, Limited, Or, Policy, Tried},
    service::Fallback,
};
