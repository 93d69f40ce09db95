use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use tollgate_core::{Call, CallId, Failure, Protocol, Refusal};

use crate::{Fault, dialect, locate, path::guess};

/// The response header that says who is the source of an error.
pub const ORIGIN: HeaderName = HeaderName::from_static("x-tollgate-origin");

/// Whose ears an answer is for: the client's protocol and the id of its call.
///
/// Made from a request before it is consumed; renders the errors of whoever must say no.
///
/// ```
/// use http::Request;
/// use tollgate_wire::{Caller, tollgate_core::{Class, Refusal}};
///
/// let request = Request::post("/v1/messages").body(()).unwrap();
/// let answer = Caller::of(&request).refuse(Refusal::new(Class::RateLimit, "slow down"));
/// assert_eq!(answer.status(), 429);
/// assert!(answer.body().starts_with(br#"{"type":"error""#), "in the caller's protocol");
/// assert!(answer.extensions().get::<Refusal>().is_some(), "typed for the layers outside");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The protocol the client speaks.
    pub protocol: Protocol,
    /// The call's id.
    pub id: CallId,
}

impl Caller {
    /// Reads who is asking off a request.
    ///
    /// The protocol is that of the [`Call`], else recognised by method, path and headers, else
    /// guessed. A `Caller` in the extensions is taken at its word. The id is that of the [`Call`], else a [`CallId`] in the extensions, else fresh.
    pub fn of<B>(request: &Request<B>) -> Self {
        if let Some(call) = request.extensions().get::<Call>() {
            return Self { protocol: call.protocol, id: call.id };
        }
        if let Some(caller) = request.extensions().get::<Self>() {
            return *caller;
        }
        let id = request.extensions().get().copied();
        let path = request.uri().path();
        let protocol = locate(request.method(), path, request.headers())
            .map_or_else(|| guess(path, request.headers()), |located| located.protocol);
        Self { protocol, id: id.unwrap_or_else(CallId::random) }
    }

    /// Says no to the caller, for a reason of the caller's. The [`Refusal`] travels along.
    pub fn refuse(self, refusal: Refusal) -> Response<Bytes> {
        let mut response = self.answer(&Fault::from(&refusal));
        response.extensions_mut().insert(refusal);
        response
    }

    /// Says no to the caller with a status that is not the class's own. The [`Refusal`] travels along.
    pub fn refuse_with(self, status: StatusCode, refusal: Refusal) -> Response<Bytes> {
        let mut fault = Fault::from(&refusal);
        fault.status = Some(status.as_u16());
        let mut response = self.answer(&fault);
        response.extensions_mut().insert(refusal);
        response
    }

    /// Reports that one target failed. The [`Failure`] travels along.
    ///
    /// A rejection of our own credential or quota is hidden behind a 502 or 503.
    pub fn fail(self, failure: Failure) -> Response<Bytes> {
        let mut response = self.answer(&Fault::from(&failure).hiding_ours());
        response.extensions_mut().insert(failure);
        response
    }

    /// Renders an error in the caller's protocol.
    pub fn answer(self, fault: &Fault) -> Response<Bytes> {
        let id = self.id.to_string();
        let dialect = dialect(self.protocol);
        let rendered = dialect.render(fault, &id);
        let mut response = Response::new(rendered.body);
        *response.status_mut() = rendered.status;
        *response.headers_mut() = rendered.headers;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ORIGIN, HeaderValue::from_static(fault.origin.as_str()));
        response
    }
}
