//! OpenAI Responses.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{
    ask::{Ask, Bad, Choice, Format, Talk, Tool, parse, read, text, weigh},
    bill::Spend,
    chat::{choice, halves},
    dialect::{Asked, Dialect, Fault, Turn},
    feed::Feed,
    json::{Json, Null, Object, json, put},
    openai,
    said::{Block, Finish, Used},
};

#[derive(Debug)]
pub(crate) struct Responses;

#[derive(Deserialize)]
struct Request<'a> {
    model: Option<String>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    instructions: Option<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_choice: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    max_output_tokens: Option<u64>,
    parallel_tool_calls: Option<bool>,
    store: Option<bool>,
    stream: Option<bool>,
}

#[derive(Deserialize)]
struct Item<'a> {
    r#type: Option<String>,
    role: Option<String>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Offered {
    r#type: String,
    name: Option<String>,
    #[serde(default)]
    parameters: Value,
}

fn tools(raw: Option<&RawValue>) -> Result<Vec<Tool>, Bad> {
    let Some(raw) = raw else { return Ok(Vec::new()) };
    let offered: Vec<Offered> = parse(raw)?;
    let functions = offered.into_iter().filter(|tool| tool.r#type == "function");
    let tool = |tool: Offered| Some(Tool { name: tool.name?, schema: tool.parameters });
    Ok(functions.filter_map(tool).collect())
}

fn format(raw: Option<&RawValue>) -> Result<Format, Bad> {
    let Some(raw) = raw else { return Ok(Format::Text) };
    let mut text: Value = parse(raw)?;
    let format = &mut text["format"];
    Ok(match format["type"].as_str() {
        Some("json_object") => Format::Json,
        Some("json_schema") => Format::Schema(format["schema"].take()),
        _ => Format::Text,
    })
}

/// The last user's text, and the outputs of the calls the input ends in.
fn conversation(raw: Option<&RawValue>) -> Result<Talk, Bad> {
    let Some(raw) = raw.filter(|raw| raw.get().starts_with('[')) else {
        return Ok(Talk { prompt: text(raw)?, results: Vec::new(), rounds: 0 });
    };
    let items: Vec<Item<'_>> =
        serde_json::from_str(raw.get()).map_err(|error| Bad::Value(format!("input: {error}")))?;
    let user = items.iter().rev().find(|item| item.role.as_deref() == Some("user"));
    let prompt = text(user.and_then(|item| item.content))?;
    let last = items.iter().rev().take_while(|item| item.is_output());
    let mut results: Vec<_> = last.map(|item| text(item.output)).collect::<Result<_, _>>()?;
    results.reverse();
    Ok(Talk { prompt, results, rounds: rounds(&items) })
}

/// How often outputs of calls came since the user's last message, side by side counted once.
fn rounds(items: &[Item<'_>]) -> usize {
    let since = items.iter().rposition(|item| item.role.as_deref() == Some("user"));
    let since = &items[since.map_or(0, |at| at + 1)..];
    since.chunk_by(|a, b| a.is_output() == b.is_output()).filter(|run| run[0].is_output()).count()
}

impl Item<'_> {
    fn is_output(&self) -> bool {
        self.r#type.as_deref().is_some_and(|kind| kind.ends_with("_output"))
    }
}

/// Whether it is asked to reason, and whether only that.
fn asks_to_reason(raw: Option<&RawValue>) -> Result<(bool, bool), Bad> {
    let Some(raw) = raw else { return Ok((false, false)) };
    let reasoning: Value = parse(raw)?;
    let asked = |key: &str| reasoning[key].as_str().is_some_and(|value| value != "none");
    let (effort, summary) = (asked("effort"), asked("summary"));
    Ok((effort || summary, effort && !summary))
}

fn echo(request: &Request<'_>) -> Vec<(&'static str, Json)> {
    let or =
        |raw: Option<&RawValue>, usual: &str| Json(raw.map_or(usual, RawValue::get).to_owned());
    vec![
        ("instructions", or(request.instructions, "null")),
        ("max_output_tokens", Json::of(&request.max_output_tokens)),
        ("metadata", or(request.metadata, "{}")),
        ("parallel_tool_calls", Json::of(&request.parallel_tool_calls.unwrap_or(true))),
        ("previous_response_id", Json::of(&Null)),
        ("reasoning", or(request.reasoning, "{\"effort\":null,\"summary\":null}")),
        ("service_tier", Json::of("default")),
        ("store", Json::of(&request.store.unwrap_or(true))),
        ("temperature", Json::of(&request.temperature.unwrap_or(1.0))),
        ("text", or(request.text, "{\"format\":{\"type\":\"text\"}}")),
        ("tool_choice", or(request.tool_choice, "\"auto\"")),
        ("tools", or(request.tools, "[]")),
        ("top_p", Json::of(&request.top_p.unwrap_or(1.0))),
        ("truncation", Json::of("disabled")),
    ]
}

impl Dialect for Responses {
    fn ask(&self, _: &Asked<'_>, body: &[u8]) -> Result<Ask, Bad> {
        let request: Request<'_> = read(body)?;
        let (thinking, quiet) = asks_to_reason(request.reasoning)?;
        let Talk { prompt, results, rounds } = conversation(request.input)?;
        Ok(Ask {
            echo: echo(&request),
            model: request.model.ok_or(Bad::Missing("model"))?,
            stream: request.stream.unwrap_or(false),
            prompt,
            results,
            rounds,
            tools: tools(request.tools)?,
            choice: request.tool_choice.map_or(Ok(Choice::Auto), |raw| choice(Some(raw)))?,
            format: format(request.text)?,
            thinking,
            quiet,
            limit: request.max_output_tokens,
            input: match request.input {
                Some(input) => weigh([Some(input), request.instructions, request.tools]),
                None => return Err(Bad::Missing("input")),
            },
            ..Ask::default()
        })
    }

    fn answer(&self, turn: &Turn<'_>) -> Json {
        finished(turn)
    }

    fn stream(&self, turn: &Turn<'_>, feed: &mut Feed) {
        let start = response(turn, "in_progress", &Json("[]".into()), None);
        emit(feed, "response.created", Spend::NOTHING, |o| o.member("response", &start));
        emit(feed, "response.in_progress", Spend::NOTHING, |o| o.member("response", &start));
        for (index, block) in turn.said.blocks.iter().enumerate() {
            let opened = item(turn, index, block, "in_progress");
            emit(feed, "response.output_item.added", Spend::NOTHING, |o| {
                put!(o, "output_index": index, "item": opened);
            });
            if !is_quiet(turn, block) {
                stream_item(&Place { id: item_id(turn, index, block), index }, block, feed);
            }
            let done = item(turn, index, block, status_of(turn, index));
            emit(feed, "response.output_item.done", Spend::NOTHING, |o| {
                put!(o, "output_index": index, "item": done);
            });
        }
        let last = match turn.said.finish {
            Finish::Length => "response.incomplete",
            _ => "response.completed",
        };
        emit(feed, last, Spend::NOTHING, |o| o.member("response", &finished(turn)));
    }

    fn fail(&self, turn: &Turn<'_>, fault: &Fault, feed: &mut Feed) {
        let failed = Json::object(|o| {
            let error = openai::short(fault);
            head(o, turn, "failed", Some(&error));
            put!(o, "output": Json("[]".into()), "usage": Null);
        });
        emit(feed, "response.failed", Spend::NOTHING, |o| o.member("response", &failed));
    }

    fn error(&self, fault: &Fault, _: &str) -> (u16, Json) {
        openai::error(fault)
    }

    fn bad(&self, bad: Bad) -> Fault {
        openai::bad(bad)
    }
}

/// One event; its sequence number is its place in the stream.
fn emit(feed: &mut Feed, name: &str, spend: Spend, fill: impl FnOnce(&mut Object<'_>)) {
    let n = feed.len();
    feed.event(name, spend, |o| {
        o.member("sequence_number", &n);
        fill(o);
    });
}

/// The item whose events are being written.
struct Place {
    id: String,
    index: usize,
}

impl Place {
    fn emit(&self, feed: &mut Feed, name: &str, spend: Spend, fill: impl FnOnce(&mut Object<'_>)) {
        emit(feed, name, spend, |o| {
            put!(o, "item_id": self.id, "output_index": self.index);
            fill(o);
        });
    }
}

fn stream_item(place: &Place, block: &Block, feed: &mut Feed) {
    match block {
        Block::Thinking { pieces, .. } => stream_summary(place, pieces, feed),
        Block::Text { pieces } => stream_text(place, pieces, feed),
        Block::Refusal { pieces } => stream_refusal(place, pieces, feed),
        Block::Call { name, arguments } => {
            let [first, second] = halves(arguments);
            let spend = Spend::call(name, arguments);
            let event = "response.function_call_arguments.delta";
            place.emit(feed, event, spend, |o| o.member("delta", first));
            place.emit(feed, event, Spend::NOTHING, |o| o.member("delta", second));
            place.emit(feed, "response.function_call_arguments.done", Spend::NOTHING, |o| {
                put!(o, "name": name, "arguments": arguments);
            });
        }
    }
}

fn stream_summary(place: &Place, pieces: &[String], feed: &mut Feed) {
    let whole = Block::joined(pieces);
    let none = Spend::NOTHING;
    place.emit(feed, "response.reasoning_summary_part.added", none, |o| {
        put!(o, "summary_index": 0_usize, "part": json! {"type": "summary_text", "text": ""});
    });
    for piece in pieces {
        place.emit(feed, "response.reasoning_summary_text.delta", Spend::thought(piece), |o| {
            put!(o, "summary_index": 0_usize, "delta": piece);
        });
    }
    place.emit(feed, "response.reasoning_summary_text.done", none, |o| {
        put!(o, "summary_index": 0_usize, "text": whole);
    });
    place.emit(feed, "response.reasoning_summary_part.done", none, |o| {
        put!(o, "summary_index": 0_usize, "part": json! {"type": "summary_text", "text": whole});
    });
}

fn stream_text(place: &Place, pieces: &[String], feed: &mut Feed) {
    let whole = Block::joined(pieces);
    let (none, empty) = (Spend::NOTHING, Json("[]".into()));
    place.emit(feed, "response.content_part.added", none, |o| {
        put!(o, "content_index": 0_usize, "part": output_text(""));
    });
    for piece in pieces {
        place.emit(feed, "response.output_text.delta", Spend::text(piece), |o| {
            put!(o, "content_index": 0_usize, "delta": piece, "logprobs": empty);
        });
    }
    place.emit(feed, "response.output_text.done", none, |o| {
        put!(o, "content_index": 0_usize, "text": whole, "logprobs": empty);
    });
    place.emit(feed, "response.content_part.done", none, |o| {
        put!(o, "content_index": 0_usize, "part": output_text(&whole));
    });
}

fn stream_refusal(place: &Place, pieces: &[String], feed: &mut Feed) {
    let (whole, none) = (Block::joined(pieces), Spend::NOTHING);
    place.emit(feed, "response.content_part.added", none, |o| {
        put!(o, "content_index": 0_usize, "part": refusal(""));
    });
    for piece in pieces {
        place.emit(feed, "response.refusal.delta", Spend::text(piece), |o| {
            put!(o, "content_index": 0_usize, "delta": piece);
        });
    }
    place.emit(feed, "response.refusal.done", none, |o| {
        put!(o, "content_index": 0_usize, "refusal": whole);
    });
    place.emit(feed, "response.content_part.done", none, |o| {
        put!(o, "content_index": 0_usize, "part": refusal(&whole));
    });
}

fn refusal(text: &str) -> Json {
    json! {"type": "refusal", "refusal": text}
}

fn output_text(text: &str) -> Json {
    let empty = Json("[]".into());
    json! {"type": "output_text", "text": text, "annotations": empty, "logprobs": empty}
}

/// Whether these are thoughts that nobody asked to see.
fn is_quiet(turn: &Turn<'_>, block: &Block) -> bool {
    turn.ask.quiet && matches!(block, Block::Thinking { .. })
}

fn item_id(turn: &Turn<'_>, index: usize, block: &Block) -> String {
    turn.item(
        match block {
            Block::Thinking { .. } => "rs_",
            Block::Text { .. } | Block::Refusal { .. } => "msg_",
            Block::Call { .. } => "fc_",
        },
        index,
    )
}

/// The item; while it is in progress its content is empty.
fn item(turn: &Turn<'_>, index: usize, block: &Block, status: &str) -> Json {
    let open = status == "in_progress";
    let id = item_id(turn, index, block);
    match block {
        Block::Thinking { pieces, signature } => {
            let text = json! {"type": "summary_text", "text": Block::joined(pieces)};
            let summary = if open || turn.ask.quiet { vec![] } else { vec![text] };
            let content = if open { "" } else { signature };
            json! {
                "id": id, "type": "reasoning", "encrypted_content": content, "summary": summary,
            }
        }
        Block::Text { pieces } => message(&id, status, open, output_text(&Block::joined(pieces))),
        Block::Refusal { pieces } => message(&id, status, open, refusal(&Block::joined(pieces))),
        Block::Call { name, arguments } => {
            let arguments = if open { "" } else { arguments };
            json! {
                "id": id, "type": "function_call", "status": status,
                "call_id": turn.item("call_", index), "name": name, "arguments": arguments,
            }
        }
    }
}

fn message(id: &str, status: &str, open: bool, part: Json) -> Json {
    let content = if open { vec![] } else { vec![part] };
    json! {
        "id": id, "type": "message", "status": status, "role": "assistant", "content": content,
    }
}

fn status_of(turn: &Turn<'_>, index: usize) -> &'static str {
    let last = index + 1 == turn.said.blocks.len();
    if last && turn.said.finish == Finish::Length { "incomplete" } else { "completed" }
}

fn finished(turn: &Turn<'_>) -> Json {
    let blocks = turn.said.blocks.iter().enumerate();
    let output = blocks.map(|(n, block)| item(turn, n, block, status_of(turn, n)));
    let status = if turn.said.finish == Finish::Length { "incomplete" } else { "completed" };
    response(turn, status, &Json::list(output), Some(turn.said.used))
}

fn response(turn: &Turn<'_>, status: &str, output: &Json, used: Option<Used>) -> Json {
    Json::object(|o| {
        head(o, turn, status, None);
        put!(o, "output": output, "usage": used.map(usage));
    })
}

fn head(o: &mut Object<'_>, turn: &Turn<'_>, status: &str, error: Option<&Json>) {
    let incomplete = (status == "incomplete").then(|| json! {"reason": "max_output_tokens"});
    let completed = (status == "completed").then_some(turn.created);
    put!(o, "id": format!("resp_{}", turn.id), "object": "response", "created_at": turn.created);
    put!(o, "status": status, "completed_at": completed, "background": false);
    put!(o, "error": error, "incomplete_details": incomplete, "model": turn.ask.model);
    for (key, value) in &turn.ask.echo {
        o.member(key, value);
    }
}

fn usage(used: Used) -> Json {
    let input = json! {"cached_tokens": used.cached, "cache_write_tokens": used.written};
    let output = json! {"reasoning_tokens": used.reasoning};
    json! {
        "input_tokens": used.input,
        "input_tokens_details": input,
        "output_tokens": used.output,
        "output_tokens_details": output,
        "total_tokens": used.input + used.output,
    }
}
