//! `tollgate keys`: the stored client keys.

use tollgate_core::{AllowedModels, KeyId};
use tollgate_keys::NewKey;
use tollgate_store::SqliteStore;

use crate::{
    Failed,
    cli::{self, Keys},
    store,
};

/// Carries out a command on the stored keys. A running gateway takes it up within a second.
pub(crate) fn run(command: Keys, options: &cli::Options) -> Result<(), Failed> {
    let keys = store::open(&crate::run::config(options)?.store, &options.data_dir)?;
    match command {
        Keys::Create { name, models } => create(&keys, name, models),
        Keys::List => list(&keys),
        Keys::Disable { id } => found(&id, keys.disable(&KeyId::new(id.as_str()), true)?),
        Keys::Revoke { id } => found(&id, keys.revoke(&KeyId::new(id.as_str()))?),
    }
}

fn create(keys: &SqliteStore, name: String, models: Vec<String>) -> Result<(), Failed> {
    let mut new = NewKey::new(name);
    if !models.is_empty() {
        new.models = AllowedModels::only(models);
    }
    let (key, record) = keys.create(new)?;
    println!("{}\t{}", record.principal.key, key.expose());
    Ok(())
}

fn list(keys: &SqliteStore) -> Result<(), Failed> {
    for record in keys.list()? {
        let state = if record.disabled { "disabled" } else { "active" };
        println!("{}\t{}\t{state}", record.principal.key, record.principal.name);
    }
    Ok(())
}

fn found(id: &str, found: bool) -> Result<(), Failed> {
    if found { Ok(()) } else { Err(format!("no key `{id}`").into()) }
}
