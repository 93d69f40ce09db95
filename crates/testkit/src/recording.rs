use std::{collections::BTreeMap, fs, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{Absent, Answer, Script, shared_dir};

/// One recorded exchange with a provider. Bodies keep the very text of the file.
#[derive(Clone, Debug, Deserialize)]
pub struct Recording {
    /// The name of its file, without `.json`.
    pub id: String,
    /// Who answered.
    pub provider: String,
    /// The wire format, as the recordings name it (`openai-chat`, `gemini-embeddings`, …).
    pub protocol: String,
    /// Whether the answer is a stream.
    pub stream: bool,
    /// What was asked.
    pub request: RecordedRequest,
    /// What came back.
    pub response: RecordedResponse,
    /// Tags describing the exchange.
    #[serde(default)]
    pub features: Vec<String>,
    /// What was done to this recording, or what it lacks.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// The request of a [`Recording`].
#[derive(Clone, Debug, Deserialize)]
pub struct RecordedRequest {
    /// The method.
    pub method: String,
    /// The path, beginning with `/`.
    pub path: String,
    /// The query without `?`; empty when there was none.
    #[serde(default)]
    pub query: String,
    /// The headers that were kept.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    body: Option<Box<RawValue>>,
}

/// The response of a [`Recording`].
#[derive(Clone, Debug, Deserialize)]
pub struct RecordedResponse {
    /// The status code.
    pub status: u16,
    /// The headers that were kept.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    body: Option<Box<RawValue>>,
    raw: Option<String>,
    raw_base64: Option<String>,
}

impl Recording {
    /// Reads one file.
    ///
    /// # Panics
    ///
    /// When it cannot be read or is no recording.
    pub fn read(path: &Path) -> Self {
        let text = fs::read(path).expect("the recording can be read");
        let read = serde_json::from_slice(&text);
        assert!(read.is_ok(), "{}: {read:?}", path.display());
        read.expect("asserted above")
    }

    /// Whether `feature` is among the tags.
    pub fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|tag| tag == feature)
    }

    /// Returns the answer as an upstream would give it: an event stream without length, else sized.
    pub fn answer(&self) -> Answer {
        let script = Script::new(self.response.body());
        let script = if self.stream { script } else { script.sized() };
        let mut answer = Answer::new(self.response.status(), script);
        for (name, value) in &headers(&self.response.headers) {
            answer = answer.header(name.clone(), value.clone());
        }
        answer
    }
}

impl RecordedRequest {
    /// Returns the body's bytes; none when there was no body.
    pub fn body(&self) -> Bytes {
        raw(self.body.as_deref())
    }

    /// Returns path and query as they stand in a request line.
    pub fn target(&self) -> String {
        match self.query.as_str() {
            "" => self.path.clone(),
            query => format!("{}?{query}", self.path),
        }
    }

    /// Returns the request, to be given to a service.
    ///
    /// # Panics
    ///
    /// When method or path are none.
    pub fn to_request(&self) -> Request<Full<Bytes>> {
        let request = Request::builder().method(self.method.as_str()).uri(self.target());
        let mut request =
            request.body(Full::new(self.body())).expect("a recorded method and path are valid");
        *request.headers_mut() = headers(&self.headers);
        request
    }
}

impl RecordedResponse {
    /// Returns the body's bytes, whichever form the file keeps them in.
    ///
    /// # Panics
    ///
    /// When `raw_base64` is not base64.
    pub fn body(&self) -> Bytes {
        match (&self.raw, &self.raw_base64) {
            (Some(text), _) => Bytes::from(text.clone()),
            (_, Some(text)) => STANDARD.decode(text).expect("the recording is base64").into(),
            _ => raw(self.body.as_deref()),
        }
    }

    /// Returns the status.
    ///
    /// # Panics
    ///
    /// When the number is no status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).expect("a recorded status is valid")
    }
}

fn raw(value: Option<&RawValue>) -> Bytes {
    value.map_or_else(Bytes::new, |value| Bytes::copy_from_slice(value.get().as_bytes()))
}

fn headers(kept: &BTreeMap<String, String>) -> HeaderMap {
    let valid = |(name, value): (&String, &String)| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_str(value).ok()?))
    };
    kept.iter().filter_map(valid).collect()
}

/// Returns the recordings of one folder (`openai-chat`, `gemini`, …), or of all with `""`, sorted
/// by file name.
///
/// # Panics
///
/// When a file is no recording.
pub fn recordings(folder: &str) -> Result<Vec<Recording>, Absent> {
    let root = shared_dir()?.join("fixtures/recorded").join(folder);
    let mut files = Vec::new();
    list(&root, &mut files);
    let reason = format!("no recordings in {}", root.display());
    if files.is_empty() {
        return Err(Absent { reason });
    }
    files.sort();
    Ok(files.iter().map(|file| Recording::read(file)).collect())
}

fn list(dir: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            list(&path, files);
        } else if path.extension().is_some_and(|ext| ext == "json") {
            files.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"id":"a","provider":"openai","protocol":"openai-chat","stream":false,
        "request":{"method":"POST","path":"/v1/x","query":"a=b","headers":{"accept":"*/*"},
                   "body":{"z" : 1.10, "a":12345678901234567890123}},
        "response":{"status":200,"headers":{"x-request-id":"r"},"raw_base64":"AAE="}}"#;

    #[test]
    fn bodies_keep_the_text_of_the_file() {
        let recording: Recording = serde_json::from_str(FILE).unwrap();
        assert_eq!(recording.request.body(), r#"{"z" : 1.10, "a":12345678901234567890123}"#);
        assert_eq!(recording.request.to_request().uri(), "/v1/x?a=b");
        assert_eq!(recording.request.to_request().headers()["accept"], "*/*");
        assert_eq!(recording.response.body(), b"\0\x01"[..]);
    }
}
