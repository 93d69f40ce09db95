use std::collections::BTreeSet;

use tollgate_wire::Fault;

use crate::{
    json::{Fields, Node},
    model::{CallKind, Part, ServerToolCall},
    openai_responses::{answer, items},
    stream::{DecodeStream, Delta, Ending, Event, Flow, Head, Sink, Start, Tool, broken},
    warning::Code,
};

/// Reads a stream of named events. What an event that ends something has more than was told
/// before is told then; texts are not kept for it.
#[derive(Debug, Default)]
pub(crate) struct ResponsesReader {
    started: bool,
    /// The number of the next block.
    next: u64,
    open: Vec<Item>,
    /// Items that are whole, by their place in the output.
    done: BTreeSet<u64>,
    said: Said,
    status: String,
    reason: String,
}

/// What the answer holds, for its finish.
#[derive(Debug, Default)]
struct Said {
    called: bool,
    refused: bool,
    /// Anything beside refusals and reasoning.
    other: bool,
}

/// An item that is not whole.
#[derive(Debug)]
struct Item {
    at: u64,
    id: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Its parts, by place.
    Message(Vec<Piece>),
    Reasoning(Thinking),
    /// A call, once what must be known of it is.
    Call {
        block: Option<u64>,
        told: Tally,
    },
    /// Told when it is whole.
    Other,
}

/// An item of reasoning: its sections, by place, all of one kind; the first begins the block.
#[derive(Debug, Default)]
struct Thinking {
    block: Option<u64>,
    /// The reasoning itself, not a summary.
    raw: bool,
    sections: Vec<Piece>,
}

/// A part of a message or a section of reasoning.
#[derive(Debug)]
struct Piece {
    at: u64,
    block: u64,
    told: Tally,
    citations: usize,
    refusal: bool,
    open: bool,
}

/// A text that was told: its length, and enough to know it again.
#[derive(Clone, Copy, Debug)]
struct Tally {
    bytes: usize,
    hash: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self { bytes: 0, hash: 0xcbf2_9ce4_8422_2325 }
    }
}

impl Tally {
    fn push(&mut self, text: &str) {
        self.bytes += text.len();
        for byte in text.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// What `whole` has more; `None` if it is another text.
    fn rest<'a>(&self, whole: &'a str) -> Option<&'a str> {
        let head = whole.get(..self.bytes)?;
        let mut same = Self::default();
        same.push(head);
        (same.hash == self.hash).then(|| &whole[self.bytes..])
    }
}

const CANDIDATE: u64 = 0;

/// Tells blocks as they are found.
struct Teller<'a> {
    /// The number of the next block.
    next: &'a mut u64,
    said: &'a mut Said,
    out: &'a mut dyn Sink,
}

impl Teller<'_> {
    fn begin(&mut self, head: Head) -> Result<u64, Box<Fault>> {
        let block = *self.next;
        *self.next += 1;
        self.out.event(Event::BlockStart { candidate: CANDIDATE, block, head })?;
        Ok(block)
    }

    fn tell(&mut self, block: u64, delta: Delta<'_>) -> Flow {
        self.out.event(Event::Delta { candidate: CANDIDATE, block, delta })
    }

    fn end(&mut self, block: u64) -> Flow {
        self.out.event(Event::BlockEnd { candidate: CANDIDATE, block })
    }

    /// Tells what a text that is whole has more than was told.
    fn rest(&mut self, block: u64, told: &mut Tally, whole: &str) -> Flow {
        match told.rest(whole) {
            Some("") => Ok(()),
            Some(rest) => {
                told.push(rest);
                self.tell(block, Delta::Text(rest.into()))
            }
            None => self.out.event(Event::Lost(Code::UnknownField, "output")),
        }
    }

    fn end_all(&mut self, pieces: &[Piece]) -> Flow {
        let open = pieces.iter().filter(|piece| piece.open);
        open.map(|piece| piece.block).try_for_each(|block| self.end(block))
    }
}

