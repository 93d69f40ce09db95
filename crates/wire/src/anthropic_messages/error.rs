use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};
use tollgate_core::Class;

use crate::{
    Fault, Rendered, hints,
    json::Object,
    openai::client_closed,
    said::{self, Said},
};

/// The header under which Anthropic's clients look for the request id.
pub(super) const REQUEST_ID: &str = "request-id";

/// What a message must start with for clients to make room and ask again.
const TOO_LONG: &str = "prompt is too long: ";

const QUOTA: [&str; 6] = [
    "contract_spend_limit_reached",
    "enforced_spend_limit_reached",
    "linked_organization_spend_limit_reached",
    "linked_organization_billing_unavailable",
    "user_profile_not_billable",
    "organization_on_hold",
];

/// Error types and the status each stands for where only the type is known.
const KINDS: [(&str, u16); 11] = [
    ("invalid_request_error", 400),
    ("authentication_error", 401),
    ("billing_error", 402),
    ("permission_error", 403),
    ("not_found_error", 404),
    ("conflict_error", 409),
    ("request_too_large", 413),
    ("rate_limit_error", 429),
    ("api_error", 500),
    ("timeout_error", 504),
    ("overloaded_error", 529),
];

/// Classifies an error answer.
pub(super) fn classify(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
    hints::judged(&Said::read(status, body), Some(status), headers, fault)
}

/// Classifies an error event, or an error body that came with status 200.
pub(super) fn in_stream(data: &[u8]) -> Fault {
    hints::judged(&Said::in_answer(data), None, &HeaderMap::new(), fault)
}

/// Returns the error a whole answer with status 200 is.
pub(super) fn in_answer(answer: Object<'_>) -> Option<Fault> {
    said::error_of(answer, &["content", "data"]).map(in_stream)
}

fn fault(status: Option<StatusCode>, said: &Said) -> Fault {
    let clues = Clues::new(status, said);
    let class = clues.class();
    let code = Some(clues.code).filter(|code| !code.is_empty());
    let mut fault = Fault {
        status: Some(clues.status).filter(|status| *status != 0),
        code: code.map(str::to_owned),
        reasoning_replay: class == Class::InvalidRequest && clues.is_reasoning_replay(),
        ..Fault::new(class, said.message.clone())
    };
    if clues.code == "file_expired" {
        fault.fallback = false;
    }
    fault
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
        let kind = said.str("/type");
        let status = status.map(|status| status.as_u16()).filter(|status| *status >= 400);
        let implied = || KINDS.iter().find(|(name, _)| *name == kind).map(|(_, status)| *status);
        Self {
            status: status.or_else(implied).unwrap_or(0),
            code: said.str("/details/error_code"),
            kind,
            said,
        }
    }

    fn class(&self) -> Class {
        self.of_the_account()
            .or_else(|| self.of_the_request())
            .or_else(|| self.by_status())
            .unwrap_or(Class::ServerError)
    }

    fn of_the_account(&self) -> Option<Class> {
        match () {
            () if self.is_quota() => Some(Class::Quota),
            () if self.code == "ramp_limit_exceeded" || self.is("rate_limit_error", 429) => {
                Some(Class::RateLimit)
            }
            () if self.code == "compaction_unavailable" || self.is("overloaded_error", 529) => {
                Some(Class::Overloaded)
            }
            () => None,
        }
    }

    fn of_the_request(&self) -> Option<Class> {
        match () {
            () if self.status == 400 && self.is_context_length() => Some(Class::ContextLength),
            () if self.is_too_large() => Some(Class::TooLarge),
            () if self.is("authentication_error", 401) => Some(Class::Auth),
            () if self.is("permission_error", 403) => Some(Class::Permission),
            () if self.is("not_found_error", 404) || self.code == "file_expired" => {
                Some(Class::NotFound)
            }
            () if self.status == 400 && self.is_content() => Some(Class::ContentPolicy),
            () if self.is_reasoning_replay() => Some(Class::InvalidRequest),
            () if self.is("timeout_error", 504) || self.status == 408 => Some(Class::Timeout),
            () if self.is("conflict_error", 409) => Some(Class::Conflict),
            () if self.kind == "invalid_request_error" => Some(Class::InvalidRequest),
            () => None,
        }
    }

    fn by_status(&self) -> Option<Class> {
        match self.status {
            499 => Some(Class::Cancelled),
            400..500 => Some(Class::InvalidRequest),
            _ => None,
        }
    }

    fn is(&self, kind: &str, status: u16) -> bool {
        self.kind == kind || self.status == status
    }

    fn is_quota(&self) -> bool {
        QUOTA.contains(&self.code)
            || self.is("billing_error", 402)
            || (self.status == 400 && self.said.mentions(&["credit balance is too low"]))
    }

    fn is_context_length(&self) -> bool {
        let limit = self.said.mentions(&["input length and"])
            && self.said.mentions(&["exceed context limit"]);
        limit || self.said.mentions(&["prompt is too long", "exceed context window"])
    }

    fn is_too_large(&self) -> bool {
        self.is("request_too_large", 413) || self.code == "request_body_too_large_after_decoding"
    }

    fn is_content(&self) -> bool {
        self.said.mentions(&["content filtering policy", "usage policy"])
    }

    fn is_reasoning_replay(&self) -> bool {
        let signature = self.said.mentions(&["signature"]) && self.said.mentions(&["thinking"]);
        let order = self.said.mentions(&["expected"])
            && self.said.mentions(&["thinking` or `redacted_thinking"]);
        let bound = self.said.mentions(&[
            "bound to a different conversation",
            "blocks in the latest assistant message cannot be modified",
        ]);
        self.status == 400 && (signature || order || bound)
    }
}

