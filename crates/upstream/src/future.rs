use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use pin_project_lite::pin_project;
use tollgate_core::{Class, Failure, Refusal};
use tollgate_wire::Caller;

use crate::{UpstreamBody, error, headers};

pin_project! {
    /// Response future of [`Upstream`](crate::Upstream). Dropping it cancels the request.
    pub struct ResponseFuture {
        #[pin]
        state: State,
    }
}

pin_project! {
    #[project = StateProj]
    enum State {
        Sending { #[pin] future: legacy::ResponseFuture, caller: Caller, decoded_limit: u64 },
        Refused { response: Option<Response<Bytes>> },
    }
}

impl ResponseFuture {
    pub(crate) fn sending(
        future: legacy::ResponseFuture,
        caller: Caller,
        decoded_limit: u64,
    ) -> Self {
        Self { state: State::Sending { future, caller, decoded_limit } }
    }

    pub(crate) fn refused(response: Response<Bytes>) -> Self {
        Self { state: State::Refused { response: Some(response) } }
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<UpstreamBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = match self.project().state.project() {
            StateProj::Sending { future, caller, decoded_limit } => match ready!(future.poll(cx)) {
                Ok(response) => received(response, *decoded_limit)
                    .unwrap_or_else(|failure| caller.fail(failure).map(UpstreamBody::own)),
                Err(error) => not_received(&error, *caller).map(UpstreamBody::own),
            },
            StateProj::Refused { response } => {
                let response = response.take().expect("a future is not polled after its end");
                response.map(UpstreamBody::own)
            }
        };
        Poll::Ready(Ok(response))
    }
}

/// Makes an upstream's answer ours, whatever its status; a redirect is none.
fn received(
    response: Response<Incoming>,
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

fn not_received(error: &legacy::Error, caller: Caller) -> Response<Bytes> {
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
            State::Sending { .. } => "ResponseFuture(Sending)",
            State::Refused { .. } => "ResponseFuture(Refused)",
        })
    }
}
