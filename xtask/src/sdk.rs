//! The official SDKs and coding tools through the gateway.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    run::{Step, cargo, debian, root, run, target, works},
    support,
};

/// Installs the pinned SDKs, frameworks and tools into folders of their own and runs them against
/// `tollgate --demo` and against strict providers; then holds the page of what works against that.
pub(crate) fn all() -> Step {
    // With the features of the suite, which has built them: others would compile all packages anew.
    run(cargo(&["build", "--workspace", "--all-features", "--bins", "--examples"]))?;
    let _ = fs::remove_dir_all(results());
    PYTHONS.iter().try_for_each(python)?;
    node()?;
    support::page(&results())
}

/// What the tests note, for the page.
pub(crate) fn results() -> PathBuf {
    target().join("sdk-results")
}

/// Tells tests which programs to run, and where the providers' schemas are if they are here.
fn programs(command: &mut Command) {
    command.env("TOLLGATE_BIN", target().join("debug/tollgate"));
    command.env("TOLLGATE_SIM", target().join("debug/examples/sim"));
    command.env("TOLLGATE_REPLAY", target().join("debug/examples/replay"));
    command.env("TOLLGATE_MATRIX", root().join("tests/sdk/matrix.json"));
    command.env("TOLLGATE_RESULTS", results());
    let shared = std::env::var_os("TOLLGATE_SHARED").map(PathBuf::from);
    let schemas = shared.unwrap_or_else(|| root().join("../shared")).join("specs");
    if let Ok(schemas) = schemas.canonicalize() {
        command.env("TOLLGATE_SCHEMAS", schemas);
    }
}

/// Python packages that can live together, and the tests that need them.
struct Python {
    folder: &'static str,
    requirements: &'static str,
    tests: &'static [&'static str],
}

const PYTHONS: [Python; 3] = [
    Python {
        folder: "sdk-python",
        requirements: "requirements.txt",
        tests: &[
            "test_openai.py",
            "test_anthropic.py",
            "test_gemini.py",
            "test_matrix.py",
            "test_failover.py",
            "test_recordings.py",
        ],
    },
    Python {
        folder: "sdk-frameworks",
        requirements: "requirements-frameworks.txt",
        tests: &["test_langchain.py", "test_pydantic_ai.py"],
    },
    Python {
        folder: "sdk-instructor",
        requirements: "requirements-instructor.txt",
        tests: &["test_instructor.py"],
    },
];

fn python(it: &Python) -> Step {
    let tests = root().join("tests/sdk/python");
    let venv = target().join(it.folder);
    let python = venv.join("bin/python");
    if !works(command(&python, &["--version"])) {
        make_venv(&venv)?;
    }
    install_packages(&python, &tests.join(it.requirements), &venv)?;
    let mut pytest = command(&python, &["-m", "pytest", "-q", "-p", "no:cacheprovider"]);
    pytest.args(it.tests.iter().map(|test| tests.join(test)));
    pytest.env("PYTHONDONTWRITEBYTECODE", "1");
    programs(&mut pytest);
    run(pytest)
}

/// Installs what is required, unless that is what is there already.
fn install_packages(python: &Path, requirements: &Path, venv: &Path) -> Step {
    let installed = venv.join("tollgate-requirements.txt");
    if fs::read(&installed).is_ok_and(|old| fs::read(requirements).is_ok_and(|new| old == new)) {
        return Ok(());
    }
    let mut install = command(python, &["-m", "pip", "install", "--quiet", "--requirement"]);
    install.arg(requirements);
    run(install)?;
    fs::copy(requirements, &installed).map(drop).map_err(|error| error.to_string())
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
    let mut test = within(&folder, "node", &["--test", "--test-reporter=spec"]);
    test.args(tests);
    programs(&mut test);
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