/// Renders an error answer.
pub(super) fn render(fault: &Fault, id: &str) -> Rendered {
    let mut headers = HeaderMap::new();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    hints::write(fault, &mut headers);
    hints::dissuade(fault, &mut headers);
    let status = fault.own_status().unwrap_or(shape(fault).0);
    Rendered { status, headers, body: envelope(fault, id) }
}

/// The error object in its envelope.
pub(super) fn envelope(fault: &Fault, id: &str) -> Bytes {
    let mut error = json!({ "type": shape(fault).1, "message": message(fault) });
    if fault.origin == tollgate_core::Origin::Gateway
        && let Some(code) = &fault.code
    {
        error["details"] = json!({ "error_code": code });
    }
    let id = Some(id).filter(|id| !id.is_empty()).map_or(Value::Null, Value::from);
    json!({ "type": "error", "error": error, "request_id": id }).to_string().into()
}

fn message(fault: &Fault) -> String {
    let message = fault.coded_message();
    match (fault.class, &fault.param) {
        (Class::ContextLength, _) if !message.starts_with(TOO_LONG) => {
            format!("{TOO_LONG}{message}")
        }
        (Class::InvalidRequest, Some(param)) if !message.starts_with(param.as_str()) => {
            format!("{param}: {message}")
        }
        _ => message,
    }
}

fn shape(fault: &Fault) -> (StatusCode, &'static str) {
    match fault.class {
        Class::Auth => (StatusCode::UNAUTHORIZED, "authentication_error"),
        Class::Permission => (StatusCode::FORBIDDEN, "permission_error"),
        Class::NotFound => (StatusCode::NOT_FOUND, "not_found_error"),
        Class::RateLimit => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error"),
        Class::Quota => (StatusCode::PAYMENT_REQUIRED, "billing_error"),
        Class::Overloaded => (overloaded(), "overloaded_error"),
        Class::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "request_too_large"),
        Class::ContextLength | Class::ContentPolicy | Class::InvalidRequest => {
            (StatusCode::BAD_REQUEST, "invalid_request_error")
        }
        Class::Conflict => (StatusCode::CONFLICT, "conflict_error"),
        Class::Timeout => (StatusCode::GATEWAY_TIMEOUT, "timeout_error"),
        Class::Cancelled => (client_closed(), "api_error"),
        _ if fault.is_our_credential() => (StatusCode::BAD_GATEWAY, "api_error"),
        _ if fault.is_our_quota() => (StatusCode::SERVICE_UNAVAILABLE, "api_error"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "api_error"),
    }
}

