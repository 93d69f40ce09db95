//! A whole answer, both ways.

use tollgate_core::{Class, Protocol};
use tollgate_wire::{Fault, dialect};

use super::{NAMES, items, tools::with_extra};
use crate::{
    answers,
    codec::Asked,
    envelope, ids,
    json::{Bad, Json, Node, Object, Raw},
    model::{
        Answer, CallKind, Candidate, Finish, Opaque, Part, Reasoning, ServerToolCall, Text,
        ToolCall, Vendor,
    },
    openai::{self, UsageNames},
    warning::{Code, Report},
};

const ME: Protocol = Protocol::OpenAiResponses;
const USAGE: UsageNames = UsageNames {
    input: "input_tokens",
    output: "output_tokens",
    input_details: "input_tokens_details",
    output_details: "output_tokens_details",
};

/// Members an answer repeats, with what stands for them where nothing was said.
const ECHO: [(&str, &str); 10] = [
    ("instructions", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("temperature", "null"),
    ("tool_choice", "\"auto\""),
    ("tools", "[]"),
    ("top_p", "null"),
    ("max_output_tokens", "null"),
    ("text", "{\"format\":{\"type\":\"text\"}}"),
    ("truncation", "\"disabled\""),
];

pub(super) fn echo(body: &[u8]) -> Vec<(&'static str, Raw)> {
    let Some(mut fields) = Node::parse(body).ok().and_then(Node::fields) else {
        return Vec::new();
    };
    let names = ECHO.iter().map(|(name, _)| *name).chain(["reasoning"]);
    names.filter_map(|name| Some((name, fields.raw(name)?))).collect()
}

pub(super) fn read(body: &[u8]) -> Result<Answer, Fault> {
    let node = Node::parse(body).map_err(|_| answers::unreadable(body))?;
    if let Some(fault) = fault(node, body) {
        return Err(fault);
    }
    read_fields(node, body).map_err(|_| answers::unreadable(body))
}

/// What of the answer is an error, or not an answer yet.
fn fault(node: Node<'_>, body: &[u8]) -> Option<Fault> {
    if let Some(fault) = dialect(ME).error_in_answer(tollgate_wire::json::Object::new(body)) {
        return Some(fault);
    }
    let status = node.get("status").and_then(Node::string)?;
    match status.as_str() {
        "failed" => Some(failed(node)),
        "cancelled" => Some(Fault::new(Class::Cancelled, "the response was cancelled")),
        "queued" | "in_progress" => {
            let why = "the response runs in the background, which cannot be waited for here";
            Some(Fault::new(Class::InvalidRequest, why))
        }
        _ => None,
    }
}

/// The error of a response that failed after some output, in the class its code says.
fn failed(node: Node<'_>) -> Fault {
    let error = node.get("error").map(Node::raw);
    let alone = Object::new().maybe("error", error);
    let alone = Json::from(alone).to_bytes();
    let fault = dialect(ME).error_in_answer(tollgate_wire::json::Object::new(&alone));
    fault.unwrap_or_else(|| Fault::new(Class::ServerError, "the response failed"))
}

fn read_fields(node: Node<'_>, body: &[u8]) -> Result<Answer, Bad> {
    let mut fields = node.fields().ok_or(Bad::new("", "must be an object"))?;
    let output = fields.take("output").filter(|output| output.is_array());
    let output = output.ok_or(Bad::new("output", "is required"))?;
    fields.take("usage");
    let mut parts = Vec::new();
    for node in output.elements() {
        item(node, &mut parts)?;
    }
    let status = fields.string("status")?.unwrap_or_default();
    let details = fields.take("incomplete_details");
    let reason = details.and_then(|details| details.get("reason")?.string()).unwrap_or_default();
    let called = parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
    let finish = finish(&status, &reason, refuses(&parts), called);
    let native = if reason.is_empty() { status } else { reason };
    let candidate = Candidate { native_finish: native, ..Candidate::new(parts, finish) };
    let created = fields.take("created_at").and_then(Node::number).and_then(|n| n.as_i64());
    Ok(Answer {
        source: ME,
        id: fields.string("id")?.unwrap_or_default(),
        created: created.unwrap_or(0),
        model: fields.string("model")?.unwrap_or_default(),
        candidates: vec![candidate],
        usage: answers::usage(ME, body),
        prompt_block: None,
        extra: fields.extra(),
    })
}

fn item(node: Node<'_>, parts: &mut Vec<Part>) -> Result<(), Bad> {
    let mut fields = node.fields().ok_or(Bad::new("output", "must hold objects"))?;
    let kind = fields.string("type")?.unwrap_or_default();
    match kind.as_str() {
        "message" => {
            for content in fields.array("content")? {
                parts.push(items::part(content)?);
            }
        }
        "reasoning" => parts.push(Part::Reasoning(items::reasoning(fields)?)),
        "function_call" | "custom_tool_call" => {
            let call = items::call(&mut fields, kind == "custom_tool_call")?;
            parts.push(Part::ToolCall(call));
        }
        kind if kind.ends_with("_call") => {
            let name = kind.to_owned();
            parts.push(Part::ServerToolCall(ServerToolCall { name, value: node.raw() }));
        }
        _ => parts.push(Part::Raw { kind, value: node.raw() }),
    }
    Ok(())
}

/// `refuses`: nothing was said but that the model declines; `called`: the client's tools were.
pub(super) fn finish(status: &str, reason: &str, refuses: bool, called: bool) -> Finish {
    match (status, reason) {
        ("incomplete", "max_output_tokens") => Finish::Length,
        ("incomplete", "content_filter") => Finish::ContentFilter,
        ("incomplete", other) => Finish::Other(other.to_owned()),
        _ if refuses => Finish::Refusal,
        _ => answers::stop_or(called),
    }
}

fn refuses(parts: &[Part]) -> bool {
    let mut said = parts.iter().filter(|part| !matches!(part, Part::Reasoning(_))).peekable();
    said.peek().is_some() && said.all(|part| matches!(part, Part::Refusal(_)))
}

pub(super) fn write(answer: &Answer, asked: &Asked, report: &mut Report) -> Result<Vec<u8>, Fault> {
    if let Some(fault) = answers::malformed(answer) {
        return Err(fault);
    }
    let blocked = Candidate::new(Vec::new(), Finish::ContentFilter);
    let candidate = answer.candidates.first().unwrap_or(&blocked);
    if answer.candidates.len() > 1 {
        report.path(Code::DroppedField, "candidates");
    }
    let id = answers::prefixed(answer, &asked.id, "resp_").into_owned();
    let refused = candidate.parts.iter().any(|part| matches!(part, Part::Refusal(_)));
    let reason = incomplete(&candidate.finish, refused).unwrap_or_else(|| {
        report.path(Code::FinishApproximated, "status");
        None
    });
    let mut writer = Writer { id: &id, own: answer.source == ME, report, out: Vec::new() };
    writer.parts(&candidate.parts);
    let mut output = writer.out;
    if let (Some(_), Some(Json::Object(last))) = (reason, output.last_mut()) {
        last.set("status", "incomplete");
    }
    let created = if answer.created == 0 { asked.now } else { answer.created };
    let status = if reason.is_some() { "incomplete" } else { "completed" };
    let head = Head { id: &id, created, status, reason, error: None };
    Ok(Json::from(envelope_of(answer, asked, head, output)).to_bytes())
}

pub(super) struct Head<'a> {
    pub(super) id: &'a str,
    pub(super) created: i64,
    pub(super) status: &'static str,
    /// Why the answer is not whole.
    pub(super) reason: Option<&'static str>,
    /// What it failed of.
    pub(super) error: Option<Object<'a>>,
}

