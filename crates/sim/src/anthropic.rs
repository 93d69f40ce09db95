//! Anthropic Messages.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use tollgate_core::Class;

use crate::{
    ask::{Ask, Bad, Choice, Format, Talk, Tool, parse, read, text, weigh},
    bill::Spend,
    chat::halves,
    dialect::{Asked, Dialect, Fault, Turn},
    feed::Feed,
    json::{Json, Null, json, put},
    said::{Block, Finish, Used},
};

#[derive(Debug)]
pub(crate) struct Anthropic;

#[derive(Deserialize)]
struct Request<'a> {
    model: Option<String>,
    max_tokens: Option<u64>,
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    #[serde(borrow)]
    system: Option<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    tool_choice: Option<ToolChoice>,
    thinking: Option<Thinking>,
    output_config: Option<OutputConfig>,
    stream: Option<bool>,
    #[serde(default)]
    stop_sequences: Vec<String>,
}

#[derive(Deserialize)]
struct ToolChoice {
    r#type: String,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Thinking {
    r#type: String,
}

#[derive(Deserialize)]
struct OutputConfig {
    format: Option<OutputFormat>,
}

#[derive(Deserialize)]
struct OutputFormat {
    schema: Option<Value>,
}

#[derive(Deserialize)]
struct Message<'a> {
    role: String,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Piece<'a> {
    r#type: Option<String>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Offered {
    name: String,
    input_schema: Option<Value>,
}

fn tools(raw: Option<&RawValue>) -> Result<Vec<Tool>, Bad> {
    let Some(raw) = raw else { return Ok(Vec::new()) };
    let offered: Vec<Offered> = parse(raw)?;
    // A tool without a schema is the provider's own.
    let own = |tool: Offered| Some(Tool { name: tool.name, schema: tool.input_schema? });
    Ok(offered.into_iter().filter_map(own).collect())
}

fn choice(choice: Option<ToolChoice>) -> Choice {
    match choice {
        Some(ToolChoice { name: Some(name), .. }) => Choice::Named(name),
        Some(choice) if choice.r#type == "any" => Choice::Any,
        Some(choice) if choice.r#type == "none" => Choice::None,
        _ => Choice::Auto,
    }
}

/// The last text a user wrote, and the tool results of the last message.
fn conversation(raw: &RawValue) -> Result<Talk, Bad> {
    let messages: Vec<Message<'_>> = serde_json::from_str(raw.get())
        .map_err(|error| Bad::Value(format!("messages: {error}")))?;
    let Some(last) = messages.last() else {
        return Err(Bad::Value("messages: at least one message is required".into()));
    };
    let (mut prompt, mut rounds) = (String::new(), 0);
    for message in messages.iter().rev() {
        if message.role != "user" {
            rounds += 1;
            continue;
        }
        prompt = text(message.content)?;
        if !prompt.is_empty() {
            break;
        }
    }
    Ok(Talk { prompt, results: results(last)?, rounds })
}

