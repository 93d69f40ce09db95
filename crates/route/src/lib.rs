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
//! # From data
//!
//! [`Router`] is a `Resolve` made from data: providers with their deployments, aliases, and what
//! the catalogue knows of models. Here two providers stand behind one name:
//!
//! ```
//! use tollgate_core::{Call, CallFacts, Operation, Protocol};
//! use tollgate_route::{Alias, Ask, Endpoint, Order, Provider, Resolve, Router};
//!
//! let at = |url: &str| Endpoint::new(Protocol::OpenAiChat, url.parse().unwrap());
//! let router = Router::new([
//!     Provider::new("openai").endpoint(at("https://api.openai.com/v1")),
//!     Provider::new("groq").endpoint(at("https://api.groq.com/openai/v1")),
//! ])
//! .aliases([(
//!     "fast",
//!     Alias::new(["openai/gpt-5-mini", "groq/llama-3.1-8b-instant"]).order(Order::Cost),
//! )]);
//!
//! let call = Call::new(Protocol::OpenAiChat, Operation::Generate);
//! let call = CallFacts { model: Some("fast".into()), ..CallFacts::clone(&call) }.into();
//! let plan = router.resolve(&Ask::new(&call)).unwrap();
//!
//! let names: Vec<_> = plan.chosen.iter().map(|step| step.target.name()).collect();
//! assert_eq!(names, ["groq/llama-3.1-8b-instant", "openai/gpt-5-mini"]);
//! println!("{}", router.explain(&Ask::new(&call)));
//! ```
//!
//! A name means, the first that applies: an alias; an alias with a `*` and letters of its own;
//! `provider/model`; a model the catalogue has at the lab that makes it, or that one of the
//! providers has; the alias `*`; whatever the first provider makes of it that speaks the caller's
//! protocol.
//!
//! # In which order
//!
//! [`Order`] says how the targets of an alias are ordered; a request may wish for another
//! ([`Wishes`]). The plan is the whole order, each step with its reason and score. Who is set aside
//! on the [`Board`](tollgate_core::Board) goes last and stays in it.
//!
//! # Who is left out
//!
//! Who cannot take what the request has (tools, a schema, pictures, sounds, documents), who costs
//! more or handles data otherwise than the request wishes, whom the key may not use: each is in the
//! plan's [`skipped`](tollgate_core::Plan::skipped), with the reason. What nobody knows of a model is nothing
//! against it. Limits of length are estimated, and nobody is refused for a guess. What only the
//! messages tell is read where the answer depends on it, without building a tree.
//!
//! # Staying
//!
//! A conversation stays with the target that answered it while that likely has its prompt cached,
//! and as long as it replays reasoning of that target or goes on from a response kept there
//! ([`Affinity`]). Where there is no choice nothing is remembered.
//!
//! # Who may
//!
//! A `Resolve` is given the [`Principal`], if the caller has one, and answers with a [`Refusal`]
//! where the key may not use the model or nobody serves it. To the `Router`, who may use an alias
//! may use all its targets; otherwise each target must be on the key's list by its own name.
//!
//! # The surprise
//!
//! The members `provider` and `models` of a body are wishes, in each protocol, and do not reach an
//! upstream; to OpenRouter, whose words they are, goes what is its business. A client that wants
//! them left alone sends its wishes, if only `{}`, in the header `x-tollgate-route`.
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
mod list;
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
    names::nearest,
    provider::{DataPolicy, Deployment, Endpoint, Provider},
    resolve::Resolve,
    router::Router,
    service::Route,
    wishes::{MaxPrice, WISHES, Wishes},
};
