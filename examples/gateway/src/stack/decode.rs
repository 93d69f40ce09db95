//! What clients send encoded.

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tollgate_core::{BoxError, Reply};
use tollgate_wire::{Caller, locate};
use tower::{Layer, Service};
use tower_http::decompression::Decompression;

/// A decoder is large: it is boxed, so that who needs none does not carry one.
type Decoded = tollgate_core::Body;

/// The encodings that are undone, by their names and those of their decoders.
const KNOWN: [(&str, &str); 5] =
    [("gzip", "gzip"), ("x-gzip", "gzip"), ("deflate", "deflate"), ("br", "br"), ("zstd", "zstd")];

/// Layer of [`Decode`].
#[derive(Clone, Copy, Debug)]
pub(super) struct DecodeLayer;

impl<S> Layer<S> for DecodeLayer {
    type Service = Decode<S>;

    fn layer(&self, inner: S) -> Decode<S> {
        Decode { inner }
    }
}

/// Middleware that undoes the encoding of what will be read here: requests that name a model. One
/// that is not known is a 415 that names it, in the caller's protocol. A body is decoded as it is
/// read, so that whoever limits what is read limits what it decodes to.
#[derive(Clone, Debug)]
pub(super) struct Decode<S> {
    inner: S,
}

/// The encoding of a request's body, if it must be undone.
fn encoding<B>(request: &Request<B>) -> Option<HeaderValue> {
    let encoding = request.headers().get(header::CONTENT_ENCODING)?;
    if encoding.as_bytes().eq_ignore_ascii_case(b"identity") {
        return None;
    }
    let located = locate(request.method(), request.uri().path(), request.headers())?;
    located.route.operation.has_model().then(|| encoding.clone())
}

/// Returns the request as if its body had not been encoded. `Err` for an encoding that is not known.
fn decoded<B>(request: Request<B>, encoding: &HeaderValue) -> Result<Request<Decoded>, ()>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let encoding = encoding.as_bytes().trim_ascii();
    let known = |(name, _): &(&str, _)| encoding.eq_ignore_ascii_case(name.as_bytes());
    let (_, name) = KNOWN.into_iter().find(known).ok_or(())?;
    let (mut parts, body) = request.into_parts();
    for header in [header::CONTENT_ENCODING, header::CONTENT_LENGTH] {
        parts.headers.remove(header);
    }
    let body = undo(body, name).ok_or(())?;
    Ok(Request::from_parts(parts, body))
}

/// The decoder takes responses only: the body travels in one.
fn undo<B>(body: B, encoding: &'static str) -> Option<Decoded>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let mut response = Response::new(Decoded::untouched(body));
    response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    let future = pin!(Decompression::new(Once(Some(response))).call(Request::new(())));
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(response)) => Some(Decoded::untouched(response.into_body())),
        Poll::Pending => None,
    }
}

struct Once<B>(Option<Response<B>>);

impl<B> Service<Request<()>> for Once<B> {
    type Response = Response<B>;
    type Error = Infallible;
    type Future = Ready<Result<Response<B>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(self.0.take().expect("called once, by `undo`")))
    }
}

impl<S, B, ResBody> Service<Request<B>> for Decode<S>
where
    S: Service<Request<RequestBody<B>>, Response = Response<ResBody>>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Reply<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Some(encoding) = encoding(&request) else {
            let request = request.map(RequestBody::plain);
            return ResponseFuture { state: State::Calling { future: self.inner.call(request) } };
        };
        let caller = Caller::of(&request);
        let state = match decoded(request, &encoding) {
            Ok(request) => {
                let request = request.map(RequestBody::decoded);
                State::Calling { future: self.inner.call(request) }
            }
            Err(()) => State::Refused { response: Some(unknown(caller, &encoding)) },
        };
        ResponseFuture { state }
    }
}

/// Says which encodings there could be instead (RFC 7694).
fn unknown(caller: Caller, encoding: &HeaderValue) -> Response<Bytes> {
    let mut response = caller.encoded(encoding);
    let known = HeaderValue::from_static("gzip, deflate, br, zstd");
    response.headers_mut().insert(header::ACCEPT_ENCODING, known);
    response
}

pin_project! {
    /// A request's body as it is read: what came, or what was encoded in it.
    #[derive(Debug)]
    pub struct RequestBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    #[derive(Debug)]
    enum Kind<B> {
        Plain { #[pin] body: B },
        Decoded { #[pin] body: Decoded },
    }
}

impl<B> RequestBody<B> {
    fn plain(body: B) -> Self {
        Self { kind: Kind::Plain { body } }
    }

    fn decoded(body: Decoded) -> Self {
        Self { kind: Kind::Decoded { body } }
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().kind.project() {
            KindProj::Plain { body } => body.poll_frame(cx).map_err(Into::into),
            KindProj::Decoded { body } => body.poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Plain { body } => body.is_end_stream(),
            Kind::Decoded { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Plain { body } => body.size_hint(),
            Kind::Decoded { body } => body.size_hint(),
        }
    }
}

pin_project! {
    /// Response future of [`Decode`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    #[derive(Debug)]
    enum State<F> {
        Refused { response: Option<Response<Bytes>> },
        Calling { #[pin] future: F },
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Reply<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Refused { response } => {
                let response = response.take().expect("polled after completion");
                Poll::Ready(Ok(response.map(Reply::own)))
            }
            StateProj::Calling { future } => {
                Poll::Ready(Ok(ready!(future.poll(cx))?.map(Reply::inner)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};
    use tollgate_testkit::wrapper_contract;
    use tower::{ServiceExt, service_fn};

    use super::*;

    async fn seen(path: &str, encoding: &str) -> Response<Bytes> {
        let inner = service_fn(|request: Request<RequestBody<Full<Bytes>>>| async {
            let (head, body) = request.into_parts();
            let mut response = Response::new(body.collect().await.unwrap().to_bytes());
            *response.headers_mut() = head.headers;
            Ok::<_, Infallible>(response.map(Full::new))
        });
        // `{}`, by gzip.
        let body = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xab\xae\x05\0\x43\xbf\xa6\xa3\x02\0\0\0";
        let request = Request::post(path).header("content-encoding", encoding);
        let request = request.header("content-length", body.len());
        let request = request.body(Full::from(&body[..])).unwrap();
        let (head, body) = DecodeLayer.layer(inner).oneshot(request).await.unwrap().into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    }

    #[tokio::test]
    async fn what_will_be_read_is_decoded_and_what_passes_is_not() {
        for name in ["GZip", "x-gzip"] {
            let read = seen("/v1/chat/completions", name).await;
            assert_eq!(read.body(), "{}", "{name}");
            assert!(read.headers().is_empty(), "neither encoding nor length are those of the body");
        }
        let passed = seen("/openai/v1/files", "gzip").await;
        assert!(passed.body().starts_with(b"\x1f\x8b"));
        assert_eq!(passed.headers()["content-encoding"], "gzip");
    }

    #[tokio::test]
    async fn an_unknown_encoding_is_refused_with_those_that_are_known() {
        for encoding in ["zip", "gzip, br"] {
            let refused = seen("/v1/messages", encoding).await;
            assert_eq!(refused.status(), 415);
            assert_eq!(refused.headers()["accept-encoding"], "gzip, deflate, br, zstd");
        }
    }

    #[tokio::test]
    async fn the_body_keeps_the_body_contract() {
        wrapper_contract(RequestBody::plain).await;
    }
}
