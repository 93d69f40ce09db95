use tollgate_core::Protocol;
use tollgate_wire::Fault;

use crate::{
    anthropic_messages::{NAMES, answer, usage},
    codec::Asked,
    envelope, ids,
    json::{Json, Object, Prefix},
    model::{CallKind, Citation, Finish, FinishDetail, Opaque, OpaqueKind, Part, Vendor},
    stream::{
        Delta, EncodeStream, Event, Flow, Head, InOrder, Out, Pen, Sink, Start, Tool, failed,
        malformed_call,
    },
    warning::Code,
};

/// Writes a stream of named events, one block open at a time.
#[derive(Debug)]
pub(crate) struct MessagesWriter {
    order: InOrder,
    message: Message,
}

#[derive(Debug)]
struct Message {
    /// The id of the call: shown where the upstream gave none, and in errors.
    id: String,
    /// The client reads reasoning.
    visible: bool,
    /// The alternative that is shown; there is room for one.
    candidate: Option<u64>,
    /// The index of the next block.
    next: u64,
    open: Open,
    /// Something was shown that a client can use.
    usable: bool,
    refused: bool,
    /// The call whose arguments did not come to their end: it stays open until it is known why.
    torn: Option<u64>,
    /// The signature of a text that is over.
    late: Option<Opaque>,
    finish: Option<(Finish, Option<FinishDetail>)>,
    usage: Option<Box<tollgate_core::Usage>>,
}

/// The block that is open.
#[derive(Debug)]
enum Open {
    /// None, or one that is not shown.
    None,
    Text {
        index: Option<u64>,
        signature: Option<Opaque>,
        declines: bool,
    },
    Thinking {
        index: Option<u64>,
        sections: usize,
        opaque: Option<Opaque>,
    },
    Tool {
        index: u64,
        arguments: Prefix,
    },
    /// Free text in the one member a stand-in's object has.
    Custom {
        index: u64,
    },
}

impl MessagesWriter {
    pub(crate) fn new(asked: &Asked) -> Self {
        let message = Message {
            id: asked.id.clone(),
            visible: asked.reasoning,
            candidate: None,
            next: 0,
            open: Open::None,
            usable: false,
            refused: false,
            torn: None,
            late: None,
            finish: None,
            usage: None,
        };
        Self { order: InOrder::default(), message }
    }
}

impl EncodeStream for MessagesWriter {
    fn event(&mut self, event: Event<'_>, out: &mut Out<'_>) -> Flow {
        self.order.event(event, &mut Writing { message: &mut self.message, out })
    }

    fn fail(&mut self, fault: &Fault, out: &mut Out<'_>) {
        failed(Protocol::AnthropicMessages, fault, &self.message.id, out);
    }
}

struct Writing<'a, 'b> {
    message: &'a mut Message,
    out: &'a mut Out<'b>,
}

impl Sink for Writing<'_, '_> {
    fn event(&mut self, event: Event<'_>) -> Flow {
        let (message, out) = (&mut *self.message, &mut *self.out);
        match event {
            Event::Start(start) => message.start(&start, out),
            Event::BlockStart { candidate, head, .. } if message.is_shown(candidate, out) => {
                return message.begin(head, out);
            }
            Event::Delta { candidate, delta, .. } if message.is_shown(candidate, out) => {
                return message.delta(delta, out);
            }
            Event::BlockEnd { candidate, .. } if message.is_shown(candidate, out) => {
                message.end(out);
            }
            Event::Finish(ending) if message.is_shown(ending.candidate, out) => {
                message.finish = Some((ending.finish, ending.detail));
            }
            Event::Blocked(block) => {
                let detail = FinishDetail { category: None, message: block.message };
                message.finish = Some((Finish::ContentFilter, Some(detail)));
            }
            Event::Usage(usage) => message.usage = Some(usage),
            Event::End => return message.close(out),
            _ => {}
        }
        Ok(())
    }
}

impl Message {
    fn start(&mut self, start: &Start<'_>, out: &mut Out<'_>) {
        let id = if start.id.is_empty() { self.id.as_str() } else { &start.id };
        let prefix = if id.starts_with("msg_") { "" } else { "msg_" };
        let message = Object::new()
            .with("id", format!("{prefix}{id}"))
            .with("type", "message")
            .with("role", "assistant")
            .with("model", start.model.as_ref())
            .with("content", Json::Array(Vec::new()))
            .with("stop_reason", Json::Null)
            .with("stop_sequence", Json::Null)
            .with("stop_details", Json::Null)
            .with("usage", usage::write(start.usage.as_deref()))
            .with("container", Json::Null);
        self.usage.clone_from(&start.usage);
        out.frame(Some("message_start"), |text| {
            text.raw("{\"type\":\"message_start\",\"message\":").json(message).raw("}");
        });
        out.frame(Some("ping"), |text| {
            text.raw("{\"type\":\"ping\"}");
        });
    }

