//! Middleware that lets clients of one protocol ask an upstream of another.
//!
//! [`TranslateLayer`] stands where a client's protocol and the upstream's may differ. Where they
//! are the same not a byte is touched. Where they differ the request is written anew, path, query,
//! headers and body together, and so is whatever comes back: answers, streams event by event, and
//! errors. In front of one service that speaks one protocol it needs no other layer around it:
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response, header};
//! use http_body_util::{BodyExt, Full};
//! use tollgate_core::{Body, Protocol};
//! use tollgate_translate::TranslateLayer;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! // It knows OpenAI's Chat Completions and nothing else.
//! let service = ServiceBuilder::new()
//!     .layer(TranslateLayer::to(Protocol::OpenAiChat))
//!     .service(service_fn(|request: Request<Body>| async move {
//!         assert_eq!(request.uri(), "/v1/chat/completions");
//!         let answer = r#"{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[
//!             {"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}"#;
//!         let response = Response::builder().header(header::CONTENT_TYPE, "application/json");
//!         Ok::<_, std::convert::Infallible>(response.body(Full::<Bytes>::from(answer)).unwrap())
//!     }));
//!
//! let body = r#"{"model":"m","max_tokens":9,"top_k":3,"messages":[{"role":"user","content":"Hello"}]}"#;
//! let request = Request::post("/v1/messages").body(Body::from(body)).unwrap();
//! let answer = service.oneshot(request).await.unwrap();
//!
//! assert_eq!(answer.headers()["x-tollgate-warnings"], "dropped_field:/top_k");
//! let text = answer.into_body().collect().await.unwrap().to_bytes();
//! assert!(std::str::from_utf8(&text).unwrap().contains(r#""type":"message""#));
//! # }
//! ```
//!
//! # What is translated
//!
//! Requests for an answer and for a count of tokens between all protocols; for embeddings between
//! OpenAI and Gemini. Anything else that names a model, and lists of models, are refused with a 400
//! in the client's protocol; what no protocol knows passes untouched.
//!
//! # What cannot be carried
//!
//! It is named in `x-tollgate-warnings` on the answer, as `code:path` in the client's own words; what
//! the model must see is refused with a 400 that names the field. A [`Policy`](crate::Policy)
//! refuses more ([`strict`](crate::Policy::strict)) or less
//! ([`drop_media`](crate::Policy::drop_media)). Media at addresses the upstream cannot read are
//! fetched by a [`MediaFetch`], if the layer has one.
//!
//! # Streams that are none
//!
//! A call for a stream that is answered with a whole answer, by an upstream of its own protocol too,
//! gets the stream this would have been.
//!
//! # Errors
//!
//! An upstream's error has the same class, message and retry hint in the client's protocol. Until
//! the first content every error is an answer with its own status, streams included; after it a
//! stream ends in the client's own error event. An answer nobody can read is a
//! [`Failure`](tollgate_core::Failure) of [`Cause::Translator`](tollgate_core::Cause), and so is a
//! refusal of a field that our translation wrote.
//!
//! # The surprise
//!
//! A service further in meets a [`Call`](tollgate_core::Call) in the upstream's protocol, and only
//! the model is still named as the client named it; errors it renders are in the upstream's protocol
//! and translated like the upstream's. Credentials pass as they were shown: whoever needs another
//! form for the upstream puts a `CredentialLayer` inside.
//!
//! # Facts
//!
//! | fact | on | |
//! | --- | --- | --- |
//! | [`Call`](tollgate_core::Call) | request | read; absent: the layer inspects for itself. Rewritten where it translates |
//! | [`Target`](tollgate_core::Target) | request | read; absent: [`TranslateLayer::to`] |
//! | [`Policy`](crate::Policy) | request | read; absent: [`TranslateLayer::policy`] |
//! | [`Attempt`](tollgate_core::Attempt) | request | told where an answer cannot be read |
//! | [`Failure`](tollgate_core::Failure), [`Refusal`](tollgate_core::Refusal), [`Fault`](tollgate_wire::Fault) | response | read and written |
//!
//! # Neighbours
//!
//! Inside of whoever chooses the target and of `SseLayer`; outside of metering, deadlines and
//! credentials, which concern the upstream. Around a router, not inside it: it changes the path.

mod answer;
mod body;
mod fetch;
mod future;
mod lane;
#[allow(clippy::module_inception, reason = "each layer's parts have the same names")]
mod layer;
mod request;
mod service;
mod unstreamed;

pub use self::{
    body::TranslateBody,
    fetch::{FetchFailed, MediaFetch, NoFetch},
    future::ResponseFuture,
    layer::TranslateLayer,
    service::Translate,
};
