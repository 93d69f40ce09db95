use std::fmt;

use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use tollgate_core::Body;

/// A request kept for a further attempt, its headers as bytes. Nearly every call needs one attempt: to
/// copy them costs a fraction of what it does to share each, and to count who shares it.
pub(crate) struct Spare {
    method: Method,
    uri: Uri,
    version: Version,
    headers: Vec<u8>,
    extensions: Extensions,
    body: Body,
}

impl Spare {
    /// Keeps what makes the same request once more; `None` where its body cannot be sent again.
    pub(crate) fn of(request: &Request<Body>) -> Option<Box<Self>> {
        Some(Box::new(Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            headers: pack(request.headers()),
            extensions: request.extensions().clone(),
            body: request.body().try_clone()?,
        }))
    }

    /// Returns the request; `None` where its body cannot be sent again.
    pub(crate) fn request(&self) -> Option<Request<Body>> {
        let mut request = Request::new(self.body.try_clone()?);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = self.version;
        *request.headers_mut() = unpack(&self.headers);
        *request.extensions_mut() = self.extensions.clone();
        Some(request)
    }
}

/// The headers may tell secrets.
impl fmt::Debug for Spare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spare").field("method", &self.method).finish_non_exhaustive()
    }
}

/// Bytes of both lengths and of whether a value is secret.
const LENGTHS: usize = 9;

/// Writes each header as the length of its name, that of its value, whether that is secret, and both.
fn pack(headers: &HeaderMap) -> Vec<u8> {
    let length = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
    let mut packed = Vec::with_capacity(headers.iter().map(|h| LENGTHS + length(h)).sum());
    for (name, value) in headers {
        packed.extend((name.as_str().len() as u32).to_ne_bytes());
        packed.extend((value.len() as u32).to_ne_bytes());
        packed.push(u8::from(value.is_sensitive()));
        packed.extend_from_slice(name.as_str().as_bytes());
        packed.extend_from_slice(value.as_bytes());
    }
    packed
}

fn unpack(mut packed: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    while let Some((name, value, rest)) = first(packed) {
        headers.append(name, value);
        packed = rest;
    }
    headers
}

fn first(packed: &[u8]) -> Option<(HeaderName, HeaderValue, &[u8])> {
    let (name, rest) = packed.split_first_chunk()?;
    let (value, rest) = rest.split_first_chunk()?;
    let (is_secret, rest) = rest.split_first()?;
    let (name, rest) = rest.split_at_checked(u32::from_ne_bytes(*name) as usize)?;
    let (value, rest) = rest.split_at_checked(u32::from_ne_bytes(*value) as usize)?;
    let mut value = HeaderValue::from_bytes(value).ok()?;
    value.set_sensitive(*is_secret != 0);
    Some((HeaderName::from_bytes(name).ok()?, value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request<Body> {
        let mut secret = HeaderValue::from_static("s3cret");
        secret.set_sensitive(true);
        Request::post("/v1/chat/completions?a=b")
            .version(Version::HTTP_2)
            .header("x-a", "1")
            .header("x-b", "")
            .header("x-a", "2")
            .header("x-latin", HeaderValue::from_bytes(b"caf\xe9").unwrap())
            .header("authorization", secret)
            .extension(7_u8)
            .body(Body::from("{}"))
            .unwrap()
    }

    fn assert_same(again: &Request<Body>) {
        let request = request();
        assert_eq!((again.method(), again.uri()), (request.method(), request.uri()));
        assert_eq!((again.version(), again.headers()), (request.version(), request.headers()));
        assert_eq!(again.extensions().get(), Some(&7_u8));
        assert_eq!(again.body().frames().unwrap().joined(), "{}");
        assert!(again.headers()["authorization"].is_sensitive());
        assert!(!again.headers()["x-a"].is_sensitive());
    }

    #[test]
    fn a_request_comes_back_as_it_was_each_time() {
        let spare = Spare::of(&request()).unwrap();
        assert_same(&spare.request().unwrap());
        assert_same(&spare.request().unwrap());
        assert!(!format!("{spare:?}").contains("s3cret"));
    }

    #[test]
    fn a_body_nobody_has_read_cannot_be_kept() {
        let unread = http_body_util::Empty::<bytes::Bytes>::new();
        assert!(Spare::of(&Request::new(Body::untouched(unread))).is_none());
    }
}
