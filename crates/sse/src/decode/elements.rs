use memchr::memchr2;

use super::{DecodeError, lines::BOM};

/// Finds the objects of a JSON array that comes in pieces.
///
/// A single object without an array around it counts as the only element: that is how errors come.
#[derive(Debug, Default)]
pub(super) struct Elements {
    opened: bool,
    /// The closing bracket was seen, or the object that stands alone ended.
    pub(super) closed: bool,
    depth: u32,
    in_string: bool,
    escaped: bool,
    /// Bytes of a byte order mark seen.
    mark: usize,
    /// Where in the chunk at hand the element at hand begins, if it begins there.
    pub(super) start: usize,
}

impl Elements {
    /// Reads `chunk` from `at` on; returns the end of the element at hand if it ends here.
    pub(super) fn scan(
        &mut self,
        chunk: &[u8],
        mut at: usize,
    ) -> Result<Option<usize>, DecodeError> {
        while at < chunk.len() {
            if self.in_string {
                at += self.string(&chunk[at..]);
                continue;
            }
            if self.depth == 0 {
                self.between(chunk[at], at)?;
            } else {
                self.within(chunk[at]);
            }
            at += 1;
            if self.depth == 0 && chunk[at - 1] == b'}' {
                self.closed |= !self.opened;
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Whether the object that was read last has no array around it.
    pub(super) fn stands_alone(&self) -> bool {
        self.closed && !self.opened
    }

    fn string(&mut self, rest: &[u8]) -> usize {
        if self.escaped {
            self.escaped = false;
            return 1;
        }
        let Some(found) = memchr2(b'"', b'\\', rest) else { return rest.len() };
        self.escaped = rest[found] == b'\\';
        self.in_string = self.escaped;
        found + 1
    }

    fn within(&mut self, byte: u8) {
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth -= 1,
            _ => {}
        }
    }

    fn between(&mut self, byte: u8, at: usize) -> Result<(), DecodeError> {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => {}
            _ if BOM.get(self.mark) == Some(&byte) && !self.opened => self.mark += 1,
            _ if self.closed => return Err(DecodeError::Malformed),
            b'[' if !self.opened => self.opened = true,
            b']' if self.opened => self.closed = true,
            b',' if self.opened => {}
            b'{' => (self.depth, self.start) = (1, at),
            _ => return Err(DecodeError::Malformed),
        }
        Ok(())
    }
}
