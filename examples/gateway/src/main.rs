//! `tollgate`: the gateway as a program.

mod banner;
mod cli;
mod demo;
mod explain;
mod keys;
mod price;
mod run;
mod spend;
mod store;
mod traces;
mod translate;

use std::process::ExitCode;

use clap::Parser;
use tollgate_gateway::Logs;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt};

use self::{
    cli::{Cli, Command},
    traces::Traces,
};

// About a hundred small allocations a request: this one needs a third of the instructions of
// glibc's, and gives memory back. It takes the place of `malloc` for everybody; as Rust's global
// allocator it would be asked for an alignment each time, which is a longer way. So it is only where
// nobody has tried the other.
#[cfg(target_os = "linux")]
use mimalloc as _;
#[cfg(not(target_os = "linux"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Why the program ends without success, as it is shown.
pub(crate) type Failed = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let (logs, traces) = match logs() {
        Ok(both) => both,
        Err(error) => {
            eprintln!("tollgate: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => run::serve(&cli.options),
        Command::Check => run::check(&cli.options),
        Command::Schema => {
            println!("{:#}", tollgate_gateway::schema());
            Ok(())
        }
        Command::Keys(command) => keys::run(command, &cli.options),
        Command::Spend(asked) => spend::run(&asked, &cli.options),
        Command::Migrate { check } => store::migrate(check, &cli.options),
        Command::Price(asked) => price::run(&asked, &cli.options),
        Command::Explain(asked) => explain::run(&asked, &cli.options),
        Command::Translate(asked) => translate::run(&asked),
    };
    if let Some(traces) = traces {
        traces.end();
    }
    if logs.dropped() > 0 {
        tracing::warn!(lines = logs.dropped(), "log lines were dropped: their sink was too slow");
    }
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tollgate: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is logged unless `RUST_LOG` says otherwise: attempts are spans for collectors of traces.
const USUAL: &str = "info,tollgate_meter=off";

/// Logs go to standard error; `RUST_LOG` says how much. Never bodies, never secrets. A slow sink
/// costs lines, never time.
fn logs() -> Result<(Logs, Option<Traces>), Failed> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(USUAL));
    let ansi = std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
    let (subscriber, logs) = Logs::to(std::io::stderr(), filter, ansi);
    // Fails only where another was set before, and this is the first thing the program does.
    let traces = Traces::from_env()?;
    let subscriber = subscriber.with(Traces::layer(traces.as_ref()));
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok((logs, traces))
}
