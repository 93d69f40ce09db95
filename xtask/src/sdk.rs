//! The official SDKs and coding tools through the gateway.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::run::{Step, cargo, debian, root, run, target, works};

/// Installs the pinned SDKs and tools into folders of their own and runs them against
/// `tollgate --demo`.
pub(crate) fn all() -> Step {
    run(cargo(&["build", "--package", "tollgate-gateway", "--bin", "tollgate"]))?;
    python()?;
    node()
}

fn gateway() -> PathBuf {
    target().join("debug/tollgate")
}

fn python() -> Step {
    let tests = root().join("tests/sdk/python");
    let venv = target().join("sdk-python");
    let python = venv.join("bin/python");
    if !works(command(&python, &["--version"])) {
        make_venv(&venv)?;
    }
    let requirements = tests.join("requirements.txt");
    let mut install = command(&python, &["-m", "pip", "install", "--quiet", "--requirement"]);
    install.arg(&requirements);
    run(install)?;
    let mut pytest = command(&python, &["-m", "pytest", "-q", "-p", "no:cacheprovider"]);
    pytest.arg(&tests).env("TOLLGATE_BIN", gateway());
    pytest.env("PYTHONDONTWRITEBYTECODE", "1");
    run(pytest)
}

fn make_venv(venv: &Path) -> Step {
    let make = || {
        let mut make = Command::new("python3");
        make.args(["-m", "venv", "--clear"]).arg(venv);
        make
    };
    if works(make()) {
        return Ok(());
    }
    debian(&["python3", "python3-venv", "python3-pip"])?;
    run(make())
}

/// Modules are looked up from a file's own folder, so the tests run where the modules are.
fn node() -> Step {
    let folder = target().join("sdk-node");
    let tests = copy(&root().join("tests/sdk/node"), &folder)?;
    have_node(&folder)?;
    install_modules(&folder)?;
    let mut test = within(&folder, "node", &["--test"]);
    test.args(tests).env("TOLLGATE_BIN", gateway());
    run(test)
}

/// Copies the files and returns the names of those that are tests.
fn copy(from: &Path, to: &Path) -> Result<Vec<String>, String> {
    let failed = |error| format!("{}: {error}", to.display());
    fs::create_dir_all(to).map_err(failed)?;
    let mut tests = Vec::new();
    for file in fs::read_dir(from).map_err(failed)?.flatten() {
        fs::copy(file.path(), to.join(file.file_name())).map_err(failed)?;
        tests.extend(file.file_name().into_string().ok().filter(|n| n.ends_with(".test.js")));
    }
    tests.sort();
    Ok(tests)
}

fn have_node(folder: &Path) -> Step {
    let works_here = || {
        works(within(
            folder,
            "node",
            &["-e", "process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)"],
        )) && works(within(folder, "npm", &["--version"]))
    };
    if works_here() {
        return Ok(());
    }
    debian(&["nodejs", "npm"])?;
    if works_here() { Ok(()) } else { Err("the SDK tests need Node.js 20 or newer".to_owned()) }
}

/// Installs exactly what the lock names, unless that is what is there already.
///
/// No package's own scripts run: none of these needs them.
fn install_modules(folder: &Path) -> Step {
    let installed = folder.join("node_modules/.tollgate-lock.json");
    let lock = folder.join("package-lock.json");
    if fs::read(&installed).is_ok_and(|old| fs::read(&lock).is_ok_and(|new| old == new)) {
        return Ok(());
    }
    let quiet = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    run(within(folder, "npm", &quiet))?;
    fs::copy(&lock, &installed).map(drop).map_err(|error| format!("{}: {error}", lock.display()))
}

fn within(folder: &Path, program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).args(args);
    command
}

fn command(program: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).args(args);
    command
}