    fn is_shown(&mut self, candidate: u64, out: &mut Out<'_>) -> bool {
        let shown = *self.candidate.get_or_insert(candidate) == candidate;
        if !shown {
            out.warn(Code::DroppedField, "candidates");
        }
        shown
    }

    fn begin(&mut self, head: Head, out: &mut Out<'_>) -> Flow {
        if self.torn.is_some() {
            return Err(malformed_call(None));
        }
        self.open = match head {
            Head::Text(signature) => {
                if let Some(signature) = signature {
                    self.carry(&signature, out);
                }
                Open::Text { index: None, signature: None, declines: false }
            }
            Head::Refusal => Open::Text { index: None, signature: None, declines: true },
            Head::Reasoning { .. } => Open::Thinking { index: None, sections: 0, opaque: None },
            Head::Tool(tool) => self.call(&tool, out),
            Head::Whole(part) => {
                let code = match part {
                    Part::ServerToolCall(_) | Part::ServerToolResult(_) => Code::ServerToolDropped,
                    Part::Media(_) => Code::MediaDropped,
                    _ => Code::UnknownField,
                };
                out.warn(code, "content");
                Open::None
            }
        };
        Ok(())
    }

    fn call(&mut self, tool: &Tool, out: &mut Out<'_>) -> Open {
        if let Some(signature) = &tool.signature {
            self.carry(signature, out);
        }
        self.usable = true;
        let head = Object::of("tool_use")
            .with("id", ids::narrow(&tool.id))
            .with("name", NAMES.fit(tool.namespace.as_deref(), &tool.name))
            .with("input", Object::new())
            .with("caller", Object::of("direct"));
        let index = self.start_block(head, out);
        match tool.kind {
            CallKind::Function => Open::Tool { index, arguments: Prefix::default() },
            CallKind::Custom => {
                input(index, "{\"input\":\"", out);
                Open::Custom { index }
            }
        }
    }

    /// Carries the signature of what follows.
    fn carry(&mut self, signature: &Opaque, out: &mut Out<'_>) {
        let data = envelope::write(signature, Vendor::Anthropic);
        let index = self.start_block(Object::of("redacted_thinking").with("data", data), out);
        stop_block(index, out);
    }

    /// Starts a block, and before it the carrier of a signature that came after its text.
    ///
    /// At the very end there is none: clients take the last block for the answer.
    fn start_block(&mut self, head: Object<'_>, out: &mut Out<'_>) -> u64 {
        if let Some(signature) = self.late.take() {
            self.carry(&signature, out);
        }
        let index = self.next;
        self.next += 1;
        out.frame(Some("content_block_start"), |text| {
            text.raw("{\"type\":\"content_block_start\",\"index\":")
                .number(index)
                .raw(",\"content_block\":")
                .json(head)
                .raw("}");
        });
        index
    }

    fn delta(&mut self, delta: Delta<'_>, out: &mut Out<'_>) -> Flow {
        match (std::mem::replace(&mut self.open, Open::None), delta) {
            (Open::Text { index, signature, declines }, Delta::Text(text)) => {
                let index = match index {
                    None if !text.is_empty() => {
                        self.usable = true;
                        self.refused |= declines;
                        Some(self.start_block(Object::of("text").with("text", ""), out))
                    }
                    index => index,
                };
                if let Some(index) = index {
                    grow(index, "{\"type\":\"text_delta\",\"text\":", &text, out);
                }
                self.open = Open::Text { index, signature, declines };
            }
            (Open::Text { index, declines, .. }, Delta::Opaque(signature)) => {
                self.open = Open::Text { index, signature: Some(signature), declines };
            }
            (Open::Thinking { index, sections, opaque }, delta) => {
                self.open = self.think(index, sections, opaque, delta, out);
            }
            (Open::Tool { index, mut arguments }, Delta::Text(text)) => {
                if arguments.push(&text).is_err() {
                    return Err(malformed_call(None));
                }
                grow(index, "{\"type\":\"input_json_delta\",\"partial_json\":", &text, out);
                self.open = Open::Tool { index, arguments };
            }
            (Open::Custom { index }, Delta::Text(text)) => {
                let quoted = Json::from(text.as_ref()).to_string();
                input(index, &quoted[1..quoted.len() - 1], out);
                self.open = Open::Custom { index };
            }
            (open, delta) => {
                self.open = open;
                lost(&delta, out);
            }
        }
        Ok(())
    }

