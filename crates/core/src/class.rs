use std::{fmt, time::Duration};

use crate::BoxError;

/// The class of a failure, the same for all protocols.
///
/// Who detects which, and how each is rendered, is `tollgate-wire`'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Class {
    /// Credential missing or invalid.
    Auth,
    /// The credential may not use this model, region or feature.
    Permission,
    /// Model, file or route unknown.
    NotFound,
    /// Too many requests or tokens per time.
    RateLimit,
    /// Balance, plan, daily or spend limit exhausted.
    Quota,
    /// The provider has no capacity at the moment.
    Overloaded,
    /// The input (or input and output limit) does not fit the model's window.
    ContextLength,
    /// The body has too many bytes.
    TooLarge,
    /// A filter refused the prompt or the answer.
    ContentPolicy,
    /// Malformed request or unsupported parameter.
    InvalidRequest,
    /// Conflict with another request (409).
    Conflict,
    /// A deadline passed.
    Timeout,
    /// The client went away.
    Cancelled,
    /// The upstream failed, sent garbage or broke off.
    ServerError,
    /// DNS, TCP or TLS failed before anything was sent.
    Connect,
}

impl Class {
    /// Every class, in the order of declaration.
    pub const ALL: [Self; 15] = [
        Self::Auth,
        Self::Permission,
        Self::NotFound,
        Self::RateLimit,
        Self::Quota,
        Self::Overloaded,
        Self::ContextLength,
        Self::TooLarge,
        Self::ContentPolicy,
        Self::InvalidRequest,
        Self::Conflict,
        Self::Timeout,
        Self::Cancelled,
        Self::ServerError,
        Self::Connect,
    ];

