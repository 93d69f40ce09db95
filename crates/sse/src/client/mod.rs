//! Middleware that gives clients honest event streams.
//!
//! [`SseLayer`] stands on the client's side of whatever answers. It holds each answer behind the
//! [`Gate`](crate::Gate) until its first content, so that everything that goes wrong before is an
//! ordinary HTTP error in the client's protocol, on streams too. After that it forwards whole
//! events as they came, byte for byte, and ends a stream that breaks with exactly one error event
//! of the client's protocol.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use tollgate_sse::SseLayer;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! // A service that breaks off in the middle of an answer.
//! let cut = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"}}]}\n\ndata: {\"cho";
//! let service = ServiceBuilder::new().layer(SseLayer::new()).service(service_fn(
//!     move |_: Request<()>| async move {
//!         let response = Response::builder().header("content-type", "text/event-stream");
//!         response.body(Full::new(Bytes::from(cut)))
//!     },
//! ));
//!
//! let request = Request::post("/v1/chat/completions").body(()).unwrap();
//! let response = service.oneshot(request).await.unwrap();
//! assert_eq!(response.headers()["cache-control"], "no-cache");
//! let body = response.into_body().collect().await.unwrap().to_bytes();
//! let text = std::str::from_utf8(&body).unwrap();
//! assert!(text.starts_with("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"}}]}\n\n"));
//! assert!(text.contains("\"code\":\"upstream_truncated\""), "what did not finish is not shown as finished");
//! # }
//! ```
//!
//! # What reaches the client when an answer fails
//!
//! Before content: the upstream's own JSON error answer as it came, or one rendered in the
//! client's protocol. A rejection of the gateway's credential, permission or quota is hidden
//! behind a 502 or 503. A [`Refusal`](tollgate_core::Refusal) of an inner layer is passed as it
//! was rendered. The [`Failure`](tollgate_core::Failure) travels in the response's extensions.
//!
//! After content: one error event, then the end of the body, which itself does not fail. An error
//! event of the upstream's is forwarded as it came and nothing after it.
//!
//! # Keep-alive
//!
//! A stream silent for 15 seconds gets what its protocol allows between events: a comment, or
//! Anthropic's `ping`; never anything for Gemini. Before the first content nothing is sent by
//! default; see [`SseLayer::keep_alive_before_commit`] for what that costs.
//!
//! # The surprise
//!
//! An answer without `Call` in the request's extensions is recognised by path and content type
//! alone. Paths no protocol knows pass untouched.
//!
//! # Neighbours
//!
//! Inside of who asks and who pays, outside of whatever retries: this layer is where failures stop
//! being data. Layers that change events sit inside it. It needs a tokio runtime with timers.

mod body;
mod early;
mod finish;
mod future;
mod layer;
mod live;
mod service;
#[cfg(test)]
mod tests;

pub use self::{body::SseBody, future::ResponseFuture, layer::SseLayer, service::Sse};
