//! Messages.

use serde_json::Value;

use super::{
    Checked, Request, Wrong,
    claude::{is_adaptive_only, takes_no_prefill, takes_one_sampling},
    list, named, open_object, text, unknown,
};
use crate::sign;

const MEMBERS: &[&str] = &[
    "cache_control",
    "container",
    "diagnostics",
    "inference_geo",
    "max_tokens",
    "messages",
    "metadata",
    "model",
    "output_config",
    "service_tier",
    "speed",
    "stop_sequences",
    "stream",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
    "user_profile_id",
];

/// Members that need a beta.
const BETA: &[&str] = &[
    "billing_policy",
    "compaction",
    "context_management",
    "fallback_credit_token",
    "fallbacks",
    "mcp_servers",
    "output_format",
    "thread",
];

const SAMPLING: [&str; 3] = ["temperature", "top_p", "top_k"];

/// The version that takes sampling from the caller's hands.
const NO_SAMPLING: &str = "2026-10-21";

pub(super) fn check(request: Request<'_>, body: &Value) -> Checked {
    let Some(version) = request.headers.get("anthropic-version") else {
        return Err(Wrong::saying("anthropic-version: header is required"));
    };
    let beta = request.headers.contains_key("anthropic-beta");
    let known = |name: &str| {
        let generates = ["max_tokens", "stream"].contains(&name);
        MEMBERS.contains(&name) && !(request.counting && generates) || beta && BETA.contains(&name)
    };
    let members = body.as_object().into_iter().flat_map(|body| body.keys());
    if let Some(name) = members.into_iter().find(|name| !known(name)) {
        return Err(extra(name));
    }
    sampling(body, version == NO_SAMPLING)?;
    tools(body)?;
    thinking(body, request.counting)?;
    output(body)?;
    system(body)?;
    stops(body)?;
    cached(body)?;
    messages(body)
}

fn extra(name: &str) -> Wrong {
    Wrong::saying(format!("{name}: Extra inputs are not permitted"))
}

fn sampling(body: &Value, refused: bool) -> Checked {
    let model = text(body, "model");
    let given: Vec<_> = SAMPLING.into_iter().filter(|key| !body[*key].is_null()).collect();
    let Some(first) = given.first() else { return Ok(()) };
    if refused {
        return Err(extra(first));
    }
    if is_adaptive_only(model) {
        return Err(Wrong::saying(format!(
            "{first}: sampling parameters are not supported for this model"
        )));
    }
    if takes_one_sampling(model) && given.starts_with(&SAMPLING[..2]) {
        let message = "`temperature` and `top_p` cannot both be specified for this model. Please use only one.";
        return Err(Wrong::saying(message));
    }
    match body["temperature"].as_f64().filter(|t| *t > 1.0) {
        Some(_) => Err(Wrong::saying("temperature: Input should be less than or equal to 1")),
        None => Ok(()),
    }
}

fn tools(body: &Value) -> Checked {
    let tools = list(&body["tools"]);
    for (n, tool) in tools.iter().enumerate() {
        let name = text(tool, "name");
        if !tool["type"].is_null() && tool["type"] != "custom" {
            continue;
        }
        if !named(name, "", 128) {
            return Err(Wrong::saying(format!(
                "tools.{n}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"
            )));
        }
        if tool["input_schema"]["type"] != "object" {
            return Err(Wrong::saying(format!(
                "tools.{n}.custom.input_schema.type: Input should be 'object'"
            )));
        }
        if tools[..n].iter().any(|other| other["name"] == name) {
            return Err(Wrong::saying("tools: Tool names must be unique."));
        }
        if tool["strict"] == true {
            closed(&tool["input_schema"], &format!("tools.{n}.custom.input_schema"))?;
        }
    }
    choice(body, tools)
}

fn closed(schema: &Value, at: &str) -> Checked {
    match open_object(schema, false) {
        None => Ok(()),
        Some(_) => Err(Wrong::saying(format!(
            "{at}: For 'object' type, 'additionalProperties' must be explicitly set to false"
        ))),
    }
}