impl DecodeStream for ResponsesReader {
    fn event(&mut self, name: Option<&str>, data: &[u8], out: &mut dyn Sink) -> Flow {
        if data.trim_ascii() == b"[DONE]" {
            return Ok(());
        }
        let fields = Node::parse(data).ok().and_then(Node::fields);
        let mut fields =
            fields.ok_or_else(|| broken("the upstream sent an event that is no object"))?;
        let kind = match name {
            Some(name) if name.starts_with("response.") => name.into(),
            _ => fields.take("type").and_then(Node::str).unwrap_or_default(),
        };
        if kind.starts_with("response.") && kind != "response.queued" {
            self.start(&fields, out)?;
        }
        self.read(&kind, fields, out)
    }

    fn finish(&mut self, out: &mut dyn Sink) -> Flow {
        for item in std::mem::take(&mut self.open) {
            item.abandon(&mut self.teller(out))?;
        }
        let Said { called, refused, other } = self.said;
        let finish = answer::finish(&self.status, &self.reason, refused && !other, called);
        let native = if self.reason.is_empty() { &self.status } else { &self.reason };
        let native = native.clone();
        out.event(Event::Finish(Ending { candidate: CANDIDATE, finish, native, detail: None }))
    }
}

impl ResponsesReader {
    fn teller<'a>(&'a mut self, out: &'a mut dyn Sink) -> Teller<'a> {
        Teller { next: &mut self.next, said: &mut self.said, out }
    }

    fn start(&mut self, fields: &Fields<'_>, out: &mut dyn Sink) -> Flow {
        if self.started {
            return Ok(());
        }
        self.started = true;
        let mut response = fields.peek("response").and_then(Node::fields).unwrap_or_default();
        let mut text = |name| response.take(name).and_then(Node::str).unwrap_or_default();
        let (id, model) = (text("id"), text("model"));
        let created = response.take("created_at").and_then(Node::number).and_then(|n| n.as_i64());
        let created = created.unwrap_or(0);
        out.event(Event::Start(Start { id, model, created, usage: None }))
    }

    fn read(&mut self, kind: &str, mut fields: Fields<'_>, out: &mut dyn Sink) -> Flow {
        match kind {
            "response.output_item.added" => self.added(&mut fields, out),
            "response.output_item.done" => {
                let Some(item) = fields.take("item") else { return Ok(()) };
                let at = self.place(&mut fields, item);
                self.whole(at, item, out)
            }
            "response.completed" | "response.incomplete" => {
                let response = fields.take("response").and_then(Node::fields).unwrap_or_default();
                self.status = kind.trim_start_matches("response.").to_owned();
                self.end(response, out)
            }
            _ => match kind.rsplit_once('.') {
                Some((_, "delta" | "done" | "added")) => self.part(kind, &mut fields, out),
                _ => Ok(()),
            },
        }
    }

    /// Where an item stands; counted where it is not said.
    fn place(&self, fields: &mut Fields<'_>, item: Node<'_>) -> u64 {
        let said = fields.take("output_index").and_then(Node::u64);
        let id = item.get("id").and_then(Node::str).unwrap_or_default();
        let known = || {
            let same = self.open.iter().find(|open| !id.is_empty() && open.id == id);
            same.map(|open| open.at)
        };
        let last = || self.open.last().map(|open| open.at + 1);
        let after = || self.done.last().map(|at| at + 1);
        said.or_else(known).unwrap_or_else(|| last().max(after()).unwrap_or(0))
    }

    fn added(&mut self, fields: &mut Fields<'_>, out: &mut dyn Sink) -> Flow {
        let Some(node) = fields.take("item") else { return Ok(()) };
        let at = self.place(fields, node);
        if self.done.contains(&at) || self.open.iter().any(|open| open.at == at) {
            return Ok(());
        }
        let mut item = Item::new(at, node);
        item.name(node, &mut self.teller(out))?;
        self.open.push(item);
        Ok(())
    }

    /// The open item an event is about: its place, its id, or the last.
    fn about(&mut self, fields: &mut Fields<'_>) -> Option<usize> {
        let at = fields.take("output_index").and_then(Node::u64);
        let id = fields.take("item_id").and_then(Node::str).unwrap_or_default();
        let is_it = |item: &Item| match at {
            Some(at) => item.at == at,
            None => id.is_empty() || item.id == id,
        };
        if at.is_some_and(|at| self.done.contains(&at)) {
            return None;
        }
        self.open.iter().rposition(is_it)
    }

