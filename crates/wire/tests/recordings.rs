//! What real providers answered, read by the dialects.
//!
//! The recordings stand in `$TOLLGATE_SHARED/fixtures/recorded`, by default beside the workspace.
//! Without them every test is listed as ignored; with `CI=true` their absence is a failure.

use std::{fs, path::Path};

use http::{HeaderMap, StatusCode};
use libtest_mimic::{Arguments, Failed};
use serde_json::Value;
use tollgate_core::{Call, CallFacts, Class, Frames, Operation, Protocol};
use tollgate_testkit::shared_trial;
use tollgate_wire::{
    Event, Seen, dialect,
    json::Object,
    peek::{Peek, peek},
};

/// Folders of recordings and the protocol each is of; `None` says that the path decides.
const FOLDERS: [(&str, Option<Protocol>); 9] = [
    ("openai-chat", Some(Protocol::OpenAiChat)),
    ("other-openai-compatible", Some(Protocol::OpenAiChat)),
    ("openai-embeddings", Some(Protocol::OpenAiChat)),
    ("models-list", Some(Protocol::OpenAiChat)),
    ("openai-responses", Some(Protocol::OpenAiResponses)),
    ("anthropic-messages", Some(Protocol::AnthropicMessages)),
    ("gemini", Some(Protocol::Gemini)),
    ("gemini-embeddings", Some(Protocol::Gemini)),
    ("count-tokens", None),
];

/// Streams that are not complete, and why.
const BROKEN_STREAMS: [(&str, &str); 2] = [
    (
        "pydantic-ai-groq-test-tool-use-failed-error-streaming-0-9cdccc",
        "the server ends it with an error of its own",
    ),
    (
        "pydantic-ai-openrouter-test-openrouter-stream-error-0-267b11",
        "an error follows the finish, beside a choice that says nothing",
    ),
];

