use std::{
    env, fmt,
    path::{Path, PathBuf},
};

/// The folder of shared fixtures is not here. Shows why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent {
    /// What was looked for, and where.
    pub reason: String,
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Absent {}

/// Returns the folder of shared fixtures: `TOLLGATE_SHARED`, else `shared` beside the workspace.
///
/// Tests that need it say so and pass where it is absent; see [`require_shared`].
pub fn shared_dir() -> Result<PathBuf, Absent> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let dir = env::var_os("TOLLGATE_SHARED").map_or(beside, PathBuf::from);
    existing(dir)
}

fn existing(dir: PathBuf) -> Result<PathBuf, Absent> {
    if dir.is_dir() {
        return Ok(dir);
    }
    let shown = dir.display();
    Err(Absent { reason: format!("no folder {shown}; TOLLGATE_SHARED may name another") })
}

/// Returns a path inside the folder of shared fixtures, or `None` after saying why there is none.
///
/// # Panics
///
/// With `CI=true` in the environment, where the fixtures must be.
pub fn require_shared(inside: &str) -> Option<PathBuf> {
    let found = shared_dir().and_then(|dir| {
        let path = dir.join(inside);
        let reason = format!("no {} in the shared folder", path.display());
        path.exists().then_some(path).ok_or(Absent { reason })
    });
    let must = env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!must || found.is_ok(), "CI must have the fixtures: {found:?}");
    found.inspect_err(|absent| eprintln!("skipped: {absent}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_where_it_looked() {
        let absent = existing(PathBuf::from("/nowhere/at/all")).unwrap_err();
        assert!(absent.to_string().contains("/nowhere/at/all"));
    }
}
