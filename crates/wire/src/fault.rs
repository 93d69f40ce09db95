use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tollgate_core::{Class, Failure, Origin, Refusal, StreamError};

/// An error in no protocol's shape: read from one, rendered in another.
///
/// `protocols/errors.md` §1 calls it the canonical error.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Fault {
    /// What kind of error.
    pub class: Class,
    /// Who says so.
    pub origin: Origin,
    /// The upstream's HTTP status, if one was received; of the gateway's own errors the one to answer
    /// with where it is not the class's.
    pub status: Option<u16>,
    /// The upstream's own code, or a stable one of ours.
    pub code: Option<String>,
    /// What people read. Never a secret.
    pub message: String,
    /// The field that is to blame.
    pub param: Option<String>,
    /// When asking again makes sense.
    pub retry_after: Option<Duration>,
    /// The same target may be asked again.
    pub retryable: bool,
    /// Another target may be asked.
    pub fallback: bool,
    /// Reasoning sent back was refused; one repair without it is worth a try.
    pub reasoning_replay: bool,
}

impl Fault {
    /// Returns a fault of the upstream with the class's own retry rules.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self {
            class,
            origin: Origin::Upstream,
            status: None,
            code: None,
            message: message.into(),
            param: None,
            retry_after: None,
            retryable: class.retryable(),
            fallback: class.falls_back(),
            reasoning_replay: false,
        }
    }

    /// Whether the upstream rejected *our* credential, permission or quota, which the client must
    /// not mistake for its own.
    pub fn is_ours(&self) -> bool {
        self.origin == Origin::Upstream
            && matches!(self.class, Class::Auth | Class::Permission | Class::Quota)
    }

    /// The status the gateway itself answers with, where it is not the class's.
    pub(crate) fn own_status(&self) -> Option<StatusCode> {
        let own = self.status.filter(|_| self.origin == Origin::Gateway)?;
        StatusCode::from_u16(own).ok()
    }

    /// Whether this is what a client is told of our exhausted quota.
    pub(crate) fn is_our_quota(&self) -> bool {
        self.class == Class::ServerError && self.code.as_deref() == Some("upstream_quota")
    }

    /// Whether this is what a client is told of our rejected credential.
    pub(crate) fn is_our_credential(&self) -> bool {
        self.class == Class::ServerError && self.code.as_deref() == Some("upstream_auth")
    }

    /// Returns the message for protocols without a member for codes: the gateway's own word about
    /// an upstream stands before it.
    pub(crate) fn coded_message(&self) -> String {
        match self.code.as_deref().filter(|code| code.starts_with("upstream_")) {
            Some(code) => format!("{code}: {}", self.message),
            None => self.message.clone(),
        }
    }

    /// Returns what the client is told instead of a rejection of our credential or quota: class
    /// `server_error`, status 502 with code `upstream_auth`, or 503 with `upstream_quota`.
    /// Any other fault is returned as it is.
    pub fn hiding_ours(mut self) -> Self {
        if !self.is_ours() {
            return self;
        }
        let (status, code, message) = match self.class {
            Class::Quota => {
                (503, "upstream_quota", "the gateway's quota at the upstream is exhausted")
            }
            _ => (502, "upstream_auth", "the upstream rejected the gateway's credential"),
        };
        self.class = Class::ServerError;
        self.status = Some(status);
        self.code = Some(code.to_owned());
        self.message = message.to_owned();
        self.param = None;
        self
    }
}

impl From<&Refusal> for Fault {
    fn from(refusal: &Refusal) -> Self {
        Self {
            origin: Origin::Gateway,
            code: refusal.code.map(str::to_owned),
            param: refusal.param.clone(),
            retry_after: refusal.retry_after,
            retryable: false,
            fallback: false,
            ..Self::new(refusal.class, refusal.message.clone())
        }
    }
}

impl From<&Failure> for Fault {
    fn from(failure: &Failure) -> Self {
        Self {
            code: failure.code.map(str::to_owned),
            retry_after: failure.retry_after,
            ..Self::new(failure.class, failure.message.clone())
        }
    }
}

impl From<&StreamError> for Fault {
    fn from(error: &StreamError) -> Self {
        let code = error.stable_code();
        let is_ours = code.is_some_and(|code| code.starts_with("gateway_"));
        Self {
            origin: if is_ours { Origin::Gateway } else { Origin::Upstream },
            code: code.map(str::to_owned),
            ..Self::new(error.class(), error.message())
        }
    }
}

/// An error in one protocol's shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// The status line.
    pub status: StatusCode,
    /// Headers the protocol wants, without `content-type` and `content-length`.
    pub headers: HeaderMap,
    /// The JSON text.
    pub body: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openai;

    #[test]
    fn what_the_gateway_itself_says_of_a_stream_keeps_its_code() {
        let error = |code| StreamError::new(Class::Overloaded, "m").code(code);
        let ours = Fault::from(&error("gateway_draining"));
        assert_eq!((ours.origin, openai::code(&ours)), (Origin::Gateway, Some("gateway_draining")));
        let theirs = Fault::from(&error("slow_down"));
        assert_eq!(theirs.origin, Origin::Upstream);
        assert_eq!(openai::code(&theirs), Some("server_is_overloaded"));
    }
}
