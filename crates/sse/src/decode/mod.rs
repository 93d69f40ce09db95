//! Push decoder: bytes in, whole events out.

mod elements;
mod lines;
#[cfg(test)]
mod tests;

use std::fmt;

use bytes::{Bytes, BytesMut};
use tollgate_wire::{Event, json};

use self::{
    elements::Elements,
    lines::{Fields, Lines},
};

/// How the events of a stream are framed in its body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Framing {
    /// Server-sent events (`text/event-stream`).
    #[default]
    Sse,
    /// One JSON array whose elements are the events: Gemini without `alt=sse`.
    JsonArray,
}

/// Why a stream cannot be decoded further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// An event that had to be held is larger than the limit.
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The bytes are no JSON array of objects.
    Malformed,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { limit } => write!(f, "an event is larger than {limit} bytes"),
            Self::Malformed => f.write_str("the stream is no JSON array of objects"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// What is left when a stream ends.
#[derive(Debug)]
pub enum Tail<'a> {
    /// Nothing that matters: blank lines, comments, the bracket that closes the array.
    Clean,
    /// A last event whose blank line is missing, and whose data is `[DONE]` or JSON.
    Event(Decoded<'a>),
    /// A part of an event, or an array nobody closed.
    Truncated,
}

/// Push decoder of event streams.
///
/// [`push`](Decoder::push) a chunk, then take [`next`](Decoder::next) until it is `None`. Chunks
/// may be cut anywhere. An event that lies in one chunk costs no copy; of an event that spans
/// chunks the slices are kept as they came and joined once, when it is whole.
///
/// ```
/// use tollgate_sse::{Decoder, Framing};
///
/// let mut decoder = Decoder::new(Framing::Sse);
/// decoder.push("event: ping\ndata: {}\n\nda".into());
/// let event = decoder.next().unwrap().unwrap();
/// assert_eq!((event.name(), event.data()), (Some("ping"), &b"{}"[..]));
/// assert!(decoder.next().unwrap().is_none());
///
/// decoder.push("ta: [DONE]\r\n\r\n".into());
/// assert_eq!(decoder.next().unwrap().unwrap().data(), b"[DONE]");
/// ```
#[derive(Debug)]
pub struct Decoder {
    grammar: Grammar,
    limit: usize,
    /// The chunk at hand, and how many bytes of the stream came before it.
    chunk: Bytes,
    before: u64,
    /// Where in the chunk reading goes on, and where the event at hand starts.
    at: usize,
    start: usize,
    /// The event at hand as far as it came in earlier chunks.
    carry: Vec<Bytes>,
    carried: usize,
    /// How many bytes from the start of the stream belong to whole events.
    whole: u64,
    /// The last event taken: its text, if it had to be joined, and its fields.
    joined: Bytes,
    fields: Fields,
    taken: bool,
    unterminated: bool,
}

#[derive(Debug)]
enum Grammar {
    Sse(Lines),
    Array(Elements),
}

impl Decoder {
    /// The default limit of an event that must be held: 16 MiB.
    pub const DEFAULT_LIMIT: usize = 16 << 20;

    /// Returns a decoder at the start of a stream.
    pub fn new(framing: Framing) -> Self {
        Self {
            grammar: match framing {
                Framing::Sse => Grammar::Sse(Lines::default()),
                Framing::JsonArray => Grammar::Array(Elements::default()),
            },
            limit: Self::DEFAULT_LIMIT,
            chunk: Bytes::new(),
            before: 0,
            at: 0,
            start: 0,
            carry: Vec::new(),
            carried: 0,
            whole: 0,
            joined: Bytes::new(),
            fields: Fields::default(),
            taken: false,
            unterminated: false,
        }
    }

    /// Limits how many bytes of one event are held, each slice counted with 32 bytes for itself.
    /// Default: [`Decoder::DEFAULT_LIMIT`]. An event that arrives whole in one chunk is not held.
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// The framing this decoder reads.
    pub fn framing(&self) -> Framing {
        match self.grammar {
            Grammar::Sse(_) => Framing::Sse,
            Grammar::Array(_) => Framing::JsonArray,
        }
    }

    /// Whether what was asked for as an array is an object without one around it.
    pub(crate) fn stands_alone(&self) -> bool {
        matches!(&self.grammar, Grammar::Array(elements) if elements.stands_alone())
    }

    /// Takes in the next chunk. Whole events of the chunk before must have been taken.
    pub fn push(&mut self, chunk: Bytes) {
        debug_assert_eq!(self.at, self.chunk.len(), "events of the last chunk were not taken");
        if chunk.is_empty() {
            return;
        }
        self.clear_taken();
        self.before += self.chunk.len() as u64;
        (self.chunk, self.at, self.start) = (chunk, 0, 0);
        if let Grammar::Sse(lines) = &self.grammar
            && self.whole == self.before
            && lines.continues_line_end(&self.chunk, 0)
        {
            self.whole += 1;
        }
    }

    /// Returns the next whole event, or `None` if it needs another chunk.
    ///
    /// Errors: the event is over the limit, or the array is none. The decoder is of no use then.
    #[allow(clippy::should_implement_trait)] // lends from itself
    pub fn next(&mut self) -> Result<Option<Decoded<'_>>, DecodeError> {
        let Some(end) = self.boundary()? else { return Ok(None) };
        if !self.carry.is_empty() {
            self.join(end);
        } else if let Grammar::Array(elements) = &self.grammar {
            self.fields = Fields::only_data(elements.start..end);
        }
        Ok(Some(self.decoded()))
    }

    /// Skips the next whole event and says whether it is more than comment and blank lines;
    /// `None` if it needs another chunk. Joins nothing.
    ///
    /// Errors: as [`Decoder::next`].
    pub fn skip(&mut self) -> Result<Option<bool>, DecodeError> {
        let found = self.boundary()?;
        Ok(found.map(|_| match &self.grammar {
            Grammar::Sse(lines) => lines.alive,
            Grammar::Array(_) => true,
        }))
    }

    /// Takes in and skips a chunk that is whole events and no comment alone, as nearly every chunk
    /// is. `false`: it may be another, and was not taken in.
    pub(crate) fn pass(&mut self, chunk: &[u8]) -> bool {
        self.clear_taken();
        let Grammar::Sse(lines) = &self.grammar else { return false };
        let between = self.carry.is_empty() && self.start == self.chunk.len();
        let begins = chunk.starts_with(b"data:") || chunk.starts_with(b"event:");
        if !(between && lines.is_between() && begins && chunk.ends_with(b"\n\n")) {
            return false;
        }
        self.before += (self.chunk.len() + chunk.len()) as u64;
        (self.chunk, self.at, self.start) = (Bytes::new(), 0, 0);
        self.whole = self.before;
        true
    }

    /// How many bytes from the start of the stream belong to whole events taken so far.
    ///
    /// Whoever forwards whole events only may release that much. The bracket that closes an array
    /// is never among them.
    pub fn position(&self) -> u64 {
        self.whole
    }

    /// Ends the stream and says what is left of it. Asked again, the rest is clean.
    pub fn finish(&mut self) -> Tail<'_> {
        self.clear_taken();
        let whole = std::mem::replace(&mut self.chunk, Bytes::new());
        self.before += whole.len() as u64;
        (self.at, self.start) = (0, 0);
        let clean = match &self.grammar {
            Grammar::Array(elements) => return self.finish_array(elements.closed),
            Grammar::Sse(_) => self.carry.is_empty(),
        };
        if clean {
            return self.clean();
        }
        self.join(0);
        let data = self.fields.data(&self.joined);
        if data == b"[DONE]" || (!data.is_empty() && json::is_valid(data)) {
            self.whole = self.before;
            self.unterminated = true;
            self.taken = true;
            return Tail::Event(self.decoded());
        }
        match only_comments(&self.joined) {
            true => self.clean(),
            false => Tail::Truncated,
        }
    }

    /// Whether the last event had no blank line after it, so that another must not follow as is.
    pub fn is_unterminated(&self) -> bool {
        self.unterminated
    }

    fn finish_array(&mut self, closed: bool) -> Tail<'_> {
        match closed {
            true => self.clean(),
            false => Tail::Truncated,
        }
    }

    fn clean(&mut self) -> Tail<'_> {
        self.whole = self.before;
        self.carry.clear();
        self.carried = 0;
        Tail::Clean
    }

    /// Reads on to the end of the event at hand.
    fn boundary(&mut self) -> Result<Option<usize>, DecodeError> {
        self.clear_taken();
        let fields = Some(&mut self.fields).filter(|_| self.carry.is_empty());
        let found = match &mut self.grammar {
            Grammar::Sse(lines) => lines.scan(&self.chunk, self.at, fields),
            Grammar::Array(elements) => elements.scan(&self.chunk, self.at)?,
        };
        let end = found.unwrap_or(self.chunk.len());
        self.at = end;
        if found.is_none() {
            self.carry_rest()?;
        } else {
            self.check(self.carried + end - self.start)?;
            self.whole = self.before + end as u64;
            self.taken = true;
        }
        Ok(found)
    }

    fn carry_rest(&mut self) -> Result<(), DecodeError> {
        if self.start == self.chunk.len() {
            return Ok(());
        }
        self.fields = Fields::default();
        let rest = self.chunk.slice(self.start..);
        self.start = self.chunk.len();
        self.carried += rest.len() + size_of::<Bytes>();
        self.carry.push(rest);
        self.check(self.carried)
    }

    fn check(&self, held: usize) -> Result<(), DecodeError> {
        match !self.carry.is_empty() && held > self.limit {
            true => Err(DecodeError::TooLarge { limit: self.limit }),
            false => Ok(()),
        }
    }

    /// Joins the carried slices and the chunk up to `end` and reads the fields anew.
    fn join(&mut self, end: usize) {
        let mut text = BytesMut::with_capacity(self.carried + end - self.start);
        self.carry.iter().for_each(|piece| text.extend_from_slice(piece));
        text.extend_from_slice(&self.chunk[self.start..end]);
        self.joined = text.freeze();
        let first = self.before + (end as u64) == self.joined.len() as u64;
        self.fields = match &self.grammar {
            Grammar::Sse(_) => Fields::parse(&self.joined, first),
            Grammar::Array(_) => {
                let start = memchr::memchr(b'{', &self.joined).unwrap_or_default();
                Fields::only_data(start..self.joined.len())
            }
        };
    }

    fn decoded(&self) -> Decoded<'_> {
        Decoded { decoder: self }
    }

    fn text(&self) -> &Bytes {
        if self.carry.is_empty() { &self.chunk } else { &self.joined }
    }

    /// Forgets the event that was taken last.
    fn clear_taken(&mut self) {
        if !self.taken {
            return;
        }
        self.taken = false;
        self.start = self.at;
        self.fields = Fields::default();
        if let Grammar::Sse(lines) = &mut self.grammar {
            lines.alive = false;
        }
        if !self.carry.is_empty() {
            self.carry.clear();
            self.carried = 0;
            self.joined = Bytes::new();
        }
    }
}

