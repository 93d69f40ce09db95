//! Middleware that refuses what is more than the service can do at once.
//!
//! [`ShedLayer`] lets at most so many requests be in progress. One is in progress from its call
//! until its response body has ended or is dropped: a stream counts as long as it streams. What is
//! more is refused at once, in the client's protocol, and the inner service is not called. There
//! is no queue: who waits in one has often left when its turn comes, and a client that is told to
//! come back can ask elsewhere.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tollgate_shed::ShedLayer;
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let service = ShedLayer::new(1).layer(service_fn(|_: Request<()>| async {
//!     Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from("{}"))))
//! }));
//! let request = || Request::post("/v1/chat/completions").body(()).unwrap();
//!
//! let first = service.clone().oneshot(request()).await.unwrap();
//! let second = service.clone().oneshot(request()).await.unwrap();
//! assert_eq!(second.status(), 503, "the first one's body is still there");
//! assert_eq!(second.headers()["retry-after"], "1");
//!
//! drop(first);
//! assert_eq!(service.oneshot(request()).await.unwrap().status(), 200);
//! # }
//! ```
//!
//! # What a refusal is
//!
//! A [`Refusal`](tollgate_core::Refusal) of class overloaded, code `overloaded`, in the response's
//! extensions, rendered with `Retry-After` in the protocol of the request's path and headers: 503,
//! or what the protocol has instead (Anthropic's 529).
//!
//! # The surprise
//!
//! All services made by a layer and its clones share one limit, also those that a router makes for
//! each of its routes. Two limits are two layers.
//!
//! # Neighbours
//!
//! Outside of everything that costs something, so that a refusal costs nothing; inside of health
//! checks, which must be answered under load too.

mod body;
mod future;
mod layer;
mod load;
mod service;
#[cfg(test)]
mod tests;

pub use self::{
    body::ShedBody, future::ResponseFuture, layer::ShedLayer, load::Load, service::Shed,
};
