//! Responses.

use serde_json::Value;

use super::{
    Checked, Wrong,
    chat::{function, json_schema, only_with_tools, parameter, speaks_of_json},
    list, text,
    turns::Waiting,
    unknown,
};
use crate::sign;

const MEMBERS: &[&str] = &[
    "background",
    "client_metadata",
    "context_management",
    "conversation",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "model",
    "moderation",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

pub(super) fn check(body: &Value) -> Checked {
    if let Some(name) = unknown(body, MEMBERS) {
        return Err(parameter(name));
    }
    if let Some(id) = body["previous_response_id"].as_str() {
        let message = format!("Previous response with id '{id}' not found.");
        return Err(Wrong::at("previous_response_id", "previous_response_not_found", message));
    }
    if let Some(n) = body["max_output_tokens"].as_u64().filter(|n| *n < 16) {
        let message = format!(
            "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got {n} instead."
        );
        return Err(Wrong::at("max_output_tokens", "integer_below_min_value", message));
    }
    for (n, tool) in list(&body["tools"]).iter().enumerate() {
        if tool["type"] == "function" {
            function(tool, &format!("tools[{n}]"))?;
        }
    }
    only_with_tools(body)?;
    format(body)?;
    input(list(&body["input"]))
}

fn format(body: &Value) -> Checked {
    let format = &body["text"]["format"];
    match text(format, "type") {
        "json_schema" => json_schema(format, "text.format"),
        "json_object" => speaks_of_json(&body["input"], "input"),
        _ => Ok(()),
    }
}

fn input(items: &[Value]) -> Checked {
    let mut waiting = Waiting::default();
    for (n, item) in items.iter().enumerate() {
        let at = format!("input[{n}]");
        id(item, &at)?;
        nulls(item, &at)?;
        match kind(item) {
            "message" => message(item, &at)?,
            "reasoning" => reasoning(item, items.get(n + 1), &at)?,
            "function_call" | "custom_tool_call" => call(item, &mut waiting, &at)?,
            "function_call_output" | "custom_tool_call_output" => output(item, &mut waiting, &at)?,
            "item_reference" => return Err(gone(text(item, "id"), &at)),
            kind if OTHERS.contains(&kind) => {}
            kind => {
                let message = format!("Invalid value: '{kind}'.");
                return Err(Wrong::at(format!("{at}.type"), "invalid_value", message));
            }
        }
    }
    let Some(left) = waiting.left() else { return Ok(()) };
    Err(Wrong::at(
        "input",
        "invalid_value",
        format!("No tool output found for function call {left}."),
    ))
}

const OTHERS: &[&str] = &[
    "additional_tools",
    "apply_patch_call",
    "apply_patch_call_output",
    "code_interpreter_call",
    "compaction",
    "compaction_trigger",
    "computer_call",
    "computer_call_output",
    "file_search_call",
    "image_generation_call",
    "local_shell_call",
    "local_shell_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "program",
    "program_output",
    "shell_call",
    "shell_call_output",
    "tool_search_call",
    "tool_search_output",
    "web_search_call",
];

/// A message may leave its type out.
fn kind(item: &Value) -> &str {
    if item["type"].is_null() && item["role"].is_string() { "message" } else { text(item, "type") }
}

/// Ids begin with what the thing is.
fn id(item: &Value, at: &str) -> Checked {
    let prefix = match kind(item) {
        "message" => "msg",
        "reasoning" => "rs",
        "function_call" => "fc",
        "custom_tool_call" => "ctc",
        _ => return Ok(()),
    };
    match item["id"].as_str() {
        Some(id) if !id.starts_with(prefix) || id.len() > 64 => {
            let message =
                format!("Invalid '{at}.id': '{id}'. Expected an ID that begins with '{prefix}'.");
            Err(Wrong::at(format!("{at}.id"), "invalid_value", message))
        }
        _ => Ok(()),
    }
}

/// Members that must be left out rather than be null.
fn nulls(item: &Value, at: &str) -> Checked {
    let null = |key: &&&str| item.get(**key).is_some_and(Value::is_null);
    match ["namespace", "call_id", "name", "arguments", "output", "role"].iter().find(null) {
        None => Ok(()),
        Some(key) => {
            let message =
                format!("Invalid type for '{at}.{key}': expected a string, but got null instead.");
            Err(Wrong::at(format!("{at}.{key}"), "invalid_type", message))
        }
    }
}

fn message(item: &Value, at: &str) -> Checked {
    let known: &[&str] = &["content", "id", "phase", "role", "status", "type"];
    if let Some(name) = unknown(item, known) {
        return Err(parameter(&format!("{at}.{name}")));
    }
    let kinds: &[&str] = match text(item, "role") {
        "assistant" => &["output_text", "refusal"],
        _ => &["input_text", "input_image", "input_file", "input_audio"],
    };
    for (k, part) in list(&item["content"]).iter().enumerate() {
        let kind = text(part, "type");
        if !kinds.contains(&kind) {
            let message = format!(
                "Invalid value: '{kind}'. Supported values are: '{}'.",
                kinds.join("' and '")
            );
            return Err(Wrong::at(format!("{at}.content[{k}]"), "invalid_value", message));
        }
    }
    Ok(())
}

/// Reasoning belongs to what follows it and comes back as it was given.
fn reasoning(item: &Value, next: Option<&Value>, at: &str) -> Checked {
    if !item["summary"].is_array() {
        let message = format!("Missing required parameter: '{at}.summary'.");
        return Err(Wrong::at(format!("{at}.summary"), "missing_required_parameter", message));
    }
    let of_assistant = |next: &Value| match kind(next) {
        "message" => next["role"] == "assistant",
        kind => !kind.ends_with("_output"),
    };
    let id = text(item, "id");
    if !next.is_some_and(of_assistant) {
        let message = format!(
            "Item '{id}' of type 'reasoning' was provided without its required following item."
        );
        return Err(Wrong::at(at, "invalid_value", message));
    }
    match item["encrypted_content"].as_str() {
        Some(content) if sign::minted("openai", content) => Ok(()),
        Some(content) => {
            let start: String = content.chars().take(8).collect();
            let message = format!(
                "The encrypted content {start}... could not be verified. Reason: Encrypted content could not be decrypted or parsed."
            );
            Err(Wrong::at(at, "invalid_encrypted_content", message))
        }
        None if id.is_empty() => Err(gone("", at)),
        None => Ok(()),
    }
}

fn gone(id: &str, at: &str) -> Wrong {
    let message = format!(
        "Item with id '{id}' not found. Items are not persisted when `store` is set to false. Try again with `store` set to true, or remove this item from your input."
    );
    Wrong::at(at, "invalid_value", message)
}

fn call<'a>(item: &'a Value, waiting: &mut Waiting<'a>, at: &str) -> Checked {
    let known: &[&str] =
        &["arguments", "call_id", "caller", "id", "input", "name", "namespace", "status", "type"];
    if let Some(name) = unknown(item, known) {
        return Err(parameter(&format!("{at}.{name}")));
    }
    let id = text(item, "call_id");
    if id.is_empty() || id.len() > 64 {
        let message = format!(
            "Invalid '{at}.call_id': expected a string with length from 1 to 64, but got one with length {}.",
            id.len()
        );
        return Err(Wrong::at(format!("{at}.call_id"), "string_above_max_length", message));
    }
    let given = if item["type"] == "function_call" { "arguments" } else { "input" };
    if !item[given].is_string() || text(item, "name").is_empty() {
        let message = format!("Missing required parameter: '{at}.{given}' or '{at}.name'.");
        return Err(Wrong::at(at, "missing_required_parameter", message));
    }
    match waiting.call(id) {
        true => Ok(()),
        false => {
            Err(Wrong::at(at, "invalid_value", format!("Duplicate item found with call_id {id}.")))
        }
    }
}

fn output(item: &Value, waiting: &mut Waiting<'_>, at: &str) -> Checked {
    let id = text(item, "call_id");
    if !waiting.answer(id) {
        let message = format!("No tool call found for function call output with call_id {id}.");
        return Err(Wrong::at("input", "invalid_value", message));
    }
    match &item["output"] {
        Value::String(_) | Value::Array(_) => Ok(()),
        _ => {
            let message = format!("Missing required parameter: '{at}.output'.");
            Err(Wrong::at(format!("{at}.output"), "missing_required_parameter", message))
        }
    }
}
