use std::collections::BTreeSet;

use crate::{
    json::{Fields, Node},
    model::{CallKind, Citation, Part, ServerToolCall},
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
    /// Its sections, by place, of one kind; the block is begun by the first.
    Reasoning { block: Option<u64>, raw: bool, sections: Vec<Piece> },
    /// A call, once what must be known of it is.
    Call { block: Option<u64>, told: Tally },
    /// Told when it is whole.
    Other,
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

fn tell(block: u64, delta: Delta<'_>, out: &mut dyn Sink) -> Flow {
    out.event(Event::Delta { candidate: CANDIDATE, block, delta })
}

fn begin(next: &mut u64, head: Head, out: &mut dyn Sink) -> Result<u64, Box<tollgate_wire::Fault>> {
    let block = *next;
    *next += 1;
    out.event(Event::BlockStart { candidate: CANDIDATE, block, head })?;
    Ok(block)
}

fn end(block: u64, out: &mut dyn Sink) -> Flow {
    out.event(Event::BlockEnd { candidate: CANDIDATE, block })
}

/// Tells what a text that is whole has more than was told.
fn remainder(block: u64, told: &mut Tally, whole: &str, out: &mut dyn Sink) -> Flow {
    match told.rest(whole) {
        Some("") => Ok(()),
        Some(rest) => {
            told.push(rest);
            tell(block, Delta::Text(rest.into()), out)
        }
        None => out.event(Event::Lost(Code::UnknownField, "output")),
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
            item.abandon(out)?;
        }
        let Said { called, refused, other } = self.said;
        let finish = answer::finish(&self.status, &self.reason, refused && !other, called);
        let native = if self.reason.is_empty() { &self.status } else { &self.reason };
        let native = native.clone();
        out.event(Event::Finish(Ending { candidate: CANDIDATE, finish, native, detail: None }))
    }
}

impl ResponsesReader {
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
        item.name(node, &mut self.next, &mut self.said, out)?;
        // Some servers begin an item with what it holds.
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
        self.open[at].part(kind, fields, &mut self.next, &mut self.said, out)
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
        item.finish(node, &mut self.next, &mut self.said, out)
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
    rest.starts_with("reasoning_").then(|| Kind::Reasoning {
        block: None,
        raw: false,
        sections: Vec::new(),
    })
}

impl Item {
    fn new(at: u64, node: Node<'_>) -> Self {
        let kind = node.get("type").and_then(Node::str).unwrap_or_default();
        let kind = match kind.as_ref() {
            "message" => Kind::Message(Vec::new()),
            "reasoning" => Kind::Reasoning { block: None, raw: false, sections: Vec::new() },
            "function_call" | "custom_tool_call" => {
                Kind::Call { block: None, told: Tally::default() }
            }
            _ => Kind::Other,
        };
        Self { at, id: node.get("id").and_then(Node::string).unwrap_or_default(), kind }
    }

    /// Begins a call as soon as its id and its name are known.
    fn name(
        &mut self,
        node: Node<'_>,
        next: &mut u64,
        said: &mut Said,
        out: &mut dyn Sink,
    ) -> Flow {
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
        said.called = true;
        said.other = true;
        *block = Some(begin(next, Head::Tool(tool), out)?);
        Ok(())
    }

    fn part(
        &mut self,
        kind: &str,
        fields: &mut Fields<'_>,
        next: &mut u64,
        said: &mut Said,
        out: &mut dyn Sink,
    ) -> Flow {
        let mut at = |name| fields.take(name).and_then(Node::u64).unwrap_or(0);
        match &mut self.kind {
            Kind::Message(pieces) => {
                let at = at("content_index");
                message_part(kind, at, fields, pieces, next, said, out)
            }
            Kind::Reasoning { block, raw, sections } => {
                let (text, of) = match kind {
                    "response.reasoning_summary_part.added" => (None, false),
                    "response.reasoning_summary_text.delta" => (fields.take("delta"), false),
                    "response.reasoning_text.delta" => (fields.take("delta"), true),
                    _ => return Ok(()),
                };
                let at = match of {
                    true => fields.take("content_index"),
                    false => fields.take("summary_index"),
                };
                let at = at.and_then(Node::u64).unwrap_or(0);
                let Some(piece) = section(block, raw, sections, of, at, next, out)? else {
                    return Ok(());
                };
                let Some(text) = text.and_then(Node::str) else { return Ok(()) };
                piece.told.push(&text);
                tell(piece.block, Delta::Text(text), out)
            }
            Kind::Call { block: Some(block), told } => match kind {
                "response.function_call_arguments.delta"
                | "response.custom_tool_call_input.delta" => {
                    let text = fields.take("delta").and_then(Node::str).unwrap_or_default();
                    told.push(&text);
                    tell(*block, Delta::Text(text), out)
                }
                "response.function_call_arguments.done"
                | "response.custom_tool_call_input.done" => {
                    let text = fields.take("arguments").or_else(|| fields.take("input"));
                    let text = text.and_then(Node::str).unwrap_or_default();
                    remainder(*block, told, &text, out)
                }
                _ => Ok(()),
            },
            Kind::Call { block: None, .. } | Kind::Other => Ok(()),
        }
    }

