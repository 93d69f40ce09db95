//! Gemini generateContent.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use tollgate_core::Class;

use crate::{
    ask::{Ask, Bad, Choice, Format, Talk, Tool, read, text, tokens, weigh},
    bill::Spend,
    dialect::{Asked, Dialect, Fault, Turn},
    embed::{dimensions, vector},
    feed::Feed,
    json::{Json, Object, json, put},
    said::{Block, Finish, Used},
};

#[derive(Debug)]
pub(crate) struct Gemini;

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    contents: Option<&'a RawValue>,
    #[serde(borrow, rename = "systemInstruction", alias = "system_instruction")]
    system: Option<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    #[serde(rename = "toolConfig", alias = "tool_config", default)]
    tool_config: Value,
    #[serde(rename = "generationConfig", alias = "generation_config", default)]
    generation: Generation,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Generation {
    #[serde(alias = "max_output_tokens")]
    max_output_tokens: Option<u64>,
    #[serde(alias = "response_mime_type")]
    response_mime_type: Option<String>,
    #[serde(alias = "response_schema")]
    response_schema: Option<Value>,
    #[serde(alias = "response_json_schema", alias = "_responseJsonSchema")]
    response_json_schema: Option<Value>,
    #[serde(alias = "stop_sequences")]
    stop_sequences: Vec<String>,
    #[serde(alias = "thinking_config")]
    thinking_config: Option<ThinkingConfig>,
}

#[derive(Deserialize)]
struct ThinkingConfig {
    #[serde(rename = "includeThoughts", alias = "include_thoughts")]
    include_thoughts: Option<bool>,
    #[serde(rename = "thinkingBudget", alias = "thinking_budget")]
    budget: Option<i64>,
    #[serde(rename = "thinkingLevel", alias = "thinking_level")]
    level: Option<String>,
}

impl ThinkingConfig {
    fn shows(&self) -> bool {
        self.include_thoughts == Some(true)
    }

    /// Whether there are thoughts at all, shown or only counted.
    fn thinks(&self) -> bool {
        self.shows() || self.level.is_some() || self.budget.is_some_and(|budget| budget != 0)
    }
}

#[derive(Deserialize)]
struct Content<'a> {
    role: Option<String>,
    #[serde(borrow)]
    parts: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "functionResponse", alias = "function_response")]
    function_response: Option<FunctionResponse>,
}

#[derive(Deserialize)]
struct FunctionResponse {
    #[serde(default)]
    response: Value,
}

#[derive(Deserialize)]
struct Offered {
    #[serde(rename = "functionDeclarations", alias = "function_declarations", default)]
    declarations: Vec<Declaration>,
}

#[derive(Deserialize)]
struct Declaration {
    name: String,
    parameters: Option<Value>,
    #[serde(rename = "parametersJsonSchema", alias = "parameters_json_schema")]
    json_schema: Option<Value>,
}

fn wrong(error: &serde_json::Error) -> Bad {
    Bad::Value(format!("Invalid JSON payload received. {error}"))
}

fn tools(raw: Option<&RawValue>) -> Result<Vec<Tool>, Bad> {
    let Some(raw) = raw else { return Ok(Vec::new()) };
    let offered: Vec<Offered> = serde_json::from_str(raw.get()).map_err(|e| wrong(&e))?;
    let declared = offered.into_iter().flat_map(|tool| tool.declarations);
    let tool = |d: Declaration| Tool {
        name: d.name,
        schema: d.parameters.or(d.json_schema).unwrap_or_default(),
    };
    Ok(declared.map(tool).collect())
}

fn choice(config: &Value) -> Choice {
    let either = |a: &str, b: &str, value: &Value| value.get(a).or(value.get(b)).cloned();
    let calling = either("functionCallingConfig", "function_calling_config", config);
    let calling = calling.unwrap_or_default();
    let names = either("allowedFunctionNames", "allowed_function_names", &calling);
    let first = names.and_then(|names| Some(names.get(0)?.as_str()?.to_owned()));
    match (calling["mode"].as_str().map(str::to_ascii_uppercase).as_deref(), first) {
        (Some("ANY"), Some(name)) => Choice::Named(name),
        (Some("ANY"), None) => Choice::Any,
        (Some("NONE"), _) => Choice::None,
        _ => Choice::Auto,
    }
}

