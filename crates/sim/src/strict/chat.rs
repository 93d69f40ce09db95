//! Chat Completions.

use serde_json::Value;

use super::{Checked, Wrong, list, named, open_object, text, turns::Waiting, unknown};

const MEMBERS: &[&str] = &[
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "modalities",
    "model",
    "moderation",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
];

/// OpenAI's own; other servers of this protocol think aloud and are not as strict about it.
pub(crate) fn is_openai(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    ["gpt-", "chatgpt-"].iter().any(|start| name.starts_with(start)) || reasons(name)
}

fn reasons(name: &str) -> bool {
    ["gpt-5", "o1", "o3", "o4"].iter().any(|start| name.starts_with(start))
}

pub(super) fn check(body: &Value) -> Checked {
    if let Some(name) = unknown(body, MEMBERS) {
        return Err(parameter(name));
    }
    let model = text(body, "model");
    if reasons(model) && !body["max_tokens"].is_null() {
        let message = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
        return Err(Wrong::at("max_tokens", "unsupported_parameter", message));
    }
    if !body["stream_options"].is_null() && body["stream"] != true {
        let message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
        return Err(Wrong::at("stream_options", "invalid_value", message));
    }
    if list(&body["stop"]).len() > 4 {
        return Err(Wrong::at("stop", "array_above_max_length", "Invalid 'stop': array too long."));
    }
    tools(body)?;
    format(body)?;
    messages(list(&body["messages"]), is_openai(model))
}

pub(super) fn parameter(name: &str) -> Wrong {
    Wrong::at(name, "unknown_parameter", format!("Unknown parameter: '{name}'."))
}

fn tools(body: &Value) -> Checked {
    let tools = list(&body["tools"]);
    if body["tools"].is_array() && tools.is_empty() {
        let message = "Invalid 'tools': empty array. Expected an array with minimum length 1.";
        return Err(Wrong::at("tools", "empty_array", message));
    }
    for (n, tool) in tools.iter().enumerate() {
        if tool["type"] == "function" {
            function(&tool["function"], &format!("tools[{n}].function"))?;
        }
    }
    only_with_tools(body)
}

/// What speaks of tools where there are none.
pub(super) fn only_with_tools(body: &Value) -> Checked {
    let none = list(&body["tools"]).is_empty() && list(&body["functions"]).is_empty();
    let spoken = ["tool_choice", "parallel_tool_calls"];
    match spoken.iter().find(|key| none && !body[**key].is_null()) {
        None => Ok(()),
        Some(key) => {
            let message = format!("'{key}' is only allowed when 'tools' are specified.");
            Err(Wrong::at(*key, "invalid_value", message))
        }
    }
}

/// A function as it is declared, in either protocol.
pub(super) fn function(function: &Value, at: &str) -> Checked {
    let name = text(function, "name");
    if !named(name, "", 64) {
        let message = format!(
            "Invalid '{at}.name': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."
        );
        return Err(Wrong::at(format!("{at}.name"), "invalid_value", message));
    }
    let parameters = &function["parameters"];
    if !parameters.is_null() && parameters["type"] != "object" {
        let message = format!(
            "Invalid schema for function '{name}': schema must be a JSON Schema of 'type: \"object\"', got 'type: {}'.",
            parameters["type"]
        );
        return Err(Wrong::at(format!("{at}.parameters"), SCHEMA, message));
    }
    match function["strict"] == true {
        true => strict(parameters, &format!("function '{name}'"), &format!("{at}.parameters")),
        false => Ok(()),
    }
}

const SCHEMA: &str = "invalid_function_parameters";

/// A schema that is to be kept to the letter.
pub(super) fn strict(schema: &Value, of: &str, at: &str) -> Checked {
    let Some(place) = open_object(schema, true) else { return Ok(()) };
    let message = format!(
        "Invalid schema for {of}: In context={place}, 'additionalProperties' is required to be supplied and to be false, and 'required' to include every key in properties."
    );
    Err(Wrong::at(at, "invalid_json_schema", message))
}

fn format(body: &Value) -> Checked {
    let format = &body["response_format"];
    match text(format, "type") {
        "json_schema" => {
            let inner = &format["json_schema"];
            json_schema(inner, "response_format.json_schema")
        }
        "json_object" => speaks_of_json(&body["messages"], "messages"),
        _ => Ok(()),
    }
}

pub(super) fn json_schema(inner: &Value, at: &str) -> Checked {
    if !named(text(inner, "name"), "", 64) {
        let message = format!("Missing required parameter: '{at}.name'.");
        return Err(Wrong::at(format!("{at}.name"), "missing_required_parameter", message));
    }
    match inner["strict"] == true {
        true => strict(&inner["schema"], "response_format", at),
        false => Ok(()),
    }
}

/// Asking for JSON without the word is refused, as the model might write spaces for ever.
pub(super) fn speaks_of_json(prompt: &Value, member: &'static str) -> Checked {
    if prompt.to_string().to_ascii_lowercase().contains("json") {
        return Ok(());
    }
    let message = format!(
        "'{member}' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
    );
    Err(Wrong::at(member, "invalid_value", message))
}

