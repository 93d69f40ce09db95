//! Items and their content as they stand in requests and answers.

use crate::{
    carrier, envelope, ids,
    json::{Bad, Fields, Node},
    media,
    model::{
        Args, CallKind, Citation, CitationKind, Item, Media, MediaKind, Message, Part, Place,
        Reasoning, Role, Source, Text, ToolCall, ToolResult, Vendor,
    },
    openai,
};

/// Items that hold what the client produced.
const ESSENTIAL: [&str; 7] = [
    "item_reference",
    "computer_call_output",
    "shell_call_output",
    "apply_patch_call_output",
    "local_shell_call_output",
    "mcp_approval_response",
    "additional_tools",
];

pub(super) fn read(body: &mut Fields<'_>, out: &mut Vec<Item>) -> Result<(), Bad> {
    let Some(input) = body.take("input") else { return Ok(()) };
    if let Some(text) = input.string() {
        let message = Message::new(Role::User, vec![Part::text(text)]);
        out.push(Item::Message(Message { plain: true, place: Place::Item(0), ..message }));
        return Ok(());
    }
    if !input.is_array() {
        return Err(Bad::new("input", "must be a string or an array of items"));
    }
    let mut reader = Reader { items: out, thoughts: Vec::new(), place: Place::default() };
    for (at, node) in input.elements().enumerate() {
        reader.item(at, node).map_err(|bad| bad.under(format!("input[{at}]")))?;
    }
    reader.flush();
    Ok(())
}

struct Reader<'a> {
    items: &'a mut Vec<Item>,
    /// Reasoning that waits for what it led to, and where it stood.
    thoughts: Vec<Part>,
    place: Place,
}

impl Reader<'_> {
    fn item(&mut self, at: usize, node: Node<'_>) -> Result<(), Bad> {
        let mut fields = node.fields().ok_or(Bad::new("", "must be an object"))?;
        let kind = fields.string("type")?;
        let place = Place::Item(at);
        match kind.as_deref() {
            None | Some("message") => self.message(fields, place)?,
            Some("reasoning") => {
                self.place = place;
                self.thoughts.push(Part::Reasoning(reasoning(fields)?));
            }
            Some("function_call" | "custom_tool_call") => {
                let custom = kind.as_deref() == Some("custom_tool_call");
                let call = call(&mut fields, custom)?;
                self.assistant(vec![Part::ToolCall(call)], place, |_| {});
            }
            Some("function_call_output" | "custom_tool_call_output") => {
                self.flush();
                let custom = kind.as_deref() == Some("custom_tool_call_output");
                self.items.push(Item::ToolResult(result(fields, custom, place)?));
            }
            Some(kind) => {
                self.flush();
                let essential = ESSENTIAL.contains(&kind);
                let (kind, value) = (kind.to_owned(), node.raw());
                self.items.push(Item::Opaque { place, kind, value, essential });
            }
        }
        Ok(())
    }

    fn message(&mut self, mut fields: Fields<'_>, place: Place) -> Result<(), Bad> {
        let role = match fields.need("role")?.as_str() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" => Role::System,
            "developer" => Role::Developer,
            _ => return Err(Bad::new("role", "is not a known role")),
        };
        let content = fields.take("content").ok_or(Bad::new("content", "is required"))?;
        let (plain, parts) = self::content(content)?;
        let phase = fields.string("phase")?;
        for known in ["id", "status"] {
            fields.take(known);
        }
        let extra = fields.extra();
        if role == Role::Assistant {
            self.assistant(parts, place, |message| {
                message.phase = phase;
                message.plain = plain;
                message.extra = extra;
            });
            return Ok(());
        }
        self.flush();
        let message = Message::new(role, parts);
        self.items.push(Item::Message(Message { plain, phase, place, extra, ..message }));
        Ok(())
    }

    fn assistant(&mut self, parts: Vec<Part>, place: Place, fill: impl FnOnce(&mut Message)) {
        let mut all = std::mem::take(&mut self.thoughts);
        parts.into_iter().for_each(|part| carrier::push(&mut all, part));
        carrier::settle(&mut all);
        let mut message = Message { place, ..Message::new(Role::Assistant, all) };
        fill(&mut message);
        self.items.push(Item::Message(message));
    }

    /// Reasoning that led to nothing stands alone.
    fn flush(&mut self) {
        if !self.thoughts.is_empty() {
            let place = self.place;
            self.assistant(Vec::new(), place, |_| {});
        }
    }
}

pub(super) fn reasoning(mut fields: Fields<'_>) -> Result<Reasoning, Bad> {
    let text = |node: &Node<'_>| node.get("text").and_then(Node::string);
    let summary: Vec<String> = fields.array("summary")?.iter().filter_map(text).collect();
    let id = fields.string("id")?.filter(|id| !id.is_empty());
    fields.take("status");
    let content: Vec<String> = match summary.is_empty() {
        true => fields.array("content")?.iter().filter_map(text).collect(),
        false => Vec::new(),
    };
    let raw = !content.is_empty();
    let text = if raw { content } else { summary };
    let joined = text.join("\n\n");
    let slot = fields.string("encrypted_content")?.filter(|slot| !slot.is_empty());
    let opaque = slot.map(|slot| match envelope::unwrap(&slot) {
        Some(opaque) => opaque,
        None => openai::encrypted(slot, id, &joined),
    });
    Ok(Reasoning { text, raw, opaque, extra: fields.extra() })
}

