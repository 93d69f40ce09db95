//! A request as an upstream takes it.

use tollgate_core::{Protocol, Refusal};

use super::{tools, turns::Turns};
use crate::{
    codec::{Onto, Outgoing},
    effort,
    json::{Json, Object},
    model::{Conversation, Field, Format, JsonSchema, Native},
    openai, state,
    warning::{Code, Report},
};

const ME: Protocol = Protocol::OpenAiResponses;
/// Less is not taken.
const LEAST_OUTPUT: u64 = 16;
const ENCRYPTED: &str = "reasoning.encrypted_content";

/// The prompt alone: instructions, input, tools.
///
/// Errors: something the model must see cannot be carried.
fn prompt<'a>(
    c: &'a Conversation,
    onto: &Onto<'_>,
    report: &mut Report,
) -> Result<Object<'a>, Refusal> {
    let shape = state::admitted(c, ME, onto, report)?;
    let mut turns = Turns::new(c, onto, report);
    let (instructions, mut items) = turns.leading(&shape.leading)?;
    items.extend(turns.items(&shape)?);
    let mut body = Object::new()
        .with("model", onto.model.to_owned())
        .maybe("instructions", instructions)
        .with("input", items);
    tools::put(&mut body, c, onto, report)?;
    Ok(body)
}

pub(super) fn count(
    c: &Conversation,
    onto: &Onto<'_>,
    report: &mut Report,
) -> Result<Outgoing, Refusal> {
    let body = Json::from(prompt(c, onto, report)?).to_bytes();
    Ok(Outgoing::new("/v1/responses/input_tokens", body))
}

pub(super) fn request(
    c: &Conversation,
    onto: &Onto<'_>,
    report: &mut Report,
) -> Result<Outgoing, Refusal> {
    state::one_candidate(c, report)?;
    let mut body = prompt(c, onto, report)?;
    put_limits(&mut body, c, onto, report);
    put_text(&mut body, c, report);
    put_reasoning(&mut body, c, onto, report);
    put_state(&mut body, c, report);
    put_rest(&mut body, c);
    let mut restore = super::NAMES.restore(c, report);
    if !c.stop.is_empty() {
        report.field(Code::DroppedField, Field::Stop);
        report.field(Code::StopEmulated, Field::Stop);
        restore.stops(&c.stop);
    }
    let bytes = Json::from(body).to_bytes();
    Ok(Outgoing { restore, ..Outgoing::new("/v1/responses", bytes) })
}

fn put_limits<'a>(
    body: &mut Object<'a>,
    c: &'a Conversation,
    onto: &Onto<'_>,
    report: &mut Report,
) {
    if let Some(limit) = state::limit(c, onto, report) {
        if limit < LEAST_OUTPUT && c.source != ME {
            report.field(Code::Clamped, Field::OutputLimit);
        }
        let least = if c.source == ME { 0 } else { LEAST_OUTPUT };
        body.put("max_output_tokens", limit.max(least));
    }
    let s = &c.sampling;
    for (name, value) in [("temperature", &s.temperature), ("top_p", &s.top_p)] {
        if let Some(value) = value {
            body.put(name, value);
        }
    }
    report.unless_absent(s.top_k.as_ref(), Field::TopK);
    report.unless_absent(s.frequency_penalty.as_ref(), Field::FrequencyPenalty);
    report.unless_absent(s.presence_penalty.as_ref(), Field::PresencePenalty);
    report.unless_absent(s.seed.as_ref(), Field::Seed);
    report.unless_absent(s.logit_bias.as_ref(), Field::LogitBias);
    if let Some(logprobs) = c.logprobs.filter(|logprobs| logprobs.enabled) {
        body.put("top_logprobs", logprobs.top.unwrap_or(0));
    }
}

fn put_text<'a>(body: &mut Object<'a>, c: &'a Conversation, report: &mut Report) {
    let format = match &c.format {
        None => None,
        Some(Format::Text) => (c.source == ME).then(|| Object::of("text")),
        Some(Format::JsonObject) => Some(Object::of("json_object")),
        Some(Format::JsonSchema(schema)) => Some(json_schema(schema)),
        Some(Format::Enum(_)) => {
            report.field(Code::DroppedField, Field::Format);
            None
        }
    };
    let text = Object::new().maybe("format", format).maybe("verbosity", c.verbosity.as_ref());
    if !text.is_empty() {
        body.put("text", text);
    }
}

/// A schema, or any object where there is none.
fn json_schema(schema: &JsonSchema) -> Object<'_> {
    let Some(inner) = &schema.schema else { return Object::of("json_object") };
    Object::of("json_schema")
        .with("name", schema.name.as_deref().unwrap_or("response"))
        .maybe("description", schema.description.as_ref())
        .with("schema", inner)
        .maybe("strict", schema.strict)
}

fn put_reasoning<'a>(
    body: &mut Object<'a>,
    c: &'a Conversation,
    onto: &Onto<'_>,
    report: &mut Report,
) {
    let Some(asked) = &c.reasoning else { return };
    let effort = effort::asked(asked).map(|wanted| {
        let taken = effort::nearest(wanted, onto.caps.efforts.as_ref());
        if taken != wanted {
            report.field(Code::Clamped, Field::Reasoning);
        }
        effort::word(taken)
    });
    let wanted = asked.visible == Some(true) && !openai::is_openai(c.source);
    let summary = asked.summary.as_deref().or(wanted.then_some("auto"));
    let reasoning = Object::new().maybe("effort", effort).maybe("summary", summary);
    let reasoning = tools::with_extra(reasoning, &asked.extra, c.source);
    if !reasoning.is_empty() {
        body.put("reasoning", reasoning);
    }
}

/// Nothing is kept for a client that cannot refer to it.
fn put_state<'a>(body: &mut Object<'a>, c: &'a Conversation, report: &mut Report) {
    let logprobs = c.logprobs.is_some_and(|logprobs| logprobs.enabled);
    let mut include: Vec<Json<'a>> = c.include.iter().map(Json::from).collect();
    if c.source != ME {
        include = vec![ENCRYPTED.into()];
        include.extend(logprobs.then(|| Json::from("message.output_text.logprobs")));
    }
    if !include.is_empty() {
        body.put("include", include);
    }
    match c.source {
        ME => {
            if let Some(store) = c.state.store {
                body.put("store", store);
            }
        }
        _ => {
            report.unless_absent(c.state.store.as_ref().filter(|store| **store), Field::Store);
            body.put("store", false);
        }
    }
    let state = &c.state;
    let own = std::mem::take(body)
        .maybe("previous_response_id", state.previous_response.as_ref())
        .maybe("conversation", state.conversation.as_ref())
        .maybe("prompt", state.prompt.as_ref())
        .maybe("background", state.background);
    *body = own;
}

fn put_rest<'a>(body: &mut Object<'a>, c: &'a Conversation) {
    if let Some(on) = c.stream.on {
        body.put("stream", on);
    }
    if c.source == ME && !c.stream.extra.is_empty() {
        let options = tools::with_extra(Object::new(), &c.stream.extra, ME);
        body.put("stream_options", options);
    }
    openai::put_cache(body, c);
    openai::put_identity(body, c);
    if let Some(tier) = c.tier.and_then(|tier| openai::tier_word(tier, c.source)) {
        body.put("service_tier", tier);
    }
    let whole = |native: &&Native| native.name != tools::NAMESPACE;
    for native in openai::carried(c, ME).filter(whole) {
        body.put(native.name, &native.value);
    }
    if c.source == ME {
        for (key, value) in &c.extra.0 {
            body.put(key.as_ref(), value);
        }
    }
}
