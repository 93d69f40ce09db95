//! Signatures that stood before what they are bound to, in protocols without a slot for them there.

use crate::model::{Opaque, OpaqueKind, Part, Reasoning, Text};

/// What a signature without readable text is bound to: the call or the text after it.
fn bound(part: &Part) -> Option<OpaqueKind> {
    match part {
        Part::Reasoning(Reasoning { text, opaque: Some(opaque), .. }) if text.is_empty() => {
            let bound = matches!(opaque.kind, OpaqueKind::Call | OpaqueKind::Thought);
            bound.then_some(opaque.kind)
        }
        _ => None,
    }
}

/// Adds a part, giving it the signature that was carried before it.
pub(crate) fn push(parts: &mut Vec<Part>, mut part: Part) {
    let kind = parts.last().and_then(bound);
    match (kind, &mut part) {
        (Some(OpaqueKind::Call), Part::ToolCall(call)) => call.signature = carried(parts.pop()),
        (Some(OpaqueKind::Thought), Part::Text(text)) => text.signature = carried(parts.pop()),
        _ => {}
    }
    parts.push(part);
}

fn carried(part: Option<Part>) -> Option<Opaque> {
    match part {
        Some(Part::Reasoning(reasoning)) => reasoning.opaque,
        _ => None,
    }
}

/// A text signature whose text was empty stands alone.
pub(crate) fn settle(parts: &mut [Part]) {
    for part in parts {
        if bound(part) == Some(OpaqueKind::Thought)
            && let Part::Reasoning(reasoning) = part
        {
            let signature = reasoning.opaque.take();
            *part = Part::Text(Text { signature, ..Text::default() });
        }
    }
}
