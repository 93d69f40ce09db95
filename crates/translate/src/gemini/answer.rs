//! A whole answer, both ways.

use tollgate_core::Protocol;
use tollgate_wire::{Fault, dialect};

use super::{NAMES, grounding, parts, usage};
use crate::{
    answers,
    codec::Asked,
    envelope, ids,
    json::{Bad, Json, Node, Object},
    model::{
        Answer, Args, CallKind, Candidate, Finish, FinishDetail, Opaque, Part, PromptBlock,
        Reasoning, Source, Text, ToolCall, Vendor,
    },
    restore,
    warning::{Code, Report},
};

const ME: Protocol = Protocol::Gemini;

pub(super) fn read(body: &[u8], seed: &str) -> Result<Answer, Fault> {
    if let Some(fault) = dialect(ME).error_in_answer(tollgate_wire::json::Object::new(body)) {
        return Err(fault);
    }
    read_fields(body, seed).map_err(|_| answers::unreadable(body))
}

fn read_fields(body: &[u8], seed: &str) -> Result<Answer, Bad> {
    let fields = Node::parse(body)?.fields();
    let mut fields = fields.ok_or(Bad::new("", "must be an object"))?.camel();
    let nodes = fields.array("candidates")?;
    let feedback = fields.take("promptFeedback");
    let id = fields.string("responseId")?.unwrap_or_default();
    let seed = if id.is_empty() { seed } else { &id };
    fields.take("usageMetadata");
    let usage = answers::usage(ME, body);
    let block = feedback.and_then(|feedback| {
        let reason = feedback.get("blockReason")?.string()?;
        let message = feedback.get("blockReasonMessage").and_then(Node::string);
        Some(PromptBlock { reason, message })
    });
    let known = !nodes.is_empty() || block.is_some() || usage.is_some();
    if !known {
        return Err(Bad::new("candidates", "is required"));
    }
    let mut candidates = Vec::new();
    for (at, node) in nodes.into_iter().enumerate() {
        candidates.push(candidate(node, at, seed)?);
    }
    Ok(Answer {
        source: ME,
        created: 0,
        model: fields.string("modelVersion")?.unwrap_or_default(),
        candidates,
        usage,
        prompt_block: block,
        extra: fields.extra(),
        id,
    })
}

fn candidate(node: Node<'_>, at: usize, seed: &str) -> Result<Candidate, Bad> {
    let fields = node.fields().ok_or(Bad::new("candidates", "must hold objects"))?;
    let mut fields = fields.camel();
    let index = fields.u64("index")?.unwrap_or(at as u64);
    let content = fields.take("content");
    let mut out = Vec::new();
    let nodes = content.and_then(|content| content.get("parts"));
    for node in nodes.into_iter().flat_map(Node::elements) {
        let ordinal = out.iter().filter(|part| matches!(part, Part::ToolCall(_))).count();
        let synthetic = |name: &str| ids::in_answer(seed, index, ordinal, name);
        out.push(parts::part(node, Some(&synthetic))?);
    }
    if let Some(grounding) = fields.peek("groundingMetadata") {
        grounding::cite(&mut out, grounding);
    }
    let native = fields.take("finishReason").map(reason).unwrap_or_default();
    let message = fields.string("finishMessage")?;
    let detail = message.map(|message| FinishDetail { category: None, message: Some(message) });
    let called = out.iter().any(|part| matches!(part, Part::ToolCall(_)));
    let finish = finish(&native, called);
    Ok(Candidate {
        index,
        finish,
        native_finish: native,
        detail,
        logprobs: fields.raw("logprobsResult"),
        parts: out,
        extra: fields.extra(),
    })
}

/// Clients that ask for enumerations as numbers get them so.
const REASONS: [&str; 11] = [
    "FINISH_REASON_UNSPECIFIED",
    "STOP",
    "MAX_TOKENS",
    "SAFETY",
    "RECITATION",
    "OTHER",
    "LANGUAGE",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MALFORMED_FUNCTION_CALL",
];

pub(super) fn reason(node: Node<'_>) -> String {
    let number = || REASONS.get(usize::try_from(node.u64()?).ok()?);
    node.string().unwrap_or_else(|| number().copied().unwrap_or("OTHER").to_owned())
}

pub(super) fn finish(native: &str, called: bool) -> Finish {
    match native {
        "STOP" => answers::stop_or(called),
        "MAX_TOKENS" => Finish::Length,
        "SAFETY"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "MODEL_ARMOR" => Finish::ContentFilter,
        "RECITATION" | "IMAGE_RECITATION" => Finish::Recitation,
        "MALFORMED_FUNCTION_CALL"
        | "UNEXPECTED_TOOL_CALL"
        | "TOO_MANY_TOOL_CALLS"
        | "MALFORMED_RESPONSE"
        | "MISSING_THOUGHT_SIGNATURE" => Finish::MalformedToolCall,
        "CONTINUATION" => Finish::PauseTurn,
        other => Finish::Other(other.to_owned()),
    }
}

pub(super) fn write(answer: &Answer, asked: &Asked, report: &mut Report) -> Result<Vec<u8>, Fault> {
    let mut writer = Writer { own: answer.source == ME, asked, report, malformed: false };
    let candidates: Vec<_> = answer.candidates.iter().map(|c| writer.candidate(c)).collect();
    let feedback = answer.prompt_block.as_ref().map(|block| {
        let reason = if answer.source == ME { block.reason.as_str() } else { "OTHER" };
        Object::new().with("blockReason", reason)
    });
    let mut body = Object::new()
        .with("candidates", candidates)
        .maybe("promptFeedback", feedback)
        .maybe("usageMetadata", answer.usage.as_deref().map(usage::write))
        .with("modelVersion", &answer.model)
        .with("responseId", answers::id(answer, &asked.id));
    if answer.source == ME {
        parts::kept(&answer.extra).for_each(|(key, value)| body.put(key, value));
    }
    Ok(Json::from(body).to_bytes())
}

