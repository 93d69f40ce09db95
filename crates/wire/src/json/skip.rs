//! Passing over what nobody reads.

use wide::u8x16;

/// Bytes that mean something in a container outside of its strings.
const MARKS: [bool; 256] = {
    let mut marks = [false; 256];
    let (mut at, all) = (0, b"\"{}[]");
    while at < all.len() {
        marks[all[at] as usize] = true;
        at += 1;
    }
    marks
};

/// Returns where the next quote or bracket stands; the length where there is none.
#[inline]
pub(super) fn to_mark(text: &[u8]) -> usize {
    text.iter().position(|byte| MARKS[usize::from(*byte)]).unwrap_or(text.len())
}

/// Passes over the rest of a string whose opening quote was read. Returns its length with the
/// closing quote, if that is here.
#[inline]
pub(super) fn string(text: &[u8]) -> Option<usize> {
    match short(text) {
        Some((length, _)) => Some(length),
        None => long(text),
    }
}

/// The same, and whether there is no escape in it.
#[inline]
pub(super) fn plain(text: &[u8]) -> Option<(usize, bool)> {
    short(text).or_else(|| {
        let length = long(text)?;
        Some((length, memchr::memchr(b'\\', &text[..length]).is_none()))
    })
}

/// A short string that has no escape before its first quote: nearly all names and most values.
#[inline]
fn short(text: &[u8]) -> Option<(usize, bool)> {
    let (lanes, rest) = text.as_chunks();
    for (at, lane) in lanes.iter().take(SHORT).enumerate() {
        if let Some(at) = first(lane).map(|first| at * LANE + first) {
            return (text[at] == b'"').then_some((at + 1, true));
        }
    }
    if lanes.len() >= SHORT {
        return None;
    }
    let mut last = [b' '; LANE];
    last[..rest.len()].copy_from_slice(rest);
    let at = text.len() - rest.len() + first(&last)?;
    (text[at] == b'"').then_some((at + 1, true))
}

/// Where the first quote or backslash stands.
#[inline]
fn first(lane: &[u8; LANE]) -> Option<usize> {
    let lane = u8x16::new(*lane);
    let found = marks(lane, b'"') | marks(lane, b'\\');
    (found != 0).then(|| found.trailing_zeros() as usize)
}

/// Passes over an object or an array. Returns its length, or where it shows that it is none.
pub(super) fn container(text: &[u8]) -> Result<usize, usize> {
    let mut container = Container::default();
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    for (at, block) in blocks.iter().enumerate() {
        if let Some(end) = container.block(block) {
            return end.map(|end| at * BLOCK + end).map_err(|end| at * BLOCK + end);
        }
    }
    let mut last = [b' '; BLOCK];
    last[..rest.len()].copy_from_slice(rest);
    let before = text.len() - rest.len();
    match container.block(&last) {
        Some(end) => end.map(|end| before + end).map_err(|end| before + end),
        None => Err(text.len()),
    }
}

/// What is known of a container at the end of a block.
#[derive(Default)]
struct Container {
    open: Open,
    /// All bits, while a string goes on.
    in_string: u64,
    /// One, if the next byte is escaped.
    escaped: u64,
}

impl Container {
    /// Looks for the end among the brackets that stand in no string. A backslash may not stand there.
    #[inline]
    fn block(&mut self, block: &[u8; BLOCK]) -> Option<Result<usize, usize>> {
        let quotes = all(block, b'"');
        if self.in_string != 0 && quotes == 0 {
            self.text(block);
            return None;
        }
        let backslashes = all(block, b'\\');
        let quotes = quotes & !self.escapes(backslashes);
        let mut marks = self.outside(quotes) & (brackets(block) | backslashes);
        while marks != 0 {
            let at = marks.trailing_zeros() as usize;
            if !self.open.turn(block[at]) {
                return Some(Err(at));
            }
            if self.open.depth == 0 {
                return Some(Ok(at + 1));
            }
            marks &= marks - 1;
        }
        None
    }

    /// Passes over the middle of a long string: nearly all there is of most texts.
    #[inline]
    fn text(&mut self, block: &[u8; BLOCK]) {
        match block.last() {
            Some(b'\\') => _ = self.escapes(all(block, b'\\')),
            _ => self.escaped = 0,
        }
    }

