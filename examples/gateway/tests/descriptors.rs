//! A listener that may open no more files.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "not every test needs all of the program")]

mod program;

use std::{fs, net::SocketAddr, process::Stdio, time::Duration};

use http::Method;
use tokio::{
    net::TcpStream,
    process::Command,
    time::{sleep, timeout},
};

use self::program::{Gateway, folder};

/// Hundredths of a second the process has worked.
fn worked(id: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let (_, after_name) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<_> = after_name.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[tokio::test]
async fn fault_58_out_of_file_descriptors_the_listener_waits_and_goes_on() {
    let folder = folder("descriptors");
    let mut command = Command::new("/bin/sh");
    let script = "ulimit -n 48; exec \"$0\" --demo --listen 127.0.0.1:0";
    command.args(["-c", script, env!("CARGO_BIN_EXE_tollgate")]).current_dir(&folder);
    command.env_clear().kill_on_drop(true).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut gateway = Gateway::start(command).await;
    let address: SocketAddr = gateway.at("").strip_prefix("http://").unwrap().parse().unwrap();

    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(TcpStream::connect(address).await.unwrap());
    }
    sleep(Duration::from_millis(300)).await;
    let id = gateway.child.id().unwrap();
    let files = fs::read_dir(format!("/proc/{id}/fd")).unwrap().count();
    assert!(files >= 48, "there are more to have than {files}");
    let before = worked(id);
    sleep(Duration::from_secs(1)).await;
    let spent = worked(id) - before;
    assert!(spent < 30, "it spins: {spent} of 100");

    drop(open);
    let asked = gateway.ask(gateway.key(), Method::GET, "/v1/models", "");
    let answered = timeout(Duration::from_secs(10), asked).await.expect("it goes on");
    assert_eq!(answered.status, 200);
    gateway.child.start_kill().unwrap();
    let ended = gateway.child.wait_with_output().await.unwrap();
    let logged = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(logged.matches("cannot accept connections").count(), 1, "{logged}");
}
