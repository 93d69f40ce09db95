//! What of an answer rests on which page of the web.

use crate::{
    json::Node,
    model::{Citation, CitationKind, Part, Text},
};

/// Gives the texts their citations. Segments count bytes of their part, citations characters.
pub(super) fn cite(parts: &mut [Part], grounding: Node<'_>) {
    let chunks: Vec<_> =
        grounding.get("groundingChunks").into_iter().flat_map(Node::elements).collect();
    for support in grounding.get("groundingSupports").into_iter().flat_map(Node::elements) {
        let Some(segment) = support.get("segment") else { continue };
        let at = |name: &str| {
            segment.get(name).and_then(Node::u64).and_then(|n| usize::try_from(n).ok())
        };
        let Some(text) = text_of(parts, at("partIndex").unwrap_or(0)) else { continue };
        let start = characters(&text.text, at("startIndex").unwrap_or(0));
        let end = characters(&text.text, at("endIndex").unwrap_or(text.text.len()));
        let indices = support.get("groundingChunkIndices");
        for index in indices.into_iter().flat_map(Node::elements) {
            let chunk = index.u64().and_then(|i| chunks.get(usize::try_from(i).ok()?));
            let Some(web) = chunk.and_then(|chunk| chunk.get("web")) else { continue };
            text.citations.push(citation(web, segment, support, start..end));
        }
    }
}

fn citation(
    web: Node<'_>,
    segment: Node<'_>,
    support: Node<'_>,
    span: std::ops::Range<usize>,
) -> Citation {
    Citation {
        kind: CitationKind::Url,
        url: web.get("uri").and_then(Node::string),
        title: web.get("title").and_then(Node::string),
        cited_text: segment.get("text").and_then(Node::string),
        span: Some(span),
        native: support.raw(),
    }
}

/// The part of that number, or the first text where that is none.
fn text_of(parts: &mut [Part], index: usize) -> Option<&mut Text> {
    let is_text = |part: &Part| matches!(part, Part::Text(_));
    let at = match parts.get(index) {
        Some(part) if is_text(part) => index,
        _ => parts.iter().position(is_text)?,
    };
    match &mut parts[at] {
        Part::Text(text) => Some(text),
        _ => None,
    }
}

/// How many characters the first `bytes` bytes begin.
fn characters(text: &str, bytes: usize) -> usize {
    text.char_indices().take_while(|(at, _)| *at < bytes).count()
}
