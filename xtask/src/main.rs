//! The project's own commands: `cargo xtask test | lint | sdk | bench | profile | soak | fuzz | catalogue`.
//!
//! Everything a command needs beyond Rust it installs or starts itself.

mod bench;
mod catalogue;
mod fuzz;
mod lint;
mod profile;
mod run;
mod sdk;
mod soak;
mod suite;
mod support;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test    everything: lint, unit and whole tests, doc tests, official SDKs and coding tools
  lint    format, clippy, docs, each crate alone with each of its features
  suite   unit, whole and doc tests only
  sdk     the official SDKs, frameworks and coding tools on every upstream only
  support docs/support.md alone, from what the last `sdk` noted
  bench   CPU, latency and memory over a bare hyper proxy; --quick, --gate, --only NAME
  profile rewrite pgo/gateway.profdata, by which releases are compiled, from the load of `bench`
  soak [ROWS]  the store killed 50 times, and `spend` over ten million charges
  fuzz [SECONDS]  the decoders under libFuzzer, each for a minute
  catalogue [FILE]  rewrite the built-in models and prices from a price file, showing each change;
          without FILE: prices/models.json in TOLLGATE_SHARED, else in ../shared
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let result = match command.as_str() {
        "test" => lint::all().and_then(|()| suite::all()).and_then(|()| sdk::all()),
        "lint" => lint::all(),
        "suite" => suite::all(),
        "sdk" => sdk::all(),
        "support" => support::page(&sdk::results()),
        "bench" => bench::all(&args.collect::<Vec<_>>()),
        "profile" => profile::refresh(),
        "soak" => soak::all(args.next()),
        "fuzz" => fuzz::all(args.next()),
        "catalogue" => catalogue::refresh(args.next()),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
