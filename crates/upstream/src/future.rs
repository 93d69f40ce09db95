use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper_util::client::legacy;
use pin_project_lite::pin_project;
use tollgate_core::{Class, Failure, Refusal};
use tollgate_wire::Caller;

use crate::{UpstreamBody, error, headers, lanes::Place};

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
        Sending {
            #[pin]
            future: legacy::ResponseFuture,
            request: UnderWay,
        },
        Refused { response: Option<Response<Bytes>> },
    }
}

/// A request under way: what is needed when it ends.
pub(crate) struct UnderWay {
    pub(crate) caller: Caller,
    pub(crate) decoded_limit: u64,
    /// A success without a body is none.
    pub(crate) wants_body: bool,
    /// Its place in the pool's lane; goes on into the answer's body.
    pub(crate) place: Option<Place>,
    /// Sends it once more, where that may be necessary and is possible.
    pub(crate) again: Option<Again>,
}

/// Sends a request again.
pub(crate) type Again = Box<dyn FnOnce() -> legacy::ResponseFuture + Send>;

impl ResponseFuture {
    pub(crate) fn sending(future: legacy::ResponseFuture, request: UnderWay) -> Self {
        Self { state: State::Sending { future, request } }
    }

    pub(crate) fn refused(response: Response<Bytes>) -> Self {
        Self { state: State::Refused { response: Some(response) } }
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<UpstreamBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = match self.project().state.project() {
            StateProj::Sending { mut future, request } => loop {
                match ready!(future.as_mut().poll(cx)) {
                    Ok(response) => break request.received(response),
                    Err(error) if error::is_unprocessed(&error) && request.again.is_some() => {
                        let again = request.again.take().expect("asked for in the guard");
                        tracing::debug!("the upstream did not process the request, sending again");
                        future.set(again());
                    }
                    Err(error) => {
                        break not_received(&error, request.caller).map(UpstreamBody::own);
                    }
                }
            },
            StateProj::Refused { response } => {
                let response = response.take().expect("a future is not polled after its end");
                response.map(UpstreamBody::own)
            }
        };
        Poll::Ready(Ok(response))
    }
}

impl UnderWay {
    fn received(&mut self, response: Response<Incoming>) -> Response<UpstreamBody> {
        let received = match self.wants_body && is_empty_success(&response) {
            true => Err(Failure::new(Class::ServerError, "the upstream's answer is empty")
                .code("upstream_empty")),
            false => received(response, self.decoded_limit),
        };
        match received {
            Ok(response) => response.map(|body| body.keeping(self.place.take())),
            Err(failure) => self.caller.fail(failure).map(UpstreamBody::own),
        }
    }
}

fn is_empty_success(response: &Response<Incoming>) -> bool {
    response.status().is_success() && response.body().is_end_stream()
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
