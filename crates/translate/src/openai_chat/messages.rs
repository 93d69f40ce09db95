//! The messages of a request as its client wrote them.

use std::collections::{HashMap, VecDeque};

use super::reasoning;
use crate::{
    ids,
    json::{Bad, Fields, Node},
    media,
    model::{
        Args, CallKind, Item, Media, MediaKind, Message, Opaque, OpaqueKind, Part, Place,
        Reasoning, Role, Source, Text, ToolCall, ToolResult, Vendor,
    },
    openai,
};

pub(super) fn read(body: &mut Fields<'_>) -> Result<Vec<Item>, Bad> {
    let nodes = body.array("messages")?;
    if nodes.is_empty() {
        return Err(Bad::new("messages", "must hold at least one message"));
    }
    let mut reader = Reader::default();
    for (at, node) in nodes.into_iter().enumerate() {
        reader.message(at, node).map_err(|bad| bad.under(format!("messages[{at}]")))?;
    }
    Ok(reader.items)
}

#[derive(Default)]
struct Reader {
    items: Vec<Item>,
    /// Ids given to calls of the legacy form that wait for their result, by name.
    legacy: HashMap<String, VecDeque<String>>,
}

impl Reader {
    fn message(&mut self, at: usize, node: Node<'_>) -> Result<(), Bad> {
        let mut fields = node.fields().ok_or(Bad::new("", "must be an object"))?;
        let role = fields.need("role")?;
        let item = match role.as_str() {
            "system" => plain_message(Role::System, at, fields)?,
            "developer" => plain_message(Role::Developer, at, fields)?,
            "user" => plain_message(Role::User, at, fields)?,
            "assistant" => self.assistant(at, fields)?,
            "tool" => tool_result(at, fields)?,
            "function" => self.function_result(at, fields)?,
            _ => return Err(Bad::new("role", "is not a known role")),
        };
        self.items.push(item);
        Ok(())
    }

    fn assistant(&mut self, at: usize, mut fields: Fields<'_>) -> Result<Item, Bad> {
        let mut calls = Vec::new();
        for (i, node) in fields.array("tool_calls")?.into_iter().enumerate() {
            calls.push(tool_call(node).map_err(|bad| bad.under(format!("tool_calls[{i}]")))?);
        }
        if let Some(mut call) = fields.fields("function_call")? {
            let name = call.need("name")?;
            let id = ids::in_history(at, 0, &name);
            let args = Args::of_text(&call.string("arguments")?.unwrap_or_default());
            self.legacy.entry(name.clone()).or_default().push_back(id.clone());
            calls.push(ToolCall::new(id, name, args));
        }
        let mut parts = reasoning::read(&mut fields, &mut calls)?;
        let (plain, content) = content(&mut fields)?;
        parts.extend(content);
        if let Some(refusal) = fields.string("refusal")? {
            parts.push(Part::Refusal(refusal));
        }
        if let Some(signature) = google_signature(&mut fields) {
            sign_text(&mut parts, signature);
        }
        parts.extend(calls.into_iter().map(Part::ToolCall));
        // What an answer carried and a client sends back as it came.
        fields.take("annotations");
        let mut message = Message::new(Role::Assistant, parts);
        message.name = fields.string("name")?;
        message.plain = plain;
        message.place = Place::Item(at);
        message.extra = fields.extra();
        Ok(Item::Message(message))
    }

    fn function_result(&mut self, at: usize, mut fields: Fields<'_>) -> Result<Item, Bad> {
        let name = fields.need("name")?;
        let open = self.legacy.get_mut(&name).and_then(VecDeque::pop_front);
        let id = open.unwrap_or_else(|| ids::in_history(at, 0, &name));
        let (plain, parts) = content(&mut fields)?;
        let mut result = ToolResult::new(id, parts);
        result.tool_name = Some(name);
        result.plain = plain;
        result.place = Place::Item(at);
        result.extra = fields.extra();
        Ok(Item::ToolResult(result))
    }
}

fn plain_message(role: Role, at: usize, mut fields: Fields<'_>) -> Result<Item, Bad> {
    let hint = openai::cache_hint(&mut fields);
    let (plain, mut parts) = content(&mut fields)?;
    if let (Some(hint), Some(Part::Text(text))) = (hint, parts.last_mut()) {
        text.cache.get_or_insert(hint);
    }
    let mut message = Message::new(role, parts);
    message.name = fields.string("name")?;
    message.plain = plain;
    message.place = Place::Item(at);
    message.extra = fields.extra();
    Ok(Item::Message(message))
}

fn tool_result(at: usize, mut fields: Fields<'_>) -> Result<Item, Bad> {
    let mut result = ToolResult::new(fields.need("tool_call_id")?, Vec::new());
    result.cache = openai::cache_hint(&mut fields);
    (result.plain, result.parts) = content(&mut fields)?;
    result.tool_name = fields.string("name")?;
    result.kind = CallKind::Function;
    result.place = Place::Item(at);
    result.extra = fields.extra();
    Ok(Item::ToolResult(result))
}

pub(super) fn tool_call(node: Node<'_>) -> Result<ToolCall, Bad> {
    let mut fields = node.fields().ok_or(Bad::new("", "must be an object"))?;
    let custom = fields.string("type")?.is_some_and(|kind| kind == "custom");
    let key = if custom { "custom" } else { "function" };
    let mut inner = fields.fields(key)?.ok_or(Bad::new(key, "is required"))?;
    let name = inner.need("name").map_err(|bad| bad.under(key))?;
    let args = match custom {
        true => Args::Text(inner.string("input")?.unwrap_or_default()),
        false => arguments(inner.take("arguments")),
    };
    let mut call = ToolCall::new(fields.string("id")?.unwrap_or_default(), name, args);
    call.kind = if custom { CallKind::Custom } else { CallKind::Function };
    call.signature = google_signature(&mut fields);
    call.cache = openai::cache_hint(&mut fields);
    fields.take("index");
    call.extra = fields.extra();
    Ok(call)
}

