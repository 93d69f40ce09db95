use memchr::memmem;

use crate::{
    content::{Content, has, items},
    json,
};

pub(super) fn read(key: &str, value: &[u8], content: &mut Content) {
    if key == "messages" {
        items(value).for_each(|message| read_message(message, content));
    }
}

fn read_message(message: &[u8], content: &mut Content) {
    let parts = json::member(message, "content").filter(|parts| parts.starts_with(b"["));
    items(parts.unwrap_or_default()).for_each(|part| read_part(part, content));
    let signed = || memmem::find(message, b"\"thought_signature\"").is_some();
    content.reasoning |= has(message, "reasoning_details") || signed();
}

fn read_part(part: &[u8], content: &mut Content) {
    match json::member(part, "type").and_then(json::string).as_deref() {
        Some("image_url") => content.images = true,
        Some("input_audio") => content.audio = true,
        Some("video_url") => content.video = true,
        Some("file") => content.documents = true,
        _ => {}
    }
}