/// Everything the schema requires of a response, whole or not.
pub(super) fn envelope_of<'a>(
    answer: &'a Answer,
    asked: &'a Asked,
    head: Head<'a>,
    output: Vec<Json<'a>>,
) -> Object<'a> {
    let details = head.reason.map(|reason| Object::new().with("reason", reason));
    let completed = (head.status == "completed").then_some(head.created);
    let mut body = Object::new()
        .with("id", head.id)
        .with("object", "response")
        .with("created_at", head.created)
        .with("status", head.status)
        .with("completed_at", completed.map_or(Json::Null, Json::from))
        .with("error", head.error.map_or(Json::Null, Json::from))
        .with("incomplete_details", details.map_or(Json::Null, Json::from))
        .with("model", &answer.model)
        .with("output", output);
    let own = |name: &str| answer.extra.get(name).filter(|_| answer.source == ME);
    let echoed = |name: &str| {
        let asked = asked.echo.iter().find(|(each, _)| *each == name).map(|(_, value)| value);
        asked.or_else(|| own(name))
    };
    for (name, default) in ECHO {
        let default = || Json::Raw(default.into());
        body.put(name, echoed(name).map_or_else(default, Json::from));
    }
    body.put("reasoning", reasoning_of(echoed("reasoning")));
    let previous = own("previous_response_id").map_or(Json::Null, Json::from);
    body.put("previous_response_id", previous);
    body.put("store", own("store").map_or(Json::Bool(false), Json::from));
    let usage = answer.usage.as_ref();
    if answer.source == ME {
        for (key, value) in &answer.extra.0 {
            if !body.has(key) {
                body.put(key.as_ref(), value);
            }
        }
    }
    body.put("usage", usage.map_or(Json::Null, |usage| openai::put_usage(usage, &USAGE).into()));
    body
}

