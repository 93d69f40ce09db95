//! A whole answer, both ways.

use tollgate_core::Protocol;
use tollgate_wire::{Fault, dialect};

use super::{messages, reasoning, turns::put_signature};
use crate::{
    answers,
    codec::Asked,
    json::{Bad, Fields, Json, Node, Object},
    model::{
        Answer, Args, CallKind, Candidate, Citation, CitationKind, Extra, Finish, Part, Place,
        Text, ToolCall,
    },
    names::OPENAI as NAMES,
    openai::{self, UsageNames},
    warning::{Code, Report},
};

pub(super) const USAGE: UsageNames = UsageNames {
    input: "prompt_tokens",
    output: "completion_tokens",
    input_details: "prompt_tokens_details",
    output_details: "completion_tokens_details",
};

pub(super) fn read(body: &[u8]) -> Result<Answer, Fault> {
    let error = dialect(Protocol::OpenAiChat);
    if let Some(fault) = error.error_in_answer(tollgate_wire::json::Object::new(body)) {
        return Err(fault);
    }
    read_fields(body).map_err(|_| answers::unreadable(body))
}

fn read_fields(body: &[u8]) -> Result<Answer, Bad> {
    let fields = Node::parse(body)?.fields();
    let mut fields = fields.ok_or(Bad::new("", "must be an object"))?;
    let choices = fields.array("choices")?;
    if choices.is_empty() {
        return Err(Bad::new("choices", "is required"));
    }
    for known in ["object", "usage"] {
        fields.take(known);
    }
    let id = fields.string("id")?.unwrap_or_default();
    let created = fields.take("created").and_then(Node::number).and_then(|n| n.as_i64());
    let mut candidates = Vec::new();
    for (at, node) in choices.into_iter().enumerate() {
        candidates.push(choice(node, at, &id)?);
    }
    Ok(Answer {
        source: Protocol::OpenAiChat,
        created: created.unwrap_or(0),
        model: fields.string("model")?.unwrap_or_default(),
        candidates,
        usage: answers::usage(Protocol::OpenAiChat, body),
        prompt_block: None,
        id,
        extra: fields.extra(),
    })
}

fn choice(node: Node<'_>, at: usize, answer: &str) -> Result<Candidate, Bad> {
    let mut fields = node.fields().ok_or(Bad::new("choices", "must hold objects"))?;
    let index = fields.u64("index")?.unwrap_or(at as u64);
    let message = fields.fields("message")?.unwrap_or_default();
    let (parts, others) = self::message(message, answer, index)?;
    let native = fields.string("finish_reason")?.unwrap_or_default();
    let logprobs = fields.raw("logprobs");
    let others = others.0.into_iter();
    let others = others.map(|(key, value)| (format!("{MESSAGE}{key}").into(), value));
    let mut extra = fields.extra();
    extra.0.extend(others);
    Ok(Candidate {
        index,
        finish: finish(&native, &parts),
        native_finish: native,
        detail: None,
        logprobs,
        parts,
        extra,
    })
}

/// Before the names of a message's unknown members among those of its choice.
const MESSAGE: &str = "message.";

fn message(mut fields: Fields<'_>, answer: &str, index: u64) -> Result<(Vec<Part>, Extra), Bad> {
    fields.take("role");
    let mut calls = Vec::new();
    for (i, node) in fields.array("tool_calls")?.into_iter().enumerate() {
        let mut call = messages::tool_call(node)?;
        if call.id.is_empty() {
            call.id = crate::ids::in_answer(answer, index, i, &call.name);
        }
        calls.push(call);
    }
    if let Some(mut call) = fields.fields("function_call")? {
        let name = call.need("name")?;
        let id = crate::ids::in_answer(answer, index, 0, &name);
        let args = messages::arguments(call.take("arguments"));
        calls.push(ToolCall::new(id, name, args));
    }
    let mut parts = reasoning::read(&mut fields, &mut calls)?;
    let citations = citations(fields.array("annotations")?);
    parts.extend(content(&mut fields)?);
    cite(&mut parts, citations);
    if let Some(refusal) = fields.string("refusal")?.filter(|refusal| !refusal.is_empty()) {
        parts.push(Part::Refusal(refusal));
    }
    if let Some(signature) = messages::google_signature(&mut fields) {
        messages::sign_text(&mut parts, signature);
    }
    parts.extend(calls.into_iter().map(Part::ToolCall));
    if let Some(audio) = fields.take("audio") {
        parts.push(Part::Raw { kind: "audio".to_owned(), value: audio.raw() });
    }
    Ok((parts, fields.extra()))
}

fn content(fields: &mut Fields<'_>) -> Result<Vec<Part>, Bad> {
    let Some(node) = fields.take("content") else { return Ok(Vec::new()) };
    if let Some(text) = node.str() {
        let text = (!text.is_empty()).then(|| Part::text(text));
        return Ok(text.into_iter().collect());
    }
    // Some servers answer with parts, thinking among them.
    node.elements().map(messages::part).collect()
}