fn format(generation: &mut Generation) -> Format {
    let schema = generation.response_schema.take().or(generation.response_json_schema.take());
    match (schema, generation.response_mime_type.as_deref()) {
        (Some(schema), _) => Format::Schema(schema),
        (None, Some("application/json")) => Format::Json,
        _ => Format::Text,
    }
}

/// The last text a user wrote, and the function responses of the last content.
fn conversation(raw: &RawValue) -> Result<Talk, Bad> {
    let contents: Vec<Content<'_>> = match raw.get().starts_with('[') {
        true => serde_json::from_str(raw.get()),
        false => serde_json::from_str(raw.get()).map(|one| vec![one]),
    }
    .map_err(|e| wrong(&e))?;
    let (mut prompt, mut rounds) = (String::new(), 0);
    for content in contents.iter().rev() {
        if content.role.as_deref() == Some("model") {
            rounds += 1;
            continue;
        }
        prompt = text(content.parts)?;
        if !prompt.is_empty() {
            break;
        }
    }
    let last = contents.last().and_then(|content| content.parts);
    Ok(Talk { prompt, results: last.map_or(Ok(Vec::new()), results)?, rounds })
}

fn results(parts: &RawValue) -> Result<Vec<String>, Bad> {
    let parts: Vec<Part> = match parts.get().starts_with('[') {
        true => serde_json::from_str(parts.get()),
        false => serde_json::from_str(parts.get()).map(|one| vec![one]),
    }
    .map_err(|e| wrong(&e))?;
    let responses = parts.into_iter().filter_map(|part| part.function_response);
    Ok(responses.map(|response| response.response.to_string()).collect())
}

impl Dialect for Gemini {
    fn ask(&self, asked: &Asked<'_>, body: &[u8]) -> Result<Ask, Bad> {
        let mut request: Request<'_> = read(body)?;
        let contents = request.contents.ok_or(Bad::Missing("contents"))?;
        let Talk { prompt, results, rounds } = conversation(contents)?;
        let thinking = request.generation.thinking_config.as_ref();
        Ok(Ask {
            model: asked.model.to_owned(),
            stream: asked.stream,
            array: asked.array,
            prompt,
            results,
            rounds,
            tools: tools(request.tools)?,
            choice: choice(&request.tool_config),
            thinking: thinking.is_some_and(ThinkingConfig::thinks),
            quiet: thinking.is_some_and(|config| !config.shows()),
            limit: request.generation.max_output_tokens,
            stop: std::mem::take(&mut request.generation.stop_sequences),
            format: format(&mut request.generation),
            input: weigh([Some(contents), request.system, request.tools]),
            ..Ask::default()
        })
    }

    fn answer(&self, turn: &Turn<'_>) -> Json {
        let blocks = turn.said.blocks.iter().enumerate();
        let spoken = blocks.filter(|(_, block)| match block {
            Block::Thinking { .. } => !turn.ask.quiet,
            block => !matches!(block, Block::Refusal { .. }),
        });
        let parts = spoken.map(|(n, block)| match block {
            Block::Thinking { pieces, .. } => {
                json! {"text": Block::joined(pieces), "thought": true}
            }
            Block::Text { pieces } | Block::Refusal { pieces } => signed(turn, true, |o| {
                o.member("text", &Block::joined(pieces));
            }),
            Block::Call { name, arguments } => {
                let first = turn.said.first_call() == Some(n);
                signed(turn, first, |o| o.member("functionCall", &call(turn, n, name, arguments)))
            }
        });
        let parts = Json::list(parts);
        Json::object(|o| response(o, turn, &parts, true))
    }

    fn stream(&self, turn: &Turn<'_>, feed: &mut Feed) {
        for (n, block) in turn.said.blocks.iter().enumerate() {
            match block {
                Block::Thinking { .. } if turn.ask.quiet => {}
                Block::Thinking { pieces, .. } => pieces.iter().for_each(|piece| {
                    let part = json! {"text": piece, "thought": true};
                    part_of(turn, feed, part, Spend::thought(piece));
                }),
                Block::Text { pieces } => pieces.iter().for_each(|piece| {
                    part_of(turn, feed, json! {"text": piece}, Spend::text(piece));
                }),
                Block::Refusal { .. } => {}
                Block::Call { name, arguments } => {
                    let part = signed(turn, turn.said.first_call() == Some(n), |o| {
                        o.member("functionCall", &call(turn, n, name, arguments));
                    });
                    part_of(turn, feed, part, Spend::call(name, arguments));
                }
            }
        }
        let called = turn.said.finish == Finish::Calls;
        let last = signed(turn, !called, |o| o.member("text", ""));
        feed.data(Spend::NOTHING, |o| response(o, turn, &Json::list([last]), true));
        feed.close();
    }