fn reasoning_of(asked: Option<&Raw>) -> Object<'_> {
    let mut out = match asked.map(Raw::tree) {
        Some(Json::Object(object)) => object,
        _ => Object::new(),
    };
    for name in ["effort", "summary"] {
        if !out.has(name) {
            out.put(name, Json::Null);
        }
    }
    out
}

/// Why an answer with this finish is not whole, if it is not; `None` where there is no word for
/// the finish.
pub(super) fn incomplete(finish: &Finish, refused: bool) -> Option<Option<&'static str>> {
    match finish {
        Finish::Length | Finish::ContextWindow => Some(Some("max_output_tokens")),
        Finish::ContentFilter | Finish::Recitation => Some(Some("content_filter")),
        Finish::Refusal if !refused => Some(Some("content_filter")),
        Finish::PauseTurn | Finish::MalformedToolCall | Finish::Other(_) => None,
        _ => Some(None),
    }
}

pub(super) fn annotation<'a>(cited: &answers::Cited<'a>) -> Json<'a> {
    Object::of("url_citation")
        .with("url", cited.url)
        .with("title", cited.title)
        .with("start_index", cited.start)
        .with("end_index", cited.end)
        .into()
}

struct Writer<'a, 'r> {
    id: &'a str,
    own: bool,
    report: &'r mut Report,
    out: Vec<Json<'a>>,
}

