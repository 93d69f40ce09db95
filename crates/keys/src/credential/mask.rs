use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response};
use percent_encoding::percent_decode_str;
use tollgate_core::{Secret, Shown};

use super::forms::Forms;

/// How many secrets' searches are kept.
const KEPT: usize = 64;

/// A search that was prepared. Shared, and on the heap: it is several times the rest of a mask.
type Needle = Arc<Forms>;

/// What an upstream is shown of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ours {
    secret: Option<Secret>,
    /// The query of its address.
    query: Option<Secret>,
}

impl Ours {
    fn is(&self, secret: Option<&Secret>, query: Option<&str>) -> bool {
        self.secret.as_ref() == secret && self.query.as_ref().map(Secret::expose) == query
    }

    /// Returns what looks for it, where there is something to look for.
    fn needle(&self) -> Option<Needle> {
        let secret = self.secret.iter().map(|secret| Cow::Borrowed(secret.expose()));
        let query = self.query.iter().flat_map(|query| in_query(query.expose()));
        let all: Vec<_> = secret.chain(query).collect();
        Forms::of(all.iter().map(|secret| &**secret)).map(Arc::new)
    }
}

/// The values of a query that are secrets by their names, as they stand there and as they are meant.
fn in_query(query: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let secret = pairs.filter(|(name, _)| is_secret(name));
    secret.flat_map(|(_, value)| {
        [Cow::Borrowed(value), percent_decode_str(value).decode_utf8_lossy()]
    })
}

fn is_secret(name: &str) -> bool {
    const WORDS: [&str; 9] =
        ["token", "key", "secret", "sig", "pass", "auth", "code", "credential", "session"];
    let name = name.to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains(word))
}

/// Makes masks. Keeps the searches of the secrets asked for before: preparing one costs more than
/// most searches do.
#[derive(Default)]
pub(super) struct Masks(RwLock<Vec<(Ours, Option<Needle>)>>);

impl fmt::Debug for Masks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masks").finish_non_exhaustive()
    }
}

impl Masks {
    /// Returns a mask for the credential an upstream is shown and the query of its address, or
    /// `None` where nothing of them is to be looked for.
    pub(super) fn of(&self, secret: Option<&Secret>, query: Option<&str>) -> Option<Mask> {
        if secret.is_none() && query.is_none() {
            return None;
        }
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, needle)) = kept.iter().find(|(ours, _)| ours.is(secret, query)) {
            return needle.clone().map(Mask::from);
        }
        drop(kept);
        let ours = Ours { secret: secret.cloned(), query: query.map(Secret::new) };
        let needle = ours.needle();
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.clear();
        }
        kept.push((ours, needle.clone()));
        needle.map(Mask::from)
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
        shown
            .and_then(|Shown(secret)| self.masks.of(Some(&secret), None))
            .or_else(|| self.mask.take())
    }
}

/// Replaces a secret by stars in bytes that come in pieces.
pub(super) struct Mask {
    secret: Needle,
    /// The end of the bytes so far, where it is a beginning of the secret.
    held: Bytes,
}

impl From<Needle> for Mask {
    fn from(secret: Needle) -> Self {
        Self { secret, held: Bytes::new() }
    }
}

/// What may be sent on after a piece came in: what was held back before, and the piece.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Released {
    pub(super) before: Bytes,
    pub(super) piece: Bytes,
}

impl Mask {
    /// Masks header values, or those of trailers.
    pub(super) fn headers(&self, headers: &mut HeaderMap) {
        let shortest = self.secret.shortest();
        for value in headers.values_mut().filter(|value| value.len() >= shortest) {
            let masked = self.masked(value.as_bytes());
            let masked = masked.and_then(|(bytes, _)| HeaderValue::from_bytes(&bytes).ok());
            if let Some(masked) = masked {
                *value = masked;
            }
        }
    }

    /// Takes the next piece of the body. A piece without a hit is not copied.
    pub(super) fn feed(&mut self, piece: Bytes) -> Released {
        let before = std::mem::take(&mut self.held);
        if before.is_empty() || !self.secret.continues(&before, &piece) {
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
            Some((masked, end)) => (masked.freeze(), end),
            None => (piece, 0),
        };
        self.held = out.split_off(self.secret.beginning(&out, from));
        out
    }

    /// Returns a masked copy of `bytes` and where the last secret in it ends, or `None` when there is
    /// none.
    fn masked(&self, bytes: &[u8]) -> Option<(BytesMut, usize)> {
        let mut hit = Some(self.secret.find(bytes)?);
        let (mut masked, mut ended) = (BytesMut::from(bytes), 0);
        while let Some((start, end)) = hit {
            masked[ended + start..ended + end].fill(b'*');
            ended += end;
            hit = self.secret.find(&bytes[ended..]);
        }
        Some((masked, ended))
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
        Masks::default().of(Some(&Secret::new(secret)), None).unwrap()
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
    fn a_secret_asked_for_again_is_masked_as_before() {
        let masks = Masks::default();
        assert!(masks.of(Some(&Secret::new("ollama")), None).is_none(), "too short");
        for secret in (0..2 * KEPT).map(|n| format!("sk-1234567{}", n % (KEPT + 1))) {
            let mut mask = masks.of(Some(&Secret::new(&secret)), None).unwrap();
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
    fn a_secret_in_base_64_cut_at_every_byte_is_found() {
        let text = b"a Basic dXNlcjpzay0xMjM0NTY3OA== b";
        for cut in 0..=text.len() {
            let out = run(&mut mask("sk-12345678"), &[&text[..cut], &text[cut..]]);
            assert_eq!(out, b"a Basic dXNlcjp**************A== b", "{cut}");
        }
    }

    #[test]
    fn secrets_in_the_query_of_an_address_are_masked() {
        let query = "api-version=2024-10-21-preview&token=tok%2Fen-1234";
        let mut mask = Masks::default().of(None, Some(query)).unwrap();
        let out = run(&mut mask, &[b"2024-10-21-preview tok%2Fen-1234 tok/en-1234"]);
        assert_eq!(out, b"2024-10-21-preview ************* ***********");
        assert!(Masks::default().of(None, Some("api-version=2024-10-21-preview")).is_none());
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
