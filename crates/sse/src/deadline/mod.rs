//! Middleware that limits how long one upstream may be silent.
//!
//! [`DeadlineLayer`] stands directly around an upstream and runs three clocks: until the response
//! head, until the first content, and between the events of a stream (or the frames
//! of any other body). A [`Deadline`](tollgate_core::Deadline) in the request's extensions ends
//! the whole call besides; nothing resets it.
//!
//! ```
//! use std::time::Duration;
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tollgate_core::{Cause, Failure};
//! use tollgate_sse::DeadlineLayer;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! // An upstream that never answers.
//! let service = ServiceBuilder::new()
//!     .layer(DeadlineLayer::new().head(Duration::from_secs(10)))
//!     .service(service_fn(|_: Request<()>| {
//!         std::future::pending::<Result<Response<Full<Bytes>>, std::convert::Infallible>>()
//!     }));
//!
//! let request = Request::post("/v1/messages").body(()).unwrap();
//! let response = service.oneshot(request).await.unwrap();
//! assert_eq!(response.status(), 504);
//! assert_eq!(response.extensions().get::<Failure>().unwrap().cause, Cause::Deadline);
//! # }
//! ```
//!
//! # What the clocks count
//!
//! `first_content` starts with the request and only content ends it: that of a stream, or a JSON
//! answer that is whole. It concerns calls of which is known that they ask a model. After content
//! `idle` is reset by any whole event of the protocol, pings included; comments and blank lines do
//! not reset it. For a body that is no event stream every frame resets it.
//!
//! # When one runs out
//!
//! Before the head the answer is a 504 in the client's protocol with a
//! [`Failure`](tollgate_core::Failure) in its extensions. After it the body ends in a
//! [`StreamError`](tollgate_core::StreamError) of class timeout with code `first_content_timeout`,
//! `idle_timeout`, `stream_limit` (a stream beyond the total) or `total_timeout`. In both cases the inner service's future or body is dropped
//! and the [`Attempt`](tollgate_core::Attempt), if there is one, is told that a deadline ended it.
//!
//! # The surprise
//!
//! A [`Deadlines`] in the request's extensions replaces the layer's own, so that whoever chooses
//! the target can choose its patience too.
//!
//! # Neighbours
//!
//! Inside of translation and metering, which must see why the upstream was given up; outside of
//! the client that connects, which has a deadline of its own for that. It needs a tokio runtime
//! with timers.

mod body;
mod clock;
mod future;
mod layer;
mod service;
#[cfg(test)]
mod tests;

pub use self::{
    body::DeadlineBody,
    future::DeadlineFuture,
    layer::{DeadlineLayer, Deadlines},
    service::DeadlineService,
};