    /// Reads an event about a part of an item.
    fn part(&mut self, kind: &str, fields: &mut Fields<'_>, out: &mut dyn Sink) -> Flow {
        let said = &*fields;
        let place = said.peek("output_index").and_then(Node::u64);
        let at = match self.about(fields) {
            Some(at) => at,
            // The item was not announced.
            None => match place.filter(|at| !self.done.contains(at)).zip(implied(kind)) {
                Some((at, kind)) => {
                    self.open.push(Item { at, id: String::new(), kind });
                    self.open.len() - 1
                }
                None => return Ok(()),
            },
        };
        let mut teller = Teller { next: &mut self.next, said: &mut self.said, out };
        self.open[at].part(kind, fields, &mut teller)
    }

    /// Reads a whole item: what of it was not told is told now.
    fn whole(&mut self, at: u64, node: Node<'_>, out: &mut dyn Sink) -> Flow {
        if !self.done.insert(at) {
            return Ok(());
        }
        let open = self.open.iter().position(|item| item.at == at);
        let mut item = match open {
            Some(open) => self.open.remove(open),
            None => Item::new(at, node),
        };
        item.finish(node, &mut self.teller(out))
    }

    /// Reads the whole response: items nobody told are told now.
    fn end(&mut self, mut response: Fields<'_>, out: &mut dyn Sink) -> Flow {
        let output = response.take("output");
        for (at, item) in (0..).zip(output.into_iter().flat_map(Node::elements)) {
            self.whole(at, item, out)?;
        }
        if let Some(status) = response.take("status").and_then(Node::string) {
            self.status = status;
        }
        let details = response.take("incomplete_details");
        let reason = details.and_then(|details| details.get("reason")?.string());
        self.reason = reason.unwrap_or_default();
        Ok(())
    }
}

/// The item an event belongs to that comes without one.
fn implied(kind: &str) -> Option<Kind> {
    let rest = kind.strip_prefix("response.")?;
    if rest.starts_with("output_text.")
        || rest.starts_with("refusal.")
        || rest.starts_with("content_part.")
    {
        return Some(Kind::Message(Vec::new()));
    }
    rest.starts_with("reasoning_").then(|| Kind::Reasoning(Thinking::default()))
}

impl Item {
    fn new(at: u64, node: Node<'_>) -> Self {
        let kind = node.get("type").and_then(Node::str).unwrap_or_default();
        let kind = match kind.as_ref() {
            "message" => Kind::Message(Vec::new()),
            "reasoning" => Kind::Reasoning(Thinking::default()),
            "function_call" | "custom_tool_call" => {
                Kind::Call { block: None, told: Tally::default() }
            }
            _ => Kind::Other,
        };
        Self { at, id: node.get("id").and_then(Node::string).unwrap_or_default(), kind }
    }

    /// Begins a call as soon as its id and its name are known.
    fn name(&mut self, node: Node<'_>, teller: &mut Teller<'_>) -> Flow {
        let Kind::Call { block, .. } = &mut self.kind else { return Ok(()) };
        let text = |name: &str| node.get(name).and_then(Node::string).filter(|t| !t.is_empty());
        let Some((id, name)) = text("call_id").zip(text("name")).filter(|_| block.is_none()) else {
            return Ok(());
        };
        let custom = text("type").is_some_and(|kind| kind == "custom_tool_call");
        let tool = Tool {
            id,
            name,
            namespace: text("namespace"),
            kind: if custom { CallKind::Custom } else { CallKind::Function },
            signature: None,
        };
        teller.said.called = true;
        teller.said.other = true;
        *block = Some(teller.begin(Head::Tool(tool))?);
        Ok(())
    }

    /// Reads an event about a part of the item.
    fn part(&mut self, kind: &str, fields: &mut Fields<'_>, teller: &mut Teller<'_>) -> Flow {
        match &mut self.kind {
            Kind::Message(pieces) => message_part(kind, fields, pieces, teller),
            Kind::Reasoning(thinking) => thinking.part(kind, fields, teller),
            Kind::Call { block: Some(block), told } => match kind {
                "response.function_call_arguments.delta"
                | "response.custom_tool_call_input.delta" => {
                    let text = fields.take("delta").and_then(Node::str).unwrap_or_default();
                    told.push(&text);
                    teller.tell(*block, Delta::Text(text))
                }
                "response.function_call_arguments.done"
                | "response.custom_tool_call_input.done" => {
                    let text = fields.take("arguments").or_else(|| fields.take("input"));
                    let text = text.and_then(Node::str).unwrap_or_default();
                    teller.rest(*block, told, &text)
                }
                _ => Ok(()),
            },
            Kind::Call { block: None, .. } | Kind::Other => Ok(()),
        }
    }

