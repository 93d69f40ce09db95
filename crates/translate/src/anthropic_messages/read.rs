//! A request as its client wrote it.

use tollgate_core::Protocol;

use super::{blocks, tools};
use crate::{
    carrier,
    codec::Incoming,
    effort,
    json::{Bad, Fields, Node},
    model::{
        Conversation, Extra, Format, Item, JsonSchema, Message, Native, Part, Place,
        ReasoningBudget, ReasoningRequest, Role, SamplingRequest, Tier, ToolResult,
    },
};

/// Fields without which another protocol is not asked.
const ESSENTIAL: [&str; 3] = ["container", "mcp_servers", "thread"];
const OTHERS: [&str; 10] = [
    "billing_policy",
    "diagnostics",
    "inference_geo",
    "user_profile_id",
    "workspace_id",
    "context_management",
    "compaction",
    "fallbacks",
    "fallback_credit_token",
    "betas",
];

/// `limited`: an output limit is required.
pub(super) fn conversation(incoming: &Incoming<'_>, limited: bool) -> Result<Conversation, Bad> {
    let body = Node::parse(incoming.body)?.fields();
    let mut body = body.ok_or(Bad::new("", "the body must be a JSON object"))?;
    let named = body.string("model")?;
    let model = incoming.model.map(str::to_owned).or(named);
    let model = model.ok_or(Bad::new("model", "is required"))?;
    let mut c = Conversation::new(Protocol::AnthropicMessages, model);
    system(&mut body, &mut c)?;
    messages(&mut body, &mut c)?;
    c.output_limit = body.u64("max_tokens")?;
    if limited && c.output_limit.is_none() {
        return Err(Bad::new("max_tokens", "is required"));
    }
    c.sampling = SamplingRequest {
        temperature: body.number("temperature")?,
        top_p: body.number("top_p")?,
        top_k: body.number("top_k")?,
        ..SamplingRequest::default()
    };
    c.stop = body.strings("stop_sequences")?;
    c.stream.on = body.bool("stream")?;
    tools::read(&mut body, &mut c)?;
    c.reasoning = thinking(&mut body)?;
    output_config(&mut body, &mut c)?;
    rest(&mut body, &mut c)?;
    c.extra.0.extend(body.extra().0);
    Ok(c)
}

fn rest(body: &mut Fields<'_>, c: &mut Conversation) -> Result<(), Bad> {
    if let Some(mut metadata) = body.fields("metadata")? {
        c.identity.end_user = metadata.string("user_id")?;
        nested("metadata", metadata.extra(), c);
    }
    c.tier = match body.string("service_tier")?.as_deref() {
        Some("auto") => Some(Tier::Auto),
        Some("standard_only") => Some(Tier::Standard),
        Some(_) => return Err(Bad::new("service_tier", "must be `auto` or `standard_only`")),
        None => None,
    };
    match body.string("speed")?.as_deref() {
        Some("fast") => c.tier = Some(Tier::Fast),
        Some("standard") | None => {}
        Some(_) => return Err(Bad::new("speed", "must be `standard` or `fast`")),
    }
    if let Some(node) = body.take("cache_control") {
        c.cache.auto = Some(true);
        c.cache.ttl = node.get("ttl").and_then(Node::string);
    }
    for name in ESSENTIAL {
        let essential = body.raw(name).map(|value| Native { name, value, essential: true });
        c.native.extend(essential);
    }
    for name in OTHERS {
        c.native.extend(body.raw(name).map(|value| native(name, value)));
    }
    Ok(())
}

/// Unknown members below a known one.
fn nested(parent: &str, extra: Extra, c: &mut Conversation) {
    let each = extra.0.into_iter().map(|(key, value)| (format!("{parent}.{key}").into(), value));
    c.extra.0.extend(each);
}

fn native(name: &'static str, value: crate::json::Raw) -> Native {
    Native { name, value, essential: false }
}

fn system(body: &mut Fields<'_>, c: &mut Conversation) -> Result<(), Bad> {
    let Some(node) = body.take("system") else { return Ok(()) };
    if let Some(text) = node.string() {
        let message = Message { plain: true, ..Message::new(Role::System, vec![Part::text(text)]) };
        c.items.push(Item::Message(message));
        return Ok(());
    }
    for (i, block) in node.elements().enumerate() {
        let part = blocks::read(block).map_err(|bad| bad.under(format!("system[{i}]")))?;
        c.items.push(Item::Message(Message::new(Role::System, vec![part])));
    }
    Ok(())
}

