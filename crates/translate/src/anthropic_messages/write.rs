//! A request as an upstream takes it.

use tollgate_core::{Protocol, Refusal, Sampling, Thinking};

use super::{
    thinking::{self, Plan},
    tools::{self, Offer},
    turns::{Hints, Turns, cache_control},
};
use crate::{
    codec::{Onto, Outgoing},
    effort,
    json::{Json, Number, Object, Raw},
    model::{Conversation, Field, Format, JsonSchema, Tier},
    restore::Restore,
    schema::{self, Loss},
    shape::Shape,
    state,
    warning::{Code, Report},
};

const ME: Protocol = Protocol::AnthropicMessages;
const VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");
const BINDING: (&str, &str) = ("anthropic-beta", "thinking-binding-controls-2026-08-01");
const JSON_ONLY: &str = "Respond only with one valid JSON object.";
/// The tool whose call is the answer, where the model has no structured output.
const ANSWER_TOOL: &str = "json_response";

/// The parts of a request that are the prompt.
#[derive(Debug)]
pub(super) struct Prompt<'a> {
    pub(super) system: Option<Json<'a>>,
    pub(super) messages: Vec<Json<'a>>,
    pub(super) offer: Offer<'a>,
    pub(super) shape: Shape<'a>,
    /// Reasoning sent back is bound to everything before it.
    pub(super) bound: bool,
}

/// Builds the prompt.
///
/// Errors: something the model must see cannot be carried.
pub(super) fn prompt<'a>(
    c: &'a Conversation,
    onto: &Onto<'_>,
    report: &mut Report,
) -> Result<Prompt<'a>, Refusal> {
    let shape = state::admitted(c, ME, onto, report)?;
    let bound = onto.caps.bound_reasoning && thinking::replays_native(&shape, onto);
    let mut hints = Hints::of(c);
    let offer = tools::offer(c, onto, bound, &mut hints, report)?;
    let mut turns = Turns::new(c, onto, &mut hints, report);
    let system = turns.system(&shape.leading)?;
    let messages = turns.messages(&shape)?;
    Ok(Prompt { system, messages, offer, shape, bound })
}

pub(super) fn request(
    c: &Conversation,
    onto: &Onto<'_>,
    report: &mut Report,
) -> Result<Outgoing, Refusal> {
    state::one_candidate(c, report)?;
    let mut prompt = prompt(c, onto, report)?;
    let mut plan = thinking::plan(c, onto, &prompt.shape, prompt.offer.forced, report);
    bind(c, prompt.bound, &mut plan);
    let mut restore = super::NAMES.restore(c, report);
    let format = format(c, onto, &mut prompt, &plan, &mut restore, report);
    let headers = headers(&plan);
    let mut body = Object::new().with("model", onto.model).with("max_tokens", plan.max_tokens);
    if let Some(system) = prompt.system {
        body.put("system", system);
    }
    body.put("messages", prompt.messages);
    put_sampling(&mut body, c, onto, plan.budget, report);
    put_stop(&mut body, c, report);
    if let Some(on) = c.stream.on {
        body.put("stream", on);
    }
    if !prompt.offer.tools.is_empty() {
        body.put("tools", prompt.offer.tools);
    }
    let body = body.maybe("tool_choice", prompt.offer.choice).maybe("thinking", plan.thinking);
    let mut config =
        Object::new().maybe("effort", plan.effort.map(effort::word)).maybe("format", format);
    put_nested(&mut config, "output_config.", c);
    let mut body = body.filled("output_config", config);
    put_rest(&mut body, c, report);
    let body = Json::from(body).to_bytes();
    Ok(Outgoing { headers, restore, ..Outgoing::new("/v1/messages", body) })
}

fn headers(plan: &Plan<'_>) -> Vec<(&'static str, &'static str)> {
    let bound = plan.thinking.as_ref().is_some_and(|thinking| thinking.has("block_binding"));
    let binding = bound.then_some(BINDING);
    std::iter::once(VERSION).chain(binding).collect()
}