/// The class of every error answer there is.
const ERRORS: &[(&str, Class)] = &[
    ("langchaingo-bedrock-testbedrockanthropictoolcalling-0-be4a73", Class::Permission),
    ("langchaingo-bedrock-testbedrockanthropictoolcalling-1-b4e97c", Class::Permission),
    (
        "otel-js-bedrock-bedrock-invokemodelwithstreams-adds-claude-model-attributes-to-s-0-80609c",
        Class::Permission,
    ),
    (
        "pydantic-ai-anthropic-test-anthropic-explicit-effort-xhigh-unsupported-model-errors-0-e75b69",
        Class::InvalidRequest,
    ),
    ("pydantic-ai-anthropic-test-model-name-suggestion-anthropic-0-e80ff8", Class::NotFound),
    ("pydantic-ai-anthropic-test-anthropic-count-tokens-error-0-0441a0", Class::NotFound),
    ("pydantic-ai-google-testgoogle-test-count-tokens-error-0-94ba0a", Class::NotFound),
    ("pydantic-ai-google-testgoogle-test-embed-error-0-2bae05", Class::NotFound),
    ("langchaingo-google-testgoogleaierrorhandling-0-925a48", Class::Permission),
    ("mirascope-google-google-wraps-api-errors-on-stream-call-0-649b31", Class::NotFound),
    (
        "mirascope-google-test-model-not-found-stream-google-gemini-2-5-flash-0-6fb908",
        Class::NotFound,
    ),
    ("pydantic-ai-google-test-model-name-suggestion-google-0-b18fe2", Class::NotFound),
    (
        "pydantic-ai-vertex-test-multimodal-tool-return-matrix-direct-url-image-google-verte-2-9ca4ae",
        Class::InvalidRequest,
    ),
    (
        "pydantic-ai-vertex-test-multimodal-tool-return-matrix-tool-return-content-url-image-3-11f3c8",
        Class::InvalidRequest,
    ),
    ("vercel-ai-google-google-429-retry-info-0-621ad2", Class::RateLimit),
    ("ruby-openai-openai-http-get-with-error-response-0-7d37ca", Class::InvalidRequest),
    ("ruby-openai-openai-http-get-with-error-response-0-dc0aff", Class::InvalidRequest),
    ("elastic-otel-openai-test-chat-with-model-not-found-0-4e273e", Class::NotFound),
    (
        "mirascope-openai-test-model-not-found-stream-openai-gpt-4o-completions-0-e29f33",
        Class::NotFound,
    ),
    ("pydantic-ai-openai-test-model-name-suggestion-openai-chat-0-3eae54", Class::NotFound),
    (
        "pydantic-ai-openai-test-multimodal-tool-return-matrix-direct-binary-audio-openai-ch-1-1fab88",
        Class::InvalidRequest,
    ),
    (
        "pydantic-ai-openai-test-multimodal-tool-return-matrix-direct-url-audio-openai-chat-2-3b4f5f",
        Class::InvalidRequest,
    ),
    (
        "pydantic-ai-openai-test-multimodal-tool-return-matrix-tool-return-content-url-audio-2-f3c675",
        Class::InvalidRequest,
    ),
    (
        "pydantic-ai-openai-test-openai-o1-mini-system-role-developer-0-c78289",
        Class::InvalidRequest,
    ),
    ("pydantic-ai-openai-test-openai-o1-mini-system-role-system-0-3e721a", Class::InvalidRequest),
    (
        "pydantic-ai-openai-test-openai-web-search-tool-model-not-supported-0-0c78d9",
        Class::InvalidRequest,
    ),
    ("vercel-ai-openai-reasoning-model-legacy-parameter-error-0-43fb65", Class::InvalidRequest),
    ("elastic-otel-openai-test-embeddings-model-not-found-0-33f017", Class::NotFound),
    ("pydantic-ai-openai-testopenai-test-embed-error-0-ec5aa6", Class::NotFound),
    ("pydantic-ai-voyage-testvoyageai-test-embed-error-0-fe354c", Class::InvalidRequest),
    (
        "pydantic-ai-deepseek-test-deepseek-responses-rejects-interleaved-function-calls-0-e803d4",
        Class::InvalidRequest,
    ),
    ("pydantic-ai-openai-test-inferred-model-name-suggestion-0-802f05", Class::NotFound),
    (
        "pydantic-ai-openai-test-multimodal-tool-return-matrix-direct-url-audio-openai-respo-1-2dc6f9",
        Class::InvalidRequest,
    ),
    (
        "pydantic-ai-openai-test-multimodal-tool-return-matrix-tool-return-content-url-audio-1-81289d",
        Class::InvalidRequest,
    ),
    (
        "pydantic-ai-openai-test-multimodal-tool-return-matrix-tool-return-content-url-force-2-2d5635",
        Class::InvalidRequest,
    ),
    (
        "pydantic-ai-openai-test-openai-responses-thinking-with-modified-history-1-0a1773",
        Class::InvalidRequest,
    ),
    ("pydantic-ai-groq-test-tool-regular-error-0-ee1e3f", Class::NotFound),
    ("pydantic-ai-openrouter-test-openrouter-errors-raised-0-7b3778", Class::RateLimit),
    ("pydantic-ai-openrouter-test-openrouter-errors-raised-1-543235", Class::RateLimit),
];

#[derive(Debug)]
struct Recording {
    id: String,
    protocol: Protocol,
    request: Value,
    response: Value,
}

impl Recording {
    fn read(path: &Path, protocol: Option<Protocol>) -> Option<Self> {
        let text = fs::read(path).expect("a listed file can be read");
        let mut whole: Value = serde_json::from_slice(&text).expect("a recording is JSON");
        let protocol = protocol.or_else(|| of_path(whole["request"]["path"].as_str()?))?;
        Some(Self {
            id: whole["id"].as_str()?.to_owned(),
            protocol,
            request: whole["request"].take(),
            response: whole["response"].take(),
        })
    }

    fn status(&self) -> StatusCode {
        let status = self.response["status"].as_u64().expect("a status");
        StatusCode::from_u16(status.try_into().expect("16 bits")).expect("a status")
    }

    fn headers(&self) -> HeaderMap {
        let headers = self.response["headers"].as_object().into_iter().flatten();
        headers
            .filter_map(|(name, value)| Some((name.parse().ok()?, value.as_str()?.parse().ok()?)))
            .collect()
    }

    /// The response's text: as recorded, or its JSON written again.
    fn text(&self) -> Vec<u8> {
        match &self.response["raw"] {
            Value::String(raw) => raw.clone().into_bytes(),
            _ => self.response["body"].to_string().into_bytes(),
        }
    }

    fn peek(&self) -> Result<Peek, String> {
        let body = Frames::new(vec![self.request["body"].to_string().into()]);
        peek(dialect(self.protocol), &body).map_err(|error| format!("{}: {error:?}", self.id))
    }

