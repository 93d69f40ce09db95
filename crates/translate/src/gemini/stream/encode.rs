use tollgate_core::{Protocol, Usage};
use tollgate_wire::Fault;

use crate::{
    codec::Asked,
    envelope,
    gemini::{NAMES, answer, usage},
    json::{Json, Object},
    model::{Args, CallKind, Finish, FinishDetail, Opaque, Part, Source, Vendor},
    restore,
    stream::{
        Delta, EncodeStream, Event, Flow, Head, InOrder, LIMIT, Out, Pen, Sink, Start, Tool,
        broken, failed,
    },
    warning::Code,
};

/// Writes a stream of partial answers, calls whole, with nothing behind the last.
#[derive(Debug)]
pub(crate) struct GeminiWriter {
    order: InOrder,
    stream: Stream,
}

#[derive(Debug)]
struct Stream {
    /// The id of the call, shown where the upstream gave none.
    id: String,
    /// The client reads reasoning.
    visible: bool,
    /// What each frame ends with.
    tail: Vec<u8>,
    candidates: Vec<Candidate>,
    usage: Option<Box<Usage>>,
}

#[derive(Debug)]
struct Candidate {
    index: u64,
    open: Open,
    /// A call could not be shown.
    malformed: bool,
    /// Something was declined.
    refused: bool,
    finish: Option<(Finish, Option<FinishDetail>)>,
}

#[derive(Debug)]
enum Open {
    Nothing,
    Text(Option<Opaque>),
    Thought { sections: usize, opaque: Option<Opaque> },
    Tool(Tool, String),
}

impl GeminiWriter {
    pub(crate) fn new(asked: &Asked) -> Self {
        let stream = Stream {
            id: asked.id.clone(),
            visible: asked.reasoning,
            tail: Vec::new(),
            candidates: Vec::new(),
            usage: None,
        };
        Self { order: InOrder::default(), stream }
    }
}

impl EncodeStream for GeminiWriter {
    fn event(&mut self, event: Event<'_>, out: &mut Out<'_>) -> Flow {
        self.order.event(event, &mut Writing { stream: &mut self.stream, out })
    }

    fn fail(&mut self, fault: &Fault, out: &mut Out<'_>) {
        failed(Protocol::Gemini, fault, &self.stream.id, out);
    }
}

struct Writing<'a, 'b> {
    stream: &'a mut Stream,
    out: &'a mut Out<'b>,
}

impl Sink for Writing<'_, '_> {
    fn event(&mut self, event: Event<'_>) -> Flow {
        let (stream, out) = (&mut *self.stream, &mut *self.out);
        match event {
            Event::Start(start) => stream.start(&start),
            Event::BlockStart { candidate, head, .. } => stream.begin(candidate, head, out),
            Event::Delta { candidate, delta, .. } => return stream.delta(candidate, delta, out),
            Event::BlockEnd { candidate, .. } => stream.end(candidate, out),
            Event::Finish(ending) => {
                let at = stream.candidate(ending.candidate);
                stream.candidates[at].finish = Some((ending.finish, ending.detail));
            }
            Event::Blocked(block) => {
                let at = stream.candidate(0);
                let detail = FinishDetail { category: None, message: block.message };
                stream.candidates[at].finish = Some((Finish::ContentFilter, Some(detail)));
            }
            Event::Usage(usage) => stream.usage = Some(usage),
            Event::End => stream.close(out),
            Event::Lost(..) => {}
        }
        Ok(())
    }
}

impl Stream {
    fn start(&mut self, start: &Start<'_>) {
        let id = if start.id.is_empty() { self.id.as_str() } else { &start.id };
        self.tail
            .raw(",\"modelVersion\":")
            .string(&start.model)
            .raw(",\"responseId\":")
            .string(id)
            .raw("}");
    }

    fn candidate(&mut self, index: u64) -> usize {
        let found = self.candidates.iter().position(|each| each.index == index);
        found.unwrap_or_else(|| {
            let open = Open::Nothing;
            self.candidates.push(Candidate {
                index,
                open,
                malformed: false,
                refused: false,
                finish: None,
            });
            self.candidates.len() - 1
        })
    }

    fn begin(&mut self, candidate: u64, head: Head, out: &mut Out<'_>) {
        let at = self.candidate(candidate);
        self.candidates[at].refused |= matches!(head, Head::Refusal);
        self.candidates[at].open = match head {
            Head::Text(signature) => Open::Text(signature),
            Head::Refusal => Open::Text(None),
            Head::Reasoning { .. } => Open::Thought { sections: 0, opaque: None },
            Head::Tool(tool) => Open::Tool(tool, String::new()),
            Head::Whole(part) => {
                self.whole(candidate, &part, out);
                Open::Nothing
            }
        };
    }

    fn whole(&self, candidate: u64, part: &Part, out: &mut Out<'_>) {
        let code = match part {
            Part::Media(media) => {
                if let Source::Base64 { mime, data } = &media.source {
                    let blob = Object::new().with("mimeType", mime).with("data", data);
                    let part = Object::new().with("inlineData", blob);
                    return self.part(candidate, out, |text| {
                        text.json(part);
                    });
                }
                Code::MediaDropped
            }
            Part::ServerToolCall(_) | Part::ServerToolResult(_) => Code::ServerToolDropped,
            _ => Code::UnknownField,
        };
        out.warn(code, "content");
    }

