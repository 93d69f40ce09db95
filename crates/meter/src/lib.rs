//! Middleware that meters what an LLM call used and what it cost, from the bytes that passed.
//!
//! [`MeterLayer`] makes one [`Charge`] of each attempt and gives it to a [`Ledger`]. Usage is read
//! from the very bytes that are forwarded, JSON and streams, and nothing is held back for it;
//! [`Prices`] make an exact amount of it. It works in front of any service of one protocol, with
//! no other layer around it.
//!
//! ```
//! use std::sync::Arc;
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use tollgate_catalog::Catalogue;
//! use tollgate_core::{Body, Protocol, Quality, Target};
//! use tollgate_meter::{MemoryLedger, MeterLayer};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let ledger = MemoryLedger::new();
//! let host = "https://api.openai.com/v1".parse().unwrap();
//! let target = Target::new("openai", Protocol::OpenAiChat, "gpt-4o", host);
//! let service = ServiceBuilder::new()
//!     .layer(MeterLayer::new(ledger.clone(), Catalogue::builtin()).target(Arc::new(target)))
//!     .service(service_fn(|_: Request<Body>| async {
//!         Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(
//!             r#"{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}],
//!                 "usage":{"prompt_tokens":1000,"completion_tokens":500,"total_tokens":1500}}"#,
//!         ))))
//!     }));
//!
//! let body = Full::new(Bytes::from(r#"{"model":"gpt-4o","messages":[]}"#));
//! let request = Request::post("/v1/chat/completions").body(body).unwrap();
//! let response = service.oneshot(request).await.unwrap();
//! response.into_body().collect().await.unwrap();
//!
//! let charges = ledger.charges();
//! assert_eq!(charges.len(), 1);
//! assert_eq!(charges[0].usage.quality, Quality::Exact);
//! assert_eq!(charges[0].cost.unwrap().to_string(), "0.0075");
//! # }
//! ```
//!
//! # What is charged when
//!
//! | the attempt | [`Ending`] | usage | cost |
//! | --- | --- | --- | --- |
//! | complete | `Complete` | as told; what was not told is estimated | its price |
//! | refused, not connected, answered with an error, no answer in time | `Failed` | none | 0 |
//! | an error inside the answer, or broken off | `Failed` | as told until then, the rest estimated; none where nothing was told and no content came | its price |
//! | the client left before the answer or within it | `Cancelled` | as told until then, the rest estimated | its price |
//! | the client left before anything was sent | `Cancelled` | none | 0 |
//! | the client left after the protocol's last event | `Complete` | as told | its price |
//! | another attempt answered first | `Hedged` | estimated | its price |
//! | counts tokens, lists or describes models | | none | 0 |
//! | any other operation, an answer that is encoded or neither JSON nor events | | absent | unknown |
//!
//! An estimate builds on what was forwarded and on the size of the request, media left out, and is
//! marked [`Quality::Estimated`](tollgate_core::Quality). A model without a price has the cost
//! `None`, which is unknown and never nothing. A request that is dropped or refused while it is
//! still read has begun no attempt and makes no charge.
//!
//! # Asking for usage
//!
//! Chat streams tell their usage only when asked. Where the client did not ask, the layer does, and
//! takes the chunk it brings out of the stream again; every other byte stays. `usage.include`,
//! by which OpenRouter is asked for the cost, is taken out of requests to other hosts, and the cost
//! put into the usage of their answers: a JSON answer is held for that, up to 32 MiB, and of a
//! stream only the event with the usage.
//!
//! # When the client leaves
//!
//! The upstream is told at once and the usage estimated. With [`MeterLayer::drain`] an answer that
//! has begun is read on instead, by a [`Background`] that is awaited at shutdown, and its usage is
//! exact; past the limit, or dropped, it is estimated after all.
//!
//! # The surprise
//!
//! The end of an answer is released when the ledger has the charge ([`Ledger::Recording`]): its
//! last frame too, for a server that knows the length asks for nothing after it. A ledger whose
//! recordings are ready at once delays nothing.
//!
//! # Facts
//!
//! | fact | on | |
//! | --- | --- | --- |
//! | [`Call`](tollgate_core::Call) | request | read; absent: the layer inspects for itself |
//! | [`Target`](tollgate_core::Target) | request | read; absent: [`MeterLayer::target`], else no price |
//! | [`Attempt`](tollgate_core::Attempt) | request | read; absent: number 1, which the client ends |
//! | [`Principal`](tollgate_core::Principal), [`Tags`], [`EndUser`], [`IdempotencyKey`] | request | copied to the charge; absent: left out |
//! | [`Outcome`](tollgate_core::Outcome) | request | that one is written where there is one |
//! | [`Outcome`](tollgate_core::Outcome) | response | written: what the attempt cost |
//! | [`Failure`](tollgate_core::Failure), [`Refusal`](tollgate_core::Refusal) | response | read; absent: classed by the head |
//!
//! # Neighbours
//!
//! One for each attempt: inside of fallback and of translation, where the bytes are the upstream's
//! own, and outside of `DeadlineLayer`, which says why an attempt was given up.
//!
//! # Features
//!
//! `metrics`: a ledger that counts charges through the `metrics` facade. `tracing`: a span for each
//! attempt, in OpenTelemetry's conventions for generative AI, without content.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod account;
mod body;
mod charge;
mod drain;
mod future;
mod layer;
mod ledger;
mod meter;
#[cfg(feature = "metrics")]
mod metrics;
mod prices;
mod prompt;
mod service;
mod span;
mod thinking;

#[cfg(feature = "metrics")]
pub use self::metrics::Metrics;
pub use self::{
    body::MeterBody,
    charge::{Charge, EndUser, Ending, IdempotencyKey, Tags},
    drain::{Background, Work},
    future::ResponseFuture,
    layer::MeterLayer,
    ledger::{Channel, Ledger, MemoryLedger},
    prices::Prices,
    service::Meter,
};
