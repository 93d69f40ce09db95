//! What compatible servers and their clients write of reasoning, left out.

use crate::json::Object;

const MEMBERS: [&str; 4] = ["reasoning_content", "reasoning", "reasoning_details", "extra_content"];

pub(super) fn forget(body: &mut Object<'_>) -> bool {
    let mut changed = false;
    for message in body.objects_mut("messages").filter(|each| each.says("role", "assistant")) {
        changed |= message.without(&MEMBERS);
        for call in message.objects_mut("tool_calls") {
            changed |= call.without(&MEMBERS);
        }
    }
    changed
}
