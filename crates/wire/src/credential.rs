//! Where clients put their API key: the same places are read, and emptied, on every protocol.
//!
//! ```
//! use tollgate_wire::credential;
//!
//! let mut request = http::Request::get("/v1beta/models?alt=sse&key=sk-1").body(()).unwrap();
//! request.headers_mut().insert("authorization", "bearer sk-2".parse().unwrap());
//! let keys: Vec<_> = credential::presented(&request).collect();
//! assert_eq!(keys.iter().map(|key| key.expose()).collect::<Vec<_>>(), ["sk-2", "sk-1"]);
//!
//! credential::strip(&mut request);
//! assert_eq!(request.uri(), "/v1beta/models?alt=sse");
//! assert!(request.headers().is_empty());
//! ```

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header, uri::PathAndQuery};
use percent_encoding::percent_decode_str;
use tollgate_core::Secret;

/// The headers clients send a key in, in the order they are read. `authorization` has the scheme
/// `Bearer`, in any case; the others hold the key alone.
pub static KEY_HEADERS: [HeaderName; 4] = [
    header::AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
];

/// Every header that can identify a client to an upstream: [`KEY_HEADERS`], the proxy's
/// credential and cookies.
pub static HEADERS: [HeaderName; 7] = [
    header::AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
    header::PROXY_AUTHORIZATION,
    header::COOKIE,
    HeaderName::from_static("cookie2"),
];

/// More keys than this in one request are not looked at: nobody gets to try a list of them.
const MOST: usize = 8;

/// Returns the keys a request presents, headers first, then `?key=`. Empty ones are left out, and
/// so is what follows the eighth.
pub fn presented<B>(request: &Request<B>) -> impl Iterator<Item = Secret> + '_ {
    let headers = KEY_HEADERS
        .iter()
        .flat_map(|name| request.headers().get_all(name).iter().map(move |value| (name, value)))
        .filter_map(|(name, value)| in_header(name, value));
    headers.chain(in_query(request.uri())).filter(|key| !key.expose().is_empty()).take(MOST)
}

/// Removes every form of credential from headers and query. The other query parameters keep their
/// bytes and their order.
pub fn strip<B>(request: &mut Request<B>) {
    strip_headers(request.headers_mut());
    if let Some(uri) = without_key(request.uri()) {
        *request.uri_mut() = uri;
    }
}

/// Removes every header of [`HEADERS`].
pub fn strip_headers(headers: &mut HeaderMap) {
    while let Some(name) = headers.keys().find(|name| is_header(name)).cloned() {
        headers.remove(name);
    }
}

/// Whether a header is one of [`HEADERS`].
pub fn is_header(name: &HeaderName) -> bool {
    // One look at the length; the list above is told apart name by name.
    matches!(
        name.as_str(),
        "authorization"
            | "x-api-key"
            | "api-key"
            | "x-goog-api-key"
            | "proxy-authorization"
            | "cookie"
            | "cookie2"
    )
}

/// Returns `query` without its `key` parameters; `None` when nothing is left.
pub fn query_without_key(query: &str) -> Option<Cow<'_, str>> {
    if !query.split('&').any(is_key) {
        return Some(Cow::Borrowed(query)).filter(|query| !query.is_empty());
    }
    let rest: Vec<_> = query.split('&').filter(|pair| !is_key(pair)).collect();
    (!rest.is_empty()).then(|| Cow::Owned(rest.join("&")))
}

fn in_header(name: &HeaderName, value: &HeaderValue) -> Option<Secret> {
    let text = value.to_str().ok()?.trim();
    if name != header::AUTHORIZATION {
        return Some(Secret::new(text));
    }
    let (scheme, key) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Secret::new(key))
}

fn in_query(uri: &Uri) -> impl Iterator<Item = Secret> + '_ {
    uri.query()
        .into_iter()
        .flat_map(|query| query.split('&'))
        .filter(|pair| is_key(pair))
        .filter_map(|pair| {
            let (_, value) = pair.split_once('=')?;
            percent_decode_str(value).decode_utf8().ok().map(Secret::new)
        })
}

fn is_key(pair: &str) -> bool {
    let name = pair.split_once('=').map_or(pair, |(name, _)| name);
    percent_decode_str(name).eq(*b"key")
}

/// Returns `uri` without its `key` parameters, or `None` when it has none.
fn without_key(uri: &Uri) -> Option<Uri> {
    let query = uri.query().filter(|query| query.split('&').any(is_key))?;
    let rest = query_without_key(query);
    let text = match &rest {
        Some(rest) => format!("{}?{rest}", uri.path()),
        None => uri.path().to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, headers: &[(&'static str, &str)]) -> Request<()> {
        let mut request = Request::get(uri).body(()).unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        request
    }

    fn keys(request: &Request<()>) -> Vec<String> {
        presented(request).map(|key| key.expose().to_owned()).collect()
    }

    #[test]
    fn every_listed_header_is_one() {
        assert!(HEADERS.iter().chain(&KEY_HEADERS).all(is_header));
        assert!(!is_header(&header::ACCEPT) && !is_header(&HeaderName::from_static("x-api-keys")));
    }

    #[test]
    fn every_form_is_read() {
        for (uri, headers, expected) in [
            ("/", &[("authorization", "Bearer k")][..], &["k"][..]),
            ("/", &[("authorization", "BEARER  k ")], &["k"]),
            ("/", &[("authorization", "Basic k")], &[]),
            ("/", &[("authorization", "k")], &[]),
            ("/", &[("x-api-key", "k")], &["k"]),
            ("/", &[("api-key", "k")], &["k"]),
            ("/", &[("x-goog-api-key", "k")], &["k"]),
            ("/", &[("x-api-key", "")], &[]),
            ("/?key=k", &[], &["k"]),
            ("/?a=1&%6Bey=k%2D1&b", &[], &["k-1"]),
            ("/?key", &[], &[]),
            ("/?monkey=k&keys=k", &[], &[]),
            ("/?key=q", &[("api-key", "c"), ("authorization", "bearer a")], &["a", "c", "q"]),
        ] {
            assert_eq!(keys(&request(uri, headers)), expected, "{uri} {headers:?}");
        }
    }

    #[test]
    fn a_list_of_guesses_is_cut_short() {
        let many = vec![("x-api-key", "guess"); 100];
        assert_eq!(keys(&request("/", &many)).len(), MOST);
    }

    #[test]
    fn what_is_read_is_removed_and_the_rest_keeps_its_bytes() {
        for (uri, expected) in [
            ("/a?key=k", "/a"),
            ("/a?key=k&x=%20+1&y", "/a?x=%20+1&y"),
            ("/a?y=2&key=k&x=1&key=l", "/a?y=2&x=1"),
            ("/a?x=1&ke%79=k", "/a?x=1"),
            ("/a?x=1&&y", "/a?x=1&&y"),
            ("http://host:1/a?key=k", "http://host:1/a"),
        ] {
            let mut request = request(uri, &[("cookie", "a=b"), ("x-kept", "1")]);
            strip(&mut request);
            assert_eq!(request.uri(), expected);
            assert_eq!(request.headers().len(), 1);
        }
    }
}
