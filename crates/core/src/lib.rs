//! The contract between Tollgate's tower layers.
//!
//! A layer never imports a layer. What one of them finds out and another needs travels as a typed
//! value in [`http::Extensions`]: one newtype per fact, one writer, optional readers with a safe
//! default. This crate holds those values, the request body that can be read and sent again, and
//! the error every response body of ours ends in. It does no I/O and needs no runtime.
//!
//! ```
//! use tollgate_core::{Body, Call, Operation, Protocol};
//! use http_body_util::BodyExt;
//!
//! # tokio_test_block(async {
//! // A fact is written once and read through `Option`.
//! let mut request = http::Request::new(Body::from("{\"model\":\"gpt-5\"}"));
//! request.extensions_mut().insert(Call::new(Protocol::OpenAiChat, Operation::Generate));
//! assert_eq!(request.extensions().get::<Call>().unwrap().protocol, Protocol::OpenAiChat);
//!
//! // A body made of frames can be sent twice.
//! let again = request.body().try_clone().expect("frames are replayable");
//! let sent = request.into_body().collect().await.unwrap().to_bytes();
//! assert_eq!(again.collect().await.unwrap().to_bytes(), sent);
//! # });
//! # fn tokio_test_block<F: std::future::Future>(f: F) -> F::Output {
//! #     let mut f = std::pin::pin!(f);
//! #     let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
//! #     loop { if let std::task::Poll::Ready(v) = f.as_mut().poll(&mut cx) { return v; } }
//! # }
//! ```
//!
//! # The facts
//!
//! | fact | travels on | when absent |
//! | --- | --- | --- |
//! | [`AskedProvider`] | request | the model's name says whose it is |
//! | [`Call`] | request | the layer inspects for itself |
//! | [`Principal`] | request | anonymous |
//! | [`Plan`] | request | one attempt at the inner service |
//! | [`Target`] | request, per attempt | the layer's constructor default |
//! | [`Attempt`] | request, per attempt | number 1 |
//! | [`Deadline`] | request | none |
//! | [`Outcome`] | response | unknown |
//! | [`Served`] | response | unknown |
//! | [`Refusal`] | response | – |
//! | [`Failure`] | response | classified from status and body |
//! | [`Shown`] | response | the upstream was shown nothing else |

mod allowed;
mod attempt;
mod board;
mod body;
mod call;
mod caps;
mod class;
mod money;
mod outcome;
mod plan;
mod principal;
mod reply;
mod secret;
mod target;
mod usage;

pub use self::{
    allowed::AllowedModels,
    attempt::{Attempt, Deadline, Ending},
    board::{Admission, Board, Ejection, InFlight, Lately, Probe, Scope, Standing, State},
    body::{Body, Frames},
    call::{
        AskedProvider, Call, CallFacts, CallId, Needs, NotACallId, Operation, Protocol,
        UnknownProtocol,
    },
    caps::{Caps, Effort, ForcedToolChoice, Sampling, SchemaDialect, Thinking},
    class::{Cause, Class, Failure, Origin, Refusal, Sent, StreamError},
    money::{Decimal, Money, MoneyError},
    outcome::{Missed, Outcome, Served},
    plan::{Plan, PlanStep, Skip, Skipped},
    principal::{KeyId, Principal},
    reply::Reply,
    secret::{Secret, Shown},
    target::{Target, Transport},
    usage::{InTokens, OutTokens, Prediction, Quality, Reported, ServedAs, Ttl, Usage},
};

/// The error type of bodies and sources that may be anything.
///
/// Consumers look for a [`StreamError`] in it by downcast; any other error counts as truncation.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