    /// Marks what stands outside of strings.
    #[inline]
    fn outside(&mut self, quotes: u64) -> u64 {
        if quotes == 0 {
            return !self.in_string;
        }
        // From each quote on everything is turned over.
        let mut within = quotes;
        for distance in [1, 2, 4, 8, 16, 32] {
            within ^= within << distance;
        }
        within ^= self.in_string;
        self.in_string = (within.cast_signed() >> 63).cast_unsigned();
        !within
    }

    /// Marks what is escaped: behind a backslash that is not.
    #[inline]
    fn escapes(&mut self, backslashes: u64) -> u64 {
        const ODD: u64 = (u64::MAX / 3) << 1;
        if backslashes == 0 {
            return std::mem::take(&mut self.escaped);
        }
        let free = backslashes & !self.escaped;
        // Runs that begin at odd places carry differently from those that begin at even ones.
        let ends = ((free << 1) | ODD).wrapping_sub(free) ^ ODD;
        let escaped = ends ^ (backslashes | self.escaped);
        self.escaped = (ends & backslashes) >> 63;
        escaped
    }
}

/// The brackets that are open: the kinds of the innermost 64 as bits, and how many there are.
///
/// Below that depth a bracket that closes another kind goes unnoticed.
#[derive(Default)]
struct Open {
    braces: u64,
    depth: usize,
}

impl Open {
    /// Opens or closes. Returns whether `byte` may stand here.
    #[inline]
    fn turn(&mut self, byte: u8) -> bool {
        match byte {
            b'{' | b'[' => {
                self.braces = self.braces << 1 | u64::from(byte == b'{');
                self.depth += 1;
                true
            }
            b'}' | b']' => {
                let matches = self.depth > 64 || (self.braces & 1 == 1) == (byte == b'}');
                self.braces >>= 1;
                self.depth -= 1;
                matches
            }
            _ => false,
        }
    }
}

/// Looks for quotes alone: text is full of escapes, and nearly none of them are quotes.
fn long(text: &[u8]) -> Option<usize> {
    let (blocks, rest) = text.as_chunks();
    for (at, block) in blocks.iter().enumerate() {
        if has(block, b'"')
            && let Some(length) = bare_quote(text, at * BLOCK, all(block, b'"'))
        {
            return Some(length);
        }
    }
    let mut last = [b' '; BLOCK];
    last[..rest.len()].copy_from_slice(rest);
    bare_quote(text, text.len() - rest.len(), all(&last, b'"'))
}

/// So many bytes are compared for one mark of each.
const BLOCK: usize = 64;

/// Returns the length of `text` with the first of the `quotes`, counted from `from`, that is not
/// escaped.
#[inline]
fn bare_quote(text: &[u8], from: usize, mut quotes: u64) -> Option<usize> {
    while quotes != 0 {
        let at = from + quotes.trailing_zeros() as usize;
        if !ends_in_escape(&text[..at]) {
            return Some(at + 1);
        }
        quotes &= quotes - 1;
    }
    None
}

/// Whether the byte behind this part of a string is escaped.
#[inline]
pub(super) fn ends_in_escape(part: &[u8]) -> bool {
    if part.last() != Some(&b'\\') {
        return false;
    }
    let backslashes = part.iter().rev().take_while(|byte| **byte == b'\\').count();
    backslashes % 2 == 1
}

/// So many bytes are compared at once.
const LANE: usize = 16;

/// So many times that are short.
const SHORT: usize = 2;

/// Marks what equals `byte`, the first as the lowest bit.
#[inline]
fn marks(lane: u8x16, byte: u8) -> u32 {
    lane.simd_eq(u8x16::splat(byte)).to_bitmask()
}

/// Whether anything in a block equals `byte`: less work than to say where.
#[inline]
fn has(block: &[u8; BLOCK], byte: u8) -> bool {
    let (lanes, _) = block.as_chunks::<LANE>();
    let equal = |lane: &[u8; LANE]| u8x16::new(*lane).simd_eq(u8x16::splat(byte));
    lanes.iter().map(equal).fold(u8x16::ZERO, |found, lane| found | lane).to_bitmask() != 0
}

/// Marks in a block what equals `byte`.
#[inline]
fn all(block: &[u8; BLOCK], byte: u8) -> u64 {
    joined(block, |lane| marks(lane, byte))
}

