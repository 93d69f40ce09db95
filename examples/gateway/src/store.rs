//! The store's file: opened, kept up with, closed.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tollgate_gateway::StoreConfig;
use tollgate_keys::FileKeys;
use tollgate_store::{Options, SqliteStore, pending};

use crate::{Failed, cli, run};

/// How long the end waits for what is still to be written.
const LAST_CHARGES: Duration = Duration::from_secs(10);

fn file(config: &StoreConfig, data_dir: &Path) -> PathBuf {
    config.path.clone().unwrap_or_else(|| data_dir.join("tollgate.db"))
}

/// Opens the store, and takes over the keys an earlier version kept beside it.
pub(crate) fn open(config: &StoreConfig, data_dir: &Path) -> Result<SqliteStore, Failed> {
    std::fs::create_dir_all(data_dir)?;
    let options = Options::new().durability(config.durability);
    let store = SqliteStore::open(file(config, data_dir), options)?;
    if data_dir.join("keys.json").exists() {
        store.import(&FileKeys::open(data_dir)?)?;
    }
    Ok(store)
}

/// Takes over each second what other processes have changed.
pub(crate) async fn keep_up(store: SqliteStore) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        second.tick().await;
        let store = store.clone();
        let refreshed = tokio::task::spawn_blocking(move || store.refresh()).await;
        if let Ok(Err(error)) = refreshed {
            tracing::warn!(%error, "stored keys cannot be read; those known stay in force");
        }
    }
}

/// Writes what is left.
pub(crate) async fn close(store: SqliteStore) {
    let closed = tokio::task::spawn_blocking(move || store.close(LAST_CHARGES)).await;
    if !closed.unwrap_or(false) {
        tracing::error!("not every charge was written in time");
    }
}

/// Brings the store up to date, or says what is missing.
pub(crate) fn migrate(check: bool, options: &cli::Options) -> Result<(), Failed> {
    let config = run::config(options)?.store;
    let missing = pending(file(&config, &options.data_dir))?;
    missing.iter().for_each(|migration| println!("{migration}"));
    match (check, missing.len()) {
        (_, 0) => Ok(()),
        (true, n) => Err(format!("{n} migrations are to be applied").into()),
        (false, _) => open(&config, &options.data_dir).map(drop),
    }
}
