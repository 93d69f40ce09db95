//! `[store]`.

use std::path::PathBuf;

use tollgate_store::Durability;

use super::{Wrong, file, hosts::resolved};

/// Where charges are kept, and how safely.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreConfig {
    /// The file. Default: `tollgate.db` in the data directory.
    pub path: Option<PathBuf>,
    /// When a charge counts as written.
    pub durability: Durability,
}

pub(super) fn resolve(store: Option<&file::Store>) -> Result<StoreConfig, Wrong> {
    let Some(store) = store else { return Ok(StoreConfig::default()) };
    let url = store.url.as_ref().map(|url| resolved("store.url", url)).transpose()?;
    let path = url.map(|url| match url.strip_prefix("sqlite://") {
        Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
        _ => Err(Wrong::new("store.url", "is no `sqlite://PATH`, the one store of this version")),
    });
    Ok(StoreConfig { path: path.transpose()?, durability: store.durability.into() })
}
