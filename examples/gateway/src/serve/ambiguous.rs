//! Requests that another reader of the same connection may take for something else.

use http::{HeaderMap, Version, header};

/// Why a request of HTTP/1 has more than one reading: where it ends, or for whom it is. A proxy in
/// front that reads it differently lets somebody smuggle a request past it, so it is answered 400 and
/// the connection closed.
///
/// Not seen here, for hyper drops it: a second `content-length` that repeats the first, and one beside
/// a `transfer-encoding`. The latter's connection it closes after the answer, so that nothing behind
/// the request is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ambiguous(pub(crate) &'static str);

impl Ambiguous {
    pub(super) fn of(version: Version, headers: &HeaderMap) -> Option<Self> {
        if version > Version::HTTP_11 {
            return None;
        }
        let hosts = headers.get_all(header::HOST).iter().count();
        if hosts > 1 || (hosts == 0 && version == Version::HTTP_11) {
            return Some(Self("a request needs exactly one host header"));
        }
        let mut encodings = headers.get_all(header::TRANSFER_ENCODING).iter();
        let encoding = encodings.next()?;
        let is_chunked = encoding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
        let is_plain = is_chunked && encodings.next().is_none();
        (!is_plain).then_some(Self("the only transfer-encoding of a request is chunked, once"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_ambiguous(version: Version, lines: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        lines.iter().for_each(|(name, value)| {
            headers.append(*name, http::HeaderValue::from_static(value));
        });
        Ambiguous::of(version, &headers).is_some()
    }

    #[test]
    fn fault_61_what_may_end_elsewhere_is_ambiguous() {
        const HOST: (&str, &str) = ("host", "a");
        const TE: &str = "transfer-encoding";
        for (lines, expected) in [
            (&[][..], false),
            (&[("content-length", "2")], false),
            (&[(TE, "chunked")], false),
            (&[(TE, "Chunked ")], false),
            (&[(TE, "chunked"), (TE, "chunked")], true),
            (&[(TE, "chunked, chunked")], true),
            (&[(TE, "identity, chunked")], true),
            (&[(TE, "gzip, chunked")], true),
        ] {
            let lines = [&[HOST], lines].concat();
            assert_eq!(is_ambiguous(Version::HTTP_11, &lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn fault_61_a_request_for_nobody_or_for_two_is_ambiguous() {
        let (one, two) = (&[("host", "a")][..], &[("host", "a"), ("host", "b")][..]);
        for (version, lines, expected) in [
            (Version::HTTP_11, &[][..], true),
            (Version::HTTP_11, one, false),
            (Version::HTTP_11, two, true),
            (Version::HTTP_10, &[], false),
            (Version::HTTP_10, two, true),
            (Version::HTTP_2, &[], false),
        ] {
            assert_eq!(is_ambiguous(version, lines), expected, "{version:?} {lines:?}");
        }
    }
}