    fn call(&self) -> Call {
        let seen = self.peek().ok();
        CallFacts {
            candidates: seen.and_then(|seen| seen.candidates).unwrap_or(1),
            ..(*Call::new(self.protocol, Operation::Generate)).clone()
        }
        .into()
    }

    /// The events of a streamed answer with status 200; `None` for any other.
    fn events(&self) -> Option<Vec<(Option<String>, String)>> {
        if self.status() != StatusCode::OK {
            return None;
        }
        match (&self.response["raw"], &self.response["body"]) {
            (Value::String(raw), _) => Some(events(raw)),
            (_, Value::Array(elements)) if self.protocol == Protocol::Gemini => {
                Some(elements.iter().map(|element| (None, element.to_string())).collect())
            }
            _ => None,
        }
    }
}

fn of_path(path: &str) -> Option<Protocol> {
    match path {
        _ if path.starts_with("/v1/messages") => Some(Protocol::AnthropicMessages),
        _ if path.starts_with("/v1/responses") => Some(Protocol::OpenAiResponses),
        _ if path.starts_with("/v1beta") => Some(Protocol::Gemini),
        _ => None,
    }
}

/// Cuts a whole stream into events.
fn events(raw: &str) -> Vec<(Option<String>, String)> {
    let (mut events, mut name, mut data) = (Vec::new(), None, Vec::new());
    for line in raw.lines().chain([""]) {
        match line.split_once(':') {
            None if line.is_empty() && data.is_empty() => name = None,
            None if line.is_empty() => events.push((name.take(), data.join("\n"))),
            Some(("event", value)) => {
                name = Some(value.trim_start().to_owned());
                continue;
            }
            Some(("data", value)) => {
                data.push(value.strip_prefix(' ').unwrap_or(value).to_owned());
                continue;
            }
            _ => continue,
        }
        data.clear();
    }
    events
}

/// Says independently of the automata whether a stream is complete.
#[derive(Debug, Default)]
struct Oracle {
    terminal: bool,
    answers: Vec<(u64, bool)>,
}

impl Oracle {
    fn see(&mut self, protocol: Protocol, data: &str) {
        let Ok(event) = serde_json::from_str::<Value>(data) else { return };
        match protocol {
            Protocol::OpenAiChat => self.answers(&event["choices"], "finish_reason"),
            Protocol::Gemini => self.answers(&event["candidates"], "finishReason"),
            _ => {
                self.terminal |= matches!(
                    event["type"].as_str(),
                    Some("message_stop" | "response.completed" | "response.incomplete")
                );
            }
        }
    }

    fn answers(&mut self, list: &Value, reason: &str) {
        for answer in list.as_array().into_iter().flatten() {
            let index = answer["index"].as_u64().unwrap_or(0);
            let finished = answer.get(reason).is_some_and(|reason| !reason.is_null());
            let finished = finished && answer[reason] != "";
            match self.answers.iter_mut().find(|(seen, _)| *seen == index) {
                Some((_, done)) => *done |= finished,
                None => self.answers.push((index, finished)),
            }
        }
    }

    fn is_complete(&self) -> bool {
        let finished = self.answers.iter().all(|(_, finished)| *finished);
        self.terminal || (finished && !self.answers.is_empty())
    }
}

/// A stream commits, is complete at its end, and at no event before that passes for complete.
fn streams(recording: &Recording) -> Result<(), String> {
    let Some(events) = recording.events() else { return Ok(()) };
    let mut automaton = dialect(recording.protocol).automaton(&recording.call());
    let mut oracle = Oracle::default();
    let (mut committed, mut failed) = (false, false);
    for (at, (name, data)) in events.iter().enumerate() {
        oracle.see(recording.protocol, data);
        match automaton.event(Event { name: name.as_deref(), data: data.as_bytes() }) {
            Seen::Content => committed = true,
            Seen::Error(_) => failed = true,
            Seen::Malformed => return Err(format!("event {at} is malformed: {data}")),
            Seen::Lifecycle | Seen::Unfinished => {}
        }
        let complete = automaton.is_complete(true);
        if complete != (oracle.is_complete() && !failed) {
            return Err(format!("after event {at} of {} complete: {complete}", events.len()));
        }
    }
    let broken = BROKEN_STREAMS.iter().any(|(id, _)| *id == recording.id);
    let complete = automaton.is_complete(true);
    if complete == broken || failed != broken || !(committed || broken) {
        return Err(format!("committed: {committed}, complete: {complete}, failed: {failed}"));
    }
    if matches!(recording.protocol, Protocol::OpenAiChat | Protocol::Gemini)
        && automaton.is_complete(false)
    {
        return Err("a body that broke off passes for complete".to_owned());
    }
    Ok(())
}

