//! Contents and their parts as they stand in requests and answers.

use std::collections::{HashMap, VecDeque};

use crate::{
    envelope, ids,
    json::{Bad, Fields, Node, Raw},
    media,
    model::{
        Args, Extra, Item, Media, MediaKind, Message, Opaque, OpaqueKind, Part, Place, Reasoning,
        Role, ServerToolCall, ServerToolResult, Source, Text, ToolCall, ToolResult, Vendor,
    },
};

/// Reads the conversation.
pub(super) fn contents(body: &mut Fields<'_>) -> Result<Vec<Item>, Bad> {
    let node = body.take("contents").ok_or(Bad::new("contents", "is required"))?;
    // One content, or a bare text, is tolerated.
    let nodes: Vec<_> = if node.is_array() { node.elements().collect() } else { vec![node] };
    let mut reader = Reader::default();
    for (at, node) in nodes.into_iter().enumerate() {
        reader.content(at, node).map_err(|bad| bad.under(format!("contents[{at}]")))?;
    }
    Ok(reader.items)
}

#[derive(Default)]
struct Reader {
    items: Vec<Item>,
    open: Open,
}

/// Calls of the nearest content of the model, and which of them wait for their result.
#[derive(Default)]
struct Open {
    ids: Vec<Option<String>>,
    by_id: HashMap<String, usize>,
    by_name: HashMap<String, VecDeque<usize>>,
    /// All calls before this one have their result.
    first: usize,
}

impl Open {
    fn push(&mut self, name: &str, id: &str) {
        let at = self.ids.len();
        self.ids.push(Some(id.to_owned()));
        self.by_id.insert(id.to_owned(), at);
        self.by_name.entry(name.to_owned()).or_default().push_back(at);
    }

    /// The id of the call a result answers: its own, the first open one of that name, the first.
    fn answered(&mut self, id: Option<String>, name: &str) -> Option<String> {
        if let Some(id) = id {
            let at = self.by_id.get(&id).copied();
            at.and_then(|at| self.ids[at].take());
            return Some(id);
        }
        self.first_named(name).or_else(|| self.first_open())
    }

    fn first_named(&mut self, name: &str) -> Option<String> {
        let queue = self.by_name.get_mut(name)?;
        while let Some(at) = queue.pop_front() {
            if let Some(id) = self.ids[at].take() {
                return Some(id);
            }
        }
        None
    }

    fn first_open(&mut self) -> Option<String> {
        while self.first < self.ids.len() {
            self.first += 1;
            if let Some(id) = self.ids[self.first - 1].take() {
                return Some(id);
            }
        }
        None
    }
}

impl Reader {
    fn content(&mut self, at: usize, node: Node<'_>) -> Result<(), Bad> {
        if node.is_string() || node.get("text").is_some() {
            let message = Message::new(Role::User, vec![part(node, None)?]);
            self.items.push(Item::Message(Message { place: Place::Item(at), ..message }));
            return Ok(());
        }
        let mut fields = node.fields().ok_or(Bad::new("", "must be an object"))?;
        let role = fields.string("role")?.unwrap_or_default();
        let parts = fields.array("parts")?;
        let extra = fields.extra();
        match role.as_str() {
            "model" | "assistant" => self.model(at, parts, extra),
            "user" | "function" | "tool" | "" => self.user(at, parts, extra),
            _ => Err(Bad::new("role", "must be `user` or `model`")),
        }
    }

    fn model(&mut self, at: usize, nodes: Vec<Node<'_>>, extra: Extra) -> Result<(), Bad> {
        self.open = Open::default();
        let mut parts = Vec::new();
        for (i, node) in nodes.into_iter().enumerate() {
            let synthetic = |name: &str| ids::in_history(at, i, name);
            let part =
                part(node, Some(&synthetic)).map_err(|bad| bad.under(format!("parts[{i}]")))?;
            if let Part::ToolCall(call) = &part {
                self.open.push(&call.name, &call.id);
            }
            parts.push(part);
            join_thoughts(&mut parts);
        }
        let message = Message::new(Role::Assistant, parts);
        self.items.push(Item::Message(Message { place: Place::Item(at), extra, ..message }));
        Ok(())
    }

    fn user(&mut self, at: usize, nodes: Vec<Node<'_>>, mut extra: Extra) -> Result<(), Bad> {
        let place = Place::Item(at);
        let mut parts = Vec::new();
        for (i, node) in nodes.into_iter().enumerate() {
            let under = |bad: Bad| bad.under(format!("parts[{i}]"));
            let response = node.get("functionResponse").or_else(|| node.get("function_response"));
            let Some(response) = response else {
                parts.push(part(node, None).map_err(under)?);
                continue;
            };
            self.flush(&mut parts, place, &mut extra);
            let result = self.result(response, place).map_err(under)?;
            self.items.push(Item::ToolResult(result));
        }
        self.flush(&mut parts, place, &mut extra);
        Ok(())
    }

