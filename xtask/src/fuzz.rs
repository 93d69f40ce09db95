//! The decoders of `tollgate-translate` under libFuzzer, on the stable compiler.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::run::{Step, cargo, root, run, rustc, target};

/// The fuzz targets, and the recordings each begins with.
const TARGETS: [(&str, &[&str]); 4] = [
    ("openai_chat", &["openai-chat", "other-openai-compatible"]),
    ("openai_responses", &["openai-responses"]),
    ("anthropic_messages", &["anthropic-messages"]),
    ("gemini", &["gemini"]),
];

/// The passes that tell libFuzzer which code an input reached.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Longest input, in bytes.
const LONGEST: usize = 16_000;

/// Runs each target for so many seconds. Default: 60. Inputs and failures are kept in the target
/// folder.
pub(crate) fn all(seconds: Option<String>) -> Step {
    let seconds = seconds.unwrap_or_else(|| "60".to_owned());
    let (host, built) = (host()?, target().join("fuzz"));
    let mut build = cargo(&["build", "--quiet", "--target", &host]);
    build.current_dir(root().join("crates/translate/fuzz"));
    build.env("CARGO_TARGET_DIR", &built).env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
    build.env("RUSTFLAGS", COVERAGE);
    run(build)?;
    for (name, folders) in TARGETS {
        let inputs = built.join("inputs").join(name);
        seed(&inputs, folders).map_err(|error| format!("{}: {error}", inputs.display()))?;
        let mut fuzz = Command::new(built.join(&host).join("debug").join(name));
        fuzz.arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={LONGEST}"));
        fuzz.args(["-timeout=20", "-verbosity=0", "-print_final_stats=1"]);
        fuzz.arg(&inputs).current_dir(&built);
        run(fuzz)?;
    }
    Ok(())
}

/// The machine's own target: with it named, build scripts and macros are built as ever.
fn host() -> Result<String, String> {
    let text = rustc(&["-vV"])?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc does not say which machine this is".to_owned())
}

/// Adds the bodies of recordings, streams as one event a line; none where there are none.
fn seed(inputs: &Path, folders: &[&str]) -> std::io::Result<()> {
    fs::create_dir_all(inputs)?;
    let shared = env::var_os("TOLLGATE_SHARED").map(PathBuf::from);
    let recorded = shared.unwrap_or_else(|| root().join("../shared")).join("fixtures/recorded");
    for folder in folders {
        for file in fs::read_dir(recorded.join(folder)).into_iter().flatten().flatten() {
            let recording: Value = serde_json::from_slice(&fs::read(file.path())?)?;
            let name = file.file_name().to_string_lossy().into_owned();
            for (part, body) in bodies(&recording).filter(|(_, body)| body.len() < LONGEST) {
                fs::write(inputs.join(format!("{name}.{part}")), body)?;
            }
        }
    }
    Ok(())
}

fn bodies(recording: &Value) -> impl Iterator<Item = (&'static str, String)> {
    let (asked, answer) = (&recording["request"]["body"], &recording["response"]);
    let lines = |raw: &str| {
        let data = raw.lines().filter_map(|line| line.strip_prefix("data:"));
        data.map(str::trim).collect::<Vec<_>>().join("\n")
    };
    let stream = answer["raw"].as_str().map(|raw| ("stream", lines(raw)));
    let whole = |name, body: &Value| (!body.is_null()).then(|| (name, body.to_string()));
    [stream, whole("answer", &answer["body"]), whole("request", asked)].into_iter().flatten()
}
