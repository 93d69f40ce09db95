//! Middleware that sets the provider's credential on a request and takes it out of the answer.
//!
//! Every form of client credential is removed (`authorization`, `x-api-key`, `api-key`,
//! `x-goog-api-key`, `proxy-authorization`, cookies, `?key=`) and ours is set for the request's
//! [`Target`], in a header marked sensitive and never in the URL.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use std::{convert::Infallible, sync::Arc};
//! use tollgate_core::{Protocol, Secret, Target};
//! use tollgate_keys::{Credential, CredentialLayer};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! // An upstream that repeats the credential it was sent.
//! let upstream = service_fn(|request: Request<Full<Bytes>>| async move {
//!     let sent = request.headers()["authorization"].to_str().unwrap().to_owned();
//!     Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(sent))))
//! });
//! let credentials = |_: &Target| Some(Credential::Bearer(Secret::new("sk-provider")));
//! let target = Target::new("openai", Protocol::OpenAiChat, "gpt-5", "http://up/v1".parse().unwrap());
//! let service = CredentialLayer::new(credentials).target(Arc::new(target)).layer(upstream);
//!
//! let request = Request::post("/v1/chat/completions")
//!     .header("authorization", "Bearer sk-client")
//!     .body(Full::default())
//!     .unwrap();
//! let answer = service.oneshot(request).await.unwrap();
//! let text = answer.into_body().collect().await.unwrap().to_bytes();
//! assert_eq!(text, "Bearer ***********");
//! # }
//! ```
//!
//! # No credential
//!
//! With no target, no credential for it, or one that no header can carry, the inner service is not
//! called: the answer is 502 in the client's protocol with a
//! [`Failure`](tollgate_core::Failure) of cause
//! [`Credential`](tollgate_core::Cause::Credential), so that another target may be tried. A target
//! whose `credential` is `None`, and [`Credential::None`], mean that the upstream wants none.
//!
//! # What an upstream echoes
//!
//! Our credential in header values, body and trailers is replaced by as many `*`, so that
//! `content-length` stays true: as it is, encoded as in a URL, in JSON with `\/` or `\u`, and in base
//! 64, also behind a user's name. So are tokens and keys in the query of the target's `base_url`. It is found across frames; only the end of a frame that may be its
//! beginning is held back until the next. What somebody further in showed the upstream instead, and
//! left on the answer as [`Shown`](tollgate_core::Shown), is masked the same way. Credentials shorter than 8 bytes are left alone, for
//! what they match is mostly something else.
//!
//! # Order
//!
//! Inside everything that chooses or changes the target, directly outside what sends the request:
//! no hop may carry another's credential.

mod body;
mod forms;
mod future;
mod layer;
mod mask;
mod service;

use http::{HeaderName, HeaderValue, header};
use tollgate_core::{Secret, Target};

pub use self::{
    body::ResponseBody, future::ResponseFuture, layer::CredentialLayer, service::SetCredential,
};

/// How a request proves to an upstream who pays.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credential {
    /// The upstream wants none.
    None,
    /// `Authorization: Bearer SECRET`.
    Bearer(Secret),
    /// A header that holds the secret alone.
    Header(HeaderName, Secret),
}

impl Credential {
    /// The secret, if there is one.
    pub fn secret(&self) -> Option<&Secret> {
        match self {
            Self::None => None,
            Self::Bearer(secret) | Self::Header(_, secret) => Some(secret),
        }
    }

    /// Returns the header to set. `Err` for a secret no header can carry, or an empty one.
    fn header(&self) -> Result<Option<(HeaderName, HeaderValue)>, Unusable> {
        let (name, prefix, secret) = match self {
            Self::None => return Ok(None),
            Self::Bearer(secret) => (header::AUTHORIZATION, "Bearer ", secret),
            Self::Header(name, secret) => (name.clone(), "", secret),
        };
        match secret.header(prefix) {
            Some(value) if !secret.expose().is_empty() => Ok(Some((name, value))),
            _ => Err(Unusable),
        }
    }
}

/// There is no credential that could be sent.
struct Unusable;

/// Where the credentials of targets are looked up. Asked on every attempt: no I/O.
pub trait Credentials {
    /// Returns the credential for `target`, or `None` when none is known.
    fn credential(&self, target: &Target) -> Option<Credential>;
}

impl<F> Credentials for F
where
    F: Fn(&Target) -> Option<Credential>,
{
    fn credential(&self, target: &Target) -> Option<Credential> {
        self(target)
    }
}

#[cfg(test)]
mod tests;
