//! Gemini generateContent.

mod aim;
mod content;
mod error;
mod stream;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Value, json};
use tollgate_core::{Body, Call, Operation, Protocol, Refusal};

use self::stream::GenerateStream;
use crate::{
    Automaton, Dialect, Fault, ModelCard, Rendered, Route,
    content::{Content, Medium},
    json::{self, Object},
    members,
    path::decoded,
    peek::Peek,
};

/// The dialect of `/v1beta/models/{model}:generateContent`.
///
/// The model stands in the path and may contain slashes and colons; a tuned model keeps its
/// `tunedModels/`. A name with a slash is understood without `models/` too.
///
/// ```
/// use tollgate_wire::{Dialect, gemini::Gemini};
///
/// let path = "/v1beta/models/google%2Fgemini-2.5-pro:streamGenerateContent";
/// let route = Gemini.route(&http::Method::POST, path).unwrap();
/// assert_eq!(route.model.as_deref(), Some("google/gemini-2.5-pro"));
/// assert!(route.stream);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Gemini;

impl Dialect for Gemini {
    fn protocol(&self) -> Protocol {
        Protocol::Gemini
    }

    fn route(&self, method: &Method, path: &str) -> Option<Route> {
        match method.as_str() {
            "POST" => verb_route(path),
            "GET" => list_route(unversioned(path)?.strip_prefix("models")?),
            _ => None,
        }
    }

    fn claims(&self, headers: &HeaderMap) -> bool {
        headers.contains_key("x-goog-api-key") || headers.contains_key("x-goog-api-client")
    }

    fn owns(&self, path: &str) -> bool {
        path.starts_with("/v1beta/") || path.starts_with("/v1alpha/")
    }

    fn streams_an_array(&self, query: &str) -> bool {
        !query.split('&').any(|pair| pair == "alt=sse")
    }

    fn aim(&self, request: &mut Request<Body>, model: &str) -> Result<(), Refusal> {
        aim::aim(request, model)
    }

    fn reads_member(&self, key: &str) -> bool {
        matches!(
            key,
            "generationConfig"
                | "generation_config"
                | "tools"
                | "cachedContent"
                | "cached_content"
                | "serviceTier"
                | "service_tier"
        )
    }

    fn read_member(&self, key: &str, value: &[u8], peek: &mut Peek) -> Result<(), String> {
        match key {
            "tools" => members::tools(value, peek),
            "serviceTier" | "service_tier" => members::tier(value, peek),
            "cachedContent" | "cached_content" => peek.needs.state |= !json::is_blank(value),
            _ => Object::new(value)
                .map_while(Result::ok)
                .for_each(|(key, value)| read_config(&key, value, peek)),
        }
        Ok(())
    }

    fn read_content(&self, key: &str, value: &[u8], content: &mut Content) {
        content::read(key, value, content);
    }

    fn marks(&self, medium: Medium) -> &'static [&'static str] {
        match medium {
            Medium::Images => &["image/"],
            Medium::Audio => &["audio/"],
            Medium::Video => &["video/"],
            Medium::Documents => &["application/"],
            Medium::Reasoning => &["thoughtSignature", "thought_signature"],
        }
    }

    fn turns(&self) -> (&'static str, &'static str) {
        ("contents", "parts")
    }

    fn automaton(&self, call: &Call) -> Box<dyn Automaton> {
        Box::new(GenerateStream::new(call.candidates))
    }

    fn classify(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
        error::classify(status, headers, body)
    }

    fn error_in_answer(&self, answer: Object<'_>) -> Option<Fault> {
        error::in_answer(answer)
    }

    fn render(&self, fault: &Fault, id: &str) -> Rendered {
        error::render(fault, id)
    }

    fn keep_alive(&self) -> Option<&'static [u8]> {
        None
    }

    fn request_id_header(&self) -> &'static str {
        error::REQUEST_ID
    }

    fn render_models(&self, models: &[ModelCard]) -> Bytes {
        let models: Vec<_> = models.iter().map(model).collect();
        json!({ "models": models }).to_string().into()
    }

    fn render_model(&self, card: &ModelCard) -> Bytes {
        model(card).to_string().into()
    }
}

