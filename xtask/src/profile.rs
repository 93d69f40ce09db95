//! The profile by which releases are compiled.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::run::{Step, cargo, root, run, rustc, target};

/// Builds a gateway that counts what it runs, puts it under the load of `bench`, and keeps the
/// counts in `pgo/` for the compiler that made them.
pub(crate) fn refresh() -> Step {
    let built = target().join("profile");
    let counts = built.join("counts");
    instrumented(&built, &counts)?;
    let mut load = cargo(&["build", "--release", "--quiet", "-p", "tollgate-bench", "--bins"]);
    load.env("RUSTC_WRAPPER", "");
    run(load)?;
    // Build scripts have counted, too.
    drop(fs::remove_dir_all(&counts));
    let mut train = Command::new(target().join("release/load"));
    train.current_dir(root()).args(["--quick", "--gateway"]).arg(built.join("release/tollgate"));
    run(train)?;
    merge(&counts, &root().join("pgo/gateway.profdata"))?;
    let compiler = rustc(&["--version"])?;
    let kept = fs::write(root().join("pgo/compiler"), compiler).map_err(|e| e.to_string());
    kept.and_then(|()| run(cargo(&["clean", "--release", "--quiet"])))
}

fn instrumented(built: &Path, counts: &Path) -> Step {
    let mut build = cargo(&["build", "--release", "--quiet", "-p", "tollgate-gateway", "--bins"]);
    build.env("CARGO_TARGET_DIR", built).env("RUSTC_WRAPPER", "");
    build.env("RUSTFLAGS", format!("-Cprofile-generate={}", counts.display()));
    run(build)
}

/// Makes one profile of all counts, also of what never ran: that is four fifths of it, and would
/// else be compiled as if it might.
fn merge(counts: &Path, into: &Path) -> Step {
    let mut install = Command::new("rustup");
    install.current_dir(root()).args(["component", "add", "llvm-tools"]);
    run(install)?;
    let mut merge = Command::new(llvm_profdata()?);
    merge.args(["merge", "-o"]).arg(into).arg(counts);
    run(merge)
}

/// The tool of the very LLVM that is in the compiler: others read other formats.
fn llvm_profdata() -> Result<PathBuf, String> {
    let library = rustc(&["--print", "target-libdir"])?;
    let beside = Path::new(library.trim()).parent().map(|folder| folder.join("bin/llvm-profdata"));
    beside
        .filter(|tool| tool.exists())
        .ok_or_else(|| "the compiler has no llvm-profdata".to_owned())
}
