//! What Chat Completions and Responses share: the error envelope, its classes, the model lists.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};
use tollgate_core::{Class, Origin};

use crate::{
    Fault, ModelCard, Rendered, hints,
    json::Object,
    said::{self, Said},
};

/// The header under which OpenAI's clients look for the request id.
pub(crate) const REQUEST_ID: &str = "x-request-id";

const CONTEXT: [&str; 5] = [
    "maximum context length",
    "context window",
    "too many tokens",
    "prompt is too long",
    "reduce the length",
];
const QUOTA: [&str; 5] = [
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "usage_not_included",
    "usage_limit_reached",
];
const AUTH: [&str; 3] = ["invalid_api_key", "account_deactivated", "mismatched_organization"];
const CONTENT: [&str; 6] = [
    "content_policy_violation",
    "content_filter",
    "invalid_prompt",
    "bio_policy",
    "misalignment_policy_violation",
    "image_content_policy_violation",
];
const INVALID: [&str; 6] = [
    "unsupported_parameter",
    "unsupported_value",
    "unknown_parameter",
    "failed_to_download_image",
    "empty_image_file",
    "unsupported_image_media_type",
];

/// Classifies an error answer.
pub(crate) fn classify(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
    hints::judged(&Said::read(status, body), Some(status), headers, fault)
}

/// Classifies an error object that came with status 200.
pub(crate) fn in_stream(error: &[u8]) -> Fault {
    hints::judged(&Said::in_answer(error), None, &HeaderMap::new(), fault)
}

/// Returns the error at the top level of a whole answer that holds none of `results`.
pub(crate) fn error_in_answer(answer: Object<'_>, results: &[&str]) -> Option<Fault> {
    said::error_of(answer, results).map(in_stream)
}

fn fault(status: Option<StatusCode>, said: &Said) -> Fault {
    let clues = Clues::new(status, said);
    let class = clues.class();
    let code = Some(clues.code).filter(|code| !is_number(code) && !code.is_empty());
    let param = Some(said.str("/param")).filter(|param| !param.is_empty());
    let mut fault = Fault {
        status: Some(clues.status).filter(|status| *status != 0),
        code: code.map(str::to_owned),
        param: param.map(str::to_owned),
        reasoning_replay: clues.is_reasoning_replay(),
        ..Fault::new(class, said.message.clone())
    };
    if class == Class::RateLimit && clues.exceeds_limit_alone() {
        fault.retryable = false;
    }
    fault
}

fn is_number(code: &str) -> bool {
    code.bytes().all(|byte| byte.is_ascii_digit())
}

/// What the class is read from.
struct Clues<'a> {
    /// 0 where unknown.
    status: u16,
    code: &'a str,
    kind: &'a str,
    said: &'a Said,
}

impl<'a> Clues<'a> {
    fn new(status: Option<StatusCode>, said: &'a Said) -> Self {
        let status = status.map(|status| status.as_u16()).filter(|status| *status >= 400);
        Self {
            status: status.or_else(|| said.numeric_code()).unwrap_or(0),
            code: said.str("/code"),
            kind: said.str("/type"),
            said,
        }
    }

    fn class(&self) -> Class {
        self.of_the_account()
            .or_else(|| self.of_the_request())
            .or_else(|| self.by_status())
            .unwrap_or_else(|| self.by_kind())
    }

    fn named(&self, words: &[&str]) -> bool {
        words.contains(&self.code) || words.contains(&self.kind)
    }

    fn says(&self, words: &[&str]) -> bool {
        self.said.mentions(words)
    }

    fn of_the_account(&self) -> Option<Class> {
        match () {
            () if self.is_context_length() => Some(Class::ContextLength),
            () if self.named(&QUOTA) || self.status == 402 => Some(Class::Quota),
            () if self.is_rate_limit() => Some(Class::RateLimit),
            () if self.named(&AUTH) || self.status == 401 => Some(Class::Auth),
            // More telling than the 403 they may come with.
            () if self.code == "model_not_found" => Some(Class::NotFound),
            () if self.is_content() => Some(Class::ContentPolicy),
            () if self.status == 403 && self.says(&["does not have access to model"]) => {
                Some(Class::NotFound)
            }
            () if self.code == "unsupported_country_region_territory" || self.status == 403 => {
                Some(Class::Permission)
            }
            () => None,
        }
    }