/// The versions its paths begin with.
const VERSIONS: [&str; 3] = ["/v1beta/", "/v1/", "/v1alpha/"];

fn unversioned(path: &str) -> Option<&str> {
    VERSIONS.iter().find_map(|version| path.strip_prefix(version))
}

/// `/{version}/models/{model}:{verb}`; the last colon divides.
fn verb_route(path: &str) -> Option<Route> {
    let rest = unversioned(path)?;
    let (name, verb) = rest.split_at(memchr::memrchr(b':', rest.as_bytes())?);
    let (operation, stream) = match &verb[1..] {
        "generateContent" => (Operation::Generate, false),
        "streamGenerateContent" => (Operation::Generate, true),
        "countTokens" => (Operation::CountTokens, false),
        "embedContent" | "batchEmbedContents" => (Operation::Embed, false),
        _ => return None,
    };
    let model = model_of(name)?;
    Some(Route { operation, model: Some(decoded(model)), stream })
}

/// The model of a resource name. Some clients take a name with a slash for one.
fn model_of(name: &str) -> Option<&str> {
    let (directory, id) = name.split_once('/')?;
    match directory {
        _ if directory.is_empty() || id.is_empty() => None,
        "models" => Some(id),
        "projects" => None,
        _ => Some(name),
    }
}

fn list_route(rest: &str) -> Option<Route> {
    let (operation, model) = match rest {
        "" => (Operation::ListModels, None),
        // What a model was asked to do in its own time.
        _ if rest.contains("/operations/") => return None,
        _ => (Operation::GetModel, Some(rest.strip_prefix('/').filter(|id| !id.is_empty())?)),
    };
    Some(Route { operation, model: model.map(decoded), stream: false })
}

fn read_config(key: &str, value: &[u8], peek: &mut Peek) {
    match key {
        "maxOutputTokens" | "max_output_tokens" => members::limit(value, peek),
        "candidateCount" | "candidate_count" => members::candidates(value, peek),
        "responseMimeType" | "response_mime_type" => {
            peek.needs.structured_output |=
                json::string(value).is_some_and(|mime| mime != "text/plain" && !mime.is_empty());
        }
        "responseSchema"
        | "response_schema"
        | "responseJsonSchema"
        | "response_json_schema"
        | "_responseJsonSchema" => {
            peek.needs.structured_output |= !json::is_null(value);
            peek.needs.schema |= !json::is_null(value);
        }
        "thinkingConfig" | "thinking_config" => peek.needs.reasoning |= asks_thinking(value),
        _ => {}
    }
}

/// A budget of 0 switches thinking off.
fn asks_thinking(config: &[u8]) -> bool {
    let off = ["thinkingBudget", "thinking_budget"]
        .iter()
        .filter_map(|key| json::member(config, key))
        .any(|budget| json::integer(budget) == Some(0));
    config.starts_with(b"{") && !json::is_blank(config) && !off
}

fn model(card: &ModelCard) -> Value {
    let mut model = json!({
        "name": format!("models/{}", card.id),
        "displayName": card.display_name.as_ref().unwrap_or(&card.id),
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    });
    for (key, limit) in
        [("inputTokenLimit", card.max_input_tokens), ("outputTokenLimit", card.max_output_tokens)]
    {
        if let Some(limit) = limit {
            model[key] = limit.into();
        }
    }
    model
}

#[cfg(test)]
mod tests {
    use tollgate_core::Frames;

    use super::*;
    use crate::peek::peek;

    fn read(body: &'static str) -> Peek {
        peek(&Gemini, &Frames::new(vec![body.into()])).unwrap()
    }

    fn post(path: &str) -> Option<(Operation, String, bool)> {
        let route = Gemini.route(&Method::POST, path)?;
        Some((route.operation, route.model?, route.stream))
    }

