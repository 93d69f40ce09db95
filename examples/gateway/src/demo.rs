//! The simulated providers behind `--demo`: a real server on a loopback port of its own.

use std::net::SocketAddr;

use tokio::{net::TcpListener, sync::OnceCell};
use tollgate_core::{Protocol, Secret};
use tollgate_gateway::{Config, Source};
use tollgate_keys::{Credential, generate};
use tollgate_sim::Sim;

use crate::Failed;

/// Models the lists show; every other name is served too.
const MODELS: [(&str, &[&str]); 3] = [
    ("openai", &["gpt-5", "gpt-5-mini", "text-embedding-3-small"]),
    ("anthropic", &["claude-sonnet-4-5", "claude-haiku-4-5"]),
    ("gemini", &["gemini-2.5-pro", "gemini-2.5-flash", "gemini-embedding-001"]),
];

/// The simulation, which is started when a configuration first wants it and serves as long as the
/// process.
#[derive(Debug, Default)]
pub(crate) struct Demo(OnceCell<Running>);

#[derive(Debug)]
struct Running {
    address: SocketAddr,
    key: Secret,
}

impl Demo {
    /// Points `config` at the simulation, if it wants one. It takes a key made for this run, so
    /// that credentials are mapped as with real providers.
    pub(crate) async fn fill(&self, config: &mut Config) -> Result<(), Failed> {
        if config.source != Source::Simulated {
            return Ok(());
        }
        let Running { address, key } = self.0.get_or_try_init(start).await?;
        for provider in &mut config.providers {
            for endpoint in &mut provider.endpoints {
                endpoint.base_url = base_url(endpoint.protocol, &address.to_string()).parse()?;
            }
            let known = MODELS.iter().find(|(name, _)| *name == &*provider.name);
            let models = known.iter().flat_map(|(_, models)| models.iter());
            provider.models = models.map(|model| (*model).into()).collect();
        }
        config.credentials.values_mut().for_each(|credential| replace(credential, key));
        Ok(())
    }
}

async fn start() -> Result<Running, Failed> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let key = generate()?;
    let sim = Sim::new().with_key(key.expose());
    tokio::spawn(async move {
        if let Err(error) = sim.serve(listener, std::future::pending()).await {
            tracing::error!(%error, "the simulated providers ended");
        }
    });
    Ok(Running { address, key })
}

fn base_url(protocol: Protocol, address: &str) -> String {
    match protocol {
        Protocol::OpenAiChat | Protocol::OpenAiResponses => format!("http://{address}/v1"),
        _ => format!("http://{address}"),
    }
}

fn replace(credential: &mut Credential, key: &Secret) {
    match credential {
        Credential::Bearer(secret) | Credential::Header(_, secret) => *secret = key.clone(),
        _ => {}
    }
}
