use tollgate_core::Protocol;
use tollgate_wire::{Fault, openai_responses::error_code};

use crate::{
    answers,
    codec::Asked,
    envelope, ids,
    json::{Json, Object, Prefix, Raw},
    model::{Answer, CallKind, Citation, Finish, Opaque, Part, Vendor},
    openai_responses::{
        NAMES,
        answer::{self, Head as Envelope},
        items,
    },
    stream::{
        Delta, EncodeStream, Event, Flow, Head, InOrder, LIMIT, Out, Pen, Sink, Start, Tool,
        broken, failed, malformed_call,
    },
    warning::Code,
};

/// Writes a stream of numbered events, one item open at a time.
#[derive(Debug)]
pub(crate) struct ResponsesWriter {
    order: InOrder,
    response: Response,
}

#[derive(Debug)]
struct Response {
    asked: Asked,
    /// What is known of the answer beside its output.
    answer: Answer,
    id: String,
    started: bool,
    /// The number of the next event.
    number: u64,
    /// The items that are whole.
    output: Vec<Raw>,
    open: Open,
    /// How many bytes are kept for the last event.
    held: usize,
    candidate: Option<u64>,
    usable: bool,
    refused: bool,
    finish: Option<(Finish, Option<String>)>,
}

/// The item that is open, which may outlive the block it began with.
#[derive(Debug)]
enum Open {
    Nothing,
    Message(Message),
    Reasoning { id: String, sections: Vec<String>, opaque: Option<Opaque> },
    Call { id: String, tool: Tool, arguments: String, shape: Prefix },
}

/// Adjacent texts and refusals.
#[derive(Debug, Default)]
struct Message {
    /// Empty: nothing was said yet.
    id: String,
    /// Its parts that are whole.
    parts: Vec<Raw>,
    part: Option<ContentPart>,
    /// The open block.
    declines: bool,
    /// How many characters of the open part stood before that block.
    before: usize,
    citations: Vec<Citation>,
    signature: Option<Opaque>,
}

#[derive(Debug)]
struct ContentPart {
    declines: bool,
    text: String,
    characters: usize,
    annotations: Vec<Raw>,
}

impl ResponsesWriter {
    pub(crate) fn new(asked: &Asked, source: Protocol) -> Self {
        let response = Response {
            asked: asked.clone(),
            answer: Answer::new(source),
            id: String::new(),
            started: false,
            number: 0,
            output: Vec::new(),
            open: Open::Nothing,
            held: 0,
            candidate: None,
            usable: false,
            refused: false,
            finish: None,
        };
        Self { order: InOrder::default(), response }
    }
}

impl EncodeStream for ResponsesWriter {
    fn event(&mut self, event: Event<'_>, out: &mut Out<'_>) -> Flow {
        self.order.event(event, &mut Writing { response: &mut self.response, out })
    }

    fn fail(&mut self, fault: &Fault, out: &mut Out<'_>) {
        if !self.response.started {
            return failed(Protocol::OpenAiResponses, fault, &self.response.asked.id, out);
        }
        let error =
            Object::new().with("code", error_code(fault)).with("message", fault.message.as_str());
        self.response.tell("response.failed", "failed", None, Some(error), out);
    }
}

struct Writing<'a, 'b> {
    response: &'a mut Response,
    out: &'a mut Out<'b>,
}

impl Sink for Writing<'_, '_> {
    fn event(&mut self, event: Event<'_>) -> Flow {
        let (response, out) = (&mut *self.response, &mut *self.out);
        match event {
            Event::Start(start) => response.start(start, out),
            Event::BlockStart { candidate, head, .. } if response.is_shown(candidate, out) => {
                response.begin(head, out);
            }
            Event::Delta { candidate, delta, .. } if response.is_shown(candidate, out) => {
                return response.delta(delta, out);
            }
            Event::BlockEnd { candidate, .. } if response.is_shown(candidate, out) => {
                response.end(out);
            }
            Event::Finish(ending) if response.is_shown(ending.candidate, out) => {
                let message = ending.detail.and_then(|detail| detail.message);
                response.finish = Some((ending.finish, message));
            }
            Event::Blocked(block) => {
                response.finish = Some((Finish::ContentFilter, block.message));
            }
            Event::Usage(usage) => response.answer.usage = Some(usage),
            Event::End => return response.close(out),
            _ => {}
        }
        Ok(())
    }
}

