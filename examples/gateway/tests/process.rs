//! The gateway as a process: signals, its files, another process on its port.

#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const KEY: &str = "sk-a-key-of-the-file-0123456789";

/// A directory of its own, removed with the value.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tollgate-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, address: SocketAddr, more: &str) {
        let text = format!(
            "[server]\nlisten = \"{address}\"\ndrain = \"500ms\"\n{more}\n\
             [[keys]]\nname = \"k\"\nkey = \"{KEY}\"\n"
        );
        fs::write(self.0.join("tollgate.toml"), text).unwrap();
    }

    fn start(&self) -> Process {
        self.start_with(&[])
    }

    fn start_with(&self, more: &[&str]) -> Process {
        let child = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .arg("--demo")
            .args(more)
            .args(["--config".into(), self.0.join("tollgate.toml")])
            .args(["--data-dir".into(), self.0.join("data")])
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.0.join("log")).unwrap())
            .spawn()
            .unwrap();
        Process(child)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.0.join("log")).unwrap()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Process(Child);

impl Process {
    fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args([format!("-{name}"), id]).status().unwrap().success());
    }

    fn ended(&mut self, within: Duration) -> ExitStatus {
        eventually(within, "the process ends", || self.0.try_wait().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn eventually<T>(within: Duration, what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(done) = check() {
            return done;
        }
        assert!(since.elapsed() < within, "not in time: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn ask(address: SocketAddr, request: &str) -> Result<String, String> {
    let mut socket = TcpStream::connect(address).map_err(|e| format!("unanswered: {e}"))?;
    socket.write_all(request.as_bytes()).map_err(|e| format!("unanswered: {e}"))?;
    let mut seen = String::new();
    match socket.read_to_string(&mut seen) {
        Err(error) if seen.is_empty() => Err(format!("unanswered: {error}")),
        Err(error) => Err(format!("read: {error}")),
        Ok(_) => Ok(seen),
    }
}

fn chat(key: &str, stream: bool) -> String {
    let body = format!(
        r#"{{"model":"openai/gpt-5","messages":[{{"role":"user","content":"x"}}],"stream":{stream}}}"#
    );
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {key}\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn status(address: SocketAddr, key: &str) -> Option<String> {
    ask(address, &chat(key, false)).ok()?.get(9..12).map(str::to_owned)
}

/// How long a loaded machine may take for what is done at once.
const SOON: Duration = Duration::from_secs(30);

fn up(address: SocketAddr) {
    eventually(SOON, "it answers", || status(address, KEY).filter(|status| status == "200"));
}

#[test]
fn fault_39_a_first_sigterm_drains_and_a_second_one_forces() {
    let (dir, address) = (Dir::new("39"), free_address());
    dir.write(address, "drain_delay = \"60s\"");
    let mut process = dir.start();
    up(address);
    process.signal("TERM");
    let ready = "GET /readyz HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    eventually(SOON, "it is not ready", || {
        ask(address, ready).ok().filter(|answer| answer.contains(" 503 "))
    });
    assert_eq!(status(address, KEY).as_deref(), Some("200"), "it serves for the delay");
    process.signal("TERM");
    assert_eq!(process.ended(SOON).code(), Some(130));

    dir.write(address, "");
    let mut process = dir.start();
    up(address);
    process.signal("TERM");
    assert_eq!(process.ended(SOON).code(), Some(0));
}

#[test]
fn fault_41_another_process_takes_over_without_a_failed_request() {
    let (dir, address) = (Dir::new("41"), free_address());
    dir.write(address, "");
    let mut first = dir.start();
    up(address);
    let done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..2)
        .map(|_| {
            let done = done.clone();
            thread::spawn(move || {
                let (mut whole, mut wrong) = (0, Vec::new());
                while !done.load(Ordering::Relaxed) {
                    match ask(address, &chat(KEY, true)) {
                        Ok(answer) if answer.contains("[DONE]") => whole += 1,
                        other => wrong.push(other),
                    }
                }
                (whole, wrong)
            })
        })
        .collect();
    let mut second = dir.start_with(&["--take-over"]);
    assert_eq!(first.ended(SOON).code(), Some(0), "it was relieved");
    thread::sleep(Duration::from_millis(200));
    done.store(true, Ordering::Relaxed);
    for client in clients {
        let (whole, wrong) = client.join().unwrap();
        assert!(whole > 0 && wrong.is_empty(), "{whole} whole, {wrong:?}");
    }
    second.signal("TERM");
    assert_eq!(second.ended(SOON).code(), Some(0));
}

#[test]
fn fault_49_files_are_read_again_on_a_signal_and_on_change() {
    let (dir, address) = (Dir::new("49"), free_address());
    dir.write(address, "");
    let mut process = dir.start();
    up(address);

    dir.write(address, "lisen = \"x\"");
    eventually(SOON, "it says what is wrong", || {
        dir.log().contains("did you mean `listen`?").then_some(())
    });
    assert!(dir.log().contains("tollgate.toml:4"), "{}", dir.log());
    assert_eq!(status(address, KEY).as_deref(), Some("200"), "the last good one is in force");

    dir.write(address, "max_body = 5\n[[keys]]\nname = \"other\"\nkey = \"sk-the-other-key\"");
    process.signal("HUP");
    eventually(SOON, "the other key is known", || {
        status(address, "sk-the-other-key").filter(|status| status == "200")
    });
    assert!(dir.log().contains("`server.max_body` changes when"), "{}", dir.log());

    let made = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["keys", "create", "third", "--data-dir"])
        .arg(dir.0.join("data"))
        .output()
        .unwrap();
    let line = String::from_utf8(made.stdout).unwrap();
    let key = line.trim().split('\t').next_back().unwrap();
    eventually(SOON, "a key made beside it is known", || {
        status(address, key).filter(|status| status == "200")
    });
    process.signal("TERM");
    assert_eq!(process.ended(SOON).code(), Some(0));
}

