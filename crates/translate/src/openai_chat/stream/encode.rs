use std::borrow::Cow;

use tollgate_core::{Protocol, Usage};
use tollgate_wire::Fault;

use crate::{
    answers,
    codec::Asked,
    json::{Json, Object},
    model::{CallKind, Citation, Finish, Opaque, Part, Place, Reasoning},
    names::OPENAI as NAMES,
    openai,
    openai_chat::{answer, reasoning, turns::put_signature},
    stream::{
        Delta, EncodeStream, Ending, Event, Flow, Head, LIMIT, Out, Pen, Start, Tool, broken,
        failed, malformed_call,
    },
    warning::{Code, Report},
};

/// Writes a stream of chunks.
#[derive(Debug)]
pub(crate) struct ChatWriter {
    source: Protocol,
    /// The id of the call and the time, shown where the upstream gave none.
    id: String,
    now: i64,
    legacy: bool,
    /// The client asked for usage.
    tells_usage: bool,
    /// What each chunk begins with, as far as the index of its choice.
    head: Vec<u8>,
    choices: Vec<Choice>,
    /// Choices that ended in nothing but a malformed call, and what was said of it.
    malformed: Vec<(u64, Option<String>)>,
    usage: Option<Box<Usage>>,
}

#[derive(Debug, Default)]
struct Choice {
    index: u64,
    open: Vec<Open>,
    /// How many calls began.
    calls: u64,
    /// How many details of reasoning were told.
    details: usize,
    /// How many characters of text were told.
    characters: usize,
    /// Reasoning was told, and more of it begins with a blank line.
    thought: bool,
    pauses: bool,
    citations: Vec<Json<'static>>,
    signature: Option<String>,
    /// Something was told that a client can use.
    usable: bool,
    finished: bool,
}

#[derive(Debug)]
struct Open {
    block: u64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Text {
        before: usize,
        citations: Vec<Citation>,
    },
    Refusal,
    Reasoning(Reasoning),
    Tool {
        place: CallPlace,
        id: String,
        custom: bool,
        is_empty: bool,
    },
    /// Not shown.
    Nothing,
}

/// Where a call is written.
#[derive(Clone, Copy, Debug)]
enum CallPlace {
    /// In the form of a time when there was one at most.
    Legacy,
    Index(u64),
}

impl ChatWriter {
    pub(crate) fn new(asked: &Asked, source: Protocol) -> Self {
        Self {
            source,
            id: asked.id.clone(),
            now: asked.now,
            legacy: asked.legacy_functions,
            tells_usage: asked.stream_usage,
            head: Vec::new(),
            choices: Vec::new(),
            malformed: Vec::new(),
            usage: None,
        }
    }

    fn start(&mut self, start: &Start<'_>) {
        let id = if start.id.is_empty() { self.id.as_str() } else { &start.id };
        let prefix = if id.starts_with("chatcmpl-") { "" } else { "chatcmpl-" };
        let created = if start.created == 0 { self.now } else { start.created };
        self.head
            .raw("{\"id\":")
            .string(&format!("{prefix}{id}"))
            .raw(",\"object\":\"chat.completion.chunk\",\"created\":")
            .json(created)
            .raw(",\"model\":")
            .string(&start.model)
            .raw(",\"choices\":[");
    }

    /// Where a choice stands among the choices; its first chunk says whose it is.
    fn choice(&mut self, index: u64, out: &mut Out<'_>) -> usize {
        if let Some(at) = self.choices.iter().position(|choice| choice.index == index) {
            return at;
        }
        self.choices.push(Choice { index, ..Choice::default() });
        self.chunks().delta(index, out, |text| {
            text.raw("\"role\":\"assistant\",\"content\":\"\"");
        });
        self.choices.len() - 1
    }

