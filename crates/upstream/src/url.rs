//! Where a request goes: base URL and native path become one.

use std::{borrow::Cow, fmt};

use http::{Uri, uri::PathAndQuery};
use percent_encoding::percent_decode_str;
use tollgate_core::{Class, Protocol, Refusal};
use tollgate_wire::{credential::query_without_key, segment::breaks_out};

/// Returns the URL of `path` (the request's, without the gateway's prefix) under `base`.
///
/// `base` is what the provider's own SDK takes. OpenAI's has the version in it, so a leading `/v1`
/// of the path is left out; Anthropic's and Gemini's have none and the path is appended whole,
/// unless the base ends in the version the path begins with. The query keeps its bytes without
/// `key`; one in the base comes before it.
///
/// ```
/// use tollgate_core::Protocol;
/// use tollgate_upstream::url::join;
///
/// let base = "https://api.openai.com/v1".parse().unwrap();
/// let url = join(&base, Protocol::OpenAiChat, "/v1/chat/completions", None).unwrap();
/// assert_eq!(url, "https://api.openai.com/v1/chat/completions");
/// ```
///
/// Errors: see [`Unsafe`].
pub fn join(
    base: &Uri,
    protocol: Protocol,
    path: &str,
    query: Option<&str>,
) -> Result<Uri, Unsafe> {
    check(path)?;
    let root = base.path().trim_end_matches('/');
    assemble(base, [root, relative(root, protocol, path)].concat(), query, None)
}

/// Sets the whole path of `base` to `text`, and the queries of both: the base's, the request's, and
/// `api-version` unless one of them has it.
pub(crate) fn assemble(
    base: &Uri,
    mut text: String,
    query: Option<&str>,
    api_version: Option<&str>,
) -> Result<Uri, Unsafe> {
    let queries = [base.query(), query].into_iter().flatten().filter_map(query_without_key);
    let mut queries: Vec<_> = queries.collect();
    let versioned = queries.iter().any(|q| q.split('&').any(|p| p.starts_with("api-version=")));
    let version = api_version.filter(|_| !versioned).map(|v| format!("api-version={v}"));
    queries.extend(version.map(Into::into));
    for (i, query) in queries.iter().enumerate() {
        text.push(if i == 0 { '?' } else { '&' });
        text.push_str(query);
    }
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).map_err(|_| Unsafe)?);
    Uri::from_parts(parts).map_err(|_| Unsafe)
}

/// Returns the path of `base` without the first of `endings` it ends in.
pub(crate) fn root_without<'a>(base: &'a Uri, endings: &[&str]) -> &'a str {
    let root = base.path().trim_end_matches('/');
    endings.iter().find_map(|ending| root.strip_suffix(ending)).unwrap_or(root)
}

/// Refuses a path that would leave the base or the request line.
///
/// Errors: see [`Unsafe`].
pub fn check(path: &str) -> Result<(), Unsafe> {
    let decoded: Cow<'_, [u8]> = percent_decode_str(path).into();
    match path.starts_with('/') && !breaks_out(&decoded) {
        true => Ok(()),
        false => Err(Unsafe),
    }
}

/// The path does not begin with `/`, holds a control character, or a segment `.` or `..`, written
/// plainly or percent-encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsafe;

impl fmt::Display for Unsafe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the path holds `.` or `..` segments or control characters")
    }
}

impl std::error::Error for Unsafe {}

impl From<Unsafe> for Refusal {
    fn from(path: Unsafe) -> Self {
        Self::new(Class::InvalidRequest, path.to_string()).code("invalid_path")
    }
}

fn relative<'a>(root: &str, protocol: Protocol, path: &'a str) -> &'a str {
    let first = path[1..].find('/').map_or(path, |at| &path[..=at]);
    let drop = match protocol {
        Protocol::OpenAiChat | Protocol::OpenAiResponses => first == "/v1",
        _ => matches!(first, "/v1" | "/v1beta" | "/v1alpha") && root.ends_with(first),
    };
    if drop { &path[first.len()..] } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_and_path_become_one() {
        use Protocol::{
            AnthropicMessages as A, Gemini as G, OpenAiChat as C, OpenAiResponses as R,
        };
        for (base, protocol, path, query, expected) in [
            ("https://a/v1", C, "/v1/chat/completions", None, "https://a/v1/chat/completions"),
            ("https://a/v1/", C, "/chat/completions", None, "https://a/v1/chat/completions"),
            ("https://a", C, "/v1/chat/completions", None, "https://a/chat/completions"),
            ("https://a/paas/v4", C, "/v1/embeddings", None, "https://a/paas/v4/embeddings"),
            ("https://a/v1", R, "/v1/responses", None, "https://a/v1/responses"),
            ("https://a/v1", R, "/v1/responses/r_1", Some("a=1"), "https://a/v1/responses/r_1?a=1"),
            ("https://a/v1", C, "/v1", None, "https://a/v1"),
            ("https://a/v1", C, "/v10/x", None, "https://a/v1/v10/x"),
            ("https://a", A, "/v1/messages", Some("beta=true"), "https://a/v1/messages?beta=true"),
            ("https://a/v1", A, "/v1/messages", None, "https://a/v1/messages"),
            ("https://a/anthropic", A, "/v1/messages", None, "https://a/anthropic/v1/messages"),
            (
                "https://a",
                G,
                "/v1beta/models/m:x",
                Some("alt=sse&key=k"),
                "https://a/v1beta/models/m:x?alt=sse",
            ),
            (
                "https://a/v1beta",
                G,
                "/v1beta/models/m:x",
                Some("key=k"),
                "https://a/v1beta/models/m:x",
            ),
            ("https://a/v1alpha", G, "/v1alpha/models/m:x", None, "https://a/v1alpha/models/m:x"),
            ("https://a", G, "/v1/models/a%2Fb:x", None, "https://a/v1/models/a%2Fb:x"),
            ("http://a:1/v1?v=2", C, "/v1/x", Some("%20=+&y"), "http://a:1/v1/x?v=2&%20=+&y"),
        ] {
            let url = join(&base.parse().unwrap(), protocol, path, query);
            assert_eq!(url.unwrap(), expected);
        }
    }

    #[test]
    fn fault_61_paths_that_climb_or_break_the_line_are_refused() {
        for path in [
            "",
            "v1/x",
            "/v1/../admin",
            "/v1/..",
            "/v1/./x",
            "/v1/%2e%2E/x",
            "/v1beta/models/..%2fx:generateContent",
            "/v1beta/models/..%5Cx",
            "/v1/..\\x",
            "/v1/x%0d%0ahost:b",
            "/v1/x%00",
        ] {
            assert_eq!(check(path), Err(Unsafe), "{path}");
        }
        for path in ["/", "/v1/models/gpt-5..1", "/v1beta/models/a/b:x", "/v1/...", "/v1/%C3%A9"] {
            assert_eq!(check(path), Ok(()), "{path}");
        }
    }
}
