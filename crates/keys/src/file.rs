use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use tollgate_core::{AllowedModels, KeyId, Principal, Secret};

use crate::{KeyHash, KeyRecord, KeyStore, MemoryKeys, generate};

/// Keys in one JSON file of a data directory, hashed: the keys themselves are nowhere.
///
/// The file is `keys.json`, readable by its owner only. A change locks `keys.lock`, reads the file
/// again, writes a new one beside it, syncs it and renames it into place: a crash leaves the old
/// file or the new one, and a command line and a running gateway can share a directory. What
/// another process changed is seen after [`FileKeys::reload`].
///
/// Lookups answer from memory. Everything else does blocking file I/O. Clones share the keys.
#[derive(Clone, Debug)]
pub struct FileKeys {
    dir: PathBuf,
    memory: MemoryKeys,
}

/// What a new key is to be.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct NewKey {
    /// The key's name, for people.
    pub name: String,
    /// Owners from the nearest outward: team, project, organisation.
    pub ancestry: Vec<Box<str>>,
    /// The models the key may use.
    pub models: AllowedModels,
    /// When the key ends, to the second; `None` for never.
    pub expires_at: Option<SystemTime>,
    /// What the key's owner attaches to it.
    pub metadata: BTreeMap<String, String>,
}

impl NewKey {
    /// Describes a key without owners and metadata that may use every model, for ever.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

impl FileKeys {
    /// Opens the keys of `dir`, which is made where it is missing. No file yet: no keys.
    ///
    /// Errors: the directory or the file cannot be read, or the file is not one of ours.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, KeyFileError> {
        let keys = Self { dir: dir.into(), memory: MemoryKeys::new() };
        fs::create_dir_all(&keys.dir).map_err(|e| KeyFileError::io(&keys.dir, "create", e))?;
        keys.reload()?;
        Ok(keys)
    }

    /// Reads the file again. On an error the keys in memory stay as they are.
    ///
    /// Errors: as [`FileKeys::open`].
    pub fn reload(&self) -> Result<(), KeyFileError> {
        self.publish(&self.read()?);
        Ok(())
    }

    /// Makes a key and returns it, for the only time, with its record.
    ///
    /// Errors: the file cannot be read or written; then there is no new key.
    pub fn create(&self, new: NewKey) -> Result<(Secret, Arc<KeyRecord>), KeyFileError> {
        let key = generate().map_err(|e| KeyFileError::io(&self.path(), "make a key for", e))?;
        let entry = Entry::new(KeyHash::of(&key), new);
        let record = Arc::new(entry.record());
        self.change(|keys| {
            keys.push(entry);
            true
        })?;
        Ok((key, record))
    }

    /// Returns the records in the order of their making, from the file.
    ///
    /// Errors: as [`FileKeys::open`].
    pub fn list(&self) -> Result<Vec<KeyRecord>, KeyFileError> {
        Ok(self.read()?.iter().map(Entry::record).collect())
    }

    /// Returns the keys' hashes with their records, in the order of their making, from the file:
    /// what another store needs to take them over.
    ///
    /// Errors: as [`FileKeys::open`].
    pub fn hashed(&self) -> Result<Vec<(KeyHash, KeyRecord)>, KeyFileError> {
        Ok(self.read()?.iter().map(|entry| (entry.hash.0, entry.record())).collect())
    }

    /// Switches a key off, or on again. Returns whether there is such a key.
    ///
    /// Errors: the file cannot be read or written; then nothing has changed.
    pub fn disable(&self, id: &KeyId, disabled: bool) -> Result<bool, KeyFileError> {
        self.change(|keys| {
            let found = keys.iter_mut().find(|entry| entry.id == id.as_str());
            found.map(|entry| entry.disabled = disabled).is_some()
        })
    }

    /// Removes a key for good. Returns whether there was such a key.
    ///
    /// Errors: the file cannot be read or written; then nothing has changed.
    pub fn revoke(&self, id: &KeyId) -> Result<bool, KeyFileError> {
        self.change(|keys| {
            let before = keys.len();
            keys.retain(|entry| entry.id != id.as_str());
            keys.len() < before
        })
    }