    fn chunks(&self) -> Chunks<'_> {
        Chunks { head: &self.head, tells_usage: self.tells_usage }
    }

    /// A choice and what writes its chunks.
    fn both(&mut self, index: u64, out: &mut Out<'_>) -> (&mut Choice, Chunks<'_>) {
        let at = self.choice(index, out);
        let chunks = Chunks { head: &self.head, tells_usage: self.tells_usage };
        (&mut self.choices[at], chunks)
    }

    fn finish(&mut self, ending: Ending, out: &mut Out<'_>) {
        let (source, legacy) = (self.source, self.legacy);
        let (choice, chunks) = self.both(ending.candidate, out);
        if choice.finished {
            return;
        }
        choice.finished = true;
        choice.last(&chunks, out);
        if ending.finish == Finish::MalformedToolCall && !choice.usable {
            let message = ending.detail.and_then(|detail| detail.message);
            self.malformed.push((ending.candidate, message));
            return;
        }
        let reason = answer::reason(&ending.finish, source, legacy).unwrap_or_else(|| {
            out.warn(Code::FinishApproximated, "finish_reason");
            "stop"
        });
        chunks.finish(ending.candidate, reason, out);
    }

    fn end(&mut self, out: &mut Out<'_>) -> Flow {
        if let Some((_, message)) = self.malformed.first()
            && self.malformed.len() == self.choices.len()
        {
            return Err(malformed_call(message.as_deref()));
        }
        for (candidate, _) in std::mem::take(&mut self.malformed) {
            out.warn(Code::FinishApproximated, "finish_reason");
            self.chunks().finish(candidate, "stop", out);
        }
        if let Some(usage) = self.usage.take().filter(|_| self.tells_usage) {
            let head = &self.head;
            out.frame(None, |text| {
                text.extend_from_slice(head);
                text.raw("],\"usage\":").json(openai::put_usage(&usage, &answer::USAGE)).raw("}");
            });
        }
        out.frame(None, |text| {
            text.raw("[DONE]");
        });
        Ok(())
    }
}

impl EncodeStream for ChatWriter {
    fn event(&mut self, event: Event<'_>, out: &mut Out<'_>) -> Flow {
        match event {
            Event::Start(start) => self.start(&start),
            Event::BlockStart { candidate, block, head } => {
                let legacy = self.legacy;
                let (choice, chunks) = self.both(candidate, out);
                choice.begin(block, head, legacy, &chunks, out);
            }
            Event::Delta { candidate, block, delta } => {
                let (choice, chunks) = self.both(candidate, out);
                return choice.delta(block, delta, &chunks, out);
            }
            Event::BlockEnd { candidate, block } => {
                let (choice, chunks) = self.both(candidate, out);
                choice.end(block, &chunks, out);
            }
            Event::Finish(ending) => self.finish(ending, out),
            Event::Blocked(_) => {
                let finish = Finish::ContentFilter;
                let ending = Ending { candidate: 0, finish, native: String::new(), detail: None };
                self.finish(ending, out);
            }
            Event::Usage(usage) => self.usage = Some(usage),
            Event::End => return self.end(out),
            Event::Lost(..) => {}
        }
        Ok(())
    }

    fn fail(&mut self, fault: &Fault, out: &mut Out<'_>) {
        failed(Protocol::OpenAiChat, fault, &self.id, out);
    }
}

/// Writes chunks.
#[derive(Debug)]
struct Chunks<'a> {
    head: &'a [u8],
    tells_usage: bool,
}

impl Chunks<'_> {
    /// Writes a chunk whose delta has these members.
    fn delta(&self, index: u64, out: &mut Out<'_>, write: impl FnOnce(&mut Vec<u8>)) {
        self.chunk(index, out, |text| {
            text.raw(",\"delta\":{");
            write(text);
            text.raw("},\"logprobs\":null,\"finish_reason\":null}]");
        });
    }

    fn finish(&self, index: u64, reason: &str, out: &mut Out<'_>) {
        self.chunk(index, out, |text| {
            text.raw(",\"delta\":{},\"logprobs\":null,\"finish_reason\":").string(reason).raw("}]");
        });
    }

    fn chunk(&self, index: u64, out: &mut Out<'_>, write: impl FnOnce(&mut Vec<u8>)) {
        out.frame(None, |text| {
            text.extend_from_slice(self.head);
            text.raw("{\"index\":").number(index);
            write(text);
            text.raw(if self.tells_usage { ",\"usage\":null}" } else { "}" });
        });
    }
}

impl Choice {
    fn begin(
        &mut self,
        block: u64,
        head: Head,
        legacy: bool,
        chunks: &Chunks<'_>,
        out: &mut Out<'_>,
    ) {
        let kind = match head {
            Head::Text(signature) => {
                self.sign(signature);
                Kind::Text { before: self.characters, citations: Vec::new() }
            }
            Head::Refusal => Kind::Refusal,
            Head::Reasoning { raw } => Kind::Reasoning(Reasoning { raw, ..Reasoning::default() }),
            Head::Tool(tool) => self.call(tool, legacy, chunks, out),
            Head::Whole(part) => {
                drop_part(&part, out.report());
                Kind::Nothing
            }
        };
        self.open.push(Open { block, kind });
    }