    /// Reads the whole item, tells what is missing and ends it.
    fn finish(&mut self, node: Node<'_>, teller: &mut Teller<'_>) -> Flow {
        self.name(node, teller)?;
        match &mut self.kind {
            Kind::Message(pieces) => {
                let content = node.get("content").into_iter().flat_map(Node::elements);
                for (at, part) in (0..).zip(content) {
                    finish_part(at, part, pieces, teller)?;
                }
                teller.end_all(pieces)
            }
            Kind::Reasoning(thinking) => thinking.finish(node, teller),
            Kind::Call { block: Some(block), told } => {
                let text = node.get("arguments").or_else(|| node.get("input"));
                let text = text.map(|text| match text.string() {
                    Some(text) => text,
                    None => text.raw().as_str().to_owned(),
                });
                if let Some(text) = text {
                    teller.rest(*block, told, &text)?;
                }
                teller.end(*block)
            }
            Kind::Call { block: None, .. } => {
                Err(broken("the upstream calls a tool without its name or its id"))
            }
            Kind::Other => other(node, teller),
        }
    }

    /// Ends what was begun of an item that never became whole.
    fn abandon(self, teller: &mut Teller<'_>) -> Flow {
        match self.kind {
            Kind::Message(pieces) => teller.end_all(&pieces),
            Kind::Reasoning(Thinking { block: Some(block), .. })
            | Kind::Call { block: Some(block), .. } => teller.end(block),
            _ => Ok(()),
        }
    }
}

/// An item that only its own protocol has.
fn other(node: Node<'_>, teller: &mut Teller<'_>) -> Flow {
    teller.said.other = true;
    let kind = node.get("type").and_then(Node::string).unwrap_or_default();
    let value = node.raw();
    let part = match kind.ends_with("_call") {
        true => Part::ServerToolCall(ServerToolCall { name: kind, value }),
        false => Part::Raw { kind, value },
    };
    let block = teller.begin(Head::Whole(part))?;
    teller.end(block)
}

/// The part of a message, begun where it is new.
fn piece<'a>(
    pieces: &'a mut Vec<Piece>,
    at: u64,
    refusal: bool,
    teller: &mut Teller<'_>,
) -> Result<&'a mut Piece, Box<Fault>> {
    let found = pieces.iter().position(|piece| piece.at == at);
    let found = match found {
        Some(found) => found,
        None => {
            teller.said.refused |= refusal;
            teller.said.other |= !refusal;
            let block = teller.begin(if refusal { Head::Refusal } else { Head::Text(None) })?;
            pieces.push(Piece { refusal, ..Piece::new(at, block) });
            pieces.len() - 1
        }
    };
    Ok(&mut pieces[found])
}

impl Piece {
    fn new(at: u64, block: u64) -> Self {
        let told = Tally::default();
        Self { at, block, told, citations: 0, refusal: false, open: true }
    }
}

