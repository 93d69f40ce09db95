//! Signatures over thoughts: opaque, the same for the same thought, and known again.

use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{
        DecodePaddingMode,
        general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD},
    },
};

/// How Gemini's own clients send back what they took for bytes.
const URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Six words over the thought and whose it is, then one over those words.
const WORDS: usize = 6;

/// Signs `thought` in the name of `vendor`.
pub(crate) fn sign(vendor: &str, thought: &str) -> String {
    let words = (0..WORDS as u64)
        .flat_map(|n| hash(n, &[vendor.as_bytes(), thought.as_bytes()]).to_be_bytes());
    let mut bytes: Vec<u8> = words.collect();
    let seal = hash(0, &[vendor.as_bytes(), &bytes]);
    bytes.extend(seal.to_be_bytes());
    STANDARD.encode(bytes)
}

/// Whether `signature` is one of `vendor`'s, over whatever thought.
pub(crate) fn minted(vendor: &str, signature: &str) -> bool {
    let bytes = STANDARD.decode(signature).or_else(|_| URL.decode(signature));
    let Ok(bytes) = bytes else { return false };
    let Some((words, seal)) = bytes.split_at_checked(8 * WORDS) else { return false };
    seal == hash(0, &[vendor.as_bytes(), words]).to_be_bytes()
}

/// Whether `signature` is `vendor`'s over this very thought.
pub(crate) fn signs(vendor: &str, thought: &str, signature: &str) -> bool {
    sign(vendor, thought) == signature
}

/// FNV-1a.
fn hash(seed: u64, pieces: &[&[u8]]) -> u64 {
    let bytes = pieces.iter().flat_map(|piece| piece.iter());
    bytes.fold(0xcbf2_9ce4_8422_2325 + seed, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_known_again_by_its_vendor_alone() {
        let signature = sign("gemini", "hm");
        assert!(minted("gemini", &signature) && signs("gemini", "hm", &signature));
        assert!(!minted("anthropic", &signature) && !signs("gemini", "ha", &signature));
        assert!(!minted("gemini", "") && !minted("gemini", "AAAA") && !minted("gemini", "%"));
    }
}
