//! Amazon's event streams of Anthropic's protocol, given back as what Anthropic sends itself.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};
use http_body::{Body, Frame};
use pin_project_lite::pin_project;
use tollgate_core::{BoxError, Class, StreamError};
use tollgate_wire::json;

/// Lengths of a whole message, of its headers, and a checksum.
const PRELUDE: usize = 12;
const CHECKSUM: usize = 4;
/// As long as an event may be elsewhere.
const LONGEST: usize = 16 << 20;
/// A header's value that is a string.
const STRING: u8 = 7;

/// Whether an answer is one of Amazon's event streams.
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/vnd.amazon.eventstream"))
}

/// Says that an answer is what [`Events`] makes of it.
pub(crate) fn as_server_sent(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.remove(header::CONTENT_LENGTH);
}

/// Takes messages apart, fed in pieces.
///
/// The checksums are not compared: TLS has seen to that, and lengths are checked.
#[derive(Debug, Default)]
struct Decoder(BytesMut);

impl Decoder {
    /// Returns the next event as server-sent, or `None` for want of bytes.
    fn next(&mut self) -> Result<Option<Bytes>, StreamError> {
        let Some(prelude) = self.0.get(..PRELUDE) else { return Ok(None) };
        let (total, headers) = (length(&prelude[..4]), length(&prelude[4..8]));
        if total > LONGEST || headers.saturating_add(PRELUDE + CHECKSUM) > total {
            return Err(unreadable());
        }
        if self.0.len() < total {
            return Ok(None);
        }
        let mut message = self.0.split_to(total).freeze();
        message.advance(PRELUDE);
        message.truncate(message.len() - CHECKSUM);
        let headers = message.split_to(headers);
        event(&headers, &message).map(Some)
    }
}

fn length(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
}

fn event(headers: &[u8], payload: &[u8]) -> Result<Bytes, StreamError> {
    if let Some(exception) = value(headers, ":exception-type").or(value(headers, ":error-code")) {
        return Err(exceptional(exception));
    }
    let encoded = json::member(payload, "bytes").and_then(json::string).ok_or_else(unreadable)?;
    let data = STANDARD.decode(encoded.as_bytes()).map_err(|_| unreadable())?;
    let kind = json::member(&data, "type").and_then(json::string).ok_or_else(unreadable)?;
    if kind.contains(['\r', '\n']) || data.contains(&b'\n') {
        return Err(unreadable());
    }
    let parts = [b"event: ", kind.as_bytes(), b"\ndata: ", &data, b"\n\n"];
    Ok(parts.concat().into())
}

/// The value of a header, all of which are strings here.
fn value<'a>(mut headers: &'a [u8], wanted: &str) -> Option<&'a [u8]> {
    while let Some((len, rest)) = headers.split_first() {
        let (name, rest) = rest.split_at_checked(usize::from(*len))?;
        let (kind, rest) = rest.split_first()?;
        let (len, rest) = rest.split_at_checked(2).filter(|_| *kind == STRING)?;
        let (value, rest) = rest.split_at_checked(length(len))?;
        if name == wanted.as_bytes() {
            return Some(value);
        }
        headers = rest;
    }
    None
}

/// The error that an exception within a stream is.
fn exceptional(name: &[u8]) -> StreamError {
    let class = match name {
        b"throttlingException" => Class::RateLimit,
        b"serviceUnavailableException" => Class::Overloaded,
        b"modelTimeoutException" => Class::Timeout,
        b"validationException" => Class::InvalidRequest,
        _ => Class::ServerError,
    };
    StreamError::new(class, "the upstream broke off its stream with an error")
}

fn unreadable() -> StreamError {
    StreamError::new(Class::ServerError, "the upstream's event stream cannot be read")
        .code("upstream_protocol")
}

pin_project! {
    /// A body of Amazon's messages as server-sent events. Ends after the first error.
    pub(crate) struct Events<B> {
        #[pin]
        inner: B,
        decoder: Decoder,
        ended: bool,
    }
}

impl<B> Events<B> {
    pub(crate) fn new(inner: B) -> Self {
        Self { inner, decoder: Decoder::default(), ended: false }
    }
}

impl<B> Events<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    fn poll_event(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, StreamError>>> {
        let mut this = self.project();
        loop {
            if let Some(event) = this.decoder.next().transpose() {
                return Poll::Ready(Some(event));
            }
            match ready!(this.inner.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        this.decoder.0.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => {
                    return Poll::Ready(Some(Err(StreamError::truncated().source(error))));
                }
                None if this.decoder.0.is_empty() => return Poll::Ready(None),
                None => return Poll::Ready(Some(Err(StreamError::truncated()))),
            }
        }
    }
}

impl<B> Body for Events<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let event = ready!(self.as_mut().poll_event(cx));
        *self.project().ended = !matches!(event, Some(Ok(_)));
        Poll::Ready(event.map(|event| event.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};

    use super::*;

    fn message(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
        let mut head = Vec::new();
        for (name, value) in headers {
            head.push(name.len() as u8);
            head.extend_from_slice(name.as_bytes());
            head.push(STRING);
            head.extend_from_slice(&(value.len() as u16).to_be_bytes());
            head.extend_from_slice(value.as_bytes());
        }
        let total = (PRELUDE + head.len() + payload.len() + CHECKSUM) as u32;
        let prelude = [total.to_be_bytes(), (head.len() as u32).to_be_bytes(), [0; 4]].concat();
        [&prelude, &head, payload.as_bytes(), &[0; CHECKSUM]].concat()
    }

    fn chunk(event: &str) -> Vec<u8> {
        let payload = format!("{{\"bytes\":\"{}\",\"p\":\"abc\"}}", STANDARD.encode(event));
        message(&[(":event-type", "chunk"), (":message-type", "event")], &payload)
    }

    #[test]
    fn messages_become_events_wherever_they_are_cut() {
        let stream = [chunk(r#"{"type":"ping"}"#), chunk(r#"{"type":"message_stop"}"#)].concat();
        let expected = "event: ping\ndata: {\"type\":\"ping\"}\n\n\
                        event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
        for cut in 0..=stream.len() {
            let (mut decoder, mut seen) = (Decoder::default(), Vec::new());
            for part in [&stream[..cut], &stream[cut..]] {
                decoder.0.extend_from_slice(part);
                while let Some(event) = decoder.next().unwrap() {
                    seen.extend_from_slice(&event);
                }
            }
            assert_eq!(String::from_utf8(seen).unwrap(), expected, "cut at {cut}");
        }
    }

    #[tokio::test]
    async fn an_exception_and_a_stream_that_breaks_off_are_errors() {
        let throttled = message(
            &[(":message-type", "exception"), (":exception-type", "throttlingException")],
            "{}",
        );
        let error = Events::new(Full::from(throttled)).collect().await.unwrap_err();
        assert_eq!(error.class(), Class::RateLimit);

        let short = Bytes::from(chunk("{\"type\":\"ping\"}")).slice(..40);
        let error = Events::new(Full::from(short)).collect().await.unwrap_err();
        assert_eq!(error.stable_code(), Some("upstream_truncated"));
    }

    #[test]
    fn what_is_no_event_stream_is_an_error() {
        for bytes in [&b"HTTP/1.1 200 OK\r\n"[..], &[0; 16], &[0, 0, 0, 16, 0, 0, 0, 9, 0, 0, 0, 0]]
        {
            assert!(Decoder(bytes.into()).next().is_err(), "{bytes:?}");
        }
    }
}