    fn sign(&mut self, signature: Option<Opaque>) {
        if let Some(signature) = signature {
            self.usable = true;
            self.signature = Some(signature.payload);
        }
    }

    fn call(&mut self, tool: Tool, legacy: bool, chunks: &Chunks<'_>, out: &mut Out<'_>) -> Kind {
        self.usable = true;
        let name = NAMES.fit(tool.namespace.as_deref(), &tool.name);
        let place = CallPlace::of(legacy, self.calls);
        let custom = tool.kind == CallKind::Custom;
        self.calls += 1;
        chunks.delta(self.index, out, |text| {
            place.head(&tool, &name, custom, text);
        });
        if let Some(signature) = &tool.signature {
            let detail = reasoning::encrypted(signature, Some(&tool.id));
            self.detail(vec![detail], chunks, out);
        }
        Kind::Tool { place, id: tool.id, custom, is_empty: true }
    }

    /// Tells details of reasoning, all in one chunk.
    fn detail(&mut self, details: Vec<Object<'_>>, chunks: &Chunks<'_>, out: &mut Out<'_>) {
        if details.is_empty() {
            return;
        }
        let first = self.details;
        self.details += details.len();
        let each = details.into_iter().zip(first..);
        let details: Vec<_> = each.map(|(d, at)| Json::from(d.with("index", at))).collect();
        chunks.delta(self.index, out, |text| {
            text.raw("\"reasoning_details\":").json(details);
        });
    }

    fn delta(
        &mut self,
        block: u64,
        delta: Delta<'_>,
        chunks: &Chunks<'_>,
        out: &mut Out<'_>,
    ) -> Flow {
        let Some(open) = self.open.iter_mut().find(|open| open.block == block) else {
            return Ok(());
        };
        match (&mut open.kind, delta) {
            (_, Delta::Text(text)) if text.is_empty() => {}
            (Kind::Text { .. }, Delta::Text(text)) => {
                self.usable = true;
                self.characters += text.chars().count();
                string(self.index, "\"content\":", &text, chunks, out);
            }
            (Kind::Text { citations, .. }, Delta::Citation(citation)) => citations.push(citation),
            (Kind::Text { .. }, Delta::Opaque(signature)) => self.sign(Some(signature)),
            (Kind::Refusal, Delta::Text(text)) => {
                self.usable = true;
                string(self.index, "\"refusal\":", &text, chunks, out);
            }
            (Kind::Reasoning(reasoning), delta) => {
                let Some(text) = think(reasoning, delta, &mut self.pauses, self.thought)? else {
                    return Ok(());
                };
                self.thought = true;
                string(self.index, "\"reasoning_content\":", &text, chunks, out);
            }
            (Kind::Tool { place, custom, is_empty, .. }, Delta::Text(text)) => {
                *is_empty = false;
                let (place, custom) = (*place, *custom);
                chunks.delta(self.index, out, |frame| place.fragment(custom, &text, frame));
            }
            (Kind::Tool { place, id, .. }, Delta::Opaque(signature)) => {
                let (place, id) = (*place, id.clone());
                chunks.delta(self.index, out, |frame| place.signature(&signature, frame));
                let detail = reasoning::encrypted(&signature, Some(&id));
                self.detail(vec![detail], chunks, out);
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, block: u64, chunks: &Chunks<'_>, out: &mut Out<'_>) {
        let Some(at) = self.open.iter().position(|open| open.block == block) else { return };
        match self.open.swap_remove(at).kind {
            Kind::Text { before, citations } => self.cite(before, &citations, out),
            Kind::Reasoning(reasoning) => {
                let mut details = Vec::new();
                if !reasoning.text.is_empty() || reasoning.opaque.is_some() {
                    reasoning::put_details(&reasoning, &mut details);
                }
                self.detail(details, chunks, out);
            }
            Kind::Tool { place, custom: false, is_empty: true, .. } => {
                chunks.delta(self.index, out, |frame| place.fragment(false, "{}", frame));
            }
            _ => {}
        }
    }

    fn cite(&mut self, before: usize, citations: &[Citation], out: &mut Out<'_>) {
        let length = self.characters - before;
        for citation in citations {
            match answers::cited(citation, length, before) {
                Some(cited) => self.citations.push(answer::annotation(&cited).into_owned()),
                None => out.warn(Code::CitationsDropped, "citations"),
            }
        }
    }

    /// What stands before the finish.
    fn last(&mut self, chunks: &Chunks<'_>, out: &mut Out<'_>) {
        if !self.citations.is_empty() {
            let citations = std::mem::take(&mut self.citations);
            chunks.delta(self.index, out, |text| {
                text.raw("\"annotations\":").json(citations);
            });
        }
        if let Some(signature) = self.signature.take() {
            let mut members = Object::new();
            put_signature(&mut members, Some(&signature));
            chunks.delta(self.index, out, |text| members_of(members, text));
        }
    }
}

/// Takes in what is new of reasoning; what of it is shown at once.
fn think<'a>(
    reasoning: &mut Reasoning,
    delta: Delta<'a>,
    pauses: &mut bool,
    thought: bool,
) -> Result<Option<Cow<'a, str>>, Box<Fault>> {
    match delta {
        Delta::Section => {
            reasoning.text.push(String::new());
            *pauses = true;
            Ok(None)
        }
        Delta::Opaque(opaque) => {
            reasoning.opaque = Some(opaque);
            Ok(None)
        }
        Delta::Text(text) => {
            let held: usize = reasoning.text.iter().map(String::len).sum();
            if held + text.len() > LIMIT {
                return Err(broken("the upstream reasons at too great length"));
            }
            match reasoning.text.last_mut() {
                Some(section) => section.push_str(&text),
                None => reasoning.text.push(text.clone().into_owned()),
            }
            let pauses = std::mem::take(pauses) && thought;
            Ok(Some(if pauses { format!("\n\n{text}").into() } else { text }))
        }
        Delta::Citation(_) => Ok(None),
    }
}

