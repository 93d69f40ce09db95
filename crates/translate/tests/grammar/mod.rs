//! What the protocols' own clients insist on in a stream, beyond what a gateway must see of it.

use serde_json::Value;
use tollgate_core::Protocol;

type Events = [(Option<String>, Vec<u8>)];

/// Whether a client of the protocol could read these events.
pub(crate) fn check(protocol: Protocol, events: &Events) -> Result<(), String> {
    match protocol {
        Protocol::OpenAiResponses => responses(events),
        Protocol::AnthropicMessages => messages(events),
        Protocol::Gemini => gemini(events),
        _ => chat(events),
    }
}

fn ensure(holds: bool, why: &str, value: &Value) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{why}: {value}")) }
}

fn parse(data: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(data).map_err(|error| error.to_string())
}

/// The client joins what it is told of one call; nothing else may be told twice.
fn chat(events: &Events) -> Result<(), String> {
    let (mut roles, mut calls, mut head) = (Vec::new(), Vec::new(), None);
    let mut finished = Vec::new();
    for (at, (name, data)) in events.iter().enumerate() {
        ensure(name.is_none(), "it has a name", &Value::Null)?;
        if data == b"[DONE]" {
            return ensure(at + 1 == events.len(), "something follows the end", &Value::Null);
        }
        let chunk = parse(data)?;
        if chunk.get("error").is_some() {
            continue;
        }
        let mine = ["id", "object", "created", "model"].map(|key| chunk[key].clone());
        ensure(*head.get_or_insert_with(|| mine.clone()) == mine, "the head differs", &chunk)?;
        for choice in chunk["choices"].as_array().ok_or("no choices")? {
            let index = choice["index"].as_u64().ok_or("no index")?;
            let delta = &choice["delta"];
            ensure(!finished.contains(&index), "it goes on after its finish", &chunk)?;
            if delta.get("role").is_some() {
                ensure(!roles.contains(&index), "the role is told twice", &chunk)?;
                roles.push(index);
            }
            ensure(roles.contains(&index), "the role is not first", &chunk)?;
            for call in delta["tool_calls"].as_array().into_iter().flatten() {
                let at = (index, call["index"].as_u64().ok_or("a call without index")?);
                if call.get("id").is_some() {
                    let next = calls.iter().filter(|(each, _)| *each == index).count() as u64;
                    ensure(at.1 == next, "the calls are not numbered", &chunk)?;
                    calls.push(at);
                }
                ensure(calls.contains(&at), "a call grows that has no head", &chunk)?;
            }
            for detail in delta["reasoning_details"].as_array().into_iter().flatten() {
                ensure(detail["index"].is_u64(), "a detail without index", &chunk)?;
            }
            if let Some(reason) = choice["finish_reason"].as_str() {
                let known = ["stop", "length", "tool_calls", "content_filter", "function_call"];
                ensure(known.contains(&reason), "no such finish", &chunk)?;
                finished.push(index);
            }
        }
    }
    Ok(())
}

/// One block open at a time, numbered without gaps, input that is JSON.
fn messages(events: &Events) -> Result<(), String> {
    let (mut open, mut next, mut input) = (None, 0, String::new());
    let (mut signed, mut over) = (false, false);
    for (at, (name, data)) in events.iter().enumerate() {
        let event = parse(data)?;
        ensure(name.as_deref() == event["type"].as_str(), "its name is not its type", &event)?;
        ensure(!over, "something follows the end", &event)?;
        match name.as_deref().unwrap_or_default() {
            "message_start" => ensure(at == 0, "it begins twice", &event)?,
            "content_block_start" => {
                ensure(open.is_none() && event["index"] == next, "a block too many", &event)?;
                (open, input, signed) =
                    (Some(event["content_block"].clone()), String::new(), false);
                next += 1;
            }
            "content_block_delta" => {
                ensure(event["index"] == next - 1 && open.is_some(), "not its block", &event)?;
                ensure(!signed, "thinking goes on after its signature", &event)?;
                signed = event["delta"]["type"] == "signature_delta";
                input.push_str(event["delta"]["partial_json"].as_str().unwrap_or_default());
            }
            "content_block_stop" => {
                ensure(event["index"] == next - 1, "not its block", &event)?;
                let block = open.take().ok_or("no block is open")?;
                let is_call = block["type"] == "tool_use";
                let object = serde_json::from_str::<Value>(&input).is_ok_and(|v| v.is_object());
                let cut = || cut_off(events);
                ensure(
                    !is_call || object || cut(),
                    "the input is no object",
                    &input.clone().into(),
                )?;
            }
            "message_delta" => {
                ensure(open.is_none(), "a block is open", &event)?;
                ensure(event["usage"]["output_tokens"].is_u64(), "no usage", &event)?;
            }
            "message_stop" => over = true,
            "ping" | "error" => {}
            _ => return Err(format!("no such event: {event}")),
        }
    }
    Ok(())
}

