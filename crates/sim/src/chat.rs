//! OpenAI Chat Completions.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{
    ask::{Ask, Bad, Choice, Format, Talk, Tool, parse, read, text, weigh},
    bill::Spend,
    dialect::{Asked, Dialect, Fault, Turn},
    feed::Feed,
    json::{Json, Null, Object, json, put},
    openai::{self, NO_LOGPROBS},
    said::{Block, Finish, Used},
};

#[derive(Debug)]
pub(crate) struct Chat;

#[derive(Deserialize)]
struct Request<'a> {
    model: Option<String>,
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_choice: Option<&'a RawValue>,
    #[serde(borrow)]
    response_format: Option<&'a RawValue>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    reasoning_effort: Option<String>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    #[serde(default)]
    stop: Stop,
}

/// One text or several.
#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Stop {
    One(String),
    Many(Vec<String>),
    #[default]
    None,
}

impl From<Stop> for Vec<String> {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::One(text) => vec![text],
            Stop::Many(texts) => texts,
            Stop::None => Self::new(),
        }
    }
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct Message<'a> {
    role: String,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Offered {
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    #[serde(default)]
    parameters: Value,
}

fn tools(raw: Option<&RawValue>) -> Result<Vec<Tool>, Bad> {
    let Some(raw) = raw else { return Ok(Vec::new()) };
    let offered: Vec<Offered> = parse(raw)?;
    let functions = offered.into_iter().filter_map(|tool| tool.function);
    Ok(functions.map(|f| Tool { name: f.name, schema: f.parameters }).collect())
}

/// `tool_choice` of both OpenAI protocols.
pub(crate) fn choice(raw: Option<&RawValue>) -> Result<Choice, Bad> {
    let Some(raw) = raw else { return Ok(Choice::Auto) };
    let choice: Value = parse(raw)?;
    let name = choice["function"]["name"].as_str().or(choice["name"].as_str());
    Ok(match (choice.as_str(), name) {
        (Some("none"), _) => Choice::None,
        (Some("required"), _) => Choice::Any,
        (None, Some(name)) => Choice::Named(name.to_owned()),
        _ => Choice::Auto,
    })
}

fn format(raw: Option<&RawValue>) -> Result<Format, Bad> {
    let Some(raw) = raw else { return Ok(Format::Text) };
    let mut format: Value = parse(raw)?;
    Ok(match format["type"].as_str() {
        Some("json_object") => Format::Json,
        Some("json_schema") => Format::Schema(format["json_schema"]["schema"].take()),
        _ => Format::Text,
    })
}

/// What matters of a conversation: the last text of a user, the tool results it ends in.
fn conversation(raw: &RawValue) -> Result<Talk, Bad> {
    let messages: Vec<Message<'_>> =
        serde_json::from_str(raw.get()).map_err(|error| Bad::Value(error.to_string()))?;
    if messages.is_empty() {
        return Err(Bad::Value("'messages': [] is too short".into()));
    }
    let since = messages.iter().rev().take_while(|message| message.role != "user");
    let rounds = since.filter(|message| message.role == "assistant").count();
    let user = messages.iter().rev().find(|message| message.role == "user");
    let prompt = text(user.and_then(|message| message.content))?;
    let last = messages.iter().rev().take_while(|m| matches!(&*m.role, "tool" | "function"));
    let mut results: Vec<_> = last.map(|m| text(m.content)).collect::<Result<_, _>>()?;
    results.reverse();
    Ok(Talk { prompt, results, rounds })
}

impl Dialect for Chat {
    fn ask(&self, _: &Asked<'_>, body: &[u8]) -> Result<Ask, Bad> {
        let request: Request<'_> = read(body)?;
        let model = request.model.ok_or(Bad::Missing("model"))?;
        let messages = request.messages.ok_or(Bad::Missing("messages"))?;
        let Talk { prompt, results, rounds } = conversation(messages)?;
        let usage = request.stream_options.and_then(|options| options.include_usage);
        Ok(Ask {
            model,
            stream: request.stream.unwrap_or(false),
            prompt,
            results,
            rounds,
            tools: tools(request.tools)?,
            choice: choice(request.tool_choice)?,
            format: format(request.response_format)?,
            thinking: request.reasoning_effort.is_some_and(|effort| effort != "none"),
            limit: request.max_completion_tokens.or(request.max_tokens),
            stop: request.stop.into(),
            stream_usage: usage.unwrap_or(false),
            input: weigh([Some(messages), request.tools, request.response_format]),
            ..Ask::default()
        })
    }

    fn answer(&self, turn: &Turn<'_>) -> Json {
        Json::object(|o| {
            o.member("id", &format!("chatcmpl-{}", turn.id));
            put!(o, "object": "chat.completion", "created": turn.created, "model": turn.ask.model);
            let choice = json! {
                "index": 0_usize,
                "message": message(turn),
                "logprobs": NO_LOGPROBS,
                "finish_reason": finish(turn.said.finish),
            };
            put!(o, "choices": [choice], "usage": usage(turn.said.used));
            put!(o, "service_tier": "default", "system_fingerprint": "fp_sim");
        })
    }