fn string(index: u64, name: &str, text: &str, chunks: &Chunks<'_>, out: &mut Out<'_>) {
    chunks.delta(index, out, |frame| {
        frame.raw(name).string(text);
    });
}

fn members_of(object: Object<'_>, text: &mut Vec<u8>) {
    for (at, (name, value)) in object.0.into_iter().enumerate() {
        if at > 0 {
            text.raw(",");
        }
        text.string(&name).raw(":").json(value);
    }
}

fn drop_part(part: &Part, report: &mut Report) {
    match part {
        Part::ServerToolCall(_) | Part::ServerToolResult(_) => {
            report.path(Code::ServerToolDropped, "content");
        }
        Part::Media(_) => report.path(Code::MediaDropped, "content"),
        _ => report.place(Code::UnknownField, Place::Item(0)),
    }
}

impl CallPlace {
    fn of(legacy: bool, calls: u64) -> Self {
        if legacy && calls == 0 { Self::Legacy } else { Self::Index(calls) }
    }

    fn head(self, tool: &Tool, name: &str, custom: bool, text: &mut Vec<u8>) {
        let inner = Object::new().with("name", name);
        let inner = inner.with(if custom { "input" } else { "arguments" }, "");
        let Self::Index(index) = self else {
            text.raw("\"function_call\":").json(inner);
            return;
        };
        let kind = if custom { "custom" } else { "function" };
        let mut call = Object::new()
            .with("index", index)
            .with("id", &tool.id)
            .with("type", kind)
            .with(kind, inner);
        put_signature(&mut call, tool.signature.as_ref().map(|s| s.payload.as_str()));
        text.raw("\"tool_calls\":[").json(call).raw("]");
    }

    fn fragment(self, custom: bool, arguments: &str, text: &mut Vec<u8>) {
        let Self::Index(index) = self else {
            text.raw("\"function_call\":{\"arguments\":").string(arguments).raw("}");
            return;
        };
        text.raw("\"tool_calls\":[{\"index\":").number(index).raw(if custom {
            ",\"custom\":{\"input\":"
        } else {
            ",\"function\":{\"arguments\":"
        });
        text.string(arguments).raw("}}]");
    }

    fn signature(self, signature: &Opaque, text: &mut Vec<u8>) {
        let mut call = Object::new();
        if let Self::Index(index) = self {
            call.put("index", index);
        }
        put_signature(&mut call, Some(&signature.payload));
        match self {
            Self::Index(_) => text.raw("\"tool_calls\":[").json(call).raw("]"),
            Self::Legacy => text.raw("\"function_call\":").json(call),
        };
    }
}
