use std::{fmt, hash, io, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tollgate_core::Secret;

/// The SHA-256 of a key: what stores hold instead of the key.
///
/// Generated keys have 256 random bits, so that one round of a fast hash is enough. Compared in
/// constant time. Parsed from and shown as 64 hexadecimal digits by [`KeyHash::to_hex`]; `Debug`
/// shows the first eight.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// Returns the hash of `key`.
    pub fn of(key: &Secret) -> Self {
        Self(Sha256::digest(key.expose().as_bytes()).into())
    }

    /// Wraps a hash made elsewhere.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the hash's bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the hash as 64 hexadecimal digits, for a store to keep.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for KeyHash {}

impl hash::Hash for KeyHash {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHash({}…)", &self.to_hex()[..8])
    }
}

/// The text is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAHash;

impl fmt::Display for NotAHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key's hash is 64 hexadecimal digits")
    }
}

impl std::error::Error for NotAHash {}

impl FromStr for KeyHash {
    type Err = NotAHash;

    fn from_str(text: &str) -> Result<Self, NotAHash> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NotAHash);
        }
        let mut bytes = [0; 32];
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| NotAHash)?;
        }
        Ok(Self(bytes))
    }
}

/// Returns a new key: `sk-tg-` and 43 base64url characters that hold 32 random bytes.
///
/// ```
/// let key = tollgate_keys::generate()?;
/// assert!(key.expose().starts_with("sk-tg-"));
/// assert_eq!(key.expose().len(), 6 + 43);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// Errors: the operating system gives no randomness.
pub fn generate() -> io::Result<Secret> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(Secret::new(format!("sk-tg-{}", URL_SAFE_NO_PAD.encode(bytes))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_everybody_does_and_parses_back() {
        let hash = KeyHash::of(&Secret::new("abc"));
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.to_hex(), hex);
        assert_eq!(hex.parse(), Ok(hash));
        assert_ne!(hash, KeyHash::of(&Secret::new("abd")));
    }

    #[test]
    fn refuses_what_is_no_hash() {
        for text in ["", "ab", &"g".repeat(64), &"+1".repeat(32), &"é".repeat(32)] {
            assert_eq!(text.parse::<KeyHash>(), Err(NotAHash), "{text}");
        }
    }

    #[test]
    fn shows_a_short_prefix_only() {
        assert_eq!(format!("{:?}", KeyHash::of(&Secret::new("abc"))), "KeyHash(ba7816bf…)");
    }

    #[test]
    fn generated_keys_differ() {
        assert_ne!(generate().unwrap().expose(), generate().unwrap().expose());
    }
}
