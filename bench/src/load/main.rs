//! `load`: compares the gateway with the bare proxy and prints ratios.
//!
//! Both programs run on one core, simulated providers and this load generator on another. Every
//! measure is taken in rounds that alternate between the two programs, and a ratio is the median of
//! the rounds' ratios: what else happens on the machine disturbs both sides of a round. CPU is user
//! and system time of the program's threads as the scheduler counts it.

mod ask;
mod client;
mod process;
mod report;
mod scenario;
mod side;
mod stats;

use std::{env, fs, path::PathBuf, process::ExitCode};

use clap::Parser;
use tollgate_sim::Sim;

use self::{
    report::Row,
    scenario::Effort,
    side::{Bench, simulate},
};

/// Why the run ends early, as it is shown.
pub(crate) type Failed = Box<dyn std::error::Error>;

/// Compares the gateway with a bare hyper reverse proxy in the same run.
#[derive(Debug, Parser)]
#[command(name = "load")]
struct Options {
    /// Fewer and shorter rounds: under two minutes.
    #[arg(long)]
    quick: bool,
    /// Fail when a gate is missed.
    #[arg(long)]
    gate: bool,
    /// Only what has this in its name: json, latency, stream, slow,
    /// failing, start or translated.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// The gateway. Default: `tollgate` beside this program.
    #[arg(long, value_name = "PROGRAM")]
    gateway: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(rows) if options.gate && !rows.iter().all(Row::holds) => ExitCode::FAILURE,
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<Vec<Row>, Failed> {
    let pinned = process::pin_self();
    if !pinned {
        println!("nothing is pinned: this needs `taskset` and two cores");
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().event_interval(8).build()?;
    runtime.block_on(async {
        let bench = bench(options, pinned).await?;
        let effort = if options.quick { Effort::QUICK } else { Effort::FULL };
        report::heading();
        scenario::all(&bench, &effort, options.only.as_deref()).await
    })
}

async fn bench(options: &Options, pinned: bool) -> Result<Bench, Failed> {
    let me = env::current_exe()?;
    let files = env::temp_dir().join(format!("tollgate-bench-{}", std::process::id()));
    fs::create_dir_all(&files)?;
    Ok(Bench {
        bare: me.with_file_name("bare-proxy"),
        gateway: options.gateway.clone().unwrap_or_else(|| me.with_file_name("tollgate")),
        files,
        pinned,
        apart: simulate(Sim::new().with_write_per_event()).await?,
        together: simulate(Sim::new()).await?,
    })
}
