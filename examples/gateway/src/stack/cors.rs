//! Browsers: which pages may call the gateway.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use pin_project_lite::pin_project;
use tollgate_core::Reply;
use tower::{Layer, Service};

/// Whose pages may call; empty: nobody's, and nothing is said about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(Option<Arc<[HeaderValue]>>);

impl Origins {
    /// Returns the origins of the list; `*` means all.
    pub fn new(origins: impl IntoIterator<Item = HeaderValue>) -> Self {
        let origins: Arc<[_]> = origins.into_iter().collect();
        Self(Some(origins).filter(|origins| !origins.is_empty()))
    }

    /// Returns what to say to this request's origin, if its pages may call.
    fn allow(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origins = self.0.as_deref()?;
        let origin = headers.get(header::ORIGIN)?;
        let listed = origins.iter().any(|o| o == origin || o == "*");
        listed.then(|| origin.clone())
    }
}

/// Layer of [`Cors`].
#[derive(Clone, Debug, Default)]
pub(super) struct CorsLayer {
    origins: Origins,
}

impl CorsLayer {
    /// Returns the layer for pages of `origins`.
    pub(super) fn new(origins: Origins) -> Self {
        Self { origins }
    }
}

impl<S> Layer<S> for CorsLayer {
    type Service = Cors<S>;

    fn layer(&self, inner: S) -> Cors<S> {
        Cors { inner, origins: self.origins.clone() }
    }
}

/// Middleware that answers the preflights of listed origins and lets their pages read answers.
///
/// Keys travel in headers, never in cookies, so no credentials are allowed.
#[derive(Clone, Debug)]
pub(super) struct Cors<S> {
    inner: S,
    origins: Origins,
}

fn is_preflight<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight(headers: &HeaderMap, origin: HeaderValue) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let answer = response.headers_mut();
    let methods = HeaderValue::from_static("GET, POST");
    answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    if let Some(asked) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    open(answer, origin);
    response
}

fn open(answer: &mut HeaderMap, origin: HeaderValue) {
    answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    answer.append(header::VARY, HeaderValue::from_static("origin"));
}

impl<S, B, ResBody> Service<Request<B>> for Cors<S>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
{
    type Response = Response<Reply<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let state = match self.origins.allow(request.headers()) {
            Some(origin) if is_preflight(&request) => {
                State::Preflight { response: Some(preflight(request.headers(), origin)) }
            }
            origin => State::Calling { future: self.inner.call(request), origin },
        };
        ResponseFuture { state }
    }
}

pin_project! {
    /// Response future of [`Cors`].
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
        Preflight { response: Option<Response<Bytes>> },
        Calling { #[pin] future: F, origin: Option<HeaderValue> },
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Reply<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Preflight { response } => {
                let response = response.take().expect("not polled after it was ready");
                Poll::Ready(Ok(response.map(Reply::own)))
            }
            StateProj::Calling { future, origin } => {
                let mut response = ready!(future.poll(cx))?;
                if let Some(origin) = origin.take() {
                    open(response.headers_mut(), origin);
                }
                Poll::Ready(Ok(response.map(Reply::inner)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use tollgate_testkit::{Answer, Upstream};
    use tower::ServiceExt;

    use super::*;

    async fn asked(origins: &[&'static str], origin: &str, method: Method) -> (HeaderMap, usize) {
        let upstream = Upstream::always(Answer::json(200, "{}"));
        let origins = Origins::new(origins.iter().map(|o| HeaderValue::from_static(o)));
        let request = Request::builder()
            .method(method)
            .uri("/v1/messages")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "x-api-key")
            .body(Full::<Bytes>::default())
            .unwrap();
        let service = CorsLayer::new(origins).layer(upstream.clone());
        let answer = service.oneshot(request).await.unwrap();
        (answer.headers().clone(), upstream.received().len())
    }

    #[tokio::test]
    async fn a_listed_page_may_ask_and_read() {
        let (headers, calls) = asked(&["https://a.test"], "https://a.test", Method::OPTIONS).await;
        assert_eq!(headers["access-control-allow-origin"], "https://a.test");
        assert_eq!(calls, 0);
        assert_eq!(headers["access-control-allow-headers"], "x-api-key");
        let (headers, calls) = asked(&["*"], "https://b.test", Method::POST).await;
        assert_eq!(headers["access-control-allow-origin"], "https://b.test");
        assert_eq!(calls, 1);
    }

    #[tokio::test]
    async fn any_other_page_is_told_nothing() {
        for origins in [&[][..], &["https://a.test"]] {
            let (headers, calls) = asked(origins, "https://b.test", Method::OPTIONS).await;
            assert_eq!((headers.contains_key("access-control-allow-origin"), calls), (false, 1));
        }
    }
}
