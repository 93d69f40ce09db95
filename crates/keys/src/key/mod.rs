//! Middleware that finds out who is asking, from the key a client sent.
//!
//! The key is read on every protocol from `Authorization: Bearer`, `x-api-key`, `api-key`,
//! `x-goog-api-key` or `?key=`; of several the first valid one counts. All of them are removed,
//! with cookies and `proxy-authorization`: the client's credential ends here. The request goes on
//! with the key's `Arc<`[`Principal`]`>` in its extensions.
//!
//! ```
//! use http::{Request, Response, StatusCode};
//! use std::{convert::Infallible, sync::Arc};
//! use tollgate_core::{Body, KeyId, Principal, Secret};
//! use tollgate_keys::{KeyHash, KeyLayer, KeyRecord, MemoryKeys};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let keys = MemoryKeys::new();
//! let record = KeyRecord::new(Principal::new(KeyId::new("key_1"), "dev"));
//! keys.insert(KeyHash::of(&Secret::new("sk-tg-1")), record);
//!
//! let service = KeyLayer::new(keys).layer(service_fn(|request: Request<Body>| async move {
//!     assert!(request.headers().get("x-api-key").is_none());
//!     let who = &request.extensions().get::<Arc<Principal>>().unwrap().name;
//!     Ok::<_, Infallible>(Response::new(who.to_string()))
//! }));
//!
//! let ask = |key| Request::get("/v1/models").header("x-api-key", key).body(Body::empty()).unwrap();
//! let answer = service.clone().oneshot(ask("sk-tg-1")).await.unwrap();
//! assert_eq!(answer.status(), StatusCode::OK);
//! let refused = service.oneshot(ask("sk-tg-2")).await.unwrap();
//! assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
//! # }
//! ```
//!
//! # Refusals
//!
//! On the head alone, before a byte of the body is read: class `auth` with code `missing_api_key`,
//! `invalid_api_key`, `api_key_disabled` or `api_key_expired`. There is no way to let a request
//! without a key pass. No message repeats the key.
//!
//! # Restricted keys
//!
//! A key that may not use every model has its request's body read, by
//! [`Inspect`](tollgate_wire::Inspect), and the model checked in the form that [`Canonical`] gives
//! it: class `permission`, code `model_not_allowed`. Operations without a model (lists) pass. What
//! the gateway passes on unread may name a model all the same: a restricted key may look
//! (`GET`, `HEAD`, `DELETE`, `OPTIONS`) but not `POST` there. The bodies of unrestricted keys are
//! not touched.
//!
//! # Removed headers and the protocol
//!
//! `x-goog-api-key` says that `GET /v1/models` is Gemini's. A request that names no model in its
//! body is therefore inspected here, before its headers go, and carries its
//! [`Call`](tollgate_core::Call) on.
//!
//! # Authentication of your own
//!
//! A request that carries an `Arc<Principal>` already is not asked for a key; the rest is done as
//! for a key.
//!
//! # Order
//!
//! Outermost, inside tracing and load shedding.
//!
//! [`Principal`]: tollgate_core::Principal

mod check;
mod future;
mod layer;
mod service;

use std::borrow::Cow;

use tollgate_core::Protocol;

pub use self::{future::ResponseFuture, layer::KeyLayer, service::KeyService};

/// Which name of a model a key's list is compared with.
pub trait Canonical {
    /// Returns the canonical `provider/model` form of `asked`, or the alias as it is.
    fn canonical<'a>(&self, asked: &'a str, protocol: Protocol) -> Cow<'a, str>;
}

impl<F> Canonical for F
where
    F: for<'a> Fn(&'a str, Protocol) -> Cow<'a, str>,
{
    fn canonical<'a>(&self, asked: &'a str, protocol: Protocol) -> Cow<'a, str> {
        self(asked, protocol)
    }
}

/// Compares the name as the client asked for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsAsked;

impl Canonical for AsAsked {
    fn canonical<'a>(&self, asked: &'a str, _: Protocol) -> Cow<'a, str> {
        Cow::Borrowed(asked)
    }
}

#[cfg(test)]
mod tests;
