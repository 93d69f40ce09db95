use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response};
use memchr::{memchr_iter, memmem::Finder};
use tollgate_core::{Secret, Shown};

/// Shorter secrets are not looked for.
const SHORTEST: usize = 8;

/// How many secrets' searches are kept.
const KEPT: usize = 64;

/// A search that was prepared. Shared, and on the heap: it is several times the rest of a mask.
type Needle = Arc<Finder<'static>>;

/// Makes masks. Keeps the searches of the secrets asked for before: preparing one costs more than
/// most searches do.
#[derive(Default)]
pub(super) struct Masks(RwLock<Vec<(Secret, Needle)>>);

impl fmt::Debug for Masks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masks").finish_non_exhaustive()
    }
}

impl Masks {
    /// Returns what [`Mask::new`] does.
    pub(super) fn of(&self, secret: &Secret) -> Option<Mask> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, needle)) = kept.iter().find(|(of, _)| of == secret) {
            return Some(Mask { secret: needle.clone(), held: Bytes::new() });
        }
        drop(kept);
        let mask = Mask::new(secret)?;
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.clear();
        }
        kept.push((secret.clone(), mask.secret.clone()));
        Some(mask)
    }
}

/// What is to be masked in an answer that has not come yet.
#[derive(Debug)]
pub(super) struct Masking {
    mask: Option<Mask>,
    masks: Arc<Masks>,
}

impl Masking {
    /// Returns the masking of what we set, if we set anything.
    pub(super) fn new(mask: Option<Mask>, masks: Arc<Masks>) -> Self {
        Self { mask, masks }
    }

    /// Returns the mask for `answer`: of what took the place of ours further in, where something
    /// did.
    pub(super) fn of<B>(&mut self, answer: &mut Response<B>) -> Option<Mask> {
        let shown = answer.extensions_mut().remove::<Shown>();
        shown.and_then(|Shown(secret)| self.masks.of(&secret)).or_else(|| self.mask.take())
    }
}

/// Replaces a secret by stars in bytes that come in pieces.
pub(super) struct Mask {
    secret: Needle,
    /// The end of the bytes so far, where it is a beginning of the secret.
    held: Bytes,
}

/// What may be sent on after a piece came in: what was held back before, and the piece.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Released {
    pub(super) before: Bytes,
    pub(super) piece: Bytes,
}

impl Mask {
    /// Returns a mask for `secret`, or `None` where it is too short to be looked for.
    pub(super) fn new(secret: &Secret) -> Option<Self> {
        let bytes = secret.expose().as_bytes();
        let secret =
            (bytes.len() >= SHORTEST).then(|| Arc::new(Finder::new(bytes).into_owned()))?;
        Some(Self { secret, held: Bytes::new() })
    }

    /// Masks header values, or those of trailers.
    pub(super) fn headers(&self, headers: &mut HeaderMap) {
        for value in headers.values_mut() {
            if value.len() < self.needle().len() {
                continue;
            }
            let masked = self.masked(value.as_bytes());
            if let Some(masked) = masked.and_then(|bytes| HeaderValue::from_bytes(&bytes).ok()) {
                *value = masked;
            }
        }
    }

    /// Takes the next piece of the body. A piece without a hit is not copied.
    pub(super) fn feed(&mut self, piece: Bytes) -> Released {
        let before = std::mem::take(&mut self.held);
        if before.is_empty() {
            return Released { before, piece: self.release(piece) };
        }
        if !self.continues(&before, &piece) {
            return Released { before, piece: self.release(piece) };
        }
        let mut joined = BytesMut::from(before);
        joined.extend_from_slice(&piece);
        Released { before: Bytes::new(), piece: self.release(joined.freeze()) }
    }

    /// How many bytes are held back.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// Returns what was held back: no more is coming, so it is no secret.
    pub(super) fn finish(&mut self) -> Bytes {
        std::mem::take(&mut self.held)
    }

    /// Masks `piece` and holds back its end where it may be the beginning of the secret.
    fn release(&mut self, piece: Bytes) -> Bytes {
        let (mut out, from) = match self.masked(&piece) {
            Some(masked) => {
                let last = self.secret_ends(&piece);
                (masked.freeze(), last)
            }
            None => (piece, 0),
        };
        self.held = out.split_off(self.beginning(&out, from));
        out
    }

    /// Returns a masked copy of `bytes`, or `None` when the secret is not in them.
    fn masked(&self, bytes: &[u8]) -> Option<BytesMut> {
        let mut hits = self.secret.find_iter(bytes).peekable();
        hits.peek()?;
        let mut masked = BytesMut::from(bytes);
        hits.for_each(|at| masked[at..at + self.needle().len()].fill(b'*'));
        Some(masked)
    }

