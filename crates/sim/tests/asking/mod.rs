//! Requests to the simulation, in each protocol's form.

use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tollgate_core::Protocol;
use tollgate_sim::{Sim, SimBody};
use tower::ServiceExt;

pub(super) const PATHS: [(Protocol, &str); 4] = [
    (Protocol::OpenAiChat, "/v1/chat/completions"),
    (Protocol::OpenAiResponses, "/v1/responses"),
    (Protocol::AnthropicMessages, "/v1/messages"),
    (Protocol::Gemini, "/v1beta/models/MODEL:generateContent"),
];

fn schema() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
}

/// A request in each protocol's form, with two tools offered.
pub(super) fn ask(protocol: Protocol, model: &str, prompt: &str) -> Value {
    let messages = json!([{"role": "user", "content": prompt}]);
    let function = |name: &str| json!({"name": name, "parameters": schema()});
    match protocol {
        Protocol::OpenAiChat => json!({"model": model, "messages": messages, "tools": [
            {"type": "function", "function": function("weather")},
            {"type": "function", "function": function("time")}]}),
        Protocol::OpenAiResponses => json!({"model": model, "input": prompt, "tools": [
            {"type": "function", "strict": true, "name": "weather", "parameters": schema()},
            {"type": "function", "strict": true, "name": "time", "parameters": schema()}]}),
        Protocol::AnthropicMessages => {
            json!({"model": model, "max_tokens": 4096, "messages": messages, "tools": [
                {"name": "weather", "input_schema": schema()},
                {"name": "time", "input_schema": schema()}]})
        }
        _ => json!({"contents": [{"role": "user", "parts": [{"text": prompt}]}],
            "tools": [{"functionDeclarations": [function("weather"), function("time")]}]}),
    }
}

pub(super) async fn post(sim: &Sim, path: &str, body: &Value) -> (StatusCode, HeaderMap, SimBody) {
    let request = Request::post(path).body(Full::from(body.to_string())).unwrap();
    let (head, body) = sim.clone().oneshot(request).await.unwrap().into_parts();
    (head.status, head.headers, body)
}

pub(super) async fn plain(
    sim: &Sim,
    protocol: Protocol,
    model: &str,
    prompt: &str,
) -> (u16, HeaderMap, Value) {
    let path = PATHS.iter().find(|(p, _)| *p == protocol).unwrap().1.replace("MODEL", model);
    let (status, headers, body) = post(sim, &path, &ask(protocol, model, prompt)).await;
    let bytes = body.collect().await.unwrap().to_bytes();
    (status.as_u16(), headers, serde_json::from_slice(&bytes).unwrap())
}

pub(super) async fn open(sim: &Sim, protocol: Protocol, model: &str, prompt: &str) -> SimBody {
    let mut body = ask(protocol, model, prompt);
    let mut path = PATHS.iter().find(|(p, _)| *p == protocol).unwrap().1.replace("MODEL", model);
    match protocol {
        Protocol::Gemini => path = path.replace("generate", "streamGenerate") + "?alt=sse",
        _ => body["stream"] = true.into(),
    }
    let (status, headers, body) = post(sim, &path, &body).await;
    assert_eq!(status, 200);
    assert_eq!(headers["content-type"], "text/event-stream");
    body
}

pub(super) async fn text(sim: &Sim, protocol: Protocol, model: &str, prompt: &str) -> String {
    let body = open(sim, protocol, model, prompt).await;
    String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

pub(super) fn events(stream: &str) -> Vec<Value> {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
}

/// A GET, or a POST where there is a body, that must succeed; `header` may say which client asks.
pub(super) async fn get(sim: &Sim, path: &str, body: Option<Value>, header: &'static str) -> Value {
    let request = Request::builder().uri(path).header(header, "x");
    let request = match body {
        Some(body) => request.method("POST").body(Full::from(body.to_string())),
        None => request.body(Full::default()),
    };
    let response = sim.clone().oneshot(request.unwrap()).await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}
