//! A request on its way: read, completed with what had to be fetched, written for the upstream.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header, request::Parts};
use tollgate_core::{Attempt, Body, Call, CallFacts, Class, Frames, Protocol, Refusal};
use tollgate_wire::{dialect, patch, peek};

use super::{
    fetch::{self, Found},
    lane::Lane,
};
use crate::{
    Exchange, Incoming, Kind, Onto, Outgoing, Wanted, Warnings, inline, model::Conversation,
    unfetched, wanted,
};

/// What happens next with a request.
#[allow(clippy::large_enum_variant, reason = "taken apart at once, never stored")]
pub(super) enum Next {
    /// It is written.
    Send(Ready),
    /// Media are wanted first.
    Fetch(Vec<Wanted>, Box<Waiting>),
}

/// A request as the upstream is to see it.
pub(super) struct Ready {
    pub(super) request: Request<Body>,
    pub(super) sent: Box<Sent>,
}

/// A call that is not made, and why.
pub(super) type Refused = Box<(Lane, Refusal)>;

/// What the answer to a request that was sent is translated with.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) lane: Lane,
    /// The call as the upstream sees it.
    pub(super) inner: Call,
    pub(super) exchange: Exchange,
    pub(super) warnings: Warnings,
    pub(super) attempt: Option<Attempt>,
}

/// A request that waits for media.
#[derive(Debug)]
pub(super) struct Waiting {
    lane: Lane,
    parts: Parts,
    text: Bytes,
    conversation: Conversation,
}

/// Reads a request, and writes it unless something must be fetched and `fetches`.
///
/// Errors: what the caller did wrong, or asks for and cannot be carried.
pub(super) fn begin(lane: Lane, request: Request<Body>, fetches: bool) -> Result<Next, Refused> {
    let (parts, body) = request.into_parts();
    let frames = body.frames().cloned().unwrap_or_default();
    let text = without_members(&lane, frames).joined();
    match read(&lane, &parts, &text, fetches) {
        Ok(Read::Written(outgoing, exchange)) => {
            let warnings = exchange.warnings().clone();
            Ok(Next::Send(send(lane, parts, outgoing, exchange, warnings)))
        }
        Ok(Read::Wants(wanted, conversation)) => {
            Ok(Next::Fetch(wanted, Box::new(Waiting { lane, parts, text, conversation })))
        }
        Err(refusal) => Err(Box::new((lane, refusal))),
    }
}

/// What a whole answer to a call for a stream, which was sent as it came, is made a stream with;
/// `None` where the request cannot be read.
pub(super) fn unstreamed(
    lane: Lane,
    uri: Uri,
    frames: &Frames,
    attempt: Option<Attempt>,
) -> Option<Sent> {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.uri = uri;
    let Read::Written(_, exchange) = read(&lane, &parts, &frames.joined(), false).ok()? else {
        return None;
    };
    let (inner, warnings) = (lane.call.clone(), Warnings::default());
    Some(Sent { lane, inner, exchange, warnings, attempt })
}

#[allow(clippy::large_enum_variant, reason = "taken apart at once, never stored")]
enum Read {
    Written(Outgoing, Exchange),
    Wants(Vec<Wanted>, Conversation),
}

fn read(lane: &Lane, parts: &Parts, text: &[u8], fetches: bool) -> Result<Read, Refusal> {
    let kind = lane.kind().ok_or_else(|| not_translated(lane))?;
    let translator = lane.translator(kind);
    let (incoming, onto) = (incoming(lane, parts, text), onto(lane));
    if kind != Kind::Generate {
        return translator.request(&incoming, &onto).map(|(o, e)| Read::Written(o, e));
    }
    let conversation = translator.read(&incoming)?;
    let wanted = match fetches {
        true => wanted(&conversation, lane.to, &lane.caps),
        false => Vec::new(),
    };
    if wanted.len() > fetch::MOST {
        let message = format!("the request names more than {} media to fetch", fetch::MOST);
        return Err(Refusal::new(Class::InvalidRequest, message).code("too_many_media"));
    }
    if !wanted.is_empty() {
        return Ok(Read::Wants(wanted, conversation));
    }
    translator.write(&conversation, &incoming, &onto).map(|(o, e)| Read::Written(o, e))
}

fn not_translated(lane: &Lane) -> Refusal {
    let (operation, from, to) = (lane.call.operation.as_str(), lane.call.protocol, lane.to);
    let message = format!("`{operation}` is not translated from {from} to {to}");
    Refusal::new(Class::InvalidRequest, message).code("not_translated")
}

fn incoming<'a>(lane: &'a Lane, parts: &Parts, body: &'a [u8]) -> Incoming<'a> {
    let in_path = lane.call.protocol == Protocol::Gemini;
    Incoming {
        model: lane.call.model.as_deref().filter(|_| in_path),
        stream: in_path && lane.call.stream,
        batch: in_path && parts.uri.path().ends_with(":batchEmbedContents"),
        body,
    }
}

fn onto(lane: &Lane) -> Onto<'_> {
    Onto::new(lane.model(), &lane.caps)
}

