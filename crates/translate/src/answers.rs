//! What the codecs of answers share.

use std::borrow::Cow;

use tollgate_core::{Class, Protocol, Quality, Usage};
use tollgate_wire::{
    Fault, ModelCard,
    usage::{Profile, Reader},
};

use crate::{
    json::Node,
    model::{Answer, Candidate, Citation, CitationKind, Finish, Part, Text},
};

/// An answer that is not what its protocol says.
pub(crate) fn unreadable(_body: &[u8]) -> Fault {
    let mut fault = Fault::new(Class::ServerError, "the upstream's answer cannot be read");
    fault.code = Some("upstream_bad_answer".to_owned());
    fault
}

/// What an answer used, as the hosts of its protocol usually tell it.
pub(crate) fn usage(protocol: Protocol, body: &[u8]) -> Option<Box<Usage>> {
    told(Profile::of(protocol, ""), body)
}

/// What an answer used, as a host with this profile tells it; `None`: it told nothing.
pub(crate) fn told(profile: Profile, body: &[u8]) -> Option<Box<Usage>> {
    let mut reader = Reader::new(profile);
    reader.answer(body);
    Some(reader.so_far(true)).filter(|usage| usage.quality != Quality::Absent)
}

/// A tool call nobody can read, and nothing else to show.
pub(crate) fn malformed_call(candidate: &Candidate) -> Fault {
    let detail = candidate.detail.as_ref().and_then(|detail| detail.message.as_deref());
    let message = detail.unwrap_or("the model produced a tool call that cannot be read");
    let mut fault = Fault::new(Class::ServerError, message);
    fault.code = Some("malformed_tool_call".to_owned());
    fault
}

/// Whether a whole answer consists of malformed calls alone.
pub(crate) fn malformed(answer: &Answer) -> Option<Fault> {
    let first = answer.candidates.first()?;
    let all = answer.candidates.iter();
    let nothing = |c: &Candidate| c.finish == Finish::MalformedToolCall && c.is_empty();
    all.clone().all(nothing).then(|| malformed_call(first))
}

/// The upstream's id, or the call's.
pub(crate) fn id<'a>(answer: &'a Answer, call: &'a str) -> &'a str {
    if answer.id.is_empty() { call } else { &answer.id }
}

/// The id in a client's own form: passed where it has the prefix, else put behind it.
pub(crate) fn prefixed<'a>(answer: &'a Answer, call: &'a str, prefix: &str) -> Cow<'a, str> {
    let id = id(answer, call);
    if id.starts_with(prefix) { id.into() } else { format!("{prefix}{id}").into() }
}

/// A citation of the web, in characters of the text its part belongs to.
pub(crate) struct Cited<'a> {
    pub(crate) url: &'a str,
    pub(crate) title: &'a str,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The web citations of a text that stands `before` characters into the whole; whether others
/// were left out.
pub(crate) fn web_citations(text: &Text, before: usize) -> (Vec<Cited<'_>>, bool) {
    let length = text.text.chars().count();
    let cited: Vec<_> = text.citations.iter().map(|c| cited(c, length, before)).collect();
    let lost = cited.iter().any(Option::is_none);
    (cited.into_iter().flatten().collect(), lost)
}

/// A web citation of a text of so many characters, which stands `before` characters into the
/// whole; `None` for any other.
pub(crate) fn cited(citation: &Citation, length: usize, before: usize) -> Option<Cited<'_>> {
    let url = citation.url.as_deref().filter(|_| citation.kind == CitationKind::Url)?;
    let span = citation.span.clone().unwrap_or(0..length);
    let (start, end) = (before + span.start.min(length), before + span.end.min(length));
    let title = citation.title.as_deref().unwrap_or_default();
    Some(Cited { url, title, start, end })
}

/// The finish of a regular ending: calls of the client's tools make it theirs.
pub(crate) fn stop_or_calls(parts: &[Part]) -> Finish {
    stop_or(parts.iter().any(|part| matches!(part, Part::ToolCall(_))))
}

/// The finish of a regular ending, after calls of the client's tools or without.
pub(crate) fn stop_or(calls: bool) -> Finish {
    if calls { Finish::ToolCalls } else { Finish::Stop }
}

/// Reads OpenAI's list of models.
pub(crate) fn openai_models(body: &[u8]) -> Result<Vec<ModelCard>, Fault> {
    let data = Node::parse(body).ok().and_then(|node| node.get("data"));
    let data = data.filter(|data| data.is_array()).ok_or_else(|| unreadable(body))?;
    let card = |node: Node<'_>| {
        let id = node.get("id")?.string()?;
        let owner = node.get("owned_by").and_then(Node::string).unwrap_or_default();
        let created = node.get("created").and_then(Node::u64).unwrap_or(0);
        Some(ModelCard { id, owner, created, ..ModelCard::default() })
    };
    Ok(data.elements().filter_map(card).collect())
}