impl Response {
    fn start(&mut self, start: Start<'_>, out: &mut Out<'_>) {
        let id = if start.id.is_empty() { self.asked.id.as_str() } else { &start.id };
        let prefix = if id.starts_with("resp_") { "" } else { "resp_" };
        self.id = format!("{prefix}{id}");
        self.answer.model = start.model.into_owned();
        self.answer.created = start.created;
        self.started = true;
        self.tell("response.created", "in_progress", None, None, out);
        self.tell("response.in_progress", "in_progress", None, None, out);
    }

    fn is_shown(&mut self, candidate: u64, out: &mut Out<'_>) -> bool {
        let shown = *self.candidate.get_or_insert(candidate) == candidate;
        if !shown {
            out.warn(Code::DroppedField, "candidates");
        }
        shown
    }

    /// Writes an event about the whole response.
    fn tell(
        &mut self,
        kind: &'static str,
        status: &'static str,
        reason: Option<&'static str>,
        error: Option<Object<'_>>,
        out: &mut Out<'_>,
    ) {
        let created = self.answer.created;
        let created = if created == 0 { self.asked.now } else { created };
        let head = Envelope { id: &self.id, created, status, reason, error };
        let output = self.output.iter().map(Json::from).collect();
        let whole = answer::envelope_of(&self.answer, &self.asked, head, output);
        let number = self.number;
        self.number += 1;
        emit(kind, number, out, |text| {
            text.raw(",\"response\":").json(whole);
        });
    }

    /// Writes an event about an item or a part of one.
    fn event(&mut self, kind: &'static str, out: &mut Out<'_>, write: impl FnOnce(&mut Vec<u8>)) {
        let number = self.number;
        self.number += 1;
        emit(kind, number, out, write);
    }

    fn mint(&self, prefix: &str) -> String {
        items::minted(prefix, &self.id, self.output.len())
    }

    fn added(&mut self, item: Object<'_>, out: &mut Out<'_>) {
        let at = self.output.len();
        self.event("response.output_item.added", out, |text| {
            text.raw(",\"output_index\":").json(at).raw(",\"item\":").json(item);
        });
    }

    fn done(&mut self, item: Object<'_>, out: &mut Out<'_>) {
        let item = Raw::from(Json::from(item));
        let at = self.output.len();
        self.event("response.output_item.done", out, |text| {
            text.raw(",\"output_index\":").json(at).raw(",\"item\":").json(&item);
        });
        self.output.push(item);
    }

    /// Writes an event about the open item, which has this id.
    fn about(
        &mut self,
        kind: &'static str,
        id: &str,
        out: &mut Out<'_>,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let at = self.output.len();
        self.event(kind, out, |text| {
            text.raw(",\"item_id\":").string(id).raw(",\"output_index\":").json(at);
            write(text);
        });
    }

    fn begin(&mut self, head: Head, out: &mut Out<'_>) {
        match head {
            Head::Text(signature) => {
                if let Some(signature) = signature {
                    self.settle("completed", out);
                    self.carry(&signature, out);
                }
                self.say(false, out);
            }
            Head::Refusal => self.say(true, out),
            Head::Reasoning { .. } => {
                self.settle("completed", out);
                let id = self.mint("rs");
                let item = Object::new()
                    .with("id", &id)
                    .with("type", "reasoning")
                    .with("summary", Json::Array(Vec::new()));
                self.added(item, out);
                self.open = Open::Reasoning { id: id.clone(), sections: Vec::new(), opaque: None };
            }
            Head::Tool(tool) => self.call(tool, out),
            Head::Whole(part) => {
                self.settle("completed", out);
                let code = match part {
                    Part::ServerToolCall(_) | Part::ServerToolResult(_) => Code::ServerToolDropped,
                    Part::Media(_) => Code::MediaDropped,
                    _ => Code::UnknownField,
                };
                out.warn(code, "output");
            }
        }
    }

