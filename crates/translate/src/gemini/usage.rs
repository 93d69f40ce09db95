//! Usage, both ways: here the prompt includes what was cached, the candidates exclude thoughts.

use tollgate_core::{InTokens, OutTokens, Quality, Usage};

use crate::json::{Node, Object};

pub(super) fn read(node: Node<'_>) -> Usage {
    let count = |name: &str| node.get(name).and_then(Node::u64);
    let read = count("cachedContentTokenCount");
    let mut usage = Usage::default();
    let prompt = count("promptTokenCount").map(|n| n.saturating_sub(read.unwrap_or(0)));
    usage.prompt = InTokens { text: prompt, ..InTokens::default() };
    usage.read = InTokens { text: read, ..InTokens::default() };
    usage.tool_in = count("toolUsePromptTokenCount");
    let visible = count("candidatesTokenCount").unwrap_or(0);
    usage.output = OutTokens { text: Some(visible), ..OutTokens::default() };
    usage.reasoning = count("thoughtsTokenCount");
    usage.reported.total_tokens = count("totalTokenCount");
    usage.quality = Quality::Exact;
    usage
}

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