    fn think(
        &mut self,
        mut index: Option<u64>,
        mut sections: usize,
        mut opaque: Option<Opaque>,
        delta: Delta<'_>,
        out: &mut Out<'_>,
    ) -> Open {
        let text = match delta {
            Delta::Section => {
                sections += 1;
                if sections > 1 { "\n\n".into() } else { "".into() }
            }
            Delta::Text(text) => text,
            Delta::Opaque(value) => {
                opaque = Some(value);
                return Open::Thinking { index, sections, opaque };
            }
            Delta::Citation(_) => return Open::Thinking { index, sections, opaque },
        };
        if self.visible {
            let index = *index.get_or_insert_with(|| {
                let head = Object::of("thinking").with("thinking", "").with("signature", "");
                self.start_block(head, out)
            });
            grow(index, "{\"type\":\"thinking_delta\",\"thinking\":", &text, out);
        }
        Open::Thinking { index, sections, opaque }
    }

    fn end(&mut self, out: &mut Out<'_>) {
        match std::mem::replace(&mut self.open, Open::None) {
            Open::None => {}
            Open::Text { index, signature, .. } => match (index, signature) {
                (Some(index), late) => {
                    stop_block(index, out);
                    self.late = late;
                }
                (None, Some(signature)) => self.carry(&signature, out),
                (None, None) => {}
            },
            Open::Thinking { index, opaque, .. } => self.end_thinking(index, opaque, out),
            Open::Tool { index, arguments } => {
                if arguments.is_empty() {
                    input(index, "{}", out);
                }
                if !arguments.is_empty() && !arguments.is_done() {
                    self.torn = Some(index);
                    return;
                }
                stop_block(index, out);
            }
            Open::Custom { index } => {
                input(index, "\"}", out);
                stop_block(index, out);
            }
        }
    }

    fn end_thinking(&mut self, index: Option<u64>, opaque: Option<Opaque>, out: &mut Out<'_>) {
        match (index, opaque) {
            (Some(index), opaque) => {
                if let Some(opaque) = opaque {
                    let slot = envelope::write(&opaque, Vendor::Anthropic);
                    grow(index, "{\"type\":\"signature_delta\",\"signature\":", &slot, out);
                }
                stop_block(index, out);
            }
            (None, Some(opaque)) if self.visible || opaque.kind == OpaqueKind::Call => {
                self.carry(&opaque, out);
            }
            _ => {}
        }
    }

    /// Ends the message, or finds that it cannot be shown.
    fn close(&mut self, out: &mut Out<'_>) -> Flow {
        let (finish, detail) = self.finish.take().unwrap_or((Finish::Stop, None));
        let cut = matches!(
            finish,
            Finish::Length | Finish::ContextWindow | Finish::ContentFilter | Finish::Refusal
        );
        let unusable = finish == Finish::MalformedToolCall && !self.usable;
        if unusable || (self.torn.is_some() && !cut) {
            return Err(malformed_call(detail.as_ref().and_then(|d| d.message.as_deref())));
        }
        if let Some(index) = self.torn {
            stop_block(index, out);
        }
        let (reason, sequence) = answer::reason(&finish, self.refused);
        let reason = reason.unwrap_or_else(|| {
            out.warn(Code::FinishApproximated, "stop_reason");
            "end_turn"
        });
        if self.usage.is_none() {
            out.warn(Code::DefaultFilled, "usage");
        }
        if self.late.take().is_some() {
            out.warn(Code::SignatureDropped, "content");
        }
        let details = answer::stop_details(detail.as_ref(), reason);
        let delta = Object::new()
            .with("stop_reason", reason)
            .with("stop_sequence", sequence.map_or(Json::Null, Json::from))
            .with("stop_details", details.map_or(Json::Null, Json::from));
        let event = Object::of("message_delta")
            .with("delta", delta)
            .with("usage", usage::write(self.usage.as_deref()));
        out.frame(Some("message_delta"), |text| {
            text.json(event);
        });
        out.frame(Some("message_stop"), |text| {
            text.raw("{\"type\":\"message_stop\"}");
        });
        Ok(())
    }
}

/// Writes a delta whose object begins so and whose last member is `text`.
fn grow(index: u64, begin: &str, text: &str, out: &mut Out<'_>) {
    if text.is_empty() {
        return;
    }
    out.frame(Some("content_block_delta"), |frame| {
        frame
            .raw("{\"type\":\"content_block_delta\",\"index\":")
            .number(index)
            .raw(",\"delta\":")
            .raw(begin)
            .string(text)
            .raw("}}");
    });
}

fn input(index: u64, text: &str, out: &mut Out<'_>) {
    grow(index, "{\"type\":\"input_json_delta\",\"partial_json\":", text, out);
}

fn stop_block(index: u64, out: &mut Out<'_>) {
    out.frame(Some("content_block_stop"), |text| {
        text.raw("{\"type\":\"content_block_stop\",\"index\":").number(index).raw("}");
    });
}

fn lost(delta: &Delta<'_>, out: &mut Out<'_>) {
    match delta {
        Delta::Citation(Citation { .. }) => out.warn(Code::CitationsDropped, "content"),
        Delta::Opaque(_) => out.warn(Code::SignatureDropped, "content"),
        _ => {}
    }
}
