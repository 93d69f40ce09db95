//! A request as an upstream takes it.

use tollgate_core::{Protocol, Refusal, SchemaDialect};

use super::{thinking, tools, turns::Turns};
use crate::{
    codec::{Onto, Outgoing},
    json::{Json, Object, Raw},
    model::{Conversation, Field, Format, JsonSchema, Tier},
    schema::{self, Loss},
    state,
    warning::{Code, Report},
};

const ME: Protocol = Protocol::Gemini;
/// Alternatives and stop sequences the protocol takes.
const MOST_CANDIDATES: u64 = 8;
const MOST_STOPS: usize = 5;

/// The prompt alone: instructions, contents, tools.
///
/// Errors: something the model must see cannot be carried.
pub(super) fn prompt<'a>(
    c: &'a Conversation,
    onto: &Onto<'_>,
    report: &mut Report,
) -> Result<Object<'a>, Refusal> {
    let shape = state::admitted(c, ME, onto, report)?;
    let mut turns = Turns::new(c, onto, report);
    let system = turns.system(&shape.leading)?;
    let contents = turns.contents(&shape)?;
    let tools = tools::write(c, onto, report);
    Ok(Object::new()
        .maybe("systemInstruction", system)
        .with("contents", contents)
        .some("tools", tools))
}

pub(super) fn request(
    c: &Conversation,
    onto: &Onto<'_>,
    report: &mut Report,
) -> Result<Outgoing, Refusal> {
    let body = prompt(c, onto, report)?;
    let choice = tools::write_choice(c, report)?;
    let mut config = Object::new().maybe("functionCallingConfig", choice);
    put_nested(&mut config, "toolConfig.", c);
    let mut body = body.filled("toolConfig", config);
    let generation = generation(c, onto, report)?;
    body = body.filled("generationConfig", generation);
    put_rest(&mut body, c, report);
    let restore = super::NAMES.restore(c, report);
    let streams = c.stream.on == Some(true);
    let verb = if streams { "streamGenerateContent" } else { "generateContent" };
    let path = super::path(onto, verb)?;
    let query = if streams { "alt=sse" } else { "" };
    Ok(Outgoing { query, restore, ..Outgoing::new(path, Json::from(body).to_bytes()) })
}

/// Puts back the native and unknown members below `prefix`.
fn put_nested<'a>(object: &mut Object<'a>, prefix: &str, c: &'a Conversation) {
    if c.source != ME {
        return;
    }
    for native in &c.native {
        if let Some(name) = native.name.strip_prefix(prefix) {
            object.put(name, &native.value);
        }
    }
    for (key, value) in &c.extra.0 {
        if let Some(name) = key.strip_prefix(prefix) {
            object.put(name, value);
        }
    }
}

fn generation<'a>(
    c: &'a Conversation,
    onto: &Onto<'_>,
    report: &mut Report,
) -> Result<Object<'a>, Refusal> {
    let mut config = Object::new();
    put_limits(&mut config, c, onto, report)?;
    put_format(&mut config, c, onto, report);
    let logprobs = c.logprobs.as_ref();
    if let Some(logprobs) = state::knob(logprobs, onto.caps.logprobs, Field::Logprobs, report) {
        config.put("responseLogprobs", logprobs.enabled);
        if let Some(top) = logprobs.top {
            config.put("logprobs", top);
        }
    }
    if let Some(thinking) = thinking::config(c, onto, report) {
        config.put("thinkingConfig", thinking);
    }
    put_nested(&mut config, "generationConfig.", c);
    Ok(config)
}

fn put_limits<'a>(
    config: &mut Object<'a>,
    c: &'a Conversation,
    onto: &Onto<'_>,
    report: &mut Report,
) -> Result<(), Refusal> {
    if onto.caps.n_gt_1 == Some(false) {
        state::one_candidate(c, report)?;
    }
    match c.candidates {
        Some(n) if n > MOST_CANDIDATES && c.source != ME => {
            return Err(report.refuse(Field::Candidates, "may be at most 8 at this model"));
        }
        Some(n) if n > 1 || c.source == ME => config.put("candidateCount", n),
        _ => {}
    }
    if c.stop.len() > MOST_STOPS && c.source != ME {
        return Err(report.refuse(Field::Stop, "may hold at most 5 texts at this model"));
    }
    let stops: Vec<Json<'_>> = c.stop.iter().map(Json::from).collect();
    if !stops.is_empty() {
        config.put("stopSequences", stops);
    }
    if let Some(limit) = state::limit(c, onto, report) {
        config.put("maxOutputTokens", limit);
    }
    put_sampling(config, c, onto, report);
    Ok(())
}

