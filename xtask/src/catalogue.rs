//! The built-in models and prices, from a price file.

use std::path::PathBuf;

use crate::run::{Step, cargo, root, run};

/// Rewrites `crates/catalog/data` and shows each price that changed. One that moved by more than a
/// factor of two is marked `LOOK`: a human reads the provider's page before it is committed.
pub(crate) fn refresh(file: Option<String>) -> Step {
    let file = file.map_or_else(shared, PathBuf::from);
    let file = file.canonicalize().map_err(|error| format!("{}: {error}", file.display()))?;
    let mut refresh = cargo(&["run", "--quiet", "-p", "tollgate-catalog", "--example", "refresh"]);
    refresh.arg("--").arg(file);
    run(refresh)
}

fn shared() -> PathBuf {
    let folder = std::env::var_os("TOLLGATE_SHARED").map(PathBuf::from);
    folder.unwrap_or_else(|| root().join("../shared")).join("prices/models.json")
}