    /// Begins a text or a refusal, in the open message if there is one.
    fn say(&mut self, declines: bool, out: &mut Out<'_>) {
        if !matches!(self.open, Open::Message(_)) {
            self.settle("completed", out);
            self.open = Open::Message(Message::default());
        }
        if let Open::Message(message) = &mut self.open {
            message.declines = declines;
            let open = message.part.as_ref().filter(|part| part.declines == declines);
            message.before = open.map_or(0, |part| part.characters);
        }
    }

    fn call(&mut self, tool: Tool, out: &mut Out<'_>) {
        self.settle("completed", out);
        if let Some(signature) = &tool.signature {
            self.carry(signature, out);
        }
        self.usable = true;
        let id = self.mint(call_words(&tool).0);
        self.added(call_item(&id, &tool, "", "in_progress"), out);
        let (arguments, shape) = (String::new(), Prefix::default());
        self.open = Open::Call { id, tool, arguments, shape };
    }

    /// A signature stands before what it is bound to.
    fn carry(&mut self, signature: &Opaque, out: &mut Out<'_>) {
        let id = self.mint("rs");
        let item = |slot: Option<String>| {
            Object::new()
                .with("id", &id)
                .with("type", "reasoning")
                .with("summary", Json::Array(Vec::new()))
                .maybe("encrypted_content", slot)
        };
        self.added(item(None), out);
        self.done(item(Some(envelope::write(signature, Vendor::OpenAi))), out);
    }

    /// Counts what is kept until the end.
    fn hold(&mut self, bytes: usize) -> Flow {
        self.held += bytes;
        match self.held {
            ..=LIMIT => Ok(()),
            _ => Err(broken("the answer is longer than can be repeated at its end")),
        }
    }

    fn delta(&mut self, delta: Delta<'_>, out: &mut Out<'_>) -> Flow {
        if let Delta::Text(text) = &delta {
            self.hold(text.len())?;
        }
        let mut open = std::mem::replace(&mut self.open, Open::Nothing);
        match (&mut open, delta) {
            (Open::Message(message), Delta::Text(text)) => self.said(message, &text, out),
            (Open::Message(message), Delta::Citation(citation)) => {
                message.citations.push(citation);
            }
            (Open::Message(message), Delta::Opaque(value)) => message.signature = Some(value),
            (Open::Reasoning { id, sections, .. }, Delta::Section) => {
                self.end_section(id, sections, out);
                self.begin_section(id, sections, out);
            }
            (Open::Reasoning { id, sections, .. }, Delta::Text(text)) if !text.is_empty() => {
                if sections.is_empty() {
                    self.begin_section(id, sections, out);
                }
                let at = sections.len() - 1;
                sections[at].push_str(&text);
                self.about("response.reasoning_summary_text.delta", id, out, |frame| {
                    frame.raw(",\"summary_index\":").json(at).raw(",\"delta\":").string(&text);
                });
            }
            (Open::Reasoning { opaque, .. }, Delta::Opaque(value)) => *opaque = Some(value),
            (Open::Call { id, tool, arguments, shape }, Delta::Text(text)) => {
                let _ = shape.push(&text);
                arguments.push_str(&text);
                self.argue(id, tool, &text, out);
            }
            (Open::Call { .. }, Delta::Opaque(_)) => out.warn(Code::SignatureDropped, "output"),
            _ => {}
        }
        self.open = open;
        Ok(())
    }

    fn said(&mut self, message: &mut Message, text: &str, out: &mut Out<'_>) {
        if text.is_empty() {
            return;
        }
        self.usable = true;
        self.refused |= message.declines;
        if message.id.is_empty() {
            message.id = self.mint("msg");
            self.added(message.item("in_progress"), out);
        }
        if message.part.as_ref().is_some_and(|part| part.declines != message.declines) {
            self.end_part(message, out);
        }
        let at = message.parts.len();
        let (id, declines) = (message.id.as_str(), message.declines);
        let part = message.part.get_or_insert_with(|| {
            let part = ContentPart::new(declines);
            self.about("response.content_part.added", id, out, |frame| {
                frame.raw(",\"content_index\":").json(at).raw(",\"part\":").json(part.json());
            });
            part
        });
        part.text.push_str(text);
        part.characters += text.chars().count();
        let kind = if declines { "response.refusal.delta" } else { "response.output_text.delta" };
        self.about(kind, id, out, |frame| {
            frame.raw(",\"content_index\":").json(at).raw(",\"delta\":").string(text);
            if !declines {
                frame.raw(",\"logprobs\":[]");
            }
        });
    }

