use sha2::{Digest, Sha256};
use tollgate_wire::Fault;

use crate::{
    anthropic_messages::{answer, blocks},
    envelope,
    json::{Fields, Json, Node, Object, Raw},
    model::{CallKind, FinishDetail, Opaque, OpaqueKind, Part, ServerToolCall, Vendor},
    stream::{DecodeStream, Delta, Ending, Event, Flow, Head, LIMIT, Sink, Start, Tool, broken},
    warning::Code,
};

/// Reads a stream of named events.
#[derive(Debug, Default)]
pub(crate) struct MessagesReader {
    /// The blocks that are open: one, as a rule.
    open: Vec<Open>,
    /// The number of the next block.
    next: u64,
    called: bool,
    stop: Stop,
    /// A signature of another vendor's, for the block that follows.
    carried: Option<Opaque>,
}

#[derive(Debug, Default)]
struct Stop {
    reason: String,
    sequence: Option<String>,
    detail: Option<FinishDetail>,
}

#[derive(Debug)]
struct Open {
    /// Its place in the content.
    index: u64,
    block: u64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Text,
    Thinking {
        digest: Sha256,
        is_empty: bool,
    },
    /// The input its head held, told if no other comes.
    Tool {
        input: Option<String>,
    },
    /// A tool the provider runs, told when its input is whole.
    Server {
        head: Raw,
        name: String,
        input: String,
    },
    /// Told whole when it began.
    Whole,
}