    fn of_the_request(&self) -> Option<Class> {
        match () {
            // A 404 for an item of the input is the caller's, not an unknown model.
            () if self.is_reasoning_replay() => Some(Class::InvalidRequest),
            () if self.status == 404 => Some(Class::NotFound),
            () if self.is_overloaded() => Some(Class::Overloaded),
            () if self.named(&INVALID) => Some(Class::InvalidRequest),
            () if self.code.starts_with("invalid_image") || self.code.starts_with("image_") => {
                Some(Class::InvalidRequest)
            }
            () => None,
        }
    }

    fn by_status(&self) -> Option<Class> {
        match self.status {
            0 => None,
            408 | 504 => Some(Class::Timeout),
            409 => Some(Class::Conflict),
            413 => Some(Class::TooLarge),
            499 => Some(Class::Cancelled),
            400..500 => Some(Class::InvalidRequest),
            _ => Some(Class::ServerError),
        }
    }

    /// The last resort: an error without any status.
    fn by_kind(&self) -> Class {
        match self.kind {
            "invalid_request_error" if self.code == "cancelled" => Class::Cancelled,
            "invalid_request_error" | "BadRequestError" => Class::InvalidRequest,
            "authentication_error" => Class::Auth,
            "permission_error" => Class::Permission,
            "not_found_error" => Class::NotFound,
            "rate_limit_error" => Class::RateLimit,
            "timeout_error" => Class::Timeout,
            _ if self.code == "timeout" => Class::Timeout,
            _ => Class::ServerError,
        }
    }

    fn is_context_length(&self) -> bool {
        let param = self.said.str("/param");
        let too_long = self.code == "string_above_max_length"
            && (param.starts_with("input") || param.starts_with("messages"));
        self.named(&["context_length_exceeded"])
            || too_long
            || (matches!(self.status, 400 | 413 | 422) && self.says(&CONTEXT))
    }

    fn is_rate_limit(&self) -> bool {
        self.code == "rate_limit_exceeded"
            || matches!(self.kind, "tokens" | "requests")
            || self.status == 429
            || (self.status == 413 && self.exceeds_limit_alone())
    }

    /// This one request is larger than what is allowed per minute: waiting does not help.
    fn exceeds_limit_alone(&self) -> bool {
        self.says(&["request too large for"]) && self.says(&["tokens per min"])
    }

    fn is_content(&self) -> bool {
        let inner = ["/innererror/code", "/inner_error/code"];
        self.named(&CONTENT)
            || inner.iter().any(|at| self.said.str(at) == "ResponsibleAIPolicyViolation")
    }

    fn is_overloaded(&self) -> bool {
        self.named(&["server_is_overloaded", "slow_down"])
            || self.status == 503
            || self.says(&["overloaded"])
    }

    fn is_reasoning_replay(&self) -> bool {
        let item = self.says(&["item with id"]) && self.says(&["not found"]);
        let lost = item || self.says(&["items are not persisted"]);
        self.code == "invalid_encrypted_content" || (matches!(self.status, 0 | 400 | 404) && lost)
    }
}

/// Renders an error answer.
pub(crate) fn render(fault: &Fault, id: &str, input: &str) -> Rendered {
    let mut headers = HeaderMap::new();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    hints::write(fault, &mut headers);
    hints::dissuade(fault, &mut headers);
    let status = fault.own_status().unwrap_or_else(|| status(fault));
    Rendered { status, headers, body: envelope(fault, input) }
}

/// The error object in its envelope. `input` is what the protocol calls a request's content.
pub(crate) fn envelope(fault: &Fault, input: &str) -> Bytes {
    let too_long = (fault.class == Class::ContextLength).then_some(input);
    let error = json!({
        "message": fault.message,
        "type": kind(fault.class),
        "param": fault.param.as_deref().or(too_long),
        "code": code(fault),
    });
    json!({ "error": error }).to_string().into()
}

fn status(fault: &Fault) -> StatusCode {
    match fault.class {
        Class::Auth => StatusCode::UNAUTHORIZED,
        Class::Permission => StatusCode::FORBIDDEN,
        Class::NotFound => StatusCode::NOT_FOUND,
        Class::RateLimit | Class::Quota => StatusCode::TOO_MANY_REQUESTS,
        Class::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        Class::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Class::ContextLength | Class::ContentPolicy | Class::InvalidRequest => {
            StatusCode::BAD_REQUEST
        }
        Class::Conflict => StatusCode::CONFLICT,
        Class::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Class::Cancelled => client_closed(),
        _ if fault.is_our_quota() => StatusCode::SERVICE_UNAVAILABLE,
        _ if fault.status == Some(500) => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_GATEWAY,
    }
}

/// 499, which no standard names.
pub(crate) fn client_closed() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}

