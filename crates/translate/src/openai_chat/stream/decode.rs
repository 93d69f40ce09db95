use std::borrow::Cow;

use super::{calls::Calls, thoughts::Thoughts};
use crate::{
    answers,
    json::{Fields, Node},
    model::{Finish, Opaque, OpaqueKind, Part},
    openai_chat::{answer, messages},
    stream::{DecodeStream, Delta, Ending, Event, Flow, Head, Sink, Start, broken},
    warning::Code,
};

/// Reads a stream of chunks.
#[derive(Debug, Default)]
pub(crate) struct ChatReader {
    /// The answer's id; `None` before the first choice.
    id: Option<String>,
    choices: Vec<Choice>,
    /// `[DONE]` was said.
    over: bool,
}

/// One alternative.
#[derive(Debug, Default)]
pub(super) struct Choice {
    pub(super) index: u64,
    /// The number of the next block.
    next: u64,
    /// What is being said, beside calls.
    said: Option<Said>,
    pub(super) thoughts: Thoughts,
    calls: Calls,
    /// The last reason it ended for, and whether it was told since anything else was.
    finish: Option<String>,
    finished: bool,
}

/// An open block that is no call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) block: u64,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Refusal,
    Reasoning,
}

impl DecodeStream for ChatReader {
    fn event(&mut self, _: Option<&str>, data: &[u8], out: &mut dyn Sink) -> Flow {
        if self.over {
            return Ok(());
        }
        if data.trim_ascii() == b"[DONE]" {
            self.over = true;
            return Ok(());
        }
        let node = Node::parse(data).ok().and_then(Node::fields);
        let mut fields =
            node.ok_or_else(|| broken("the upstream sent a chunk that is no object"))?;
        let Some(choices) = fields.take("choices") else { return Ok(()) };
        for (at, choice) in (0..).zip(choices.elements()) {
            self.start(&mut fields, out)?;
            let mut fields = choice.fields().unwrap_or_default();
            let index = fields.take("index").and_then(Node::u64).unwrap_or(at);
            let id = self.id.as_deref().unwrap_or_default();
            choice_of(&mut self.choices, index).read(fields, id, out)?;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Sink) -> Flow {
        let id = self.id.as_deref().unwrap_or_default();
        self.choices.sort_by_key(|choice| choice.index);
        for choice in self.choices.iter_mut().filter(|choice| !choice.finished) {
            choice.finish(id, out)?;
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.over
    }
}

fn choice_of(choices: &mut Vec<Choice>, index: u64) -> &mut Choice {
    let at = choices.iter().position(|choice| choice.index == index).unwrap_or_else(|| {
        choices.push(Choice { index, ..Choice::default() });
        choices.len() - 1
    });
    &mut choices[at]
}

impl ChatReader {
    /// Tells the beginning, with the first choice: chunks before it may lack everything.
    fn start(&mut self, fields: &mut Fields<'_>, out: &mut dyn Sink) -> Flow {
        if self.id.is_some() {
            return Ok(());
        }
        let mut text = |name| fields.take(name).and_then(Node::str).unwrap_or_default();
        let (id, model) = (text("id"), text("model"));
        self.id = Some(id.clone().into_owned());
        let created = fields.take("created").and_then(Node::number).and_then(|n| n.as_i64());
        let created = created.unwrap_or(0);
        out.event(Event::Start(Start { id, model, created, usage: None }))
    }
}

impl Choice {
    fn read(&mut self, mut fields: Fields<'_>, id: &str, out: &mut dyn Sink) -> Flow {
        // Some servers end with the whole message, which is news where nothing was said before.
        let whole = fields.take("message").filter(|_| self.next == 0);
        let delta = fields.take("delta").or(whole).and_then(Node::fields);
        if let Some(delta) = delta {
            self.delta(delta, out)?;
        }
        let reason = fields.take("finish_reason").and_then(Node::string);
        if let Some(reason) = reason.filter(|reason| !reason.is_empty()) {
            self.finish = Some(reason);
            self.finish(id, out)?;
        }
        Ok(())
    }

    fn delta(&mut self, mut fields: Fields<'_>, out: &mut dyn Sink) -> Flow {
        self.reason(&mut fields, out)?;
        if let Some(content) = fields.take("content") {
            self.content(content, out)?;
        }
        if let Some(text) = fields.take("refusal").and_then(Node::str) {
            self.say(Kind::Refusal, text, out)?;
        }
        if let Some(citations) = fields.take("annotations") {
            self.cite(citations, out)?;
        }
        if let Some(calls) = fields.take("tool_calls") {
            for call in calls.elements() {
                let fields = call.fields().unwrap_or_default();
                self.call(fields, out)?;
            }
        }
        if let Some(call) = fields.take("function_call") {
            self.legacy(call, out)?;
        }
        if let Some(signature) = messages::google_signature(&mut fields) {
            self.sign(signature, out)?;
        }
        match fields.take("audio") {
            Some(_) => out.event(Event::Lost(Code::MediaDropped, "choices.delta.audio")),
            None => Ok(()),
        }
    }

    /// A text, or parts as some servers write them.
    fn content(&mut self, node: Node<'_>, out: &mut dyn Sink) -> Flow {
        if let Some(text) = node.str() {
            return self.say(Kind::Text, text, out);
        }
        for part in node.elements() {
            match messages::part(part) {
                Ok(Part::Text(text)) => self.say(Kind::Text, text.text.into(), out)?,
                Ok(Part::Refusal(text)) => self.say(Kind::Refusal, text.into(), out)?,
                Ok(Part::Reasoning(reasoning)) => self.think(&reasoning.joined(), out)?,
                _ => out.event(Event::Lost(Code::UnknownField, "choices.delta.content"))?,
            }
        }
        Ok(())
    }

    fn say(&mut self, kind: Kind, text: Cow<'_, str>, out: &mut dyn Sink) -> Flow {
        if text.is_empty() {
            return Ok(());
        }
        let block = self.open(kind, out)?;
        self.tell(block, Delta::Text(text), out)
    }

    /// The block of what is being said, begun if it is another kind than before.
    pub(super) fn open(
        &mut self,
        kind: Kind,
        out: &mut dyn Sink,
    ) -> Result<u64, Box<tollgate_wire::Fault>> {
        if let Some(said) = self.said.filter(|said| said.kind == kind) {
            return Ok(said.block);
        }
        let head = match kind {
            Kind::Text => Head::Text(None),
            Kind::Refusal => Head::Refusal,
            Kind::Reasoning => Head::Reasoning { raw: true },
        };
        self.begin(kind, head, out)
    }

    /// Begins a block, whatever was being said before.
    pub(super) fn begin(
        &mut self,
        kind: Kind,
        head: Head,
        out: &mut dyn Sink,
    ) -> Result<u64, Box<tollgate_wire::Fault>> {
        self.close(out)?;
        let block = self.number();
        self.said = Some(Said { block, kind });
        let candidate = self.index;
        out.event(Event::BlockStart { candidate, block, head })?;
        Ok(block)
    }

    fn number(&mut self) -> u64 {
        self.finished = false;
        self.next += 1;
        self.next - 1
    }

    pub(super) fn tell(&mut self, block: u64, delta: Delta<'_>, out: &mut dyn Sink) -> Flow {
        out.event(Event::Delta { candidate: self.index, block, delta })
    }

    /// Ends what is being said.
    pub(super) fn close(&mut self, out: &mut dyn Sink) -> Flow {
        match self.said.take() {
            Some(said) => out.event(Event::BlockEnd { candidate: self.index, block: said.block }),
            None => Ok(()),
        }
    }

    pub(super) fn is_thinking(&self) -> Option<u64> {
        self.said.filter(|said| said.kind == Kind::Reasoning).map(|said| said.block)
    }

    fn cite(&mut self, nodes: Node<'_>, out: &mut dyn Sink) -> Flow {
        let citations = answer::citations(nodes.elements().collect());
        let text = self.said.filter(|said| said.kind == Kind::Text);
        match text {
            Some(said) => citations
                .into_iter()
                .try_for_each(|citation| self.tell(said.block, Delta::Citation(citation), out)),
            None if citations.is_empty() => Ok(()),
            None => out.event(Event::Lost(Code::CitationsDropped, "choices.delta.annotations")),
        }
    }

    /// Binds a signature to the text that is being said; to an empty one where there is none.
    fn sign(&mut self, mut signature: Opaque, out: &mut dyn Sink) -> Flow {
        signature.kind = OpaqueKind::Thought;
        let block = self.open(Kind::Text, out)?;
        self.tell(block, Delta::Opaque(signature), out)
    }

    fn call(&mut self, fields: Fields<'_>, out: &mut dyn Sink) -> Flow {
        self.close(out)?;
        let candidate = self.index;
        let (next, finished) = (&mut self.next, &mut self.finished);
        let mut number = || {
            *finished = false;
            *next += 1;
            *next - 1
        };
        self.calls.fragment(candidate, fields, &mut number, out)
    }

    /// The form of a time when there was one call at most.
    fn legacy(&mut self, call: Node<'_>, out: &mut dyn Sink) -> Flow {
        self.close(out)?;
        let (candidate, next) = (self.index, &mut self.next);
        let mut number = || {
            *next += 1;
            *next - 1
        };
        self.finished = false;
        self.calls.legacy(candidate, call, &mut number, out)
    }

    /// Binds a signature to the call it names; `None` if there is no such call.
    pub(super) fn sign_call(
        &mut self,
        id: &str,
        opaque: Opaque,
        out: &mut dyn Sink,
    ) -> Option<Flow> {
        self.calls.sign(self.index, id, opaque, out)
    }

    /// Ends everything that is open, and the choice.
    fn finish(&mut self, id: &str, out: &mut dyn Sink) -> Flow {
        self.leftovers(out)?;
        self.close(out)?;
        let candidate = self.index;
        let next = &mut self.next;
        let mut number = || {
            *next += 1;
            *next - 1
        };
        self.calls.finish(candidate, id, &mut number, out)?;
        self.finished = true;
        let native = self.finish.clone().unwrap_or_default();
        let finish = match answer::regular_finish(&native) {
            _ if self.calls.is_malformed() => Finish::MalformedToolCall,
            None => answers::stop_or(self.calls.any()),
            Some(finish) => finish,
        };
        out.event(Event::Finish(Ending { candidate, finish, native, detail: None }))
    }
}
