//! `tollgate translate` as a process: single bodies, and the golden cases a line each.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use tollgate_testkit::shared_trial;
use tollgate_translate::case;

fn main() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/translate/tests/cases");
    let trials = vec![
        Trial::test("a_request_is_written_in_the_other_protocol", || done(request)),
        Trial::test("a_refused_request_fails_and_shows_the_refusal", || done(refused)),
        Trial::test("an_answer_gets_back_what_its_request_lost", || done(restored)),
        Trial::test("a_stream_is_translated_whole", || done(stream)),
        Trial::test("an_error_is_shown_as_the_clients_own", || done(error)),
        Trial::test("a_bad_line_gets_a_line_and_stops_nothing", || done(bad_lines)),
        Trial::test("our_cases_are_done_as_the_library_does_them", move || cases(&own)),
        shared_trial("protocols/cases", "shared_cases_are_done_as_the_library_does_them", cases),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn done(test: fn()) -> Result<(), Failed> {
    test();
    Ok(())
}

/// Runs the program: exit code, standard output, standard error.
fn run(args: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    program.arg("translate").args(args);
    program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut program = program.spawn().unwrap();
    let (mut stdin, input) = (program.stdin.take().unwrap(), input.to_owned());
    // A program that refuses its arguments ends before it has read: what it says is what counts.
    let writing = thread::spawn(move || match stdin.write_all(input.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    });
    let output = program.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A file of this test's own.
fn file(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).unwrap();
    path
}

const ASKED: &str = r#"{"model":"gpt-5","messages":[{"role":"user","content":"hi"}]}"#;

fn request() {
    let args = ["--from", "openai-chat", "--to", "anthropic-messages"];
    let (code, out, err) = run(&args, ASKED);
    assert_eq!(code, Some(0), "{err}");
    let sent: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&sent["model"], &sent["max_tokens"]), (&"gpt-5".into(), &8192.into()));
    assert!(err.contains("warning: default_filled:/max_completion_tokens"), "{err}");
    let caps = file("caps.json", r#"{"max_output_tokens":77}"#);
    let more = ["--caps", caps.to_str().unwrap(), "--model", "claude-x"];
    let (_, out, _) = run(&[&args[..], &more].concat(), ASKED);
    let sent: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&sent["model"], &sent["max_tokens"]), (&"claude-x".into(), &77.into()));
}

fn refused() {
    let body = ASKED.replace("\"gpt-5\"", "\"gpt-5\",\"n\":2");
    let (code, out, err) = run(&["--from", "openai-chat", "--to", "anthropic-messages"], &body);
    assert_eq!(code, Some(1));
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(shown["error"]["param"], "n");
    assert!(err.contains("refused with status 400"), "{err}");
    assert_eq!(run(&["--from", "openai-chat"], ASKED).0, Some(2), "both protocols are needed");
}

fn restored() {
    // A name with a dot is none at OpenAI's; the answer must have it again.
    let asked = r#"{"contents":[{"parts":[{"text":"hi"}]}],
        "tools":[{"functionDeclarations":[{"name":"a.b"}]}]}"#;
    let asked = file("asked.json", asked);
    let sent = run(
        &["--from", "gemini", "--to", "openai-chat", "--model", "m"],
        &fs::read_to_string(&asked).unwrap(),
    );
    let sent: Value = serde_json::from_str(&sent.1).unwrap();
    let name = sent["tools"][0]["function"]["name"].as_str().unwrap();
    assert_ne!(name, "a.b");
    let answer = format!(
        r#"{{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{{"index":0,
            "message":{{"role":"assistant","content":null,"tool_calls":[{{"id":"c1","type":"function",
            "function":{{"name":"{name}","arguments":"{{}}"}}}}]}},"finish_reason":"tool_calls"}}]}}"#
    );
    let args = ["--from", "openai-chat", "--to", "gemini", "--kind", "response", "--request"];
    let args = [&args[..], &[asked.to_str().unwrap()]].concat();
    let (code, out, err) = run(&args, &answer);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains(r#""name":"a.b""#), "{out}");
}

const STREAM: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Hello\"},\"finish_reason\":null}]}\n\ndata: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

fn stream() {
    let args = ["--from", "openai-chat", "--to", "anthropic-messages", "--kind", "stream"];
    let asked =
        r#"{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
    let asked = file("asked-stream.json", asked);
    let with = [&args[..], &["--request", asked.to_str().unwrap()]].concat();
    for args in [&args[..], &with] {
        let (code, out, err) = run(args, STREAM);
        assert_eq!(code, Some(0), "{err}");
        assert!(out.starts_with("event: message_start\n"), "{out}");
        assert!(out.contains("\"text\":\"Hello\"") && out.contains("event: message_stop"), "{out}");
    }
    let cut = STREAM.split("data: [DONE]").next().unwrap().replace("\"stop\"", "null");
    let (_, out, _) = run(&with, &cut);
    assert!(out.contains("event: error") && !out.contains("message_stop"), "{out}");
}

fn error() {
    let body =
        r#"{"error":{"message":"slow down","type":"rate_limit_error","param":null,"code":null}}"#;
    let args = ["--from", "openai-chat", "--to", "gemini", "--kind", "error", "--status", "429"];
    let (code, out, err) = run(&args, body);
    assert_eq!(code, Some(0), "{err}");
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(shown["error"]["status"], "RESOURCE_EXHAUSTED");
    assert!(err.contains("status: 429"), "{err}");
    let (_, out, _) =
        run(&["--from", "openai-chat", "--to", "gemini", "--kind", "error"], "<html>");
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(shown["error"]["status"], "INTERNAL");
}

fn bad_lines() {
    let good = format!(
        r#"{{"id":"7","kind":"request","from":"openai-chat","to":"gemini","input":{ASKED}}}"#
    );
    let input = format!("nonsense\n{{\"id\":\"b\",\"kind\":\"no\"}}\n\n[]\n{good}");
    let (code, out, err) = run(&["--case"], &input);
    assert_eq!(code, Some(0), "{err}");
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    assert!(lines[..3].iter().all(|line| line["error"].is_string()), "{out}");
    assert_eq!((&lines[1]["id"], &lines[3]["id"]), (&"b".into(), &"7".into()));
    assert!(lines[3]["body"].is_object() && lines[3]["path"].is_string());
}

/// Every case of a folder, each on a line of its own, in one process.
fn cases(folder: &Path) -> Result<(), Failed> {
    let files = fs::read_dir(folder)?.map(|file| file.map(|file| file.path()));
    let mut files = files.collect::<Result<Vec<_>, _>>()?;
    files.retain(|file| file.extension().is_some_and(|ending| ending == "json"));
    files.sort();
    let mut input = Vec::new();
    for file in &files {
        let mut asked: Value = serde_json::from_slice(&fs::read(file)?)?;
        let asked = asked.as_object_mut().ok_or("a case is an object")?;
        for told in ["expect", "match", "absent", "warnings", "pins", "title"] {
            asked.remove(told);
        }
        input.push(serde_json::to_string(asked)?);
    }
    let (code, out, err) = run(&["--case"], &input.join("\n"));
    assert_eq!(code, Some(0), "{err}");
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines.len(), input.len());
    assert!(lines.len() > 100, "{} cases", lines.len());
    for (asked, line) in input.iter().zip(lines) {
        assert_eq!(case::run(asked).map_err(|error| error.to_string()), Ok(line.to_owned()));
    }
    Ok(())
}