impl DecodeStream for MessagesReader {
    fn event(&mut self, name: Option<&str>, data: &[u8], out: &mut dyn Sink) -> Flow {
        let fields = Node::parse(data).ok().and_then(Node::fields);
        let mut fields =
            fields.ok_or_else(|| broken("the upstream sent an event that is no object"))?;
        let kind = match name {
            Some(name) if !name.is_empty() && name != "message" => name.into(),
            _ => fields.take("type").and_then(Node::str).unwrap_or_default(),
        };
        match kind.as_ref() {
            "message_start" => self.start(fields.take("message"), out),
            "content_block_start" => {
                let index = index(&mut fields);
                let Some(node) = fields.take("content_block") else { return Ok(()) };
                let begun = self.begin(index, node, out)?;
                self.open.extend(begun);
                Ok(())
            }
            "content_block_delta" => self.delta(&mut fields, out),
            "content_block_stop" => self.end(&mut fields, out),
            "message_delta" => {
                self.stops(fields.take("delta").and_then(Node::fields).unwrap_or_default());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self, out: &mut dyn Sink) -> Flow {
        self.settle(out)?;
        for open in std::mem::take(&mut self.open) {
            open.end(out)?;
        }
        let Stop { reason, sequence, detail } = std::mem::take(&mut self.stop);
        let finish = answer::finish(&reason, sequence, self.called);
        out.event(Event::Finish(Ending { candidate: 0, finish, native: reason, detail }))
    }
}

/// What a block carries for the one that follows it.
fn carrier(part: &Part) -> Option<Opaque> {
    match part {
        Part::Reasoning(reasoning) if reasoning.text.is_empty() => {
            let opaque = reasoning.opaque.as_ref()?;
            matches!(opaque.kind, OpaqueKind::Call | OpaqueKind::Thought).then(|| opaque.clone())
        }
        _ => None,
    }
}

fn index(fields: &mut Fields<'_>) -> u64 {
    fields.take("index").and_then(Node::u64).unwrap_or(0)
}

impl MessagesReader {
    fn start(&mut self, message: Option<Node<'_>>, out: &mut dyn Sink) -> Flow {
        let mut fields = message.and_then(Node::fields).unwrap_or_default();
        let mut text = |name| fields.take(name).and_then(Node::str).unwrap_or_default();
        let (id, model) = (text("id"), text("model"));
        out.event(Event::Start(Start { id, model, created: 0, usage: None }))?;
        let transformed = fields.take("input_transformations");
        if transformed.is_some_and(|list| list.elements().next().is_some()) {
            out.event(Event::Lost(Code::SignatureDropped, "input_transformations"))?;
        }
        // Calls that a program of the provider's makes come whole, with the message that holds them.
        for node in fields.take("content").into_iter().flat_map(Node::elements) {
            if let Some(open) = self.begin(0, node, out)? {
                open.end(out)?;
            }
        }
        self.stops(fields);
        Ok(())
    }

    /// Tells what a block begins with; nothing is open of what is carried to the next.
    fn begin(
        &mut self,
        index: u64,
        node: Node<'_>,
        out: &mut dyn Sink,
    ) -> Result<Option<Open>, Box<Fault>> {
        let mut part = blocks::read(node)
            .map_err(|_| broken("the upstream began a block that cannot be read"))?;
        if let Some(opaque) = carrier(&part) {
            self.settle(out)?;
            self.carried = Some(opaque);
            return Ok(None);
        }
        self.bind(&mut part, out)?;
        let block = self.number();
        let (head, kind, deltas) = self.head(part);
        if let Some(head) = head {
            out.event(Event::BlockStart { candidate: 0, block, head })?;
        }
        for delta in deltas {
            out.event(Event::Delta { candidate: 0, block, delta })?;
        }
        Ok(Some(Open { index, block, kind }))
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// Gives a block the signature that was carried before it.
    fn bind(&mut self, part: &mut Part, out: &mut dyn Sink) -> Flow {
        let Some(opaque) = &self.carried else { return Ok(()) };
        match (opaque.kind, part) {
            (OpaqueKind::Call, Part::ToolCall(call)) => call.signature = self.carried.take(),
            (OpaqueKind::Thought, Part::Text(text)) => text.signature = self.carried.take(),
            _ => return self.settle(out),
        }
        Ok(())
    }

    /// A signature nothing follows that it is bound to stands alone.
    fn settle(&mut self, out: &mut dyn Sink) -> Flow {
        let Some(opaque) = self.carried.take() else { return Ok(()) };
        let (candidate, block) = (0, self.number());
        let head = Head::Reasoning { raw: false };
        out.event(Event::BlockStart { candidate, block, head })?;
        out.event(Event::Delta { candidate, block, delta: Delta::Opaque(opaque) })?;
        out.event(Event::BlockEnd { candidate, block })
    }

    /// What a block begins with.
    fn head(&mut self, part: Part) -> (Option<Head>, Kind, Vec<Delta<'static>>) {
        match part {
            Part::Text(text) => {
                let mut deltas: Vec<_> = text.citations.into_iter().map(Delta::Citation).collect();
                if !text.text.is_empty() {
                    deltas.insert(0, Delta::Text(text.text.into()));
                }
                (Some(Head::Text(text.signature)), Kind::Text, deltas)
            }
            Part::Reasoning(reasoning) if reasoning.text.is_empty() => {
                let deltas = reasoning.opaque.into_iter().map(Delta::Opaque).collect();
                (Some(Head::Reasoning { raw: false }), Kind::Whole, deltas)
            }
            Part::Reasoning(reasoning) => {
                let text = reasoning.joined();
                let kind = Kind::Thinking {
                    digest: Sha256::new_with_prefix(text.as_bytes()),
                    is_empty: text.is_empty(),
                };
                let mut deltas = vec![Delta::Section, Delta::Text(text.into())];
                deltas.extend(reasoning.opaque.map(Delta::Opaque));
                (Some(Head::Reasoning { raw: true }), kind, deltas)
            }
            Part::ToolCall(call) => {
                self.called = true;
                let input = call.args.as_str().to_owned();
                let tool = Tool {
                    id: call.id,
                    name: call.name,
                    namespace: None,
                    kind: CallKind::Function,
                    signature: call.signature,
                };
                let input = (input != "{}").then_some(input);
                (Some(Head::Tool(tool)), Kind::Tool { input }, Vec::new())
            }
            Part::ServerToolCall(call) => {
                let kind = Kind::Server { head: call.value, name: call.name, input: String::new() };
                (None, kind, Vec::new())
            }
            part => (Some(Head::Whole(part)), Kind::Whole, Vec::new()),
        }
    }

    fn delta(&mut self, fields: &mut Fields<'_>, out: &mut dyn Sink) -> Flow {
        let index = index(fields);
        let Some(open) = self.open.iter_mut().rev().find(|open| open.index == index) else {
            return Err(broken("the upstream goes on with a block that is not open"));
        };
        let mut delta = fields.take("delta").and_then(Node::fields).unwrap_or_default();
        let kind = delta.take("type").and_then(Node::str).unwrap_or_default();
        open.delta(&kind, delta, out)
    }

    fn end(&mut self, fields: &mut Fields<'_>, out: &mut dyn Sink) -> Flow {
        let index = index(fields);
        match self.open.iter().rposition(|open| open.index == index) {
            Some(at) => self.open.remove(at).end(out),
            None => Ok(()),
        }
    }

    fn stops(&mut self, mut delta: Fields<'_>) {
        let Some(reason) = delta.take("stop_reason").and_then(Node::string) else { return };
        let sequence = delta.take("stop_sequence").and_then(Node::string);
        let detail = answer::detail(delta.take("stop_details"));
        self.stop = Stop { reason, sequence, detail };
    }
}

impl Open {
    fn delta(&mut self, kind: &str, mut delta: Fields<'_>, out: &mut dyn Sink) -> Flow {
        let mut text = |name| delta.take(name).and_then(Node::str).unwrap_or_default();
        let delta = match (&mut self.kind, kind) {
            (Kind::Text, "text_delta") => Delta::Text(text("text")),
            (Kind::Text, "citations_delta") => match delta.take("citation") {
                Some(citation) => Delta::Citation(blocks::citation(citation)),
                None => return Ok(()),
            },
            (Kind::Thinking { digest, is_empty }, "thinking_delta") => {
                let text = text("thinking");
                digest.update(text.as_bytes());
                *is_empty &= text.is_empty();
                Delta::Text(text)
            }
            (Kind::Thinking { digest, is_empty }, "signature_delta") => {
                let signature = text("signature").into_owned();
                let mut opaque = envelope::read(signature, Vendor::Anthropic, OpaqueKind::Thinking);
                if opaque.vendor == Vendor::Anthropic && opaque.digest == [0; 8] && !*is_empty {
                    opaque.digest.copy_from_slice(&digest.clone().finalize()[..8]);
                }
                Delta::Opaque(opaque)
            }
            (Kind::Tool { input }, "input_json_delta") => {
                let text = text("partial_json");
                if !text.is_empty() {
                    *input = None;
                }
                Delta::Text(text)
            }
            (Kind::Server { input, .. }, "input_json_delta") => {
                input.push_str(&text("partial_json"));
                return match input.len() {
                    ..=LIMIT => Ok(()),
                    _ => Err(broken("the upstream calls a tool with too long arguments")),
                };
            }
            _ => return Ok(()),
        };
        if matches!(&delta, Delta::Text(text) if text.is_empty()) {
            return Ok(());
        }
        out.event(Event::Delta { candidate: 0, block: self.block, delta })
    }

    fn end(self, out: &mut dyn Sink) -> Flow {
        let (candidate, block) = (0, self.block);
        match self.kind {
            Kind::Tool { input: Some(input) } => {
                let delta = Delta::Text(input.into());
                out.event(Event::Delta { candidate, block, delta })?;
            }
            Kind::Server { head, name, input } => {
                let value = with_input(&head, &input);
                let head = Head::Whole(Part::ServerToolCall(ServerToolCall { name, value }));
                out.event(Event::BlockStart { candidate, block, head })?;
            }
            _ => {}
        }
        out.event(Event::BlockEnd { candidate, block })
    }
}

/// A block with the input that came behind it.
fn with_input(head: &Raw, input: &str) -> Raw {
    let Some(input) = Raw::parse(input) else { return head.clone() };
    match head.tree() {
        Json::Object(mut block) => {
            Object::set(&mut block, "input", input);
            Json::from(block).into()
        }
        _ => head.clone(),
    }
}
