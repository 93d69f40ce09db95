use std::ops::Range;

use bytes::Bytes;
use memchr::memchr2;

/// The byte order mark that may stand once before everything.
pub(super) const BOM: &[u8] = b"\xEF\xBB\xBF";

/// Finds the blank lines that end events, however the bytes are cut.
///
/// A line ends with `\n`, `\r\n` or `\r`. A blank line that ends with `\r` at the end of a chunk
/// ends its event at once; a `\n` that follows in the next chunk still belongs to that line end.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// What may be a byte order mark is over, and how many bytes of it were seen.
    begun: bool,
    mark: usize,
    /// The last byte seen belongs to a line that has not ended.
    inside: bool,
    /// The last byte seen was a `\r` that ended a line.
    after_cr: bool,
    /// The event at hand has a line that may be `data` or `event`.
    pub(super) alive: bool,
}

impl Lines {
    /// Reads `chunk` from `at` on; returns the end of the event at hand if it ends here.
    ///
    /// `fields`, if given, is told its lines: give it while the whole event lies in `chunk`.
    pub(super) fn scan(
        &mut self,
        chunk: &[u8],
        mut at: usize,
        mut fields: Option<&mut Fields>,
    ) -> Option<usize> {
        if !self.begun {
            at = self.skip_mark(chunk);
        }
        let pending = at == chunk.len();
        at += usize::from(self.continues_line_end(chunk, at));
        // One line feed belongs to it and no more.
        self.after_cr &= pending;
        while at < chunk.len() {
            let rest = &chunk[at..];
            self.alive |= !self.inside && matches!(rest[0], b'd' | b'e');
            let Some(length) = memchr2(b'\n', b'\r', rest) else {
                self.inside = true;
                return None;
            };
            let blank = length == 0 && !self.inside;
            let line = at..at + length;
            at += length + 1;
            self.inside = false;
            self.after_cr = rest[length] == b'\r';
            if self.after_cr && at < chunk.len() {
                at += usize::from(chunk[at] == b'\n');
                self.after_cr = false;
            }
            if blank {
                return Some(at);
            }
            if let Some(fields) = &mut fields {
                fields.line(chunk, line);
            }
        }
        None
    }

    /// Whether a line begins with the next byte, whatever that is.
    pub(super) fn is_between(&self) -> bool {
        self.begun && !self.inside && !self.after_cr
    }

    /// Skips a byte order mark, or the part of it that is in `chunk`.
    fn skip_mark(&mut self, chunk: &[u8]) -> usize {
        let rest = &BOM[self.mark..];
        let skipped = rest.iter().zip(chunk).take_while(|(mark, byte)| mark == byte).count();
        self.mark += skipped;
        self.begun = self.mark == BOM.len() || skipped < chunk.len();
        // Half a mark is the start of a line that says nothing.
        self.inside = self.begun && self.mark > 0 && self.mark < BOM.len();
        skipped
    }

    /// Whether the byte at `at` is the second half of a `\r\n` whose first half came earlier.
    pub(super) fn continues_line_end(&self, chunk: &[u8], at: usize) -> bool {
        self.after_cr && chunk.get(at) == Some(&b'\n')
    }
}

/// What the lines of one event say, as places in a text.
#[derive(Debug, Default)]
pub(super) struct Fields {
    name: Option<Range<usize>>,
    data: Data,
}

#[derive(Debug, Default)]
enum Data {
    #[default]
    None,
    One(Range<usize>),
    /// More than one `data` line, joined.
    Many(Vec<u8>),
}

impl Fields {
    /// Reads a whole event, or what there is of it at the end of a stream.
    pub(super) fn parse(text: &[u8], first: bool) -> Self {
        let mut fields = Self::default();
        let mut at = if first && text.starts_with(BOM) { BOM.len() } else { 0 };
        while at < text.len() {
            let length = memchr2(b'\n', b'\r', &text[at..]).unwrap_or(text.len() - at);
            fields.line(text, at..at + length);
            at += length + 1;
        }
        fields
    }

    /// Reads a JSON text that stands at `data`.
    pub(super) fn only_data(data: Range<usize>) -> Self {
        Self { name: None, data: Data::One(data) }
    }

    fn line(&mut self, text: &[u8], line: Range<usize>) {
        if let Some(skipped) = value_of(b"data", &text[line.clone()]) {
            self.add_data(text, line.start + skipped..line.end);
        } else if let Some(skipped) = value_of(b"event", &text[line.clone()]) {
            self.name = Some(line.start + skipped..line.end);
        }
    }

    fn add_data(&mut self, text: &[u8], value: Range<usize>) {
        match &mut self.data {
            Data::None => self.data = Data::One(value),
            Data::One(first) => {
                self.data = Data::Many([&text[first.clone()], &text[value]].join(&b'\n'));
            }
            Data::Many(joined) => {
                joined.push(b'\n');
                joined.extend_from_slice(&text[value]);
            }
        }
    }

    pub(super) fn name<'a>(&self, text: &'a [u8]) -> Option<&'a str> {
        let name = std::str::from_utf8(&text[self.name.clone()?]).ok()?;
        Some(name).filter(|name| !name.is_empty())
    }

    pub(super) fn data<'a>(&'a self, text: &'a [u8]) -> &'a [u8] {
        match &self.data {
            Data::None => &[],
            Data::One(at) => &text[at.clone()],
            Data::Many(joined) => joined,
        }
    }

    pub(super) fn data_bytes(&self, text: &Bytes) -> Bytes {
        match &self.data {
            Data::None => Bytes::new(),
            Data::One(at) => text.slice(at.clone()),
            Data::Many(joined) => Bytes::copy_from_slice(joined),
        }
    }
}

/// Returns where in `line` the value of field `name` begins; `None` if it is another line.
fn value_of(name: &[u8], line: &[u8]) -> Option<usize> {
    match line.strip_prefix(name)? {
        [] => Some(line.len()),
        [b':', b' ', ..] => Some(name.len() + 2),
        [b':', ..] => Some(name.len() + 1),
        _ => None,
    }
}