fn messages(body: &mut Fields<'_>, c: &mut Conversation) -> Result<(), Bad> {
    let nodes = body.array("messages")?;
    if nodes.is_empty() {
        return Err(Bad::new("messages", "must hold at least one message"));
    }
    for (at, node) in nodes.into_iter().enumerate() {
        message(node, at, &mut c.items).map_err(|bad| bad.under(format!("messages[{at}]")))?;
    }
    Ok(())
}

fn message(node: Node<'_>, at: usize, items: &mut Vec<Item>) -> Result<(), Bad> {
    let mut fields = node.fields().ok_or(Bad::new("", "must be an object"))?;
    let role = match fields.need("role")?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => return Err(Bad::new("role", "must be `user`, `assistant` or `system`")),
    };
    let place = Place::Item(at);
    let content = fields.take("content").ok_or(Bad::new("content", "is required"))?;
    let extra = fields.extra();
    if let Some(text) = content.string() {
        let message = Message::new(role, vec![Part::text(text)]);
        items.push(Item::Message(Message { plain: true, place, extra, ..message }));
        return Ok(());
    }
    if !content.is_array() {
        return Err(Bad::new("content", "must be a string or an array of blocks"));
    }
    let mut splitter = Splitter { role, place, extra, parts: Vec::new(), items };
    for (i, block) in content.elements().enumerate() {
        splitter.block(block).map_err(|bad| bad.under(format!("content[{i}]")))?;
    }
    splitter.flush();
    Ok(())
}

/// Splits a message into tool results and what was said between them.
struct Splitter<'a> {
    role: Role,
    place: Place,
    extra: Extra,
    parts: Vec<Part>,
    items: &'a mut Vec<Item>,
}

impl Splitter<'_> {
    fn block(&mut self, block: Node<'_>) -> Result<(), Bad> {
        let result = block.get("type").and_then(Node::str).is_some_and(|t| t == "tool_result");
        if result {
            self.flush();
            let result: ToolResult = blocks::tool_result(block, self.place)?;
            self.items.push(Item::ToolResult(result));
        } else {
            let part = blocks::read(block)?;
            carrier::push(&mut self.parts, part);
        }
        Ok(())
    }

    fn flush(&mut self) {
        let mut parts = std::mem::take(&mut self.parts);
        carrier::settle(&mut parts);
        if !parts.is_empty() {
            let message = Message::new(self.role, parts);
            let extra = std::mem::take(&mut self.extra);
            self.items.push(Item::Message(Message { place: self.place, extra, ..message }));
        }
    }
}

fn thinking(body: &mut Fields<'_>) -> Result<Option<ReasoningRequest>, Bad> {
    let Some(mut thinking) = body.fields("thinking")? else { return Ok(None) };
    let mut read = || {
        let kind = thinking.need("type")?;
        let tokens = thinking.u64("budget_tokens")?;
        let omitted = thinking.peek("display").and_then(Node::str).is_some_and(|d| d == "omitted");
        if omitted {
            thinking.take("display");
        }
        Ok((kind, tokens, omitted))
    };
    let (kind, tokens, omitted) = read().map_err(|bad: Bad| bad.under("thinking"))?;
    let missing = Bad::new("thinking.budget_tokens", "is required");
    let budget = match kind.as_str() {
        "enabled" => ReasoningBudget::Tokens(tokens.ok_or(missing)?),
        "disabled" => ReasoningBudget::Off,
        _ => ReasoningBudget::Dynamic,
    };
    let visible = budget != ReasoningBudget::Off && !omitted;
    Ok(Some(ReasoningRequest {
        budget: Some(budget),
        visible: Some(visible),
        extra: thinking.extra(),
        ..ReasoningRequest::default()
    }))
}

fn output_config(body: &mut Fields<'_>, c: &mut Conversation) -> Result<(), Bad> {
    let older = body.take("output_format");
    let mut format = older;
    if let Some(mut config) = body.fields("output_config")? {
        if let Some(word) = config.string("effort")? {
            let unknown = Bad::new("output_config.effort", "is not a known effort");
            let effort = effort::parse(&word).ok_or(unknown)?;
            c.reasoning.get_or_insert_default().effort = Some(effort);
        }
        format = config.take("format").or(format);
        nested("output_config", config.extra(), c);
    }
    let Some(node) = format else { return Ok(()) };
    let schema =
        node.get("schema").ok_or(Bad::new("output_config.format.schema", "is required"))?;
    let schema = JsonSchema { schema: Some(schema.raw()), ..JsonSchema::default() };
    c.format = Some(Format::JsonSchema(schema));
    Ok(())
}