pub(super) fn citations(nodes: Vec<Node<'_>>) -> Vec<Citation> {
    let read = |node: Node<'_>| {
        let inner = node.get("url_citation");
        let at = |name: &str| inner?.get(name)?.u64().and_then(|at| usize::try_from(at).ok());
        let text = |name: &str| inner.and_then(|inner| inner.get(name)?.string());
        Citation {
            kind: if inner.is_some() { CitationKind::Url } else { CitationKind::File },
            url: text("url"),
            title: text("title"),
            cited_text: None,
            span: at("start_index").zip(at("end_index")).map(|(start, end)| start..end),
            native: node.raw(),
        }
    };
    nodes.into_iter().map(read).collect()
}

fn cite(parts: &mut [Part], citations: Vec<Citation>) {
    let text = parts.iter_mut().find_map(|part| match part {
        Part::Text(text) => Some(text),
        _ => None,
    });
    if let Some(text) = text {
        text.citations = citations;
    }
}

fn finish(native: &str, parts: &[Part]) -> Finish {
    regular_finish(native).unwrap_or_else(|| answers::stop_or_calls(parts))
}

/// The finish a word stands for; `None` where it depends on whether tools were called.
pub(super) fn regular_finish(native: &str) -> Option<Finish> {
    match native {
        "length" => Some(Finish::Length),
        "content_filter" => Some(Finish::ContentFilter),
        // Some servers say `stop` after calls, or nothing at all.
        "stop" | "tool_calls" | "function_call" | "" => None,
        other => Some(Finish::Other(other.to_owned())),
    }
}

pub(super) fn write(answer: &Answer, asked: &Asked, report: &mut Report) -> Result<Vec<u8>, Fault> {
    if let Some(fault) = answers::malformed(answer) {
        return Err(fault);
    }
    let created = if answer.created == 0 { asked.now } else { answer.created };
    let blocked = answer.prompt_block.as_ref().map(|_| Candidate {
        finish: Finish::ContentFilter,
        ..Candidate::new(Vec::new(), Finish::Stop)
    });
    let candidates = if answer.candidates.is_empty() {
        blocked.iter().collect::<Vec<_>>()
    } else {
        answer.candidates.iter().collect()
    };
    let mut writer = Writer { answer, asked, report };
    let choices: Vec<_> = candidates.into_iter().map(|c| writer.choice(c)).collect();
    let body = Object::new()
        .with("id", answers::prefixed(answer, &asked.id, "chatcmpl-"))
        .with("object", "chat.completion")
        .with("created", created)
        .with("model", &answer.model)
        .with("choices", choices)
        .maybe("usage", answer.usage.as_ref().map(|usage| openai::put_usage(usage, &USAGE)));
    let own = answer.source == Protocol::OpenAiChat;
    let body = if own { with_extra(body, &answer.extra) } else { body };
    Ok(Json::from(body).to_bytes())
}

fn with_extra<'a>(mut body: Object<'a>, extra: &'a Extra) -> Object<'a> {
    super::tools::put_extra(&mut body, extra);
    body
}

/// Puts back the unknown members for which `name` has a name.
fn with_members<'a>(
    mut object: Object<'a>,
    extra: &'a Extra,
    name: impl Fn(&'a str) -> Option<&'a str>,
) -> Object<'a> {
    for (key, value) in &extra.0 {
        if let Some(name) = name(key) {
            object.put(name, value);
        }
    }
    object
}

struct Writer<'a, 'r> {
    answer: &'a Answer,
    asked: &'a Asked,
    report: &'r mut Report,
}

