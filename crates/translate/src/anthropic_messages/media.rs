//! Media and search results as blocks.

use tollgate_core::Refusal;

use crate::{
    json::{Json, Object},
    media,
    model::{Media, MediaKind, Part, Place, SearchResult, Source, Vendor},
    warning::{Code, Report},
};

const IMAGES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// Writes an image or a document.
///
/// Errors: the protocol has no block for it.
pub(super) fn block<'a>(
    media: &'a Media,
    place: Place,
    report: &mut Report,
) -> Result<Object<'a>, Refusal> {
    if media.detail.as_deref().is_some_and(|detail| detail != "auto") {
        report.place(Code::DroppedField, place);
    }
    let source = match (media.kind, &media.source) {
        (MediaKind::Image, Source::Base64 { mime, data }) if IMAGES.contains(&mime.as_str()) => {
            base64(mime, data)
        }
        (MediaKind::Document, Source::Base64 { mime, data }) if mime == "application/pdf" => {
            base64(mime, data)
        }
        (MediaKind::Document, Source::Base64 { mime, data }) if mime.starts_with("text/") => {
            let text = media::base64_text(data).ok_or_else(|| refuse(media, place, report))?;
            plain(text)
        }
        (MediaKind::Image | MediaKind::Document, Source::Url(url)) => {
            Object::of("url").with("url", url)
        }
        (
            MediaKind::Image | MediaKind::Document,
            Source::File { vendor: Vendor::Anthropic, id },
        ) => Object::of("file").with("file_id", id),
        (_, Source::Text { text, .. }) => plain(text),
        (_, Source::Blocks(parts)) => content(parts, place, report)?,
        _ => return Err(refuse(media, place, report)),
    };
    let image = media.kind == MediaKind::Image;
    let mut block = Object::of(if image { "image" } else { "document" }).with("source", source);
    if !image {
        block = block
            .maybe("title", media.title.as_ref())
            .maybe("context", media.context.as_ref())
            .maybe("citations", media.citations.map(enabled));
    }
    Ok(block)
}

fn base64<'a>(mime: &'a str, data: &'a str) -> Object<'a> {
    Object::of("base64").with("media_type", mime).with("data", data)
}

fn plain<'a>(text: impl Into<Json<'a>>) -> Object<'a> {
    Object::of("text").with("media_type", "text/plain").with("data", text)
}

fn enabled<'a>(on: bool) -> Object<'a> {
    Object::new().with("enabled", on)
}

fn content<'a>(
    parts: &'a [Part],
    place: Place,
    report: &mut Report,
) -> Result<Object<'a>, Refusal> {
    let mut blocks: Vec<Json<'a>> = Vec::new();
    for part in parts {
        match part {
            Part::Text(text) => blocks.push(Object::of("text").with("text", &text.text).into()),
            Part::Media(media) => blocks.push(block(media, place, report)?.into()),
            _ => {}
        }
    }
    Ok(Object::of("content").with("content", blocks))
}

fn refuse(media: &Media, place: Place, report: &Report) -> Refusal {
    let what = match &media.source {
        Source::Base64 { mime, .. } => format!("of type `{mime}`"),
        Source::File { .. } => "by another provider's file id".to_owned(),
        Source::Uri { .. } => "at an address only its provider can read".to_owned(),
        _ => "in this form".to_owned(),
    };
    let why = format!("holds {} {what}, which this model cannot take", media.kind.as_str());
    report.refuse_place(place, &why)
}

/// Writes a client's own search result.
pub(super) fn search_result(found: &SearchResult) -> Object<'_> {
    let text = |part: &'_ Part| part.as_text().map(|text| text.to_owned());
    let blocks: Vec<Json<'_>> = found
        .parts
        .iter()
        .filter_map(text)
        .map(|text| Object::of("text").with("text", text).into())
        .collect();
    Object::of("search_result")
        .with("source", &found.source)
        .with("title", &found.title)
        .with("content", blocks)
        .maybe("citations", found.citations.map(enabled))
}