    fn flush(&mut self, parts: &mut Vec<Part>, place: Place, extra: &mut Extra) {
        if !parts.is_empty() {
            let message = Message::new(Role::User, std::mem::take(parts));
            let extra = std::mem::take(extra);
            self.items.push(Item::Message(Message { place, extra, ..message }));
        }
    }

    fn result(&mut self, node: Node<'_>, place: Place) -> Result<ToolResult, Bad> {
        let fields = node.fields().ok_or(Bad::new("functionResponse", "must be an object"))?;
        let mut fields = fields.camel();
        let name = fields.string("name")?.unwrap_or_default();
        let id = fields.string("id")?.filter(|id| !id.is_empty());
        let id = self.open.answered(id, &name);
        let id = id.unwrap_or_else(|| format!("{}{}", ids::SYNTHETIC, ids::hex(&[&name], 12)));
        let response = fields.take("response");
        let mut result = ToolResult::new(id, Vec::new());
        if let Some(response) = response {
            let (text, failed) = output(response);
            result.parts.extend(text.map(Part::text));
            result.is_error = failed;
            result.structured = Some(response.raw());
        }
        for node in fields.array("parts")? {
            result.parts.push(part(node, None)?);
        }
        result.tool_name = Some(name);
        result.place = place;
        result.extra = fields.extra();
        Ok(result)
    }
}

/// What a tool said, and whether it failed.
fn output(response: Node<'_>) -> (Option<String>, bool) {
    let members: Vec<_> = response.fields().map(|f| f.extra().0).unwrap_or_default();
    if let [(key, value)] = members.as_slice() {
        let text = value.node().string();
        match (key.as_ref(), text) {
            ("output" | "result" | "content", Some(text)) => return (Some(text), false),
            ("error", text) => {
                return (Some(text.unwrap_or_else(|| value.as_str().to_owned())), true);
            }
            _ => {}
        }
    }
    (Some(response.raw().as_str().to_owned()), false)
}

type Synthetic<'s> = &'s dyn Fn(&str) -> String;

/// Reads a part. `synthetic` gives ids to calls that have none; without it a call is tolerated as
/// if it had the empty id.
pub(super) fn part(node: Node<'_>, synthetic: Option<Synthetic<'_>>) -> Result<Part, Bad> {
    if let Some(text) = node.str() {
        return Ok(Part::text(text));
    }
    let mut fields = node.fields().ok_or(Bad::new("", "must be an object"))?.camel();
    let signature = fields.string("thoughtSignature")?;
    let thought = fields.bool("thought")?.unwrap_or(false);
    if let Some(call) = fields.fields("functionCall")? {
        return call_part(call.camel(), signature, fields.extra(), synthetic);
    }
    if let Some(text) = fields.string("text")? {
        return Ok(text_part(text, thought, signature, fields.extra()));
    }
    let video = fields.raw("videoMetadata");
    let detail = fields.take("mediaResolution").and_then(|node| level(&node));
    let media = match (fields.fields("inlineData")?, fields.fields("fileData")?) {
        (Some(blob), _) => Some(inline(blob.camel())?),
        (None, Some(file)) => Some(file_part(file.camel())?),
        (None, None) => None,
    };
    if let Some(mut media) = media {
        media.video = video;
        media.detail = detail;
        media.signature = signature.map(text_signature);
        media.extra.0.extend(fields.extra().0);
        return Ok(Part::Media(media));
    }
    if let (Some(signature), true) = (&signature, is_only_signature(node)) {
        return Ok(text_part(String::new(), thought, Some(signature.clone()), Extra::default()));
    }
    Ok(other(node))
}

fn is_only_signature(node: Node<'_>) -> bool {
    let known = ["thought", "thoughtSignature", "thought_signature"];
    let extra = node.fields().map(|fields| fields.extra().0).unwrap_or_default();
    extra.iter().all(|(key, _)| known.contains(&key.as_ref()))
}

fn other(node: Node<'_>) -> Part {
    let value = node.raw();
    for name in ["executableCode", "executable_code", "toolCall", "tool_call"] {
        if node.get(name).is_some() {
            return Part::ServerToolCall(ServerToolCall { name: name.to_owned(), value });
        }
    }
    let results = ["codeExecutionResult", "code_execution_result", "toolResponse", "tool_response"];
    for name in results {
        if node.get(name).is_some() {
            return Part::ServerToolResult(ServerToolResult { name: name.to_owned(), value });
        }
    }
    let kind = node.fields().and_then(|fields| fields.extra().0.into_iter().next());
    Part::Raw { kind: kind.map_or_else(String::new, |(key, _)| key.into_string()), value }
}