fn message_part(
    kind: &str,
    fields: &mut Fields<'_>,
    pieces: &mut Vec<Piece>,
    teller: &mut Teller<'_>,
) -> Flow {
    let at = fields.take("content_index").and_then(Node::u64).unwrap_or(0);
    let refusal = kind.starts_with("response.refusal.");
    match kind {
        "response.output_text.delta" | "response.refusal.delta" => {
            let text = fields.take("delta").and_then(Node::str).unwrap_or_default();
            if text.is_empty() {
                return Ok(());
            }
            let piece = piece(pieces, at, refusal, teller)?;
            piece.told.push(&text);
            teller.tell(piece.block, Delta::Text(text))
        }
        "response.output_text.done" | "response.refusal.done" => {
            let text = fields.take(if refusal { "refusal" } else { "text" });
            let Some(text) = text.and_then(Node::str).filter(|text| !text.is_empty()) else {
                return Ok(());
            };
            let piece = piece(pieces, at, refusal, teller)?;
            teller.rest(piece.block, &mut piece.told, &text)
        }
        "response.output_text.annotation.added" => {
            let Some(annotation) = fields.take("annotation") else { return Ok(()) };
            let piece = piece(pieces, at, false, teller)?;
            piece.citations += 1;
            teller.tell(piece.block, Delta::Citation(items::citation(annotation)))
        }
        "response.content_part.done" => match fields.take("part") {
            Some(part) => finish_part(at, part, pieces, teller),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Reads a whole part of a message, tells what is missing and ends it.
fn finish_part(at: u64, node: Node<'_>, pieces: &mut Vec<Piece>, teller: &mut Teller<'_>) -> Flow {
    let kind = node.get("type").and_then(Node::str).unwrap_or_default();
    let (refusal, name) = match kind.as_ref() {
        "refusal" => (true, "refusal"),
        "output_text" | "text" => (false, "text"),
        _ => return Ok(()),
    };
    let text = node.get(name).and_then(Node::str).unwrap_or_default();
    if text.is_empty() && pieces.iter().all(|piece| piece.at != at) {
        // An empty text is one in a whole answer, too.
        teller.said.refused |= refusal;
        teller.said.other |= !refusal;
        return Ok(());
    }
    let piece = piece(pieces, at, refusal, teller)?;
    if !piece.open || piece.refusal != refusal {
        return Ok(());
    }
    teller.rest(piece.block, &mut piece.told, &text)?;
    let annotations = node.get("annotations").into_iter().flat_map(Node::elements);
    for annotation in annotations.skip(piece.citations) {
        teller.tell(piece.block, Delta::Citation(items::citation(annotation)))?;
    }
    piece.open = false;
    teller.end(piece.block)
}

impl Thinking {
    fn part(&mut self, kind: &str, fields: &mut Fields<'_>, teller: &mut Teller<'_>) -> Flow {
        let (raw, place) = match kind {
            "response.reasoning_summary_part.added" | "response.reasoning_summary_text.delta" => {
                (false, "summary_index")
            }
            "response.reasoning_text.delta" => (true, "content_index"),
            _ => return Ok(()),
        };
        let at = fields.take(place).and_then(Node::u64).unwrap_or(0);
        let Some(section) = self.section(raw, at, teller)? else { return Ok(()) };
        let Some(text) = fields.take("delta").and_then(Node::str) else { return Ok(()) };
        section.told.push(&text);
        teller.tell(section.block, Delta::Text(text))
    }

    /// A section, begun where it is new; `None` if it is of the kind that is not told.
    fn section(
        &mut self,
        raw: bool,
        at: u64,
        teller: &mut Teller<'_>,
    ) -> Result<Option<&mut Piece>, Box<Fault>> {
        if self.block.is_some() && self.raw != raw {
            return Ok(None);
        }
        let block = self.begun(raw, teller)?;
        let found = self.sections.iter().position(|piece| piece.at == at);
        let found = match found {
            Some(found) => found,
            None => {
                teller.tell(block, Delta::Section)?;
                self.sections.push(Piece::new(at, block));
                self.sections.len() - 1
            }
        };
        Ok(self.sections.get_mut(found))
    }

    fn begun(&mut self, raw: bool, teller: &mut Teller<'_>) -> Result<u64, Box<Fault>> {
        if let Some(block) = self.block {
            return Ok(block);
        }
        self.raw = raw;
        let block = teller.begin(Head::Reasoning { raw })?;
        self.block = Some(block);
        Ok(block)
    }

    /// Reads the whole item, tells what is missing and ends it.
    fn finish(&mut self, node: Node<'_>, teller: &mut Teller<'_>) -> Flow {
        let fields = node.fields().unwrap_or_default();
        let whole = items::reasoning(fields)
            .map_err(|_| broken("the upstream sent reasoning that cannot be read"))?;
        if self.block.is_none() || self.raw == whole.raw {
            let last = whole.text.len().saturating_sub(1);
            for (at, text) in whole.text.iter().enumerate() {
                let known = self.sections.len();
                let Some(section) = self.section(whole.raw, at as u64, teller)? else { break };
                // Only what stands last can still grow.
                if at >= known || at == last {
                    teller.rest(section.block, &mut section.told, text)?;
                }
            }
        }
        let block = self.begun(whole.raw, teller)?;
        if let Some(opaque) = whole.opaque {
            teller.tell(block, Delta::Opaque(opaque))?;
        }
        teller.end(block)
    }
}
