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

/// Google names no header for it; this is the one its clients' logs show from elsewhere.
pub(super) const REQUEST_ID: &str = "x-request-id";

/// What a message must contain for clients to see that the input was too long.
const TOO_LONG: &str = "exceeds the maximum number of tokens allowed";

const AUTH: [&str; 4] =
    ["API_KEY_INVALID", "API_KEY_EXPIRED", "ACCESS_TOKEN_EXPIRED", "CREDENTIALS_MISSING"];

/// Classifies an error answer.
pub(super) fn classify(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
    hints::judged(&Said::read(status, body), Some(status), headers, fault)
}

/// Classifies an error element of a stream, or an error body that came with status 200.
pub(super) fn in_stream(data: &[u8]) -> Fault {
    hints::judged(&Said::in_answer(data), None, &HeaderMap::new(), fault)
}

/// Returns the error a whole answer with status 200 is.
pub(super) fn in_answer(answer: Object<'_>) -> Option<Fault> {
    const RESULTS: [&str; 4] = ["candidates", "embedding", "embeddings", "totalTokens"];
    said::error_of(answer, &RESULTS).map(in_stream)
}

fn fault(status: Option<StatusCode>, said: &Said) -> Fault {
    let clues = Clues::new(status, said);
    let class = clues.class();
    Fault {
        status: Some(clues.http).filter(|status| *status != 0),
        code: clues.reasons.first().map(|reason| (*reason).to_owned()),
        param: clues.field().map(str::to_owned),
        reasoning_replay: class == Class::InvalidRequest && clues.is_reasoning_replay(),
        ..Fault::new(class, said.message.clone())
    }
}

/// What the class is read from.
struct Clues<'a> {
    /// 0 where unknown.
    http: u16,
    /// The canonical status; where the body has none, the one the HTTP status stands for.
    status: &'a str,
    reasons: Vec<&'a str>,
    said: &'a Said,
}

impl<'a> Clues<'a> {
    fn new(status: Option<StatusCode>, said: &'a Said) -> Self {
        let http = status.map(|status| status.as_u16()).filter(|status| *status >= 400);
        let http = http.or_else(|| said.numeric_code()).unwrap_or(0);
        let own = said.str("/status");
        Self {
            http,
            status: if own.is_empty() { canonical(http) } else { own },
            reasons: details(said).filter_map(|d| d.get("reason")?.as_str()).collect(),
            said,
        }
    }

    fn class(&self) -> Class {
        self.of_the_account().or_else(|| self.of_the_request()).unwrap_or_else(|| self.by_status())
    }

    fn of_the_account(&self) -> Option<Class> {
        match () {
            () if self.is_auth() => Some(Class::Auth),
            () if self.has(&["BILLING_DISABLED"]) => Some(Class::Quota),
            () if self.is_permission() => Some(Class::Permission),
            () if self.is("FAILED_PRECONDITION") && self.says(&["billing"]) => Some(Class::Quota),
            () if self.is_quota() || self.http == 402 => Some(Class::Quota),
            () if self.is("RESOURCE_EXHAUSTED") || self.http == 429 => Some(Class::RateLimit),
            () => None,
        }
    }

    fn of_the_request(&self) -> Option<Class> {
        match () {
            () if self.is_context_length() => Some(Class::ContextLength),
            () if self.is_reasoning_replay() => Some(Class::InvalidRequest),
            () if self.http == 413 => Some(Class::TooLarge),
            () if self.http == 400 && self.says(&["request payload size exceeds"]) => {
                Some(Class::TooLarge)
            }
            () if self.is("UNAVAILABLE") || self.says(&["overloaded"]) => Some(Class::Overloaded),
            () => None,
        }
    }