fn kind(class: Class) -> &'static str {
    match class {
        Class::RateLimit => "rate_limit_error",
        Class::Quota => "insufficient_quota",
        Class::Overloaded | Class::Timeout | Class::ServerError | Class::Connect => "server_error",
        _ => "invalid_request_error",
    }
}

/// The code: the gateway's own word stands; of an upstream's words only those that say more than
/// the class.
pub(crate) fn code(fault: &Fault) -> Option<&str> {
    let keeps = fault.origin == Origin::Gateway
        || matches!(
            fault.class,
            Class::InvalidRequest
                | Class::Conflict
                | Class::Timeout
                | Class::ServerError
                | Class::Connect
        );
    let own = fault.code.as_deref().filter(|_| keeps);
    own.or_else(|| class_code(fault))
}

fn class_code(fault: &Fault) -> Option<&'static str> {
    match fault.class {
        Class::Auth => Some("invalid_api_key"),
        Class::Permission => Some("permission_denied"),
        Class::NotFound => Some("model_not_found"),
        Class::RateLimit => Some("rate_limit_exceeded"),
        Class::Quota => Some("insufficient_quota"),
        Class::Overloaded => Some("server_is_overloaded"),
        Class::ContextLength => Some("context_length_exceeded"),
        Class::TooLarge => Some("request_too_large"),
        Class::ContentPolicy => Some("content_filter"),
        Class::InvalidRequest => fault.param.as_ref().map(|_| "unsupported_parameter"),
        Class::Timeout => Some("timeout"),
        Class::Cancelled => Some("cancelled"),
        Class::ServerError | Class::Connect => Some("server_error"),
        _ => None,
    }
}

/// Renders a list of models.
pub(crate) fn render_models(models: &[ModelCard]) -> Bytes {
    let data: Vec<_> = models.iter().map(model).collect();
    json!({ "object": "list", "data": data }).to_string().into()
}

/// Renders one model.
pub(crate) fn render_model(card: &ModelCard) -> Bytes {
    model(card).to_string().into()
}