    /// Where the last secret in `bytes` ends.
    fn secret_ends(&self, bytes: &[u8]) -> usize {
        self.secret.find_iter(bytes).last().map_or(0, |at| at + self.needle().len())
    }

    /// Where the beginning of a secret that is cut off at the end of `bytes` starts, not before
    /// `from`; the length of `bytes` where there is none.
    fn beginning(&self, bytes: &[u8], from: usize) -> usize {
        let start = from.max(bytes.len().saturating_sub(self.needle().len() - 1));
        memchr_iter(self.needle()[0], &bytes[start..])
            .map(|at| start + at)
            .find(|at| self.needle().starts_with(&bytes[*at..]))
            .unwrap_or(bytes.len())
    }

    /// Whether `piece` goes on with the secret that some end of `held` begins.
    fn continues(&self, held: &[u8], piece: &[u8]) -> bool {
        (0..held.len()).any(|at| {
            self.needle().strip_prefix(&held[at..]).is_some_and(|rest| {
                let both = rest.len().min(piece.len());
                rest[..both] == piece[..both]
            })
        })
    }

    fn needle(&self) -> &[u8] {
        self.secret.needle()
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mask").field("held", &self.held.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn mask(secret: &str) -> Mask {
        Mask::new(&Secret::new(secret)).unwrap()
    }

    fn run(mask: &mut Mask, pieces: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in pieces {
            let released = mask.feed(Bytes::copy_from_slice(piece));
            out.extend_from_slice(&released.before);
            out.extend_from_slice(&released.piece);
        }
        out.extend_from_slice(&mask.finish());
        out
    }

    #[test]
    fn short_secrets_are_not_looked_for() {
        assert!(Mask::new(&Secret::new("ollama")).is_none());
    }

    #[test]
    fn a_secret_asked_for_again_is_masked_as_before() {
        let masks = Masks::default();
        assert!(masks.of(&Secret::new("ollama")).is_none());
        for secret in (0..2 * KEPT).map(|n| format!("sk-1234567{}", n % (KEPT + 1))) {
            let mut mask = masks.of(&Secret::new(&secret)).unwrap();
            let out = run(&mut mask, &[b"a ", secret.as_bytes()]);
            assert_eq!(out, format!("a {}", "*".repeat(secret.len())).into_bytes());
            assert!(masks.0.read().unwrap().len() <= KEPT);
        }
    }

    #[test]
    fn a_secret_cut_at_every_byte_is_found() {
        let text = b"a sk-12345678 b sk-12345678";
        for cut in 0..=text.len() {
            for other in cut..=text.len() {
                let pieces = [&text[..cut], &text[cut..other], &text[other..]];
                let out = run(&mut mask("sk-12345678"), &pieces);
                assert_eq!(out, b"a *********** b ***********", "{cut} {other}");
            }
        }
    }

    #[test]
    fn a_piece_without_a_hit_is_not_copied() {
        let mut mask = mask("sk-12345678");
        let piece = Bytes::from_static(b"data: hello\n\n");
        assert_eq!(mask.feed(piece.clone()).piece.as_ptr(), piece.as_ptr());
        assert_eq!(mask.feed(Bytes::from_static(b"ends in sk-")).piece, "ends in ");
        let released = mask.feed(piece.clone());
        assert_eq!(released.before, "sk-");
        assert_eq!(released.piece.as_ptr(), piece.as_ptr());
    }

    #[test]
    fn only_a_true_beginning_is_held_back() {
        let mut mask = mask("sk-12345678");
        mask.feed(Bytes::from_static(b"sk-x sk-1234"));
        assert_eq!(mask.held(), 7);
        mask.feed(Bytes::from_static(b"9"));
        assert_eq!(mask.held(), 0);
    }

    #[test]
    fn header_values_are_masked() {
        let mut headers = HeaderMap::new();
        headers.insert("x-echo", "Bearer sk-12345678".parse().unwrap());
        headers.insert("x-other", "sk-1234567".parse().unwrap());
        mask("sk-12345678").headers(&mut headers);
        assert_eq!(headers["x-echo"], "Bearer ***********");
        assert_eq!(headers["x-other"], "sk-1234567");
    }

    proptest! {
        /// Few letters, so that beginnings overlap.
        #[test]
        fn pieces_give_what_the_whole_gives(text in "[ab]{0,200}", cuts in vec(0..200usize, 0..12)) {
            let secret = "abaababa";
            let whole = text.replace(secret, "********");
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|c| &text.as_bytes()[c[0]..c[1]]).collect();
            let out = run(&mut mask(secret), &pieces);
            prop_assert_eq!(String::from_utf8(out).unwrap(), whole);
        }
    }
}