    /// Reads the whole item, tells what is missing and ends it.
    fn finish(
        &mut self,
        node: Node<'_>,
        next: &mut u64,
        said: &mut Said,
        out: &mut dyn Sink,
    ) -> Flow {
        self.name(node, next, said, out)?;
        match &mut self.kind {
            Kind::Message(pieces) => {
                let content = node.get("content").into_iter().flat_map(Node::elements);
                for (at, part) in (0..).zip(content) {
                    finish_part(at, part, pieces, next, said, out)?;
                }
                pieces.iter().filter(|piece| piece.open).try_for_each(|piece| end(piece.block, out))
            }
            Kind::Reasoning { block, raw, sections } => {
                finish_reasoning(node, block, raw, sections, next, out)
            }
            Kind::Call { block: Some(block), told } => {
                let text = node.get("arguments").or_else(|| node.get("input"));
                let text = text.map(|text| match text.string() {
                    Some(text) => text,
                    None => text.raw().as_str().to_owned(),
                });
                if let Some(text) = text {
                    remainder(*block, told, &text, out)?;
                }
                end(*block, out)
            }
            Kind::Call { block: None, .. } => {
                Err(broken("the upstream calls a tool without its name or its id"))
            }
            Kind::Other => {
                said.other = true;
                let kind = node.get("type").and_then(Node::string).unwrap_or_default();
                let value = node.raw();
                let part = match kind.ends_with("_call") {
                    true => Part::ServerToolCall(ServerToolCall { name: kind, value }),
                    false => Part::Raw { kind, value },
                };
                let block = begin(next, Head::Whole(part), out)?;
                end(block, out)
            }
        }
    }

    /// Ends what was begun of an item that never became whole.
    fn abandon(self, out: &mut dyn Sink) -> Flow {
        match self.kind {
            Kind::Message(pieces) => {
                pieces.iter().filter(|piece| piece.open).try_for_each(|piece| end(piece.block, out))
            }
            Kind::Reasoning { block: Some(block), .. } | Kind::Call { block: Some(block), .. } => {
                end(block, out)
            }
            _ => Ok(()),
        }
    }
}

/// The part of a message, begun where it is new.
fn piece<'a>(
    pieces: &'a mut Vec<Piece>,
    at: u64,
    refusal: bool,
    next: &mut u64,
    said: &mut Said,
    out: &mut dyn Sink,
) -> Result<&'a mut Piece, Box<tollgate_wire::Fault>> {
    let found = pieces.iter().position(|piece| piece.at == at);
    let found = match found {
        Some(found) => found,
        None => {
            said.refused |= refusal;
            said.other |= !refusal;
            let head = if refusal { Head::Refusal } else { Head::Text(None) };
            let block = begin(next, head, out)?;
            let told = Tally::default();
            pieces.push(Piece { at, block, told, citations: 0, refusal, open: true });
            pieces.len() - 1
        }
    };
    Ok(&mut pieces[found])
}