fn model(card: &ModelCard) -> Value {
    json!({
        "id": card.id,
        "object": "model",
        "created": card.created,
        "owned_by": card.owner,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> Fault {
        classify(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
    }

    fn class(status: u16, body: &str) -> Class {
        of(status, body).class
    }

    fn error(code: &str, kind: &str, message: &str) -> String {
        json!({ "error": { "code": code, "type": kind, "message": message, "param": null } })
            .to_string()
    }

    #[test]
    fn every_row_of_the_table_has_its_class() {
        for (status, code, kind, message, expected) in [
            (400, "context_length_exceeded", "", "", Class::ContextLength),
            (422, "", "", "This model's maximum context length is 8", Class::ContextLength),
            (413, "", "", "Please REDUCE THE LENGTH", Class::ContextLength),
            (429, "insufficient_quota", "insufficient_quota", "", Class::Quota),
            (402, "", "", "", Class::Quota),
            (403, "", "usage_limit_reached", "", Class::Quota),
            (429, "", "", "", Class::RateLimit),
            (400, "rate_limit_exceeded", "", "", Class::RateLimit),
            (400, "", "tokens", "", Class::RateLimit),
            (401, "", "", "", Class::Auth),
            (400, "invalid_api_key", "", "", Class::Auth),
            (403, "", "", "", Class::Permission),
            (400, "unsupported_country_region_territory", "", "", Class::Permission),
            (404, "", "", "", Class::NotFound),
            (403, "", "", "Project x does not have access to model `y`", Class::NotFound),
            (400, "model_not_found", "", "", Class::NotFound),
            (400, "content_filter", "", "", Class::ContentPolicy),
            (503, "", "", "", Class::Overloaded),
            (500, "", "", "The server is currently overloaded", Class::Overloaded),
            (400, "invalid_encrypted_content", "", "", Class::InvalidRequest),
            (408, "", "", "", Class::Timeout),
            (504, "", "", "", Class::Timeout),
            (409, "", "", "", Class::Conflict),
            (413, "", "", "", Class::TooLarge),
            (499, "", "", "", Class::Cancelled),
            (400, "unknown_parameter", "", "", Class::InvalidRequest),
            (422, "", "", "", Class::InvalidRequest),
            (418, "", "", "", Class::InvalidRequest),
            (500, "", "server_error", "", Class::ServerError),
            (529, "", "", "", Class::ServerError),
        ] {
            let body = error(code, kind, message);
            assert_eq!(class(status, &body), expected, "{status} {body}");
        }
    }

    #[test]
    fn azures_inner_error_is_content_policy() {
        let body =
            r#"{"error":{"message":"x","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#;
        assert_eq!(class(400, body), Class::ContentPolicy);
    }

    #[test]
    fn lost_reasoning_asks_for_a_repair() {
        for (status, message) in
            [(404, "Item with id 'rs_1' not found."), (400, "Items are not persisted")]
        {
            let fault = of(status, &error("", "invalid_request_error", message));
            assert_eq!((fault.class, fault.reasoning_replay), (Class::InvalidRequest, true));
        }
        assert!(!of(400, "{}").reasoning_replay);
    }

    #[test]
    fn a_request_larger_than_the_limit_is_not_sent_again_but_may_go_elsewhere() {
        let message = "Request too large for gpt in organization o on tokens per min (TPM)";
        for status in [429, 413] {
            let fault = of(status, &error("", "", message));
            assert_eq!(fault.class, Class::RateLimit);
            assert!(!fault.retryable && fault.fallback);
        }
    }

    #[test]
    fn the_upstreams_word_on_retrying_wins() {
        let mut headers = HeaderMap::new();
        headers.insert("x-should-retry", HeaderValue::from_static("false"));
        assert!(!classify(StatusCode::BAD_GATEWAY, &headers, b"").retryable);
        headers.insert("x-should-retry", HeaderValue::from_static("true"));
        assert!(classify(StatusCode::BAD_REQUEST, &headers, b"").retryable);
    }

    #[test]
    fn a_numeric_code_stands_for_the_status_of_an_error_in_a_stream() {
        let fault = in_stream(br#"{"code":429,"message":"slow"}"#);
        assert_eq!((fault.class, fault.status, fault.code), (Class::RateLimit, Some(429), None));
        assert_eq!(in_stream(br#""Internal error""#).class, Class::ServerError);
        assert_eq!(in_stream(br#"{"code":"server_is_overloaded"}"#).class, Class::Overloaded);
    }

    #[test]
    fn all_four_members_are_always_there() {
        for class in Class::ALL {
            let rendered = render(&Fault::new(class, "why"), "req_1", "messages");
            let body: Value = serde_json::from_slice(&rendered.body).unwrap();
            let error = body["error"].as_object().unwrap();
            let mut keys: Vec<_> = error.keys().map(String::as_str).collect();
            keys.sort_unstable();
            assert_eq!(keys, ["code", "message", "param", "type"], "{class}");
            assert_eq!(error["message"], "why");
            assert!(error["type"].is_string());
            assert_eq!(rendered.headers["x-request-id"], "req_1");
        }
    }

    #[test]
    fn what_is_rendered_is_read_as_the_same_class() {
        for class in Class::ALL {
            let rendered = render(&Fault::new(class, "why"), "", "input");
            let read = classify(rendered.status, &rendered.headers, &rendered.body);
            let expected = if class == Class::Connect { Class::ServerError } else { class };
            assert_eq!(read.class, expected);
        }
    }

    #[test]
    fn only_an_upstreams_500_stays_one() {
        let status_of = |upstream| {
            let mut fault = Fault::new(Class::ServerError, "x");
            fault.status = upstream;
            render(&fault, "", "").status.as_u16()
        };
        assert_eq!([status_of(None), status_of(Some(500)), status_of(Some(503))], [502, 500, 502]);
    }

    #[test]
    fn rejections_of_our_account_are_not_the_clients() {
        for (class, status, code) in
            [(Class::Auth, 502, "upstream_auth"), (Class::Quota, 503, "upstream_quota")]
        {
            let rendered = render(&Fault::new(class, "sk-secret").hiding_ours(), "", "");
            let body: Value = serde_json::from_slice(&rendered.body).unwrap();
            assert_eq!(rendered.status.as_u16(), status);
            assert_eq!(body["error"]["code"], code);
            assert_eq!(body["error"]["type"], "server_error");
        }
    }

    #[test]
    fn a_quota_is_not_to_be_retried() {
        let rendered = render(&Fault::new(Class::Quota, "spent"), "", "");
        assert_eq!(rendered.headers["x-should-retry"], "false");
    }

    #[test]
    fn models_are_listed_with_all_members() {
        let card =
            ModelCard { id: "a/b".into(), owner: "a".into(), created: 7, ..Default::default() };
        let list: Value = serde_json::from_slice(&render_models(&[card])).unwrap();
        let one = json!({"id":"a/b","object":"model","created":7,"owned_by":"a"});
        assert_eq!(list, json!({"object":"list","data":[one]}));
    }
}