fn put_sampling<'a>(
    config: &mut Object<'a>,
    c: &'a Conversation,
    onto: &Onto<'_>,
    report: &mut Report,
) {
    let s = &c.sampling;
    for (name, value) in [("temperature", &s.temperature), ("topP", &s.top_p), ("topK", &s.top_k)] {
        if let Some(value) = value {
            config.put(name, value);
        }
    }
    match state::knob(s.seed.as_ref(), onto.caps.seed, Field::Seed, report) {
        Some(seed) if seed.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) => {
            config.put("seed", seed);
        }
        seed => report.unless_absent(seed, Field::Seed),
    }
    let penalties = [
        ("presencePenalty", &s.presence_penalty, Field::PresencePenalty),
        ("frequencyPenalty", &s.frequency_penalty, Field::FrequencyPenalty),
    ];
    for (name, value, field) in penalties {
        if let Some(value) = state::knob(value.as_ref(), onto.caps.penalties, field, report) {
            config.put(name, value);
        }
    }
    report.unless_absent(s.logit_bias.as_ref(), Field::LogitBias);
}

fn put_format<'a>(
    config: &mut Object<'a>,
    c: &'a Conversation,
    onto: &Onto<'_>,
    report: &mut Report,
) {
    let json = "application/json";
    match &c.format {
        None => {}
        Some(Format::Text) if c.source == ME => config.put("responseMimeType", "text/plain"),
        Some(Format::Text) => {}
        Some(Format::JsonObject | Format::JsonSchema(JsonSchema { schema: None, .. })) => {
            config.put("responseMimeType", json);
        }
        Some(Format::Enum(schema)) => {
            config.put("responseMimeType", "text/x.enum");
            if let Some(schema) = schema {
                config.put("responseSchema", schema);
            }
        }
        Some(Format::JsonSchema(JsonSchema { schema: Some(schema), .. })) => {
            config.put("responseMimeType", json);
            let loss = put_schema(config, schema, c.source, onto);
            warn_format(loss, report);
        }
    }
}

fn put_schema<'a>(
    config: &mut Object<'a>,
    schema: &'a Raw,
    source: Protocol,
    onto: &Onto<'_>,
) -> Loss {
    let mut loss = Loss::default();
    match onto.caps.schema {
        SchemaDialect::JsonSchema if source == ME => config.put("responseJsonSchema", schema),
        SchemaDialect::JsonSchema => {
            config.put("responseJsonSchema", schema::json_schema(schema, &mut loss));
        }
        SchemaDialect::OpenApiSubset => {
            let any = || Object::of("OBJECT").into();
            config.put("responseSchema", schema::openapi(schema, &mut loss).unwrap_or_else(any));
        }
    }
    loss
}

fn warn_format(loss: Loss, report: &mut Report) {
    if loss.downgraded {
        report.field(Code::SchemaDowngraded, Field::Format);
    } else if loss.constraint {
        report.field(Code::SchemaConstraintDropped, Field::Format);
    }
}

fn put_rest<'a>(body: &mut Object<'a>, c: &'a Conversation, report: &mut Report) {
    match c.tier {
        Some(Tier::Flex) => body.put("serviceTier", "flex"),
        Some(Tier::Standard) => body.put("serviceTier", "standard"),
        Some(Tier::Priority | Tier::Fast) => body.put("serviceTier", "priority"),
        Some(Tier::Scale) => report.field(Code::DroppedField, Field::Tier),
        Some(Tier::Auto) | None => {}
    }
    if c.source == ME {
        put_own(body, c);
        return;
    }
    if c.cache.auto == Some(true) && c.source == Protocol::AnthropicMessages {
        report.field(Code::CacheHintDropped, Field::CacheAuto);
    }
    if c.identity.user().is_some() {
        report.field(Code::DroppedField, Field::EndUser);
    }
    state::drop_openai(c, report);
}

fn put_own<'a>(body: &mut Object<'a>, c: &'a Conversation) {
    if let Some(cached) = &c.cache.content_ref {
        body.put("cachedContent", cached);
    }
    if let Some(store) = c.state.store {
        body.put("store", store);
    }
    for native in c.native.iter().filter(|native| !native.name.contains('.')) {
        body.put(native.name, &native.value);
    }
    for (key, value) in c.extra.0.iter().filter(|(key, _)| !key.contains('.')) {
        body.put(key.as_ref(), value);
    }
}
