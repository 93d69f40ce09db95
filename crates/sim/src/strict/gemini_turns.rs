//! The contents of a Gemini request.

use serde_json::Value;

use super::{
    Checked, Wrong,
    gemini::{is_three, known, member},
    list,
};
use crate::sign;

const DATA: &[&str] = &[
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
];

const BESIDE: &[&str] = &[
    "thought",
    "thoughtSignature",
    "videoMetadata",
    "mediaResolution",
    "partMetadata",
    "audioMetadata",
    "documentMetadata",
    "mediaProcessing",
];

/// Stands for a signature that was lost; plain, and as clients send it that take it for bytes.
const BYPASS: [&str; 2] =
    ["skip_thought_signature_validator", "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="];

pub(super) fn turns(contents: &[Value], model: &str) -> Checked {
    for (n, content) in contents.iter().enumerate() {
        known(content, &["role", "parts"], &format!("contents[{n}]"))?;
        if !content["role"].is_null() && content["role"] != "user" && content["role"] != "model" {
            return Err(Wrong::saying("Please use a valid role: user, model."));
        }
        let parts = list(&content["parts"]);
        if content["parts"].is_null() || parts.is_empty() && content["parts"].is_array() {
            return Err(Wrong::saying(format!(
                "* GenerateContentRequest.contents[{n}].parts: contents.parts must not be empty."
            )));
        }
        for (k, part) in parts.iter().enumerate() {
            self::part(part, &format!("contents[{n}].parts[{k}]"))?;
        }
    }
    for n in 0..contents.len() {
        pairs(contents, n)?;
    }
    ids(contents)?;
    if is_three(model) { signatures(contents) } else { Ok(()) }
}

fn part(part: &Value, at: &str) -> Checked {
    known(part, &[DATA, BESIDE].concat(), at)?;
    let data = DATA.iter().filter(|name| !member(part, name).is_null()).count();
    let signature = member(part, "thoughtSignature");
    if data > 1 || data == 0 && signature.is_null() {
        return Err(Wrong::saying(format!(
            "* GenerateContentRequest.{at}.data: required oneof field 'data' must have one initialized field"
        )));
    }
    if part["text"] == "" && signature.is_null() {
        return Err(Wrong::saying(format!(
            "Unable to submit request because it has an empty text parameter at {at}."
        )));
    }
    known(&member(part, "functionCall"), &["args", "id", "name"], &format!("{at}.function_call"))?;
    let response = member(part, "functionResponse");
    let members = &["id", "name", "parts", "response", "scheduling", "willContinue"];
    known(&response, members, &format!("{at}.function_response"))?;
    if !response.is_null()
        && (response["name"].as_str().is_none_or(str::is_empty)
            || !response["response"].is_object())
    {
        return Err(Wrong::saying(format!(
            "* GenerateContentRequest.{at}.function_response.name: Name cannot be empty, and response must be a struct."
        )));
    }
    match signature
        .as_str()
        .is_none_or(|given| BYPASS.contains(&given) || sign::minted("gemini", given))
    {
        true => Ok(()),
        false => Err(Wrong::saying("Corrupted thought signature.")),
    }
}

fn data<'a>(content: &'a Value, name: &'a str) -> Vec<&'a Value> {
    let snake = match name {
        "functionCall" => "function_call",
        _ => "function_response",
    };
    let parts = list(&content["parts"]).iter();
    parts.filter_map(|part| part.get(name).or_else(|| part.get(snake))).collect()
}

/// A turn of calls is followed by a turn with as many responses, of the same names.
fn pairs(contents: &[Value], n: usize) -> Checked {
    let calls = data(&contents[n], "functionCall");
    let responses = data(&contents[n], "functionResponse");
    if !calls.is_empty() && (n == 0 || contents[n - 1]["role"] == "model") {
        return Err(Wrong::saying(
            "Please ensure that function call turn comes immediately after a user turn or after a function response turn.",
        ));
    }
    let before = n.checked_sub(1).map(|n| data(&contents[n], "functionCall")).unwrap_or_default();
    if !responses.is_empty() && before.is_empty() {
        return Err(Wrong::saying(
            "Please ensure that function response turn comes immediately after a function call turn.",
        ));
    }
    if before.is_empty() {
        return Ok(());
    }
    if responses.len() != before.len() || list(&contents[n]["parts"]).len() != responses.len() {
        return Err(Wrong::saying(
            "Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.",
        ));
    }
    let same = |key: &str| {
        let mut open: Vec<_> = before.iter().map(|call| &call[key]).collect();
        responses.iter().all(|response| {
            let at = open.iter().position(|other| **other == response[key]);
            at.map(|at| open.remove(at)).is_some()
        })
    };
    let own = |id: &Value| id.is_null() || before.iter().any(|call| call["id"] == *id);
    match same("name") && responses.iter().all(|response| own(&response["id"])) {
        true => Ok(()),
        false => Err(Wrong::saying(
            "Please ensure that function response parts have the names and ids of the function call parts.",
        )),
    }
}

fn ids(contents: &[Value]) -> Checked {
    let mut seen = Vec::new();
    for call in contents.iter().flat_map(|content| data(content, "functionCall")) {
        let Some(id) = call["id"].as_str() else { continue };
        if id.is_empty() || seen.contains(&id) {
            return Err(Wrong::saying(format!("Duplicate function call id: {id}")));
        }
        seen.push(id);
    }
    Ok(())
}

/// In the current turn, which the last text of a user began, the first call of each step is signed.
fn signatures(contents: &[Value]) -> Checked {
    let asks = |content: &Value| {
        content["role"] != "model" && data(content, "functionResponse").is_empty()
    };
    let start = contents.iter().rposition(asks).unwrap_or(0);
    for (n, content) in contents.iter().enumerate().skip(start) {
        let mut parts = list(&content["parts"]).iter();
        let first = parts.find(|part| !member(part, "functionCall").is_null());
        let Some(first) = first.filter(|part| member(part, "thoughtSignature").is_null()) else {
            continue;
        };
        let name = &member(first, "functionCall")["name"];
        return Err(Wrong::saying(format!(
            "Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly, and missing thought_signature may lead to degraded model performance. Additional data, function call {name} , position {}.",
            n + 1
        )));
    }
    Ok(())
}
