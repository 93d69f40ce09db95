//! A request as its client wrote it.

use tollgate_core::Protocol;

use super::{items, tools};
use crate::{
    codec::Incoming,
    effort,
    json::{Bad, Fields, Node},
    model::{
        Conversation, Format, Item, JsonSchema, Logprobs, Message, Part, ReasoningRequest, Role,
        SamplingRequest, ServerState, StreamRequest,
    },
    openai,
};

/// Fields that only this protocol has.
const NATIVE: [&str; 9] = [
    "max_tool_calls",
    "truncation",
    "context_management",
    "moderation",
    "prompt_cache_retention",
    "access_programs",
    "image",
    "background_options",
    "client_metadata",
];

pub(super) fn conversation(incoming: &Incoming<'_>) -> Result<Conversation, Bad> {
    let body = Node::parse(incoming.body)?.fields();
    let mut body = body.ok_or(Bad::new("", "the body must be a JSON object"))?;
    let mut c = Conversation::new(Protocol::OpenAiResponses, body.need("model")?);
    if let Some(node) = body.take("instructions") {
        instructions(node, &mut c.items)?;
    }
    items::read(&mut body, &mut c.items)?;
    c.output_limit = body.u64("max_output_tokens")?;
    c.sampling = SamplingRequest {
        temperature: body.number("temperature")?,
        top_p: body.number("top_p")?,
        ..SamplingRequest::default()
    };
    c.include = body.strings("include")?;
    let top = body.u64("top_logprobs")?;
    c.logprobs = top.map(|top| Logprobs { enabled: true, top: Some(top) });
    tools::read(&mut body, &mut c)?;
    text(&mut body, &mut c)?;
    c.reasoning = reasoning(&mut body)?;
    c.cache = openai::cache_request(&mut body)?;
    c.identity = openai::identity(&mut body)?;
    if let Some(word) = body.string("service_tier")? {
        let unknown = Bad::new("service_tier", "is not a known tier");
        c.tier = Some(openai::tier(&word).ok_or(unknown)?);
    }
    c.state = state(&mut body)?;
    c.stream = stream(&mut body)?;
    openai::natives(&mut body, &NATIVE, &mut c.native);
    c.extra = body.extra();
    Ok(c)
}

/// One text, or items as they may stand in the input.
fn instructions(node: Node<'_>, out: &mut Vec<Item>) -> Result<(), Bad> {
    if let Some(text) = node.string() {
        let message = Message::new(Role::System, vec![Part::text(text)]);
        out.push(Item::Message(Message { plain: true, ..message }));
        return Ok(());
    }
    Err(Bad::new("instructions", "must be a string"))
}

fn state(body: &mut Fields<'_>) -> Result<ServerState, Bad> {
    Ok(ServerState {
        previous_response: body.string("previous_response_id")?,
        conversation: body.raw("conversation"),
        prompt: body.raw("prompt"),
        store: body.bool("store")?,
        background: body.bool("background")?,
    })
}

fn stream(body: &mut Fields<'_>) -> Result<StreamRequest, Bad> {
    let mut stream = StreamRequest { on: body.bool("stream")?, ..StreamRequest::default() };
    if let Some(options) = body.fields("stream_options")? {
        stream.extra = options.extra();
    }
    Ok(stream)
}

fn text(body: &mut Fields<'_>, c: &mut Conversation) -> Result<(), Bad> {
    let Some(mut text) = body.fields("text")? else { return Ok(()) };
    c.verbosity = text.string("verbosity").map_err(|bad| bad.under("text"))?;
    let Some(mut format) = text.fields("format")? else { return Ok(()) };
    c.format = Some(self::format(&mut format).map_err(|bad| bad.under("text.format"))?);
    Ok(())
}

fn format(format: &mut Fields<'_>) -> Result<Format, Bad> {
    Ok(match format.need("type")?.as_str() {
        "text" => Format::Text,
        "json_object" => Format::JsonObject,
        "json_schema" => Format::JsonSchema(JsonSchema {
            name: format.string("name")?,
            description: format.string("description")?,
            schema: format.raw("schema"),
            strict: format.bool("strict")?,
        }),
        _ => return Err(Bad::new("type", "must be `text`, `json_object` or `json_schema`")),
    })
}

fn reasoning(body: &mut Fields<'_>) -> Result<Option<ReasoningRequest>, Bad> {
    let Some(mut fields) = body.fields("reasoning")? else { return Ok(None) };
    let mut read = || {
        let word = fields.string("effort")?;
        let older = fields.string("generate_summary")?;
        Ok((word, fields.string("summary")?.or(older)))
    };
    let (word, summary) = read().map_err(|bad: Bad| bad.under("reasoning"))?;
    let unknown = || Bad::new("reasoning.effort", "is not a known effort");
    let effort = word.map(|word| effort::parse(&word).ok_or_else(unknown)).transpose()?;
    Ok(Some(ReasoningRequest {
        effort,
        visible: summary.is_some().then_some(true),
        summary,
        extra: fields.extra(),
        ..ReasoningRequest::default()
    }))
}
