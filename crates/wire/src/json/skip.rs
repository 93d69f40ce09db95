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
pub(super) fn to_mark(text: &[u8]) -> usize {
    text.iter().position(|byte| MARKS[usize::from(*byte)]).unwrap_or(text.len())
}

/// Passes over the rest of a string whose opening quote was read. Returns its length with the
/// closing quote, if that is here.
///
/// Looks for quotes alone: text is full of escapes, and nearly none of them are quotes.
pub(super) fn string(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let quote = from + to_quote(&text[from..])?;
        if !ends_in_escape(&text[..quote]) {
            return Some(quote + 1);
        }
        from = quote + 1;
    }
}

/// Whether the byte behind this part of a string is escaped.
pub(super) fn ends_in_escape(part: &[u8]) -> bool {
    let backslashes = part.iter().rev().take_while(|byte| **byte == b'\\').count();
    backslashes % 2 == 1
}

/// Below this many bytes eight at a time are faster than setting up a vector search. Names and
/// most values are shorter.
const SHORT: usize = 24;

/// Returns where the next quote stands, if there is one.
fn to_quote(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(eight) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let quotes = quotes(u64::from_le_bytes(*eight));
        if quotes != 0 {
            return Some(at + quotes.trailing_zeros() as usize / 8);
        }
        at += 8;
        if at == SHORT {
            break;
        }
    }
    memchr::memchr(b'"', &text[at..]).map(|found| at + found)
}

/// Marks the quotes among eight bytes by their highest bits. The lowest mark is true, those above
/// it may not be.
fn quotes(eight: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let zeros = eight ^ (ONES * b'"' as u64);
    zeros.wrapping_sub(ONES) & !zeros & (ONES << 7)
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
        ], 0..80)) {
            prop_assert_eq!(string(&text), slowly(&text));
            let mark = text.iter().position(|byte| b"\"{}[]".contains(byte));
            prop_assert_eq!(to_mark(&text), mark.unwrap_or(text.len()));
        }

        #[test]
        fn escapes_are_told_from_their_number(text in r#"["\\a]{0,40}"#) {
            prop_assert_eq!(string(text.as_bytes()), slowly(text.as_bytes()));
        }
    }
}
