//! An answer on its way back.

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Response, StatusCode, header, response::Parts};
use tollgate_core::{Cause, Class, Failure, Refusal};
use tollgate_sse::{Failed, Framing};
use tollgate_wire::{Fault, dialect};

use super::request::Sent;
use crate::{Warnings, stream::StreamTranslator};

/// What of the request and the answer was not carried as it stood.
const WARNINGS: HeaderName = HeaderName::from_static("x-tollgate-warnings");

impl Sent {
    /// The answer to a request that was translated, whole and with status 2xx.
    pub(super) fn whole(&self, mut head: Parts, text: &[u8]) -> Response<Bytes> {
        if let Some(machine) = self.stream() {
            return self.streamed(machine, head, text);
        }
        match self.exchange.answer(text) {
            Ok((shown, warnings)) => {
                self.head(&mut head, &warnings, "application/json");
                head.headers.insert(header::CONTENT_LENGTH, shown.len().into());
                Response::from_parts(head, shown.into())
            }
            Err(fault) => self.unreadable(head, fault),
        }
    }

    /// What makes the client's stream of the upstream's; `None` where the client asked for none.
    pub(super) fn stream(&self) -> Option<StreamTranslator> {
        let framing = match self.lane.call.json_array {
            true => Framing::JsonArray,
            false => Framing::Sse,
        };
        let stream = self.exchange.stream().filter(|_| self.lane.call.stream)?;
        Some(stream.framing(framing).hiding_ours(self.lane.is_ours()))
    }

    /// A stream that answers a call for none.
    pub(super) fn unasked(&self, head: Parts) -> Response<Bytes> {
        let why = "the upstream answered with a stream, which it was not asked for";
        let mut fault = Fault::new(Class::ServerError, why);
        fault.code = Some("upstream_bad_answer".to_owned());
        self.unreadable(head, fault)
    }

    /// A whole answer to a call for a stream: the stream it would have been.
    fn streamed(&self, mut machine: StreamTranslator, head: Parts, text: &[u8]) -> Response<Bytes> {
        let mut bytes = BytesMut::new();
        machine.answer(text, &mut bytes);
        match machine.fault().cloned() {
            Some(fault) => self.unreadable(head, fault),
            None => Response::from_parts(self.stream_head(head), bytes.freeze()),
        }
    }

    /// An answer that is no answer in the upstream's protocol, or cannot be shown in the client's.
    pub(super) fn unreadable(&self, head: Parts, fault: Fault) -> Response<Bytes> {
        let mut failure = Failure::new(fault.class, fault.message.clone()).cause(Cause::Translator);
        failure.code = known_code(&fault);
        self.fault(head, fault, failure)
    }

    /// An answer that failed before its first content.
    pub(super) fn failed(&self, failed: Failed) -> Response<Bytes> {
        let Failed { fault, failure, mut head, .. } = failed;
        if let Some(refusal) = head.extensions.remove::<Refusal>() {
            let mut response = self.shown(head, self.lane.caller().refuse(refusal.clone()));
            response.extensions_mut().insert(refusal);
            return response;
        }
        let failure = match blames_us(&fault) {
            true => failure.cause(Cause::Translator),
            false => failure,
        };
        self.fault(head, fault, failure)
    }

    fn fault(&self, head: Parts, fault: Fault, failure: Failure) -> Response<Bytes> {
        let fault = if self.lane.is_ours() { fault.hiding_ours() } else { fault };
        let mut response = self.shown(head, self.lane.caller().answer(&fault));
        // Whoever writes it anew knows the upstream's own status and words.
        response.extensions_mut().insert(fault);
        response.extensions_mut().insert(failure);
        response
    }

    /// An error we wrote, with what else the upstream's answer said.
    fn shown(&self, mut head: Parts, own: Response<Bytes>) -> Response<Bytes> {
        let (own, body) = own.into_parts();
        self.head(&mut head, &Warnings::default(), "application/json");
        head.status = own.status;
        let id = HeaderName::from_static(dialect(self.lane.call.protocol).request_id_header());
        for (name, value) in &own.headers {
            // The upstream's own id says more than ours, which the edge shows anyway.
            if *name != id || !head.headers.contains_key(&id) {
                head.headers.insert(name, value.clone());
            }
        }
        head.headers.insert(header::CONTENT_LENGTH, body.len().into());
        Response::from_parts(head, body)
    }

    /// Leaves the headers that hold for what the client is given, and adds the warnings.
    pub(super) fn head(&self, head: &mut Parts, more: &Warnings, kind: &'static str) {
        let headers = &mut head.headers;
        for name in [header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::TRANSFER_ENCODING] {
            headers.remove(name);
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        let [theirs, shown] = [self.lane.to, self.lane.call.protocol]
            .map(|protocol| HeaderName::from_static(dialect(protocol).request_id_header()));
        if let Some(id) = headers.remove(theirs) {
            headers.insert(shown, id);
        }
        let mut warnings = self.warnings.clone();
        warnings.append(more.clone());
        let told = warnings.header().and_then(|text| HeaderValue::from_bytes(text.as_bytes()).ok());
        if let Some(told) = told {
            headers.insert(WARNINGS, told);
        }
    }

    /// An answer that was not read to its end: encoded, without a body, or larger than `limit`.
    pub(super) fn not_whole(&self, head: Parts, limit: usize) -> Response<Bytes> {
        let why = if head.headers.contains_key(header::CONTENT_ENCODING) {
            "the upstream's answer is encoded, which it was asked not to be".to_owned()
        } else if matches!(head.status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT) {
            "the upstream answered without a body".to_owned()
        } else {
            format!("the upstream's answer is larger than {limit} bytes")
        };
        let mut fault = Fault::new(Class::ServerError, why);
        fault.code = Some("upstream_bad_answer".to_owned());
        self.unreadable(head, fault)
    }

    /// The head of a stream that goes on.
    pub(super) fn stream_head(&self, mut head: Parts) -> Parts {
        let kind = match self.lane.call.json_array {
            true => "application/json",
            false => "text/event-stream",
        };
        self.head(&mut head, &Warnings::default(), kind);
        head.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        head.status = StatusCode::OK;
        head
    }
}

fn known_code(fault: &Fault) -> Option<&'static str> {
    const KNOWN: [&str; 2] = ["upstream_bad_answer", "malformed_tool_call"];
    KNOWN.into_iter().find(|code| fault.code.as_deref() == Some(*code))
}

/// Whether an upstream refuses what the client may have said rightly in its own protocol: a field or
/// value that our translation put there (`protocols/errors.md` §1).
fn blames_us(fault: &Fault) -> bool {
    const CODES: [&str; 3] = ["unknown_parameter", "unsupported_parameter", "unsupported_value"];
    const WORDS: [&str; 6] = [
        "unknown name",
        "extra inputs are not permitted",
        "unrecognized request argument",
        "unknown parameter",
        "unsupported parameter",
        "unsupported value",
    ];
    let message = fault.message.to_ascii_lowercase();
    fault.class == Class::InvalidRequest
        && (fault.code.as_deref().is_some_and(|code| CODES.contains(&code))
            || WORDS.iter().any(|words| message.contains(words)))
}