fn choice(body: &Value, tools: &[Value]) -> Checked {
    let choice = &body["tool_choice"];
    if choice.is_null() {
        return Ok(());
    }
    if tools.is_empty() {
        return Err(Wrong::saying("tool_choice may only be specified while providing tools."));
    }
    let name = text(choice, "name");
    match choice["type"] == "tool" && !tools.iter().any(|tool| tool["name"] == name) {
        true => Err(Wrong::saying(format!("Tool '{name}' not found in provided tools"))),
        false => Ok(()),
    }
}

fn thinks(body: &Value) -> bool {
    body["thinking"]["type"] == "enabled"
}

fn thinking(body: &Value, counting: bool) -> Checked {
    if !thinks(body) {
        return Ok(());
    }
    if is_adaptive_only(text(body, "model")) {
        return Err(Wrong::saying(
            "\"thinking.type.enabled\" is not supported for this model. Use \"thinking.type.adaptive\" and \"output_config.effort\" to control thinking behavior.",
        ));
    }
    let budget = body["thinking"]["budget_tokens"].as_u64().unwrap_or(0);
    if budget < 1024 {
        return Err(Wrong::saying(
            "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
        ));
    }
    if !counting && body["max_tokens"].as_u64().is_some_and(|most| most <= budget) {
        return Err(Wrong::saying("`max_tokens` must be greater than `thinking.budget_tokens`."));
    }
    if body["temperature"].as_f64().is_some_and(|t| t != 1.0) || !body["top_k"].is_null() {
        return Err(Wrong::saying("`temperature` may only be set to 1 when thinking is enabled."));
    }
    match ["any", "tool"].contains(&text(&body["tool_choice"], "type")) {
        true => Err(Wrong::saying("Thinking may not be enabled when tool_choice forces tool use.")),
        false => Ok(()),
    }
}

fn output(body: &Value) -> Checked {
    let format = &body["output_config"]["format"];
    if format["type"] != "json_schema" {
        return Ok(());
    }
    closed(&format["schema"], "output_config.format.schema")
}

fn system(body: &Value) -> Checked {
    for (n, block) in list(&body["system"]).iter().enumerate() {
        if block["type"] != "text" {
            return Err(Wrong::saying(format!("system.{n}.type: Input should be 'text'")));
        }
        not_blank(block, "system")?;
    }
    Ok(())
}

fn not_blank(block: &Value, at: &str) -> Checked {
    let words = text(block, "text");
    if words.is_empty() {
        return Err(Wrong::saying(format!("{at}: text content blocks must be non-empty")));
    }
    match words.trim().is_empty() {
        true => Err(Wrong::saying(format!(
            "{at}: text content blocks must contain non-whitespace text"
        ))),
        false => Ok(()),
    }
}

fn stops(body: &Value) -> Checked {
    let blank = |stop: &Value| stop.as_str().is_some_and(|stop| stop.trim().is_empty());
    match list(&body["stop_sequences"]).iter().any(blank) {
        true => {
            Err(Wrong::saying("stop_sequences: each stop sequence must contain non-whitespace"))
        }
        false => Ok(()),
    }
}

fn cached(body: &Value) -> Checked {
    match marks(body) {
        0..=4 => Ok(()),
        n => Err(Wrong::saying(format!(
            "A maximum of 4 blocks with cache_control may be provided. Found {n}."
        ))),
    }
}

fn marks(value: &Value) -> usize {
    match value {
        Value::Object(object) => {
            let here = object.get("cache_control").is_some_and(|mark| !mark.is_null());
            usize::from(here) + object.values().map(marks).sum::<usize>()
        }
        Value::Array(values) => values.iter().map(marks).sum(),
        _ => 0,
    }
}

/// The blocks of a message; none where the content is text.
fn blocks(message: &Value) -> &[Value] {
    list(&message["content"])
}