    fn fail(&self, _: &Turn<'_>, fault: &Fault, feed: &mut Feed) {
        let (_, error) = inner(fault);
        feed.data(Spend::NOTHING, |o| o.member("error", &error));
        feed.close();
    }

    fn error(&self, fault: &Fault, _: &str) -> (u16, Json) {
        let (status, error) = inner(fault);
        (status, json! {"error": error})
    }

    fn bad(&self, bad: Bad) -> Fault {
        let message = match bad {
            Bad::Syntax(error) => format!("Invalid JSON payload received. {error}"),
            Bad::Missing(member) => {
                format!("* GenerateContentRequest.{member}: {member} is not specified\n")
            }
            Bad::Value(error) => error,
        };
        Fault::saying(Class::InvalidRequest, message)
    }
}

/// A part that carries the signature of the thoughts before it, if there are any.
fn signed(turn: &Turn<'_>, here: bool, fill: impl FnOnce(&mut Object<'_>)) -> Json {
    Json::object(|o| {
        fill(o);
        if let (true, Some(signature)) = (here, &turn.said.signature) {
            o.member("thoughtSignature", signature);
        }
    })
}

fn call(turn: &Turn<'_>, n: usize, name: &str, arguments: &str) -> Json {
    json! {"name": name, "args": Json(arguments.to_owned()), "id": turn.item("", n)}
}

fn part_of(turn: &Turn<'_>, feed: &mut Feed, part: Json, spend: Spend) {
    feed.data(spend, |o| response(o, turn, &Json::list([part]), false));
}

fn response(o: &mut Object<'_>, turn: &Turn<'_>, parts: &Json, last: bool) {
    o.only("candidates", |o| {
        o.member("content", &json! {"parts": parts, "role": "model"});
        if last {
            o.member("finishReason", finish(turn.said.finish));
        }
        o.member("index", &0_usize);
    });
    let usage = if last { usage(turn.said.used) } else { first_usage(turn.said.used) };
    put!(o, "usageMetadata": usage, "modelVersion": turn.ask.model, "responseId": turn.id);
}

fn finish(finish: Finish) -> &'static str {
    match finish {
        Finish::Length => "MAX_TOKENS",
        Finish::Refused => "SAFETY",
        _ => "STOP",
    }
}

fn first_usage(used: Used) -> Json {
    json! {"promptTokenCount": used.input, "totalTokenCount": used.input}
}

fn usage(used: Used) -> Json {
    Json::object(|o| {
        o.member("promptTokenCount", &used.input);
        o.member("candidatesTokenCount", &(used.output - used.reasoning));
        o.member("totalTokenCount", &(used.input + used.output));
        if used.cached > 0 {
            o.member("cachedContentTokenCount", &used.cached);
        }
        let details = json! {"modality": "TEXT", "tokenCount": used.input};
        o.member("promptTokensDetails", &[details]);
        if used.reasoning > 0 {
            o.member("thoughtsTokenCount", &used.reasoning);
        }
    })
}

struct Words {
    status: u16,
    name: &'static str,
    message: &'static str,
    details: Option<Json>,
}