    fn by_status(&self) -> Class {
        match self.status {
            "NOT_FOUND" => Class::NotFound,
            "DEADLINE_EXCEEDED" => Class::Timeout,
            "CANCELLED" => Class::Cancelled,
            "ABORTED" | "ALREADY_EXISTS" => Class::Conflict,
            "INVALID_ARGUMENT" | "OUT_OF_RANGE" | "FAILED_PRECONDITION" | "UNIMPLEMENTED" => {
                Class::InvalidRequest
            }
            _ => Class::ServerError,
        }
    }

    fn is(&self, status: &str) -> bool {
        self.status == status
    }

    fn has(&self, reasons: &[&str]) -> bool {
        self.reasons.iter().any(|reason| reasons.contains(reason))
    }

    fn says(&self, words: &[&str]) -> bool {
        self.said.mentions(words)
    }

    /// A wrong key comes as a bad request.
    fn is_auth(&self) -> bool {
        self.has(&AUTH)
            || self.is("UNAUTHENTICATED")
            || (self.http == 400 && self.says(&["api key not valid", "api key expired"]))
    }

    fn is_permission(&self) -> bool {
        self.has(&["SERVICE_DISABLED", "API_KEY_SERVICE_BLOCKED"])
            || self.is("PERMISSION_DENIED")
            || (self.is("FAILED_PRECONDITION") && self.says(&["location is not supported"]))
    }

    fn is_quota(&self) -> bool {
        let daily = details(self.said)
            .filter_map(|detail| detail.get("violations")?.as_array())
            .flatten()
            .filter_map(|violation| violation.get("quotaId")?.as_str())
            .any(|id| id.contains("PerDay") || id.contains("Spend"));
        self.is("RESOURCE_EXHAUSTED") && (daily || self.says(&["prepayment credits", "spend"]))
    }

    fn is_context_length(&self) -> bool {
        let counted = self.says(&["input token count"]) && self.says(&["exceeds the maximum"]);
        self.is("INVALID_ARGUMENT")
            && (counted || self.says(&["exceeds the maximum number of tokens"]))
    }

    fn is_reasoning_replay(&self) -> bool {
        self.is("INVALID_ARGUMENT")
            && self.says(&["missing a thought_signature", "thought signature is not valid"])
    }

    fn field(&self) -> Option<&'a str> {
        details(self.said)
            .filter_map(|detail| detail.get("fieldViolations")?.as_array())
            .flatten()
            .find_map(|violation| violation.get("field")?.as_str())
            .filter(|field| !field.is_empty())
    }
}

fn details(said: &Said) -> impl Iterator<Item = &Value> {
    said.error.get("details").and_then(Value::as_array).into_iter().flatten()
}

/// The canonical status an HTTP status stands for.
fn canonical(http: u16) -> &'static str {
    match http {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        408 | 504 => "DEADLINE_EXCEEDED",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        400..=499 => "INVALID_ARGUMENT",
        501 => "UNIMPLEMENTED",
        503 => "UNAVAILABLE",
        _ => "INTERNAL",
    }
}

/// Renders an error answer.
pub(super) fn render(fault: &Fault, id: &str) -> Rendered {
    let mut headers = HeaderMap::new();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    hints::write(fault, &mut headers);
    Rendered { status: shape(fault).0, headers, body: envelope(fault) }
}

/// The error object in its envelope; `error` is the first key, by which clients know it.
pub(super) fn envelope(fault: &Fault) -> Bytes {
    let (code, status) = shape(fault);
    let mut error = json!({ "code": code.as_u16(), "message": message(fault), "status": status });
    let details = rendered_details(fault);
    if !details.is_empty() {
        error["details"] = details.into();
    }
    json!({ "error": error }).to_string().into()
}

fn message(fault: &Fault) -> String {
    let message = fault.coded_message();
    if fault.class == Class::ContextLength && !message.contains(TOO_LONG) {
        return format!("the input {TOO_LONG}: {message}");
    }
    message
}

