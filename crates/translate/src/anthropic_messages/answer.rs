//! A whole answer, both ways.

use tollgate_core::Protocol;
use tollgate_wire::{Fault, dialect};

use super::{NAMES, blocks, usage};
use crate::{
    answers, carrier,
    codec::Asked,
    envelope, ids,
    json::{Bad, Json, Node, Object},
    model::{
        Answer, Args, CallKind, Candidate, Extra, Finish, FinishDetail, Opaque, OpaqueKind, Part,
        Reasoning, Text, ToolCall, Vendor,
    },
    restore,
    warning::{Code, Report},
};

const ME: Protocol = Protocol::AnthropicMessages;

pub(super) fn read(body: &[u8]) -> Result<Answer, Fault> {
    if let Some(fault) = dialect(ME).error_in_answer(tollgate_wire::json::Object::new(body)) {
        return Err(fault);
    }
    read_fields(body).map_err(|_| answers::unreadable(body))
}

fn read_fields(body: &[u8]) -> Result<Answer, Bad> {
    let fields = Node::parse(body)?.fields();
    let mut fields = fields.ok_or(Bad::new("", "must be an object"))?;
    let content = fields.take("content").filter(|node| node.is_array());
    let content = content.ok_or(Bad::new("content", "is required"))?;
    for known in ["type", "role", "usage"] {
        fields.take(known);
    }
    let mut parts = Vec::new();
    for block in content.elements() {
        carrier::push(&mut parts, blocks::read(block)?);
    }
    let native = fields.string("stop_reason")?.unwrap_or_default();
    let sequence = fields.string("stop_sequence")?;
    let detail = detail(fields.take("stop_details"));
    let called = parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
    let finish = finish(&native, sequence, called);
    let candidate = Candidate { native_finish: native, detail, ..Candidate::new(parts, finish) };
    Ok(Answer {
        source: ME,
        id: fields.string("id")?.unwrap_or_default(),
        created: 0,
        model: fields.string("model")?.unwrap_or_default(),
        candidates: vec![candidate],
        usage: answers::usage(ME, body),
        prompt_block: None,
        extra: fields.extra(),
    })
}

pub(super) fn detail(details: Option<Node<'_>>) -> Option<FinishDetail> {
    let details = details?;
    let member = |name: &str| details.get(name)?.string();
    Some(FinishDetail { category: member("category"), message: member("explanation") })
}

pub(super) fn finish(native: &str, sequence: Option<String>, called: bool) -> Finish {
    match native {
        "end_turn" | "" => answers::stop_or(called),
        "max_tokens" => Finish::Length,
        "stop_sequence" => Finish::StopSequence(sequence),
        "tool_use" => Finish::ToolCalls,
        "pause_turn" => Finish::PauseTurn,
        "refusal" => Finish::Refusal,
        "model_context_window_exceeded" => Finish::ContextWindow,
        other => Finish::Other(other.to_owned()),
    }
}

pub(super) fn write(answer: &Answer, asked: &Asked, report: &mut Report) -> Result<Vec<u8>, Fault> {
    let blocked = Candidate::new(Vec::new(), Finish::ContentFilter);
    let candidate = answer.candidates.first().unwrap_or(&blocked);
    if answer.candidates.len() > 1 {
        report.path(Code::DroppedField, "candidates");
    }
    let mut writer = Writer { own: answer.source == ME, asked, report, malformed: false };
    let content = writer.content(&candidate.parts);
    let broken = writer.malformed || candidate.finish == Finish::MalformedToolCall;
    if broken && content.is_empty() {
        return Err(answers::malformed_call(candidate));
    }
    let (reason, sequence) = writer.finish(candidate);
    let body = Object::new()
        .with("id", answers::prefixed(answer, &asked.id, "msg_"))
        .with("type", "message")
        .with("role", "assistant")
        .with("model", &answer.model)
        .with("content", content)
        .with("stop_reason", reason)
        .with("stop_sequence", sequence.map_or(Json::Null, Json::from))
        .with(
            "stop_details",
            stop_details(candidate.detail.as_ref(), reason).map_or(Json::Null, Json::from),
        )
        .with("usage", usage::write(answer.usage.as_deref()));
    let own = answer.source == ME;
    let container = answer.extra.get("container").filter(|_| own).is_none();
    let body = if container { body.with("container", Json::Null) } else { body };
    let body = with_extra(body, &answer.extra, own);
    Ok(Json::from(body).to_bytes())
}

fn with_extra<'a>(mut body: Object<'a>, extra: &'a Extra, own: bool) -> Object<'a> {
    if own {
        for (key, value) in &extra.0 {
            body.put(key.as_ref(), value);
        }
    }
    body
}

pub(super) fn stop_details<'a>(
    detail: Option<&'a FinishDetail>,
    reason: &str,
) -> Option<Object<'a>> {
    let detail = detail.filter(|_| reason == "refusal")?;
    let text = |value: &'a Option<String>| value.as_ref().map_or(Json::Null, Json::from);
    Some(
        Object::of("refusal")
            .with("category", text(&detail.category))
            .with("explanation", text(&detail.message)),
    )
}

struct Writer<'a, 'r> {
    own: bool,
    asked: &'a Asked,
    report: &'r mut Report,
    /// A call could not be shown.
    malformed: bool,
}