/// Whether no line says anything.
fn only_comments(text: &[u8]) -> bool {
    let text = text.strip_prefix(lines::BOM).unwrap_or(text);
    text.split(|byte| matches!(byte, b'\n' | b'\r'))
        .all(|line| line.is_empty() || line.starts_with(b":"))
}

/// One whole event, borrowed from its decoder.
#[derive(Clone, Copy)]
pub struct Decoded<'a> {
    decoder: &'a Decoder,
}

impl<'a> Decoded<'a> {
    /// The event's name; `None` where it has none or one that is not UTF-8.
    pub fn name(&self) -> Option<&'a str> {
        self.decoder.fields.name(self.decoder.text())
    }

    /// The data, lines joined with `\n`; empty where there is none.
    pub fn data(&self) -> &'a [u8] {
        self.decoder.fields.data(self.decoder.text())
    }

    /// The data as bytes that outlive the decoder's next step. Copied only where the event has
    /// several data lines.
    pub fn data_bytes(&self) -> Bytes {
        self.decoder.fields.data_bytes(self.decoder.text())
    }

    /// Whether nothing is said: comments, blank lines, empty data without a name.
    pub fn is_keep_alive(&self) -> bool {
        self.data().is_empty() && self.name().is_none()
    }

    /// Name and data, as the automata of `tollgate-wire` read them.
    pub fn event(&self) -> Event<'a> {
        Event { name: self.name(), data: self.data() }
    }

    /// The bytes the event was written in, in the slices they came in. Those of all events and
    /// the tail, in order, are the stream.
    pub fn raw(&self) -> impl Iterator<Item = Bytes> + 'a {
        let decoder = self.decoder;
        let last = decoder.chunk.slice(decoder.start..decoder.at);
        decoder.carry.iter().cloned().chain(Some(last).filter(|last| !last.is_empty()))
    }
}

impl fmt::Debug for Decoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoded")
            .field("name", &self.name())
            .field("data", &String::from_utf8_lossy(self.data()))
            .finish()
    }
}
