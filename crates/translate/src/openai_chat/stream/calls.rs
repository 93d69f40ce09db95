//! Tool calls that arrive in fragments.

use crate::{
    ids,
    json::{Fields, Node, Prefix},
    model::{CallKind, Opaque},
    openai_chat::messages,
    stream::{Delta, Event, Flow, Head, LIMIT, Sink, Tool, broken},
};

/// The calls of one choice.
#[derive(Debug, Default)]
pub(super) struct Calls {
    calls: Vec<Call>,
    /// How many calls there were before those in `calls`.
    before: usize,
    /// A call never got a name.
    malformed: bool,
}

#[derive(Debug, Default)]
struct Call {
    index: Option<u64>,
    id: String,
    name: String,
    custom: bool,
    /// Its block; `None` before its head was told.
    block: Option<u64>,
    /// What came of the arguments before that.
    held: String,
    /// The arguments so far.
    arguments: Prefix,
    signature: Option<Opaque>,
    signed: bool,
}

type Number<'a> = &'a mut dyn FnMut() -> u64;

/// What a fragment says.
#[derive(Debug, Default)]
struct Fragment {
    index: Option<u64>,
    id: String,
    name: String,
    custom: bool,
    text: String,
    signature: Option<Opaque>,
}

impl Fragment {
    fn read(mut fields: Fields<'_>) -> Self {
        let custom = fields.peek("custom").is_some();
        let key = if custom { "custom" } else { "function" };
        let inner = fields.take(key).and_then(Node::fields).unwrap_or_default();
        let said = Self::named(inner, if custom { "input" } else { "arguments" });
        Self {
            index: fields.take("index").and_then(Node::u64),
            id: fields.take("id").and_then(Node::string).unwrap_or_default(),
            custom,
            signature: messages::google_signature(&mut fields),
            ..said
        }
    }

    fn named(mut inner: Fields<'_>, key: &str) -> Self {
        // A string as the protocol says, or an object as some servers write.
        let text = inner.take(key).map(|node| match node.string() {
            Some(text) => text,
            None => node.raw().as_str().to_owned(),
        });
        let name = inner.take("name").and_then(Node::string).unwrap_or_default();
        Self { name, text: text.unwrap_or_default(), ..Self::default() }
    }
}

impl Calls {
    /// Reads a fragment of a call.
    pub(super) fn fragment(
        &mut self,
        candidate: u64,
        fields: Fields<'_>,
        number: Number<'_>,
        out: &mut dyn Sink,
    ) -> Flow {
        let fragment = Fragment::read(fields);
        let at = self.place(&fragment);
        self.calls[at].read(candidate, fragment, number, out)
    }

    /// Reads a fragment of the only call, in the form that gives it no id.
    pub(super) fn legacy(
        &mut self,
        candidate: u64,
        node: Node<'_>,
        number: Number<'_>,
        out: &mut dyn Sink,
    ) -> Flow {
        let inner = node.fields().unwrap_or_default();
        let fragment = Fragment { index: Some(0), ..Fragment::named(inner, "arguments") };
        let at = self.place(&fragment);
        self.calls[at].read(candidate, fragment, number, out)
    }

    /// The call a fragment belongs to, which may be a new one.
    fn place(&mut self, fragment: &Fragment) -> usize {
        self.find(fragment).unwrap_or_else(|| {
            self.calls.push(Call { index: fragment.index, ..Call::default() });
            self.calls.len() - 1
        })
    }

    fn find(&self, fragment: &Fragment) -> Option<usize> {
        let same = |call: &Call| fragment.index.is_some() && call.index == fragment.index;
        let named = |call: &Call| !fragment.id.is_empty() && call.id == fragment.id;
        let at = match fragment.index {
            Some(_) => self.calls.iter().rposition(same)?,
            None => match self.calls.iter().rposition(named) {
                Some(at) => at,
                None if self.calls.len() == 1 => 0,
                None => return None,
            },
        };
        let call = &self.calls[at];
        let other = !fragment.id.is_empty() && !call.id.is_empty() && call.id != fragment.id;
        // Servers without ids tell a new call by its name alone.
        let again = fragment.id.is_empty()
            && !fragment.name.is_empty()
            && !fragment.text.trim().is_empty()
            && call.arguments.is_done();
        (!other && !again).then_some(at)
    }

