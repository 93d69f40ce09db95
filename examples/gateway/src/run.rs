//! `serve` and `check`.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tollgate_gateway::{Config, Options, Readiness, SharedState, Source, serve as listen, stack};
use tollgate_keys::{FileKeys, NewKey};
use tollgate_sse::DeadlineLayer;
use tollgate_upstream::Upstream;

use crate::{Failed, banner, cli, demo};

/// Says whether the configuration is valid, and what it means.
pub(crate) fn check(options: &cli::Options) -> Result<(), Failed> {
    let config = config(options)?;
    config.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    print!("{}", banner::summary(&config));
    Ok(())
}

/// Serves until SIGTERM or SIGINT.
pub(crate) fn serve(options: &cli::Options) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(run(options));
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

async fn run(options: &cli::Options) -> Result<(), Failed> {
    let mut config = config(options)?;
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    if config.source == Source::Simulated {
        demo::start(&mut config).await?;
    }
    let stored = Arc::new(FileKeys::open(&options.data_dir)?);
    let first = first_key(&config, &stored)?;
    let listener = TcpListener::bind(&config.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", config.listen))?;
    let address = listener.local_addr()?;

    let readiness = Readiness::ready();
    let state = SharedState::new(config.state(stored.clone()));
    let service = stack(state, readiness.clone(), stack_options(&config), upstream(&config));
    print!("{}", banner::started(&config, address, first.as_ref(), &stored.path()));
    let cut = listen(listener, service, config.limits, stopped(readiness)?).await;
    if cut > 0 {
        tracing::warn!(connections = cut, "cut what had not ended in time");
    }
    Ok(())
}

/// The file that was named, else `tollgate.toml` if it is there, else nothing.
fn config(options: &cli::Options) -> Result<Config, Failed> {
    let usual = PathBuf::from("tollgate.toml");
    let path = options.config.clone().or_else(|| usual.exists().then_some(usual));
    let mut config = match path {
        Some(path) => Config::read(&path, options.demo)?,
        None => Config::parse("no file", "", options.demo)?,
    };
    if let Some(listen) = &options.listen {
        config.listen.clone_from(listen);
    }
    Ok(config)
}

/// Creates a client key where there is none at all yet.
fn first_key(config: &Config, stored: &FileKeys) -> Result<Option<tollgate_core::Secret>, Failed> {
    if !config.keys.is_empty() || !stored.list()?.is_empty() {
        return Ok(None);
    }
    let (key, _) = stored.create(NewKey::new("first"))?;
    Ok(Some(key))
}

fn stack_options(config: &Config) -> Options {
    let limits = config.deadlines;
    let mut deadlines = DeadlineLayer::new();
    if let Some(head) = limits.head {
        deadlines = deadlines.head(head);
    }
    if let Some(first_content) = limits.first_content {
        deadlines = deadlines.first_content(first_content);
    }
    if let Some(idle) = limits.idle {
        deadlines = deadlines.idle(idle);
    }
    Options { max_body: config.max_body, total: limits.total, deadlines }
}

fn upstream(config: &Config) -> Upstream {
    let builder = Upstream::builder();
    match config.deadlines.connect {
        Some(after) => builder.connect_deadline(after).build(),
        None => builder.build(),
    }
}

/// Becomes true at the first SIGTERM or SIGINT; the second ends the process at once.
fn stopped(readiness: Readiness) -> Result<watch::Receiver<bool>, Failed> {
    let (stop, stopped) = watch::channel(false);
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        tracing::info!("draining; a second signal ends at once");
        readiness.end();
        let _ = stop.send(true);
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        std::process::exit(130);
    });
    Ok(stopped)
}