fn rendered_details(fault: &Fault) -> Vec<Value> {
    let kind = |name: &str| format!("type.googleapis.com/google.rpc.{name}");
    let mut details = Vec::new();
    if let Some(after) = hints::told(fault) {
        let delay = format!("{}s", after.as_millis() as f64 / 1000.0);
        details.push(json!({ "@type": kind("RetryInfo"), "retryDelay": delay }));
    }
    if fault.class == Class::Quota {
        let violation = json!({ "quotaId": "SpendLimit", "description": fault.message });
        details.push(json!({ "@type": kind("QuotaFailure"), "violations": [violation] }));
    }
    if let (Class::InvalidRequest, Some(field)) = (fault.class, &fault.param) {
        let violation = json!({ "field": field, "description": fault.message });
        details.push(json!({ "@type": kind("BadRequest"), "fieldViolations": [violation] }));
    }
    details
}

fn shape(fault: &Fault) -> (StatusCode, &'static str) {
    let (code, status) = usual_shape(fault);
    (fault.own_status().unwrap_or(code), status)
}

fn usual_shape(fault: &Fault) -> (StatusCode, &'static str) {
    match fault.class {
        Class::Auth => (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED"),
        Class::Permission => (StatusCode::FORBIDDEN, "PERMISSION_DENIED"),
        Class::NotFound => (StatusCode::NOT_FOUND, "NOT_FOUND"),
        Class::RateLimit | Class::Quota => (StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED"),
        Class::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
        Class::ContextLength | Class::TooLarge | Class::ContentPolicy | Class::InvalidRequest => {
            (StatusCode::BAD_REQUEST, "INVALID_ARGUMENT")
        }
        Class::Conflict => (StatusCode::CONFLICT, "ABORTED"),
        Class::Timeout => (StatusCode::GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED"),
        Class::Cancelled => (client_closed(), "CANCELLED"),
        _ if fault.is_our_credential() => (StatusCode::BAD_GATEWAY, "INTERNAL"),
        _ if fault.is_our_quota() => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn of(http: u16, status: &str, message: &str, details: &Value) -> Fault {
        let body =
            json!({"error":{"code":http,"status":status,"message":message,"details":details}});
        classify(
            StatusCode::from_u16(http).unwrap(),
            &HeaderMap::new(),
            body.to_string().as_bytes(),
        )
    }

    #[test]
    fn payment_required_is_a_quota_whatever_it_says() {
        let fault = classify(StatusCode::PAYMENT_REQUIRED, &HeaderMap::new(), b"{}");
        assert_eq!(fault.class, Class::Quota);
    }

    #[test]
    fn every_row_of_the_table_has_its_class() {
        for (http, status, message, expected) in [
            (400, "INVALID_ARGUMENT", "API key not valid. Please pass", Class::Auth),
            (401, "UNAUTHENTICATED", "", Class::Auth),
            (403, "PERMISSION_DENIED", "", Class::Permission),
            (400, "FAILED_PRECONDITION", "User location is not supported", Class::Permission),
            (400, "FAILED_PRECONDITION", "Please enable billing", Class::Quota),
            (429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted", Class::Quota),
            (429, "RESOURCE_EXHAUSTED", "", Class::RateLimit),
            (429, "", "", Class::RateLimit),
            (
                400,
                "INVALID_ARGUMENT",
                "The input token count (9) exceeds the maximum",
                Class::ContextLength,
            ),
            (
                400,
                "INVALID_ARGUMENT",
                "exceeds the maximum number of tokens allowed",
                Class::ContextLength,
            ),
            (400, "INVALID_ARGUMENT", "Request payload size exceeds the limit", Class::TooLarge),
            (413, "", "", Class::TooLarge),
            (503, "UNAVAILABLE", "", Class::Overloaded),
            (500, "INTERNAL", "The model is overloaded", Class::Overloaded),
            (404, "NOT_FOUND", "", Class::NotFound),
            (504, "DEADLINE_EXCEEDED", "", Class::Timeout),
            (499, "CANCELLED", "", Class::Cancelled),
            (409, "ABORTED", "", Class::Conflict),
            (400, "INVALID_ARGUMENT", "", Class::InvalidRequest),
            (501, "UNIMPLEMENTED", "", Class::InvalidRequest),
            (500, "INTERNAL", "", Class::ServerError),
            (502, "", "", Class::ServerError),
        ] {
            let fault = of(http, status, message, &json!([]));
            assert_eq!(fault.class, expected, "{http} {status} {message}");
        }
    }

    #[test]
    fn details_say_more_than_the_status() {
        let of = |http, status, detail: Value| of(http, status, "m", &json!([detail]));
        let fault = of(400, "INVALID_ARGUMENT", json!({"reason":"API_KEY_INVALID"}));
        assert_eq!((fault.class, fault.code.as_deref()), (Class::Auth, Some("API_KEY_INVALID")));
        let fault = of(403, "PERMISSION_DENIED", json!({"reason":"BILLING_DISABLED"}));
        assert_eq!(fault.class, Class::Quota);
        let daily = json!({"violations":[{"quotaId":"RequestsPerDayPerModel"}]});
        assert_eq!(of(429, "RESOURCE_EXHAUSTED", daily).class, Class::Quota);
        let minute = json!({"violations":[{"quotaId":"RequestsPerMinute"}]});
        assert_eq!(of(429, "RESOURCE_EXHAUSTED", minute).class, Class::RateLimit);
        let field = json!({"fieldViolations":[{"field":"contents[0]"}]});
        assert_eq!(of(400, "INVALID_ARGUMENT", field).param.as_deref(), Some("contents[0]"));
    }

    #[test]
    fn a_lost_signature_asks_for_a_repair() {
        let fault =
            of(400, "INVALID_ARGUMENT", "Function call is missing a thought_signature", &json!([]));
        assert!(fault.reasoning_replay && fault.class == Class::InvalidRequest);
    }

    fn rendered(fault: &Fault) -> (u16, Value) {
        let rendered = render(fault, "id");
        let body: Value = serde_json::from_slice(&rendered.body).unwrap();
        assert_eq!(body["error"]["code"], rendered.status.as_u16());
        (rendered.status.as_u16(), body)
    }

    #[test]
    fn what_is_rendered_is_read_as_the_same_class() {
        for class in Class::ALL {
            let (status, body) = rendered(&Fault::new(class, "why"));
            let expected = match class {
                Class::Connect => Class::ServerError,
                // The protocol has one word for all of them.
                Class::TooLarge | Class::ContentPolicy => Class::InvalidRequest,
                class => class,
            };
            let status = StatusCode::from_u16(status).unwrap();
            let read = classify(status, &HeaderMap::new(), body.to_string().as_bytes());
            assert_eq!(read.class, expected);
        }
    }

    #[test]
    fn a_known_pause_a_quota_and_a_field_have_their_details() {
        let mut fault = Fault::new(Class::RateLimit, "slow");
        fault.retry_after = Some(Duration::from_millis(1500));
        let (_, body) = rendered(&fault);
        assert_eq!(body["error"]["details"][0]["retryDelay"], "1.5s");
        let (_, body) = rendered(&Fault::new(Class::Quota, "spent"));
        assert!(body["error"]["details"][0]["violations"].is_array());
        let mut fault = Fault::new(Class::InvalidRequest, "bad");
        fault.param = Some("tools".into());
        let (_, body) = rendered(&fault);
        assert_eq!(body["error"]["details"][0]["fieldViolations"][0]["field"], "tools");
    }

    #[test]
    fn rejections_of_our_account_are_not_the_clients() {
        let (status, body) = rendered(&Fault::new(Class::Auth, "secret").hiding_ours());
        assert_eq!((status, &body["error"]["status"]), (502, &"INTERNAL".into()));
        assert!(body["error"]["message"].as_str().unwrap().starts_with("upstream_auth: "));
        let (status, body) = rendered(&Fault::new(Class::Quota, "secret").hiding_ours());
        assert_eq!((status, &body["error"]["status"]), (503, &"UNAVAILABLE".into()));
    }
}
