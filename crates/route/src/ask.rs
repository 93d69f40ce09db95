use std::time::Instant;

use http::{HeaderMap, Request};
use tollgate_core::{Body, Call, Frames, Principal};

/// What is asked, and by whom: all that a [`Resolve`](crate::Resolve) may look at.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Ask<'a> {
    /// The call.
    pub call: &'a Call,
    /// Who is asking; `None` for the anonymous.
    pub principal: Option<&'a Principal>,
    /// The request's headers, if there are any to look at.
    pub headers: Option<&'a HeaderMap>,
    /// The request's body, if it was read.
    pub body: Option<&'a Frames>,
    now: Option<Instant>,
}

impl<'a> Ask<'a> {
    /// Returns the question of an anonymous caller whose request nobody has at hand.
    pub fn new(call: &'a Call) -> Self {
        Self { call, principal: None, headers: None, body: None, now: None }
    }

    /// Returns the question `request` puts, which `call` was read from.
    pub fn of(call: &'a Call, request: &'a Request<Body>) -> Self {
        let principal = request.extensions().get::<std::sync::Arc<Principal>>();
        Self {
            call,
            principal: principal.map(|principal| &**principal),
            headers: Some(request.headers()),
            body: request.body().frames(),
            now: None,
        }
    }

    /// Sets who is asking. Default: nobody in particular.
    pub fn principal(mut self, principal: &'a Principal) -> Self {
        self.principal = Some(principal);
        self
    }

    /// Sets the request's headers. Default: none.
    pub fn headers(mut self, headers: &'a HeaderMap) -> Self {
        self.headers = Some(headers);
        self
    }

    /// Sets the request's body. Default: not read; what only it can tell is then not known.
    pub fn body(mut self, body: &'a Frames) -> Self {
        self.body = Some(body);
        self
    }

    /// Sets what time it is. Default: the clock's, read where somebody wants to know.
    pub fn at(mut self, now: Instant) -> Self {
        self.now = Some(now);
        self
    }

    /// Returns what time it is.
    pub fn now(&self) -> Instant {
        self.now.unwrap_or_else(|| tokio::time::Instant::now().into_std())
    }

    /// Returns the model as the client named it.
    pub(crate) fn model(&self) -> &'a str {
        self.call.model.as_deref().unwrap_or_default()
    }
}