fn results(message: &Message<'_>) -> Result<Vec<String>, Bad> {
    let Some(content) = message.content.filter(|raw| raw.get().starts_with('[')) else {
        return Ok(Vec::new());
    };
    let blocks: Vec<Piece<'_>> =
        serde_json::from_str(content.get()).map_err(|error| Bad::Value(error.to_string()))?;
    let results = blocks.iter().filter(|block| block.r#type.as_deref() == Some("tool_result"));
    results.map(|block| text(block.content)).collect()
}

impl Anthropic {
    /// Reads a request; `max_tokens` may be missing where only tokens are counted.
    pub(crate) fn read(body: &[u8], counting: bool) -> Result<Ask, Bad> {
        let request: Request<'_> = read(body)?;
        let model = request.model.ok_or(Bad::Missing("model"))?;
        if request.max_tokens.is_none() && !counting {
            return Err(Bad::Missing("max_tokens"));
        }
        let messages = request.messages.ok_or(Bad::Missing("messages"))?;
        let Talk { prompt, results, rounds } = conversation(messages)?;
        let schema = request.output_config.and_then(|config| config.format?.schema);
        Ok(Ask {
            model,
            stream: request.stream.unwrap_or(false),
            prompt,
            results,
            rounds,
            tools: tools(request.tools)?,
            choice: choice(request.tool_choice),
            format: schema.map_or(Format::Text, Format::Schema),
            thinking: request.thinking.is_some_and(|thinking| thinking.r#type != "disabled"),
            limit: request.max_tokens,
            stop: request.stop_sequences,
            input: weigh([Some(messages), request.system, request.tools]),
            ..Ask::default()
        })
    }
}

impl Dialect for Anthropic {
    fn ask(&self, _: &Asked<'_>, body: &[u8]) -> Result<Ask, Bad> {
        Self::read(body, false)
    }

    fn answer(&self, turn: &Turn<'_>) -> Json {
        let content =
            turn.said.blocks.iter().enumerate().map(|(n, block)| block_of(turn, n, block));
        let content = Json::list(content);
        message(
            turn,
            &content,
            Some(turn.said.finish),
            &usage(turn.said.used, turn.said.used.output),
        )
    }

    fn stream(&self, turn: &Turn<'_>, feed: &mut Feed) {
        let start = message(turn, &Json("[]".into()), None, &usage(turn.said.used, 1));
        feed.event("message_start", Spend::NOTHING, |o| o.member("message", &start));
        feed.event("ping", Spend::NOTHING, |_| {});
        for (n, block) in turn.said.blocks.iter().enumerate() {
            stream_block(turn, feed, n, block);
        }
        let delta = json! {
            "stop_reason": finish(turn.said.finish), "stop_sequence": turn.said.stopped,
            "stop_details": details(turn.said.finish), "container": Null,
        };
        feed.event("message_delta", Spend::NOTHING, |o| {
            put!(o, "delta": delta, "usage": final_usage(turn.said.used));
        });
        feed.event("message_stop", Spend::NOTHING, |_| {});
    }

    fn fail(&self, turn: &Turn<'_>, fault: &Fault, feed: &mut Feed) {
        let (_, error) = inner(fault);
        feed.event("error", Spend::NOTHING, |o| {
            put!(o, "error": error, "request_id": turn.item("req_", 0));
        });
    }

    fn error(&self, fault: &Fault, request: &str) -> (u16, Json) {
        let (status, error) = inner(fault);
        (status, json! {"type": "error", "error": error, "request_id": request})
    }

    fn bad(&self, bad: Bad) -> Fault {
        let message = match bad {
            Bad::Syntax(error) => format!("The request body is not valid JSON: {error}"),
            Bad::Missing(member) => format!("{member}: Field required"),
            Bad::Value(error) => error,
        };
        Fault::saying(Class::InvalidRequest, message)
    }
}

fn message(turn: &Turn<'_>, content: &Json, stop: Option<Finish>, usage: &Json) -> Json {
    json! {
        "model": turn.ask.model,
        "id": format!("msg_{}", turn.id),
        "type": "message",
        "role": "assistant",
        "content": content,
        "stop_reason": stop.map(finish),
        "stop_sequence": stop.and(turn.said.stopped.as_ref()),
        "stop_details": stop.and_then(details),
        "container": Null,
        "usage": usage,
    }
}

fn block_of(turn: &Turn<'_>, n: usize, block: &Block) -> Json {
    match block {
        Block::Thinking { pieces, signature } => {
            let text = Block::joined(pieces);
            json! {"type": "thinking", "thinking": text, "signature": signature}
        }
        Block::Text { pieces } | Block::Refusal { pieces } => {
            json! {"type": "text", "text": Block::joined(pieces)}
        }
        Block::Call { name, arguments } => tool_use(turn, n, name, arguments),
    }
}

fn tool_use(turn: &Turn<'_>, n: usize, name: &str, input: &str) -> Json {
    let caller = json! {"type": "direct"};
    json! {
        "type": "tool_use", "id": turn.item("toolu_", n), "name": name,
        "input": Json(input.to_owned()), "caller": caller,
    }
}

fn stream_block(turn: &Turn<'_>, feed: &mut Feed, n: usize, block: &Block) {
    let head = match block {
        Block::Thinking { .. } => json! {"type": "thinking", "thinking": "", "signature": ""},
        Block::Text { .. } | Block::Refusal { .. } => {
            json! {"type": "text", "text": ""}
        }
        Block::Call { name, .. } => tool_use(turn, n, name, "{}"),
    };
    feed.event("content_block_start", Spend::NOTHING, |o| {
        put!(o, "index": n, "content_block": head);
    });
    match block {
        Block::Text { pieces } | Block::Refusal { pieces } => pieces.iter().for_each(|piece| {
            delta(feed, n, ("text_delta", "text", piece), Spend::text(piece));
        }),
        Block::Thinking { pieces, signature } => {
            for piece in pieces {
                delta(feed, n, ("thinking_delta", "thinking", piece), Spend::thought(piece));
            }
            delta(feed, n, ("signature_delta", "signature", signature), Spend::NOTHING);
        }
        Block::Call { name, arguments } => {
            delta(feed, n, ("input_json_delta", "partial_json", ""), Spend::call(name, arguments));
            for half in halves(arguments) {
                delta(feed, n, ("input_json_delta", "partial_json", half), Spend::NOTHING);
            }
        }
    }
    feed.event("content_block_stop", Spend::NOTHING, |o| o.member("index", &n));
}

fn delta(feed: &mut Feed, n: usize, (kind, key, text): (&str, &str, &str), spend: Spend) {
    feed.event("content_block_delta", spend, |o| {
        o.member("index", &n);
        o.nested("delta", |o| {
            o.member("type", kind);
            o.member(key, text);
        });
    });
}

fn finish(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
        Finish::Calls => "tool_use",
        Finish::Sequence => "stop_sequence",
        Finish::Refused => "refusal",
    }
}

/// Why it refused.
fn details(finish: Finish) -> Option<Json> {
    (finish == Finish::Refused).then(|| {
        json! {
            "type": "refusal", "category": Null, "explanation": "The request is against the rules.",
        }
    })
}

/// Input counts leave out what was read from or written to the cache.
fn usage(used: Used, output: u64) -> Json {
    let creation = json! {
        "ephemeral_5m_input_tokens": used.written, "ephemeral_1h_input_tokens": 0_u64,
    };
    json! {
        "input_tokens": used.input - used.cached - used.written,
        "cache_creation_input_tokens": used.written,
        "cache_read_input_tokens": used.cached,
        "cache_creation": creation,
        "output_tokens": output,
        "output_tokens_details": thinking(used),
        "server_tool_use": Null,
        "service_tier": "standard",
        "inference_geo": Null,
    }
}

fn final_usage(used: Used) -> Json {
    json! {
        "input_tokens": used.input - used.cached - used.written,
        "cache_creation_input_tokens": used.written,
        "cache_read_input_tokens": used.cached,
        "output_tokens": used.output,
        "output_tokens_details": thinking(used),
        "server_tool_use": Null,
    }
}

fn thinking(used: Used) -> Json {
    json! {"thinking_tokens": used.reasoning}
}

fn inner(fault: &Fault) -> (u16, Json) {
    let (status, kind, message) = match fault.class {
        Class::Auth => (401, "authentication_error", "invalid x-api-key"),
        Class::Permission => {
            (403, "permission_error", "Your API key does not have permission to use this resource.")
        }
        Class::NotFound => (404, "not_found_error", "model: not found"),
        Class::RateLimit => {
            (429, "rate_limit_error", "This request would exceed your account's rate limit.")
        }
        Class::Quota => (402, "billing_error", "Your credit balance is too low."),
        Class::Overloaded => (529, "overloaded_error", "Overloaded"),
        Class::ContextLength => {
            (400, INVALID, "prompt is too long: 210000 tokens > 200000 maximum")
        }
        Class::TooLarge => (413, "request_too_large", "Request exceeds the maximum size"),
        Class::ContentPolicy => (400, INVALID, "Output blocked by content filtering policy"),
        Class::InvalidRequest => (400, INVALID, "Extra inputs are not permitted"),
        Class::Conflict => (409, "conflict_error", "The resource is in use."),
        Class::Timeout => (504, "timeout_error", "The request timed out."),
        Class::Cancelled => (499, "api_error", "The request was cancelled."),
        _ => (500, "api_error", "Internal server error"),
    };
    (status, json! {"type": kind, "message": fault.message(message)})
}

const INVALID: &str = "invalid_request_error";

pub(crate) fn model(id: &str) -> Json {
    json! {
        "type": "model", "id": id, "display_name": id, "created_at": "2026-01-01T00:00:00Z",
        "max_input_tokens": 200_000_u64, "max_tokens": 64_000_u64,
    }
}

pub(crate) fn models(ids: &[&str]) -> Json {
    let data = Json::list(ids.iter().map(|id| model(id)));
    json! {"data": data, "has_more": false, "first_id": ids.first(), "last_id": ids.last()}
}