/// A client of another protocol cannot repair a prefix that no longer matches.
fn bind(c: &Conversation, bound: bool, plan: &mut Plan<'_>) {
    if let Some(thinking) = &mut plan.thinking
        && bound
        && c.source != ME
    {
        let binding = Object::new().with("prefix_mismatch_behavior", "drop_block");
        thinking.put("block_binding", binding);
    }
}

fn format<'a>(
    c: &'a Conversation,
    onto: &Onto<'_>,
    prompt: &mut Prompt<'a>,
    plan: &Plan<'_>,
    restore: &mut Restore,
    report: &mut Report,
) -> Option<Object<'a>> {
    match c.format.as_ref()? {
        Format::Text => None,
        Format::Enum(_) => {
            report.field(Code::DroppedField, Field::Format);
            None
        }
        Format::JsonObject => {
            emulate(prompt, JSON_ONLY.to_owned(), report);
            None
        }
        Format::JsonSchema(JsonSchema { schema: None, .. }) => {
            emulate(prompt, JSON_ONLY.to_owned(), report);
            None
        }
        Format::JsonSchema(JsonSchema { schema: Some(schema), .. }) => {
            if onto.caps.structured_output || c.source == ME {
                return Some(native_format(c, schema, report));
            }
            without_native_format(schema, prompt, plan, restore, report);
            None
        }
    }
}

fn native_format<'a>(c: &Conversation, schema: &'a Raw, report: &mut Report) -> Object<'a> {
    let mut loss = Loss::default();
    let schema = match c.source {
        ME => schema.into(),
        _ => schema::answer_schema(schema, &mut loss),
    };
    if loss.constraint {
        report.field(Code::SchemaConstraintDropped, Field::Format);
    }
    Object::of("json_schema").with("schema", schema)
}

/// A forced tool stands in for the structured answer, or words where a tool cannot be forced.
fn without_native_format<'a>(
    schema: &'a Raw,
    prompt: &mut Prompt<'a>,
    plan: &Plan<'_>,
    restore: &mut Restore,
    report: &mut Report,
) {
    if plan.thinking.is_some() || !prompt.offer.tools.is_empty() {
        emulate(prompt, format!("{JSON_ONLY} It must match this JSON schema: {schema}"), report);
        return;
    }
    report.field(Code::FormatEmulated, Field::Format);
    let schema = schema::input_schema(Some(schema), false, &mut Loss::default());
    let tool = Object::new().with("name", ANSWER_TOOL).with("input_schema", schema);
    prompt.offer.tools.push(tool.into());
    prompt.offer.choice = Some(Object::of("tool").with("name", ANSWER_TOOL));
    restore.answer_tool(ANSWER_TOOL);
}

/// Asks in words: in the system prompt, or at the end where nothing before may change.
fn emulate<'a>(prompt: &mut Prompt<'a>, words: String, report: &mut Report) {
    report.field(Code::FormatEmulated, Field::Format);
    let block = |words: String| Json::from(Object::of("text").with("text", words));
    if prompt.bound {
        if let Some(Json::Object(last)) = prompt.messages.last_mut()
            && let Some(Json::Array(blocks)) = last.get_mut("content")
        {
            blocks.push(block(words));
        }
        return;
    }
    let system: Vec<Json<'a>> = match prompt.system.take() {
        None => vec![block(words)],
        Some(Json::Array(mut blocks)) => {
            blocks.push(block(words));
            blocks
        }
        Some(text) => vec![Object::of("text").with("text", text).into(), block(words)],
    };
    prompt.system = Some(Json::Array(system));
}

