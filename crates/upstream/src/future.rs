use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Response, StatusCode, Version};
use http_body::Body as _;
use tollgate_core::{Class, Failure, Refusal, Shown};
use tollgate_wire::Caller;

use crate::{
    UpstreamBody, error, events, headers,
    lanes::Place,
    pool::{Received, Unanswered},
};

/// Response future of [`Upstream`](crate::Upstream). Dropping it cancels the request.
pub struct ResponseFuture {
    state: State,
}

enum State {
    Preparing { future: Preparing },
    Sending { sending: Sending },
    Refused { response: Option<Response<Bytes>> },
}

/// Boxed, as only requests that are wrapped or signed take it.
type Preparing = Pin<Box<dyn Future<Output = Result<Sending, Response<Bytes>>> + Send>>;

/// A request under way.
pub(crate) struct Sending {
    pub(crate) future: Answering,
    pub(crate) request: UnderWay,
}

/// What is needed when a request ends.
pub(crate) struct UnderWay {
    pub(crate) caller: Caller,
    pub(crate) decoded_limit: u64,
    /// A success without a body is none.
    pub(crate) wants_body: bool,
    /// A stream comes in Amazon's messages.
    pub(crate) amazon_events: bool,
    /// Its place in the pool's lane; goes on into the answer's body.
    pub(crate) place: Option<Place>,
    /// What the signer showed; the answer may hold it.
    pub(crate) shown: Option<Shown>,
}

/// Waits for the head of an answer.
pub(crate) type Answering =
    Pin<Box<dyn Future<Output = Result<Response<Received>, Unanswered>> + Send>>;

impl ResponseFuture {
    pub(crate) fn preparing(
        future: impl Future<Output = Result<Sending, Response<Bytes>>> + Send + 'static,
    ) -> Self {
        Self { state: State::Preparing { future: Box::pin(future) } }
    }

    pub(crate) fn sending(sending: Sending) -> Self {
        Self { state: State::Sending { sending } }
    }

    pub(crate) fn refused(response: Response<Bytes>) -> Self {
        Self { state: State::Refused { response: Some(response) } }
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<UpstreamBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let state = &mut self.get_mut().state;
        loop {
            let next = match state {
                State::Preparing { future } => match ready!(future.as_mut().poll(cx)) {
                    Ok(sending) => State::Sending { sending },
                    Err(response) => State::Refused { response: Some(response) },
                },
                State::Sending { sending } => return sending.poll_response(cx).map(Ok),
                State::Refused { response } => {
                    let response = response.take().expect("a future is not polled after its end");
                    return Poll::Ready(Ok(response.map(UpstreamBody::own)));
                }
            };
            *state = next;
        }
    }
}

impl Sending {
    fn poll_response(&mut self, cx: &mut Context<'_>) -> Poll<Response<UpstreamBody>> {
        let answer = ready!(self.future.as_mut().poll(cx));
        Poll::Ready(match answer {
            Ok(response) => self.request.received(response),
            Err(error) => not_received(&error, self.request.caller).map(UpstreamBody::own),
        })
    }
}

impl UnderWay {
    fn received(&mut self, response: Response<Received>) -> Response<UpstreamBody> {
        let received = match self.wants_body && is_empty_success(&response) {
            true => Err(Failure::new(Class::ServerError, "the upstream's answer is empty")
                .code("upstream_empty")),
            false => received(response, self.decoded_limit),
        };
        match received.map(|response| self.unwrapped(response)) {
            Ok(mut response) => {
                self.shown.take().and_then(|shown| response.extensions_mut().insert(shown));
                response.map(|body| body.keeping(self.place.take()))
            }
            Err(failure) => self.caller.fail(failure).map(UpstreamBody::own),
        }
    }
}

impl UnderWay {
    /// Makes server-sent events of Amazon's.
    fn unwrapped(&self, mut response: Response<UpstreamBody>) -> Response<UpstreamBody> {
        if !self.amazon_events || !events::is_event_stream(response.headers()) {
            return response;
        }
        events::as_server_sent(response.headers_mut());
        response.map(UpstreamBody::amazon)
    }
}

fn is_empty_success(response: &Response<Received>) -> bool {
    response.status().is_success() && response.body().is_end_stream()
}

/// Makes an upstream's answer ours, whatever its status; a redirect is none.
fn received(
    response: Response<Received>,
    decoded_limit: u64,
) -> Result<Response<UpstreamBody>, Failure> {
    let status = response.status();
    if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
        let message = "the upstream answered with a redirect, which is not followed";
        return Err(Failure::new(Class::ServerError, message).code("upstream_redirect"));
    }
    if status.is_informational() {
        let message = "the upstream wants to speak something other than HTTP";
        return Err(Failure::new(Class::ServerError, message).code("upstream_protocol"));
    }
    let mut response = UpstreamBody::of(response, decoded_limit).ok_or_else(|| {
        let message = "the upstream's content encoding is not one the gateway can undo";
        Failure::new(Class::ServerError, message).code("upstream_encoding")
    })?;
    headers::from_upstream(response.headers_mut());
    response.extensions_mut().clear();
    *response.version_mut() = Version::HTTP_11;
    Ok(response)
}

fn not_received(error: &Unanswered, caller: Caller) -> Response<Bytes> {
    tracing::debug!(error = error as &dyn std::error::Error, "the upstream did not answer");
    if error::is_senders_fault(error) {
        let message = "the request's body broke off";
        return caller.refuse(Refusal::new(Class::InvalidRequest, message).code("body_incomplete"));
    }
    caller.fail(error::failure(error))
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Preparing { .. } => "ResponseFuture(Preparing)",
            State::Sending { .. } => "ResponseFuture(Sending)",
            State::Refused { .. } => "ResponseFuture(Refused)",
        })
    }
}
