//! What of a request's wishes is OpenRouter's business.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use tollgate_wire::json::{self, Array, Object};

use crate::{Wishes, wishes::OURS};

/// What a request to OpenRouter keeps of its wishes.
pub(crate) struct Kept {
    /// Everything, as it was written.
    pub(crate) is_whole: bool,
    /// The members, as they are to be written.
    pub(crate) members: Arc<[(Cow<'static, str>, Bytes)]>,
}

/// Returns what is kept: not our own words, not the names that `is_ours`, unless nobody else is
/// asked; of `models` those of `foreign`.
pub(crate) fn kept(
    wishes: &Wishes,
    foreign: &[usize],
    alone: bool,
    is_ours: impl Fn(&str) -> bool,
) -> Kept {
    let [provider, models] = &wishes.written;
    let left = provider.as_ref().map(|text| provider_left(text, alone, is_ours));
    let models_left = models.as_ref().map(|text| models_left(text, foreign));
    let is_whole = left.as_ref().is_none_or(|(_, whole)| *whole)
        && models_left.as_ref().is_none_or(|(_, whole)| *whole);
    let provider = left.and_then(|(text, _)| text).map(|text| (Cow::Borrowed("provider"), text));
    let models = models_left.and_then(|(text, _)| text).map(|text| (Cow::Borrowed("models"), text));
    Kept { is_whole, members: provider.into_iter().chain(models).collect() }
}

/// The object without what is ours, and whether that is all of it.
fn provider_left(text: &Bytes, alone: bool, ours: impl Fn(&str) -> bool) -> (Option<Bytes>, bool) {
    let (mut left, mut whole) = (Vec::new(), true);
    for (key, value) in Object::new(text).map_while(Result::ok) {
        let names = !alone && matches!(&*key, "order" | "only" | "ignore");
        let value = match &*key {
            key if OURS.contains(&key) => None,
            _ if names => strangers(value, &ours),
            _ => Some(Cow::Borrowed(value)),
        };
        whole &= matches!(value, Some(Cow::Borrowed(_)));
        if let Some(value) = value {
            left.push([&quoted(&key), &b":"[..], &value].concat());
        }
    }
    match whole {
        true => (Some(text.clone()), true),
        false => (joined(b'{', &left, b'}'), false),
    }
}

/// A list without the names that are ours; nothing, if all are.
fn strangers<'a>(list: &'a [u8], ours: impl Fn(&str) -> bool) -> Option<Cow<'a, [u8]>> {
    let names: Vec<&[u8]> = Array::new(list).map_while(Result::ok).collect();
    let is_ours = |name: &&[u8]| json::string(name).is_some_and(|name| ours(&name));
    let left: Vec<_> = names.iter().filter(|name| !is_ours(name)).map(|n| n.to_vec()).collect();
    if left.len() == names.len() {
        return Some(Cow::Borrowed(list));
    }
    joined(b'[', &left, b']').map(|text| Cow::Owned(text.to_vec()))
}

/// The models that mean nothing here, and whether that is all of them.
fn models_left(text: &Bytes, foreign: &[usize]) -> (Option<Bytes>, bool) {
    let names: Vec<&[u8]> = Array::new(text).map_while(Result::ok).collect();
    if foreign.len() == names.len() {
        return (Some(text.clone()), true);
    }
    let left: Vec<_> = foreign.iter().filter_map(|at| names.get(*at)).map(|n| n.to_vec()).collect();
    (joined(b'[', &left, b']'), false)
}

fn joined(open: u8, parts: &[Vec<u8>], close: u8) -> Option<Bytes> {
    if parts.is_empty() {
        return None;
    }
    let inner = parts.join(&b","[..]);
    Some([&[open], &*inner, &[close]].concat().into())
}

fn quoted(key: &str) -> Vec<u8> {
    let mut text = vec![b'"'];
    for byte in key.bytes() {
        match byte {
            b'"' | b'\\' => text.extend([b'\\', byte]),
            ..0x20 => text.extend(format!("\\u{byte:04x}").into_bytes()),
            _ => text.push(byte),
        }
    }
    text.push(b'"');
    text
}
