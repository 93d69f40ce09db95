//! Ids of tool calls: made where a protocol gives none, rewritten where one takes less.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

/// Ids that begin so were made here and are never sent to the protocol that gave none.
pub(crate) const SYNTHETIC: &str = "call_tg_";

/// An id for a call in the history of a client whose protocol needs none.
pub(crate) fn in_history(content: usize, part: usize, name: &str) -> String {
    let digest = hex(&["h", &content.to_string(), &part.to_string(), name], 12);
    format!("{SYNTHETIC}{digest}")
}

/// An id for a call in an answer that gave none.
pub(crate) fn in_answer(answer: &str, candidate: u64, ordinal: usize, name: &str) -> String {
    let digest = hex(&["r", answer, &candidate.to_string(), &ordinal.to_string(), name], 12);
    format!("{SYNTHETIC}{digest}")
}

/// The id as a protocol takes it that allows letters, digits, `_` and `-`, at most 64 of them.
pub(crate) fn narrow(id: &str) -> Cow<'_, str> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    rewritten(id, !id.is_empty() && id.len() <= 64 && id.bytes().all(fits))
}

/// The id as a protocol takes it that allows 1 to 64 characters.
pub(crate) fn short(id: &str) -> Cow<'_, str> {
    rewritten(id, !id.is_empty() && id.len() <= 64)
}

fn rewritten(id: &str, fits: bool) -> Cow<'_, str> {
    if fits {
        return Cow::Borrowed(id);
    }
    Cow::Owned(format!("call_tx_{}", hex(&[id], 16)))
}

/// The first `bytes` of the digest of the parts, in hexadecimal.
pub(crate) fn hex(parts: &[&str], bytes: usize) -> String {
    let mut hasher = Sha256::new();
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            hasher.update([0]);
        }
        hasher.update(part.as_bytes());
    }
    hasher.finalize().iter().take(bytes).map(|byte| format!("{byte:02x}")).collect()
}

/// The first eight bytes of the digest of a text; zeros for an empty one.
pub(crate) fn digest(text: &str) -> [u8; 8] {
    let mut out = [0; 8];
    if !text.is_empty() {
        out.copy_from_slice(&Sha256::digest(text.as_bytes())[..8]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_ids_pass_and_others_stay_different() {
        assert_eq!(narrow("toolu_1-a"), "toolu_1-a");
        let (a, b) = (narrow("functions.Bash:0"), narrow("functions.Bash:1"));
        assert!(a.starts_with("call_tx_") && a.len() == 40 && a != b, "{a}");
        assert_eq!(short("functions.Bash:0"), "functions.Bash:0");
        assert_eq!(short(&"x".repeat(65)).len(), 40);
        assert!(!short("").is_empty());
    }

    #[test]
    fn an_id_of_the_history_depends_on_its_place_alone() {
        assert_eq!(in_history(1, 0, "f"), in_history(1, 0, "f"));
        assert_ne!(in_history(1, 0, "f"), in_history(1, 1, "f"));
        assert_ne!(in_history(1, 10, "f"), in_history(11, 0, "f"));
        assert_eq!(in_history(1, 0, "f").len(), 32);
    }
}
