//! `tollgate`: the gateway as a program.

mod banner;
mod cli;
mod demo;
mod keys;
mod run;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use self::cli::{Cli, Command};

/// Why the program ends without success, as it is shown.
pub(crate) type Failed = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    logs();
    let done = match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => run::serve(&cli.options),
        Command::Check => run::check(&cli.options),
        Command::Keys(command) => keys::run(command, &cli.options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tollgate: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Logs go to standard error; `RUST_LOG` says how much. Never bodies, never secrets.
fn logs() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
