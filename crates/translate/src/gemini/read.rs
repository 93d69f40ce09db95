//! A request as its client wrote it.

use tollgate_core::Protocol;

use super::{parts, tools};
use crate::{
    codec::Incoming,
    effort,
    json::{Bad, Fields, Node, Raw},
    model::{
        Conversation, Format, Item, JsonSchema, Logprobs, Message, Native, ReasoningBudget,
        ReasoningRequest, Role, SamplingRequest, Tier,
    },
    schema,
};

/// Fields of the configuration that only this protocol has.
const CONFIG: [(&str, &str); 9] = [
    ("speechConfig", "generationConfig.speechConfig"),
    ("imageConfig", "generationConfig.imageConfig"),
    ("mediaResolution", "generationConfig.mediaResolution"),
    ("audioTimestamp", "generationConfig.audioTimestamp"),
    ("audioTranscriptionConfig", "generationConfig.audioTranscriptionConfig"),
    ("enableEnhancedCivicAnswers", "generationConfig.enableEnhancedCivicAnswers"),
    ("responseJsonSchemaOrdered", "generationConfig.responseJsonSchemaOrdered"),
    ("routingConfig", "generationConfig.routingConfig"),
    ("responseFormat", "generationConfig.responseFormat"),
];

pub(super) fn conversation(incoming: &Incoming<'_>) -> Result<Conversation, Bad> {
    let body = Node::parse(incoming.body)?.fields();
    let body = body.ok_or(Bad::new("", "the body must be a JSON object"))?;
    let mut c = fields(body.camel(), incoming.model)?;
    c.stream.on = incoming.stream.then_some(true);
    Ok(c)
}

/// Reads the members of a request. `model`: what the path names.
pub(super) fn fields(mut body: Fields<'_>, model: Option<&str>) -> Result<Conversation, Bad> {
    let named = body.string("model")?;
    let model = model.or(named.as_deref()).ok_or(Bad::new("model", "is required"))?;
    let model = model.strip_prefix("models/").unwrap_or(model);
    let mut c = Conversation::new(Protocol::Gemini, model);
    system(&mut body, &mut c)?;
    c.items.extend(parts::contents(&mut body)?);
    tools::read(&mut body, &mut c)?;
    if let Some(config) = body.fields("generationConfig")? {
        generation(config.camel(), &mut c).map_err(|bad| bad.under("generationConfig"))?;
    }
    c.cache.content_ref = body.string("cachedContent")?;
    c.state.store = body.bool("store")?;
    c.tier = tier(&mut body)?;
    for name in ["safetySettings", "labels", "modelArmorConfig"] {
        let value = body.raw(name);
        c.native.extend(value.map(|value| Native { name, value, essential: false }));
    }
    let name = "continuationToken";
    c.native.extend(body.raw(name).map(|value| Native { name, value, essential: true }));
    c.extra = body.extra();
    Ok(c)
}

fn tier(body: &mut Fields<'_>) -> Result<Option<Tier>, Bad> {
    let Some(word) = body.string("serviceTier")? else { return Ok(None) };
    let word = word.to_ascii_lowercase();
    Ok(match word.trim_start_matches("service_tier_") {
        "flex" => Some(Tier::Flex),
        "standard" => Some(Tier::Standard),
        "priority" => Some(Tier::Priority),
        "unspecified" => None,
        _ => return Err(Bad::new("serviceTier", "is not a known tier")),
    })
}

fn system(body: &mut Fields<'_>, c: &mut Conversation) -> Result<(), Bad> {
    let Some(node) = body.take("systemInstruction") else { return Ok(()) };
    let read = |node: Node<'_>| {
        let read = parts::part(node, None).map_err(|bad| bad.under("systemInstruction"));
        read.map(|part| Item::Message(Message::new(Role::System, vec![part])))
    };
    match node.get("parts") {
        Some(parts) if parts.is_array() => {
            for part in parts.elements() {
                c.items.push(read(part)?);
            }
        }
        Some(part) => c.items.push(read(part)?),
        None if node.is_string() || node.get("text").is_some() => c.items.push(read(node)?),
        None => {}
    }
    Ok(())
}

fn generation(mut config: Fields<'_>, c: &mut Conversation) -> Result<(), Bad> {
    c.sampling = SamplingRequest {
        temperature: config.number("temperature")?,
        top_p: config.number("topP")?,
        top_k: config.number("topK")?,
        frequency_penalty: config.number("frequencyPenalty")?,
        presence_penalty: config.number("presencePenalty")?,
        seed: config.number("seed")?,
        logit_bias: None,
    };
    c.candidates = config.u64("candidateCount")?;
    c.output_limit = config.u64("maxOutputTokens")?;
    c.stop = config.strings("stopSequences")?;
    let (enabled, top) = (config.bool("responseLogprobs")?, config.u64("logprobs")?);
    if enabled.is_some() || top.is_some() {
        c.logprobs = Some(Logprobs { enabled: enabled.unwrap_or(false), top });
    }
    c.format = format(&mut config)?;
    if let Some(thinking) = config.fields("thinkingConfig")? {
        let thinking = thinking.camel();
        c.reasoning = Some(reasoning(thinking).map_err(|bad| bad.under("thinkingConfig"))?);
    }
    if let Some(node) = config.take("responseModalities") {
        let text = |word: Node<'_>| word.str().is_some_and(|w| w.eq_ignore_ascii_case("text"));
        let essential = node.elements().any(|word| !text(word));
        let name = "generationConfig.responseModalities";
        c.native.push(Native { name, value: node.raw(), essential });
    }
    for (key, name) in CONFIG {
        let value = config.raw(key);
        c.native.extend(value.map(|value| Native { name, value, essential: false }));
    }
    let extra = config.extra().0.into_iter();
    c.extra.0.extend(extra.map(|(key, value)| (format!("generationConfig.{key}").into(), value)));
    Ok(())
}

fn format(config: &mut Fields<'_>) -> Result<Option<Format>, Bad> {
    let mime = config.string("responseMimeType")?;
    let subset = config.raw("responseSchema").map(|schema| schema::from_gemini(&schema));
    let older = config.raw("_responseJsonSchema");
    let schema: Option<Raw> = config.raw("responseJsonSchema").or(older).or(subset);
    Ok(match (mime.as_deref(), schema) {
        (Some("text/x.enum"), schema) => Some(Format::Enum(schema)),
        (_, Some(schema)) => {
            Some(Format::JsonSchema(JsonSchema { schema: Some(schema), ..JsonSchema::default() }))
        }
        (Some("application/json"), None) => Some(Format::JsonObject),
        (Some("text/plain"), None) => Some(Format::Text),
        (Some(_), None) => return Err(Bad::new("responseMimeType", "is not a known type")),
        (None, None) => None,
    })
}

fn reasoning(mut config: Fields<'_>) -> Result<ReasoningRequest, Bad> {
    let level = config.string("thinkingLevel")?.map(|word| word.to_ascii_lowercase());
    let level = level.filter(|word| word != "thinking_level_unspecified");
    let unknown = || Bad::new("thinkingLevel", "is not a known level");
    let effort = level.map(|word| effort::parse(&word).ok_or_else(unknown)).transpose()?;
    let budget = config.number("thinkingBudget")?.map(|budget| match budget.as_i64() {
        Some(0) => ReasoningBudget::Off,
        Some(n) if n > 0 => ReasoningBudget::Tokens(n.unsigned_abs()),
        _ => ReasoningBudget::Dynamic,
    });
    Ok(ReasoningRequest {
        effort,
        budget,
        visible: config.bool("includeThoughts")?,
        summary: None,
        extra: config.extra(),
    })
}