/// A thought that was streamed comes back in the pieces it came in; what signs the whole of them
/// makes them one again.
fn join_thoughts(parts: &mut Vec<Part>) {
    let Some(Part::Reasoning(Reasoning { opaque: Some(opaque), .. })) = parts.last() else {
        return;
    };
    if opaque.vendor == Vendor::Google {
        return;
    }
    let digest = opaque.digest;
    let before = parts[..parts.len() - 1].iter().rev();
    let pieces = before.take_while(|part| matches!(part, Part::Reasoning(r) if r.opaque.is_none()));
    let first = parts.len() - 1 - pieces.count();
    let texts = parts[first..].iter().filter_map(|part| match part {
        Part::Reasoning(reasoning) => Some(reasoning.joined()),
        _ => None,
    });
    let whole: String = texts.collect();
    if first + 1 == parts.len() || ids::digest(&whole) != digest {
        return;
    }
    parts.drain(first..parts.len() - 1);
    if let Some(Part::Reasoning(reasoning)) = parts.last_mut() {
        reasoning.text = vec![whole];
    }
}

fn text_signature(slot: String) -> Opaque {
    envelope::read(slot, Vendor::Google, OpaqueKind::Thought)
}

fn text_part(text: String, thought: bool, signature: Option<String>, extra: Extra) -> Part {
    let opaque = signature.filter(|slot| !slot.is_empty()).map(text_signature);
    if !thought {
        return Part::Text(Text { text, signature: opaque, extra, ..Text::default() });
    }
    let opaque = opaque.map(|mut opaque| {
        if opaque.vendor == Vendor::Google && text.is_empty() {
            opaque.kind = OpaqueKind::Redacted;
        } else if opaque.vendor == Vendor::Google {
            opaque.digest = ids::digest(&text);
        }
        opaque
    });
    let text = if text.is_empty() { Vec::new() } else { vec![text] };
    Part::Reasoning(Reasoning { text, raw: false, opaque, extra })
}

fn call_part(
    mut call: Fields<'_>,
    signature: Option<String>,
    extra: Extra,
    synthetic: Option<Synthetic<'_>>,
) -> Result<Part, Bad> {
    let name = call.need("name").map_err(|bad| bad.under("functionCall"))?;
    let args = match call.take("args") {
        None => Args::empty(),
        Some(node) if node.is_object() => Args::Json(node.raw()),
        Some(node) => Args::Text(node.raw().as_str().to_owned()),
    };
    let id = call.string("id")?.filter(|id| !id.is_empty());
    let id = id.or_else(|| synthetic.map(|make| make(&name))).unwrap_or_default();
    let mut out = ToolCall::new(id, name, args);
    out.signature = signature
        .filter(|slot| !slot.is_empty())
        .map(|slot| envelope::read(slot, Vendor::Google, OpaqueKind::Call));
    out.extra = extra;
    Ok(Part::ToolCall(out))
}

fn level(node: &Node<'_>) -> Option<String> {
    let level = node.get("level")?.string()?;
    let word = level.strip_prefix("MEDIA_RESOLUTION_").unwrap_or(&level).to_ascii_lowercase();
    (word != "unspecified").then_some(word)
}

fn inline(mut blob: Fields<'_>) -> Result<Media, Bad> {
    let data = blob.need("data").map_err(|bad| bad.under("inlineData"))?;
    let data = media::standard(&data);
    let mime = blob.string("mimeType")?.filter(|mime| !mime.is_empty());
    let mime = mime.or_else(|| media::sniff(&data).map(str::to_owned));
    let mime = mime.unwrap_or_else(|| "application/octet-stream".to_owned());
    let kind = MediaKind::of_mime(&mime);
    let mut media = Media::new(kind, Source::Base64 { mime, data });
    media.title = blob.string("displayName")?;
    media.extra = blob.extra();
    Ok(media)
}

/// Hosts whose addresses only Google's own models can read.
const GOOGLE: [&str; 4] =
    ["generativelanguage.googleapis.com", "www.youtube.com", "youtube.com", "youtu.be"];

fn file_part(mut file: Fields<'_>) -> Result<Media, Bad> {
    let uri = file.need("fileUri").map_err(|bad| bad.under("fileData"))?;
    let mime = file.string("mimeType")?;
    let guessed = mime.as_deref().or_else(|| media::mime_of_path(&uri));
    let kind = MediaKind::of_mime(guessed.unwrap_or("application/octet-stream"));
    let host = uri.strip_prefix("https://").and_then(|rest| rest.split('/').next());
    let source = match (media::source(&uri), host) {
        (Source::Url(url), Some(host)) if !GOOGLE.contains(&host) => Source::Url(url),
        _ => Source::Uri { uri, mime: mime.clone() },
    };
    let mut media = Media { mime, ..Media::new(kind, source) };
    media.extra = file.extra();
    Ok(media)
}

/// A member of a part that only this protocol has, kept as it was written.
pub(super) fn kept(extra: &Extra) -> impl Iterator<Item = (&str, &Raw)> {
    extra.0.iter().map(|(key, value)| (key.as_ref(), value))
}
