use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use pin_project_lite::pin_project;

use super::{ResponseBody, mask::Masking};

pin_project! {
    /// Response future of [`SetCredential`](super::SetCredential).
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
        Calling { #[pin] future: F, masking: Masking },
        Failed { response: Option<Response<Bytes>> },
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn calling(future: F, masking: Masking) -> Self {
        Self { state: State::Calling { future, masking } }
    }

    pub(super) fn failed(response: Response<Bytes>) -> Self {
        Self { state: State::Failed { response: Some(response) } }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: http_body::Body<Data = Bytes>,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Calling { future, masking } => {
                let mut response = ready!(future.poll(cx))?;
                let mask = masking.of(&mut response);
                if let Some(mask) = &mask {
                    mask.headers(response.headers_mut());
                }
                Poll::Ready(Ok(response.map(|body| ResponseBody::inner(body, mask))))
            }
            StateProj::Failed { response } => {
                let response = response.take().expect("a future is not polled after its end");
                Poll::Ready(Ok(response.map(ResponseBody::own)))
            }
        }
    }
}
