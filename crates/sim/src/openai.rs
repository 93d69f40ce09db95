//! What Chat Completions and Responses share: errors, embeddings, model lists.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_core::Class;

use crate::{
    ask::{Bad, read, tokens},
    dialect::Fault,
    embed::vector,
    json::{Json, Null, json},
};

struct Words {
    status: u16,
    kind: &'static str,
    code: &'static str,
    message: &'static str,
}

fn words(class: Class) -> Words {
    let (status, kind, code, message) = match class {
        Class::Auth => (401, INVALID, "invalid_api_key", "Incorrect API key provided."),
        Class::Permission => (
            403,
            "request_forbidden",
            "unsupported_country_region_territory",
            "Country, region, or territory not supported",
        ),
        Class::NotFound => (404, INVALID, "model_not_found", "The model does not exist."),
        Class::RateLimit => {
            (429, "requests", "rate_limit_exceeded", "Rate limit reached. Please try again in 2s.")
        }
        Class::Quota => (
            429,
            "insufficient_quota",
            "insufficient_quota",
            "You exceeded your current quota, please check your plan and billing details.",
        ),
        Class::Overloaded => {
            (503, "server_error", "server_is_overloaded", "The server is currently overloaded.")
        }
        Class::ContextLength => (
            400,
            INVALID,
            "context_length_exceeded",
            "This model's maximum context length is 8192 tokens. Please reduce the length of the messages.",
        ),
        Class::TooLarge => (413, INVALID, "request_too_large", "The request is too large."),
        Class::ContentPolicy => (
            400,
            INVALID,
            "content_policy_violation",
            "Your request was rejected as a result of our safety system.",
        ),
        Class::InvalidRequest => {
            (400, INVALID, "unsupported_parameter", "Unsupported parameter in the request.")
        }
        Class::Conflict => (409, INVALID, "conflict", "The resource is in use."),
        Class::Timeout => (504, "server_error", "timeout", "The request timed out."),
        Class::Cancelled => (499, INVALID, "cancelled", "The request was cancelled."),
        _ => (500, "server_error", "server_error", "The server had an error."),
    };
    Words { status, kind, code, message }
}

const INVALID: &str = "invalid_request_error";

/// The code of what has no better one.
pub(crate) const INVALID_VALUE: &str = "invalid_value";

/// Status and body of an error.
pub(crate) fn error(fault: &Fault) -> (u16, Json) {
    (words(fault.class).status, json! {"error": inner(fault)})
}

/// The error itself, as it also stands in a Chat stream.
pub(crate) fn inner(fault: &Fault) -> Json {
    let words = words(fault.class);
    json! {
        "message": fault.message(words.message),
        "type": words.kind,
        "param": fault.param,
        "code": fault.code.unwrap_or(words.code),
    }
}

/// Code and message of an error, as they stand in a failed response.
pub(crate) fn short(fault: &Fault) -> Json {
    let words = words(fault.class);
    json! {"code": fault.code.unwrap_or(words.code), "message": fault.message(words.message)}
}

pub(crate) fn bad(bad: Bad) -> Fault {
    let invalid =
        |code, message| Fault { code: Some(code), ..Fault::saying(Class::InvalidRequest, message) };
    match bad {
        Bad::Syntax(error) => invalid(
            "invalid_json",
            format!("We could not parse the JSON body of your request: {error}"),
        ),
        Bad::Missing(param) => Fault {
            param: Some(param.to_owned()),
            ..invalid(
                "missing_required_parameter",
                format!("Missing required parameter: '{param}'."),
            )
        },
        Bad::Value(error) => invalid("invalid_type", format!("Invalid request: {error}")),
    }
}

#[derive(Deserialize)]
struct Embedding<'a> {
    model: Option<String>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    encoding_format: Option<String>,
    dimensions: Option<usize>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    Lists(Vec<Vec<u32>>),
}

/// Answers `POST /v1/embeddings`: the answer, the model and its input tokens.
pub(crate) fn embed(body: &[u8]) -> Result<(Json, String, u64), Bad> {
    let ask: Embedding<'_> = read(body)?;
    let model = ask.model.ok_or(Bad::Missing("model"))?;
    let input = serde_json::from_str(ask.input.ok_or(Bad::Missing("input"))?.get());
    let input = match input.map_err(|_| Bad::Value("input: expected text or tokens".into()))? {
        Input::Text(text) => vec![(tokens(text.len()), text)],
        Input::Texts(texts) => texts.into_iter().map(|t| (tokens(t.len()), t)).collect(),
        Input::Tokens(list) => vec![(list.len() as u64, format!("{list:?}"))],
        Input::Lists(lists) => lists.iter().map(|l| (l.len() as u64, format!("{l:?}"))).collect(),
    };
    if input.iter().any(|(_, text)| text.is_empty()) || input.is_empty() {
        return Err(Bad::Value("'$.input' is invalid: it is empty".into()));
    }
    let dimensions = crate::embed::dimensions(ask.dimensions, 1536)?;
    let base64 = ask.encoding_format.as_deref() == Some("base64");
    let data = input.iter().enumerate().map(|(n, (_, text))| {
        let vector = vector(text, dimensions);
        let embedding = if base64 { packed(&vector) } else { Json::list(vector) };
        json! {"object": "embedding", "index": n, "embedding": embedding}
    });
    let used = input.iter().map(|(tokens, _)| tokens).sum::<u64>();
    let usage = json! {"prompt_tokens": used, "total_tokens": used};
    let data = Json::list(data);
    Ok((json! {"object": "list", "data": data, "model": model, "usage": usage}, model, used))
}

fn packed(vector: &[f32]) -> Json {
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    Json(format!("\"{}\"", STANDARD.encode(bytes)))
}

pub(crate) fn model(id: &str) -> Json {
    json! {"id": id, "object": "model", "created": 1_767_225_600_u64, "owned_by": "tollgate-sim"}
}

pub(crate) fn models(ids: &[&str]) -> Json {
    json! {"object": "list", "data": Json::list(ids.iter().map(|id| model(id)))}
}

/// The log probabilities nobody asked for.
pub(crate) const NO_LOGPROBS: Null = Null;
