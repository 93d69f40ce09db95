use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tollgate_core::{Class, StreamError};

use self::decode::Decoded;
use crate::{events::Events, lanes::Place, pool::Received};

pin_project! {
    /// Response body of [`Upstream`](crate::Upstream).
    ///
    /// Dropping it before its end cancels the request at the upstream.
    ///
    /// Errors: [`StreamError::truncated`] where the upstream broke off; code `upstream_too_large`
    /// where an encoded body decodes to more than the limit.
    pub struct UpstreamBody {
        #[pin]
        kind: Kind,
        place: Option<Place>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind {
        Plain { #[pin] body: Received },
        Decoded { body: Pin<Box<Decoded>>, left: u64 },
        Own { text: Option<Bytes> },
        Amazon { #[pin] body: Amazon },
    }
}

impl UpstreamBody {
    pub(crate) fn own(text: Bytes) -> Self {
        Self::from(Kind::Own { text: Some(text).filter(|text| !text.is_empty()) })
    }

    /// Reads Amazon's messages in `body` and gives server-sent events.
    pub(crate) fn amazon(body: Self) -> Self {
        Kind::Amazon { body: Box::pin(Events::new(body)) }.into()
    }

    /// Keeps the request's place as long as the body is there.
    pub(crate) fn keeping(mut self, place: Option<Place>) -> Self {
        self.place = place;
        self
    }

    /// Wraps a response's body, decoded if it is encoded. `None` for an encoding we cannot undo.
    pub(crate) fn of(response: Response<Received>, limit: u64) -> Option<Response<Self>> {
        if is_plain(response.headers()) {
            return Some(response.map(|body| Kind::Plain { body }.into()));
        }
        let response = decode::decode(in_small_letters(response))?;
        is_plain(response.headers()).then(|| {
            response.map(|body| Kind::Decoded { body: Box::pin(body), left: limit }.into())
        })
    }
}

impl From<Kind> for UpstreamBody {
    fn from(kind: Kind) -> Self {
        Self { kind, place: None }
    }
}

fn is_plain(headers: &HeaderMap) -> bool {
    headers.get_all(header::CONTENT_ENCODING).iter().all(is_identity)
}

fn is_identity(encoding: &HeaderValue) -> bool {
    encoding.as_bytes().eq_ignore_ascii_case(b"identity")
}

/// Names the encoding as its decoder knows it: RFC 9110 tells no case, and `x-gzip` is `gzip`.
fn in_small_letters<B>(mut response: Response<B>) -> Response<B> {
    let Some(encoding) = response.headers_mut().get_mut(header::CONTENT_ENCODING) else {
        return response;
    };
    let name = encoding.as_bytes().trim_ascii().to_ascii_lowercase();
    let name = if name == b"x-gzip" { b"gzip" } else { &name[..] };
    if let Ok(name) = HeaderValue::from_bytes(name) {
        *encoding = name;
    }
    response
}

/// Boxed, as the body within is of the same type.
type Amazon = Pin<Box<Events<UpstreamBody>>>;

type Item = Option<Result<Frame<Bytes>, StreamError>>;

fn broken_off(error: impl Into<tollgate_core::BoxError>) -> StreamError {
    StreamError::truncated().source(error)
}

/// Counts a decoded frame against what is left.
fn limited(frame: Frame<Bytes>, left: &mut u64) -> Result<Frame<Bytes>, StreamError> {
    let len = frame.data_ref().map_or(0, |data| data.len() as u64);
    *left = left.checked_sub(len).ok_or_else(|| {
        StreamError::new(Class::ServerError, "the upstream's answer is too large")
            .code("upstream_too_large")
    })?;
    Ok(frame)
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Item> {
        match self.project().kind.project() {
            KindProj::Plain { body } => body.poll_frame(cx).map_err(broken_off),
            KindProj::Decoded { body, left } => {
                let frame = ready!(body.as_mut().poll_frame(cx));
                let frame = frame.map(|frame| limited(frame.map_err(broken_off)?, left));
                Poll::Ready(frame)
            }
            KindProj::Amazon { body } => body.poll_frame(cx),
            KindProj::Own { text } => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Plain { body } => body.is_end_stream(),
            Kind::Decoded { body, .. } => body.is_end_stream(),
            Kind::Amazon { body } => body.is_end_stream(),
            Kind::Own { text } => text.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Plain { body } => body.size_hint(),
            Kind::Decoded { body, .. } => body.size_hint(),
            Kind::Amazon { body } => body.size_hint(),
            Kind::Own { text } => SizeHint::with_exact(text.as_ref().map_or(0, |t| t.len() as u64)),
        }
    }
}

impl fmt::Debug for UpstreamBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Plain { .. } => "UpstreamBody(plain)",
            Kind::Decoded { .. } => "UpstreamBody(decoded)",
            Kind::Amazon { .. } => "UpstreamBody(amazon)",
            Kind::Own { .. } => "UpstreamBody(own)",
        })
    }
}

/// Decoding through `tower-http`, whose body type has no constructor: its service is given the
/// response that is there already.
#[cfg(feature = "decompress")]
mod decode {
    use std::{
        convert::Infallible,
        future::{Ready, ready},
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use http::{Request, Response};
    use tower_http::decompression::{Decompression, DecompressionBody};
    use tower_service::Service;

    use crate::pool::Received;

    pub(super) type Decoded = DecompressionBody<Received>;

    struct Once(Option<Response<Received>>);

    impl Service<Request<()>> for Once {
        type Response = Response<Received>;
        type Error = Infallible;
        type Future = Ready<Result<Response<Received>, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<()>) -> Self::Future {
            ready(Ok(self.0.take().expect("called once, by `decode`")))
        }
    }

    pub(super) fn decode(response: Response<Received>) -> Option<Response<Decoded>> {
        let future = pin!(Decompression::new(Once(Some(response))).call(Request::new(())));
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(response)) => Some(response),
            Poll::Pending => None,
        }
    }
}

#[cfg(not(feature = "decompress"))]
mod decode {
    use http::Response;

    use crate::pool::Received;

    pub(super) type Decoded = Received;

    pub(super) fn decode(_: Response<Received>) -> Option<Response<Decoded>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_20_what_decodes_beyond_the_limit_is_an_error() {
        let mut left = 4;
        assert!(limited(Frame::data(Bytes::from_static(b"abcd")), &mut left).is_ok());
        let error = limited(Frame::data(Bytes::from_static(b"e")), &mut left).unwrap_err();
        assert_eq!(error.stable_code(), Some("upstream_too_large"));
    }

    #[test]
    fn only_identity_is_plain() {
        for (encoding, plain) in
            [("identity", true), ("Identity", true), ("gzip", false), ("zip, br", false)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_ENCODING, encoding.parse().unwrap());
            assert_eq!(is_plain(&headers), plain);
        }
        assert!(is_plain(&HeaderMap::new()));
    }
}