/// Marks brackets of all four kinds.
#[inline]
fn brackets(block: &[u8; BLOCK]) -> u64 {
    joined(block, |lane| {
        // Square and curly ones differ in this bit alone, and nothing else becomes one by it.
        let lane = lane | u8x16::splat(0x20);
        marks(lane, b'{') | marks(lane, b'}')
    })
}

#[inline]
fn joined(block: &[u8; BLOCK], marks: impl Fn(u8x16) -> u32) -> u64 {
    let lanes = block.as_chunks().0.iter().rev();
    lanes.fold(0, |joined, lane| joined << LANE | u64::from(marks(u8x16::new(*lane))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_string_ends_at_its_first_bare_quote() {
        for (text, expected) in [
            ("\"", Some(1)),
            ("abc\" ,", Some(4)),
            (r#"a\"b" "#, Some(5)),
            (r#"a\\" "#, Some(4)),
            (r#"a\\\"" "#, Some(6)),
            (r#"a\""#, None),
            (r"a\", None),
            ("", None),
            (r#"0123456789abcdef0123456789abcdef\"0123456789" "#, Some(45)),
        ] {
            assert_eq!(string(text.as_bytes()), expected, "{text}");
        }
    }

    /// A string's length, byte by byte.
    fn slowly(text: &[u8]) -> Option<usize> {
        let mut escaped = false;
        let end = text.iter().position(|byte| {
            let ends = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            ends
        });
        end.map(|at| at + 1)
    }

    /// A container's length, byte by byte.
    fn slowly_passed(text: &[u8]) -> Result<usize, usize> {
        let (mut open, mut at) = (Vec::new(), 0);
        while at < text.len() {
            match text[at] {
                b'"' => at += slowly(&text[at + 1..]).ok_or(text.len())?,
                byte @ (b'{' | b'[') => open.push(byte + 2),
                byte @ (b'}' | b']') if open.pop() != Some(byte) => return Err(at),
                b'\\' => return Err(at),
                _ => {}
            }
            at += 1;
            if open.is_empty() {
                return Ok(at);
            }
        }
        Err(text.len())
    }

    #[test]
    fn a_bracket_in_a_string_closes_nothing() {
        for item in [r#"{"a":"}"}"#, r#"["\\"]"#, r#"["\"]"]"#, r#"[{"]":[]},{}]"#, "[[{}]]"] {
            for before in 0..150 {
                let text = format!(r#"["{}",{item}]"#, r#"\""#.repeat(before));
                assert_eq!(container(format!("{text}}}]").as_bytes()), Ok(text.len()), "{text}");
                let cut = &text.as_bytes()[..text.len() - 1];
                assert_eq!(container(cut), Err(cut.len()), "{text}");
            }
        }
    }

    proptest! {
        #[test]
        fn containers_end_where_a_search_byte_by_byte_ends(
            open in r"[\[{]{1,4}",
            rest in prop::collection::vec(prop_oneof![
                6 => r#""([^"\\]|\\[\\"n]){0,250}"[:, ]"#, 2 => r"[\[\]{}]", 1 => r#"[\[\]{}",a \\]{0,9}"#,
            ], 0..40),
        ) {
            let text = open + &rest.concat();
            prop_assert_eq!(container(text.as_bytes()), slowly_passed(text.as_bytes()), "{}", text);
        }

        #[test]
        fn finds_what_a_search_byte_by_byte_finds(text in prop::collection::vec(prop_oneof![
            9 => any::<u8>(), 1 => prop::sample::select(b"\"\\{}[]!#\xa2\xdc".to_vec()),
        ], 0..300)) {
            prop_assert_eq!(string(&text), slowly(&text));
            let escape_free = |length: usize| (length, !text[..length].contains(&b'\\'));
            prop_assert_eq!(plain(&text), slowly(&text).map(escape_free));
            let mark = text.iter().position(|byte| b"\"{}[]".contains(byte));
            prop_assert_eq!(to_mark(&text), mark.unwrap_or(text.len()));
        }

        #[test]
        fn escapes_are_told_from_their_number(text in r#"["\\a]{0,40}"#) {
            prop_assert_eq!(string(text.as_bytes()), slowly(text.as_bytes()));
        }
    }
}
