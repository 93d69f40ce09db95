//! The official SDKs through the gateway.

use std::{path::PathBuf, process::Command};

use crate::run::{Step, cargo, debian, root, run, target, works};

/// Installs the pinned SDKs into a folder of their own and runs them against `tollgate --demo`.
pub(crate) fn all() -> Step {
    run(cargo(&["build", "--package", "tollgate-gateway", "--bin", "tollgate"]))?;
    python()
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
    pytest.arg(&tests).env("TOLLGATE_BIN", target().join("debug/tollgate"));
    pytest.env("PYTHONDONTWRITEBYTECODE", "1");
    run(pytest)
}

fn make_venv(venv: &PathBuf) -> Step {
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

fn command(program: &PathBuf, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).args(args);
    command
}