/// A string as the protocol says, or an object as some servers write.
pub(super) fn arguments(node: Option<Node<'_>>) -> Args {
    match node {
        None => Args::empty(),
        Some(node) => match node.str() {
            Some(text) => Args::of_text(&text),
            None => Args::of_text(node.raw().as_str()),
        },
    }
}

/// The signature Google's own compatible server puts beside calls and text.
pub(super) fn google_signature(fields: &mut Fields<'_>) -> Option<Opaque> {
    let google = fields.take("extra_content")?.get("google")?;
    let payload = google.get("thought_signature")?.string()?;
    Some(Opaque::new(Vendor::Google, OpaqueKind::Call, payload))
}

/// Binds a signature to the last text; to an empty one where there is none.
pub(super) fn sign_text(parts: &mut Vec<Part>, mut signature: Opaque) {
    signature.kind = OpaqueKind::Thought;
    let last = parts.iter_mut().rev().find_map(|part| match part {
        Part::Text(text) => Some(text),
        _ => None,
    });
    match last {
        Some(text) => text.signature = Some(signature),
        None => {
            parts.push(Part::Text(Text { signature: Some(signature), ..Text::default() }));
        }
    }
}

/// The content, and whether it was one plain string.
fn content(fields: &mut Fields<'_>) -> Result<(bool, Vec<Part>), Bad> {
    let node = fields.take("content");
    node.map_or(Ok((false, Vec::new())), |node| openai::content(node, part))
}

pub(super) fn part(node: Node<'_>) -> Result<Part, Bad> {
    if let Some(text) = node.str() {
        return Ok(Part::text(text));
    }
    let mut fields = node.fields().ok_or(Bad::new("", "must be an object"))?;
    let kind = fields.need("type")?;
    let hint = openai::cache_hint(&mut fields);
    let mut media = match kind.as_str() {
        "text" => {
            let text = fields.string("text")?.unwrap_or_default();
            return Ok(Part::Text(Text {
                text,
                cache: hint,
                extra: fields.extra(),
                ..Text::default()
            }));
        }
        "thinking" => return Ok(thinking(&mut fields)),
        "refusal" => return Ok(Part::Refusal(fields.string("refusal")?.unwrap_or_default())),
        "image_url" => image(&mut fields)?,
        "input_audio" => audio(&mut fields)?,
        "file" => file(&mut fields)?,
        _ => return Ok(Part::Raw { kind, value: node.raw() }),
    };
    media.cache = hint;
    media.extra.0.extend(fields.extra().0);
    Ok(Part::Media(media))
}

/// Thinking as some servers write it: a part of the content that holds texts.
fn thinking(fields: &mut Fields<'_>) -> Part {
    let node = fields.take("thinking");
    let text = node.and_then(|node| match node.string() {
        Some(text) => Some(vec![text]),
        None => node.elements().map(|part| part.get("text")?.string()).collect(),
    });
    Part::Reasoning(Reasoning { text: text.unwrap_or_default(), raw: true, ..Reasoning::default() })
}

fn image(fields: &mut Fields<'_>) -> Result<Media, Bad> {
    let node = fields.take("image_url").ok_or(Bad::new("image_url", "is required"))?;
    if let Some(url) = node.str() {
        return Ok(Media::new(MediaKind::Image, media::source(&url)));
    }
    let mut inner = node.fields().ok_or(Bad::new("image_url", "must be an object"))?;
    let url = inner.need("url").map_err(|bad| bad.under("image_url"))?;
    let mut media = Media::new(MediaKind::Image, media::source(&url));
    media.detail = inner.string("detail")?;
    media.extra = inner.extra();
    Ok(media)
}

fn audio(fields: &mut Fields<'_>) -> Result<Media, Bad> {
    let mut inner = fields.fields("input_audio")?.ok_or(Bad::new("input_audio", "is required"))?;
    let data = inner.need("data").map_err(|bad| bad.under("input_audio"))?;
    let format = inner.string("format")?.unwrap_or_else(|| "wav".to_owned());
    let source = Source::Base64 { mime: format!("audio/{format}"), data: media::standard(&data) };
    Ok(Media { extra: inner.extra(), ..Media::new(MediaKind::Audio, source) })
}

fn file(fields: &mut Fields<'_>) -> Result<Media, Bad> {
    let mut inner = fields.fields("file")?.ok_or(Bad::new("file", "is required"))?;
    let title = inner.string("filename")?;
    let source = match (inner.string("file_data")?, inner.string("file_id")?) {
        (Some(data), _) => file_source(&data, title.as_deref()),
        (None, Some(id)) => Source::File { vendor: Vendor::OpenAi, id },
        (None, None) => return Err(Bad::new("file", "needs `file_data` or `file_id`")),
    };
    let kind = match &source {
        Source::Base64 { mime, .. } => MediaKind::of_mime(mime),
        _ => MediaKind::Document,
    };
    Ok(Media { title, extra: inner.extra(), ..Media::new(kind, source) })
}

/// A `data:` URL, or bare base64 as some clients send.
fn file_source(data: &str, name: Option<&str>) -> Source {
    match media::source(data) {
        source @ (Source::Base64 { .. } | Source::Url(_)) => source,
        _ => {
            let mime = media::sniff(data).or_else(|| media::mime_of_path(name.unwrap_or_default()));
            let mime = mime.unwrap_or("application/octet-stream").to_owned();
            Source::Base64 { mime, data: media::standard(data) }
        }
    }
}
