//! Which protocol and operation a request is.

use http::{HeaderMap, Method, Uri};
use tollgate_core::Protocol;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// Model, for Gemini; streamed; as an array.
    Generate {
        model: String,
        stream: bool,
        array: bool,
    },
    Embed {
        model: String,
        batch: bool,
    },
    Count {
        model: String,
    },
    Models,
    Model(String),
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) protocol: Protocol,
    pub(crate) doing: Doing,
}

impl Place {
    pub(crate) fn of(method: &Method, uri: &Uri, headers: &HeaderMap) -> Self {
        let path = uri.path().trim_start_matches('/');
        let (version, rest) = match path.split_once('/') {
            Some((version @ ("v1" | "v1beta"), rest)) => (version, rest),
            _ => ("", path),
        };
        let protocol = speaker(version, rest, uri, headers);
        let doing = match *method {
            Method::POST => posted(rest, uri),
            Method::GET => asked(rest),
            _ => Doing::Unknown,
        };
        Self { protocol, doing }
    }
}

fn speaker(version: &str, rest: &str, uri: &Uri, headers: &HeaderMap) -> Protocol {
    let google = headers.contains_key("x-goog-api-key") || query(uri, "key").is_some();
    match rest {
        _ if rest.starts_with("messages") => Protocol::AnthropicMessages,
        _ if rest.starts_with("responses") => Protocol::OpenAiResponses,
        _ if rest.starts_with("models/") && rest.contains(':') => Protocol::Gemini,
        _ if version == "v1beta" || google => Protocol::Gemini,
        _ if headers.contains_key("anthropic-version") => Protocol::AnthropicMessages,
        _ => Protocol::OpenAiChat,
    }
}

fn posted(rest: &str, uri: &Uri) -> Doing {
    let plain = || String::new();
    let generate = || Doing::Generate { model: plain(), stream: false, array: false };
    match rest {
        "chat/completions" | "responses" | "messages" => generate(),
        "embeddings" => Doing::Embed { model: plain(), batch: false },
        "responses/input_tokens" | "messages/count_tokens" => Doing::Count { model: plain() },
        _ => verb(rest, uri).unwrap_or(Doing::Unknown),
    }
}

/// `models/{model}:verb`; a model's name may hold slashes and colons.
fn verb(rest: &str, uri: &Uri) -> Option<Doing> {
    let (model, verb) = rest.strip_prefix("models/")?.rsplit_once(':')?;
    let model = model.to_owned();
    Some(match verb {
        "generateContent" => Doing::Generate { model, stream: false, array: false },
        "streamGenerateContent" => {
            Doing::Generate { model, stream: true, array: query(uri, "alt") != Some("sse") }
        }
        "countTokens" => Doing::Count { model },
        "embedContent" => Doing::Embed { model, batch: false },
        "batchEmbedContents" => Doing::Embed { model, batch: true },
        _ => return None,
    })
}

fn asked(rest: &str) -> Doing {
    match rest.strip_prefix("models/") {
        Some(id) if !id.is_empty() => Doing::Model(id.to_owned()),
        None if rest == "models" => Doing::Models,
        _ => Doing::Unknown,
    }
}

pub(crate) fn query<'a>(uri: &'a Uri, key: &str) -> Option<&'a str> {
    let pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(name, _)| *name == key).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: &str) -> Place {
        let (method, uri) = line.split_once(' ').unwrap();
        Place::of(&method.parse().unwrap(), &uri.parse().unwrap(), &HeaderMap::new())
    }

    #[test]
    fn paths_say_what_is_asked() {
        let chat = place("POST /chat/completions");
        assert_eq!(chat, place("POST /v1/chat/completions"));
        assert_eq!(chat.protocol, Protocol::OpenAiChat);
        let gemini = place("POST /v1beta/models/a/b:c:streamGenerateContent?alt=sse");
        let doing = Doing::Generate { model: "a/b:c".into(), stream: true, array: false };
        assert_eq!(gemini, Place { protocol: Protocol::Gemini, doing });
        assert_eq!(place("GET /v1/models/a/b").doing, Doing::Model("a/b".into()));
        assert_eq!(place("GET /v1/files").doing, Doing::Unknown);
    }
}
