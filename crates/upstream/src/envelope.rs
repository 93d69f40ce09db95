//! What Anthropic's requests are wrapped in where others host its models.

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use tollgate_core::{Class, Frames, Refusal, Transport};
use tollgate_wire::json::{self, Malformed, Object};

const BETA: HeaderName = HeaderName::from_static("anthropic-beta");

/// A request's body as the host takes it.
#[derive(Debug)]
pub(crate) struct Wrapped {
    pub(crate) body: Frames,
    /// The body asked for a stream, which the host wants to see in the path.
    pub(crate) stream: bool,
}

/// Wraps a body for `transport`; `None` for those that take the protocol's own.
///
/// Vertex AI and Bedrock want Anthropic's version in the body and the model in the path only;
/// Bedrock wants no `stream` and the betas of the header as a member. Every other member keeps its
/// bytes. Counting tokens on Vertex AI keeps the model.
pub(crate) fn wrap(
    transport: &Transport,
    path: &str,
    headers: &mut HeaderMap,
    body: &Frames,
) -> Option<Result<Wrapped, Refusal>> {
    let counts = path.ends_with("/count_tokens");
    let host = match transport {
        Transport::VertexAnthropic { .. } if counts => Host { drop: &[], ..VERTEX },
        Transport::VertexAnthropic { .. } => VERTEX,
        Transport::BedrockInvoke { .. } if counts => return Some(Err(cannot_count())),
        Transport::BedrockInvoke { .. } => BEDROCK,
        _ => return None,
    };
    if !path.contains("/messages") {
        return None;
    }
    let betas = if host.betas_in_body { betas(headers) } else { Vec::new() };
    Some(rewrite(&host, &betas, &body.joined()).map_err(|wrong| {
        Refusal::new(Class::InvalidRequest, format!("the body is no JSON object: {wrong}"))
    }))
}

struct Host {
    version: &'static str,
    drop: &'static [&'static str],
    betas_in_body: bool,
}

const VERTEX: Host = Host { version: "vertex-2023-10-16", drop: &["model"], betas_in_body: false };
const BEDROCK: Host =
    Host { version: "bedrock-2023-05-31", drop: &["model", "stream"], betas_in_body: true };

fn rewrite(host: &Host, betas: &[String], text: &Bytes) -> Result<Wrapped, Malformed> {
    let mut stream = false;
    let mut out = format!("{{\"anthropic_version\":\"{}\"", host.version).into_bytes();
    if !betas.is_empty() {
        let betas = serde_json::Value::from(betas.to_vec());
        out.extend_from_slice(format!(",\"anthropic_beta\":{betas}").as_bytes());
    }
    for member in Object::new(text) {
        let (name, value) = member?;
        stream |= name == "stream" && json::boolean(value) == Some(true);
        let ours = name == "anthropic_version" || (name == "anthropic_beta" && !betas.is_empty());
        if ours || host.drop.contains(&&*name) {
            continue;
        }
        out.extend_from_slice(format!(",{}:", serde_json::Value::from(&*name)).as_bytes());
        out.extend_from_slice(value);
    }
    out.push(b'}');
    Ok(Wrapped { body: Bytes::from(out).into(), stream })
}

/// Takes the betas out of the headers.
fn betas(headers: &mut HeaderMap) -> Vec<String> {
    let values = headers.get_all(BETA).iter().filter_map(|value| value.to_str().ok());
    let betas = values.flat_map(|value| value.split(',')).map(str::trim);
    let betas = betas.filter(|beta| !beta.is_empty()).map(str::to_owned).collect();
    headers.remove(BETA);
    betas
}

fn cannot_count() -> Refusal {
    Refusal::new(Class::NotFound, "tokens cannot be counted at this upstream")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str =
        r#"{"model":"claude","max_tokens": 1e1,"stream" : true,"messages":[{"a" : "é"}]}"#;

    fn wrapped(transport: &Transport, path: &str, headers: &mut HeaderMap) -> (String, bool) {
        let body = Frames::from(Bytes::from_static(MESSAGE.as_bytes()));
        let wrapped = wrap(transport, path, headers, &body).unwrap().unwrap();
        (String::from_utf8(wrapped.body.joined().to_vec()).unwrap(), wrapped.stream)
    }

    fn vertex() -> Transport {
        Transport::VertexAnthropic { project: "p".into(), location: "l".into() }
    }

    fn bedrock() -> Transport {
        Transport::BedrockInvoke { region: "r".into() }
    }

    #[test]
    fn vertex_wants_the_version_and_no_model() {
        let (body, stream) = wrapped(&vertex(), "/v1/messages", &mut HeaderMap::new());
        let expected = r#"{"anthropic_version":"vertex-2023-10-16","max_tokens":1e1,"stream":true,"messages":[{"a" : "é"}]}"#;
        assert_eq!((body.as_str(), stream), (expected, true));
        let (body, _) = wrapped(&vertex(), "/v1/messages/count_tokens", &mut HeaderMap::new());
        assert!(body.contains(r#""model":"claude""#));
    }

    #[test]
    fn bedrock_wants_neither_model_nor_stream_and_the_betas_within() {
        let mut headers = HeaderMap::new();
        headers.append(BETA, "a, b".parse().unwrap());
        headers.append(BETA, "c".parse().unwrap());
        let (body, stream) = wrapped(&bedrock(), "/v1/messages", &mut headers);
        let expected = r#"{"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["a","b","c"],"max_tokens":1e1,"messages":[{"a" : "é"}]}"#;
        assert_eq!((body.as_str(), stream), (expected, true));
        assert!(headers.is_empty());
    }

    #[test]
    fn what_cannot_be_wrapped_is_refused_and_others_are_left_alone() {
        let mut headers = HeaderMap::new();
        let broken = Frames::from(Bytes::from_static(b"[1]"));
        assert!(wrap(&vertex(), "/v1/messages", &mut headers, &broken).unwrap().is_err());
        let counting = wrap(&bedrock(), "/v1/messages/count_tokens", &mut headers, &broken);
        assert_eq!(counting.unwrap().unwrap_err().class, Class::NotFound);
        assert!(wrap(&Transport::Native, "/v1/messages", &mut headers, &broken).is_none());
    }
}
