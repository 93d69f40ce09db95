use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use tollgate_core::Reply;

use crate::{ShedBody, load::Permit};

pin_project! {
    /// Response future of [`Shed`](crate::Shed).
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
        Calling { #[pin] future: F, permit: Option<Permit> },
        Refused { response: Option<Response<Bytes>> },
    }
}

impl<F> ResponseFuture<F> {
    pub(crate) fn calling(future: F, permit: Permit) -> Self {
        Self { state: State::Calling { future, permit: Some(permit) } }
    }

    pub(crate) fn refused(response: Response<Bytes>) -> Self {
        Self { state: State::Refused { response: Some(response) } }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes>,
{
    type Output = Result<Response<Reply<ShedBody<B>>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Calling { future, permit } => {
                let result = ready!(future.poll(cx));
                // Taken also on an error: a future that has ended holds nothing.
                let permit = permit.take();
                Poll::Ready(
                    result.map(|response| {
                        response.map(|body| Reply::inner(ShedBody::new(body, permit)))
                    }),
                )
            }
            StateProj::Refused { response } => {
                let response = response.take().expect("not polled after it was ready");
                Poll::Ready(Ok(response.map(Reply::own)))
            }
        }
    }
}