    /// The file's path.
    pub fn path(&self) -> PathBuf {
        self.dir.join("keys.json")
    }

    fn change(&self, edit: impl FnOnce(&mut Vec<Entry>) -> bool) -> Result<bool, KeyFileError> {
        let _lock = self.lock()?;
        let mut keys = self.read()?;
        let changed = edit(&mut keys);
        if changed {
            self.write(&keys)?;
        }
        self.publish(&keys);
        Ok(changed)
    }

    /// Locks out other writers, of this process and others, until the file is dropped.
    fn lock(&self) -> Result<File, KeyFileError> {
        let path = self.dir.join("keys.lock");
        let lock = private(OpenOptions::new().create(true).append(true)).open(&path);
        lock.and_then(|file| file.lock().map(|()| file))
            .map_err(|e| KeyFileError::io(&path, "lock", e))
    }

    fn read(&self) -> Result<Vec<Entry>, KeyFileError> {
        let path = self.path();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(KeyFileError::io(&path, "read", e)),
        };
        let stored: Stored<Vec<Entry>> =
            serde_json::from_slice(&text).map_err(|e| KeyFileError::format(&path, e))?;
        match stored.version {
            1 => Ok(stored.keys),
            other => Err(KeyFileError::format(&path, format!("unknown version {other}"))),
        }
    }

    fn write(&self, keys: &[Entry]) -> Result<(), KeyFileError> {
        let path = self.path();
        let temporary = self.dir.join("keys.json.new");
        let mut text = serde_json::to_vec_pretty(&Stored { version: 1, keys })
            .map_err(|e| KeyFileError::format(&path, e))?;
        text.push(b'\n');
        write_whole(&temporary, &text)
            .and_then(|()| fs::rename(&temporary, &path))
            .and_then(|()| sync_dir(&self.dir))
            .map_err(|e| KeyFileError::io(&path, "write", e))
    }

    fn publish(&self, keys: &[Entry]) {
        self.memory.replace(keys.iter().map(|entry| (entry.hash.0, Arc::new(entry.record()))));
    }
}

impl KeyStore for FileKeys {
    fn lookup(&self, hash: &KeyHash) -> Option<Arc<KeyRecord>> {
        self.memory.lookup(hash)
    }
}

/// Writes a file from scratch. One that a crash left behind is removed first: its mode may be
/// anything.
fn write_whole(path: &Path, text: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = private(OpenOptions::new().write(true).create_new(true)).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Makes a rename durable.
#[cfg(unix)]
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(not(unix))]
fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored<K> {
    version: u32,
    keys: K,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    name: String,
    hash: Hex,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ancestry: Vec<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    models: Option<Vec<Box<str>>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    disabled: bool,
    /// Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
}

impl Entry {
    fn new(hash: KeyHash, new: NewKey) -> Self {
        Self {
            id: format!("key_{}", &hash.to_hex()[..16]),
            name: new.name,
            hash: Hex(hash),
            ancestry: new.ancestry,
            models: new.models.patterns().map(<[_]>::to_vec),
            disabled: false,
            expires_at: new.expires_at.map(unix_seconds),
            metadata: new.metadata,
        }
    }

    fn record(&self) -> KeyRecord {
        let mut principal = Principal::new(KeyId::new(self.id.as_str()), self.name.as_str());
        principal.ancestry = self.ancestry.as_slice().into();
        principal.metadata = self.metadata.clone();
        if let Some(models) = &self.models {
            principal.models = AllowedModels::only(models.iter().cloned());
        }
        KeyRecord::new(principal).disabled(self.disabled).expires_at(self.end())
    }

    /// An end beyond what the clock can say is no end.
    fn end(&self) -> Option<SystemTime> {
        UNIX_EPOCH.checked_add(Duration::from_secs(self.expires_at?))
    }
}

fn unix_seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

struct Hex(KeyHash);

impl Serialize for Hex {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_hex())
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// The key file cannot be used. The text names the path and never holds a key.
#[derive(Debug)]
pub struct KeyFileError {
    path: PathBuf,
    what: &'static str,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl KeyFileError {
    fn io(path: &Path, what: &'static str, source: io::Error) -> Self {
        Self { path: path.to_owned(), what, source: source.into() }
    }

