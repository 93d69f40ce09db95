//! generateContent.

use std::borrow::Cow;

use serde_json::Value;

use super::{Checked, Request, Wrong, gemini_turns::turns, list, named, unknown};

const MEMBERS: &[&str] = &[
    "cachedContent",
    "contents",
    "continuationToken",
    "generationConfig",
    "labels",
    "model",
    "safetySettings",
    "serviceTier",
    "store",
    "systemInstruction",
    "toolConfig",
    "tools",
];

const GENERATION: &[&str] = &[
    "candidateCount",
    "enableEnhancedCivicAnswers",
    "frequencyPenalty",
    "imageConfig",
    "logprobs",
    "maxOutputTokens",
    "mediaResolution",
    "presencePenalty",
    "responseFormat",
    "responseJsonSchema",
    "_responseJsonSchema",
    "responseJsonSchemaOrdered",
    "responseLogprobs",
    "responseMimeType",
    "responseModalities",
    "responseSchema",
    "seed",
    "speechConfig",
    "stopSequences",
    "temperature",
    "thinkingConfig",
    "topK",
    "topP",
];

const DECLARATION: &[&str] = &[
    "behavior",
    "description",
    "name",
    "parameters",
    "parametersJsonSchema",
    "response",
    "responseJsonSchema",
];

const SCHEMA: &[&str] = &[
    "anyOf",
    "default",
    "description",
    "enum",
    "example",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "nullable",
    "pattern",
    "properties",
    "propertyOrdering",
    "required",
    "title",
    "type",
];

pub(super) fn check(request: Request<'_>, body: &Value) -> Checked {
    let inner = body.get("generateContentRequest").filter(|_| request.counting);
    let body = inner.unwrap_or(body);
    known(body, MEMBERS, "")?;
    tools(body)?;
    generation(&member(body, "generationConfig"), request.model)?;
    turns(list(&body["contents"]), request.model)
}

/// A member in either of its two spellings.
pub(super) fn member<'a>(value: &'a Value, camel: &str) -> Cow<'a, Value> {
    let found = value.get(camel).or_else(|| value.get(snake(camel)));
    found.map_or(Cow::Owned(Value::Null), Cow::Borrowed)
}

fn snake(camel: &str) -> String {
    let lower = |c: char| match c.is_ascii_uppercase() {
        true => format!("_{}", c.to_ascii_lowercase()),
        false => c.to_string(),
    };
    camel.chars().map(lower).collect()
}

/// Refuses a member that is none of `names`, in either spelling.
pub(super) fn known(value: &Value, names: &[&str], at: &str) -> Checked {
    let both: Vec<_> = names.iter().flat_map(|name| [(*name).to_owned(), snake(name)]).collect();
    let both: Vec<_> = both.iter().map(String::as_str).collect();
    match unknown(value, &both) {
        None => Ok(()),
        Some(name) if at.is_empty() => Err(Wrong::saying(format!(
            "Invalid JSON payload received. Unknown name \"{name}\": Cannot find field."
        ))),
        Some(name) => Err(Wrong::saying(format!(
            "Invalid JSON payload received. Unknown name \"{name}\" at '{at}': Cannot find field."
        ))),
    }
}

fn tools(body: &Value) -> Checked {
    let mut names = Vec::new();
    for (n, tool) in list(&body["tools"]).iter().enumerate() {
        for (k, function) in list(&member(tool, "functionDeclarations")).iter().enumerate() {
            let at = format!("tools[{n}].function_declarations[{k}]");
            declaration(function, &at)?;
            let name = function["name"].as_str().unwrap_or_default().to_owned();
            if names.contains(&name) {
                return Err(Wrong::saying(format!("Duplicate function declaration found: {name}")));
            }
            names.push(name);
        }
    }
    calling(&member(&member(body, "toolConfig"), "functionCallingConfig"), &names)
}

fn declaration(function: &Value, at: &str) -> Checked {
    known(function, DECLARATION, at)?;
    let name = function["name"].as_str().unwrap_or_default();
    if !named(name, ".:", 128) || name.starts_with(|c: char| !c.is_ascii_alphabetic() && c != '_') {
        return Err(Wrong::saying(format!(
            "* GenerateContentRequest.{at}.name: Invalid function name. Must start with a letter or an underscore. Must be alphameric (a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 128."
        )));
    }
    let (plain, json) = (member(function, "parameters"), member(function, "parametersJsonSchema"));
    if !plain.is_null() && !json.is_null() {
        return Err(Wrong::saying(format!(
            "{at}: parameters and parameters_json_schema are mutually exclusive."
        )));
    }
    schema(&plain, &format!("{at}.parameters"))?;
    match !plain.is_null() && plain["properties"].as_object().is_none_or(serde_json::Map::is_empty)
    {
        true => Err(Wrong::saying(format!(
            "* GenerateContentRequest.{at}.parameters.properties: should be non-empty for OBJECT type"
        ))),
        false => Ok(()),
    }
}