fn message_part(
    kind: &str,
    at: u64,
    fields: &mut Fields<'_>,
    pieces: &mut Vec<Piece>,
    next: &mut u64,
    said: &mut Said,
    out: &mut dyn Sink,
) -> Flow {
    match kind {
        "response.output_text.delta" | "response.refusal.delta" => {
            let text = fields.take("delta").and_then(Node::str).unwrap_or_default();
            if text.is_empty() {
                return Ok(());
            }
            let piece = piece(pieces, at, kind == "response.refusal.delta", next, said, out)?;
            piece.told.push(&text);
            tell(piece.block, Delta::Text(text), out)
        }
        "response.output_text.done" | "response.refusal.done" => {
            let refusal = kind == "response.refusal.done";
            let text = fields.take(if refusal { "refusal" } else { "text" });
            let Some(text) = text.and_then(Node::str).filter(|text| !text.is_empty()) else {
                return Ok(());
            };
            let piece = piece(pieces, at, refusal, next, said, out)?;
            remainder(piece.block, &mut piece.told, &text, out)
        }
        "response.output_text.annotation.added" => {
            let Some(annotation) = fields.take("annotation") else { return Ok(()) };
            let piece = piece(pieces, at, false, next, said, out)?;
            piece.citations += 1;
            tell(piece.block, Delta::Citation(items::citation(annotation)), out)
        }
        "response.content_part.done" => match fields.take("part") {
            Some(part) => finish_part(at, part, pieces, next, said, out),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Reads a whole part of a message, tells what is missing and ends it.
fn finish_part(
    at: u64,
    node: Node<'_>,
    pieces: &mut Vec<Piece>,
    next: &mut u64,
    said: &mut Said,
    out: &mut dyn Sink,
) -> Flow {
    let kind = node.get("type").and_then(Node::str).unwrap_or_default();
    let (refusal, name) = match kind.as_ref() {
        "refusal" => (true, "refusal"),
        "output_text" | "text" => (false, "text"),
        _ => return Ok(()),
    };
    let text = node.get(name).and_then(Node::str).unwrap_or_default();
    if text.is_empty() && pieces.iter().all(|piece| piece.at != at) {
        // An empty text is one in a whole answer, too.
        said.refused |= refusal;
        said.other |= !refusal;
        return Ok(());
    }
    let piece = piece(pieces, at, refusal, next, said, out)?;
    if !piece.open || piece.refusal != refusal {
        return Ok(());
    }
    remainder(piece.block, &mut piece.told, &text, out)?;
    let annotations = node.get("annotations").into_iter().flat_map(Node::elements);
    let citations: Vec<Citation> = annotations.skip(piece.citations).map(items::citation).collect();
    for citation in citations {
        tell(piece.block, Delta::Citation(citation), out)?;
    }
    piece.open = false;
    end(piece.block, out)
}

/// The section of reasoning, begun where it is new; `None` if it is of the kind that is not told.
fn section<'a>(
    block: &mut Option<u64>,
    raw: &mut bool,
    sections: &'a mut Vec<Piece>,
    of: bool,
    at: u64,
    next: &mut u64,
    out: &mut dyn Sink,
) -> Result<Option<&'a mut Piece>, Box<tollgate_wire::Fault>> {
    if block.is_some() && *raw != of {
        return Ok(None);
    }
    let block = match *block {
        Some(block) => block,
        None => {
            *raw = of;
            let new = begin(next, Head::Reasoning { raw: of }, out)?;
            *block = Some(new);
            new
        }
    };
    let found = sections.iter().position(|piece| piece.at == at);
    let found = match found {
        Some(found) => found,
        None => {
            tell(block, Delta::Section, out)?;
            let told = Tally::default();
            sections.push(Piece { at, block, told, citations: 0, refusal: false, open: true });
            sections.len() - 1
        }
    };
    Ok(Some(&mut sections[found]))
}

fn finish_reasoning(
    node: Node<'_>,
    block: &mut Option<u64>,
    raw: &mut bool,
    sections: &mut Vec<Piece>,
    next: &mut u64,
    out: &mut dyn Sink,
) -> Flow {
    let fields = node.fields().unwrap_or_default();
    let whole = items::reasoning(fields)
        .map_err(|_| broken("the upstream sent reasoning that cannot be read"))?;
    let of = if block.is_some() { *raw } else { whole.raw };
    if of == whole.raw {
        for (at, text) in (0..).zip(&whole.text) {
            let Some(piece) = section(block, raw, sections, of, at, next, out)? else { break };
            // Texts that were told of a section before the last cannot be added to.
            remainder(piece.block, &mut piece.told, text, out)?;
        }
    }
    let block = match *block {
        Some(block) => block,
        None => begin(next, Head::Reasoning { raw: whole.raw }, out)?,
    };
    if let Some(opaque) = whole.opaque {
        tell(block, Delta::Opaque(opaque), out)?;
    }
    end(block, out)
}
