use aho_corasick::packed::Searcher;
use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use memchr::{memchr_iter, memmem};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Shorter forms are not looked for: what they match is mostly something else.
pub(super) const SHORTEST: usize = 8;

/// What stands as it is in a URL, beside letters and digits.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The forms in which secrets may come back, looked for all at once.
pub(super) struct Forms {
    forms: Vec<Box<[u8]>>,
    /// `None` where the machine has no vectors: then each form is looked for.
    searcher: Option<Searcher>,
    /// Which bytes a form may have.
    alphabet: [bool; 256],
}

impl Forms {
    /// Returns the forms of these secrets that are long enough, or `None` where none is.
    pub(super) fn of<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut forms: Vec<Box<[u8]>> = Vec::new();
        for secret in secrets.into_iter().filter(|secret| secret.len() >= SHORTEST) {
            for form in written(secret).filter(|form| form.len() >= SHORTEST) {
                if !forms.iter().any(|known| **known == *form.as_bytes()) {
                    forms.push(form.into_bytes().into());
                }
            }
        }
        let mut alphabet = [false; 256];
        forms.iter().flatten().for_each(|byte| alphabet[usize::from(*byte)] = true);
        let searcher = Searcher::new(&forms);
        (!forms.is_empty()).then_some(Self { forms, searcher, alphabet })
    }

    /// How long the shortest form is.
    pub(super) fn shortest(&self) -> usize {
        self.forms.iter().map(|form| form.len()).min().unwrap_or_default()
    }

    /// Where the first form in `bytes` begins and ends.
    pub(super) fn find(&self, bytes: &[u8]) -> Option<(usize, usize)> {
        match &self.searcher {
            Some(searcher) => searcher.find(bytes).map(|hit| (hit.start(), hit.end())),
            None => self.find_each(bytes),
        }
    }

    fn find_each(&self, bytes: &[u8]) -> Option<(usize, usize)> {
        let hits = self
            .forms
            .iter()
            .filter_map(|form| memmem::find(bytes, form).map(|at| (at, at + form.len())));
        hits.min_by_key(|(at, _)| *at)
    }

    /// Where the beginning of a form that is cut off at the end of `bytes` starts, not before
    /// `from`; the length of `bytes` where there is none.
    pub(super) fn beginning(&self, bytes: &[u8], from: usize) -> usize {
        // An event ends in what is in no credential.
        if bytes.last().is_none_or(|last| !self.alphabet[usize::from(*last)]) {
            return bytes.len();
        }
        let begins = self.forms.iter().map(|form| beginning(form, bytes, from));
        begins.min().unwrap_or(bytes.len())
    }

    /// Whether `piece` goes on with the form that some end of `held` begins.
    pub(super) fn continues(&self, held: &[u8], piece: &[u8]) -> bool {
        self.forms.iter().any(|form| {
            (0..held.len()).any(|at| {
                form.strip_prefix(&held[at..]).is_some_and(|rest| {
                    let both = rest.len().min(piece.len());
                    rest[..both] == piece[..both]
                })
            })
        })
    }
}

fn beginning(form: &[u8], bytes: &[u8], from: usize) -> usize {
    let start = from.max(bytes.len().saturating_sub(form.len() - 1));
    memchr_iter(form[0], &bytes[start..])
        .map(|at| start + at)
        .find(|at| form.starts_with(&bytes[*at..]))
        .unwrap_or(bytes.len())
}

/// The ways in which somebody may repeat a secret: as it is, in a URL, in JSON, and in base 64.
fn written(secret: &str) -> impl Iterator<Item = String> {
    let url = utf8_percent_encode(secret, RESERVED).to_string();
    let small = small_escapes(&url);
    let escaped = |form: fn(u16) -> String| secret.encode_utf16().map(form).collect::<String>();
    let json = [
        secret.replace('/', "\\/"),
        escaped(|unit| format!("\\u{unit:04x}")),
        escaped(|unit| format!("\\u{unit:04X}")),
    ];
    let in_base_64 = (0..3).flat_map(|before| {
        [in_base_64(&STANDARD_NO_PAD, secret, before), in_base_64(&URL_SAFE_NO_PAD, secret, before)]
    });
    let in_base_64: Vec<_> = in_base_64.collect();
    [secret.to_owned(), url, small].into_iter().chain(json).chain(in_base_64)
}

/// `%2f` for `%2F`.
fn small_escapes(url: &str) -> String {
    let mut pieces = url.split('%');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2).unwrap_or((piece, ""));
        text.extend(["%", &digits.to_ascii_lowercase(), rest]);
    }
    text
}

/// What base 64 makes of a secret behind `before` bytes of something else, as in `user:secret`,
/// whatever these are and whatever follows: of any number, only what is left by threes counts.
fn in_base_64(engine: &impl Engine, secret: &str, before: usize) -> String {
    let bytes = [&[0; 2][..before], secret.as_bytes()].concat();
    let own = (before * 8).div_ceil(6)..bytes.len() * 8 / 6;
    engine.encode(bytes)[own].to_owned()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    const SECRET: &str = "sk-PROV+secret/0a1b==";

    fn forms() -> Forms {
        Forms::of([SECRET]).unwrap()
    }

    #[test]
    fn each_form_is_found_where_it_stands() {
        let basic = |user: &str| STANDARD.encode(format!("{user}:{SECRET}"));
        for form in [
            SECRET.to_owned(),
            "sk-PROV%2Bsecret%2F0a1b%3D%3D".to_owned(),
            "sk-PROV%2bsecret%2f0a1b%3d%3d".to_owned(),
            "sk-PROV+secret\\/0a1b==".to_owned(),
            SECRET.bytes().map(|byte| format!("\\u{byte:04x}")).collect(),
            SECRET.bytes().map(|byte| format!("\\u{byte:04X}")).collect(),
            STANDARD.encode(SECRET),
            URL_SAFE_NO_PAD.encode(SECRET),
            basic(""),
            basic("u"),
            basic("us"),
            basic("user"),
        ] {
            let text = format!("a longer text, so that vectors are used: {form} and on");
            let (start, end) = forms().find(text.as_bytes()).unwrap_or_else(|| panic!("{form}"));
            assert_eq!(forms().find_each(text.as_bytes()), Some((start, end)), "{form}");
            // Of what base 64 mixes with what stands beside it, a character or two.
            let left = [&text[41..start], &text[end..text.len() - 7]].concat();
            assert!(left.trim_end_matches('=').len() <= 10, "{form}: {left}");
        }
    }

    #[test]
    fn what_is_written_alike_is_looked_for_once() {
        // As it is, with `\u` by small and large digits, in base 64 behind 0, 1 and 2 bytes.
        assert_eq!(Forms::of(["sk-12345678"]).unwrap().forms.len(), 6);
        assert!(Forms::of(["ollama"]).is_none() && Forms::of([]).is_none());
    }

    #[test]
    fn what_ends_in_no_byte_of_a_form_holds_nothing_back() {
        assert_eq!(forms().beginning(b"data: sk-PROV\n\n", 0), 15);
        assert_eq!(forms().beginning(b"data: sk-PROV", 0), 6);
    }
}
