use sha2::{Digest, Sha256};

use super::partial::Partial;
use crate::{
    gemini::{answer, grounding, parts},
    ids,
    json::{Fields, Node, Raw},
    model::{
        CallKind, Citation, FinishDetail, Opaque, OpaqueKind, Part, PromptBlock, Reasoning,
        ToolCall, Vendor,
    },
    stream::{DecodeStream, Delta, Ending, Event, Flow, Head, Sink, Start, Tool, broken},
    warning::Code,
};

/// Reads a stream of partial answers. It has no last event: the body's end is.
#[derive(Debug)]
pub(crate) struct GeminiReader {
    /// Makes ids where the answer has none.
    seed: String,
    started: bool,
    candidates: Vec<Candidate>,
    block: Option<PromptBlock>,
}

#[derive(Debug, Default)]
struct Candidate {
    index: u64,
    /// The number of the next block.
    next: u64,
    open: Option<Open>,
    call: Option<Growing>,
    /// How many calls began.
    calls: usize,
    finish: String,
    message: Option<String>,
    grounding: Option<Raw>,
}

/// An open text or thought.
#[derive(Debug)]
struct Open {
    block: u64,
    thought: bool,
    /// It has its signature: nothing may be added.
    sealed: bool,
    /// Of a thought: what its signature belongs to.
    digest: Sha256,
    /// Of a text: where its characters begin.
    widths: Widths,
}

/// A call whose arguments come piece by piece.
#[derive(Debug)]
struct Growing {
    block: u64,
    arguments: Partial,
}

impl GeminiReader {
    pub(crate) fn new(seed: &str) -> Self {
        Self { seed: seed.to_owned(), started: false, candidates: Vec::new(), block: None }
    }

    fn start(&mut self, fields: &mut Fields<'_>, out: &mut dyn Sink) -> Flow {
        if self.started {
            return Ok(());
        }
        self.started = true;
        let mut text = |name| fields.take(name).and_then(Node::str).unwrap_or_default();
        let (id, model) = (text("responseId"), text("modelVersion"));
        if !id.is_empty() {
            self.seed = id.clone().into_owned();
        }
        out.event(Event::Start(Start { id, model, created: 0, usage: None }))
    }

    fn feedback(&mut self, feedback: Node<'_>) {
        let Some(mut fields) = feedback.fields().map(Fields::camel) else { return };
        if let Some(reason) = fields.take("blockReason").and_then(Node::string) {
            let message = fields.take("blockReasonMessage").and_then(Node::string);
            self.block = Some(PromptBlock { reason, message });
        }
    }
}

impl DecodeStream for GeminiReader {
    fn event(&mut self, _: Option<&str>, data: &[u8], out: &mut dyn Sink) -> Flow {
        let node = Node::parse(data).ok();
        let node =
            node.and_then(|node| if node.is_array() { node.elements().next() } else { Some(node) });
        let fields = node.and_then(Node::fields).map(Fields::camel);
        let mut fields =
            fields.ok_or_else(|| broken("the upstream sent an event that is no object"))?;
        self.start(&mut fields, out)?;
        if let Some(feedback) = fields.take("promptFeedback") {
            self.feedback(feedback);
        }
        let Some(candidates) = fields.take("candidates") else { return Ok(()) };
        for (at, node) in (0..).zip(candidates.elements()) {
            let mut fields = node.fields().unwrap_or_default().camel();
            let index = fields.take("index").and_then(Node::u64).unwrap_or(at);
            let at = self.candidates.iter().position(|each| each.index == index);
            let at = at.unwrap_or_else(|| {
                self.candidates.push(Candidate { index, ..Candidate::default() });
                self.candidates.len() - 1
            });
            self.candidates[at].read(fields, &self.seed, out)?;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Sink) -> Flow {
        if let Some(block) = self.block.take().filter(|_| self.candidates.is_empty()) {
            return out.event(Event::Blocked(block));
        }
        self.candidates.iter_mut().try_for_each(|candidate| candidate.finish(out))
    }
}

impl Candidate {
    fn read(&mut self, mut fields: Fields<'_>, seed: &str, out: &mut dyn Sink) -> Flow {
        let parts = fields.take("content").and_then(|content| content.get("parts"));
        for node in parts.into_iter().flat_map(Node::elements) {
            self.part(node, seed, out)?;
        }
        if let Some(grounding) = fields.take("groundingMetadata") {
            // It grows from frame to frame; the last is the whole.
            self.grounding = Some(grounding.raw());
        }
        let reason = fields.take("finishReason").map(answer::reason);
        let reason = reason.filter(|reason| !reason.ends_with("_UNSPECIFIED"));
        if let Some(reason) = reason.filter(|reason| !reason.is_empty()) {
            self.finish = reason;
        }
        if let Some(message) = fields.take("finishMessage").and_then(Node::string) {
            self.message = Some(message);
        }
        Ok(())
    }

