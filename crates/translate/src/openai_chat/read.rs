//! A request as its client wrote it.

use tollgate_core::Protocol;

use super::{messages, tools};
use crate::{
    codec::Incoming,
    effort,
    json::{Bad, Fields, Json, Node},
    model::{
        Conversation, Format, JsonSchema, Logprobs, Native, ReasoningBudget, ReasoningRequest,
        SamplingRequest, ServerState, StreamRequest,
    },
    openai,
};

pub(super) fn conversation(incoming: &Incoming<'_>) -> Result<Conversation, Bad> {
    let body = Node::parse(incoming.body)?.fields();
    let mut body = body.ok_or(Bad::new("", "the body must be a JSON object"))?;
    let mut c = Conversation::new(Protocol::OpenAiChat, body.need("model")?);
    c.items = messages::read(&mut body)?;
    let short = body.u64("max_tokens")?;
    c.output_limit = body.u64("max_completion_tokens")?.or(short);
    c.sampling = sampling(&mut body)?;
    c.candidates = body.u64("n")?;
    c.stop = stop(&mut body)?;
    c.stream = stream(&mut body)?;
    tools::read(&mut body, &mut c)?;
    c.format = format(&mut body)?;
    c.reasoning = reasoning(&mut body)?;
    c.verbosity = body.string("verbosity")?;
    c.logprobs = logprobs(&mut body)?;
    c.cache = openai::cache_request(&mut body)?;
    c.identity = openai::identity(&mut body)?;
    if let Some(word) = body.string("service_tier")? {
        c.tier = openai::tier(&word);
        // Compatible servers have words of their own.
        if c.tier.is_none() {
            let value = Json::from(word).into();
            c.native.push(Native { name: "service_tier", value, essential: false });
        }
    }
    c.state = ServerState { store: body.bool("store")?, ..ServerState::default() };
    natives(&mut body, &mut c.native);
    c.extra = body.extra();
    Ok(c)
}

fn natives(body: &mut Fields<'_>, out: &mut Vec<Native>) {
    if let Some(node) = body.take("modalities") {
        let speaks = node.elements().any(|word| word.str().is_none_or(|word| word != "text"));
        out.push(Native { name: "modalities", value: node.raw(), essential: speaks });
    }
    let names = ["audio", "prediction", "moderation", "prompt_cache_retention"];
    openai::natives(body, &names, out);
}

fn sampling(body: &mut Fields<'_>) -> Result<SamplingRequest, Bad> {
    Ok(SamplingRequest {
        temperature: body.number("temperature")?,
        top_p: body.number("top_p")?,
        top_k: body.number("top_k")?,
        frequency_penalty: body.number("frequency_penalty")?,
        presence_penalty: body.number("presence_penalty")?,
        seed: body.number("seed")?,
        logit_bias: body.raw("logit_bias"),
    })
}

fn stop(body: &mut Fields<'_>) -> Result<Vec<String>, Bad> {
    match body.peek("stop") {
        Some(node) if node.is_string() => Ok(body.string("stop")?.into_iter().collect()),
        _ => body.strings("stop"),
    }
}

fn stream(body: &mut Fields<'_>) -> Result<StreamRequest, Bad> {
    let mut stream = StreamRequest { on: body.bool("stream")?, ..StreamRequest::default() };
    if let Some(mut options) = body.fields("stream_options")? {
        stream.usage = options.bool("include_usage").map_err(|bad| bad.under("stream_options"))?;
        stream.extra = options.extra();
    }
    Ok(stream)
}

fn format(body: &mut Fields<'_>) -> Result<Option<Format>, Bad> {
    let Some(mut format) = body.fields("response_format")? else { return Ok(None) };
    let read = |format: &mut Fields<'_>| {
        Ok(match format.need("type")?.as_str() {
            "text" => Format::Text,
            "json_object" => Format::JsonObject,
            "json_schema" => Format::JsonSchema(schema(format.fields("json_schema")?)?),
            _ => return Err(Bad::new("type", "must be `text`, `json_object` or `json_schema`")),
        })
    };
    read(&mut format).map(Some).map_err(|bad: Bad| bad.under("response_format"))
}

fn schema(fields: Option<Fields<'_>>) -> Result<JsonSchema, Bad> {
    let mut fields = fields.ok_or(Bad::new("json_schema", "is required"))?;
    Ok(JsonSchema {
        name: fields.string("name")?,
        description: fields.string("description")?,
        schema: fields.raw("schema"),
        strict: fields.bool("strict")?,
    })
}

fn reasoning(body: &mut Fields<'_>) -> Result<Option<ReasoningRequest>, Bad> {
    let word = body.string("reasoning_effort")?;
    let object = body.fields("reasoning")?;
    if word.is_none() && object.is_none() {
        return Ok(None);
    }
    let mut asked = ReasoningRequest { effort: effort(word)?, ..ReasoningRequest::default() };
    if let Some(mut object) = object {
        asked.effort = effort(object.string("effort")?)?.or(asked.effort);
        asked.budget = object.u64("max_tokens")?.map(ReasoningBudget::Tokens);
        match object.bool("enabled")? {
            Some(false) => asked.budget = Some(ReasoningBudget::Off),
            Some(true) => asked.budget = asked.budget.or(Some(ReasoningBudget::Dynamic)),
            None => {}
        }
        asked.visible = object.bool("exclude")?.map(|exclude| !exclude);
        asked.extra = object.extra();
    }
    Ok(Some(asked))
}

fn effort(word: Option<String>) -> Result<Option<tollgate_core::Effort>, Bad> {
    let unknown = || Bad::new("reasoning_effort", "is not a known effort");
    word.map(|word| effort::parse(&word).ok_or_else(unknown)).transpose()
}

fn logprobs(body: &mut Fields<'_>) -> Result<Option<Logprobs>, Bad> {
    let (enabled, top) = (body.bool("logprobs")?, body.u64("top_logprobs")?);
    Ok((enabled.is_some() || top.is_some())
        .then(|| Logprobs { enabled: enabled.unwrap_or(false), top }))
}
