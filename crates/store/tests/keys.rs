//! Virtual keys in the store.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::{Duration, UNIX_EPOCH};

use tollgate_core::{AllowedModels, Secret};
use tollgate_keys::{FileKeys, KeyHash, KeyStore, NewKey};
use tollgate_store::{Options, SqliteStore};

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self) -> SqliteStore {
        SqliteStore::open(self.0.path().join("tollgate.db"), Options::new()).unwrap()
    }
}

fn full() -> NewKey {
    let mut new = NewKey::new("dev");
    new.ancestry = vec!["search".into(), "research".into()];
    new.models = AllowedModels::only(["openai/*", "fast"]);
    new.expires_at = Some(UNIX_EPOCH + Duration::from_millis(4_000_000_000_500));
    new.metadata = [("cost-centre".to_owned(), "7".to_owned())].into();
    new
}

fn known(store: &SqliteStore, key: &Secret) -> bool {
    store.lookup(&KeyHash::of(key)).is_some()
}

#[test]
fn a_created_key_is_found_now_and_after_a_restart_with_all_that_was_said_of_it() {
    let place = Place::new();
    let store = place.open();
    let (key, record) = store.create(full()).unwrap();
    let (open, _) = store.create(NewKey::new("all")).unwrap();
    assert_eq!(store.lookup(&KeyHash::of(&key)), Some(record.clone()));
    drop(store);
    let store = place.open();
    assert_eq!(store.lookup(&KeyHash::of(&key)), Some(record.clone()));
    assert!(store.lookup(&KeyHash::of(&open)).unwrap().principal.models.is_all());
    let names: Vec<_> = store.list().unwrap().iter().map(|r| r.principal.name.clone()).collect();
    assert_eq!(names, ["dev".into(), "all".into()]);
    assert_eq!(store.list().unwrap()[0], *record);
}

#[test]
fn an_empty_list_of_models_still_allows_nothing_after_a_restart() {
    let place = Place::new();
    let mut new = NewKey::new("none");
    new.models = AllowedModels::only([""; 0]);
    let (key, _) = place.open().create(new).unwrap();
    let record = place.open().lookup(&KeyHash::of(&key)).unwrap();
    assert!(!record.principal.models.allows("openai/gpt-5"));
}

#[test]
fn the_files_hold_no_key_and_are_their_owners_alone() {
    let place = Place::new();
    let store = place.open();
    let (key, _) = store.create(full()).unwrap();
    assert!(!format!("{store:?}").contains(key.expose()));
    for file in std::fs::read_dir(place.0.path()).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let key = key.expose().as_bytes();
        assert!(!bytes.windows(key.len()).any(|window| window == key), "{}", path.display());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        }
    }
}

#[test]
fn disabling_and_revoking_take_effect_at_once() {
    let place = Place::new();
    let store = place.open();
    let (key, record) = store.create(NewKey::new("dev")).unwrap();
    let (hash, id) = (KeyHash::of(&key), &record.principal.key);
    assert!(store.disable(id, true).unwrap() && store.lookup(&hash).unwrap().disabled);
    assert!(store.disable(id, false).unwrap() && !store.lookup(&hash).unwrap().disabled);
    assert!(store.revoke(id).unwrap() && store.lookup(&hash).is_none());
    assert!(!store.revoke(id).unwrap() && !store.disable(id, true).unwrap());
    assert_eq!(store.list().unwrap(), []);
}

#[test]
fn what_another_process_changes_is_seen_after_a_refresh() {
    let place = Place::new();
    let (one, two) = (place.open(), place.open());
    assert!(!two.refresh().unwrap());
    let (key, record) = one.create(NewKey::new("dev")).unwrap();
    assert!(!known(&two, &key));
    assert!(two.refresh().unwrap() && known(&two, &key));
    assert!(!two.refresh().unwrap());
    one.revoke(&record.principal.key).unwrap();
    assert!(two.refresh().unwrap() && !known(&two, &key));
}

#[test]
fn charges_alone_change_no_keys() {
    use tollgate_meter::Ledger;
    let place = Place::new();
    let (one, two) = (place.open(), place.open());
    let charge = tollgate_meter::Charge::new(
        tollgate_core::CallId::random(),
        UNIX_EPOCH,
        tollgate_core::Protocol::Gemini,
        tollgate_core::Operation::Generate,
    );
    drop(one.record(charge));
    assert!(one.flush(Duration::from_secs(30)));
    assert!(!two.refresh().unwrap());
}

#[test]
fn keys_of_a_file_are_taken_over_once() {
    let place = Place::new();
    let file = FileKeys::open(place.0.path()).unwrap();
    let store = place.open();
    assert_eq!(store.import(&file).unwrap(), 0, "nothing to import is not an import");
    let (key, record) = file.create(full()).unwrap();
    let (off, disabled) = file.create(NewKey::new("off")).unwrap();
    file.disable(&disabled.principal.key, true).unwrap();
    assert_eq!(store.import(&file).unwrap(), 2);
    assert_eq!(store.lookup(&KeyHash::of(&key)), Some(record.clone()));
    assert!(store.lookup(&KeyHash::of(&off)).unwrap().disabled);
    store.revoke(&record.principal.key).unwrap();
    assert_eq!(place.open().import(&file).unwrap(), 0);
    assert!(!known(&place.open(), &key), "what was revoked stays revoked");
}
