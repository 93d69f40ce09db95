//! Members that mean the same in several protocols' requests.

use crate::{json, peek::Peek};

/// Takes the model's name.
pub(crate) fn model(value: &[u8], peek: &mut Peek) -> Result<(), String> {
    let name = json::string(value).filter(|name| !name.is_empty());
    peek.model = Some(name.ok_or("must be a string that is not empty")?.into_owned());
    Ok(())
}

/// Takes whether the answer is to be a stream; `null` is as good as absent.
pub(crate) fn stream(value: &[u8], peek: &mut Peek) -> Result<(), String> {
    if json::is_null(value) {
        return Ok(());
    }
    peek.stream = json::boolean(value).ok_or("must be true or false")?;
    Ok(())
}

/// Takes an output limit that overrides one read before. An odd one is left to the upstream.
pub(crate) fn limit(value: &[u8], peek: &mut Peek) {
    peek.output_limit = json::integer(value).or(peek.output_limit);
}

/// Takes how many alternative answers are asked for. An odd number is left to the upstream.
pub(crate) fn candidates(value: &[u8], peek: &mut Peek) {
    peek.candidates = json::integer(value).and_then(|n| n.try_into().ok()).or(peek.candidates);
}

/// Takes whether tools are offered.
pub(crate) fn tools(value: &[u8], peek: &mut Peek) {
    peek.needs.tools |= value.starts_with(b"[") && !json::is_blank(value);
}

/// Takes the end user's name; a later member's name wins only where it `prevails`.
pub(crate) fn user(value: Option<&[u8]>, prevails: bool, peek: &mut Peek) {
    let name = value.and_then(json::string).filter(|name| (1..=256).contains(&name.len()));
    if let Some(name) = name.filter(|_| prevails || peek.user.is_none()) {
        peek.user = Some(name.into_owned());
    }
}

/// Takes the service tier asked for. An odd one is left to the upstream.
pub(crate) fn tier(value: &[u8], peek: &mut Peek) {
    let word = json::string(value).filter(|word| (1..=64).contains(&word.len()));
    peek.service_tier = word.map(Into::into).or_else(|| peek.service_tier.take());
}

/// Whether `value` is an object whose member `key` is the string `word`.
pub(crate) fn says(value: &[u8], key: &str, word: &str) -> bool {
    json::member(value, key).and_then(json::string).is_some_and(|said| said == word)
}

/// Whether `value` is an object whose member `key` is a string other than `plain`.
pub(crate) fn says_other_than(value: &[u8], key: &str, plain: &str) -> bool {
    json::member(value, key).and_then(json::string).is_some_and(|said| said != plain)
}
