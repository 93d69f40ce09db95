//! Another configuration while the gateway runs.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use tollgate_keys::{FileKeys, KeyStore};
use tollgate_store::SqliteStore;

use crate::{
    config::{Config, ConfigError},
    counts::Counts,
    serve::Tls,
    state::SharedState,
};

/// Puts configurations in force: whole, or not at all. Requests under way keep the one they began
/// with; connections stay open.
#[derive(Clone, Debug)]
pub struct Reload {
    first: Arc<Config>,
    state: SharedState,
    stored: Arc<dyn StoredKeys>,
    tls: Option<Tls>,
    counts: Counts,
}

impl Reload {
    /// Returns what replaces `state`, which was made of `first` and the `stored` keys.
    pub fn new(first: Config, state: SharedState, stored: Arc<dyn StoredKeys>) -> Self {
        Self { first: Arc::new(first), state, stored, tls: None, counts: Counts::default() }
    }

    /// Sets the listener's certificates, which are read again too. Default: there are none.
    pub fn tls(mut self, tls: Option<Tls>) -> Self {
        self.tls = tls;
        self
    }

    /// Sets what counts reloads. Default: nobody looks.
    pub fn counts(mut self, counts: Counts) -> Self {
        self.counts = counts;
        self
    }

    /// Puts `next` in force, with the stored keys and the certificates as they are now on disk.
    ///
    /// Where anything is wrong, all stays as it was, and the log says what and where. What only a
    /// restart can change is logged too. Does blocking file I/O. Returns whether it is in force.
    pub fn apply(&self, next: Result<&Config, &ConfigError>) -> bool {
        let done = next.map_err(ToString::to_string).and_then(|next| self.put(next));
        self.counts.reload(done.is_ok());
        match done {
            Ok(()) => tracing::info!("the configuration was read again"),
            Err(ref error) => {
                tracing::error!(error, "the configuration stays as it was");
            }
        }
        done.is_ok()
    }

    fn put(&self, next: &Config) -> Result<(), String> {
        // First all that can fail.
        let certificates = match (&self.tls, &next.server.tls) {
            (Some(own), Some(files)) => Some((own, Tls::read(files).map_err(|e| e.to_string())?)),
            _ => None,
        };
        self.stored.reread()?;
        // Said before it is in force: who sees the new state finds the words about it in the log.
        self.say(next);
        self.state.replace(next.state_after(self.stored.clone(), &self.state.load()));
        if let Some((own, new)) = certificates {
            own.replace(&new);
        }
        Ok(())
    }

    fn say(&self, next: &Config) {
        next.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        for name in self.first.server.differences(&next.server) {
            tracing::warn!("`server.{name}` changes when the gateway is started again");
        }
    }
}

/// Client keys that are kept somewhere and may be changed there by others.
pub trait StoredKeys: KeyStore + std::fmt::Debug + Send + Sync {
    /// Takes over what others have changed.
    ///
    /// Errors: in words; what was known stays.
    fn reread(&self) -> Result<(), String>;
}

impl StoredKeys for FileKeys {
    fn reread(&self) -> Result<(), String> {
        self.reload().map_err(|error| error.to_string())
    }
}

impl StoredKeys for SqliteStore {
    fn reread(&self) -> Result<(), String> {
        self.refresh().map(drop).map_err(|error| error.to_string())
    }
}

/// Notices that files change.
#[derive(Debug, Default)]
pub struct Watched(Vec<(PathBuf, Option<Stamp>)>);

/// By what a file's contents are told from others without reading them.
type Stamp = (SystemTime, u64, u64);

impl Watched {
    /// Returns what notices changes from now on of these files, which need not exist.
    pub fn new(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let stamped = |path: PathBuf| {
            let stamp = stamp(&path);
            (path, stamp)
        };
        Self(files.into_iter().map(stamped).collect())
    }

    /// Notices changes of these files too, from now on of those it did not know.
    pub fn also(&mut self, files: impl IntoIterator<Item = PathBuf>) {
        for path in files {
            if self.0.iter().all(|(known, _)| *known != path) {
                let stamp = stamp(&path);
                self.0.push((path, stamp));
            }
        }
    }

    /// Whether a file is another one than when this was last asked. One that is not there or empty
    /// has not changed: whoever writes it is in the middle of it.
    pub fn changed(&mut self) -> bool {
        let mut changed = false;
        for (path, seen) in &mut self.0 {
            let now = stamp(path);
            if now.is_some() && now != *seen {
                (*seen, changed) = (now, true);
            }
        }
        changed
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(path).ok().filter(|metadata| metadata.len() > 0)?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_changes_when_it_is_written_or_replaced() {
        let dir = std::env::temp_dir().join(format!("tollgate-watched-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let (file, other) = (dir.join("a"), dir.join("b"));
        let mut watched = Watched::default();
        watched.also([file.clone(), file.clone()]);
        assert!(!watched.changed(), "it is not there");
        fs::write(&file, "").unwrap();
        assert!(!watched.changed(), "it is being written");
        fs::write(&file, "1").unwrap();
        assert!(watched.changed());
        assert!(!watched.changed(), "said once");
        fs::write(&file, "12").unwrap();
        assert!(watched.changed());
        fs::write(&other, "34").unwrap();
        fs::rename(&other, &file).unwrap();
        assert!(watched.changed(), "another file of the same length");
        fs::remove_file(&file).unwrap();
        assert!(!watched.changed());
        fs::remove_dir_all(dir).unwrap();
    }
}
