//! The two sides of the comparison, and the simulated providers behind both.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    rc::Rc,
};

use tokio::net::TcpListener;
use tollgate_sim::Sim;

use crate::{
    Failed,
    ask::{APART, KEY, MESSAGES, RESPONSES, TOGETHER},
    process::{Process, free_address},
};

/// The programs, the providers they are to reach, and where files may be left.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) bare: PathBuf,
    pub(crate) gateway: PathBuf,
    pub(crate) files: PathBuf,
    pub(crate) pinned: bool,
    /// Providers that write each event on its own.
    pub(crate) apart: SocketAddr,
    /// Providers that write what is ready at once.
    pub(crate) together: SocketAddr,
}

/// Two running programs to compare; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) bare: Rc<Process>,
    pub(crate) gateway: Rc<Process>,
}

impl Bench {
    /// Starts a bare proxy in front of `upstream`.
    pub(crate) fn bare(&self, upstream: SocketAddr) -> Result<Process, Failed> {
        let address = free_address()?;
        let (listen, upstream) = (address.to_string(), upstream.to_string());
        let args = [listen.as_str(), &upstream];
        Process::start(&self.bare, &args, address, self.file("bare-proxy.log"), self.pinned)
    }

    /// Starts the gateway in front of all providers, with client keys on.
    pub(crate) fn gateway(&self) -> Result<Process, Failed> {
        self.gateway_with("tollgate", "")
    }

    /// Starts one whose configuration says `more`, with files called `name`: others may be running.
    pub(crate) fn gateway_with(&self, name: &str, more: &str) -> Result<Process, Failed> {
        let address = free_address()?;
        let file = |kind| self.file(&format!("{name}.{kind}"));
        let (config, data) = (file("toml"), file("data"));
        fs::write(&config, self.config() + more)?;
        let listen = address.to_string();
        let args = ["--config", text(&config), "--data-dir", text(&data), "--listen", &listen];
        Process::start(&self.gateway, &args, address, file("log"), self.pinned)
    }

    fn config(&self) -> String {
        let at = self.apart;
        [
            format!("[[keys]]\nname = \"bench\"\nkey = \"{KEY}\"\n\n"),
            provider(APART, self.apart),
            provider(TOGETHER, self.together),
            speaking(RESPONSES, "openai", &format!("{at}/v1"), "openai-responses"),
            speaking(MESSAGES, "anthropic", &at.to_string(), "anthropic-messages"),
        ]
        .concat()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.join(name)
    }
}

/// The configuration of a provider at this address.
pub(crate) fn provider(name: &str, at: SocketAddr) -> String {
    speaking(name, "openai", &format!("{at}/v1"), "openai-chat")
}

/// One of a kind that speaks one protocol.
fn speaking(name: &str, kind: &str, base_url: &str, protocol: &str) -> String {
    format!(
        "[providers.{name}]\nkind = \"{kind}-compatible\"\nbase_url = \"http://{base_url}\"\n\
         protocols = [\"{protocol}\"]\napi_key = \"sk-bench-upstream-0123456789\"\n\n"
    )
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.files);
    }
}

/// Serves simulated providers from this thread, as long as its runtime lives.
pub(crate) async fn simulate(sim: Sim) -> Result<SocketAddr, Failed> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(sim.serve(listener, std::future::pending()));
    Ok(address)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}
