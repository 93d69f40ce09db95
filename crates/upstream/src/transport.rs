//! Where a protocol's requests go at hosts with paths of their own, and what they are wrapped in.
//!
//! Pure functions of a [`Target`] and a request: [`address`] forms the URL, `envelope` the body.

use http::Uri;
use tollgate_core::{Refusal, Target, Transport};
use tollgate_wire::segment;

use crate::url;

/// The operations Azure keeps per deployment; every other is the resource's.
const PER_DEPLOYMENT: [&str; 8] = [
    "/completions",
    "/chat/completions",
    "/embeddings",
    "/audio/transcriptions",
    "/audio/translations",
    "/audio/speech",
    "/images/generations",
    "/images/edits",
];

/// Returns the URL of a request to `target`.
///
/// `path` is the request's in its protocol, without the gateway's prefix; `stream` whether it asks
/// for a stream in its body. Natively this is [`url::join`]. A base URL may end in the path the
/// host's own SDKs add (`/openai`, `/openai/v1`, `/v1`); it is not repeated.
///
/// ```
/// use tollgate_core::{Protocol, Target, Transport};
/// use tollgate_upstream::transport::address;
///
/// let base = "https://name.openai.azure.com".parse().unwrap();
/// let mut target = Target::new("azure", Protocol::OpenAiChat, "my-gpt", base);
/// target.transport = Transport::AzureDeployments { api_version: "2024-10-21".into() };
/// let url = address(&target, "/v1/chat/completions", None, false).unwrap();
/// assert_eq!(
///     url,
///     "https://name.openai.azure.com/openai/deployments/my-gpt/chat/completions\
///      ?api-version=2024-10-21"
/// );
/// ```
///
/// Errors: the path is [unsafe](url::Unsafe), or the model's name cannot stand in one.
pub fn address(
    target: &Target,
    path: &str,
    query: Option<&str>,
    stream: bool,
) -> Result<Uri, Refusal> {
    if target.transport == Transport::Native {
        return Ok(url::join(&target.base_url, target.protocol, path, query)?);
    }
    url::check(path)?;
    let model = || segment::one(&target.model);
    let (path, version) = match &target.transport {
        Transport::AzureV1 => (format!("/openai/v1{}", unversioned(path)), None),
        Transport::AzureDeployments { api_version } => {
            (deployment(&model()?, unversioned(path)), Some(&**api_version))
        }
        Transport::VertexAnthropic { project, location } => {
            (anthropic_on_vertex(project, location, &model()?, path, stream), None)
        }
        Transport::VertexGemini { project, location } => {
            (gemini_on_vertex(project, location, path), None)
        }
        Transport::BedrockInvoke { .. } => (invoke(&model()?, path, stream), None),
        Transport::BedrockConverse { .. } => (path.to_owned(), None),
        _ => return Ok(url::join(&target.base_url, target.protocol, path, query)?),
    };
    let root = url::root_without(&target.base_url, &["/openai/v1", "/openai", "/v1beta1", "/v1"]);
    Ok(url::assemble(&target.base_url, format!("{root}{path}"), query, version)?)
}

/// The address of a host that needs no configured one: Vertex AI's and Amazon Bedrock's follow from
/// where they run. `None` for the others.
pub fn base_url(transport: &Transport) -> Option<Uri> {
    let text = match transport {
        Transport::VertexAnthropic { location, .. } | Transport::VertexGemini { location, .. } => {
            match &**location {
                "global" => "https://aiplatform.googleapis.com".to_owned(),
                "us" | "eu" => format!("https://aiplatform.{location}.rep.googleapis.com"),
                region => format!("https://{region}-aiplatform.googleapis.com"),
            }
        }
        Transport::BedrockInvoke { region } | Transport::BedrockConverse { region } => {
            format!("https://bedrock-runtime.{region}.amazonaws.com")
        }
        _ => return None,
    };
    text.parse().ok()
}

/// The path below the protocol's version.
fn unversioned(path: &str) -> &str {
    match path.strip_prefix("/v1") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => path,
    }
}

fn deployment(model: &str, path: &str) -> String {
    if PER_DEPLOYMENT.contains(&path) {
        format!("/openai/deployments/{model}{path}")
    } else {
        format!("/openai{path}")
    }
}

fn on_vertex(version: &str, project: &str, location: &str, publisher: &str) -> String {
    let (project, location) = (segment::escaped(project), segment::escaped(location));
    format!("/{version}/projects/{project}/locations/{location}/publishers/{publisher}/models")
}

fn anthropic_on_vertex(
    project: &str,
    location: &str,
    model: &str,
    path: &str,
    stream: bool,
) -> String {
    let models = on_vertex("v1", project, location, "anthropic");
    match unversioned(path) {
        "/messages" if stream => format!("{models}/{model}:streamRawPredict"),
        "/messages" => format!("{models}/{model}:rawPredict"),
        "/messages/count_tokens" => format!("{models}/count-tokens:rawPredict"),
        other => format!("/v1{other}"),
    }
}

/// The model and verb stand in the path already, aimed at the target.
fn gemini_on_vertex(project: &str, location: &str, path: &str) -> String {
    let models = on_vertex("v1beta1", project, location, "google");
    match path.split_once("/models/") {
        Some((_, called)) => format!("{models}/{called}"),
        None => path.to_owned(),
    }
}

