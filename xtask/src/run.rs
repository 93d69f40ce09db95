//! Running other programs.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

/// What a step of a command gives: nothing, or what to tell the user.
pub(crate) type Step = Result<(), String>;

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().expect("xtask lives in the workspace's root").to_owned()
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Returns a cargo command in the workspace's root.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root()).args(args);
    if std::env::var_os("CI").is_some() {
        // Nothing is built twice there, and what would speed that up takes gigabytes.
        command.env("CARGO_INCREMENTAL", "0");
    }
    command
}

/// What the workspace's compiler says of itself.
pub(crate) fn rustc(args: &[&str]) -> Result<String, String> {
    let output = Command::new("rustc").current_dir(root()).args(args).output();
    let output = output.map_err(|error| format!("cannot run `rustc`: {error}"))?;
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}

/// Runs a command to its end, shows what it is, what it prints and how long it took.
pub(crate) fn run(mut command: Command) -> Step {
    let shown = shown(&command);
    println!("\n$ {shown}");
    let started = Instant::now();
    let status = command.status().map_err(|error| format!("cannot run `{shown}`: {error}"))?;
    println!("# {:.1} s", started.elapsed().as_secs_f64());
    if status.success() { Ok(()) } else { Err(format!("failed: {shown}")) }
}

/// Runs a command to its end in one line; shows what it prints only when it fails.
pub(crate) fn quietly(mut command: Command) -> Step {
    let shown = shown(&command);
    let started = Instant::now();
    let output = command.output().map_err(|error| format!("cannot run `{shown}`: {error}"))?;
    println!("{:>6.1} s  {shown}", started.elapsed().as_secs_f64());
    if output.status.success() {
        return Ok(());
    }
    print!("{}", String::from_utf8_lossy(&output.stdout));
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    Err(format!("failed: {shown}"))
}

/// Whether a command can be run and says yes, without showing what it prints.
pub(crate) fn works(mut command: Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Installs Debian packages where the machine lacks them.
pub(crate) fn debian(packages: &[&str]) -> Step {
    let mut update = Command::new("apt-get");
    update.args(["update", "-qq"]);
    run(update)?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "-qq", "--no-install-recommends"]).args(packages);
    install.env("DEBIAN_FRONTEND", "noninteractive");
    run(install)
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let args = command.get_args().map(|arg| arg.to_string_lossy().into_owned());
    let words: Vec<_> = [program.to_string_lossy().into_owned()].into_iter().chain(args).collect();
    words.join(" ")
}
