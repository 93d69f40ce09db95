//! What the gateway costs over a bare proxy.

use std::process::Command;

use crate::run::{Step, cargo, root, run, target};

/// Builds gateway, bare proxy and load generator as they are released, then compares.
pub(crate) fn all(options: &[String]) -> Step {
    let packages = ["-p", "tollgate-bench", "-p", "tollgate-gateway", "--bins"];
    let mut build = cargo(&["build", "--release", "--quiet"]);
    build.args(packages);
    run(build)?;
    let mut load = Command::new(target().join("release/load"));
    load.current_dir(root()).args(options);
    run(load)
}