/// Whether the answer ended before all was said.
fn cut_off(events: &Events) -> bool {
    let cut =
        |data: &[u8]| parse(data).is_ok_and(|event| event["delta"]["stop_reason"] == "max_tokens");
    events.iter().any(|(_, data)| cut(data))
}

/// Numbered events, items that begin and end as themselves, and an end that repeats them.
fn responses(events: &Events) -> Result<(), String> {
    let (mut added, mut done): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
    let (mut parts, mut id) = (Vec::new(), Value::Null);
    for (at, (name, data)) in events.iter().enumerate() {
        let event = parse(data)?;
        ensure(name.as_deref() == event["type"].as_str(), "its name is not its type", &event)?;
        let kind = name.as_deref().unwrap_or_default();
        if kind == "error" {
            continue;
        }
        ensure(event["sequence_number"] == at, "its number is wrong", &event)?;
        if let Some(response) = event.get("response") {
            if at == 0 {
                ensure(kind == "response.created", "it does not begin", &event)?;
                id = response["id"].clone();
            }
            ensure(response["id"] == id, "the response is another", &event)?;
        }
        match kind {
            "response.output_item.added" => {
                ensure(added.len() == done.len(), "two items are open", &event)?;
                ensure(event["output_index"] == added.len(), "its index is wrong", &event)?;
                added.push(event["item"].clone());
                parts.clear();
            }
            "response.output_item.done" => {
                let begun = added.last().ok_or("no item is open")?;
                let same = ["id", "type", "call_id"].iter().all(|k| begun[*k] == event["item"][*k]);
                ensure(same, "it ends as another item", &event)?;
                done.push(event["item"].clone());
            }
            "response.content_part.added" | "response.reasoning_summary_part.added" => {
                parts.push(event["content_index"].as_u64().or(event["summary_index"].as_u64()));
            }
            "response.completed" | "response.incomplete" => {
                ensure(
                    event["response"]["output"] == Value::Array(done.clone()),
                    "other items",
                    &event,
                )?;
                ensure(added.len() == done.len(), "an item is open", &event)?;
                ensure(at + 1 == events.len(), "something follows the end", &event)?;
                ensure(
                    event["response"]["usage"].is_object() || event["response"]["usage"].is_null(),
                    "no usage",
                    &event,
                )?;
            }
            _ => {}
        }
        if kind.ends_with(".delta") {
            let item = added.last().ok_or("no item is open")?;
            ensure(
                added.len() > done.len() && event["item_id"] == item["id"],
                "not its item",
                &event,
            )?;
            let part = event["content_index"].as_u64().or(event["summary_index"].as_u64());
            ensure(part.is_none() || parts.contains(&part), "its part was not added", &event)?;
        }
    }
    Ok(())
}

/// Nothing but answers, calls whole.
fn gemini(events: &Events) -> Result<(), String> {
    for (name, data) in events {
        let frame = parse(data)?;
        ensure(name.is_none(), "it has a name", &frame)?;
        if frame.get("error").is_some() {
            ensure(data.starts_with(b"{\"error\":"), "the error is not first", &frame)?;
            continue;
        }
        for candidate in frame["candidates"].as_array().ok_or("no candidates")? {
            ensure(candidate["index"].is_u64(), "no index", &frame)?;
            for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
                let call = &part["functionCall"];
                let whole =
                    call.is_null() || (call["name"].is_string() && call["args"].is_object());
                ensure(whole, "a call is not whole", &frame)?;
            }
        }
    }
    Ok(())
}
