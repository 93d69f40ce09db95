//! A stream as the whole answer it amounts to, and back.

use tollgate_core::Protocol;

use super::{Delta, Ending, Event, Flow, Head, Sink, Start, Tool};
use crate::model::{Answer, Args, CallKind, Candidate, Finish, Part, Reasoning, Text, ToolCall};

/// Collects the events of a stream into one answer.
///
/// Its memory is the answer's.
#[derive(Debug)]
pub struct Fold {
    answer: Answer,
    /// Of each candidate, where the blocks stand that began.
    open: Vec<Open>,
    is_whole: bool,
}

#[derive(Debug)]
struct Open {
    candidate: u64,
    block: u64,
    at: usize,
    /// Arguments are joined before they are read.
    arguments: String,
}

impl Fold {
    /// Returns an empty answer of a protocol.
    pub fn new(source: Protocol) -> Self {
        Self { answer: Answer::new(source), open: Vec::new(), is_whole: false }
    }

    /// The answer; `None` if the stream did not come to its end.
    pub fn into_answer(mut self) -> Option<Answer> {
        self.answer.candidates.sort_by_key(|candidate| candidate.index);
        self.is_whole.then_some(self.answer)
    }

    fn candidate(&mut self, index: u64) -> &mut Candidate {
        let candidates = &mut self.answer.candidates;
        let at = candidates.iter().position(|each| each.index == index).unwrap_or_else(|| {
            candidates.push(Candidate { index, ..Candidate::new(Vec::new(), Finish::Stop) });
            candidates.len() - 1
        });
        &mut candidates[at]
    }

    fn start(&mut self, candidate: u64, block: u64, head: Head) {
        let parts = &mut self.candidate(candidate).parts;
        let at = parts.len();
        parts.push(begun(head));
        self.open.push(Open { candidate, block, at, arguments: String::new() });
    }

    fn delta(&mut self, candidate: u64, block: u64, delta: Delta<'_>) {
        let is_it = |open: &&mut Open| open.candidate == candidate && open.block == block;
        let Some(open) = self.open.iter_mut().find(is_it) else { return };
        let candidates = self.answer.candidates.iter_mut();
        let mut candidates = candidates.filter(|each| each.index == candidate);
        let Some(part) = candidates.next().and_then(|each| each.parts.get_mut(open.at)) else {
            return;
        };
        match (part, delta) {
            (Part::Text(text), Delta::Text(more)) => text.text.push_str(&more),
            (Part::Text(text), Delta::Opaque(opaque)) => text.signature = Some(opaque),
            (Part::Text(text), Delta::Citation(citation)) => text.citations.push(citation),
            (Part::Refusal(text), Delta::Text(more)) => text.push_str(&more),
            (Part::Reasoning(reasoning), delta) => think(reasoning, delta),
            (Part::ToolCall(_), Delta::Text(more)) => open.arguments.push_str(&more),
            (Part::ToolCall(call), Delta::Opaque(opaque)) => call.signature = Some(opaque),
            _ => {}
        }
    }

    fn end(&mut self, candidate: u64, block: u64) {
        let is_it = |open: &Open| open.candidate == candidate && open.block == block;
        let Some(at) = self.open.iter().position(is_it) else { return };
        let open = self.open.swap_remove(at);
        if let Some(Part::ToolCall(call)) = self.candidate(candidate).parts.get_mut(open.at) {
            call.args = match call.kind {
                CallKind::Function => Args::of_text(&open.arguments),
                CallKind::Custom => Args::Text(open.arguments),
            };
        }
    }

    fn finish(&mut self, ending: Ending) {
        let candidate = self.candidate(ending.candidate);
        candidate.finish = ending.finish;
        candidate.native_finish = ending.native;
        candidate.detail = ending.detail;
    }
}

