//! What a stream or an answer has told so far.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tollgate_core::ServedAs;

use super::{draft::Draft, messages::Merged};
use crate::{json, words::Word};

/// No honest usage object is larger, and no more than this is kept of what was sent.
pub(super) const RAW_LIMIT: usize = 64 << 10;

/// More search queries than this are nobody's in one answer.
const QUERY_LIMIT: usize = 1000;

/// No name of a model or tier is longer, in bytes; of a query no more is compared.
const NAME_LIMIT: usize = 512;

static MODEL: Word = Word::new("\"model\"");

/// Everything remembered between events. Bounded, whatever is sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// The last usage object, where the last one replaces all before it.
    pub(super) last: Kept,
    /// An object that belongs to it: what each model used, what tools used.
    pub(super) beside: Kept,
    /// What is merged field by field.
    pub(super) merged: Merged,
    /// What adds up.
    pub(super) sum: Option<Box<Draft>>,
    /// Uses of tools counted in the answer itself.
    pub(super) counted: BTreeMap<&'static str, u64>,
    pub(super) queries: BTreeSet<String>,
    /// Hosted tools the answer was given, where that decides what their use costs.
    pub(super) hosted: Option<Box<Hosted>>,
    pub(super) served: ServedAs,
    /// The objects before the last, where each says something of its own.
    pub(super) earlier: Vec<Bytes>,
    /// Nothing more can follow.
    pub(super) ended: bool,
    /// What was told is a beginning that no end was told for.
    pub(super) provisional: bool,
}

impl Told {
    pub(super) fn model(&mut self, value: &[u8]) {
        set(&mut self.served.model, value);
    }

    /// Whether an event should be asked for the model: none has named it.
    pub(super) fn wants_model(&self, event: &[u8]) -> bool {
        self.served.model.is_none() && MODEL.says_something(event)
    }

    pub(super) fn tier(&mut self, value: &[u8]) {
        set(&mut self.served.tier, value);
    }

    pub(super) fn completed_at(&mut self, value: &[u8]) {
        let seconds = value.split(|byte| *byte == b'.').next().and_then(json::integer);
        self.served.completed_at = seconds.or(self.served.completed_at);
    }

    pub(super) fn query(&mut self, text: &str) {
        if text.is_empty() || self.queries.len() == QUERY_LIMIT || self.queries.contains(text) {
            return;
        }
        self.queries.insert(text.chars().take(NAME_LIMIT).collect());
    }

    /// Keeps a copy of an object, as long as there is room.
    pub(super) fn note(&mut self, object: &[u8]) {
        let size = self.earlier.iter().map(Bytes::len).sum::<usize>();
        let repeated = self.earlier.last().is_some_and(|last| last == object);
        if !repeated && size + object.len() <= RAW_LIMIT && self.earlier.len() < 64 {
            self.earlier.push(Bytes::copy_from_slice(object));
        }
    }

    /// The wire objects, oldest first.
    pub(super) fn raw(&self) -> Vec<Bytes> {
        let kept = [&self.last, &self.beside].into_iter().filter_map(Kept::get);
        let mut raw = self.earlier.clone();
        raw.extend(kept.map(Bytes::copy_from_slice));
        raw
    }
}

/// Hosted tools whose uses do not say what they cost.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosted {
    /// Searches are the preview tool's, which has a fee of its own.
    pub(super) preview: bool,
    /// Who makes the images.
    pub(super) image_model: Option<String>,
}

/// Stores a string; allocates only when it is another.
pub(super) fn set(slot: &mut Option<String>, value: &[u8]) {
    if value.len() > NAME_LIMIT {
        return;
    }
    let Some(text) = json::string(value).filter(|text| !text.is_empty()) else { return };
    if slot.as_deref() != Some(text.as_ref()) {
        *slot = Some(text.into_owned());
    }
}

/// A copy of the last object, in memory that is used again.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    /// One came that no honest host sends.
    pub(super) oversized: bool,
}

impl Kept {
    pub(super) fn replace(&mut self, object: &[u8]) {
        if !object.starts_with(b"{") || json::is_blank(object) {
            return;
        }
        self.oversized = object.len() > RAW_LIMIT;
        if !self.oversized {
            self.bytes.clear();
            self.bytes.extend_from_slice(object);
        }
    }

    pub(super) fn get(&self) -> Option<&[u8]> {
        (!self.bytes.is_empty()).then_some(&self.bytes)
    }
}