fn messages(messages: &[Value], openai: bool) -> Checked {
    let mut waiting = Waiting::default();
    for (n, message) in messages.iter().enumerate() {
        let at = format!("messages[{n}]");
        known(message, &at, openai)?;
        if message["role"] == "tool" {
            answer(message, &mut waiting, &at)?;
            continue;
        }
        all_answered(&waiting, &at)?;
        for (k, call) in list(&message["tool_calls"]).iter().enumerate() {
            self::call(call, &mut waiting, &format!("{at}.tool_calls[{k}]"), openai)?;
        }
    }
    all_answered(&waiting, "messages")
}

fn all_answered(waiting: &Waiting<'_>, at: &str) -> Checked {
    let Some(left) = waiting.left() else { return Ok(()) };
    let message = format!(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: {left}"
    );
    Err(Wrong::at(at, "invalid_value", message))
}

/// Each role has its own members and kinds of content.
fn known(message: &Value, at: &str, openai: bool) -> Checked {
    let (members, parts): (&[&str], &[&str]) = match text(message, "role") {
        "system" | "developer" => (&["role", "content", "name"], &["text"]),
        "user" => (&["role", "content", "name"], &["text", "image_url", "input_audio", "file"]),
        "assistant" => (ASSISTANT, &["text", "refusal"]),
        "tool" => (&["role", "content", "tool_call_id"], &["text"]),
        "function" => (&["role", "content", "name"], &["text"]),
        role => {
            let message = format!(
                "Invalid value: '{role}'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and 'developer'."
            );
            return Err(Wrong::at(format!("{at}.role"), "invalid_value", message));
        }
    };
    let aloud = |name: &str| !openai && name == "reasoning_content";
    if let Some(name) = unknown(message, members).filter(|name| !aloud(name)) {
        return Err(parameter(&format!("{at}.{name}")));
    }
    has_content(message, at)?;
    for (k, part) in list(&message["content"]).iter().enumerate() {
        let kind = text(part, "type");
        if !parts.contains(&kind) {
            let message =
                format!("Invalid value: '{kind}'. Supported values are: '{}'.", parts.join("', '"));
            return Err(Wrong::at(format!("{at}.content[{k}].type"), "invalid_value", message));
        }
    }
    Ok(())
}

const ASSISTANT: &[&str] =
    &["role", "content", "name", "refusal", "audio", "tool_calls", "function_call", "annotations"];

fn has_content(message: &Value, at: &str) -> Checked {
    let content = &message["content"];
    let elsewhere = ["tool_calls", "function_call", "refusal", "audio"];
    let elsewhere = elsewhere.iter().any(|key| !message[*key].is_null());
    if content.is_null() && !(message["role"] == "assistant" && elsewhere) {
        let message = "Invalid value for 'content': expected a string, got null.";
        return Err(Wrong::at(format!("{at}.content"), "invalid_type", message));
    }
    let empty = |key: &str| message[key].as_array().is_some_and(Vec::is_empty);
    match ["content", "tool_calls"].into_iter().find(|key| empty(key)) {
        None => Ok(()),
        Some(key) => {
            let message = format!(
                "Invalid '{at}.{key}': empty array. Expected an array with minimum length 1."
            );
            Err(Wrong::at(format!("{at}.{key}"), "empty_array", message))
        }
    }
}

fn call<'a>(call: &'a Value, waiting: &mut Waiting<'a>, at: &str, openai: bool) -> Checked {
    let known: &[&str] = &["id", "type", "function", "custom"];
    if let Some(name) = unknown(call, known) {
        return Err(parameter(&format!("{at}.{name}")));
    }
    if let Some(name) = unknown(&call["function"], &["name", "arguments"]) {
        return Err(parameter(&format!("{at}.function.{name}")));
    }
    let id = text(call, "id");
    if id.is_empty() || (openai && id.len() > 40) {
        let message = format!(
            "Invalid '{at}.id': expected a string with length from 1 to 40, but got one with length {}.",
            id.len()
        );
        return Err(Wrong::at(format!("{at}.id"), "string_above_max_length", message));
    }
    let function = &call["function"];
    if call["type"] == "function"
        && !(function["arguments"].is_string() && named(text(function, "name"), "", 64))
    {
        let message = format!(
            "Invalid '{at}.function': expected a name that matches the pattern '^[a-zA-Z0-9_-]+$' and arguments in a string."
        );
        return Err(Wrong::at(format!("{at}.function"), "invalid_value", message));
    }
    match waiting.call(id) {
        true => Ok(()),
        false => Err(Wrong::at(
            format!("{at}.id"),
            "invalid_value",
            format!("Duplicate tool call id: {id}"),
        )),
    }
}

fn answer(message: &Value, waiting: &mut Waiting<'_>, at: &str) -> Checked {
    if waiting.answer(text(message, "tool_call_id")) {
        return Ok(());
    }
    let message = "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.";
    Err(Wrong::at(format!("{at}.role"), "invalid_value", message))
}
