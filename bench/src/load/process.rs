//! A program under test: started, pinned, and read from `/proc`.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{Failed, ask::Ask, client::Client};

/// The core of the program under test.
const TESTED: &str = "0";
/// The core of everything else.
const TESTING: &str = "1";

/// How long a program may take to end.
const PATIENCE: Duration = Duration::from_secs(3);

/// A running program; dropped, it is ended, and killed when that takes long.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    started: Instant,
    log: PathBuf,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

/// Moves this process to its core. Says whether programs can be pinned here.
pub(crate) fn pin_self() -> bool {
    let pid = std::process::id().to_string();
    let mut taskset = Command::new("taskset");
    taskset.args(["-a", "-c", "-p", TESTING, &pid]).stdout(Stdio::null()).stderr(Stdio::null());
    taskset.status().is_ok_and(|status| status.success())
}

/// Returns an address nobody listens on.
pub(crate) fn free_address() -> Result<SocketAddr, Failed> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

impl Process {
    /// Starts a program that is told to listen on `address`. What it says goes to `log`.
    pub(crate) fn start(
        program: &Path,
        args: &[&str],
        address: SocketAddr,
        log: PathBuf,
        pinned: bool,
    ) -> Result<Self, Failed> {
        let mut command = Command::new(if pinned { Path::new("taskset") } else { program });
        if pinned {
            command.args(["-c", TESTED]).arg(program);
        }
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(fs::File::create(&log)?);
        let started = Instant::now();
        Ok(Self { child: command.spawn()?, started, log, address })
    }

    /// Waits for the first served request and returns how long after the start that was.
    pub(crate) async fn serves(&mut self, ask: &Ask) -> Result<Duration, Failed> {
        loop {
            if let Ok(mut client) = Client::connect(self.address).await {
                client.ask(ask).await.map_err(|error| format!("{error}\n{}", self.said()))?;
                return Ok(self.started.elapsed());
            }
            let dead = self.child.try_wait()?.is_some();
            if dead || self.started.elapsed() > Duration::from_secs(10) {
                return Err(format!("does not listen: {}", self.said()).into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Returns the CPU time of all its threads, user and system.
    pub(crate) fn cpu(&self) -> Result<Duration, Failed> {
        let mut nanos = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            nanos += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// Returns its resident memory in bytes.
    pub(crate) fn resident(&self) -> Result<f64, Failed> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).ok_or("no VmRSS")?;
        Ok(kib.parse::<f64>()? * 1024.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").arg(pid).status();
        let asked = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && asked.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