fn words(class: Class) -> Words {
    let (status, name, message, details) = match class {
        Class::Auth => (
            400,
            INVALID,
            "API key not valid. Please pass a valid API key.",
            Some(json! {"@type": INFO, "reason": "API_KEY_INVALID", "domain": "googleapis.com"}),
        ),
        Class::Permission => {
            (403, "PERMISSION_DENIED", "The caller does not have permission", None)
        }
        Class::NotFound => (404, "NOT_FOUND", "models/unknown is not found for API version", None),
        Class::RateLimit => (
            429,
            "RESOURCE_EXHAUSTED",
            "Resource has been exhausted. Please retry in 2s.",
            Some(json! {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2s"}),
        ),
        Class::Quota => {
            (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", Some(quota()))
        }
        Class::Overloaded => {
            (503, "UNAVAILABLE", "The model is overloaded. Please try again later.", None)
        }
        Class::ContextLength => (
            400,
            INVALID,
            "The input token count (1100000) exceeds the maximum number of tokens allowed (1048576).",
            None,
        ),
        Class::TooLarge => {
            (400, INVALID, "Request payload size exceeds the limit: 20971520 bytes.", None)
        }
        Class::ContentPolicy | Class::InvalidRequest => {
            (400, INVALID, "Request contains an invalid argument.", None)
        }
        Class::Conflict => (409, "ABORTED", "The operation was aborted.", None),
        Class::Timeout => {
            (504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete.", None)
        }
        Class::Cancelled => (499, "CANCELLED", "The operation was cancelled.", None),
        _ => (500, "INTERNAL", "An internal error has occurred.", None),
    };
    Words { status, name, message, details }
}

const INVALID: &str = "INVALID_ARGUMENT";
const INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";

fn quota() -> Json {
    let violation = json! {
        "quotaMetric": "generativelanguage.googleapis.com/generate_content_requests",
        "quotaId": "GenerateRequestsPerDayPerProjectPerModel",
        "quotaValue": "250",
    };
    json! {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]}
}

fn inner(fault: &Fault) -> (u16, Json) {
    let words = words(fault.class);
    let error = Json::object(|o| {
        put!(o, "code": words.status, "message": fault.message(words.message), "status": words.name);
        if let Some(details) = &words.details {
            o.member("details", &[details]);
        }
    });
    (words.status, error)
}

#[derive(Deserialize)]
struct Embedding<'a> {
    #[serde(borrow)]
    content: Option<Content<'a>>,
    #[serde(rename = "outputDimensionality", alias = "output_dimensionality")]
    dimensions: Option<usize>,
}

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    requests: Option<Vec<Embedding<'a>>>,
}

impl Embedding<'_> {
    fn answer(&self) -> Result<(Json, u64), Bad> {
        let content = self.content.as_ref().ok_or(Bad::Missing("content"))?;
        let text = text(content.parts)?;
        let values = Json::list(vector(&text, dimensions(self.dimensions, 768)?));
        Ok((json! {"values": values}, tokens(text.len())))
    }
}

/// Answers `:embedContent`; and how many tokens it read.
pub(crate) fn embed(body: &[u8]) -> Result<(Json, u64), Bad> {
    let (embedding, used) = read::<Embedding<'_>>(body)?.answer()?;
    Ok((json! {"embedding": embedding}, used))
}

/// Answers `:batchEmbedContents`; and how many tokens it read.
pub(crate) fn embed_batch(body: &[u8]) -> Result<(Json, u64), Bad> {
    let requests = read::<Batch<'_>>(body)?.requests.ok_or(Bad::Missing("requests"))?;
    let answers = requests.iter().map(Embedding::answer).collect::<Result<Vec<_>, _>>()?;
    let used = answers.iter().map(|(_, used)| used).sum();
    Ok((json! {"embeddings": Json::list(answers.iter().map(|(answer, _)| answer))}, used))
}

#[derive(Deserialize)]
struct Count<'a> {
    #[serde(borrow)]
    contents: Option<&'a RawValue>,
    #[serde(borrow, rename = "generateContentRequest", alias = "generate_content_request")]
    whole: Option<&'a RawValue>,
}

/// The tokens of a `:countTokens` request, in either of its forms.
pub(crate) fn count(body: &[u8]) -> Result<u64, Bad> {
    let count: Count<'_> = read(body)?;
    match (count.whole, count.contents) {
        (Some(whole), _) => Ok(Gemini.ask(&Asked::default(), whole.get().as_bytes())?.input),
        (None, Some(contents)) => Ok(weigh([Some(contents)])),
        (None, None) => Err(Bad::Missing("contents")),
    }
}

pub(crate) fn model(id: &str) -> Json {
    json! {
        "name": format!("models/{id}"),
        "version": "001",
        "displayName": id,
        "description": "Simulated",
        "inputTokenLimit": 1_048_576_u64,
        "outputTokenLimit": 65_536_u64,
        "supportedGenerationMethods": ["generateContent", "countTokens", "embedContent"],
    }
}

pub(crate) fn models(ids: &[&str]) -> Json {
    json! {"models": Json::list(ids.iter().map(|id| model(id)))}
}