/// A schema of the provider's own kind, which is a part of OpenAPI's.
fn schema(schema: &Value, at: &str) -> Checked {
    if schema.is_null() {
        return Ok(());
    }
    known(schema, SCHEMA, at)?;
    if schema["type"].is_array() {
        return Err(Wrong::saying(format!(
            "Invalid JSON payload received. Unknown name \"type\" at '{at}': Proto field is not repeating, cannot start list."
        )));
    }
    if list(&schema["enum"]).iter().any(|value| !value.is_string()) {
        return Err(Wrong::saying(format!("Invalid value at '{at}.enum' (TYPE_STRING)")));
    }
    let format = schema["format"].as_str();
    let string = schema["type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("string"));
    if string && format.is_some_and(|format| !["enum", "date-time"].contains(&format)) {
        return Err(Wrong::saying(format!(
            "* GenerateContentRequest.{at}.format: only 'enum' and 'date-time' are supported for STRING type"
        )));
    }
    let members = schema["properties"].as_object().into_iter().flatten();
    for (name, inner) in members {
        self::schema(inner, &format!("{at}.properties[{name}]"))?;
    }
    for inner in list(&member(schema, "anyOf")) {
        self::schema(inner, &format!("{at}.any_of"))?;
    }
    self::schema(&schema["items"], &format!("{at}.items"))
}

fn calling(config: &Value, names: &[String]) -> Checked {
    if config.is_null() {
        return Ok(());
    }
    known(config, &["mode", "allowedFunctionNames"], "tool_config.function_calling_config")?;
    let mode = config["mode"].as_str().unwrap_or("AUTO").to_ascii_uppercase();
    let allowed = member(config, "allowedFunctionNames");
    if mode == "ANY" && names.is_empty() {
        return Err(Wrong::saying("Function calling config is set without function_declarations."));
    }
    if !list(&allowed).is_empty() && !["ANY", "VALIDATED"].contains(&&*mode) {
        return Err(Wrong::saying(
            "Function calling mode should be ANY when allowed_function_names is set.",
        ));
    }
    let missing = list(&allowed).iter().find(|name| !names.iter().any(|known| *name == known));
    match missing {
        None => Ok(()),
        Some(name) => Err(Wrong::saying(format!(
            "allowed_function_names contains {name}, which is not declared."
        ))),
    }
}

fn generation(config: &Value, model: &str) -> Checked {
    known(config, GENERATION, "generation_config")?;
    let (plain, json) = (member(config, "responseSchema"), member(config, "responseJsonSchema"));
    schema(&plain, "generation_config.response_schema")?;
    if !plain.is_null() && !json.is_null() {
        return Err(Wrong::saying(
            "Only one of response_schema and response_json_schema can be set.",
        ));
    }
    let mime = member(config, "responseMimeType");
    let formatted = ["application/json", "text/x.enum"].iter().any(|kind| *mime == **kind);
    if !(formatted || plain.is_null() && json.is_null()) {
        return Err(Wrong::saying(
            "Function calling with a response mime type or a schema: response_mime_type must be 'application/json' when a response schema is set.",
        ));
    }
    if list(&member(config, "stopSequences")).len() > 5 {
        return Err(Wrong::saying("The number of stop_sequences must be at most 5."));
    }
    thinking(&member(config, "thinkingConfig"), model)
}

fn thinking(config: &Value, model: &str) -> Checked {
    known(
        config,
        &["includeThoughts", "thinkingBudget", "thinkingLevel"],
        "generation_config.thinking_config",
    )?;
    let level = !member(config, "thinkingLevel").is_null();
    let budget = !member(config, "thinkingBudget").is_null();
    if level && budget {
        return Err(Wrong::saying(
            "You can only set only one of thinking budget and thinking level.",
        ));
    }
    match level && !is_three(model) && model.contains("gemini") {
        true => Err(Wrong::saying("Thinking level is not supported for this model.")),
        false => Ok(()),
    }
}

/// From Gemini 3 on calls are signed.
pub(crate) fn is_three(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    let version = name.strip_prefix("gemini-").and_then(|rest| rest.split(['.', '-']).next());
    version.and_then(|version| version.parse().ok()).is_some_and(|version: u32| version >= 3)
}
