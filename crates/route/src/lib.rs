//! Middleware that decides who answers.
//!
//! [`RouteLayer`] asks a [`Resolve`] which targets can serve the model a client asked for. The
//! answer, a [`Plan`], and its first [`Target`] go into the request's extensions, and the request
//! is aimed at that target: its model is written in the upstream's own spelling, in the body or
//! the path, and no other byte is touched.
//!
//! ```
//! use std::sync::Arc;
//!
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use tollgate_core::{Body, Call, Plan, Principal, Protocol, Refusal, Target};
//! use tollgate_route::RouteLayer;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let mini = Arc::new(Target::new(
//!     "openai",
//!     Protocol::OpenAiChat,
//!     "gpt-5-mini",
//!     "https://api.openai.com/v1".parse().unwrap(),
//! ));
//! let resolve = move |_: &Call, _: Option<&Principal>| -> Result<Plan, Refusal> {
//!     Ok(Plan::one(mini.clone(), "the only one"))
//! };
//!
//! let service = ServiceBuilder::new().layer(RouteLayer::new(resolve)).service_fn(
//!     |request: Request<Body>| async move {
//!         let target = request.extensions().get::<Arc<Target>>().cloned().unwrap();
//!         assert_eq!(target.name(), "openai/gpt-5-mini");
//!         Ok::<_, std::convert::Infallible>(Response::new(request.into_body()))
//!     },
//! );
//!
//! let body = Full::new(Bytes::from(r#"{"model": "fast", "messages": []}"#));
//! let request = Request::post("/v1/chat/completions").body(body).unwrap();
//! let seen = service.oneshot(request).await.unwrap().collect().await.unwrap().to_bytes();
//! assert_eq!(seen, r#"{"model": "gpt-5-mini", "messages": []}"#);
//! # }
//! ```
//!
//! # Who may
//!
//! A `Resolve` is given the [`Principal`], if the caller has one, and answers with a [`Refusal`]
//! where the key may not use the model or nobody serves it.
//!
//! # What passes untouched
//!
//! Requests of operations without a model (lists, unknown paths) go on as they are, unread.
//!
//! # Neighbours
//!
//! Inside whoever writes the `Principal`, outside whatever reads the `Target`.
//!
//! [`Plan`]: tollgate_core::Plan
//! [`Target`]: tollgate_core::Target
//! [`Principal`]: tollgate_core::Principal
//! [`Refusal`]: tollgate_core::Refusal

mod affinity;
mod alias;
mod ask;
mod body;
mod candidate;
mod explain;
mod facts;
mod fitness;
mod future;
mod layer;
mod names;
mod order;
mod planning;
mod provider;
mod random;
mod refusal;
mod relay;
mod resolve;
mod router;
mod service;
mod wishes;

pub use self::{
    affinity::Affinity,
    alias::{Alias, AliasTarget, Order, UnknownOrder},
    ask::Ask,
    body::ResponseBody,
    explain::{Explained, Explanation},
    future::ResponseFuture,
    layer::RouteLayer,
    provider::{DataPolicy, Deployment, Endpoint, Provider},
    resolve::Resolve,
    router::Router,
    service::Route,
    wishes::{MaxPrice, WISHES, Wishes},
};
