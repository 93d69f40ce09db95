use crate::{
    content::{Content, has, items},
    json,
};

pub(super) fn read(key: &str, value: &[u8], content: &mut Content) {
    if key == "input" && value.starts_with(b"[") {
        items(value).for_each(|item| read_item(item, content));
    }
}

fn read_item(item: &[u8], content: &mut Content) {
    match json::member(item, "type").and_then(json::string).as_deref() {
        Some("reasoning" | "compaction") => content.reasoning |= has(item, "encrypted_content"),
        Some("item_reference") => content.state = true,
        _ => {
            for key in ["content", "output"] {
                let parts = json::member(item, key).filter(|parts| parts.starts_with(b"["));
                items(parts.unwrap_or_default()).for_each(|part| read_part(part, content));
            }
        }
    }
}

fn read_part(part: &[u8], content: &mut Content) {
    match json::member(part, "type").and_then(json::string).as_deref() {
        Some("input_image") => content.images = true,
        Some("input_audio") => content.audio = true,
        Some("input_file") => content.documents = true,
        _ => {}
    }
}
