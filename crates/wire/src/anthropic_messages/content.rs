use crate::{
    content::{Content, items},
    json,
    members::says,
};

pub(super) fn read(key: &str, value: &[u8], content: &mut Content) {
    if key == "messages" {
        items(value).for_each(|message| read_blocks(message, content));
    }
}

/// The blocks of a message, or of a tool's result within it.
fn read_blocks(of: &[u8], content: &mut Content) {
    let blocks = json::member(of, "content").filter(|blocks| blocks.starts_with(b"["));
    items(blocks.unwrap_or_default()).for_each(|block| read_block(block, content));
}

fn read_block(block: &[u8], content: &mut Content) {
    match json::member(block, "type").and_then(json::string).as_deref() {
        Some("image") => content.images = true,
        Some("document") => {
            let source = json::member(block, "source").unwrap_or_default();
            content.documents |= !says(source, "type", "text") && !says(source, "type", "content");
        }
        Some("thinking" | "redacted_thinking") => content.reasoning = true,
        Some("tool_result") => read_blocks(block, content),
        _ => {}
    }
}