fn invoke(model: &str, path: &str, stream: bool) -> String {
    match unversioned(path) {
        "/messages" if stream => format!("/model/{model}/invoke-with-response-stream"),
        "/messages" => format!("/model/{model}/invoke"),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tollgate_core::Protocol::{self, AnthropicMessages, Gemini, OpenAiChat, OpenAiResponses};

    use super::*;

    fn at(base: &str, protocol: Protocol, model: &str, transport: Transport) -> Target {
        let mut target = Target::new("p", protocol, model, base.parse().unwrap());
        target.transport = transport;
        target
    }

    fn path(target: &Target, path: &str, stream: bool) -> String {
        address(target, path, None, stream).unwrap().path_and_query().unwrap().to_string()
    }

    #[test]
    fn azures_v1_is_reached_from_any_spelling_of_its_base() {
        for base in ["https://n.openai.azure.com", "https://n.openai.azure.com/openai/v1/"] {
            let target = at(base, OpenAiResponses, "d", Transport::AzureV1);
            assert_eq!(path(&target, "/v1/responses", false), "/openai/v1/responses");
            assert_eq!(path(&target, "/responses", false), "/openai/v1/responses");
        }
    }

    #[test]
    fn azures_deployments_stand_in_the_path() {
        let transport = Transport::AzureDeployments { api_version: "2024-12-01-preview".into() };
        let target = at("https://n.openai.azure.com/openai", OpenAiChat, "gpt-4o", transport);
        for (asked, query, expected) in [
            (
                "/v1/chat/completions",
                None,
                "/openai/deployments/gpt-4o/chat/completions?api-version=2024-12-01-preview",
            ),
            (
                "/v1/embeddings",
                Some("a=1"),
                "/openai/deployments/gpt-4o/embeddings?a=1&api-version=2024-12-01-preview",
            ),
            ("/v1/responses", Some("api-version=x"), "/openai/responses?api-version=x"),
        ] {
            let url = address(&target, asked, query, false).unwrap();
            assert_eq!(url.path_and_query().unwrap(), expected);
        }
    }

    #[test]
    fn a_deployments_name_stays_one_segment() {
        let transport = Transport::AzureDeployments { api_version: "1".into() };
        let target = at("https://n", OpenAiChat, "a/b c", transport);
        let expected = "/openai/deployments/a%2Fb%20c/chat/completions?api-version=1";
        assert_eq!(path(&target, "/v1/chat/completions", false), expected);
    }

    #[test]
    fn fault_61_a_model_that_climbs_goes_nowhere() {
        let azure = Transport::AzureDeployments { api_version: "1".into() };
        let vertex = Transport::VertexAnthropic { project: "P".into(), location: "us".into() };
        let bedrock = Transport::BedrockInvoke { region: "us-east-1".into() };
        for (protocol, transport, asked) in [
            (OpenAiChat, azure, "/v1/chat/completions"),
            (AnthropicMessages, vertex, "/v1/messages"),
            (AnthropicMessages, bedrock, "/v1/messages"),
        ] {
            for model in ["..", "a/../b", "m\r\nx"] {
                let target = at("https://n", protocol, model, transport.clone());
                let refusal = address(&target, asked, None, false).unwrap_err();
                assert_eq!(refusal.param.as_deref(), Some("model"), "{model}");
            }
        }
    }

    #[test]
    fn vertex_paths_are_those_recorded() {
        let transport =
            Transport::VertexAnthropic { project: "P".into(), location: "us-east5".into() };
        let model = "claude-3-7-sonnet@20250219";
        let base = base_url(&transport).unwrap().to_string();
        assert_eq!(base, "https://us-east5-aiplatform.googleapis.com/");
        let target = at(&base, AnthropicMessages, model, transport);
        let models = "/v1/projects/P/locations/us-east5/publishers/anthropic/models";
        assert_eq!(path(&target, "/v1/messages", false), format!("{models}/{model}:rawPredict"));
        let streamed = format!("{models}/{model}:streamRawPredict");
        assert_eq!(path(&target, "/v1/messages", true), streamed);
        let counted = format!("{models}/count-tokens:rawPredict");
        assert_eq!(path(&target, "/v1/messages/count_tokens", false), counted);

        let transport = Transport::VertexGemini { project: "P".into(), location: "global".into() };
        let base = base_url(&transport).unwrap().to_string();
        let target = at(&base, Gemini, "gemini-2.5-flash", transport);
        let asked = "/v1beta/models/gemini-2.5-flash:streamGenerateContent";
        let url = address(&target, asked, Some("alt=sse&key=k"), true).unwrap();
        assert_eq!(
            url,
            "https://aiplatform.googleapis.com/v1beta1/projects/P/locations/global/publishers/\
             google/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
        );
    }

    #[test]
    fn bedrock_paths_are_those_recorded() {
        let transport = Transport::BedrockInvoke { region: "us-east-1".into() };
        let base = base_url(&transport).unwrap().to_string();
        assert_eq!(base, "https://bedrock-runtime.us-east-1.amazonaws.com/");
        let target = at(&base, AnthropicMessages, "us.anthropic.claude-haiku-4-5-v1:0", transport);
        let model = "/model/us.anthropic.claude-haiku-4-5-v1%3A0";
        assert_eq!(path(&target, "/v1/messages", false), format!("{model}/invoke"));
        let streamed = format!("{model}/invoke-with-response-stream");
        assert_eq!(path(&target, "/v1/messages", true), streamed);

        let transport = Transport::BedrockConverse { region: "us-east-1".into() };
        let target = at(&base, AnthropicMessages, "m", transport);
        assert_eq!(path(&target, "/model/m/converse", false), "/model/m/converse");
    }

    #[test]
    fn a_path_that_climbs_goes_nowhere() {
        let target = at("https://n", OpenAiChat, "d", Transport::AzureV1);
        assert_eq!(address(&target, "/v1/../x", None, false), Err(url::Unsafe.into()));
    }
}