fn of_kind<'a>(message: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    blocks(message).iter().filter(move |block| block["type"] == kind)
}

fn messages(body: &Value) -> Checked {
    let messages = list(&body["messages"]);
    for (n, message) in messages.iter().enumerate() {
        let role = text(message, "role");
        if role != "user" && role != "assistant" {
            return Err(Wrong::saying(format!(
                "messages.{n}.role: Input should be 'user' or 'assistant'"
            )));
        }
        if n == 0 && role != "user" {
            return Err(Wrong::saying("messages: first message must use the \"user\" role"));
        }
        content(message, n, n + 1 == messages.len())?;
        results(messages, n)?;
    }
    calls(messages)?;
    declared(body, messages)?;
    last(body, messages)
}

fn content(message: &Value, n: usize, last: bool) -> Checked {
    let role = text(message, "role");
    let empty =
        message["content"] == "" || message["content"].as_array().is_some_and(Vec::is_empty);
    if empty && !(last && role == "assistant") {
        return Err(Wrong::saying(format!(
            "messages.{n}: all messages must have non-empty content except for the optional final assistant message"
        )));
    }
    for (k, block) in blocks(message).iter().enumerate() {
        self::block(block, role, &format!("messages.{n}.content.{k}"))?;
    }
    Ok(())
}

/// The members of each kind of block, and who may say it.
fn shape(kind: &str) -> Option<(&'static [&'static str], &'static str)> {
    Some(match kind {
        "text" => (&["type", "text", "citations", "cache_control"], ""),
        "image" => (&["type", "source", "cache_control"], "user"),
        "document" => {
            (&["type", "source", "title", "context", "citations", "cache_control"], "user")
        }
        "tool_result" => (&["type", "tool_use_id", "content", "is_error", "cache_control"], "user"),
        "tool_use" => (
            &["type", "id", "name", "input", "caller", "toolset_name", "cache_control"],
            "assistant",
        ),
        "thinking" => (&["type", "thinking", "signature"], "assistant"),
        "redacted_thinking" => (&["type", "data"], "assistant"),
        _ => return None,
    })
}

fn block(block: &Value, role: &str, at: &str) -> Checked {
    let kind = text(block, "type");
    let Some((members, whose)) = shape(kind) else { return Ok(()) };
    if let Some(name) = unknown(block, members) {
        return Err(extra(&format!("{at}.{kind}.{name}")));
    }
    if !whose.is_empty() && whose != role {
        return Err(Wrong::saying(format!(
            "{at}: `{kind}` blocks can only be specified in `{whose}` messages"
        )));
    }
    match kind {
        "text" => not_blank(block, "messages"),
        "tool_use" => tool_use(block, at),
        "thinking" => signed(block, at),
        "redacted_thinking" => {
            Err(Wrong::saying(format!("{at}: Invalid `data` in `redacted_thinking` block")))
        }
        "tool_result" => blocks(block)
            .iter()
            .filter(|inner| inner["type"] == "text")
            .try_for_each(|inner| not_blank(inner, "messages")),
        "image" => image(block, at),
        _ => Ok(()),
    }
}

fn tool_use(block: &Value, at: &str) -> Checked {
    if !named(text(block, "id"), "", usize::MAX) {
        return Err(Wrong::saying(format!(
            "{at}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
        )));
    }
    if !named(text(block, "name"), "", 200) {
        return Err(Wrong::saying(format!(
            "{at}.tool_use.name: String should match pattern '^[a-zA-Z0-9_-]{{1,200}}$'"
        )));
    }
    match block["input"].is_object() {
        true => Ok(()),
        false => {
            Err(Wrong::saying(format!("{at}.tool_use.input: Input should be a valid dictionary")))
        }
    }
}

/// Thoughts come back as they were given, or not at all.
fn signed(block: &Value, at: &str) -> Checked {
    match sign::signs("anthropic", text(block, "thinking"), text(block, "signature")) {
        true => Ok(()),
        false => Err(Wrong::saying(format!("{at}: Invalid `signature` in `thinking` block"))),
    }
}

