use std::{
    fmt::Write,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::{
    digest::{SHA256, digest},
    hmac,
};
use tollgate_core::{Cause, Class, Failure, Frames, Secret, Sent};

use super::{Signer, Signing};

const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Keys of an AWS account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsKeys {
    /// The name of the key.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: Secret,
    /// Goes with keys that were lent for a time.
    pub session_token: Option<Secret>,
}

impl AwsKeys {
    /// Returns keys that do not end.
    pub fn new(access_key_id: impl Into<String>, secret_access_key: Secret) -> Self {
        Self { access_key_id: access_key_id.into(), secret_access_key, session_token: None }
    }

    /// Adds the token of keys lent for a time. Default: none.
    pub fn session_token(mut self, token: Secret) -> Self {
        self.session_token = Some(token);
        self
    }

    /// Reads `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`. `None` if one of
    /// the first two is not set.
    pub fn from_env() -> Option<Self> {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let keys = Self::new(set("AWS_ACCESS_KEY_ID")?, Secret::new(set("AWS_SECRET_ACCESS_KEY")?));
        Some(Self { session_token: set("AWS_SESSION_TOKEN").map(Secret::new), ..keys })
    }
}

/// Signs with AWS Signature Version 4.
///
/// Signed are method, path, query, host, `content-type`, `x-amz-*` and the body's SHA-256.
#[derive(Clone, Debug)]
pub struct SigV4 {
    keys: AwsKeys,
    region: Box<str>,
    service: Box<str>,
}

impl SigV4 {
    /// Returns a signer for Amazon Bedrock in `region`.
    pub fn bedrock(keys: AwsKeys, region: &str) -> Self {
        Self::new(keys, region, "bedrock")
    }

    /// Returns a signer for another service, by the name its signatures use.
    pub fn new(keys: AwsKeys, region: &str, service: &str) -> Self {
        Self { keys, region: region.into(), service: service.into() }
    }

    fn sign_at(&self, request: &mut Request<Frames>, now: SystemTime) -> Option<()> {
        let time = Stamp::of(now);
        let headers = request.headers_mut();
        headers.insert(DATE, HeaderValue::from_str(&time.0).ok()?);
        if let Some(token) = &self.keys.session_token {
            headers.insert(TOKEN, token.header("")?);
        }
        let (canonical, signed) = canonical(request)?;
        let scope = format!("{}/{}/{}/aws4_request", time.day(), self.region, self.service);
        let hashed = hex(digest(&SHA256, canonical.as_bytes()).as_ref());
        let to_sign = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{hashed}", time.0);
        let signature = hex(&hmac(&self.key(time.day()), &to_sign));
        let id = &self.keys.access_key_id;
        let value = format!(
            "AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={signed}, Signature={signature}"
        );
        request.headers_mut().insert(header::AUTHORIZATION, Secret::new(value).header("")?);
        Some(())
    }

    /// The key of one day, region and service.
    fn key(&self, day: &str) -> Vec<u8> {
        let first = format!("AWS4{}", self.keys.secret_access_key.expose()).into_bytes();
        [day, &self.region, &self.service, "aws4_request"]
            .iter()
            .fold(first, |key, part| hmac(&key, part))
    }
}

impl Signer for SigV4 {
    fn sign(&self, mut request: Request<Frames>) -> Signing {
        let signed = self.sign_at(&mut request, SystemTime::now()).map(|()| request);
        let signed = signed.ok_or_else(|| {
            Failure::new(Class::Auth, "the request to the upstream cannot be signed")
                .cause(Cause::Credential)
                .sent(Sent::No)
                .code("upstream_signature")
        });
        Box::pin(std::future::ready(signed))
    }
}

/// The request as the signature sees it, and the names of the headers in it.
fn canonical(request: &Request<Frames>) -> Option<(String, String)> {
    let mut headers = signed_headers(request.headers(), request.uri())?;
    headers.sort();
    let names = headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
    let mut hash = ring::digest::Context::new(&SHA256);
    request.body().as_slice().iter().for_each(|frame| hash.update(frame));
    let mut text = format!(
        "{}\n{}\n{}\n",
        request.method(),
        canonical_path(request.uri().path()),
        canonical_query(request.uri().query().unwrap_or_default()),
    );
    for (name, value) in &headers {
        writeln!(text, "{name}:{value}").ok()?;
    }
    write!(text, "\n{names}\n{}", hex(hash.finish().as_ref())).ok()?;
    Some((text, names))
}

fn signed_headers(headers: &HeaderMap, uri: &Uri) -> Option<Vec<(String, String)>> {
    let mut signed = vec![("host".to_owned(), host(uri)?)];
    for (name, value) in headers {
        if name == header::CONTENT_TYPE || name.as_str().starts_with("x-amz-") {
            let value = value.to_str().ok()?.split_whitespace().collect::<Vec<_>>().join(" ");
            signed.push((name.as_str().to_owned(), value));
        }
    }
    Some(signed)
}

/// The `host` header the client will send: without the scheme's own port.
fn host(uri: &Uri) -> Option<String> {
    let usual = if uri.scheme_str() == Some("http") { 80 } else { 443 };
    let host = uri.host()?;
    Some(match uri.port_u16().filter(|port| *port != usual) {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}

/// Every service but S3 signs the encoded path encoded once more.
fn canonical_path(path: &str) -> String {
    let segments = path.split('/').map(|part| utf8_percent_encode(part, UNRESERVED).to_string());
    segments.collect::<Vec<_>>().join("/")
}

fn canonical_query(query: &str) -> String {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<_> = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
    pairs.sort_unstable();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A time as `20150830T123600Z`.
struct Stamp(String);

impl Stamp {
    fn of(now: SystemTime) -> Self {
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let (days, rest) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
        Self(format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z"))
    }

    fn day(&self) -> &str {
        &self.0[..8]
    }
}

/// Year, month and day of a day since 1970, counted in years that begin in March so that the leap
/// day is a year's last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, date)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// 2015-08-30 12:36:00, the instant of AWS's published examples.
    const THEN: Duration = Duration::from_secs(1_440_938_160);
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    fn signer(service: &str) -> SigV4 {
        SigV4::new(AwsKeys::new("AKIDEXAMPLE", Secret::new(SECRET)), "us-east-1", service)
    }

    fn signed(
        signer: &SigV4,
        method: &str,
        uri: &str,
        content_type: Option<&str>,
        body: &'static str,
    ) -> Request<Frames> {
        let mut request = Request::new(Frames::from(Bytes::from_static(body.as_bytes())));
        *request.method_mut() = method.parse().unwrap();
        *request.uri_mut() = uri.parse().unwrap();
        if let Some(value) = content_type {
            request.headers_mut().insert(header::CONTENT_TYPE, value.parse().unwrap());
        }
        signer.sign_at(&mut request, UNIX_EPOCH + THEN).unwrap();
        request
    }

    fn authorization(request: &Request<Frames>) -> &str {
        request.headers()[header::AUTHORIZATION].to_str().unwrap()
    }

    #[test]
    fn signatures_are_those_of_the_published_test_suite() {
        let form = Some("application/x-www-form-urlencoded");
        for (method, path, content_type, body, signature) in [
            // get-vanilla
            (
                "GET",
                "/",
                None,
                "",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            // get-vanilla-query-order-key-case
            (
                "GET",
                "/?Param2=value2&Param1=value1",
                None,
                "",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            // post-vanilla
            (
                "POST",
                "/",
                None,
                "",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            // post-x-www-form-urlencoded
            (
                "POST",
                "/",
                form,
                "Param1=value1",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
        ] {
            let uri = format!("https://example.amazonaws.com{path}");
            let request = signed(&signer("service"), method, &uri, content_type, body);
            let names = if content_type.is_some() { "content-type;" } else { "" };
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders={names}host;x-amz-date, Signature={signature}"
            );
            assert_eq!(authorization(&request), expected);
        }
    }

    /// The example of the IAM manual.
    #[test]
    fn the_manuals_example_is_signed_as_there() {
        let uri = "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08";
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        let request = signed(&signer("iam"), "GET", uri, Some(form), "");
        let signature = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
        assert!(authorization(&request).ends_with(signature), "{}", authorization(&request));
        let key = "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9";
        assert_eq!(hex(&signer("iam").key("20150830")), key);
    }

    #[test]
    fn a_lent_keys_token_is_sent_signed_and_not_shown() {
        let keys = AwsKeys::new("A", Secret::new("hidden")).session_token(Secret::new("lent"));
        let signer = SigV4::bedrock(keys, "eu-west-1");
        let request = signed(&signer, "POST", "https://h/model/a%3A0/invoke", None, "{}");
        assert_eq!(request.headers()[TOKEN], "lent");
        assert!(authorization(&request).contains("=host;x-amz-date;x-amz-security-token,"));
        assert!(request.headers()[header::AUTHORIZATION].is_sensitive());
        let shown = format!("{signer:?} {request:?}");
        assert!(!shown.contains("hidden") && !shown.contains("lent"), "{shown}");
    }

    #[test]
    fn an_encoded_path_is_encoded_again() {
        assert_eq!(canonical_path("/model/a%3A0/invoke"), "/model/a%253A0/invoke");
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "19700101T000000Z"),
            (951_782_400, "20000229T000000Z"),
            (1_735_689_599, "20241231T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(Stamp::of(UNIX_EPOCH + Duration::from_secs(seconds)).0, expected);
        }
    }
}
