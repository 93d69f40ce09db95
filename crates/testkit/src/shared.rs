use std::{
    env, fmt,
    path::{Path, PathBuf},
};

use libtest_mimic::{Failed, Trial};

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
/// Tests that need it are made by [`shared_trial`], so that none passes where it is absent.
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

/// Makes a trial of a harness of its own (`harness = false`) from a test that needs `inside`, a
/// path in the folder of shared fixtures.
///
/// Where that is absent the trial lists itself as ignored, with the reason in its name; with
/// `CI=true` in the environment, where the fixtures must be, it fails.
pub fn shared_trial(
    inside: &str,
    name: &str,
    test: impl FnOnce(&Path) -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let must = env::var_os("CI").is_some_and(|ci| ci == "true");
    trial(within(shared_dir(), inside), must, name, test)
}

fn within(shared: Result<PathBuf, Absent>, inside: &str) -> Result<PathBuf, Absent> {
    let path = shared?.join(inside);
    let reason = format!("no {}", path.display());
    if path.exists() { Ok(path) } else { Err(Absent { reason }) }
}

fn trial(
    found: Result<PathBuf, Absent>,
    must: bool,
    name: &str,
    test: impl FnOnce(&Path) -> Result<(), Failed> + Send + 'static,
) -> Trial {
    match found {
        Ok(path) => Trial::test(name, move || test(&path)),
        Err(absent) => {
            let name = format!("{name} ({absent})");
            Trial::test(name, move || Err(absent.into())).with_ignored_flag(!must)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_where_it_looked() {
        let absent = existing(PathBuf::from("/nowhere/at/all")).unwrap_err();
        assert!(absent.to_string().contains("/nowhere/at/all"));
    }

    #[test]
    fn what_is_absent_is_ignored_with_the_reason_and_fails_where_it_must_be_there() {
        let never = |_: &Path| -> Result<(), Failed> { Err("must not run".into()) };
        for must in [false, true] {
            let found = within(existing(PathBuf::from("/nowhere")), "specs");
            let trial = trial(found, must, "fits", never);
            assert!(trial.name().contains("fits (no folder /nowhere"), "{}", trial.name());
            assert_eq!(trial.has_ignored_flag(), !must);
        }
        let here = within(Ok(env!("CARGO_MANIFEST_DIR").into()), "src/shared.rs");
        let trial = trial(here, false, "fits", never);
        assert_eq!((trial.name(), trial.has_ignored_flag()), ("fits", false));
    }
}