fn get(address: SocketAddr, path: &str) -> String {
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: h\r\nx-api-key: {KEY}\r\nconnection: close\r\n\r\n");
    ask(address, &request).unwrap()
}

#[test]
fn targets_are_counted_shown_and_explained() {
    let (dir, address) = (Dir::new("targets"), free_address());
    dir.write(address, "");
    let _process = dir.start();
    up(address);
    let counted =
        "tollgate_attempts_total{provider=\"openai\",model=\"gpt-5\",ending=\"complete\"}";
    eventually(SOON, "the attempt is counted", || {
        get(address, "/metrics").contains(counted).then_some(())
    });
    let shown = get(address, "/status/targets");
    assert!(shown.contains(r#""target":"openai/gpt-5""#), "{shown}");
    assert!(shown.contains(r#""state":"open""#), "{shown}");

    let mut explain = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["explain", "--demo", "--key", "k", "--config"])
        .arg(dir.0.join("tollgate.toml"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let asked = br#"{"model":"gpt-5","messages":[],"models":["anthropic/claude-haiku-4-5"]}"#;
    explain.stdin.take().unwrap().write_all(asked).unwrap();
    let explained = String::from_utf8(explain.wait_with_output().unwrap().stdout).unwrap();
    for line in
        ["key: k", "checked as openai/gpt-5", "1. openai/gpt-5", "2. anthropic/claude-haiku-4-5"]
    {
        assert!(explained.contains(line), "{line}: {explained}");
    }
}

/// Prices lines; returns what was said of each, and whether all went well.
fn priced(lines: &str) -> (Vec<serde_json::Value>, bool) {
    let mut price = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["price", "--jsonl"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    price.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = price.wait_with_output().unwrap();
    let said = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    (said.map(|line| serde_json::from_slice(line).unwrap()).collect(), output.status.success())
}

#[test]
fn a_line_that_cannot_be_priced_says_so_in_its_place() {
    let case = |id: &str, protocol: &str| {
        format!(
            r#"{{"id":"{id}","provider":"openai","model":"gpt-4o","protocol":"{protocol}","usage":{{"prompt_tokens":1000,"completion_tokens":0}}}}"#
        )
    };
    let lines = format!(
        "{}\nnot JSON\n{}\n{{\"id\":\"c\"}}\n\n{}",
        case("a", "openai-chat"),
        case("b", "no-protocol"),
        case("d", "openai-chat"),
    );
    let (said, well) = priced(&lines);
    let ids: Vec<_> = said.iter().map(|said| said["id"].as_str()).collect();
    assert_eq!(ids, [Some("a"), None, Some("b"), Some("c"), Some("d")]);
    let failed: Vec<_> = said.iter().map(|said| said["error"].is_string()).collect();
    assert_eq!(failed, [false, true, true, true, false]);
    assert!(!well && said[4]["total_usd"] == "0.0025");
    assert!(priced(&case("a", "openai-chat")).1);
}

#[test]
fn a_lines_own_members_tell_what_its_answer_does_not() {
    let lines = r#"{"id":"fee","provider":"openai","model":"gpt-4o","protocol":"openai-chat","usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0},"fees":{"web_search_per_1k":{"price":"10","qty":2}}}
{"id":"tier","provider":"openai","model":"gpt-5","protocol":"openai-chat","usage":{"prompt_tokens":1000,"completion_tokens":0},"variant":"flex"}"#;
    let (said, well) = priced(lines);
    assert!(well);
    assert_eq!(said[0]["total_usd"], "0.02");
    assert_eq!(said[1]["price"]["variant"], "flex");
}