    fn part(&mut self, node: Node<'_>, seed: &str, out: &mut dyn Sink) -> Flow {
        let call = node.get("functionCall").or_else(|| node.get("function_call"));
        if let Some(call) = call
            && self.piece(call, out)?
        {
            return Ok(());
        }
        let ordinal = self.calls;
        let index = self.index;
        let synthetic = |name: &str| ids::in_answer(seed, index, ordinal, name);
        let part = parts::part(node, Some(&synthetic))
            .map_err(|_| broken("the upstream sent a part that cannot be read"))?;
        match part {
            Part::Text(text) => self.text(&text.text, text.signature, out),
            Part::Reasoning(reasoning) => self.thought(reasoning, out),
            Part::ToolCall(tool) => {
                self.close(out)?;
                let growing = call.is_some_and(|call| continues(call));
                self.call(tool, growing, call, out)
            }
            part => {
                self.close(out)?;
                let block = self.number();
                let candidate = self.index;
                out.event(Event::BlockStart { candidate, block, head: Head::Whole(part) })?;
                out.event(Event::BlockEnd { candidate, block })
            }
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    fn tell(&self, block: u64, delta: Delta<'_>, out: &mut dyn Sink) -> Flow {
        out.event(Event::Delta { candidate: self.index, block, delta })
    }

    fn text(&mut self, text: &str, signature: Option<Opaque>, out: &mut dyn Sink) -> Flow {
        match signature {
            None if text.is_empty() => Ok(()),
            Some(signature) if text.is_empty() && self.can_seal() => self.seal(signature, out),
            signature => {
                let new = !self.continues(false);
                let (head, late) = if new { (signature, None) } else { (None, signature) };
                let sealed = head.is_some();
                if new {
                    self.open(false, Head::Text(head), out)?;
                }
                if let Some(open) = &mut self.open {
                    open.sealed |= sealed;
                    open.widths.push(text);
                    let block = open.block;
                    self.tell(block, Delta::Text(text.into()), out)?;
                }
                late.map_or(Ok(()), |signature| self.seal(signature, out))
            }
        }
    }

    fn thought(&mut self, reasoning: Reasoning, out: &mut dyn Sink) -> Flow {
        let Reasoning { text, opaque, .. } = reasoning;
        let text = text.concat();
        if text.is_empty() {
            let Some(opaque) = opaque else { return Ok(()) };
            if self.can_seal() {
                return self.seal(opaque, out);
            }
            self.open(true, Head::Reasoning { raw: false }, out)?;
            return self.seal(opaque, out);
        }
        if !self.continues(true) {
            self.open(true, Head::Reasoning { raw: false }, out)?;
            let block = self.next - 1;
            self.tell(block, Delta::Section, out)?;
        }
        if let Some(open) = &mut self.open {
            open.digest.update(text.as_bytes());
            let block = open.block;
            self.tell(block, Delta::Text(text.into()), out)?;
        }
        opaque.map_or(Ok(()), |opaque| self.seal(opaque, out))
    }

    /// Whether text of a kind goes on in the open block.
    fn continues(&self, thought: bool) -> bool {
        self.open.as_ref().is_some_and(|open| open.thought == thought && !open.sealed)
    }

    fn can_seal(&self) -> bool {
        self.open.as_ref().is_some_and(|open| !open.sealed)
    }

    fn open(&mut self, thought: bool, head: Head, out: &mut dyn Sink) -> Flow {
        self.close(out)?;
        let block = self.number();
        let (digest, widths) = (Sha256::new(), Widths::default());
        self.open = Some(Open { block, thought, sealed: false, digest, widths });
        out.event(Event::BlockStart { candidate: self.index, block, head })
    }

    /// Gives the open block its signature.
    fn seal(&mut self, mut opaque: Opaque, out: &mut dyn Sink) -> Flow {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.sealed = true;
        if open.thought && opaque.vendor == Vendor::Google {
            let (empty, whole) = (Sha256::new().finalize(), open.digest.clone().finalize());
            let is_empty = empty == whole;
            opaque.kind = if is_empty { OpaqueKind::Redacted } else { OpaqueKind::Thought };
            opaque.digest = [0; 8];
            if !is_empty {
                opaque.digest.copy_from_slice(&whole[..8]);
            }
        }
        let block = open.block;
        self.tell(block, Delta::Opaque(opaque), out)
    }

    fn call(
        &mut self,
        tool: ToolCall,
        growing: bool,
        node: Option<Node<'_>>,
        out: &mut dyn Sink,
    ) -> Flow {
        self.calls += 1;
        let (candidate, block) = (self.index, self.number());
        let arguments = tool.args.as_str().to_owned();
        let head = Head::Tool(Tool {
            id: tool.id,
            name: tool.name,
            namespace: None,
            kind: CallKind::Function,
            signature: tool.signature,
        });
        out.event(Event::BlockStart { candidate, block, head })?;
        if growing {
            self.call = Some(Growing { block, arguments: Partial::default() });
            return node.map_or(Ok(()), |node| self.grow(node));
        }
        self.tell(block, Delta::Text(arguments.into()), out)?;
        out.event(Event::BlockEnd { candidate, block })
    }

    /// Takes a part as a piece of the call that is growing; whether it was one.
    fn piece(
        &mut self,
        call: Node<'_>,
        out: &mut dyn Sink,
    ) -> Result<bool, Box<tollgate_wire::Fault>> {
        let named = call.get("name").and_then(Node::str).is_some_and(|name| !name.is_empty());
        if named {
            self.close_call(out)?;
            return Ok(false);
        }
        self.grow(call)?;
        if !continues(call) {
            self.close_call(out)?;
        }
        Ok(true)
    }

    fn grow(&mut self, call: Node<'_>) -> Flow {
        let Some(growing) = &mut self.call else { return Ok(()) };
        let pieces = call.get("partialArgs").or_else(|| call.get("partial_args"));
        let mut pieces = pieces.into_iter().flat_map(Node::elements);
        pieces.try_for_each(|piece| growing.arguments.put(piece))
    }

    fn close_call(&mut self, out: &mut dyn Sink) -> Flow {
        let Some(Growing { block, arguments }) = self.call.take() else { return Ok(()) };
        self.tell(block, Delta::Text(arguments.text().into()), out)?;
        out.event(Event::BlockEnd { candidate: self.index, block })
    }

    /// Ends whatever is open.
    fn close(&mut self, out: &mut dyn Sink) -> Flow {
        self.close_call(out)?;
        match self.open.take() {
            Some(open) => out.event(Event::BlockEnd { candidate: self.index, block: open.block }),
            None => Ok(()),
        }
    }

    fn finish(&mut self, out: &mut dyn Sink) -> Flow {
        self.cite(out)?;
        self.close(out)?;
        let native = std::mem::take(&mut self.finish);
        let finish = answer::finish(&native, self.calls > 0);
        let detail = self.message.take();
        let detail = detail.map(|message| FinishDetail { category: None, message: Some(message) });
        out.event(Event::Finish(Ending { candidate: self.index, finish, native, detail }))
    }

    /// Tells what the open text rests on.
    fn cite(&mut self, out: &mut dyn Sink) -> Flow {
        let Some(grounding) = self.grounding.take() else { return Ok(()) };
        let open = self.open.as_ref().filter(|open| !open.thought);
        let mut citations: Vec<Citation> = Vec::new();
        grounding::each(grounding.node(), |support| {
            if let Some(open) = open {
                citations.push(support.citation(|bytes| open.widths.characters(bytes)));
            }
        });
        match open.map(|open| open.block) {
            Some(block) => citations
                .into_iter()
                .try_for_each(|citation| self.tell(block, Delta::Citation(citation), out)),
            None => out.event(Event::Lost(Code::CitationsDropped, "candidates.groundingMetadata")),
        }
    }
}

/// Whether more of a call's arguments follows.
fn continues(call: Node<'_>) -> bool {
    let said = call.get("willContinue").or_else(|| call.get("will_continue"));
    said.and_then(Node::bool) == Some(true)
}

/// How many bytes the characters of a text take, as runs of equal width: what finds a character
/// by its byte without keeping the text.
#[derive(Debug, Default)]
struct Widths(Vec<(usize, u8)>);

/// More runs are not kept: what is behind them counts as bytes.
const RUNS: usize = 1 << 14;

impl Widths {
    fn push(&mut self, text: &str) {
        if text.is_ascii() {
            return self.run(text.len(), 1);
        }
        text.chars().for_each(|c| self.run(c.len_utf8(), c.len_utf8() as u8));
    }

    fn run(&mut self, bytes: usize, width: u8) {
        let full = self.0.len() >= RUNS;
        match self.0.last_mut() {
            Some((before, same)) if *same == width || full => *before += bytes,
            _ => self.0.push((bytes, width)),
        }
    }

    /// How many characters begin in the first `bytes` bytes; all of them without a number.
    fn characters(&self, bytes: Option<usize>) -> usize {
        let mut left = bytes.unwrap_or(usize::MAX);
        let mut characters = 0;
        for (run, width) in &self.0 {
            let taken = left.min(*run);
            characters += taken.div_ceil(usize::from(*width));
            left -= taken;
        }
        characters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_found_by_their_bytes() {
        let text = "aé漢字b🌍z";
        let mut widths = Widths::default();
        widths.push("aé漢");
        widths.push("字b🌍z");
        for bytes in 0..=text.len() {
            let wanted = text.char_indices().take_while(|(at, _)| *at < bytes).count();
            assert_eq!(widths.characters(Some(bytes)), wanted, "{bytes}");
        }
        assert_eq!(widths.characters(None), 7);
    }
}
