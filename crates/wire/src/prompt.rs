//! How much of a request is prompt.

use memchr::{memchr, memmem};
use tollgate_core::Frames;

/// Below this many bytes a body holds no media worth looking for, and no piece of media counts
/// for more.
const MEDIA: usize = 4 << 10;

/// Returns the bytes of a prompt an estimate builds on: the body's, but for what is more than 4 KiB
/// of an inlined image, sound or document, whose tokens are not proportional to its bytes.
pub fn prompt_bytes(frames: &Frames) -> u64 {
    let whole = frames.len();
    if whole <= MEDIA {
        return whole as u64;
    }
    let mut surplus = 0;
    let mut inside = None;
    for frame in frames.as_slice() {
        inside = media(frame, inside, &mut surplus);
    }
    whole.saturating_sub(surplus) as u64
}

/// Adds what is too much of the media in `text`; `inside` is how much of a piece went before, and
/// what is returned is that at its end.
fn media(mut text: &[u8], mut inside: Option<usize>, surplus: &mut usize) -> Option<usize> {
    loop {
        if let Some(before) = inside {
            let end = memchr(b'"', text);
            let length = end.unwrap_or(text.len());
            *surplus += (before + length).max(MEDIA) - before.max(MEDIA);
            inside = Some(before + length).filter(|_| end.is_none());
            text = &text[length..];
        }
        if inside.is_some() {
            return inside;
        }
        let at = begins(text)?;
        text = &text[at..];
        inside = Some(0);
    }
}

/// Where the next piece of base64 begins: after `;base64,`, or in a member named `data`.
fn begins(text: &[u8]) -> Option<usize> {
    let url = memmem::find(text, b";base64,").map(|at| at + b";base64,".len());
    let before = &text[..url.unwrap_or(text.len())];
    let named = memmem::find_iter(before, b"\"data\"").find_map(|at| {
        let value = at + b"\"data\"".len();
        let open = value + memchr(b'"', &before[value..])?;
        let between = before[value..open].trim_ascii();
        (between == b":").then_some(open + 1)
    });
    named.or(url)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn of(text: &str, size: usize) -> u64 {
        let pieces = text.as_bytes().chunks(size).map(Bytes::copy_from_slice);
        prompt_bytes(&Frames::new(pieces.collect()))
    }

    #[test]
    fn text_counts_with_every_byte() {
        let text = format!(r#"{{"messages":[{{"content":"{}"}}],"data":7}}"#, "word ".repeat(5000));
        assert_eq!(of(&text, usize::MAX), text.len() as u64);
        assert_eq!(of("{}", 1), 2);
    }

    #[test]
    fn a_body_that_was_let_go_counts_as_before() {
        let text = format!(r#"{{"data":"{}"}}"#, "QUJD".repeat(3000));
        let frames = Frames::from(Bytes::from(text));
        let mut prompt = Prompt::of(Some(&frames));
        assert!(matches!(prompt, Prompt::Unread(_)));
        let bytes = prompt.bytes();
        prompt.let_go();
        assert!(matches!(prompt, Prompt::Counted(_)));
        assert_eq!((prompt.bytes(), bytes), (prompt_bytes(&frames), prompt_bytes(&frames)));
        let large = Frames::from(Bytes::from(vec![b'a'; HELD + 1]));
        assert!(matches!(Prompt::of(Some(&large)), Prompt::Counted(_)));
    }

    #[test]
    fn media_count_as_much_as_a_small_piece() {
        let piece = "QUJD".repeat(10_000);
        for (before, after) in [
            (r#"{"image_url":{"url":"data:image/png;base64,"#, r#""},"detail":"high"}"#),
            (r#"{"source":{"type":"base64", "data" : ""#, r#""}}"#),
        ] {
            let text = format!("{before}{piece}{after}{before}{piece}{after}");
            let expected = 2 * (before.len() + MEDIA + after.len()) as u64;
            assert_eq!(of(&text, usize::MAX), expected);
            let cut = of(&text, 1000);
            assert!(cut >= expected && cut <= expected + 64, "{cut} {expected}");
        }
    }
}
