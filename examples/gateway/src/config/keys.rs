//! The keys of the file.

use std::{collections::HashSet, sync::Arc};

use tollgate_core::{AllowedModels, KeyId, Principal, Secret};
use tollgate_keys::{KeyHash, KeyRecord, MemoryKeys};

use super::{
    Wrong, file,
    quote::{is_variable, quoted},
};

/// Returns the keys as a store. Their ids are their names.
pub(super) fn resolve(keys: &[file::Key]) -> Result<MemoryKeys, Wrong> {
    let store = MemoryKeys::new();
    let (mut names, mut texts) = (HashSet::new(), HashSet::new());
    for (i, key) in keys.iter().enumerate() {
        let text = key_text(i, key)?;
        if !names.insert(&key.name) {
            let message = format!("another key is named {}", quoted(&key.name));
            return Err(Wrong::new(format!("keys[{i}].name"), message));
        }
        let secret = Secret::new(&text);
        if !texts.insert(text) {
            return Err(Wrong::new(format!("keys[{i}].key"), "another entry has the same key"));
        }
        store.insert(KeyHash::of(&secret), record(key));
    }
    Ok(store)
}

fn key_text(i: usize, key: &file::Key) -> Result<String, Wrong> {
    let path = format!("keys[{i}].key");
    let text = key.key.resolve().map_err(|name| unset(&path, &name))?;
    match text.trim() {
        "" => Err(Wrong::new(path, "is empty")),
        text => Ok(text.to_owned()),
    }
}

pub(super) fn unset(path: &str, name: &str) -> Wrong {
    // Who writes a key after `env:` finds it here.
    let name = if is_variable(name) { format!(" {name}") } else { " it names".to_owned() };
    Wrong::new(path, format!("the environment variable{name} is not set"))
}

fn record(key: &file::Key) -> KeyRecord {
    let mut principal = Principal::new(KeyId::new(key.name.as_str()), key.name.as_str());
    principal.ancestry = key.team.iter().map(|team| team.as_str().into()).collect::<Arc<[_]>>();
    if let Some(models) = &key.models {
        principal.models = AllowedModels::only(models.iter().map(String::as_str));
    }
    KeyRecord::new(principal).disabled(key.disabled)
}
