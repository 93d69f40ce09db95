//! Tower layers for LLM traffic, under one roof: one feature per layer, no behaviour of its own.
//!
//! | feature | brings | which is |
//! | --- | --- | --- |
//! | – | [`core`], [`wire`] | the facts between layers; the protocols on the wire |
//! | `catalog` | `Catalogue` | models: limits, abilities, prices |
//! | `keys` | `KeyLayer`, `CredentialLayer` | who is asking; with which credential an upstream is asked |
//! | `meter` | `MeterLayer` | what each attempt used and cost |
//! | `route` | `RouteLayer` | asked model to target |
//! | `fallback` | `FallbackLayer` | who is asked when that fails |
//! | `sse` | `SseLayer`, `DeadlineLayer` | honest streams; how long an upstream may be silent |
//! | `store` | `SqliteStore` | charges and keys in a file |
//! | `translate` | `TranslateLayer` | clients of one protocol, upstreams of another |
//! | `upstream` | `Upstream` | the hyper client at the bottom of a stack |
//! | `sim` | `Sim` | simulated providers |
//! | `full` | all of them | |
//!
//! # Guide
//!
//! A stack reads top to bottom, outermost first. This one knows one key and one provider, which
//! here is simulated; every part of it can be left out.
//!
#![cfg_attr(
    all(feature = "keys", feature = "route", feature = "sse", feature = "sim"),
    doc = "```"
)]
#![cfg_attr(
    not(all(feature = "keys", feature = "route", feature = "sse", feature = "sim")),
    doc = "```text"
)]
//! use std::sync::Arc;
//!
//! use bytes::Bytes;
//! use http::Request;
//! use http_body_util::{BodyExt, Full};
//! use tollgate::{
//!     ServiceBuilderExt,
//!     core::{Call, KeyId, Plan, Principal, Protocol, Refusal, Secret, Target},
//!     keys::{Credential, KeyHash, KeyRecord, MemoryKeys},
//!     sim::Sim,
//! };
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let keys = MemoryKeys::new();
//! let principal = Principal::new(KeyId::new("dev"), "dev");
//! keys.insert(KeyHash::of(&Secret::new("sk-client")), KeyRecord::new(principal));
//!
//! let base_url: http::Uri = "https://api.openai.com/v1".parse().unwrap();
//! let resolve = move |call: &Call, _: Option<&Principal>| -> Result<Plan, Refusal> {
//!     let model = call.model.as_deref().unwrap_or_default();
//!     let target = Target::new("openai", Protocol::OpenAiChat, model, base_url.clone());
//!     Ok(Plan::one(Arc::new(target), "the only provider"))
//! };
//!
//! let gateway = ServiceBuilder::new()
//!     .client_keys(keys)
//!     .route_to(resolve)
//!     .honest_streams()
//!     .deadlines()
//!     .credentials(|_: &Target| Some(Credential::Bearer(Secret::new("sk-provider"))))
//!     .service(Sim::new().with_key("sk-provider"));
//!
//! let ask = r#"{"model":"gpt-5","messages":[{"role":"user","content":"hi"}]}"#;
//! let request = Request::post("/v1/chat/completions").body(Full::new(Bytes::from(ask))).unwrap();
//! let refused = gateway.clone().oneshot(request.clone()).await.unwrap();
//! assert_eq!(refused.status(), 401, "no key");
//!
//! let (mut head, body) = request.into_parts();
//! head.headers.insert("authorization", "Bearer sk-client".parse().unwrap());
//! let answer = gateway.oneshot(Request::from_parts(head, body)).await.unwrap();
//! assert_eq!(answer.status(), 200, "the upstream saw its own credential, not the client's");
//! # }
//! ```
//!
//! # Order
//!
//! `client_keys` outermost: nobody unknown gets a body read. `route_to` before everything that
//! needs a target. `honest_streams` outside `fallback`, which is outside of all that concerns one
//! attempt, and outside `deadlines`, whose errors it renders. `translated` between the two:
//! whatever is inside of it speaks the upstream's protocol. `metered` inside of that, where the
//! bytes are the upstream's own. `credentials` innermost, so that no other layer sees a provider's
//! key.

pub use tollgate_core as core;
pub use tollgate_wire as wire;

#[cfg(feature = "catalog")]
pub use tollgate_catalog as catalog;
#[cfg(feature = "fallback")]
pub use tollgate_fallback as fallback;
#[cfg(feature = "keys")]
pub use tollgate_keys as keys;
#[cfg(feature = "meter")]
pub use tollgate_meter as meter;
#[cfg(feature = "route")]
pub use tollgate_route as route;
#[cfg(feature = "sim")]
pub use tollgate_sim as sim;
#[cfg(feature = "sse")]
pub use tollgate_sse as sse;
#[cfg(feature = "store")]
pub use tollgate_store as store;
#[cfg(feature = "translate")]
pub use tollgate_translate as translate;
#[cfg(feature = "upstream")]
pub use tollgate_upstream as upstream;

#[cfg(any(
    feature = "fallback",
    feature = "keys",
    feature = "meter",
    feature = "route",
    feature = "sse",
    feature = "translate"
))]
mod builder;
#[cfg(any(
    feature = "fallback",
    feature = "keys",
    feature = "meter",
    feature = "route",
    feature = "sse",
    feature = "translate"
))]
pub use self::builder::ServiceBuilderExt;