impl Writer<'_, '_> {
    fn content<'c>(&mut self, parts: &'c [Part]) -> Vec<Json<'c>> {
        let mut out = Vec::with_capacity(parts.len());
        parts.iter().for_each(|part| self.part(part, &mut out));
        out
    }

    fn part<'c>(&mut self, part: &'c Part, out: &mut Vec<Json<'c>>) {
        match part {
            Part::Text(text) => self.text(text, out),
            Part::Refusal(text) => out.push(Object::of("text").with("text", text).into()),
            Part::Reasoning(reasoning) => out.extend(self.reasoning(reasoning)),
            Part::ToolCall(call) => self.call(call, out),
            Part::ServerToolCall(call) if self.own => out.push((&call.value).into()),
            Part::ServerToolResult(result) if self.own => out.push((&result.value).into()),
            Part::Raw { value, .. } if self.own => out.push(value.into()),
            Part::ServerToolCall(_) | Part::ServerToolResult(_) => {
                self.report.path(Code::ServerToolDropped, "content");
            }
            Part::Media(_) => self.report.path(Code::MediaDropped, "content"),
            Part::Raw { .. } | Part::SearchResult(_) => {
                self.report.path(Code::UnknownField, "content");
            }
        }
    }

    fn text<'c>(&mut self, text: &'c Text, out: &mut Vec<Json<'c>>) {
        if let Some(signature) = &text.signature {
            out.push(carrier(signature));
        }
        if text.text.is_empty() {
            return;
        }
        let mut block = Object::of("text").with("text", &text.text);
        if self.own {
            block = block.some("citations", text.citations.iter().map(|citation| &citation.native));
        } else if !text.citations.is_empty() {
            self.report.path(Code::CitationsDropped, "content");
        }
        out.push(with_extra(block, &text.extra, self.own).into());
    }

    fn reasoning<'c>(&mut self, reasoning: &'c Reasoning) -> Option<Json<'c>> {
        let call = reasoning.opaque.as_ref().is_some_and(|opaque| opaque.kind == OpaqueKind::Call);
        if !self.own && !self.asked.reasoning && !call {
            return None;
        }
        let slot =
            reasoning.opaque.as_ref().map(|opaque| envelope::write(opaque, Vendor::Anthropic));
        let block = match (reasoning.text.is_empty(), slot) {
            (true, Some(data)) => Object::of("redacted_thinking").with("data", data),
            (true, None) => return None,
            (false, slot) => Object::of("thinking")
                .with("thinking", reasoning.joined())
                .with("signature", slot.unwrap_or_default()),
        };
        Some(with_extra(block, &reasoning.extra, self.own).into())
    }

    fn call<'c>(&mut self, call: &'c ToolCall, out: &mut Vec<Json<'c>>) {
        let input = match (&call.args, call.kind) {
            (Args::Json(object), _) => Json::from(object),
            (Args::Text(text), CallKind::Custom) => restore::wrap_free_text(text).into(),
            (Args::Text(_), CallKind::Function) => {
                self.malformed = true;
                self.report.path(Code::InvalidToolArguments, "content");
                return;
            }
        };
        if let Some(signature) = &call.signature {
            out.push(carrier(signature));
        }
        let block = Object::of("tool_use")
            .with("id", ids::narrow(&call.id))
            .with("name", NAMES.fit(call.namespace.as_deref(), &call.name))
            .with("input", input);
        let direct = !self.own || call.extra.get("caller").is_none();
        let caller = direct.then(|| Object::of("direct"));
        out.push(with_extra(block.maybe("caller", caller), &call.extra, self.own).into());
    }

    fn finish<'c>(&mut self, candidate: &'c Candidate) -> (&'c str, Option<&'c str>) {
        if self.own && !candidate.native_finish.is_empty() {
            let sequence = match &candidate.finish {
                Finish::StopSequence(sequence) => sequence.as_deref(),
                _ => None,
            };
            return (&candidate.native_finish, sequence);
        }
        let refused = candidate.parts.iter().any(|part| matches!(part, Part::Refusal(_)));
        if candidate.finish == Finish::ToolCalls && self.malformed && !candidate.calls_tools() {
            return ("end_turn", None);
        }
        let (reason, sequence) = reason(&candidate.finish, refused);
        let reason = reason.unwrap_or_else(|| {
            self.report.path(Code::FinishApproximated, "stop_reason");
            "end_turn"
        });
        (reason, sequence)
    }
}

/// The word for a finish, `None` where there is none, and the sequence it was met by.
pub(super) fn reason(finish: &Finish, refused: bool) -> (Option<&'static str>, Option<&str>) {
    let reason = match finish {
        Finish::StopSequence(sequence) => return (Some("stop_sequence"), sequence.as_deref()),
        Finish::Stop if refused => "refusal",
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
        Finish::ContextWindow => "model_context_window_exceeded",
        Finish::ToolCalls => "tool_use",
        Finish::ContentFilter | Finish::Recitation | Finish::Refusal => "refusal",
        Finish::PauseTurn => "pause_turn",
        Finish::MalformedToolCall | Finish::Other(_) => return (None, None),
    };
    (Some(reason), None)
}

/// Carries the signature of what follows.
fn carrier<'a>(signature: &Opaque) -> Json<'a> {
    let data = envelope::write(signature, Vendor::Anthropic);
    Object::of("redacted_thinking").with("data", data).into()
}
