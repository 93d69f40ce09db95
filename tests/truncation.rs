//! Every recorded stream, cut off: what did not finish never ends as finished.
//!
//! Each stream ends early, once cleanly and once by a reset, at each of its bytes (above 2 KiB at 64
//! of them). What the client gets is an HTTP error, or the bytes up to the cut in whole events and
//! then exactly one error event of its protocol; a success only where the cut left a complete answer.

use std::{collections::BTreeMap, convert::Infallible};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use libtest_mimic::{Arguments, Failed};
use serde_json::Value;
use tollgate_core::{Body, BoxError, Protocol};
use tollgate_gateway::{Readiness, SharedState, stack};
use tollgate_testkit::{Script, ScriptBody, recordings, shared_trial};
use tollgate_tests::{CLIENT_KEY, one_attempt, state};
use tower::{ServiceExt, service_fn};

const FOLDERS: [(&str, Protocol); 5] = [
    ("openai-chat", Protocol::OpenAiChat),
    ("other-openai-compatible", Protocol::OpenAiChat),
    ("openai-responses", Protocol::OpenAiResponses),
    ("anthropic-messages", Protocol::AnthropicMessages),
    ("gemini", Protocol::Gemini),
];

/// Into how many trials each folder is divided, so that every core has its share.
const SHARES: usize = 4;

