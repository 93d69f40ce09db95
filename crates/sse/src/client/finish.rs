use bytes::Bytes;
use http::{HeaderValue, Response, header};
use tokio::time::Instant;
use tollgate_core::{Call, Outcome};
use tollgate_wire::{Caller, Fault, dialect};

use super::{
    SseBody,
    layer::Settings,
    live::{KeepAlive, Live, Record},
};
use crate::{Failed, Gated, GatedBody, encode_event};

/// Who an answer is for, and how it is to be given.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) call: Call,
    /// The call's body was read, not only its head.
    pub(super) is_read: bool,
    pub(super) since: Instant,
    pub(super) settings: Settings,
}

impl Client {
    /// Makes the client's answer of what the gate says.
    pub(super) fn finish<F, B>(&self, gated: Gated<B>) -> Response<SseBody<F, B>> {
        match gated {
            Gated::Committed(response) => self.committed(response),
            Gated::Failed(failed) => self.failed(*failed).map(SseBody::own),
        }
    }

    fn committed<F, B>(&self, mut response: Response<GatedBody<B>>) -> Response<SseBody<F, B>> {
        let outcome = response.extensions_mut().get_or_insert_default::<Outcome>().clone();
        if response.body().is_stream() {
            set_stream_headers(&mut response);
            outcome.content_after(self.since.elapsed());
        } else if response.body().is_whole() {
            outcome.content_after(self.since.elapsed());
            outcome.ended(None);
        }
        response.map(|body| self.body(body, outcome))
    }

    fn body<F, B>(&self, body: GatedBody<B>, outcome: Outcome) -> SseBody<F, B> {
        match body.into_stream() {
            Err(body) => SseBody::gated(body),
            Ok(parts) => {
                let record = Record::new(outcome);
                SseBody::live(Live::new(parts, self.keep_alive(), record, self.call.id))
            }
        }
    }

    fn failed(&self, failed: Failed) -> Response<Bytes> {
        let class = match failed.refusal() {
            Some(_) => failed.fault.class,
            None => failed.failure.class,
        };
        let caller = Caller { protocol: self.call.protocol, id: self.call.id };
        let mut response = failed.into_response(caller);
        response.extensions_mut().get_or_insert_default::<Outcome>().ended(Some(class));
        response
    }

    /// The keep-alive of a stream that was not committed yet, where one is wanted and possible.
    pub(super) fn early_keep_alive(&self) -> Option<KeepAlive> {
        let wanted = self.settings.before_commit && self.call.stream && !self.call.json_array;
        self.keep_alive().filter(|_| wanted)
    }

    /// Renders a failure as the one event of a stream that had none.
    pub(super) fn only_event(&self, fault: Fault) -> Bytes {
        let automaton = dialect(self.call.protocol).automaton(&self.call);
        encode_event(&automaton.error_event(&fault.hiding_ours(), &self.call.id.to_string()))
    }

    pub(super) fn keep_alive(&self) -> Option<KeepAlive> {
        let words = dialect(self.call.protocol).keep_alive()?;
        Some(KeepAlive::new(self.settings.keep_alive?, words))
    }
}

/// Sets what keeps intermediaries from holding a stream back.
pub(super) fn set_stream_headers<B>(response: &mut Response<B>) {
    let headers = response.headers_mut();
    headers.entry(header::CONTENT_TYPE).or_insert(EVENT_STREAM);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    headers.remove(header::CONTENT_LENGTH);
}

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
