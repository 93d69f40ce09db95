use std::{collections::BTreeMap, fmt, sync::Arc};

use crate::AllowedModels;

/// The stable identity of a virtual key: a public name, never the key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(Arc<str>);

impl KeyId {
    /// Wraps an id.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// Returns the id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who is asking.
///
/// Written by `KeyLayer`, or by the user's own authentication; read by routing, budgets and the
/// access log. Travels as `Arc<Principal>` in the request's extensions, which are cloned for each
/// attempt. Absent: anonymous, which no layer treats as a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Principal {
    /// Identity of the key.
    pub key: KeyId,
    /// The key's name, for people.
    pub name: Arc<str>,
    /// Owners from the nearest outward: team, project, organisation.
    pub ancestry: Arc<[Box<str>]>,
    /// The models the key may use.
    pub models: AllowedModels,
    /// What the key's owner attached to it.
    pub metadata: BTreeMap<String, String>,
}

impl Principal {
    /// Returns a principal without owners and metadata that may use every model.
    pub fn new(key: KeyId, name: impl Into<Arc<str>>) -> Self {
        Self {
            key,
            name: name.into(),
            ancestry: Arc::from([]),
            models: AllowedModels::all(),
            metadata: BTreeMap::new(),
        }
    }
}
