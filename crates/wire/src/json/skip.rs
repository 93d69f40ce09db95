//! Passing over what nobody reads.

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
/// Eight bytes at a time are faster there than setting up a vector search.
#[inline]
fn short(text: &[u8]) -> Option<(usize, bool)> {
    let words = text.as_chunks::<8>().0;
    for (at, eight) in words.iter().take(SHORT).enumerate() {
        let eight = u64::from_le_bytes(*eight);
        let (quotes, escapes) = (marks(eight, b'"'), marks(eight, b'\\'));
        // The lowest mark is true, and nothing counts above the lowest quote.
        if quotes != 0 {
            let bit = quotes.trailing_zeros();
            let is_plain = escapes.trailing_zeros() >= bit;
            return is_plain.then_some((at * 8 + bit as usize / 8 + 1, true));
        }
        if escapes != 0 {
            return None;
        }
    }
    None
}

/// Looks for quotes alone: text is full of escapes, and nearly none of them are quotes.
fn long(text: &[u8]) -> Option<usize> {
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    for (at, block) in blocks.iter().enumerate() {
        if has_quote(block)
            && let Some(length) = bare_quote(text, at * BLOCK, block)
        {
            return Some(length);
        }
    }
    bare_quote(text, text.len() - rest.len(), rest)
}

/// So many bytes are asked at once whether there is a quote among them.
const BLOCK: usize = 64;

/// Without stopping early: the compiler compares many bytes at a time.
fn has_quote(block: &[u8; BLOCK]) -> bool {
    block.iter().fold(0, |any, byte| any | u8::from(*byte == b'"')) != 0
}

/// Returns the length of `text` with its first quote that is not escaped, of those in `part`,
/// which begins at `from`.
fn bare_quote(text: &[u8], from: usize, part: &[u8]) -> Option<usize> {
    let is_bare = |at: usize| !ends_in_escape(&text[..at]);
    let (words, rest) = part.as_chunks::<8>();
    for (at, eight) in words.iter().enumerate() {
        let mut quotes = all_marks(u64::from_le_bytes(*eight), b'"');
        while quotes != 0 {
            let quote = from + at * 8 + quotes.trailing_zeros() as usize / 8;
            if is_bare(quote) {
                return Some(quote + 1);
            }
            quotes &= quotes - 1;
        }
    }
    let begin = from + part.len() - rest.len();
    let mut places = rest.iter().enumerate().map(|(at, byte)| (begin + at, *byte));
    places.find(|(at, byte)| *byte == b'"' && is_bare(*at)).map(|(at, _)| at + 1)
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

/// So many times eight bytes are short.
const SHORT: usize = 4;

/// Marks what equals `byte` among eight bytes by their highest bits. The lowest mark is true, those
/// above it may not be.
#[inline]
fn marks(eight: u64, byte: u8) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let zeros = eight ^ (ONES * byte as u64);
    zeros.wrapping_sub(ONES) & !zeros & (ONES << 7)
}

/// The same, all of them true.
#[inline]
fn all_marks(eight: u64, byte: u8) -> u64 {
    const LOW: u64 = u64::MAX / 255 * 0x7f;
    let zeros = eight ^ (u64::MAX / 255 * byte as u64);
    !(((zeros & LOW) + LOW) | zeros | LOW)
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

    proptest! {
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
