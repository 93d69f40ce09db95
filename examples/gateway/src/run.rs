//! `serve` and `check`.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, lookup_host},
    signal::unix::{Signal as Hangup, SignalKind, signal},
    sync::{Notify, watch},
    time::MissedTickBehavior,
};
use tollgate_fallback::FallbackLayer;
use tollgate_gateway::{
    Books, Config, ConfigError, Counts, Discovery, Leaf, Measures, Offer, Options, Predecessor,
    Readiness, Reload, Server, ServerConfig, SharedState, Signal, Tls, Watched, bind, stack,
};
use tollgate_keys::NewKey;
use tollgate_meter::Metrics;
use tollgate_store::SqliteStore;

use crate::{Failed, banner, cli, demo::Demo, store};

/// Says whether the configuration is valid, and what it means.
pub(crate) fn check(options: &cli::Options) -> Result<(), Failed> {
    let config = config(options)?;
    config.server.tls.as_ref().map(Tls::read).transpose()?;
    config.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    print!("{}", banner::summary(&config));
    Ok(())
}

/// Serves until SIGTERM or SIGINT.
pub(crate) fn serve(options: &cli::Options) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(run(options));
    runtime.shutdown_timeout(Duration::from_millis(100));
    done
}

async fn run(options: &cli::Options) -> Result<(), Failed> {
    let demo = Demo::default();
    let mut config = config(options)?;
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    demo.fill(&mut config).await?;
    let stored = store::open(&config.store, &options.data_dir)?;
    let first = first_key(&config, &stored)?;
    let tls = config.server.tls.as_ref().map(Tls::read).transpose()?;
    let ServerConfig { listen, limits, .. } = &config.server;
    let door = options.data_dir.join("listener.sock");
    let (listener, predecessor) = match options.take_over {
        true => take_over(&door, listen).await?,
        false => (own_listener(listen).await?, None),
    };
    let address = listener.local_addr()?;

    let (readiness, counts, cut) = (Readiness::ready(), Counts::default(), Signal::new());
    let state = SharedState::new(config.state(Arc::new(stored.clone())));
    let fallback = FallbackLayer::new(state.load().board.clone());
    let measures = Measures::install(counts.clone(), fallback.counts(), stored.clone())?;
    let edge = Options {
        measures: Some(measures),
        books: Books::Store(Metrics::new(stored.clone())),
        fallback: Some(fallback.clone()),
        ..stack_options(&config.server, &counts, &cut)
    };
    let background = edge.background.clone();
    let service = stack(state.clone(), readiness.clone(), edge, Leaf::new(state.clone()));
    let drain = limits.drain;
    let server = Server::new(*limits)
        .counts(counts.clone())
        .cut(cut)
        .tls(tls.clone())
        .trusted_proxies(config.server.trusted_proxies.iter().copied());
    let offer = Offer::new(&door, &listener);
    let stop = stopped(readiness, offer)?;
    print!("{}", banner::started(&config, address, first.as_ref(), stored.path()));
    let files = watched(options, &config);
    let discovery = Discovery::new(state.clone(), Leaf::new(state.clone()));
    let again = Arc::new(Notify::new());
    tokio::spawn(discovery.run(again.clone()));
    let reload = Reload::new(config, state, Arc::new(stored.clone())).tls(tls).counts(counts);
    let hangup = signal(SignalKind::hangup())?;
    tokio::spawn(keep_up((reload, again), files, options.clone(), demo, hangup));
    tokio::spawn(store::keep_up(stored.clone()));
    if let Some(predecessor) = predecessor {
        predecessor.relieve().await?;
    }
    let cut = server.serve(listener, service, stop).await;
    if cut > 0 {
        tracing::warn!(connections = cut, "cut what had not ended in time");
    }
    background.close();
    let _ = tokio::time::timeout(drain, background.wait()).await;
    store::close(stored).await;
    Ok(())
}

/// The listener a service manager passed on, else one of our own.
async fn own_listener(listen: &str) -> Result<TcpListener, Failed> {
    if let Some(passed) = listenfd::ListenFd::from_env().take_tcp_listener(0)? {
        passed.set_nonblocking(true)?;
        return Ok(TcpListener::from_std(passed)?);
    }
    let failed = |error| format!("cannot listen on {listen}: {error}");
    Ok(bind(listen).await.map_err(failed)?)
}

