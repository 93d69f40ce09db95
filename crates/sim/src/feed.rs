//! The events of one stream, written into one buffer.

use bytes::Bytes;

use crate::{
    ask::tokens,
    bill::Spend,
    json::{Object, object},
};

/// The length of one event and what it carries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) len: usize,
    pub(crate) spend: Spend,
}

/// How events are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// `data:` lines, with `event:` where an event has a name.
    Sse,
    /// The elements of one JSON array.
    Array,
}

#[derive(Debug)]
pub(crate) struct Feed {
    out: String,
    marks: Vec<Mark>,
    framing: Framing,
}

impl Spend {
    pub(crate) const NOTHING: Self = Self { output: 0, reasoning: 0 };

    pub(crate) fn text(piece: &str) -> Self {
        Self { output: tokens(piece.len()), reasoning: 0 }
    }

    pub(crate) fn thought(piece: &str) -> Self {
        let tokens = tokens(piece.len());
        Self { output: tokens, reasoning: tokens }
    }

    pub(crate) fn call(name: &str, arguments: &str) -> Self {
        Self { output: tokens(name.len() + arguments.len()), reasoning: 0 }
    }
}

impl Feed {
    pub(crate) fn new(framing: Framing) -> Self {
        Self { out: String::with_capacity(4096), marks: Vec::with_capacity(16), framing }
    }

    /// The number of events so far.
    pub(crate) fn len(&self) -> usize {
        self.marks.len()
    }

    /// Adds a `data:` event, or an array's element.
    pub(crate) fn data(&mut self, spend: Spend, fill: impl FnOnce(&mut Object<'_>)) {
        let start = self.out.len();
        self.out.push_str(match (self.framing, self.marks.is_empty()) {
            (Framing::Sse, _) => "data: ",
            (Framing::Array, true) => "[",
            (Framing::Array, false) => ",\r\n",
        });
        object(&mut self.out, fill);
        if self.framing == Framing::Sse {
            self.out.push_str("\n\n");
        }
        self.marks.push(Mark { len: self.out.len() - start, spend });
    }

    /// Adds an event with a name, repeated as its `type`.
    pub(crate) fn event(&mut self, name: &str, spend: Spend, fill: impl FnOnce(&mut Object<'_>)) {
        let start = self.out.len();
        self.out.push_str("event: ");
        self.out.push_str(name);
        self.out.push_str("\ndata: ");
        object(&mut self.out, |o| {
            o.member("type", name);
            fill(o);
        });
        self.out.push_str("\n\n");
        self.marks.push(Mark { len: self.out.len() - start, spend });
    }

    /// Adds a frame as it stands.
    pub(crate) fn raw(&mut self, text: &str) {
        self.out.push_str(text);
        self.marks.push(Mark { len: text.len(), spend: Spend::NOTHING });
    }

    /// Forgets all but the first `events`.
    pub(crate) fn truncate(&mut self, events: usize) {
        self.marks.truncate(events);
        self.out.truncate(self.marks.iter().map(|mark| mark.len).sum());
    }

    /// Closes an array.
    pub(crate) fn close(&mut self) {
        let closing = match (self.framing, self.marks.is_empty()) {
            (Framing::Sse, _) => return,
            (Framing::Array, true) => "[]",
            (Framing::Array, false) => "]",
        };
        self.out.push_str(closing);
        match self.marks.last_mut() {
            Some(last) => last.len += closing.len(),
            None => self.marks.push(Mark { len: closing.len(), spend: Spend::NOTHING }),
        }
    }

    pub(crate) fn into_parts(self) -> (Bytes, Vec<Mark>) {
        (self.out.into(), self.marks)
    }
}
