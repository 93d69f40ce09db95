//! Reasoning items, left out.

use crate::json::{Json, Object};

/// Leaves out reasoning items, and the ids by which the others would want theirs.
pub(super) fn forget(body: &mut Object<'_>) -> bool {
    if !body.retain("input", |item| !is_reasoning(item)) {
        return false;
    }
    for item in body.objects_mut("input") {
        if !item.says("type", "item_reference") {
            item.without(&["id"]);
        }
    }
    true
}

fn is_reasoning(item: &Object<'_>) -> bool {
    let refers = item.says("type", "item_reference")
        && item.get("id").and_then(Json::as_str).is_some_and(|id| id.starts_with("rs_"));
    item.says("type", "reasoning") || refers
}
