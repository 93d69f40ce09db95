//! Thinking blocks, left out.

use crate::json::{Json, Object};

/// Leaves out thinking blocks, and thinking itself on a budget, which must stand before the calls of
/// the last turn.
pub(super) fn forget(body: &mut Object<'_>) -> bool {
    let mut changed = false;
    for message in body.objects_mut("messages") {
        changed |= message.retain("content", |block| !is_thinking(block));
    }
    body.retain("messages", |message| message.get("content").is_none_or(|all| !is_empty(all)));
    let thinking = body.get("thinking").and_then(Json::as_object);
    if thinking.is_some_and(|thinking| thinking.says("type", "enabled")) {
        body.without(&["thinking"]);
        keep_context(body);
        changed = true;
    }
    changed
}

fn is_thinking(block: &Object<'_>) -> bool {
    block.says("type", "thinking") || block.says("type", "redacted_thinking")
}

fn is_empty(content: &Json<'_>) -> bool {
    content.as_array().is_some_and(<[_]>::is_empty)
}

/// Edits of the context that only go with thinking are refused without it.
fn keep_context(body: &mut Object<'_>) {
    let Some(Json::Object(context)) = body.get_mut("context_management") else { return };
    let clears = |edit: &Object<'_>| {
        let kind = edit.get("type").and_then(Json::as_str);
        kind.is_some_and(|kind| kind.starts_with("clear_thinking"))
    };
    context.retain("edits", |edit| !clears(edit));
    if context.get("edits").is_some_and(is_empty) {
        body.without(&["context_management"]);
    }
}
