//! Usage as a client reads it: here the prompt includes what was cached, the candidates exclude thoughts.

use tollgate_core::Usage;

use crate::json::Object;

pub(super) fn write<'a>(usage: &Usage) -> Object<'a> {
    let output = usage.output_total();
    let visible = output.saturating_sub(usage.reasoning.unwrap_or(0));
    let total = usage.prompt_total() + usage.tool_in.unwrap_or(0) + output;
    let cached = Some(usage.read.total()).filter(|n| *n > 0);
    Object::new()
        .with("promptTokenCount", usage.prompt_total())
        .maybe("cachedContentTokenCount", cached)
        .with("candidatesTokenCount", visible)
        .maybe("toolUsePromptTokenCount", usage.tool_in)
        .maybe("thoughtsTokenCount", usage.reasoning)
        .with("totalTokenCount", total)
}
