//! What of an answer rests on which page of the web.

use crate::{
    json::Node,
    model::{Citation, CitationKind, Part, Text},
};

/// Gives the texts their citations. Segments count bytes of their part, citations characters.
pub(super) fn cite(parts: &mut [Part], grounding: Node<'_>) {
    each(grounding, |support| {
        let Some(text) = text_of(parts, support.part()) else { return };
        let characters = |bytes: Option<usize>| characters(&text.text, bytes);
        let citation = support.citation(characters);
        text.citations.push(citation);
    });
}

/// A page a segment of the answer rests on.
#[derive(Clone, Copy)]
pub(super) struct Support<'a> {
    whole: Node<'a>,
    segment: Node<'a>,
    web: Node<'a>,
}

/// Shows each page with each segment that rests on it.
pub(super) fn each(grounding: Node<'_>, mut show: impl FnMut(Support<'_>)) {
    let chunks: Vec<_> =
        grounding.get("groundingChunks").into_iter().flat_map(Node::elements).collect();
    for whole in grounding.get("groundingSupports").into_iter().flat_map(Node::elements) {
        let Some(segment) = whole.get("segment") else { continue };
        let indices = whole.get("groundingChunkIndices");
        for index in indices.into_iter().flat_map(Node::elements) {
            let chunk = index.u64().and_then(|i| chunks.get(usize::try_from(i).ok()?));
            if let Some(web) = chunk.and_then(|chunk| chunk.get("web")) {
                show(Support { whole, segment, web });
            }
        }
    }
}

impl Support<'_> {
    fn at(&self, name: &str) -> Option<usize> {
        usize::try_from(self.segment.get(name)?.u64()?).ok()
    }

    /// Which part the segment is of.
    fn part(&self) -> usize {
        self.at("partIndex").unwrap_or(0)
    }

    /// The citation, where `characters` says how many characters so many bytes begin.
    pub(super) fn citation(&self, characters: impl Fn(Option<usize>) -> usize) -> Citation {
        let start = characters(Some(self.at("startIndex").unwrap_or(0)));
        let end = characters(self.at("endIndex"));
        Citation {
            kind: CitationKind::Url,
            url: self.web.get("uri").and_then(Node::string),
            title: self.web.get("title").and_then(Node::string),
            cited_text: self.segment.get("text").and_then(Node::string),
            span: Some(start..end),
            native: self.whole.raw(),
        }
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

/// How many characters the first `bytes` bytes begin; all of them without a number.
fn characters(text: &str, bytes: Option<usize>) -> usize {
    let bytes = bytes.unwrap_or(text.len());
    text.char_indices().take_while(|(at, _)| *at < bytes).count()
}