impl<'a> Writer<'a, '_> {
    fn parts(&mut self, parts: &'a [Part]) {
        let mut rest = parts;
        while let Some(first) = rest.first() {
            let run = rest.iter().take_while(|part| is_said(part)).count();
            if run > 0 {
                self.message(&rest[..run]);
                rest = &rest[run..];
                continue;
            }
            self.other(first);
            rest = &rest[1..];
        }
    }

    fn mint(&self, prefix: &str) -> String {
        items::minted(prefix, self.id, self.out.len())
    }

    /// Adjacent texts are one text of one message; a refusal is a part of its own.
    fn message(&mut self, parts: &'a [Part]) {
        for part in parts {
            if let Part::Text(Text { signature: Some(signature), .. }) = part {
                self.carry(signature);
            }
        }
        let mut content: Vec<Json<'a>> = Vec::new();
        let texts: Vec<&Text> = parts.iter().filter_map(as_text).collect();
        if texts.iter().any(|text| !text.text.is_empty()) {
            content.push(self.text(&texts));
        }
        for part in parts {
            if let Part::Refusal(text) = part {
                content.push(Object::of("refusal").with("refusal", text).into());
            }
        }
        if content.is_empty() {
            return;
        }
        let message = Object::new()
            .with("id", self.mint("msg"))
            .with("type", "message")
            .with("status", "completed")
            .with("role", "assistant")
            .with("content", content);
        self.out.push(message.into());
    }

    fn text(&mut self, texts: &[&'a Text]) -> Json<'a> {
        let mut annotations: Vec<Json<'a>> = Vec::new();
        let mut before = 0;
        for text in texts {
            if self.own {
                annotations.extend(text.citations.iter().map(|citation| (&citation.native).into()));
                continue;
            }
            let (cited, lost) = answers::web_citations(text, before);
            if lost {
                self.report.path(Code::CitationsDropped, "output");
            }
            annotations.extend(cited.iter().map(annotation));
            before += text.text.chars().count();
        }
        let logprobs = match texts {
            [only] if self.own => only.logprobs.as_ref().map(Json::from),
            _ => None,
        };
        let text: Json<'a> = match texts {
            [only] => (&only.text).into(),
            texts => texts.iter().map(|text| text.text.as_str()).collect::<String>().into(),
        };
        Object::of("output_text")
            .with("text", text)
            .with("annotations", annotations)
            .with("logprobs", logprobs.unwrap_or_else(|| Json::Array(Vec::new())))
            .into()
    }

    fn other(&mut self, part: &'a Part) {
        match part {
            Part::Reasoning(reasoning) => self.reasoning(reasoning),
            Part::ToolCall(call) => self.call(call),
            Part::ServerToolCall(call) if self.own => self.out.push((&call.value).into()),
            Part::ServerToolResult(result) if self.own => self.out.push((&result.value).into()),
            Part::Raw { value, .. } if self.own => self.out.push(value.into()),
            Part::ServerToolCall(_) | Part::ServerToolResult(_) => {
                self.report.path(Code::ServerToolDropped, "output");
            }
            Part::Media(_) => self.report.path(Code::MediaDropped, "output"),
            _ => self.report.path(Code::UnknownField, "output"),
        }
    }

    fn reasoning(&mut self, reasoning: &'a Reasoning) {
        let texts = reasoning.text.iter();
        let summary = texts.map(|text| Object::of("summary_text").with("text", text).into());
        let summary = Json::Array(summary.collect());
        let slot = reasoning.opaque.as_ref().map(|opaque| envelope::write(opaque, Vendor::OpenAi));
        let item = Object::new()
            .with("id", self.mint("rs"))
            .with("type", "reasoning")
            .with("summary", summary)
            .maybe("encrypted_content", slot);
        self.out.push(item.into());
    }

    /// A signature stands before what it is bound to.
    fn carry(&mut self, signature: &Opaque) {
        let item = Object::new()
            .with("id", self.mint("rs"))
            .with("type", "reasoning")
            .with("summary", Json::Array(Vec::new()))
            .with("encrypted_content", envelope::write(signature, Vendor::OpenAi));
        self.out.push(item.into());
    }

    fn call(&mut self, call: &'a ToolCall) {
        if let Some(signature) = &call.signature {
            self.carry(signature);
        }
        let (prefix, kind, key) = match call.kind {
            CallKind::Function => ("fc", "function_call", "arguments"),
            CallKind::Custom => ("ctc", "custom_tool_call", "input"),
        };
        let item = Object::new()
            .with("id", self.mint(prefix))
            .with("type", kind)
            .with("call_id", ids::short(&call.id))
            .maybe("namespace", call.namespace.as_ref())
            .with("name", NAMES.fit(None, &call.name))
            .with(key, call.args.as_str())
            .with("status", "completed");
        let item = match self.own {
            true => with_extra(item, &call.extra, ME),
            false => item,
        };
        self.out.push(item.into());
    }
}

fn is_said(part: &Part) -> bool {
    matches!(part, Part::Text(_) | Part::Refusal(_))
}

fn as_text(part: &Part) -> Option<&Text> {
    match part {
        Part::Text(text) => Some(text),
        _ => None,
    }
}