    fn delta(&mut self, candidate: u64, delta: Delta<'_>, out: &mut Out<'_>) -> Flow {
        let at = self.candidate(candidate);
        let visible = self.visible;
        match (&mut self.candidates[at].open, delta) {
            (Open::Text(_), Delta::Text(text)) => self.said(candidate, &text, false, out),
            (Open::Text(signature), Delta::Opaque(value)) => *signature = Some(value),
            (Open::Text(_), Delta::Citation(_)) => out.warn(Code::CitationsDropped, "content"),
            (Open::Thought { sections, .. }, Delta::Section) => {
                *sections += 1;
                if *sections > 1 && visible {
                    self.said(candidate, "\n\n", true, out);
                }
            }
            (Open::Thought { .. }, Delta::Text(text)) if visible => {
                self.said(candidate, &text, true, out);
            }
            (Open::Thought { opaque, .. }, Delta::Opaque(value)) => *opaque = Some(value),
            (Open::Tool(_, arguments), Delta::Text(text)) => {
                if arguments.len() + text.len() > LIMIT {
                    return Err(broken("the upstream calls a tool with too long arguments"));
                }
                arguments.push_str(&text);
            }
            (Open::Tool(tool, _), Delta::Opaque(value)) => tool.signature = Some(value),
            _ => {}
        }
        Ok(())
    }

    fn said(&self, candidate: u64, text: &str, thought: bool, out: &mut Out<'_>) {
        if text.is_empty() {
            return;
        }
        self.part(candidate, out, |frame| {
            frame.raw("{\"text\":").string(text);
            frame.raw(if thought { ",\"thought\":true}" } else { "}" });
        });
    }

    /// Writes a frame with one part.
    fn part(&self, candidate: u64, out: &mut Out<'_>, write: impl FnOnce(&mut Vec<u8>)) {
        out.frame(None, |text| {
            text.raw("{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[");
            write(text);
            text.raw("]},\"index\":").number(candidate).raw("}]");
            text.extend_from_slice(&self.tail);
        });
    }

    fn end(&mut self, candidate: u64, out: &mut Out<'_>) {
        let at = self.candidate(candidate);
        match std::mem::replace(&mut self.candidates[at].open, Open::Nothing) {
            Open::Nothing => {}
            Open::Text(None) | Open::Thought { opaque: None, .. } => {}
            Open::Text(Some(signature)) => {
                let part =
                    Object::new().with("text", "").with("thoughtSignature", slot(&signature));
                self.part(candidate, out, |text| {
                    text.json(part);
                });
            }
            Open::Thought { opaque: Some(opaque), .. } if self.visible => {
                let part = Object::new()
                    .with("text", "")
                    .with("thought", true)
                    .with("thoughtSignature", slot(&opaque));
                self.part(candidate, out, |text| {
                    text.json(part);
                });
            }
            Open::Thought { .. } => {}
            Open::Tool(tool, arguments) => self.call(candidate, &tool, &arguments, out),
        }
    }

    fn call(&mut self, candidate: u64, tool: &Tool, arguments: &str, out: &mut Out<'_>) {
        let args: Json<'_> = match (Args::of_text(arguments), tool.kind) {
            (_, CallKind::Custom) => restore::wrap_free_text(arguments).into(),
            (Args::Json(object), CallKind::Function) => object.into(),
            (Args::Text(_), CallKind::Function) => {
                let at = self.candidate(candidate);
                self.candidates[at].malformed = true;
                return out.warn(Code::InvalidToolArguments, "content");
            }
        };
        let name = NAMES.fit(tool.namespace.as_deref(), &tool.name);
        let function = Object::new().with("id", &tool.id).with("name", name).with("args", args);
        let part = Object::new()
            .with("functionCall", function)
            .maybe("thoughtSignature", tool.signature.as_ref().map(slot));
        self.part(candidate, out, |text| {
            text.json(part);
        });
    }

    fn close(&mut self, out: &mut Out<'_>) {
        let usage = self.usage.take();
        let last = self.candidates.len().saturating_sub(1);
        for (at, candidate) in self.candidates.iter().enumerate() {
            let usage = usage.as_deref().filter(|_| at == last).map(usage::write);
            let (finish, message) = candidate.ending(out);
            let content =
                Object::new().with("role", "model").with("parts", Json::Array(Vec::new()));
            let last = Object::new()
                .with("content", content)
                .with("finishReason", finish)
                .with("index", candidate.index)
                .maybe("finishMessage", message);
            let tail = &self.tail;
            out.frame(None, |text| {
                text.raw("{\"candidates\":[").json(last).raw("]");
                if let Some(usage) = usage {
                    text.raw(",\"usageMetadata\":").json(usage);
                }
                text.extend_from_slice(tail);
            });
        }
    }
}

impl Candidate {
    fn ending(&self, out: &mut Out<'_>) -> (&'static str, Option<&str>) {
        if self.malformed {
            return ("MALFORMED_FUNCTION_CALL", Some(answer::MALFORMED));
        }
        let (finish, detail) = match &self.finish {
            Some((finish, detail)) => (finish, detail.as_ref()),
            None => (&Finish::Stop, None),
        };
        if *finish == Finish::PauseTurn {
            out.warn(Code::FinishApproximated, "finishReason");
        }
        (answer::word(finish, self.refused), detail.and_then(|detail| detail.message.as_deref()))
    }
}

fn slot(opaque: &Opaque) -> String {
    envelope::write(opaque, Vendor::Google)
}
