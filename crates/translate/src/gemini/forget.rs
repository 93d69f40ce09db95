//! Thoughts and their signatures, left out.

use super::turns::BYPASS;
use crate::json::Object;

const SIGNATURE: [&str; 2] = ["thoughtSignature", "thought_signature"];

/// Leaves out thoughts and signatures. The first call of each content gets what stands for one.
pub(super) fn forget(body: &mut Object<'_>) -> bool {
    let mut changed = false;
    for content in body.objects_mut("contents") {
        changed |= content.retain("parts", |part| !is_thought(part));
        for part in content.objects_mut("parts") {
            changed |= part.without(&SIGNATURE);
        }
        let is_call =
            |part: &&mut Object<'_>| part.has("functionCall") || part.has("function_call");
        if let Some(call) = content.objects_mut("parts").find(is_call) {
            call.put(SIGNATURE[0], BYPASS);
            changed = true;
        }
    }
    changed
}

fn is_thought(part: &Object<'_>) -> bool {
    part.get("thought").is_some_and(crate::json::Json::is_true)
}
