use crate::{
    content::{Content, items},
    json,
};

pub(super) fn read(key: &str, value: &[u8], content: &mut Content) {
    if key == "contents" {
        items(value).for_each(|turn| read_turn(turn, content));
    }
}

fn read_turn(turn: &[u8], content: &mut Content) {
    for part in items(json::member(turn, "parts").unwrap_or_default()) {
        for (key, value) in json::Object::new(part).map_while(Result::ok) {
            match &*key {
                "inlineData" | "inline_data" | "fileData" | "file_data" => {
                    let mime =
                        ["mimeType", "mime_type"].iter().find_map(|key| json::member(value, key));
                    content.media(&mime.and_then(json::string).unwrap_or_default());
                }
                "thoughtSignature" | "thought_signature" => {
                    content.reasoning |= !json::is_blank(value);
                }
                _ => {}
            }
        }
    }
}
