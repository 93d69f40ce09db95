//! A request as an upstream takes it.

use tollgate_core::{Effort, Protocol, Refusal};

use super::{tools, turns::Turns};
use crate::{
    codec::{Onto, Outgoing},
    effort,
    json::{Json, Object},
    model::{Conversation, Field, Format, JsonSchema},
    names, openai, state,
    warning::{Code, Report},
};

const ME: Protocol = Protocol::OpenAiChat;

pub(super) fn request(
    c: &Conversation,
    onto: &Onto<'_>,
    report: &mut Report,
) -> Result<Outgoing, Refusal> {
    let shape = state::admitted(c, ME, onto, report)?;
    let mut body = Object::new().with("model", onto.model);
    let messages = Turns::new(c, onto, report).messages(&shape)?;
    body.put("messages", messages);
    put_limits(&mut body, c, onto, report)?;
    put_stream(&mut body, c);
    tools::put(&mut body, c, onto, report)?;
    put_format(&mut body, c, report);
    put_reasoning(&mut body, c, onto, report);
    put_rest(&mut body, c, onto, report);
    let restore = names::OPENAI.restore(c, report);
    let bytes = Json::from(body).to_bytes();
    Ok(Outgoing { restore, ..Outgoing::new("/v1/chat/completions", bytes) })
}

fn put_limits<'a>(
    body: &mut Object<'a>,
    c: &'a Conversation,
    onto: &Onto<'_>,
    report: &mut Report,
) -> Result<(), Refusal> {
    if let Some(limit) = state::limit(c, onto, report) {
        // Servers without the developer role are compatible ones, which know the older name.
        let older = onto.caps.developer_role == Some(false);
        body.put(if older { "max_tokens" } else { "max_completion_tokens" }, limit);
    }
    let (sampling, caps) = (&c.sampling, onto.caps);
    let (frequency, presence) = (Field::FrequencyPenalty, Field::PresencePenalty);
    for (name, value, has, field) in [
        ("temperature", &sampling.temperature, None, Field::Temperature),
        ("top_p", &sampling.top_p, None, Field::TopP),
        ("frequency_penalty", &sampling.frequency_penalty, caps.penalties, frequency),
        ("presence_penalty", &sampling.presence_penalty, caps.penalties, presence),
        ("seed", &sampling.seed, caps.seed, Field::Seed),
    ] {
        if let Some(value) = state::knob(value.as_ref(), has, field, report) {
            body.put(name, value);
        }
    }
    match &sampling.top_k {
        Some(top_k) if c.source == ME => body.put("top_k", top_k),
        top_k => report.unless_absent(top_k.as_ref(), Field::TopK),
    }
    if let Some(bias) = &sampling.logit_bias {
        body.put("logit_bias", bias);
    }
    if onto.caps.n_gt_1 == Some(false) {
        state::one_candidate(c, report)?;
    }
    if let Some(n) = c.candidates.filter(|n| *n != 1 || c.source == ME) {
        body.put("n", n);
    }
    put_stop(body, c, report)
}

fn put_stop<'a>(
    body: &mut Object<'a>,
    c: &'a Conversation,
    report: &Report,
) -> Result<(), Refusal> {
    if c.stop.len() > 4 && c.source != ME {
        return Err(report.refuse(Field::Stop, "may hold at most 4 texts at this model"));
    }
    let stop: Vec<Json<'_>> = c.stop.iter().map(Json::from).collect();
    if !stop.is_empty() {
        body.put("stop", stop);
    }
    Ok(())
}

fn put_stream<'a>(body: &mut Object<'a>, c: &'a Conversation) {
    if let Some(on) = c.stream.on {
        body.put("stream", on);
    }
    let own = c.source == ME;
    // Only a stream's last chunk says what was used, and only when asked.
    let usage = match own {
        true => c.stream.usage,
        false => (c.stream.on == Some(true)).then_some(true),
    };
    let mut options = Object::new().maybe("include_usage", usage);
    if own {
        tools::put_extra(&mut options, &c.stream.extra);
    }
    if !options.is_empty() {
        body.put("stream_options", options);
    }
}

