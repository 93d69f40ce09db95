//! What an upstream's error must not tell a client: keys, tokens, and who stands behind it.

use std::{
    borrow::Cow,
    net::{Ipv4Addr, Ipv6Addr},
    ops::Range,
};

/// How keys of providers begin.
const KEYS: [&str; 7] = ["sk-", "AIza", "gsk_", "xai-", "hf_", "ya29.", "eyJ"];

/// What stands before a token.
const SCHEMES: [&str; 2] = ["bearer ", "basic "];

/// How names of hosts end that nobody outside can reach.
const INTERNAL: [&str; 10] = [
    ".internal",
    ".local",
    ".localhost",
    ".svc",
    ".lan",
    ".corp",
    ".intranet",
    ".private",
    ".consul",
    ".home.arpa",
];

/// A token without any digit is at least as long.
const LONG: usize = 20;

/// Returns an error's text with `***` for what looks like a key, a bearer token, or a host of a
/// network of one's own. JSON stays JSON. Whatever only a success says is not meant for this.
///
/// ```
/// use tollgate_wire::discreet;
///
/// let said = r#"{"error":"http://10.1.2.3:8000/v1 refused sk-proj-0123456789"}"#;
/// assert_eq!(discreet(said), r#"{"error":"http://***/v1 refused sk-***"}"#);
/// assert_eq!(discreet("see https://platform.openai.com"), "see https://platform.openai.com");
/// ```
pub fn discreet(text: &str) -> Cow<'_, str> {
    let mut hidden: Vec<_> = keys(text).chain(tokens(text)).chain(hosts(text)).collect();
    if hidden.is_empty() {
        return Cow::Borrowed(text);
    }
    hidden.sort_unstable_by_key(|range| range.start);
    let (mut shown, mut from) = (String::with_capacity(text.len()), 0);
    for Range { start, end } in hidden {
        if start >= from {
            shown.push_str(&text[from..start]);
            shown.push_str("***");
        }
        from = from.max(end);
    }
    shown.push_str(&text[from..]);
    Cow::Owned(shown)
}

/// What follows the beginnings of keys, where it is no ordinary word.
fn keys(text: &str) -> impl Iterator<Item = Range<usize>> {
    let found = KEYS.iter().flat_map(move |prefix| text.match_indices(prefix));
    found.filter_map(move |(at, prefix)| {
        let start = at + prefix.len();
        let run = run(&text[start..], |c| c.is_ascii_alphanumeric() || "-_*.".contains(c));
        let is_key = run.len() >= 8 && run.contains(|c: char| c.is_ascii_digit() || c == '*');
        let is_token = *prefix == *"eyJ" && run.contains('.');
        (!is_inside(text, at) && (is_key || is_token)).then(|| start..start + run.len())
    })
}

/// What follows the schemes of `Authorization`, where it is no ordinary word.
fn tokens(text: &str) -> impl Iterator<Item = Range<usize>> {
    let lower = text.to_ascii_lowercase();
    let ends = SCHEMES.iter().flat_map(|scheme| {
        let found = lower.match_indices(scheme);
        found.map(|(at, scheme)| (at, at + scheme.len())).collect::<Vec<_>>()
    });
    let ends: Vec<_> = ends.collect();
    ends.into_iter().filter_map(move |(at, start)| {
        let run = run(&text[start..], |c| c.is_ascii_alphanumeric() || "-_*.~+/=".contains(c));
        let is_odd = run.contains(|c: char| c.is_ascii_digit() || "*._=".contains(c));
        let is_token = (run.len() >= 8 && is_odd) || run.len() >= LONG;
        (!is_inside(text, at) && is_token).then(|| start..start + run.len())
    })
}

/// Hosts of one's own network, with their ports; and who is named before a host in a URL.
fn hosts(text: &str) -> impl Iterator<Item = Range<usize>> {
    let names = words(text).filter(|word| is_internal(text, word));
    let names = names.map(|word| word.start..word.end + port(&text[word.end..]));
    names.chain(in_urls(text))
}

/// Runs of what names of hosts are made of.
fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + text[from..].find(is_part)?;
        let end = text[start..].find(|c| !is_part(c)).map_or(text.len(), |length| start + length);
        from = end;
        let length = text[start..end].trim_end_matches('.').len();
        let escaped = escape(&text[..start], &text[start..]).min(length);
        Some(start + escaped..start + length)
    })
}

/// Whether the word names a host nobody outside can reach.
fn is_internal(text: &str, word: &Range<usize>) -> bool {
    let (name, before) = (&text[word.clone()], &text[..word.start]);
    if let Ok(address) = name.parse::<Ipv4Addr>() {
        return is_own(address);
    }
    let is_placed = begins_authority(before) || before.ends_with('@');
    if !name.contains('.') {
        let is_name = name.contains(|c: char| c.is_ascii_alphabetic());
        return name.eq_ignore_ascii_case("localhost") || (is_placed && is_name);
    }
    let is_placed = is_placed || port(&text[word.end..]) > 0;
    let name = name.to_ascii_lowercase();
    let is_host = is_placed || name.matches('.').count() > 1;
    is_host && INTERNAL.iter().any(|ending| name.ends_with(ending))
}