struct Writer<'a, 'r> {
    own: bool,
    asked: &'a Asked,
    report: &'r mut Report,
    /// A call of this candidate could not be shown.
    malformed: bool,
}

impl Writer<'_, '_> {
    fn candidate<'c>(&mut self, candidate: &'c Candidate) -> Json<'c> {
        self.malformed = false;
        let mut parts: Vec<Json<'c>> = Vec::with_capacity(candidate.parts.len());
        for part in &candidate.parts {
            parts.extend(self.part(part));
        }
        let finish = self.finish(candidate);
        let message = self.finish_message(candidate);
        let content = Object::new().with("role", "model").with("parts", parts);
        let mut out = Object::new()
            .with("content", content)
            .with("finishReason", finish)
            .with("index", candidate.index)
            .maybe("finishMessage", message);
        if self.own {
            out = out.maybe("logprobsResult", candidate.logprobs.as_ref());
            parts::kept(&candidate.extra).for_each(|(key, value)| out.put(key, value));
        }
        out.into()
    }

    fn part<'c>(&mut self, part: &'c Part) -> Option<Json<'c>> {
        match part {
            Part::Text(text) => self.text(text),
            Part::Refusal(text) => Some(Object::new().with("text", text).into()),
            Part::Reasoning(reasoning) => self.reasoning(reasoning),
            Part::ToolCall(call) => self.call(call),
            Part::Media(media) => match &media.source {
                Source::Base64 { mime, data } => {
                    let blob = Object::new().with("mimeType", mime).with("data", data);
                    Some(Object::new().with("inlineData", blob).into())
                }
                _ => {
                    self.report.path(Code::MediaDropped, "content");
                    None
                }
            },
            Part::ServerToolCall(call) if self.own => Some((&call.value).into()),
            Part::ServerToolResult(result) if self.own => Some((&result.value).into()),
            Part::Raw { value, .. } if self.own => Some(value.into()),
            Part::ServerToolCall(_) | Part::ServerToolResult(_) => {
                self.report.path(Code::ServerToolDropped, "content");
                None
            }
            Part::Raw { .. } | Part::SearchResult(_) => {
                self.report.path(Code::UnknownField, "content");
                None
            }
        }
    }

    fn text<'c>(&mut self, text: &'c Text) -> Option<Json<'c>> {
        if text.text.is_empty() && text.signature.is_none() {
            return None;
        }
        if !self.own && !text.citations.is_empty() {
            self.report.path(Code::CitationsDropped, "content");
        }
        let part = Object::new()
            .with("text", &text.text)
            .maybe("thoughtSignature", text.signature.as_ref().map(slot));
        Some(part.into())
    }

    fn reasoning<'c>(&mut self, reasoning: &'c Reasoning) -> Option<Json<'c>> {
        if !self.own && !self.asked.reasoning {
            return None;
        }
        let part = Object::new()
            .with("text", reasoning.joined())
            .with("thought", true)
            .maybe("thoughtSignature", reasoning.opaque.as_ref().map(slot));
        Some(part.into())
    }

    fn call<'c>(&mut self, call: &'c ToolCall) -> Option<Json<'c>> {
        let args = match (&call.args, call.kind) {
            (Args::Json(object), _) => Json::from(object),
            (Args::Text(text), CallKind::Custom) => restore::wrap_free_text(text).into(),
            (Args::Text(_), CallKind::Function) => {
                self.malformed = true;
                self.report.path(Code::InvalidToolArguments, "content");
                return None;
            }
        };
        let name = NAMES.fit(call.namespace.as_deref(), &call.name);
        let function = Object::new().with("id", &call.id).with("name", name).with("args", args);
        let part = Object::new()
            .with("functionCall", function)
            .maybe("thoughtSignature", call.signature.as_ref().map(slot));
        Some(part.into())
    }

    fn finish<'c>(&mut self, candidate: &'c Candidate) -> &'c str {
        if self.own && !candidate.native_finish.is_empty() {
            return &candidate.native_finish;
        }
        if self.malformed {
            return "MALFORMED_FUNCTION_CALL";
        }
        if candidate.finish == Finish::PauseTurn {
            self.report.path(Code::FinishApproximated, "finishReason");
        }
        let refused = candidate.parts.iter().any(|part| matches!(part, Part::Refusal(_)));
        word(&candidate.finish, refused)
    }

    fn finish_message<'c>(&self, candidate: &'c Candidate) -> Option<&'c str> {
        if self.malformed {
            return Some(MALFORMED);
        }
        candidate.detail.as_ref()?.message.as_deref()
    }
}

/// What is said of a call that could not be shown.
pub(super) const MALFORMED: &str = "the arguments of a function call are not a JSON object";

/// The word for a finish; `refused`: something was declined.
pub(super) fn word(finish: &Finish, refused: bool) -> &'static str {
    match finish {
        Finish::Stop if refused => "SAFETY",
        Finish::Stop | Finish::StopSequence(_) | Finish::ToolCalls | Finish::PauseTurn => "STOP",
        Finish::Length | Finish::ContextWindow => "MAX_TOKENS",
        Finish::ContentFilter | Finish::Refusal => "SAFETY",
        Finish::Recitation => "RECITATION",
        Finish::MalformedToolCall => "MALFORMED_FUNCTION_CALL",
        Finish::Other(_) => "OTHER",
    }
}

fn slot(opaque: &Opaque) -> String {
    envelope::write(opaque, Vendor::Google)
}