    fn format(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { path: path.to_owned(), what: "understand", source: source.into() }
    }

    /// The path of the file or directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.what, self.path.display(), self.source)
    }
}

impl std::error::Error for KeyFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of its own, removed with the value.
    struct Dir(PathBuf);

    impl Dir {
        fn new() -> Self {
            let name = format!("tollgate-keys-{}", tollgate_core::CallId::random());
            Self(std::env::temp_dir().join(name))
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_created_key_is_found_now_and_after_a_restart() {
        let dir = Dir::new();
        let keys = FileKeys::open(&dir.0).unwrap();
        let mut new = NewKey::new("dev");
        new.models = AllowedModels::only(["openai/*"]);
        new.ancestry = vec!["search".into()];
        new.expires_at = Some(UNIX_EPOCH + Duration::from_secs(4_000_000_000));
        let (key, record) = keys.create(new).unwrap();
        let hash = KeyHash::of(&key);
        assert_eq!(keys.lookup(&hash), Some(record.clone()));
        assert_eq!(FileKeys::open(&dir.0).unwrap().lookup(&hash), Some(record));
        assert_eq!(keys.list().unwrap().len(), 1);
        assert_eq!(keys.hashed().unwrap()[0].0, hash);
    }

    #[test]
    fn the_file_holds_no_key_and_is_its_owners_alone() {
        let dir = Dir::new();
        let keys = FileKeys::open(&dir.0).unwrap();
        let (key, _) = keys.create(NewKey::new("dev")).unwrap();
        let text = fs::read_to_string(keys.path()).unwrap();
        assert!(!text.contains(key.expose()) && text.contains(&KeyHash::of(&key).to_hex()));
        assert!(!format!("{keys:?}").contains(key.expose()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(keys.path()).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn disabling_and_revoking_take_effect_at_once() {
        let dir = Dir::new();
        let keys = FileKeys::open(&dir.0).unwrap();
        let (key, record) = keys.create(NewKey::new("dev")).unwrap();
        let (hash, id) = (KeyHash::of(&key), &record.principal.key);
        assert!(keys.disable(id, true).unwrap() && keys.lookup(&hash).unwrap().disabled);
        assert!(keys.disable(id, false).unwrap() && !keys.lookup(&hash).unwrap().disabled);
        assert!(keys.revoke(id).unwrap() && keys.lookup(&hash).is_none());
        assert!(!keys.revoke(id).unwrap());
    }

    #[test]
    fn two_writers_keep_each_others_keys() {
        let dir = Dir::new();
        let (one, two) = (FileKeys::open(&dir.0).unwrap(), FileKeys::open(&dir.0).unwrap());
        let (first, _) = one.create(NewKey::new("first")).unwrap();
        let (second, _) = two.create(NewKey::new("second")).unwrap();
        assert!(one.lookup(&KeyHash::of(&second)).is_none());
        one.reload().unwrap();
        assert!([first, second].iter().all(|key| one.lookup(&KeyHash::of(key)).is_some()));
    }

    #[test]
    fn a_broken_file_is_named_and_the_keys_in_memory_stay() {
        let dir = Dir::new();
        let keys = FileKeys::open(&dir.0).unwrap();
        let (key, _) = keys.create(NewKey::new("dev")).unwrap();
        for text in ["{", r#"{"version":2,"keys":[]}"#, r#"{"version":1,"keys":[],"x":1}"#] {
            fs::write(keys.path(), text).unwrap();
            let error = keys.reload().unwrap_err().to_string();
            assert!(error.contains("keys.json"), "{error}");
            assert!(keys.create(NewKey::new("x")).is_err());
        }
        assert!(keys.lookup(&KeyHash::of(&key)).is_some());
    }

    #[test]
    fn what_a_crash_left_behind_does_not_disturb() {
        let dir = Dir::new();
        let keys = FileKeys::open(&dir.0).unwrap();
        fs::write(dir.0.join("keys.json.new"), "half a fi").unwrap();
        keys.create(NewKey::new("dev")).unwrap();
        assert_eq!(FileKeys::open(&dir.0).unwrap().list().unwrap().len(), 1);
    }
}