fn main() {
    let mut trials = Vec::new();
    for (folder, protocol) in FOLDERS {
        for (reset, how) in [(false, "ends"), (true, "resets")] {
            for share in 0..SHARES {
                let inside = format!("fixtures/recorded/{folder}");
                let name = format!("{folder}::{how}::{}", share + 1);
                trials.push(shared_trial(&inside, &name, move |_| {
                    let streams = streams(folder)?;
                    assert!(!streams.is_empty(), "no stream recorded");
                    all(protocol, streams.iter().skip(share).step_by(SHARES), reset)
                }));
            }
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// The successful event streams of a folder, by their id.
fn streams(folder: &str) -> Result<Vec<(String, Bytes)>, Failed> {
    let successful =
        recordings(folder)?.into_iter().filter(|r| r.stream && r.response.status == 200);
    let streams = successful.map(|r| (r.id.clone(), r.response.body()));
    Ok(streams.filter(|(_, s)| s.starts_with(b"data:") || s.starts_with(b"event:")).collect())
}

fn all<'a>(
    protocol: Protocol,
    streams: impl Iterator<Item = &'a (String, Bytes)>,
    reset: bool,
) -> Result<(), Failed> {
    let state = state(protocol, "http://upstream.test", &["m"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut wrong = Vec::new();
    for (id, stream) in streams {
        for at in cuts(stream.len()) {
            let script = Script::new(stream.clone());
            let script = if reset { script.reset_at(at) } else { script.end_at(at) };
            let (status, body) = runtime.block_on(exchange(protocol, &state, script));
            if let Err(error) = judge(protocol, stream, at, reset, status, &body) {
                wrong.push(format!("{id} cut at {at} of {}: {error}", stream.len()));
                break;
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// Up to this size a stream is cut at each of its bytes; above it, at 64.
const ALL_CUTS: usize = 2048;

fn cuts(len: usize) -> Box<dyn Iterator<Item = usize>> {
    if len <= ALL_CUTS {
        return Box::new(0..len);
    }
    let step = len / 64;
    Box::new((0..64).map(move |i| i * step + i % step))
}

const ASKS_USAGE: &str = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#;

async fn exchange(protocol: Protocol, state: &SharedState, answer: Script) -> (StatusCode, Bytes) {
    let upstream = service_fn(move |_: Request<Body>| {
        let mut response: Response<ScriptBody> = Response::new(answer.body());
        let events = HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, events);
        async move { Ok::<_, Infallible>(response) }
    });
    let gateway = stack(state.clone(), Readiness::ready(), one_attempt(), upstream);
    let (path, body) = match protocol {
        Protocol::OpenAiResponses => ("/v1/responses", r#"{"model":"m","stream":true}"#),
        Protocol::AnthropicMessages => ("/v1/messages", r#"{"model":"m","stream":true}"#),
        Protocol::Gemini => ("/v1beta/models/m:streamGenerateContent?alt=sse", "{}"),
        // As those who recorded the streams did: else usage would be asked for, and taken out.
        _ => ("/v1/chat/completions", ASKS_USAGE),
    };
    let request = Request::post(path).header("x-api-key", CLIENT_KEY).body(Full::from(body));
    let response = gateway.oneshot(request.expect("valid")).await.expect("infallible");
    let (head, body) = response.into_parts();
    let body = body.map_err(Into::<BoxError>::into).collect().await.expect("ends honestly");
    (head.status, body.to_bytes())
}

fn judge(
    protocol: Protocol,
    stream: &Bytes,
    at: usize,
    reset: bool,
    status: StatusCode,
    body: &Bytes,
) -> Result<(), String> {
    let own = Events::of(if reset { whole(&stream[..at]) } else { &stream[..at] });
    if !status.is_success() {
        return if own.any_content(protocol) && !own.has_error() {
            Err(format!("status {status} although content had come"))
        } else {
            Ok(())
        };
    }
    let complete = own.complete(protocol, !reset && ends_whole(&stream[..at]));
    let events = Events::of(body);
    match (complete, events.errors()) {
        (true, 0) if body[..] == stream[..at] => Ok(()),
        (true, 0) => Err("a complete answer was changed".to_owned()),
        (_, 1) if own.has_error() => Ok(()),
        (false, 1) => {
            let ending = events.last_is_error();
            ending.then_some(()).ok_or_else(|| "something follows the error event".to_owned())
        }
        (complete, errors) => Err(format!("complete: {complete}, error events: {errors}")),
    }
}

/// The part of a stream up to the end of its last whole event: after a reset nothing else counts.
fn whole(bytes: &[u8]) -> &[u8] {
    let ends: [&[u8]; 3] = [b"\n\n", b"\n\r\n", b"\r\n\r"];
    let end = (0..=bytes.len()).rev().find(|at| ends.iter().any(|end| bytes[..*at].ends_with(end)));
    &bytes[..end.unwrap_or_default()]
}

/// Whether what follows the last whole event is nothing, or an event that only lacks its blank line.
fn ends_whole(bytes: &[u8]) -> bool {
    let rest = String::from_utf8_lossy(&bytes[whole(bytes).len()..]).into_owned();
    let data: Vec<_> = rest.lines().filter_map(|line| line.strip_prefix("data:")).collect();
    let data = data.join("\n");
    let known = data.trim() == "[DONE]" || serde_json::from_str::<Value>(&data).is_ok();
    rest.trim().is_empty() || known
}

/// The events of a stream, read the slow and plain way.
struct Events(Vec<Value>);

impl Events {
    fn of(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n").replace('\r', "\n");
        let events = text.split("\n\n").filter_map(|event| {
            let data: Vec<_> =
                event.lines().filter_map(|line| line.strip_prefix("data:")).collect();
            let data = data.join("\n");
            serde_json::from_str(data.trim()).ok()
        });
        Self(events.collect())
    }

    fn has_error(&self) -> bool {
        self.errors() > 0
    }

    fn errors(&self) -> usize {
        self.0.iter().filter(|event| is_error(event)).count()
    }

    fn last_is_error(&self) -> bool {
        self.0.last().is_some_and(is_error)
    }

    fn any_content(&self, protocol: Protocol) -> bool {
        self.0.iter().any(|event| match protocol {
            Protocol::AnthropicMessages => {
                let delta = &event["delta"];
                let said = ["text", "thinking", "partial_json"].iter().any(|k| filled(&delta[*k]));
                said && event["type"] == "content_block_delta"
            }
            Protocol::OpenAiResponses => {
                let kind = event["type"].as_str().unwrap_or_default();
                kind.ends_with(".delta") && filled(&event["delta"])
            }
            Protocol::Gemini => {
                let parts = event.pointer("/candidates/0/content/parts");
                let parts = parts.and_then(Value::as_array).into_iter().flatten();
                parts
                    .into_iter()
                    .any(|part| filled(&part["text"]) || part.get("functionCall").is_some())
            }
            _ => filled(&event["choices"][0]["delta"]["content"]),
        })
    }

    fn complete(&self, protocol: Protocol, clean: bool) -> bool {
        let of_type = |kinds: &[&str]| {
            self.0.iter().any(|event| kinds.contains(&event["type"].as_str().unwrap_or_default()))
        };
        match protocol {
            Protocol::AnthropicMessages => of_type(&["message_stop"]),
            Protocol::OpenAiResponses => of_type(&["response.completed", "response.incomplete"]),
            Protocol::Gemini => clean && self.finished("candidates", "finishReason"),
            _ => clean && self.finished("choices", "finish_reason"),
        }
    }

    /// Whether every alternative that was begun has said why it ended.
    fn finished(&self, list: &str, reason: &str) -> bool {
        let mut seen = BTreeMap::new();
        for event in &self.0 {
            if event.pointer("/promptFeedback/blockReason").is_some() {
                return true;
            }
            for choice in event[list].as_array().into_iter().flatten() {
                let index = choice["index"].as_u64().unwrap_or_default();
                let ended = match &choice[reason] {
                    Value::Null => false,
                    Value::String(text) => !text.is_empty(),
                    _ => true,
                };
                *seen.entry(index).or_insert(false) |= ended;
            }
        }
        !seen.is_empty() && seen.values().all(|ended| *ended)
    }
}

fn is_error(event: &Value) -> bool {
    let kind = event["type"].as_str().unwrap_or_default();
    let named = kind == "error" || kind == "response.failed";
    named
        || event.get("error").is_some_and(|error| !error.is_null())
            && event.get("choices").is_none()
}

fn filled(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}