impl Writer<'_, '_> {
    fn choice<'c>(&mut self, candidate: &'c Candidate) -> Json<'c> {
        let logprobs = match self.answer.source {
            Protocol::OpenAiChat => candidate.logprobs.as_ref(),
            _ => None,
        };
        let choice = Object::new()
            .with("index", candidate.index)
            .with("message", self.message(candidate))
            .with("finish_reason", self.finish(candidate))
            .with("logprobs", logprobs.map_or(Json::Null, Json::from));
        match self.answer.source {
            Protocol::OpenAiChat => with_members(choice, &candidate.extra, |key| {
                (!key.starts_with(MESSAGE)).then_some(key)
            })
            .into(),
            _ => choice.into(),
        }
    }

    fn message<'c>(&mut self, candidate: &'c Candidate) -> Object<'c> {
        let parts = &candidate.parts;
        let texts: Vec<_> = parts.iter().filter_map(Part::as_text).collect();
        let refusals: Vec<_> = parts.iter().filter_map(refusal).collect();
        let calls: Vec<_> = parts.iter().filter_map(call).collect();
        let content = match texts.as_slice() {
            [] if !calls.is_empty() || !refusals.is_empty() => Json::Null,
            [one] => Json::from(*one),
            texts => texts.concat().into(),
        };
        let refusal = match refusals.as_slice() {
            [] => Json::Null,
            texts => texts.concat().into(),
        };
        let mut message = Object::new()
            .with("role", "assistant")
            .with("content", content)
            .with("refusal", refusal);
        reasoning::put(&mut message, parts.iter());
        self.put_calls(&mut message, &calls);
        let annotations = self.annotations(parts);
        if !annotations.is_empty() {
            message.put("annotations", annotations);
        }
        put_signature(&mut message, text_signature(parts));
        self.put_others(&mut message, parts);
        if self.answer.source == Protocol::OpenAiChat {
            return with_members(message, &candidate.extra, |key| key.strip_prefix(MESSAGE));
        }
        message
    }

    fn put_calls<'c>(&self, message: &mut Object<'c>, calls: &[&'c ToolCall]) {
        match calls {
            [] => {}
            [only] if self.asked.legacy_functions => {
                let function = Object::new()
                    .with("name", NAMES.fit(only.namespace.as_deref(), &only.name))
                    .with("arguments", only.args.as_str());
                message.put("function_call", function);
            }
            calls => {
                let calls: Vec<_> = calls.iter().map(|call| write_call(call)).collect();
                message.put("tool_calls", calls);
            }
        }
    }

    fn annotations<'c>(&mut self, parts: &'c [Part]) -> Vec<Json<'c>> {
        let mut before = 0;
        let mut out = Vec::new();
        for part in parts {
            let Part::Text(text) = part else { continue };
            if self.answer.source == Protocol::OpenAiChat {
                out.extend(text.citations.iter().map(|citation| (&citation.native).into()));
                continue;
            }
            let (cited, lost) = answers::web_citations(text, before);
            if lost {
                self.report.path(Code::CitationsDropped, "citations");
            }
            out.extend(cited.iter().map(annotation));
            before += text.text.chars().count();
        }
        out
    }

    fn put_others<'c>(&mut self, message: &mut Object<'c>, parts: &'c [Part]) {
        for part in parts {
            match part {
                Part::Raw { kind, value }
                    if kind == "audio" && self.answer.source == Protocol::OpenAiChat =>
                {
                    message.put("audio", value);
                }
                Part::Raw { .. } => self.report.place(Code::UnknownField, Place::Item(0)),
                Part::ServerToolCall(_) | Part::ServerToolResult(_) => {
                    self.report.path(Code::ServerToolDropped, "content");
                }
                Part::Media(_) => self.report.path(Code::MediaDropped, "content"),
                _ => {}
            }
        }
    }

    fn finish(&mut self, candidate: &Candidate) -> &'static str {
        let word = reason(&candidate.finish, self.answer.source, self.asked.legacy_functions);
        word.unwrap_or_else(|| {
            self.report.path(Code::FinishApproximated, "finish_reason");
            "stop"
        })
    }
}

/// The word for a finish; `None` where there is none.
pub(super) fn reason(finish: &Finish, source: Protocol, legacy: bool) -> Option<&'static str> {
    Some(match finish {
        Finish::Stop | Finish::StopSequence(_) => "stop",
        Finish::Length | Finish::ContextWindow => "length",
        Finish::ToolCalls if legacy => "function_call",
        Finish::ToolCalls => "tool_calls",
        Finish::ContentFilter | Finish::Recitation => "content_filter",
        Finish::Refusal if source == Protocol::OpenAiResponses => "stop",
        Finish::Refusal => "content_filter",
        Finish::PauseTurn | Finish::MalformedToolCall | Finish::Other(_) => return None,
    })
}

pub(super) fn annotation<'a>(cited: &answers::Cited<'a>) -> Json<'a> {
    let inner = Object::new()
        .with("url", cited.url)
        .with("title", cited.title)
        .with("start_index", cited.start)
        .with("end_index", cited.end);
    Object::of("url_citation").with("url_citation", inner).into()
}

fn refusal(part: &Part) -> Option<&str> {
    match part {
        Part::Refusal(text) => Some(text),
        _ => None,
    }
}

fn call(part: &Part) -> Option<&ToolCall> {
    match part {
        Part::ToolCall(call) => Some(call),
        _ => None,
    }
}

fn text_signature(parts: &[Part]) -> Option<&str> {
    parts.iter().rev().find_map(|part| match part {
        Part::Text(Text { signature: Some(signature), .. }) => Some(signature.payload.as_str()),
        _ => None,
    })
}

fn write_call(call: &ToolCall) -> Json<'_> {
    let name = NAMES.fit(call.namespace.as_deref(), &call.name);
    let mut out = match (call.kind, &call.args) {
        (CallKind::Custom, Args::Text(text)) => {
            let custom = Object::new().with("name", name).with("input", text);
            Object::new().with("id", &call.id).with("type", "custom").with("custom", custom)
        }
        (_, args) => {
            let function = Object::new().with("name", name).with("arguments", args.as_str());
            Object::new().with("id", &call.id).with("type", "function").with("function", function)
        }
    };
    put_signature(&mut out, call.signature.as_ref().map(|signature| signature.payload.as_str()));
    out.into()
}
