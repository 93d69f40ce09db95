use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use tollgate_core::{Operation, Protocol};

use crate::{Route, dialect};

/// A request recognised by its head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The protocol it is in.
    pub protocol: Protocol,
    /// What it asks for.
    pub route: Route,
    /// How many bytes of the path are a prefix of ours (`/openai`, …), not the protocol's.
    pub prefix: usize,
}

/// The prefixes under which only some protocols are looked for.
const PREFIXES: [(&str, &[Protocol]); 3] = [
    ("/openai", &[Protocol::OpenAiChat, Protocol::OpenAiResponses]),
    ("/anthropic", &[Protocol::AnthropicMessages]),
    ("/gemini", &[Protocol::Gemini]),
];

/// Recognises a request by method, path (without query) and headers.
///
/// Where a path belongs to several protocols (`GET /v1/models`), the one whose own headers are
/// present has it, else the first in order of declaration.
///
/// ```
/// use http::{HeaderMap, Method};
/// use tollgate_wire::{locate, tollgate_core::{Operation, Protocol}};
///
/// let located = locate(&Method::POST, "/anthropic/v1/messages", &HeaderMap::new()).unwrap();
/// assert_eq!(located.protocol, Protocol::AnthropicMessages);
/// assert_eq!(located.route.operation, Operation::Generate);
/// assert_eq!(located.prefix, "/anthropic".len());
/// ```
pub fn locate(method: &Method, path: &str, headers: &HeaderMap) -> Option<Located> {
    if let Some(protocol) = usual(path).filter(|_| method == Method::POST) {
        let route = Route { operation: Operation::Generate, model: None, stream: false };
        return Some(Located { protocol, route, prefix: 0 });
    }
    look_for(method, path, headers)
}

/// Whose path it is that nearly every call goes to. Nobody else has one of these.
fn usual(path: &str) -> Option<Protocol> {
    match path {
        "/v1/chat/completions" => Some(Protocol::OpenAiChat),
        "/v1/responses" => Some(Protocol::OpenAiResponses),
        "/v1/messages" => Some(Protocol::AnthropicMessages),
        _ => None,
    }
}

fn look_for(method: &Method, path: &str, headers: &HeaderMap) -> Option<Located> {
    let (prefix, protocols) = split_prefix(path);
    let mut found = protocols.iter().filter_map(|&protocol| {
        let route = dialect(protocol).route(method, &path[prefix..])?;
        Some(Located { protocol, route, prefix })
    });
    let first = found.next()?;
    if first.route.operation == Operation::GetModel && is_called(&path[prefix..], protocols) {
        return None;
    }
    if dialect(first.protocol).claims(headers) {
        return Some(first);
    }
    Some(found.find(|other| dialect(other.protocol).claims(headers)).unwrap_or(first))
}

/// Whether somebody's model is called at this path. It names a verb too, and describes nothing.
fn is_called(path: &str, protocols: &[Protocol]) -> bool {
    protocols.iter().any(|&protocol| dialect(protocol).route(&Method::POST, path).is_some())
}

/// Returns how many bytes of a path are a prefix of ours (`/openai`, `/anthropic`, `/gemini`), also
/// where nobody knows the rest of it.
pub fn prefix(path: &str) -> usize {
    split_prefix(path).0
}

/// How paths end at which one of the four protocols asks a model, in whoever's version and place.
const ASKING: [&str; 6] = [
    "/chat/completions",
    "/embeddings",
    "/responses",
    "/responses/input_tokens",
    "/v1/messages",
    "/v1/messages/count_tokens",
];

/// The same of paths that end in a verb.
const ASKING_VERBS: [&str; 7] = [
    "generatecontent",
    "streamgeneratecontent",
    "counttokens",
    "embedcontent",
    "batchembedcontents",
    "rawpredict",
    "streamrawpredict",
];

/// Whether a path that [`locate`] does not know may still ask a model what a protocol here asks one:
/// with another version or place before it, written with other letters, escapes or slashes. Servers
/// read paths more kindly than they are written.
///
/// ```
/// use tollgate_wire::asks_model;
///
/// assert!(asks_model("/openai/deployments/m/chat/completions"));
/// assert!(asks_model("/v1//Responses/"));
/// assert!(!asks_model("/v1/responses/resp_1/cancel"));
/// ```
pub fn asks_model(path: &str) -> bool {
    let path = decoded(path).to_ascii_lowercase();
    let segments = path.split(['/', '\\']).map(str::trim).filter(|segment| !segment.is_empty());
    let path: String = segments.flat_map(|segment| ["/", segment]).collect();
    let verb = path.rsplit_once(':').map_or("", |(_, verb)| verb);
    path == "/messages"
        || ASKING_VERBS.contains(&verb)
        || ASKING.iter().any(|asking| path.ends_with(asking))
}

/// The protocol in which to answer a request that is nobody's: by prefix, headers, or path.
pub(crate) fn guess(path: &str, headers: &HeaderMap) -> Protocol {
    let (_, protocols) = split_prefix(path);
    let mut candidates = protocols.iter().copied();
    candidates
        .clone()
        .find(|&p| dialect(p).claims(headers))
        .or_else(|| candidates.clone().find(|&p| dialect(p).owns(path)))
        .or_else(|| candidates.next())
        .unwrap_or(Protocol::OpenAiChat)
}

/// Returns a model's name as it stands in a path, without the escapes clients put there.
pub(crate) fn decoded(model: &str) -> String {
    percent_decode_str(model).decode_utf8_lossy().into_owned()
}

