//! What can be said of the code without running it.

use std::process::Command;

use crate::run::{Step, cargo, quietly};

/// Format, clippy, docs, and each crate alone with each of its features.
pub(crate) fn all() -> Step {
    quietly(cargo(&["fmt", "--all", "--check"]))?;
    let clippy =
        ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    quietly(cargo(&clippy))?;
    quietly(docs())?;
    each_alone()
}

fn docs() -> Command {
    let mut docs = cargo(&["doc", "--workspace", "--no-deps", "--all-features"]);
    docs.env("RUSTDOCFLAGS", "-D warnings");
    docs
}

/// A feature only adds: without any, and with each one alone, a crate must build.
fn each_alone() -> Step {
    for (package, features) in packages()? {
        quietly(cargo(&["check", "--quiet", "-p", &package, "--no-default-features"]))?;
        for feature in features.iter().filter(|feature| *feature != "default") {
            let mut alone = cargo(&["check", "--quiet", "-p", &package, "--no-default-features"]);
            alone.args(["--features", feature]);
            quietly(alone)?;
        }
    }
    Ok(())
}

/// The workspace's packages with the names of their features, read from the manifests.
fn packages() -> Result<Vec<(String, Vec<String>)>, String> {
    let crates = crate::run::root().join("crates");
    let folders = std::fs::read_dir(&crates).map_err(|error| format!("crates/: {error}"))?;
    let mut packages = Vec::new();
    for folder in folders.flatten() {
        let manifest = folder.path().join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest)
            .map_err(|error| format!("{}: {error}", manifest.display()))?;
        packages.push((field(&text, "name"), features(&text)));
    }
    packages.sort();
    Ok(packages)
}

fn field(manifest: &str, name: &str) -> String {
    let line = manifest.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim_start_matches([' ', '=']).trim_matches('"').to_owned()
}

fn features(manifest: &str) -> Vec<String> {
    let after = manifest.split_once("\n[features]\n").map(|(_, rest)| rest).unwrap_or_default();
    let section = after.split("\n[").next().unwrap_or_default();
    section
        .lines()
        .filter_map(|line| line.split_once(" = "))
        .map(|(key, _)| key.to_owned())
        .collect()
}