fn image(block: &Value, at: &str) -> Checked {
    let source = &block["source"];
    let kinds = ["image/jpeg", "image/png", "image/gif", "image/webp"];
    match source["type"] == "base64" && !kinds.contains(&text(source, "media_type")) {
        true => Err(Wrong::saying(format!(
            "{at}.image.source.base64.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'"
        ))),
        false => Ok(()),
    }
}

/// The results in a message answer calls of the one before it.
fn results(messages: &[Value], n: usize) -> Checked {
    let before = n.checked_sub(1).map(|n| &messages[n]);
    let called =
        |id: &Value| before.is_some_and(|m| of_kind(m, "tool_use").any(|call| call["id"] == *id));
    let lone = of_kind(&messages[n], "tool_result").find(|block| !called(&block["tool_use_id"]));
    match lone {
        None => Ok(()),
        Some(block) => Err(Wrong::saying(format!(
            "messages.{n}.content: unexpected `tool_use_id` found in `tool_result` blocks: {}. Each `tool_result` block must have a corresponding `tool_use` block in the previous message.",
            text(block, "tool_use_id"),
        ))),
    }
}

/// Every call is answered in the next message, and no id is used twice.
fn calls(messages: &[Value]) -> Checked {
    let mut seen = Vec::new();
    for (n, message) in messages.iter().enumerate() {
        for call in of_kind(message, "tool_use") {
            let id = &call["id"];
            if seen.contains(&id) {
                return Err(Wrong::saying("messages: `tool_use` ids must be unique"));
            }
            seen.push(id);
            let next = messages.get(n + 1);
            let answers = next.into_iter().flat_map(|next| of_kind(next, "tool_result"));
            match answers.filter(|result| result["tool_use_id"] == *id).count() {
                1 => {}
                0 => {
                    return Err(Wrong::saying(format!(
                        "messages.{n}: `tool_use` ids were found without `tool_result` blocks immediately after: {}. Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
                        text(call, "id")
                    )));
                }
                _ => {
                    return Err(Wrong::saying(
                        "each tool_use must have a single result. Found multiple `tool_result` blocks with id",
                    ));
                }
            }
        }
    }
    Ok(())
}

fn declared(body: &Value, messages: &[Value]) -> Checked {
    let used = messages.iter().any(|message| of_kind(message, "tool_use").next().is_some());
    match used && list(&body["tools"]).is_empty() {
        true => Err(Wrong::saying(
            "Requests which have `tool_use` or `tool_result` blocks in messages must define tools.",
        )),
        false => Ok(()),
    }
}

/// What the end of a conversation must look like.
fn last(body: &Value, messages: &[Value]) -> Checked {
    if messages.last().is_some_and(|message| message["role"] == "assistant") {
        return prefill(body, &messages[messages.len() - 1]);
    }
    let loops = messages.last().is_some_and(|m| of_kind(m, "tool_result").next().is_some());
    let Some(turn) = messages.len().checked_sub(2).filter(|_| loops && thinks(body)) else {
        return Ok(());
    };
    match text(&blocks(&messages[turn])[0], "type") {
        "thinking" | "redacted_thinking" => Ok(()),
        kind => Err(Wrong::saying(format!(
            "messages.{turn}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{kind}`. When `thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks)."
        ))),
    }
}

fn prefill(body: &Value, message: &Value) -> Checked {
    if takes_no_prefill(text(body, "model")) || thinks(body) {
        return Err(Wrong::saying(
            "This model does not support assistant message prefill. The conversation must end with a user message.",
        ));
    }
    let last = blocks(message).last().map(|block| text(block, "text"));
    let words = message["content"].as_str().or(last).unwrap_or_default();
    match words.ends_with(char::is_whitespace) {
        true => Err(Wrong::saying(
            "messages: final assistant content cannot end with trailing whitespace",
        )),
        false => Ok(()),
    }
}