    /// Binds a signature to the call of that id, if there is one.
    pub(super) fn sign(
        &mut self,
        candidate: u64,
        id: &str,
        opaque: Opaque,
        out: &mut dyn Sink,
    ) -> Option<Flow> {
        let call = self.calls.iter_mut().find(|call| call.id == id)?;
        Some(call.sign(candidate, opaque, out))
    }

    /// Ends the calls.
    pub(super) fn finish(
        &mut self,
        candidate: u64,
        answer: &str,
        number: Number<'_>,
        out: &mut dyn Sink,
    ) -> Flow {
        let before = self.before;
        self.before += self.calls.len();
        for (at, mut call) in std::mem::take(&mut self.calls).into_iter().enumerate() {
            if call.block.is_none() {
                if call.name.is_empty() {
                    self.malformed = true;
                    continue;
                }
                if call.id.is_empty() {
                    call.id = ids::in_answer(answer, candidate, before + at, &call.name);
                }
                call.start(candidate, number, out)?;
            }
            if let Some(block) = call.block {
                out.event(Event::BlockEnd { candidate, block })?;
            }
        }
        Ok(())
    }

    pub(super) fn any(&self) -> bool {
        self.before + self.calls.len() > 0
    }

    pub(super) fn is_malformed(&self) -> bool {
        self.malformed
    }
}

impl Call {
    fn read(
        &mut self,
        candidate: u64,
        fragment: Fragment,
        number: Number<'_>,
        out: &mut dyn Sink,
    ) -> Flow {
        if self.id.is_empty() {
            self.id = fragment.id;
        }
        if self.name.is_empty() {
            self.name = fragment.name;
        }
        self.custom |= fragment.custom;
        if !self.custom {
            // What is no JSON stays text, and is nothing to tell calls apart by.
            let _ = self.arguments.push(&fragment.text);
        }
        match self.block {
            Some(block) => text(candidate, block, fragment.text, out)?,
            None => {
                self.held.push_str(&fragment.text);
                if self.held.len() > LIMIT {
                    return Err(broken("the upstream calls a tool without its name or its id"));
                }
                self.signature = self.signature.take().or(fragment.signature);
                return self.start_if_known(candidate, number, out);
            }
        }
        match fragment.signature {
            Some(signature) => self.sign(candidate, signature, out),
            None => Ok(()),
        }
    }

    fn start_if_known(&mut self, candidate: u64, number: Number<'_>, out: &mut dyn Sink) -> Flow {
        if self.id.is_empty() || self.name.is_empty() {
            return Ok(());
        }
        self.start(candidate, number, out)
    }

    fn start(&mut self, candidate: u64, number: Number<'_>, out: &mut dyn Sink) -> Flow {
        let block = number();
        self.block = Some(block);
        self.signed = self.signature.is_some();
        let head = Head::Tool(Tool {
            id: self.id.clone(),
            name: self.name.clone(),
            namespace: None,
            kind: if self.custom { CallKind::Custom } else { CallKind::Function },
            signature: self.signature.take(),
        });
        out.event(Event::BlockStart { candidate, block, head })?;
        text(candidate, block, std::mem::take(&mut self.held), out)
    }

    fn sign(&mut self, candidate: u64, opaque: Opaque, out: &mut dyn Sink) -> Flow {
        match self.block {
            _ if self.signed => Ok(()),
            None => {
                self.signature = Some(opaque);
                Ok(())
            }
            Some(block) => {
                self.signed = true;
                out.event(Event::Delta { candidate, block, delta: Delta::Opaque(opaque) })
            }
        }
    }
}

fn text(candidate: u64, block: u64, text: String, out: &mut dyn Sink) -> Flow {
    if text.is_empty() {
        return Ok(());
    }
    out.event(Event::Delta { candidate, block, delta: Delta::Text(text.into()) })
}