    #[test]
    fn the_path_names_operation_model_and_stream() {
        for (verb, operation, stream) in [
            ("generateContent", Operation::Generate, false),
            ("streamGenerateContent", Operation::Generate, true),
            ("countTokens", Operation::CountTokens, false),
            ("embedContent", Operation::Embed, false),
            ("batchEmbedContents", Operation::Embed, false),
        ] {
            for version in ["v1", "v1beta", "v1alpha"] {
                let seen = post(&format!("/{version}/models/gemini:{verb}"));
                assert_eq!(seen, Some((operation, "gemini".into(), stream)));
            }
        }
    }

    #[test]
    fn a_model_may_have_slashes_and_colons() {
        for path in ["a/b:free", "a%2Fb%3Afree", "a%2fb%3afree"] {
            let seen = post(&format!("/v1beta/models/{path}:generateContent")).unwrap();
            assert_eq!(seen.1, "a/b:free");
        }
        let tuned = post("/v1beta/tunedModels/x:generateContent").unwrap();
        assert_eq!(tuned.1, "tunedModels/x");
    }

    #[test]
    fn a_name_with_a_slash_needs_no_directory() {
        for path in ["/v1beta/openai/gpt-5:generateContent", "/v1/openai/gpt-5:countTokens"] {
            assert_eq!(post(path).unwrap().1, "openai/gpt-5", "{path}");
        }
    }

    #[test]
    fn other_paths_are_none_of_its() {
        for path in [
            "/v1beta/models/x:predict",
            "/v1beta/models/:generateContent",
            "/v1beta/tunedModels/:generateContent",
            "/v1beta/models",
            "/v2/models/x:generateContent",
            "/v1beta/x:generateContent",
            "/v1beta/projects/p/locations/l/publishers/google/models/x:generateContent",
        ] {
            assert_eq!(post(path), None, "{path}");
        }
        assert!(Gemini.route(&Method::GET, "/v1beta/modelsx").is_none());
        assert!(Gemini.route(&Method::GET, "/v1beta/models/veo/operations/o1").is_none());
        let list = Gemini.route(&Method::GET, "/v1beta/models").unwrap();
        assert_eq!(list.operation, Operation::ListModels);
        let one = Gemini.route(&Method::GET, "/v1beta/models/a/b").unwrap();
        assert_eq!((one.operation, one.model.as_deref()), (Operation::GetModel, Some("a/b")));
    }

    #[test]
    fn reads_its_configuration_in_both_spellings() {
        let camel = read(
            r#"{"generationConfig":{"maxOutputTokens":"7","candidateCount":2,
               "responseJsonSchema":{},"thinkingConfig":{"thinkingBudget":-1}},
               "tools":[{"googleSearch":{}}]}"#,
        );
        assert_eq!((camel.output_limit, camel.candidates), (Some(7), Some(2)));
        assert!(camel.needs.tools && camel.needs.structured_output && camel.needs.reasoning);
        let snake = read(
            r#"{"generation_config":{"max_output_tokens":7,"candidate_count":2,
               "response_schema":{},"thinking_config":{"thinking_budget":1}},"tools":[{}]}"#,
        );
        assert_eq!(snake, camel);
        let plain = r#"{"generationConfig":{"maxOutputTokens":-1,"responseMimeType":"text/plain",
            "thinkingConfig":{"thinkingBudget":0}}}"#;
        assert_eq!(read(plain), Peek::default());
    }

    #[test]
    fn models_are_listed_under_their_resource_names() {
        let card = ModelCard { id: "g".into(), max_output_tokens: Some(5), ..Default::default() };
        let list: Value = serde_json::from_slice(&Gemini.render_models(&[card])).unwrap();
        let expected = json!({"name":"models/g","displayName":"g","outputTokenLimit":5,
            "supportedGenerationMethods":["generateContent","countTokens"]});
        assert_eq!(list, json!({ "models": [expected] }));
    }
}