pub(super) fn call(fields: &mut Fields<'_>, custom: bool) -> Result<ToolCall, Bad> {
    let args = match custom {
        true => Args::Text(fields.string("input")?.unwrap_or_default()),
        false => match fields.take("arguments") {
            None => Args::empty(),
            Some(node) => match node.str() {
                Some(text) => Args::of_text(&text),
                None => Args::of_text(node.raw().as_str()),
            },
        },
    };
    let mut call = ToolCall::new(fields.need("call_id")?, fields.need("name")?, args);
    call.kind = if custom { CallKind::Custom } else { CallKind::Function };
    call.namespace = fields.string("namespace")?;
    for known in ["id", "status"] {
        fields.take(known);
    }
    // Called by the model itself: what every call is.
    let direct =
        |node: Node<'_>| node.get("type").and_then(Node::str).is_some_and(|t| t == "direct");
    if fields.peek("caller").is_some_and(direct) {
        fields.take("caller");
    }
    call.extra = std::mem::take(fields).extra();
    Ok(call)
}

fn result(mut fields: Fields<'_>, custom: bool, place: Place) -> Result<ToolResult, Bad> {
    let mut result = ToolResult::new(fields.need("call_id")?, Vec::new());
    if let Some(output) = fields.take("output") {
        (result.plain, result.parts) = content(output).map_err(|bad| bad.under("output"))?;
    }
    result.kind = if custom { CallKind::Custom } else { CallKind::Function };
    result.tool_name = fields.string("name")?;
    for known in ["id", "status"] {
        fields.take(known);
    }
    result.place = place;
    result.extra = fields.extra();
    Ok(result)
}

/// The content, and whether it was one plain string.
fn content(node: Node<'_>) -> Result<(bool, Vec<Part>), Bad> {
    openai::content(node, part)
}

pub(super) fn part(node: Node<'_>) -> Result<Part, Bad> {
    let mut fields = node.fields().ok_or(Bad::new("", "must be an object"))?;
    let kind = fields.need("type")?;
    let hint = openai::cache_hint(&mut fields);
    let mut media = match kind.as_str() {
        "input_text" | "output_text" | "text" => return text(fields, hint),
        "refusal" => return Ok(Part::Refusal(fields.string("refusal")?.unwrap_or_default())),
        "input_image" => image(&mut fields)?,
        "input_file" => file(&mut fields)?,
        _ => return Ok(Part::Raw { kind, value: node.raw() }),
    };
    media.cache = hint;
    media.extra = fields.extra();
    Ok(Part::Media(media))
}

fn text(mut fields: Fields<'_>, cache: Option<crate::model::CacheHint>) -> Result<Part, Bad> {
    let citations = fields.array("annotations")?.into_iter().map(citation).collect();
    let logprobs = fields.raw("logprobs").filter(|raw| raw.as_str() != "[]");
    Ok(Part::Text(Text {
        text: fields.string("text")?.unwrap_or_default(),
        citations,
        cache,
        signature: None,
        logprobs,
        extra: fields.extra(),
    }))
}

pub(super) fn citation(node: Node<'_>) -> Citation {
    let member = |name: &str| node.get(name).and_then(Node::string);
    let at = |name: &str| node.get(name)?.u64().and_then(|at| usize::try_from(at).ok());
    let web = member("type").as_deref() == Some("url_citation");
    Citation {
        kind: if web { CitationKind::Url } else { CitationKind::File },
        url: member("url"),
        title: member("title").or_else(|| member("filename")),
        cited_text: None,
        span: at("start_index").zip(at("end_index")).map(|(start, end)| start..end),
        native: node.raw(),
    }
}

fn image(fields: &mut Fields<'_>) -> Result<Media, Bad> {
    let source = match (fields.string("image_url")?, fields.string("file_id")?) {
        (Some(url), _) => media::source(&url),
        (None, Some(id)) => Source::File { vendor: Vendor::OpenAi, id },
        (None, None) => return Err(Bad::new("image_url", "is required")),
    };
    let mut media = Media::new(MediaKind::Image, source);
    media.detail = fields.string("detail")?;
    Ok(media)
}

fn file(fields: &mut Fields<'_>) -> Result<Media, Bad> {
    let title = fields.string("filename")?;
    let (data, url) = (fields.string("file_data")?, fields.string("file_url")?);
    let source = match (data, url, fields.string("file_id")?) {
        (Some(data), ..) => file_data(&data, title.as_deref()),
        (None, Some(url), _) => media::source(&url),
        (None, None, Some(id)) => Source::File { vendor: Vendor::OpenAi, id },
        (None, None, None) => {
            return Err(Bad::new("file_data", "or `file_url` or `file_id` is required"));
        }
    };
    let kind = match &source {
        Source::Base64 { mime, .. } => MediaKind::of_mime(mime),
        _ => MediaKind::Document,
    };
    Ok(Media { title, ..Media::new(kind, source) })
}

/// A `data:` URL, or bare base64 as some clients send.
fn file_data(data: &str, name: Option<&str>) -> Source {
    match media::source(data) {
        source @ (Source::Base64 { .. } | Source::Url(_)) => source,
        _ => {
            let mime = media::sniff(data).or_else(|| media::mime_of_path(name.unwrap_or_default()));
            let mime = mime.unwrap_or("application/octet-stream").to_owned();
            Source::Base64 { mime, data: media::standard(data) }
        }
    }
}

/// An item's id as a client sees it: the same whenever the same answer is shown.
pub(super) fn minted(prefix: &str, answer: &str, at: usize) -> String {
    format!("{prefix}_{}", ids::hex(&[answer, &at.to_string()], 12))
}