    fn stream(&self, turn: &Turn<'_>, feed: &mut Feed) {
        let start = json! {"role": "assistant", "content": "", "refusal": Null};
        delta(turn, feed, Spend::NOTHING, |o| o.member("delta", &start));
        let mut calls = 0;
        for block in &turn.said.blocks {
            match block {
                Block::Thinking { .. } if turn.ask.quiet => {}
                Block::Thinking { pieces, .. } => pieces.iter().for_each(|piece| {
                    delta(turn, feed, Spend::thought(piece), |o| {
                        o.nested("delta", |o| o.member("reasoning_content", piece));
                    });
                }),
                Block::Text { pieces } => pieces.iter().for_each(|piece| {
                    delta(turn, feed, Spend::text(piece), |o| {
                        o.nested("delta", |o| o.member("content", piece));
                    });
                }),
                Block::Refusal { pieces } => pieces.iter().for_each(|piece| {
                    delta(turn, feed, Spend::text(piece), |o| {
                        o.nested("delta", |o| o.member("refusal", piece));
                    });
                }),
                Block::Call { name, arguments } => {
                    call(turn, feed, calls, name, arguments);
                    calls += 1;
                }
            }
        }
        chunk(turn, feed, Spend::NOTHING, |o| {
            let finish = finish(turn.said.finish);
            let delta = json! {};
            let choice = json! {
                "index": 0_usize, "delta": delta, "logprobs": NO_LOGPROBS, "finish_reason": finish,
            };
            o.member("choices", &[choice]);
            if turn.ask.stream_usage {
                o.member("usage", &Null);
            }
        });
        if turn.ask.stream_usage {
            chunk(turn, feed, Spend::NOTHING, |o| {
                put!(o, "choices": Json("[]".into()), "usage": usage(turn.said.used));
            });
        }
        feed.raw("data: [DONE]\n\n");
    }

    fn fail(&self, _: &Turn<'_>, fault: &Fault, feed: &mut Feed) {
        feed.data(Spend::NOTHING, |o| o.member("error", &openai::inner(fault)));
    }

    fn error(&self, fault: &Fault, _: &str) -> (u16, Json) {
        openai::error(fault)
    }

    fn bad(&self, bad: Bad) -> Fault {
        openai::bad(bad)
    }
}

fn message(turn: &Turn<'_>) -> Json {
    Json::object(|o| {
        let (mut content, mut refusal, mut calls) = (None, None, Vec::new());
        put!(o, "role": "assistant");
        for block in &turn.said.blocks {
            match block {
                Block::Thinking { .. } if turn.ask.quiet => {}
                Block::Thinking { pieces, .. } => {
                    o.member("reasoning_content", &Block::joined(pieces));
                }
                Block::Text { pieces } => content = Some(Block::joined(pieces)),
                Block::Refusal { pieces } => refusal = Some(Block::joined(pieces)),
                Block::Call { name, arguments } => {
                    let function = json! {"name": name, "arguments": arguments};
                    let id = turn.item("call_", calls.len());
                    calls.push(json! {"id": id, "type": "function", "function": function});
                }
            }
        }
        put!(o, "content": content, "refusal": refusal, "annotations": Json("[]".into()));
        if !calls.is_empty() {
            o.member("tool_calls", &calls);
        }
    })
}

fn call(turn: &Turn<'_>, feed: &mut Feed, index: usize, name: &str, arguments: &str) {
    let id = turn.item("call_", index);
    let function = json! {"name": name, "arguments": ""};
    let head = json! {"index": index, "id": id, "type": "function", "function": function};
    delta(turn, feed, Spend::call(name, arguments), |o| {
        o.member("delta", &json! {"tool_calls": [&head]});
    });
    for part in halves(arguments) {
        let function = json! {"arguments": part};
        let part = json! {"index": index, "function": function};
        delta(turn, feed, Spend::NOTHING, |o| o.member("delta", &json! {"tool_calls": [&part]}));
    }
}

/// Arguments are streamed in two fragments, so that whoever reads them must join.
pub(crate) fn halves(arguments: &str) -> [&str; 2] {
    let middle = arguments.len() / 2;
    let at = (0..=middle).rev().find(|at| arguments.is_char_boundary(*at)).unwrap_or(0);
    let (head, tail) = arguments.split_at(at);
    [head, tail]
}

/// One chunk; everything but its choices is the same in each.
fn chunk(turn: &Turn<'_>, feed: &mut Feed, spend: Spend, fill: impl FnOnce(&mut Object<'_>)) {
    feed.data(spend, |o| {
        o.member("id", &Prefixed("chatcmpl-", turn.id));
        put!(o, "object": "chat.completion.chunk", "created": turn.created);
        put!(o, "model": turn.ask.model, "service_tier": "default", "system_fingerprint": "fp_sim");
        fill(o);
    });
}

/// A chunk with one choice, whose delta `fill` writes.
fn delta(turn: &Turn<'_>, feed: &mut Feed, spend: Spend, fill: impl FnOnce(&mut Object<'_>)) {
    chunk(turn, feed, spend, |o| {
        o.only("choices", |o| {
            o.member("index", &0_usize);
            fill(o);
            put!(o, "logprobs": NO_LOGPROBS, "finish_reason": Null);
        });
        if turn.ask.stream_usage {
            o.member("usage", &Null);
        }
    });
}

struct Prefixed<'a>(&'static str, &'a str);

impl crate::json::Piece for Prefixed<'_> {
    fn write(&self, out: &mut String) {
        out.push('"');
        out.push_str(self.0);
        out.push_str(self.1);
        out.push('"');
    }
}

fn finish(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::Sequence | Finish::Refused => "stop",
        Finish::Length => "length",
        Finish::Calls => "tool_calls",
    }
}

fn usage(used: Used) -> Json {
    let (none, prompt) = (0_u64, used.input);
    let input = json! {
        "cached_tokens": used.cached, "cache_write_tokens": used.written, "audio_tokens": none,
    };
    let output = json! {
        "reasoning_tokens": used.reasoning,
        "audio_tokens": none,
        "accepted_prediction_tokens": none,
        "rejected_prediction_tokens": none,
    };
    json! {
        "prompt_tokens": prompt,
        "completion_tokens": used.output,
        "total_tokens": prompt + used.output,
        "prompt_tokens_details": input,
        "completion_tokens_details": output,
    }
}