/// 529, which no standard names.
fn overloaded() -> StatusCode {
    StatusCode::from_u16(529).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn of(status: u16, kind: &str, code: &str, message: &str) -> Fault {
        let body = json!({"type":"error","request_id":"r","error":{"type":kind,"message":message,
            "details":{"error_code":code}}});
        let status = StatusCode::from_u16(status).unwrap();
        classify(status, &HeaderMap::new(), body.to_string().as_bytes())
    }

    #[test]
    fn every_row_of_the_table_has_its_class() {
        for (status, kind, code, message, expected) in [
            (403, "permission_error", "organization_on_hold", "", Class::Quota),
            (402, "", "", "", Class::Quota),
            (400, "invalid_request_error", "", "Your credit balance is too low", Class::Quota),
            (429, "", "", "", Class::RateLimit),
            (400, "rate_limit_error", "", "", Class::RateLimit),
            (503, "", "ramp_limit_exceeded", "", Class::RateLimit),
            (529, "", "", "", Class::Overloaded),
            (503, "", "compaction_unavailable", "", Class::Overloaded),
            (400, "invalid_request_error", "", "prompt is too long: 9 > 8", Class::ContextLength),
            (
                400,
                "",
                "",
                "input length and `max_tokens` exceed context limit",
                Class::ContextLength,
            ),
            (413, "", "", "", Class::TooLarge),
            (400, "", "request_body_too_large_after_decoding", "", Class::TooLarge),
            (401, "", "", "", Class::Auth),
            (403, "", "", "", Class::Permission),
            (404, "", "", "", Class::NotFound),
            (400, "", "", "Output blocked by content filtering policy", Class::ContentPolicy),
            (504, "", "", "", Class::Timeout),
            (408, "", "", "", Class::Timeout),
            (409, "", "", "", Class::Conflict),
            (499, "", "", "", Class::Cancelled),
            (503, "api_error", "cmek_unavailable", "", Class::ServerError),
            (422, "", "", "", Class::InvalidRequest),
            (431, "invalid_request_error", "", "", Class::InvalidRequest),
            (500, "api_error", "", "", Class::ServerError),
            (502, "", "", "", Class::ServerError),
        ] {
            assert_eq!(of(status, kind, code, message).class, expected, "{status} {kind} {code}");
        }
    }

    #[test]
    fn refused_reasoning_asks_for_a_repair() {
        for message in [
            "messages.1.content.0: Invalid `signature` in `thinking` block",
            "Expected `thinking` or `redacted_thinking`, but found `text`",
            "this block is bound to a different conversation",
            "`thinking` blocks in the latest assistant message cannot be modified",
        ] {
            let fault = of(400, "invalid_request_error", "", message);
            assert!(fault.reasoning_replay && fault.class == Class::InvalidRequest, "{message}");
        }
    }

    #[test]
    fn an_expired_file_is_nowhere_else() {
        let fault = of(404, "not_found_error", "file_expired", "");
        assert!(fault.class == Class::NotFound && !fault.fallback);
    }

    #[test]
    fn in_a_stream_the_type_stands_for_the_status() {
        for (kind, status) in KINDS {
            let body = json!({"type":"error","error":{"type":kind,"message":"m"}}).to_string();
            assert_eq!(in_stream(body.as_bytes()).status, Some(status));
        }
        assert_eq!(in_stream(b"{}").class, Class::ServerError);
    }

    fn rendered(fault: &Fault) -> (u16, Value) {
        let rendered = render(fault, "req_1");
        assert_eq!(rendered.headers["request-id"], "req_1");
        (rendered.status.as_u16(), serde_json::from_slice(&rendered.body).unwrap())
    }

    #[test]
    fn what_is_rendered_is_read_as_the_same_class() {
        for class in Class::ALL {
            let (status, body) = rendered(&Fault::new(class, "why"));
            assert_eq!((&body["type"], &body["request_id"]), (&"error".into(), &"req_1".into()));
            let expected = match class {
                Class::Connect => Class::ServerError,
                // Told apart by its text alone.
                Class::ContentPolicy => Class::InvalidRequest,
                class => class,
            };
            let status = StatusCode::from_u16(status).unwrap();
            let read = classify(status, &HeaderMap::new(), body.to_string().as_bytes());
            assert_eq!(read.class, expected);
        }
    }

    #[test]
    fn a_long_prompt_is_told_in_the_words_clients_know() {
        let (_, body) = rendered(&Fault::new(Class::ContextLength, "9 > 8"));
        assert_eq!(body["error"]["message"], "prompt is too long: 9 > 8");
    }

    #[test]
    fn a_field_is_named_in_the_message() {
        let mut fault = Fault::new(Class::InvalidRequest, "is too small");
        fault.param = Some("max_tokens".into());
        assert_eq!(rendered(&fault).1["error"]["message"], "max_tokens: is too small");
    }

    #[test]
    fn rejections_of_our_account_are_not_the_clients() {
        for (class, status, word) in
            [(Class::Permission, 502, "upstream_auth: "), (Class::Quota, 503, "upstream_quota: ")]
        {
            let (seen, body) = rendered(&Fault::new(class, "secret").hiding_ours());
            assert_eq!((seen, &body["error"]["type"]), (status, &"api_error".into()));
            assert!(body["error"]["message"].as_str().unwrap().starts_with(word));
        }
    }

    #[test]
    fn a_known_pause_is_passed_on() {
        let mut fault = Fault::new(Class::Overloaded, "busy");
        fault.retry_after = Some(Duration::from_millis(300));
        let headers = render(&fault, "r").headers;
        assert_eq!(headers["retry-after"], "1");
        assert_eq!(headers["retry-after-ms"], "300");
    }
}