fn put_sampling<'a>(
    body: &mut Object<'a>,
    c: &'a Conversation,
    onto: &Onto<'_>,
    thinks: bool,
    report: &mut Report,
) {
    let own = c.source == ME;
    let none = onto.caps.sampling == Sampling::None && !own;
    let thinks = thinks && !own;
    let s = &c.sampling;
    let mut put = |name, value: Option<&'a Number>, field, keep: bool| match value {
        Some(value) if keep && !none => body.put(name, value),
        value => report.unless_absent(value, field),
    };
    let hot = |t: &Number| t.as_f64() != 1.0;
    let warm = s.temperature.as_ref().filter(|t| own || t.as_f64() <= 1.0);
    put("temperature", warm, Field::Temperature, !(thinks && warm.is_some_and(hot)));
    let one = onto.caps.sampling == Sampling::OneOf && s.temperature.is_some() && !own;
    let narrow = |p: &Number| p.as_f64() < 0.95;
    let top_p = s.top_p.as_ref();
    put("top_p", top_p, Field::TopP, !(one || thinks && top_p.is_some_and(narrow)));
    put("top_k", s.top_k.as_ref(), Field::TopK, !thinks);
    if warm.is_none() && s.temperature.is_some() {
        if none || thinks {
            report.field(Code::DroppedField, Field::Temperature);
        } else {
            report.field(Code::Clamped, Field::Temperature);
            body.put("temperature", 1_u64);
        }
    }
    report.unless_absent(s.frequency_penalty.as_ref(), Field::FrequencyPenalty);
    report.unless_absent(s.presence_penalty.as_ref(), Field::PresencePenalty);
    report.unless_absent(s.seed.as_ref(), Field::Seed);
    report.unless_absent(s.logit_bias.as_ref(), Field::LogitBias);
    report.unless_absent(c.logprobs.as_ref().filter(|asked| asked.enabled), Field::Logprobs);
}

fn put_stop<'a>(body: &mut Object<'a>, c: &'a Conversation, report: &mut Report) {
    let blank = |stop: &&String| stop.trim().is_empty();
    if c.source != ME && c.stop.iter().any(|stop| blank(&stop)) {
        report.field(Code::DroppedField, Field::Stop);
    }
    let kept: Vec<Json<'_>> =
        c.stop.iter().filter(|stop| c.source == ME || !blank(stop)).map(Json::from).collect();
    if !kept.is_empty() {
        body.put("stop_sequences", kept);
    }
}

/// Puts back the unknown members below `prefix`.
fn put_nested<'a>(object: &mut Object<'a>, prefix: &str, c: &'a Conversation) {
    for (key, value) in c.extra.0.iter().filter(|_| c.source == ME) {
        if let Some(name) = key.strip_prefix(prefix) {
            object.put(name, value);
        }
    }
}

fn put_rest<'a>(body: &mut Object<'a>, c: &'a Conversation, report: &mut Report) {
    let mut metadata = Object::new().maybe("user_id", c.identity.user());
    put_nested(&mut metadata, "metadata.", c);
    if !metadata.is_empty() {
        body.put("metadata", metadata);
    }
    match c.tier {
        Some(Tier::Auto) if c.source == ME => body.put("service_tier", "auto"),
        Some(Tier::Standard) => body.put("service_tier", "standard_only"),
        Some(Tier::Priority) => body.put("service_tier", "auto"),
        Some(Tier::Fast) => body.put("speed", "fast"),
        Some(Tier::Flex | Tier::Scale) => report.field(Code::DroppedField, Field::Tier),
        Some(Tier::Auto) | None => {}
    }
    if c.cache.auto == Some(true) {
        body.put("cache_control", cache_control(c.cache.ttl.as_deref()));
    }
    if c.source == ME {
        for native in &c.native {
            body.set(native.name, &native.value);
        }
        for (key, value) in c.extra.0.iter().filter(|(key, _)| !key.contains('.')) {
            body.put(key.as_ref(), value);
        }
        return;
    }
    state::drop_openai(c, report);
}

/// Whether the model thinks at all, for those who count tokens.
pub(super) fn counts_thinking(onto: &Onto<'_>) -> bool {
    onto.caps.thinking != Some(Thinking::None)
}