    fn argue(&mut self, id: &str, tool: &Tool, text: &str, out: &mut Out<'_>) {
        if text.is_empty() {
            return;
        }
        let kind = match tool.kind {
            CallKind::Function => "response.function_call_arguments.delta",
            CallKind::Custom => "response.custom_tool_call_input.delta",
        };
        self.about(kind, id, out, |frame| {
            frame.raw(",\"delta\":").string(text);
        });
    }

    fn begin_section(&mut self, id: &str, sections: &mut Vec<String>, out: &mut Out<'_>) {
        let at = sections.len();
        sections.push(String::new());
        self.about("response.reasoning_summary_part.added", id, out, |frame| {
            frame.raw(",\"summary_index\":").json(at);
            frame.raw(",\"part\":{\"type\":\"summary_text\",\"text\":\"\"}");
        });
    }

    fn end_section(&mut self, id: &str, sections: &[String], out: &mut Out<'_>) {
        let Some(text) = sections.last() else { return };
        let at = sections.len() - 1;
        self.about("response.reasoning_summary_text.done", id, out, |frame| {
            frame.raw(",\"summary_index\":").json(at).raw(",\"text\":").string(text);
        });
        let part = Object::of("summary_text").with("text", text);
        self.about("response.reasoning_summary_part.done", id, out, |frame| {
            frame.raw(",\"summary_index\":").json(at).raw(",\"part\":").json(part);
        });
    }

    /// Hears that the open block is whole; its item may go on.
    fn end(&mut self, out: &mut Out<'_>) {
        match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Nothing => {}
            Open::Message(mut message) => {
                self.cite(&mut message, out);
                let signature = message.signature.take();
                self.open = Open::Message(message);
                if let Some(signature) = signature {
                    self.settle("completed", out);
                    self.carry(&signature, out);
                }
            }
            Open::Reasoning { id, sections, opaque } => {
                self.end_section(&id, &sections, out);
                let slot = opaque.as_ref().map(|opaque| envelope::write(opaque, Vendor::OpenAi));
                let texts = sections.iter();
                let texts = texts.map(|text| Object::of("summary_text").with("text", text).into());
                let item = Object::new()
                    .with("id", &id)
                    .with("type", "reasoning")
                    .with("summary", Json::Array(texts.collect()))
                    .maybe("encrypted_content", slot);
                self.done(item, out);
            }
            Open::Call { id, tool, mut arguments, shape } => {
                let function = tool.kind == CallKind::Function;
                if function && shape.is_empty() {
                    "{}".clone_into(&mut arguments);
                    self.argue(&id, &tool, "{}", out);
                }
                let whole = !function || shape.is_done() || shape.is_empty();
                self.open = Open::Call { id, tool, arguments, shape };
                // Arguments that were cut off are told apart by how the answer ended.
                if whole {
                    self.settle("completed", out);
                }
            }
        }
    }

    fn cite(&mut self, message: &mut Message, out: &mut Out<'_>) {
        let citations = std::mem::take(&mut message.citations);
        let at = message.parts.len();
        let Some(part) = &mut message.part else { return };
        let length = part.characters - message.before;
        for citation in &citations {
            let Some(cited) = answers::cited(citation, length, message.before) else {
                out.warn(Code::CitationsDropped, "output");
                continue;
            };
            let annotation = Raw::from(answer::annotation(&cited));
            let number = part.annotations.len();
            self.about("response.output_text.annotation.added", &message.id, out, |frame| {
                frame
                    .raw(",\"content_index\":")
                    .json(at)
                    .raw(",\"annotation_index\":")
                    .json(number)
                    .raw(",\"annotation\":")
                    .json(&annotation);
            });
            part.annotations.push(annotation);
        }
    }

    fn end_part(&mut self, message: &mut Message, out: &mut Out<'_>) {
        let Some(part) = message.part.take() else { return };
        let at = message.parts.len();
        let kind =
            if part.declines { "response.refusal.done" } else { "response.output_text.done" };
        self.about(kind, &message.id, out, |frame| {
            frame.raw(",\"content_index\":").json(at);
            match part.declines {
                true => frame.raw(",\"refusal\":").string(&part.text),
                false => frame.raw(",\"text\":").string(&part.text).raw(",\"logprobs\":[]"),
            };
        });
        let whole = Raw::from(part.json());
        self.about("response.content_part.done", &message.id, out, |frame| {
            frame.raw(",\"content_index\":").json(at).raw(",\"part\":").json(&whole);
        });
        message.parts.push(whole);
    }

    /// Ends the item that is open.
    fn settle(&mut self, status: &str, out: &mut Out<'_>) {
        match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Message(mut message) if !message.id.is_empty() => {
                self.end_part(&mut message, out);
                self.done(message.item(status), out);
            }
            Open::Call { id, tool, arguments, .. } => {
                let (kind, key) = match tool.kind {
                    CallKind::Function => ("response.function_call_arguments.done", "arguments"),
                    CallKind::Custom => ("response.custom_tool_call_input.done", "input"),
                };
                let name = NAMES.fit(None, &tool.name);
                self.about(kind, &id, out, |frame| {
                    if tool.kind == CallKind::Function {
                        frame.raw(",\"name\":").string(&name);
                    }
                    frame.raw(",").string(key).raw(":").string(&arguments);
                });
                self.done(call_item(&id, &tool, &arguments, status), out);
            }
            _ => {}
        }
    }

    fn close(&mut self, out: &mut Out<'_>) -> Flow {
        let (finish, message) = self.finish.take().unwrap_or((Finish::Stop, None));
        if finish == Finish::MalformedToolCall && !self.usable {
            return Err(malformed_call(message.as_deref()));
        }
        let reason = answer::incomplete(&finish, self.refused).unwrap_or_else(|| {
            out.warn(Code::FinishApproximated, "status");
            None
        });
        let status = if reason.is_some() { "incomplete" } else { "completed" };
        self.settle(status, out);
        let kind = match reason {
            Some(_) => "response.incomplete",
            None => "response.completed",
        };
        self.tell(kind, status, reason, None, out);
        Ok(())
    }
}