/// The running gateway's listener, if it is the one the configuration wants.
async fn take_over(
    door: &Path,
    listen: &str,
) -> Result<(TcpListener, Option<Predecessor>), Failed> {
    let nobody = |error| format!("no gateway offers its listener at {}: {error}", door.display());
    let (listener, predecessor) = Predecessor::at(door).await.map_err(nobody)?;
    let address = listener.local_addr()?;
    if !lookup_host(listen).await?.any(|wanted| wanted == address) {
        return Err(format!("the running gateway listens on {address}, not on {listen}").into());
    }
    Ok((listener, Some(predecessor)))
}

/// Puts the configuration in force again at every SIGHUP and whenever one of `files` changes.
async fn keep_up(
    (reload, again): (Reload, Arc<Notify>),
    mut files: Watched,
    options: cli::Options,
    demo: Demo,
    mut hangup: Hangup,
) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = hangup.recv() => { files.changed(); }
            _ = second.tick() => if !files.changed() { continue },
        }
        let mut next = config(&options);
        if let Ok(config) = &mut next
            && let Err(error) = demo.fill(config).await
        {
            tracing::error!(error, "the simulated providers cannot be started");
            continue;
        }
        if tokio::task::block_in_place(|| reload.apply(next.as_ref())) {
            again.notify_one();
            files.also(next.into_iter().flat_map(|config| config.files));
        }
    }
}

/// The files a configuration is made of.
fn watched(options: &cli::Options, config: &Config) -> Watched {
    let tls = config.server.tls.iter();
    let tls = tls.flat_map(|tls| [&tls.cert, &tls.key].into_iter().chain(&tls.client_ca));
    let files = file(options).into_iter().chain(tls.cloned());
    let files = files.chain(config.files.iter().cloned());
    Watched::new(files)
}

/// The file that was named, else `tollgate.toml` if it is there.
pub(crate) fn file(options: &cli::Options) -> Option<PathBuf> {
    let usual = PathBuf::from("tollgate.toml");
    options.config.clone().or_else(|| usual.exists().then_some(usual))
}

/// What the file says, or zero configuration, under the command line's last word.
pub(crate) fn config(options: &cli::Options) -> Result<Config, ConfigError> {
    let mut config = match file(options) {
        Some(path) => Config::read(&path, options.demo)?,
        None => Config::parse("no file", "", options.demo)?,
    };
    if let Some(listen) = &options.listen {
        config.server.listen.clone_from(listen);
    }
    Ok(config)
}

/// Creates a client key where there is none at all yet.
fn first_key(
    config: &Config,
    stored: &SqliteStore,
) -> Result<Option<tollgate_core::Secret>, Failed> {
    if !config.keys.is_empty() || !stored.list()?.is_empty() {
        return Ok(None);
    }
    let (key, _) = stored.create(NewKey::new("first"))?;
    Ok(Some(key))
}

fn stack_options(server: &ServerConfig, counts: &Counts, cut: &Signal) -> Options {
    Options {
        access_log: server.access_log,
        max_body: server.max_body,
        max_requests: server.max_requests,
        origins: server.origins.clone(),
        cut: cut.clone(),
        counts: counts.clone(),
        ..Options::default()
    }
}

/// Becomes true at the first SIGTERM or SIGINT, or when a successor has the listener; the second ends the process at once.
fn stopped(
    readiness: Readiness,
    offer: io::Result<Offer>,
) -> Result<watch::Receiver<bool>, Failed> {
    let (stop, stopped) = watch::channel(false);
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        let taken = async {
            match offer {
                Ok(offer) => offer.taken().await,
                Err(error) => {
                    tracing::warn!(%error, "nobody will be able to take this listener over");
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {}, () = taken => {} }
        tracing::info!("draining; a second signal ends at once");
        readiness.end();
        let _ = stop.send(true);
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        std::process::exit(130);
    });
    Ok(stopped)
}