impl Waiting {
    /// Puts in what was found and writes the request.
    ///
    /// Errors: as [`begin`], and what could not be fetched unless it may be left out.
    pub(super) fn resume(mut self, found: Found) -> Result<Ready, Refused> {
        match self.write(found) {
            Ok((outgoing, exchange, warnings)) => {
                Ok(send(self.lane, self.parts, outgoing, exchange, warnings))
            }
            Err(refusal) => Err(Box::new((self.lane, refusal))),
        }
    }

    fn write(&mut self, found: Found) -> Result<(Outgoing, Exchange, Warnings), Refusal> {
        let mut fetched = std::collections::BTreeMap::new();
        for (url, result) in found {
            match result {
                Ok(media) => drop(fetched.insert(url, media)),
                Err(_) if self.lane.policy.drop_media => {}
                Err(why) => return Err(unfetched(&self.conversation, &url, &why.to_string())),
            }
        }
        let mut warnings = inline(&mut self.conversation, &fetched);
        let incoming = incoming(&self.lane, &self.parts, &self.text);
        let translator = self.lane.translator(Kind::Generate);
        let (outgoing, exchange) =
            translator.write(&self.conversation, &incoming, &onto(&self.lane))?;
        if let Some(refusal) = warnings.refusal().filter(|_| self.lane.policy.strict) {
            return Err(refusal);
        }
        warnings.append(exchange.warnings().clone());
        Ok((outgoing, exchange, warnings))
    }
}

fn send(
    lane: Lane,
    mut parts: Parts,
    outgoing: Outgoing,
    exchange: Exchange,
    warnings: Warnings,
) -> Ready {
    let path = match outgoing.query {
        "" => outgoing.path,
        query => format!("{}?{query}", outgoing.path),
    };
    let frames = with_members(&lane, Frames::from(Bytes::from(outgoing.body)));
    let inner = seen_by_upstream(&lane, &frames);
    parts.uri = at(parts.uri, &path);
    rewrite(&mut parts.headers, lane.call.protocol, inner.stream, frames.len());
    for (name, value) in outgoing.headers {
        parts.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    parts.extensions.insert(inner.clone());
    let attempt = parts.extensions.get::<Attempt>().cloned();
    let request = Request::from_parts(parts, Body::from(frames));
    Ready { request, sent: Box::new(Sent { lane, inner, exchange, warnings, attempt }) }
}

/// The body without what whoever aimed the request wrote into it for this target alone.
fn without_members(lane: &Lane, frames: Frames) -> Frames {
    let members = lane.target.iter().flat_map(|target| target.members.iter());
    members.fold(frames, |frames, (key, _)| patch::remove(&frames, key).unwrap_or(frames))
}

/// The body with what this target alone is to be told.
fn with_members(lane: &Lane, frames: Frames) -> Frames {
    let members = lane.target.iter().flat_map(|target| target.members.iter());
    members.fold(frames, |frames, (key, value)| {
        patch::set(&frames, key, value.clone()).unwrap_or(frames)
    })
}

/// The call as everybody further in sees it: in the upstream's protocol, still named as the client
/// named its model, for that is how it is found again.
fn seen_by_upstream(lane: &Lane, frames: &Frames) -> Call {
    let call = &lane.call;
    let seen = peek::peek(dialect(lane.to), frames).unwrap_or_default();
    CallFacts {
        protocol: lane.to,
        stream: call.stream,
        json_array: false,
        output_limit: seen.output_limit,
        candidates: seen.candidates.unwrap_or(1),
        stream_usage: seen.stream_usage,
        asks_cost: false,
        service_tier: seen.service_tier.map(Into::into),
        needs: seen.needs,
        ..CallFacts::clone(call)
    }
    .into()
}

/// `uri` with another path and query.
fn at(uri: Uri, path: &str) -> Uri {
    let mut parts = uri.into_parts();
    parts.path_and_query = path.parse().ok();
    Uri::from_parts(parts).unwrap_or_default()
}

/// What names a protocol's own version, features or tools.
const OWN: [(Protocol, &str); 4] = [
    (Protocol::OpenAiChat, "openai-"),
    (Protocol::OpenAiResponses, "openai-"),
    (Protocol::AnthropicMessages, "anthropic-"),
    (Protocol::Gemini, "x-goog-"),
];

/// Leaves the headers that say the same to another protocol's upstream, and says what the body is.
fn rewrite(headers: &mut HeaderMap, from: Protocol, stream: bool, length: usize) {
    let own = |name: &HeaderName| {
        let key = name.as_str() == "x-goog-api-key";
        !key && OWN.iter().any(|(p, prefix)| *p == from && name.as_str().starts_with(prefix))
    };
    let names: Vec<_> = headers.keys().filter(|name| own(name)).cloned().collect();
    names.iter().for_each(|name| drop(headers.remove(name)));
    if headers.contains_key(header::CONTENT_LENGTH) {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    let json = HeaderValue::from_static("application/json");
    let events = HeaderValue::from_static("text/event-stream");
    headers.insert(header::ACCEPT, if stream { events } else { json.clone() });
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(header::CONTENT_TYPE, json);
}