impl Message {
    fn item(&self, status: &str) -> Object<'static> {
        let content = self.parts.iter().cloned().map(Json::from).collect();
        Object::new()
            .with("id", self.id.clone())
            .with("type", "message")
            .with("status", status.to_owned())
            .with("role", "assistant")
            .with("content", Json::Array(content))
    }
}

impl ContentPart {
    fn new(declines: bool) -> Self {
        Self { declines, text: String::new(), characters: 0, annotations: Vec::new() }
    }

    fn json(&self) -> Json<'_> {
        if self.declines {
            return Object::of("refusal").with("refusal", &self.text).into();
        }
        let annotations = self.annotations.iter().map(Json::from).collect();
        Object::of("output_text")
            .with("text", &self.text)
            .with("annotations", Json::Array(annotations))
            .with("logprobs", Json::Array(Vec::new()))
            .into()
    }
}

/// The prefix of a call's item id, its type and the name of its arguments.
fn call_words(tool: &Tool) -> (&'static str, &'static str, &'static str) {
    match tool.kind {
        CallKind::Function => ("fc", "function_call", "arguments"),
        CallKind::Custom => ("ctc", "custom_tool_call", "input"),
    }
}

fn call_item<'a>(id: &'a str, tool: &'a Tool, arguments: &'a str, status: &'a str) -> Object<'a> {
    let (_, kind, key) = call_words(tool);
    Object::new()
        .with("id", id)
        .with("type", kind)
        .with("call_id", ids::short(&tool.id))
        .maybe("namespace", tool.namespace.as_ref())
        .with("name", NAMES.fit(None, &tool.name))
        .with(key, arguments)
        .with("status", status)
}

fn emit(kind: &'static str, number: u64, out: &mut Out<'_>, write: impl FnOnce(&mut Vec<u8>)) {
    out.frame(Some(kind), |text| {
        text.raw("{\"type\":\"").raw(kind).raw("\",\"sequence_number\":").number(number);
        write(text);
        text.raw("}");
    });
}
