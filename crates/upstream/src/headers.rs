//! Which headers an upstream sees, and which of its own come back.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use tollgate_core::Protocol;
use tollgate_wire::credential;

/// Whether a header belongs to one connection, besides those `Connection` names. A proxy's
/// credential does too, and is looked at with the other credentials.
fn hops(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
            | "expect"
    )
}

/// Whether a header tells an upstream about the client's way to us or about an account that is not
/// ours, or is one that the next connection sets itself.
fn is_not_sent(name: &str) -> bool {
    // Most headers begin with another letter.
    if !name.starts_with(['h', 'c', 'a', 'f', 'v', 'x', 't', 'o']) {
        return false;
    }
    let prefixes = ["x-forwarded-", "x-tollgate-", "x-envoy-", "cf-"];
    let listed = matches!(
        name,
        "host"
            | "content-length"
            | "accept-encoding"
            | "forwarded"
            | "via"
            | "x-real-ip"
            | "x-client-ip"
            | "x-cluster-client-ip"
            | "true-client-ip"
            | "x-original-forwarded-for"
            | "openai-organization"
            | "openai-project"
    );
    listed || prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a header concerns the upstream's origin and us.
fn is_not_returned(name: &str) -> bool {
    if !name.starts_with(['s', 'a', 'x']) {
        return false;
    }
    let listed = matches!(
        name,
        "set-cookie" | "set-cookie2" | "alt-svc" | "strict-transport-security" | "server-timing"
    );
    listed || name.starts_with("x-tollgate-")
}

/// Whether a header describes our account at the upstream.
fn is_of_account(name: &str) -> bool {
    if !name.starts_with(['x', 'r', 'a', 'o']) {
        return false;
    }
    let prefixes = [
        "x-ratelimit-",
        "ratelimit-",
        "anthropic-ratelimit-",
        "anthropic-priority-",
        "anthropic-fast-",
    ];
    let listed = matches!(
        name,
        "openai-organization"
            | "openai-project"
            | "anthropic-organization-id"
            | "x-goog-quota-user"
    );
    listed || prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// Leaves the headers an upstream may see.
///
/// All pass but: hop-by-hop, `expect` and `te` included; credentials and cookies, unless their
/// value is marked sensitive ([`HeaderValue::is_sensitive`]), which ours are; forwarding headers
/// (`forwarded`, `via`, `x-forwarded-*`, `cf-*` …); `x-tollgate-*`; host, content-length,
/// organisation and project of an account. `accept-encoding` becomes `identity`.
pub fn for_upstream(headers: &mut HeaderMap) {
    remove_named_by_connection(headers);
    remove(headers, |name| hops(name) || is_not_sent(name));
    let a_clients = |(name, value): (&HeaderName, &HeaderValue)| {
        !value.is_sensitive() && credential::is_header(name)
    };
    if headers.iter().any(a_clients) {
        credential::HEADERS.iter().for_each(|name| keep_sensitive(headers, name));
    }
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

/// Leaves the headers of an answer that concern the client: all but hop-by-hop, cookies,
/// `alt-svc`, `strict-transport-security`, `server-timing` and `x-tollgate-*`.
pub fn from_upstream(headers: &mut HeaderMap) {
    remove_named_by_connection(headers);
    remove(headers, |name| hops(name) || is_not_returned(name));
}

/// Removes what an answer says about our account at the upstream: rate limits, organisation,
/// project. `retry-after` stays.
///
/// For the edge, after the answer was classified: the same names may carry the caller's own limits.
pub fn strip_account_headers(headers: &mut HeaderMap) {
    remove(headers, is_of_account);
}

/// Returns the headers a protocol demands of every request; set where a request has none.
pub fn required(protocol: Protocol) -> &'static [(&'static str, &'static str)] {
    match protocol {
        Protocol::AnthropicMessages => &[("anthropic-version", "2023-06-01")],
        _ => &[],
    }
}

fn remove_named_by_connection(headers: &mut HeaderMap) {
    if !headers.contains_key(header::CONNECTION) {
        return;
    }
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        keep_sensitive(headers, &name);
    }
}

fn keep_sensitive(headers: &mut HeaderMap, name: &HeaderName) {
    if !headers.contains_key(name) || headers.get_all(name).iter().all(HeaderValue::is_sensitive) {
        return;
    }
    let ours: Vec<_> =
        headers.get_all(name).iter().filter(|value| value.is_sensitive()).cloned().collect();
    headers.remove(name);
    for value in ours {
        headers.append(name, value);
    }
}

fn remove(headers: &mut HeaderMap, unwanted: impl Fn(&str) -> bool) {
    let names: Vec<_> = headers.keys().filter(|name| unwanted(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(headers: &[(&'static str, &str)]) -> HeaderMap {
        headers.iter().map(|(n, v)| (HeaderName::from_static(n), v.parse().unwrap())).collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn what_is_the_clients_business_passes() {
        let mut headers = map(&[
            ("content-type", "application/json"),
            ("anthropic-beta", "a,b"),
            ("user-agent", "u"),
            ("traceparent", "00-1"),
            ("x-stainless-lang", "rust"),
            ("accept", "*/*"),
        ]);
        let before = headers.clone();
        for_upstream(&mut headers);
        assert_eq!(headers.remove("accept-encoding").unwrap(), "identity");
        assert_eq!(headers, before);
    }

    #[test]
    fn fault_61_what_an_upstream_may_not_see_is_removed() {
        let mut headers = map(&[
            ("connection", "keep-alive, X-Hop"),
            ("x-hop", "1"),
            ("keep-alive", "1"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("proxy-authorization", "Basic x"),
            ("authorization", "Bearer client"),
            ("x-api-key", "client"),
            ("api-key", "client"),
            ("x-goog-api-key", "client"),
            ("cookie", "a=b"),
            ("forwarded", "for=1"),
            ("x-forwarded-for", "1"),
            ("x-real-ip", "1"),
            ("via", "1"),
            ("cf-connecting-ip", "1"),
            ("x-tollgate-route", "{}"),
            ("host", "h"),
            ("content-length", "3"),
            ("accept-encoding", "gzip, br"),
            ("openai-organization", "o"),
            ("openai-project", "p"),
        ]);
        for_upstream(&mut headers);
        assert_eq!(names(&headers), ["accept-encoding"]);
    }

    #[test]
    fn a_credential_marked_sensitive_is_ours_and_passes() {
        let mut ours = HeaderValue::from_static("Bearer ours");
        ours.set_sensitive(true);
        let mut headers =
            map(&[("authorization", "Bearer client"), ("connection", "authorization")]);
        headers.append("authorization", ours.clone());
        for_upstream(&mut headers);
        assert_eq!(headers.get_all("authorization").iter().collect::<Vec<_>>(), [&ours]);
    }

    #[test]
    fn an_answer_keeps_what_concerns_the_client() {
        let mut headers = map(&[
            ("set-cookie", "a"),
            ("alt-svc", "h3"),
            ("connection", "close"),
            ("x-tollgate-origin", "gateway"),
            ("retry-after", "1"),
            ("x-ratelimit-remaining-requests", "1"),
            ("anthropic-ratelimit-tokens-limit", "1"),
            ("request-id", "r"),
        ]);
        from_upstream(&mut headers);
        assert_eq!(headers.len(), 4);
        strip_account_headers(&mut headers);
        assert_eq!(names(&headers), ["request-id", "retry-after"]);
    }
}
