//! Unit tests, whole tests and doc tests.

use crate::run::{Step, cargo, run, works};

/// Runs every test of the workspace, then the examples in the docs.
pub(crate) fn all() -> Step {
    if works(cargo(&["nextest", "--version"])) {
        run(cargo(&["nextest", "run", "--workspace", "--all-features", "--no-fail-fast"]))?;
    } else {
        run(cargo(&["test", "--workspace", "--all-features", "--all-targets", "--no-fail-fast"]))?;
    }
    run(cargo(&["test", "--workspace", "--all-features", "--doc"]))
}