    /// Returns the name used in logs, labels and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Permission => "permission",
            Self::NotFound => "not_found",
            Self::RateLimit => "rate_limit",
            Self::Quota => "quota",
            Self::Overloaded => "overloaded",
            Self::ContextLength => "context_length",
            Self::TooLarge => "too_large",
            Self::ContentPolicy => "content_policy",
            Self::InvalidRequest => "invalid_request",
            Self::Conflict => "conflict",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::ServerError => "server_error",
            Self::Connect => "connect",
        }
    }

    /// Whether the same target may be asked again (`protocols/errors.md` §1).
    pub const fn retryable(self) -> bool {
        matches!(
            self,
            Self::RateLimit
                | Self::Overloaded
                | Self::Conflict
                | Self::Timeout
                | Self::ServerError
                | Self::Connect
        )
    }

    /// Whether another target may be asked (`protocols/errors.md` §1).
    pub const fn falls_back(self) -> bool {
        matches!(
            self,
            Self::Auth
                | Self::Permission
                | Self::NotFound
                | Self::RateLimit
                | Self::Quota
                | Self::Overloaded
                | Self::Timeout
                | Self::ServerError
                | Self::Connect
        )
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who is the source of an error the client sees, shown as `x-tollgate-origin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This gateway decided.
    Gateway,
    /// The upstream answered so.
    Upstream,
}

impl Origin {
    /// Returns the header's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Upstream => "upstream",
        }
    }
}

/// A "no" that concerns the caller (key, budget, bad request, nobody can) and ends the plan.
///
/// Travels in the extensions of the response that was rendered from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of no.
    pub class: Class,
    /// What the caller reads. Never holds a secret.
    pub message: String,
    /// The field of the request that is to blame, as the caller wrote it.
    pub param: Option<String>,
    /// A stable machine-readable word where the class alone says too little.
    pub code: Option<&'static str>,
    /// When asking again makes sense.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// Returns a refusal with a message and nothing else.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), param: None, code: None, retry_after: None }
    }

    /// Names the field of the request that is to blame. Default: none.
    pub fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Sets the stable code. Default: the protocol's own for the class.
    pub fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// Says when asking again makes sense. Default: unknown.
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
}

/// Which part of the way to the target failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The connection was not made.
    Connect,
    /// A deadline of ours passed.
    Deadline,
    /// The upstream said so, or broke off.
    Upstream,
    /// Our translation made a request the upstream cannot take.
    Translator,
    /// We have no credential for the target, or it was rejected.
    Credential,
}

/// Whether the request reached the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sent {
    /// Nothing was sent: asking again is always safe.
    No,
    /// Bytes may have left.
    Maybe,
    /// The target received the request.
    Yes,
}

/// A failure that concerns one target; another may still answer.
///
/// Travels in the extensions of the response that was rendered from it. Absent, a response is
/// classified from its status and body by `tollgate-wire`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure.
    pub class: Class,
    /// Where on the way.
    pub cause: Cause,
    /// Whether the request was sent.
    pub sent: Sent,
    /// What the caller reads. Never holds a secret or an internal address.
    pub message: String,
    /// A stable machine-readable word where the class alone says too little.
    pub code: Option<&'static str>,
    /// When asking the same target again makes sense.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// Returns a failure of the upstream itself that received the request.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self {
            class,
            cause: Cause::Upstream,
            sent: Sent::Yes,
            message: message.into(),
            code: None,
            retry_after: None,
        }
    }

    /// Sets where on the way it failed. Default: [`Cause::Upstream`].
    pub fn cause(mut self, cause: Cause) -> Self {
        self.cause = cause;
        self
    }

    /// Sets whether the request was sent. Default: [`Sent::Yes`].
    pub fn sent(mut self, sent: Sent) -> Self {
        self.sent = sent;
        self
    }

    /// Sets the stable code. Default: the protocol's own for the class.
    pub fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// Says when asking again makes sense. Default: unknown.
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
}

/// The error every response body of ours ends in.
///
/// `tollgate-sse`'s client side finds it by downcast and renders it as the native error event of
/// the client's protocol. Its message may be shown to the client; its source never is.
#[derive(Debug)]
pub struct StreamError {
    class: Class,
    code: Option<&'static str>,
    message: String,
    source: Option<BoxError>,
}

impl StreamError {
    /// Returns an error with a message a client may read.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, code: None, message: message.into(), source: None }
    }

    /// The stream broke off before its protocol's ending: [`Class::ServerError`], code
    /// `upstream_truncated`.
    pub fn truncated() -> Self {
        Self::new(Class::ServerError, "the upstream's stream ended before it was complete")
            .code("upstream_truncated")
    }

    /// Sets the stable code. Default: the protocol's own for the class.
    pub fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// Keeps what caused it, for logs. Default: none.
    pub fn source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Finds the stream error in `error` or among its sources (body types that box wrap it), or
    /// makes a truncation of it.
    pub fn from_boxed(error: BoxError) -> Self {
        let foreign = match error.downcast::<Self>() {
            Ok(own) => return *own,
            Err(foreign) => foreign,
        };
        let found = std::iter::successors(foreign.source(), |error| error.source())
            .find_map(|error| error.downcast_ref::<Self>());
        let (class, code, message) = match found {
            Some(own) => (own.class, own.code, own.message.clone()),
            None => return Self::truncated().source(foreign),
        };
        Self { class, code, message, source: Some(foreign) }
    }

    /// The class of the failure.
    pub fn class(&self) -> Class {
        self.class
    }

    /// The stable code, if the class alone says too little.
    pub fn stable_code(&self) -> Option<&'static str> {
        self.code
    }

    /// The message a client may read.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.message)
    }
}

impl std::error::Error for StreamError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

impl From<StreamError> for Failure {
    fn from(error: StreamError) -> Self {
        let cause = match error.class {
            Class::Timeout => Cause::Deadline,
            _ => Cause::Upstream,
        };
        let mut failure = Self::new(error.class, error.message).cause(cause);
        failure.code = error.code;
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_error_counts_as_truncation() {
        let error = StreamError::from_boxed("connection reset".into());
        assert_eq!(error.stable_code(), Some("upstream_truncated"));
        assert!(std::error::Error::source(&error).is_some());
    }

    /// What a boxing body makes of an error.
    #[derive(Debug)]
    struct Boxed(BoxError);

    impl fmt::Display for Boxed {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.fmt(f)
        }
    }

    impl std::error::Error for Boxed {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&*self.0)
        }
    }

    #[test]
    fn our_own_error_is_found_under_wrappers() {
        let own = StreamError::new(Class::Timeout, "idle").code("idle_timeout");
        let wrapped = Boxed(Box::new(Boxed(Box::new(own))));
        let found = StreamError::from_boxed(Box::new(wrapped));
        assert_eq!((found.class(), found.stable_code()), (Class::Timeout, Some("idle_timeout")));
        assert_eq!(found.message(), "idle");
    }

    #[test]
    fn our_own_error_is_found_again() {
        let boxed: BoxError = Box::new(StreamError::new(Class::Timeout, "idle"));
        assert_eq!(StreamError::from_boxed(boxed).class(), Class::Timeout);
    }
}
