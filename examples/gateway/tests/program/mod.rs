//! The program `tollgate`, started for one test.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;
use tokio::{
    io::AsyncReadExt,
    process::{Child, Command},
};

/// A folder of one test's own: where the program runs and keeps its data.
pub(super) fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{error}"),
        _ => fs::create_dir_all(&folder).unwrap(),
    }
    folder
}

/// The program in a folder, with an environment that says nothing but what is added to it.
pub(super) fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.current_dir(folder).args(args).env_clear().kill_on_drop(true);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the program to its end.
pub(super) async fn run(folder: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command(folder, args).output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// A program that serves.
pub(super) struct Gateway {
    pub(super) child: Child,
    /// What it said of itself.
    pub(super) banner: String,
}

impl Gateway {
    /// Starts simulated providers on a free port.
    pub(super) async fn demo(folder: &Path) -> Self {
        Self::start(command(folder, &["--demo", "--listen", "127.0.0.1:0"])).await
    }

    /// Starts the program and waits until it listens.
    pub(super) async fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.as_mut().unwrap();
        let mut said = Vec::new();
        // The banner is written at once and ends in an empty line after the last of its examples.
        while !(said.ends_with(b"\n\n") && String::from_utf8_lossy(&said).contains("\ncurl ")) {
            let n = stdout.read_buf(&mut said).await.unwrap();
            assert_ne!(n, 0, "ended: {}", String::from_utf8_lossy(&said));
        }
        Self { child, banner: String::from_utf8(said).unwrap() }
    }

    /// The address of a path of the gateway.
    pub(super) fn at(&self, path: &str) -> String {
        let (_, rest) = self.banner.split_once(" on http://").unwrap();
        format!("http://{}{path}", rest.lines().next().unwrap())
    }

    /// The key the banner shows.
    pub(super) fn key(&self) -> &str {
        self.banner.lines().map(str::trim).find(|line| line.starts_with("sk-")).unwrap()
    }

    /// Asks with this key.
    pub(super) async fn ask(&self, key: &str, method: Method, path: &str, body: &str) -> Answered {
        let request = Request::builder().method(method).uri(self.at(path));
        let request = request.header("authorization", format!("Bearer {key}"));
        whole(send(request.body(Full::from(body.to_owned())).unwrap()).await).await
    }

    /// Tells the program to end.
    pub(super) async fn terminate(&self) {
        let id = self.child.id().unwrap().to_string();
        let killed = Command::new("kill").args(["-TERM", &id]).status().await.unwrap();
        assert!(killed.success());
    }
}

/// An answer, whole.
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answered {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

/// Sends a request on a connection of its own.
pub(super) async fn send(request: Request<Full<Bytes>>) -> Response<Incoming> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    client.request(request).await.unwrap()
}

pub(super) async fn whole(response: Response<Incoming>) -> Answered {
    let (head, body) = response.into_parts();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    Answered { status: head.status, headers: head.headers, text }
}

/// A printed `curl` line, as a request.
pub(super) fn of_curl(line: &str) -> Request<Full<Bytes>> {
    let quoted = std::iter::successors(Some(("", line)), |(_, rest)| {
        let rest = &rest[rest.find(['\'', '"'])?..];
        rest[1..].split_once(&rest[..1])
    });
    let mut quoted = quoted.skip(1).map(|(quoted, _)| quoted);
    let mut request = Request::post(quoted.next().unwrap());
    for _ in line.matches(" -H ") {
        let (name, value) = quoted.next().unwrap().split_once(": ").unwrap();
        request = request.header(name, value);
    }
    request.body(Full::from(quoted.next().unwrap().to_owned())).unwrap()
}