fn split_prefix(path: &str) -> (usize, &'static [Protocol]) {
    PREFIXES
        .into_iter()
        .find(|(prefix, _)| {
            path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
        .map_or((0, &Protocol::ALL), |(prefix, protocols)| (prefix.len(), protocols))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn located(method: &Method, path: &str, header: Option<&'static str>) -> Option<Located> {
        let mut headers = HeaderMap::new();
        if let Some(name) = header {
            headers.insert(name, HeaderValue::from_static("x"));
        }
        locate(method, path, &headers)
    }

    #[test]
    fn a_shared_path_goes_to_whose_headers_are_there() {
        for (path, header, protocol) in [
            ("/v1/models", None, Protocol::OpenAiChat),
            ("/v1/models", Some("anthropic-version"), Protocol::AnthropicMessages),
            ("/v1/models", Some("x-goog-api-key"), Protocol::Gemini),
            ("/v1/models/gpt-5", None, Protocol::OpenAiChat),
            ("/v1/models/claude", Some("anthropic-version"), Protocol::AnthropicMessages),
            ("/v1beta/models", None, Protocol::Gemini),
            ("/anthropic/v1/models", None, Protocol::AnthropicMessages),
            ("/gemini/v1beta/models", Some("anthropic-version"), Protocol::Gemini),
        ] {
            let located = located(&Method::GET, path, header).expect(path);
            assert_eq!(located.protocol, protocol, "{path} {header:?}");
        }
    }

    #[test]
    fn the_usual_paths_are_found_as_all_others_are() {
        for path in ["/v1/chat/completions", "/v1/responses", "/v1/messages"] {
            for header in [None, Some("anthropic-version"), Some("x-goog-api-key")] {
                let mut headers = HeaderMap::new();
                if let Some(name) = header {
                    headers.insert(name, HeaderValue::from_static("x"));
                }
                let found = look_for(&Method::POST, path, &headers);
                assert_eq!(located(&Method::POST, path, header), found);
                assert_eq!(usual(path), found.map(|found| found.protocol), "{path}");
            }
            assert_eq!(located(&Method::GET, path, None), None);
        }
    }

    #[test]
    fn a_verb_under_v1_models_is_geminis() {
        let located = located(&Method::POST, "/v1/models/g:generateContent", None).unwrap();
        assert_eq!(located.protocol, Protocol::Gemini);
        assert_eq!(located.route.operation, Operation::Generate);
        assert_eq!(located.route.model.as_deref(), Some("g"));
    }

    #[test]
    fn a_path_with_a_verb_describes_no_model() {
        for path in ["/v1beta/models/g:generateContent", "/v1/models/g:countTokens"] {
            for header in [None, Some("x-goog-api-key")] {
                assert_eq!(located(&Method::GET, path, header), None, "{path}");
            }
        }
        let located = located(&Method::GET, "/v1beta/models/qwen3:8b", None).unwrap();
        assert_eq!(located.route.model.as_deref(), Some("qwen3:8b"));
    }

    #[test]
    fn escapes_in_a_models_name_are_undone() {
        for (method, path) in [
            (Method::GET, "/v1/models/openai%2Fgpt-5"),
            (Method::GET, "/anthropic/v1/models/openai%2fgpt-5"),
            (Method::POST, "/v1beta/models/openai%2Fgpt-5:countTokens"),
        ] {
            let located = located(&method, path, None).unwrap();
            assert_eq!(located.route.model.as_deref(), Some("openai/gpt-5"), "{path}");
        }
    }

    #[test]
    fn what_asks_a_model_is_known_however_it_is_written() {
        for path in [
            "/v1/chat/completions/",
            "//v1//responses",
            "/v1/chat%2Fcompletions",
            "/v1/Chat/Completion%73",
            "/v1/messages",
            "/messages",
            "/v1beta/openai/chat/completions",
            "/deployments/m/embeddings",
            "/v2/models/m:generateContent",
            "/v1/projects/p/locations/l/publishers/google/models/m:streamGenerateContent",
            "/v1/projects/p/locations/l/publishers/anthropic/models/m:rawPredict",
        ] {
            assert!(asks_model(path), "{path}");
        }
        for path in [
            "/v1/files",
            "/v1/responses/resp_1",
            "/v1/responses/resp_1/cancel",
            "/v1/threads/t_1/messages",
            "/v1/messages/batches",
            "/v1/images/generations",
            "/v1beta/models/imagen:predict",
            "/",
        ] {
            assert!(!asks_model(path), "{path}");
        }
    }

    #[test]
    fn a_prefix_must_end_where_a_segment_ends() {
        assert_eq!(located(&Method::POST, "/openaix/v1/responses", None), None);
        assert_eq!(located(&Method::POST, "/gemini/v1/messages", None), None);
        let located = located(&Method::POST, "/openai/v1/responses", None).unwrap();
        assert_eq!((located.protocol, located.prefix), (Protocol::OpenAiResponses, 7));
    }

    #[test]
    fn nobodys_request_is_answered_in_the_likeliest_protocol() {
        let none = HeaderMap::new();
        for (path, protocol) in [
            ("/v1/unknown", Protocol::OpenAiChat),
            ("/v1/messages/batches", Protocol::AnthropicMessages),
            ("/v1beta/files", Protocol::Gemini),
            ("/gemini/x", Protocol::Gemini),
            ("/anthropic", Protocol::AnthropicMessages),
            ("/v1/responses/resp_1", Protocol::OpenAiResponses),
        ] {
            assert_eq!(guess(path, &none), protocol, "{path}");
        }
    }
}