fn put_format<'a>(body: &mut Object<'a>, c: &'a Conversation, report: &mut Report) {
    let format = match &c.format {
        None => return,
        Some(Format::Text) if c.source != ME => return,
        Some(Format::Text) => Object::of("text"),
        Some(Format::JsonObject) => Object::of("json_object"),
        Some(Format::JsonSchema(schema)) => json_schema(schema),
        Some(Format::Enum(values)) => {
            report.field(Code::DroppedField, Field::Format);
            let Some(_) = values else { return };
            return;
        }
    };
    body.put("response_format", format);
}

fn json_schema(schema: &JsonSchema) -> Object<'_> {
    let name = schema.name.as_deref().unwrap_or("response");
    let inner = Object::new()
        .with("name", name)
        .maybe("description", schema.description.as_ref())
        .maybe("schema", schema.schema.as_ref())
        .maybe("strict", schema.strict);
    Object::of("json_schema").with("json_schema", inner)
}

fn put_reasoning<'a>(
    body: &mut Object<'a>,
    c: &'a Conversation,
    onto: &Onto<'_>,
    report: &mut Report,
) {
    let Some(asked) = &c.reasoning else { return };
    if c.source == ME {
        put_own_reasoning(body, asked);
        return;
    }
    if let Some(effort) = effort::asked(asked) {
        let taken = fitting(effort, onto, report);
        body.put("reasoning_effort", effort::word(taken));
    }
    if asked.summary.is_some() {
        report.field(Code::DroppedField, Field::Reasoning);
    }
}

fn put_own_reasoning<'a>(body: &mut Object<'a>, asked: &'a crate::model::ReasoningRequest) {
    use crate::model::ReasoningBudget;
    let mut own = Object::new();
    match asked.budget {
        Some(ReasoningBudget::Tokens(tokens)) => own.put("max_tokens", tokens),
        Some(ReasoningBudget::Off) => own.put("enabled", false),
        Some(ReasoningBudget::Dynamic) => own.put("enabled", true),
        None => {}
    }
    if let Some(visible) = asked.visible {
        own.put("exclude", !visible);
    }
    tools::put_extra(&mut own, &asked.extra);
    if let Some(effort) = asked.effort {
        body.put("reasoning_effort", effort::word(effort));
    }
    if !own.is_empty() {
        body.put("reasoning", own);
    }
}

fn fitting(asked: Effort, onto: &Onto<'_>, report: &mut Report) -> Effort {
    let taken = effort::nearest(asked, onto.caps.efforts.as_ref());
    if taken != asked {
        report.field(Code::Clamped, Field::Reasoning);
    }
    taken
}

fn put_rest<'a>(body: &mut Object<'a>, c: &'a Conversation, onto: &Onto<'_>, report: &mut Report) {
    if let Some(verbosity) = &c.verbosity {
        body.put("verbosity", verbosity);
    }
    let logprobs = c.logprobs.as_ref();
    if let Some(logprobs) = state::knob(logprobs, onto.caps.logprobs, Field::Logprobs, report) {
        body.put("logprobs", logprobs.enabled);
        if let Some(top) = logprobs.top {
            body.put("top_logprobs", top);
        }
    }
    openai::put_cache(body, c);
    openai::put_identity(body, c);
    if let Some(tier) = c.tier.and_then(|tier| openai::tier_word(tier, c.source)) {
        body.put("service_tier", tier);
    }
    match c.state.store {
        Some(store) if c.source == ME => body.put("store", store),
        store => report.unless_absent(store.as_ref().filter(|store| **store), Field::Store),
    }
    let understood = |include: &String| include == "reasoning.encrypted_content";
    if c.include.iter().any(|include| !understood(include)) {
        report.field(Code::DroppedField, Field::Include);
    }
    for native in openai::carried(c, ME) {
        body.put(native.name, &native.value);
    }
    if c.source == ME {
        tools::put_extra(body, &c.extra);
    }
}