/// Every error answer has its class, its message, and comes out the same once rendered.
fn errors(recording: &Recording) -> Result<(), String> {
    if recording.status() == StatusCode::OK {
        return Ok(());
    }
    let dialect = dialect(recording.protocol);
    let body = recording.text();
    let fault = dialect.classify(recording.status(), &recording.headers(), &body);
    let expected = ERRORS.iter().find(|(id, _)| *id == recording.id).map(|(_, class)| *class);
    if Some(fault.class) != expected {
        return Err(format!("{:?}, expected {expected:?}: {}", fault.class, fault.message));
    }
    let said: Value = serde_json::from_slice(&body).unwrap_or_default();
    if !said.to_string().contains(Value::from(fault.message.as_str()).to_string().trim_matches('"'))
    {
        return Err(format!("its message is not the upstream's: {}", fault.message));
    }
    let rendered = dialect.render(&fault, "id");
    let again = dialect.classify(rendered.status, &rendered.headers, &rendered.body);
    match (again.class, again.message) == (fault.class, fault.message) {
        true => Ok(()),
        false => Err(format!("rendered it is {:?}", again.class)),
    }
}

/// Clients write it both ways.
fn gemini_limit(config: &Value) -> &Value {
    match &config["maxOutputTokens"] {
        Value::Null => &config["max_output_tokens"],
        limit => limit,
    }
}

/// A request's body is read as serde reads it.
fn requests(recording: &Recording) -> Result<(), String> {
    let body = &recording.request["body"];
    if !body.is_object() {
        return Ok(());
    }
    let seen = recording.peek()?;
    let reads_model = recording.protocol != Protocol::Gemini;
    let model = body["model"].as_str().filter(|_| reads_model);
    let limit = match recording.protocol {
        Protocol::OpenAiResponses => &body["max_output_tokens"],
        Protocol::AnthropicMessages => &body["max_tokens"],
        Protocol::Gemini => gemini_limit(&body["generationConfig"]),
        _ if body["max_completion_tokens"].is_u64() => &body["max_completion_tokens"],
        _ => &body["max_tokens"],
    };
    let stream = reads_model && body["stream"] == true;
    let tools = body["tools"].as_array().is_some_and(|tools| !tools.is_empty());
    let tools = tools || body["functions"].as_array().is_some_and(|tools| !tools.is_empty());
    if (seen.model.as_deref(), seen.output_limit) != (model, limit.as_u64()) {
        return Err(format!("model or limit: {seen:?}"));
    }
    if (seen.stream, seen.needs.tools) != (stream, tools) {
        return Err(format!("stream or tools: {seen:?}"));
    }
    Ok(())
}

/// A whole answer with status 200 is no error.
fn answers(recording: &Recording) -> Result<(), String> {
    if recording.status() != StatusCode::OK || !recording.response["body"].is_object() {
        return Ok(());
    }
    let text = recording.text();
    match dialect(recording.protocol).error_in_answer(Object::new(&text)) {
        None => Ok(()),
        Some(fault) => Err(format!("passes for an error: {fault:?}")),
    }
}

type Check = fn(&Recording) -> Result<(), String>;

const CHECKS: [(&str, Check); 4] = [
    ("streams_commit_and_are_complete_only_at_their_end", streams),
    ("errors_have_their_class_and_message", errors),
    ("requests_are_read_as_serde_reads_them", requests),
    ("answers_are_no_errors", answers),
];

fn run(folder: &Path, protocol: Option<Protocol>, check: Check) -> Result<(), Failed> {
    let files = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut wrong = Vec::new();
    for file in files.filter_map(Result::ok) {
        let Some(recording) = Recording::read(&file.path(), protocol) else { continue };
        if let Err(why) = check(&recording) {
            wrong.push(format!("{}: {why}", recording.id));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

fn main() {
    let mut trials = Vec::new();
    for (name, protocol) in FOLDERS {
        for (sentence, check) in CHECKS {
            let inside = format!("fixtures/recorded/{name}");
            let sentence = format!("{name}::{sentence}");
            trials
                .push(shared_trial(&inside, &sentence, move |folder| run(folder, protocol, check)));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