fn is_own(address: Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    let is_shared = a == 100 && (64..128).contains(&b);
    address.is_private() || address.is_loopback() || address.is_link_local() || is_shared
}

/// Whether a URL's host may follow, also where JSON escapes its slashes.
fn begins_authority(before: &str) -> bool {
    before.ends_with("://") || before.ends_with(":\\/\\/")
}

/// What URLs say before their hosts, and addresses in brackets.
fn in_urls(text: &str) -> impl Iterator<Item = Range<usize>> {
    let begin = ["://", ":\\/\\/"].into_iter().flat_map(move |mark| text.match_indices(mark));
    begin.filter_map(move |(at, mark)| {
        let start = at + mark.len();
        let ends = |c: char| c.is_whitespace() || "/?#\"'\\<>".contains(c);
        let authority = text[start..].split(ends).next().unwrap_or_default();
        if let Some(user) = authority.rfind('@') {
            return Some(start..start + user);
        }
        let (address, rest) = authority.strip_prefix('[')?.split_once(']')?;
        let address: Ipv6Addr = address.parse().ok()?;
        let is_own = address.is_loopback()
            || address.is_unique_local()
            || address.is_unicast_link_local()
            || address.to_ipv4_mapped().is_some_and(is_own);
        is_own.then(|| start..start + authority.len() - rest.len() + port(rest))
    })
}

/// How many bytes at the start of `text` are a port.
fn port(text: &str) -> usize {
    let Some(digits) = text.strip_prefix(':') else { return 0 };
    match run(digits, |c| c.is_ascii_digit()).len() {
        0 => 0,
        digits => digits + 1,
    }
}

/// The longest start of `text` of such characters, without the dots that end a sentence.
fn run(text: &str, may_be: impl Fn(char) -> bool) -> &str {
    let run = &text[..text.find(|c| !may_be(c)).unwrap_or(text.len())];
    run.trim_end_matches('.')
}

/// How many bytes at the start of `text` belong to an escape of JSON that begins before it.
fn escape(before: &str, text: &str) -> usize {
    match text.as_bytes().first() {
        _ if !before.ends_with('\\') => 0,
        Some(b'u') => 5,
        _ => 1,
    }
}

/// Whether what begins at `at` goes on with a word. An escape of JSON is none.
fn is_inside(text: &str, at: usize) -> bool {
    let before = &text[..at];
    let escapes = ["\\n", "\\r", "\\t"].iter().any(|escape| before.ends_with(escape));
    before.ends_with(char::is_alphanumeric) && !escapes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_blotted_out_and_words_are_not() {
        for (said, shown) in [
            (
                "Incorrect API key provided: sk-proj-a1****z9.",
                "Incorrect API key provided: sk-***.",
            ),
            ("key 'AIzaSyD4x-12345_6' and gsk_0123456789", "key 'AIza***' and gsk_***"),
            ("Bearer authentication required", "Bearer authentication required"),
            ("Bearer eyJhbGciOi.J9 refused", "Bearer *** refused"),
            ("bearer eyJabc.def.ghi refused", "bearer *** refused"),
            ("token eyJabc.def.ghi.", "token eyJ***."),
            ("Authorization: Basic dXNlcjpwYXNz+x/8=,", "Authorization: Basic ***,"),
            ("basic understanding", "basic understanding"),
            ("see task-0123456789", "see task-0123456789"),
            (r"one\nsk-0123456789", r"one\nsk-***"),
        ] {
            assert_eq!(discreet(said), shown);
        }
    }

    #[test]
    fn hosts_of_ones_own_network_are_blotted_out_and_others_are_not() {
        for (said, shown) in [
            ("http://10.1.2.3:8000/v1 is away", "http://***/v1 is away"),
            (r"http:\/\/10.1.2.3:8000\/v1", r"http:\/\/***\/v1"),
            (r"\n10.1.2.3 \u00e9a.b.local", r"\n*** \u00e9***"),
            ("connect to 192.168.0.7: refused", "connect to ***: refused"),
            ("at llm.corp.internal.", "at ***."),
            ("vllm.local:8000 and vllm.local", "*** and vllm.local"),
            ("http://vllm:8000/v1", "http://***/v1"),
            ("http://localhost:11434", "http://***"),
            ("http://[fd00::1]:80/x", "http://***/x"),
            ("https://user:hunter@example.com/x", "https://***@example.com/x"),
            ("https://user:hunter@vllm/x", "https://***@***/x"),
            ("visit https://platform.openai.com/x", "visit https://platform.openai.com/x"),
            ("8.8.8.8, version 10.1.2, gpt-4.1", "8.8.8.8, version 10.1.2, gpt-4.1"),
            ("messages.0.content is wrong", "messages.0.content is wrong"),
            ("https://[2606:4700::1]/", "https://[2606:4700::1]/"),
        ] {
            assert_eq!(discreet(said), shown);
        }
    }

    proptest! {
        #[test]
        fn json_stays_json(text in r#"(sk-|Bearer |://|@|10\.0\.0\.1|localhost|:80|\\|"|/|\n|\x01|[a-z0-9.é]){0,24}"#) {
            let json = serde_json::json!({ "error": text }).to_string();
            let shown = discreet(&json);
            prop_assert!(serde_json::from_str::<serde_json::Value>(&shown).is_ok(), "{}", shown);
        }
    }
}
