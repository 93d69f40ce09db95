use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use memchr::memmem;
use pin_project_lite::pin_project;
use tollgate_core::{Reply, Target};
use tollgate_wire::json;

use crate::Resolve;

/// Within so many bytes an answer says its name, or never.
const HEAD: usize = 16 << 10;

pin_project! {
    /// The response body of [`Route`](crate::Route): the inner service's, untouched. Of an answer
    /// that an upstream keeps the name is read as it passes.
    pub struct ResponseBody<B, R> {
        #[pin]
        inner: Reply<B>,
        naming: Option<Naming<R>>,
    }
}

/// Reads the name of an answer in the Responses protocol.
pub(crate) struct Naming<R> {
    resolve: R,
    target: Arc<Target>,
    head: BytesMut,
}

impl<R: Resolve> Naming<R> {
    pub(crate) fn new(resolve: R, target: Arc<Target>) -> Self {
        Self { resolve, target, head: BytesMut::new() }
    }

    /// Takes what passes. Returns whether there is nothing more to be read.
    fn take(&mut self, data: &[u8]) -> bool {
        self.head.extend_from_slice(&data[..data.len().min(HEAD - self.head.len())]);
        let Some(name) = name(&self.head) else { return self.head.len() >= HEAD };
        self.resolve.keeps(&name, &self.target);
        true
    }
}

/// The value of the first member `id`: the response's own, in a stream's first event as in JSON.
fn name(head: &[u8]) -> Option<String> {
    let at = memmem::find(head, b"\"id\"")?;
    let value = head[at + 4..].trim_ascii_start().strip_prefix(b":")?;
    json::string(json::leading(value.trim_ascii_start())?).map(Into::into)
}

impl<B: fmt::Debug, R> fmt::Debug for ResponseBody<B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<B, R> ResponseBody<B, R> {
    pub(crate) fn new(inner: Reply<B>, naming: Option<Naming<R>>) -> Self {
        Self { inner, naming }
    }
}

impl<B, R> Body for ResponseBody<B, R>
where
    B: Body<Data = Bytes>,
    R: Resolve,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let polled = this.inner.poll_frame(cx);
        if let (Poll::Ready(Some(Ok(frame))), Some(naming)) = (&polled, this.naming.as_mut())
            && frame.data_ref().is_some_and(|data| naming.take(data))
        {
            *this.naming = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_its_name_as_json_and_as_a_stream() {
        for (head, expected) in [
            (r#"{"id": "resp_1","object":"response"}"#, Some("resp_1")),
            (
                "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_2\"",
                Some("resp_2"),
            ),
            (r#"{"id":"resp_"#, None),
            (r#"{"id":"#, None),
            (r#"{"object":"#, None),
            (r#"{"id":7}"#, None),
        ] {
            assert_eq!(name(head.as_bytes()).as_deref(), expected, "{head}");
        }
    }
}