fn begun(head: Head) -> Part {
    match head {
        Head::Text(signature) => Part::Text(Text { signature, ..Text::default() }),
        Head::Refusal => Part::Refusal(String::new()),
        Head::Reasoning { raw } => Part::Reasoning(Reasoning { raw, ..Reasoning::default() }),
        Head::Tool(tool) => {
            let mut call = ToolCall::new(tool.id, tool.name, Args::empty());
            call.namespace = tool.namespace;
            call.kind = tool.kind;
            call.signature = tool.signature;
            Part::ToolCall(call)
        }
        Head::Whole(part) => part,
    }
}

fn think(reasoning: &mut Reasoning, delta: Delta<'_>) {
    match delta {
        Delta::Section => reasoning.text.push(String::new()),
        Delta::Text(more) => match reasoning.text.last_mut() {
            Some(text) => text.push_str(&more),
            None => reasoning.text.push(more.into_owned()),
        },
        Delta::Opaque(opaque) => reasoning.opaque = Some(opaque),
        Delta::Citation(_) => {}
    }
}

impl Sink for Fold {
    fn event(&mut self, event: Event<'_>) -> Flow {
        match event {
            Event::Start(start) => {
                self.answer.id = start.id.into_owned();
                self.answer.model = start.model.into_owned();
                self.answer.created = start.created;
            }
            Event::BlockStart { candidate, block, head } => self.start(candidate, block, head),
            Event::Delta { candidate, block, delta } => self.delta(candidate, block, delta),
            Event::BlockEnd { candidate, block } => self.end(candidate, block),
            Event::Finish(ending) => self.finish(ending),
            Event::Blocked(block) => self.answer.prompt_block = Some(block),
            Event::Usage(usage) => self.answer.usage = Some(usage),
            Event::Lost(..) => {}
            Event::End => self.is_whole = true,
        }
        Ok(())
    }
}

/// Tells a whole answer as a stream.
///
/// Errors: the sink's.
pub fn unfold(answer: Answer, out: &mut dyn Sink) -> Flow {
    out.event(Event::Start(Start {
        id: answer.id.into(),
        model: answer.model.into(),
        created: answer.created,
        usage: answer.usage.clone(),
    }))?;
    if let Some(block) = answer.prompt_block.filter(|_| answer.candidates.is_empty()) {
        out.event(Event::Blocked(block))?;
    }
    for candidate in answer.candidates {
        let index = candidate.index;
        for (block, part) in (0..).zip(candidate.parts) {
            unfold_part(index, block, part, out)?;
        }
        out.event(Event::Finish(Ending {
            candidate: index,
            finish: candidate.finish,
            native: candidate.native_finish,
            detail: candidate.detail,
        }))?;
    }
    if let Some(usage) = answer.usage {
        out.event(Event::Usage(usage))?;
    }
    out.event(Event::End)
}

fn unfold_part(candidate: u64, block: u64, part: Part, out: &mut dyn Sink) -> Flow {
    let (head, deltas) = told(part);
    out.event(Event::BlockStart { candidate, block, head })?;
    for delta in deltas {
        out.event(Event::Delta { candidate, block, delta })?;
    }
    out.event(Event::BlockEnd { candidate, block })
}

fn told(part: Part) -> (Head, Vec<Delta<'static>>) {
    match part {
        Part::Text(text) => {
            let mut deltas = vec![Delta::Text(text.text.into())];
            deltas.extend(text.citations.into_iter().map(Delta::Citation));
            (Head::Text(text.signature), deltas)
        }
        Part::Refusal(text) => (Head::Refusal, vec![Delta::Text(text.into())]),
        Part::Reasoning(reasoning) => {
            let mut deltas = Vec::new();
            for text in reasoning.text {
                deltas.extend([Delta::Section, Delta::Text(text.into())]);
            }
            deltas.extend(reasoning.opaque.map(Delta::Opaque));
            (Head::Reasoning { raw: reasoning.raw }, deltas)
        }
        Part::ToolCall(call) => {
            let arguments = call.args.as_str().to_owned();
            let head = Head::Tool(Tool {
                id: call.id,
                name: call.name,
                namespace: call.namespace,
                kind: call.kind,
                signature: call.signature,
            });
            (head, vec![Delta::Text(arguments.into())])
        }
        part => (Head::Whole(part), Vec::new()),
    }
}
