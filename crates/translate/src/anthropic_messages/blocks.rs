//! Content blocks as they stand in requests and answers.

use crate::{
    envelope, ids,
    json::{Bad, Fields, Node},
    media as addresses,
    model::{
        Args, CacheHint, Citation, CitationKind, Media, MediaKind, OpaqueKind, Part, Place,
        Reasoning, SearchResult, ServerToolCall, ServerToolResult, Source, Text, ToolCall,
        ToolResult, Vendor,
    },
};

pub(super) fn hint(fields: &mut Fields<'_>) -> Option<CacheHint> {
    let node = fields.take("cache_control")?;
    Some(CacheHint { ttl: node.get("ttl").and_then(Node::string) })
}

/// Reads any block but a tool's result.
pub(super) fn read(node: Node<'_>) -> Result<Part, Bad> {
    let mut fields = node.fields().ok_or(Bad::new("", "must be an object"))?;
    let kind = fields.need("type")?;
    Ok(match kind.as_str() {
        "text" => Part::Text(text(fields)?),
        "image" => Part::Media(image(fields)?),
        "document" => Part::Media(document(fields)?),
        "search_result" => Part::SearchResult(search_result(fields)?),
        "thinking" => Part::Reasoning(thinking(fields)?),
        "redacted_thinking" => Part::Reasoning(redacted(fields)?),
        "tool_use" => Part::ToolCall(tool_use(fields)?),
        "server_tool_use" | "mcp_tool_use" => Part::ServerToolCall(ServerToolCall {
            name: fields.string("name")?.unwrap_or_default(),
            value: node.raw(),
        }),
        kind if kind.ends_with("_tool_result") => {
            Part::ServerToolResult(ServerToolResult { name: kind.to_owned(), value: node.raw() })
        }
        _ => Part::Raw { kind, value: node.raw() },
    })
}

fn text(mut fields: Fields<'_>) -> Result<Text, Bad> {
    let citations = fields.array("citations")?.into_iter().map(citation).collect();
    Ok(Text {
        text: fields.string("text")?.unwrap_or_default(),
        citations,
        cache: hint(&mut fields),
        extra: fields.extra(),
        ..Text::default()
    })
}

pub(super) fn citation(node: Node<'_>) -> Citation {
    let member = |name: &str| node.get(name).and_then(Node::string);
    let kind = match member("type").as_deref() {
        Some("web_search_result_location") => CitationKind::Url,
        Some("search_result_location") => CitationKind::SearchResult,
        _ => CitationKind::Document,
    };
    Citation {
        kind,
        url: member("url").or_else(|| member("source")),
        title: member("title").or_else(|| member("document_title")),
        cited_text: member("cited_text"),
        span: None,
        native: node.raw(),
    }
}

fn thinking(mut fields: Fields<'_>) -> Result<Reasoning, Bad> {
    let text = fields.string("thinking")?.unwrap_or_default();
    let signature = fields.string("signature")?.filter(|signature| !signature.is_empty());
    let opaque = signature.map(|signature| {
        let mut opaque = envelope::read(signature, Vendor::Anthropic, OpaqueKind::Thinking);
        if opaque.vendor == Vendor::Anthropic && opaque.digest == [0; 8] {
            opaque.digest = ids::digest(&text);
        }
        opaque
    });
    Ok(Reasoning { text: vec![text], raw: true, opaque, extra: fields.extra() })
}

fn redacted(mut fields: Fields<'_>) -> Result<Reasoning, Bad> {
    let data = fields.string("data")?.unwrap_or_default();
    let opaque = envelope::read(data, Vendor::Anthropic, OpaqueKind::Redacted);
    Ok(Reasoning { opaque: Some(opaque), extra: fields.extra(), ..Reasoning::default() })
}

fn tool_use(mut fields: Fields<'_>) -> Result<ToolCall, Bad> {
    let args = fields.take("input").map_or_else(Args::empty, |node| match node.is_object() {
        true => Args::Json(node.raw()),
        false => Args::Text(node.raw().as_str().to_owned()),
    });
    let mut call = ToolCall::new(fields.need("id")?, fields.need("name")?, args);
    call.cache = hint(&mut fields);
    // Called by the model itself: what every call is.
    let direct =
        |node: Node<'_>| node.get("type").and_then(Node::str).is_some_and(|t| t == "direct");
    if fields.peek("caller").is_some_and(direct) {
        fields.take("caller");
    }
    call.extra = fields.extra();
    Ok(call)
}

pub(super) fn tool_result(node: Node<'_>, place: Place) -> Result<ToolResult, Bad> {
    let mut fields = node.fields().ok_or(Bad::new("", "must be an object"))?;
    fields.take("type");
    let mut result = ToolResult::new(fields.need("tool_use_id")?, Vec::new());
    if let Some(content) = fields.take("content") {
        if let Some(text) = content.string() {
            result.plain = true;
            result.parts.push(Part::text(text));
        } else {
            let parts = content
                .elements()
                .enumerate()
                .map(|(i, block)| read(block).map_err(|bad| bad.under(format!("content[{i}]"))));
            result.parts = parts.collect::<Result<_, _>>()?;
        }
    }
    result.is_error = fields.bool("is_error")?.unwrap_or(false);
    result.cache = hint(&mut fields);
    result.place = place;
    result.extra = fields.extra();
    Ok(result)
}

fn image(mut fields: Fields<'_>) -> Result<Media, Bad> {
    let source = source(&mut fields)?;
    let mut media = Media::new(MediaKind::Image, source);
    media.cache = hint(&mut fields);
    media.extra = fields.extra();
    Ok(media)
}

fn document(mut fields: Fields<'_>) -> Result<Media, Bad> {
    let source = source(&mut fields)?;
    let mut media = Media::new(MediaKind::Document, source);
    media.cache = hint(&mut fields);
    media.title = fields.string("title")?;
    media.context = fields.string("context")?;
    media.citations = citations_on(&mut fields);
    media.extra = fields.extra();
    Ok(media)
}

fn citations_on(fields: &mut Fields<'_>) -> Option<bool> {
    fields.take("citations")?.get("enabled")?.bool()
}

fn source(fields: &mut Fields<'_>) -> Result<Source, Bad> {
    let source = fields.fields("source")?.ok_or(Bad::new("source", "is required"))?;
    read_source(source).map_err(|bad| bad.under("source"))
}

fn read_source(mut source: Fields<'_>) -> Result<Source, Bad> {
    let mime = source.string("media_type")?.unwrap_or_default();
    Ok(match source.need("type")?.as_str() {
        "base64" => {
            let data = source.need("data")?;
            Source::Base64 { mime, data: addresses::standard(&data) }
        }
        "url" => addresses::source(&source.need("url")?),
        "file" => Source::File { vendor: Vendor::Anthropic, id: source.need("file_id")? },
        "text" => Source::Text { mime, text: source.need("data")? },
        "content" => {
            let content = source.take("content").ok_or(Bad::new("content", "is required"))?;
            match content.string() {
                Some(text) => Source::Blocks(vec![Part::text(text)]),
                None => Source::Blocks(content.elements().map(read).collect::<Result<_, _>>()?),
            }
        }
        _ => return Err(Bad::new("type", "is not a known source")),
    })
}

fn search_result(mut fields: Fields<'_>) -> Result<SearchResult, Bad> {
    Ok(SearchResult {
        source: fields.need("source")?,
        title: fields.need("title")?,
        parts: fields.array("content")?.into_iter().map(read).collect::<Result<_, _>>()?,
        cache: hint(&mut fields),
        citations: citations_on(&mut fields),
        extra: fields.extra(),
    })
}
