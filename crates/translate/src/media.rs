//! Media as addresses, base64 and media types.

use base64::{
    Engine,
    engine::{GeneralPurpose, GeneralPurposeConfig, general_purpose},
};

use crate::model::Source;

/// Reads base64 with or without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
);

/// What an address stands for: `data:` holds the bytes, the web has a URL, anything else is only
/// understood by its provider.
pub(crate) fn source(url: &str) -> Source {
    let inline = url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
    if let Some((mime, data)) = inline.then(|| data_url(url)).flatten() {
        return Source::Base64 { mime, data };
    }
    let web = |scheme: &str| {
        url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    if web("https://") || web("http://") {
        return Source::Url(url.to_owned());
    }
    Source::Uri { uri: url.to_owned(), mime: None }
}

/// The media type and the base64 text of a `data:` URL.
pub(crate) fn data_url(url: &str) -> Option<(String, String)> {
    let (head, body) = url.get(5..)?.split_once(',')?;
    let mut params = head.split(';');
    let mime = params.next().unwrap_or_default().trim().to_ascii_lowercase();
    let data = if params.any(|param| param.trim().eq_ignore_ascii_case("base64")) {
        standard(body.trim())
    } else {
        general_purpose::STANDARD.encode(percent_decoded(body))
    };
    let mime = if mime.is_empty() { sniff(&data).unwrap_or("text/plain").to_owned() } else { mime };
    Some((mime, data))
}

/// Base64 in the standard alphabet, also of a URL-safe text.
pub(crate) fn standard(data: &str) -> String {
    data.chars()
        .filter(|c| !c.is_ascii_whitespace())
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect()
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) if bytes[at] == b'%' => {
                out.push(byte);
                at += 3;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}

/// The media type the first bytes show.
pub(crate) fn sniff(data: &str) -> Option<&'static str> {
    let start = data.get(..data.len().min(24))?;
    let whole = &start[..start.len() - start.len() % 4];
    let bytes = LENIENT.decode(whole).ok()?;
    let signs: [(&[u8], &str); 8] = [
        (b"\x89PNG", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF8", "image/gif"),
        (b"%PDF", "application/pdf"),
        (b"ID3", "audio/mp3"),
        (b"OggS", "audio/ogg"),
        (b"fLaC", "audio/flac"),
        (b"\x1aE\xdf\xa3", "video/webm"),
    ];
    if let Some((_, mime)) = signs.iter().find(|(sign, _)| bytes.starts_with(sign)) {
        return Some(mime);
    }
    let riff = bytes.starts_with(b"RIFF").then(|| bytes.get(8..12)).flatten();
    match riff {
        Some(b"WEBP") => Some("image/webp"),
        Some(b"WAVE") => Some("audio/wav"),
        _ => None,
    }
}

/// Bytes as a `data:` URL.
pub(crate) fn to_data_url(mime: &str, data: &str) -> String {
    format!("data:{mime};base64,{data}")
}

/// The text base64 stands for, if it is one.
pub(crate) fn base64_text(data: &str) -> Option<String> {
    String::from_utf8(LENIENT.decode(data).ok()?).ok()
}

/// A text as base64.
pub(crate) fn text_base64(text: &str) -> String {
    base64(text.as_bytes())
}

/// Bytes as base64.
pub(crate) fn base64(bytes: &[u8]) -> String {
    general_purpose::STANDARD.encode(bytes)
}

/// What the end of an address says about its media type.
pub(crate) fn mime_of_path(path: &str) -> Option<&'static str> {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let ending = path.rsplit('/').next()?.rsplit_once('.')?.1.to_ascii_lowercase();
    Some(match ending.as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "md" => "text/markdown",
        "csv" => "text/csv",
        "html" => "text/html",
        "json" => "application/json",
        "mp3" => "audio/mp3",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base64(mime: &str, data: &str) -> Source {
        Source::Base64 { mime: mime.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn data_urls_are_read_in_all_their_forms() {
        assert_eq!(
            source("data:image/png;base64,iVBORw0KGgo="),
            base64("image/png", "iVBORw0KGgo=")
        );
        assert_eq!(source("DATA:;base64,iVBORw0KGgo="), base64("image/png", "iVBORw0KGgo="));
        assert_eq!(source("data:text/plain;charset=utf-8,a%20b"), base64("text/plain", "YSBi"));
        assert_eq!(source("data:image/png;base64,_-8="), base64("image/png", "/+8="));
    }

    #[test]
    fn only_web_addresses_are_urls() {
        assert_eq!(source("https://e.org/a"), Source::Url("https://e.org/a".to_owned()));
        assert!(matches!(source("gs://b/o"), Source::Uri { .. }));
        assert!(matches!(source("data:"), Source::Uri { .. }));
    }

    #[test]
    fn media_types_are_seen_in_bytes_and_endings() {
        assert_eq!(sniff("/9j/4AAQ"), Some("image/jpeg"));
        assert_eq!(sniff("UklGRiQAAABXQVZF"), Some("audio/wav"));
        assert_eq!(sniff("AAAA"), None);
        assert_eq!(mime_of_path("https://e.org/a.JPG?x=1.pdf"), Some("image/jpeg"));
    }
}
