//! A client's own search results as text, for protocols without them.

use crate::model::{Part, SearchResult};

/// Title, source and text, a line each.
pub(crate) fn text(found: &SearchResult) -> String {
    let mut text = format!("{}\n{}", found.title, found.source);
    for line in found.parts.iter().filter_map(Part::as_text) {
        text.push('\n');
        text.push_str(line);
    }
    text
}
