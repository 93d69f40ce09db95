//! Sets the model of a Gemini request: in the path, and where an embedding or a token count names
//! it again in the body.

use std::ops::Range;

use bytes::Bytes;
use http::{Request, Uri};
use tollgate_core::{Body, Call, Frames, Operation, Refusal};

use super::VERSIONS;
use crate::{
    aim::{no_model, quoted, with_path},
    json::{self, Array, Object},
    segment,
};

pub(super) fn aim(request: &mut Request<Body>, model: &str) -> Result<(), Refusal> {
    let name = match model.starts_with("tunedModels/") {
        true => model.to_owned(),
        false => format!("models/{model}"),
    };
    let segments = segment::each(&name)?;
    *request.uri_mut() = renamed(request.uri(), &segments).ok_or_else(no_model)?;
    let operation = request.extensions().get::<Call>().map(|call| call.operation);
    if matches!(operation, Some(Operation::Embed | Operation::CountTokens)) {
        rename_inside(request.body_mut(), &name);
    }
    Ok(())
}

/// `…/{version}/{name}:{verb}` with another name.
fn renamed(uri: &Uri, name: &str) -> Option<Uri> {
    let path = uri.path();
    let (head, verb) = path.rsplit_once(':')?;
    let start = resource(head)?;
    with_path(uri, &format!("{}/{name}:{verb}", &head[..start]))
}

/// Where the slash before a model's resource name stands: behind the version, which is the first
/// that looks like one. Another belongs to the name.
fn resource(head: &str) -> Option<usize> {
    let directory = ["/models/", "/tunedModels/"].iter().filter_map(|dir| head.find(dir)).min();
    let version = VERSIONS.iter().filter_map(|v| Some(head.find(v)? + v.len() - 1));
    match version.min() {
        // A name without a directory of its own may have one inside.
        Some(end) if directory.is_none_or(|at| at > end) => Some(end),
        _ => directory,
    }
}

/// Batches and counts repeat the model in each part; an upstream refuses another than the path's.
fn rename_inside(body: &mut Body, name: &str) {
    let Some(frames) = body.frames() else { return };
    let text = frames.joined();
    let mut renamed = Frames::from(text.clone());
    let other = |at: &Range<usize>| json::string(&text[at.clone()]).is_none_or(|old| old != name);
    for at in inner_names(&text).into_iter().rev().filter(other) {
        renamed = renamed.splice(at, quoted(name));
    }
    body.set_frames(renamed);
}

/// Where `model`, `requests[].model` and `generateContentRequest.model` stand, in order.
fn inner_names(text: &Bytes) -> Vec<Range<usize>> {
    let mut names = Vec::new();
    for (key, value) in Object::new(text).map_while(Result::ok) {
        match &*key {
            "model" => names.push(value),
            "requests" => {
                let requests = Array::new(value).map_while(Result::ok);
                names.extend(requests.filter_map(|request| json::member(request, "model")));
            }
            "generateContentRequest" | "generate_content_request" => {
                names.extend(json::member(value, "model"));
            }
            _ => {}
        }
    }
    names.into_iter().map(|name| span(text, name)).collect()
}

/// Where `part`, a slice of `text`, stands in it.
fn span(text: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr() as usize - text.as_ptr() as usize;
    start..start + part.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(operation: Operation, uri: &'static str, body: &'static str) -> Request<Body> {
        let mut request = Request::post(uri).body(Body::from(body)).unwrap();
        request.extensions_mut().insert(Call::new(tollgate_core::Protocol::Gemini, operation));
        request
    }

    fn aimed(operation: Operation, uri: &'static str, body: &'static str) -> (String, Bytes) {
        let mut request = asked(operation, uri, body);
        aim(&mut request, "new/m").unwrap();
        (request.uri().to_string(), request.body().frames().unwrap().joined())
    }

    #[test]
    fn the_path_names_the_model_and_keeps_the_rest() {
        for (uri, expected) in [
            ("/v1beta/models/old:generateContent", "/v1beta/models/new/m:generateContent"),
            (
                "/gemini/v1/models/a%2Fb:countTokens?alt=x",
                "/gemini/v1/models/new/m:countTokens?alt=x",
            ),
            ("/v1alpha/old/m:generateContent", "/v1alpha/models/new/m:generateContent"),
            ("/v1beta/tunedModels/t:generateContent", "/v1beta/models/new/m:generateContent"),
            (
                "/gemini/v1beta/openai/gpt-5:generateContent",
                "/gemini/v1beta/models/new/m:generateContent",
            ),
            ("/v1beta/a/models/b:generateContent", "/v1beta/models/new/m:generateContent"),
            ("/v1beta/a/v1/b:generateContent", "/v1beta/models/new/m:generateContent"),
            ("/v1beta/a/tunedModels/v1/b:generateContent", "/v1beta/models/new/m:generateContent"),
            ("/v1/models/models/v1/b:generateContent", "/v1/models/new/m:generateContent"),
        ] {
            assert_eq!(aimed(Operation::Generate, uri, "{}").0, expected);
        }
    }

    #[test]
    fn fault_61_a_models_name_says_nothing_else_of_the_path() {
        let asked = || asked(Operation::Generate, "/v1beta/models/old:generateContent?a=b", "{}");
        for (model, expected) in [
            ("m:countTokens?x=", "m%3AcountTokens%3Fx%3D"),
            ("m\\%2e#", "m%5C%252e%23"),
            ("m@1/é", "m@1/%C3%A9"),
        ] {
            let mut request = asked();
            aim(&mut request, model).unwrap();
            let expected = format!("/v1beta/models/{expected}:generateContent?a=b");
            assert_eq!(request.uri().to_string(), expected);
        }
        for model in ["..", "a/../b", "m\r\nx: y"] {
            let refusal = aim(&mut asked(), model).unwrap_err();
            assert_eq!(refusal.param.as_deref(), Some("model"), "{model:?}");
        }
    }

    #[test]
    fn names_inside_batches_and_counts_follow() {
        let uri = "/v1beta/models/old:batchEmbedContents";
        let body = r#"{"requests": [{"model":"models/old","content":{}}, {"content":{}},{"model":"models/old"}]}"#;
        let (_, body) = aimed(Operation::Embed, uri, body);
        let expected = r#"{"requests": [{"model":"models/new/m","content":{}}, {"content":{}},{"model":"models/new/m"}]}"#;
        assert_eq!(body, expected);
        let count = r#"{"generateContentRequest":{"model":"models/old","contents":[]}}"#;
        let (_, body) = aimed(Operation::CountTokens, "/v1beta/models/old:countTokens", count);
        assert_eq!(body, r#"{"generateContentRequest":{"model":"models/new/m","contents":[]}}"#);
    }

    #[test]
    fn a_generation_keeps_its_body() {
        let body = r#"{"model":"models/old"}"#;
        let (_, kept) = aimed(Operation::Generate, "/v1beta/models/old:generateContent", body);
        assert_eq!(kept, body);
    }
}
