//! What compatible servers and their clients write of reasoning, left out.

use crate::json::Object;

const MEMBERS: [&str; 3] = ["reasoning_content", "reasoning", "reasoning_details"];

pub(super) fn forget(body: &mut Object<'_>) -> bool {
    let mut changed = false;
    for message in body.objects_mut("messages").filter(|each| each.says("role", "assistant")) {
        for member in MEMBERS {
            changed |= message.remove(member).is_some();
        }
        changed |= message.remove("extra_content").is_some();
        for call in message.objects_mut("tool_calls") {
            changed |= call.remove("extra_content").is_some();
        }
    }
    changed
}
