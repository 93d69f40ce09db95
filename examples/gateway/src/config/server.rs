//! `[server]`: what the listener and the edge do.

use std::time::Duration;

use http::HeaderValue;

use super::{Wrong, file, quote::quoted};
use crate::{
    serve::{Limits, Network, TlsFiles, UnknownNetwork},
    stack::{Options, Origins},
};

/// What `[server]` says. None of it changes while the gateway runs, but the contents of the
/// certificate files.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where to listen.
    pub listen: String,
    /// Whether a line is logged for each call.
    pub access_log: bool,
    /// Bytes a request body may have.
    pub max_body: usize,
    /// Requests in progress at once.
    pub max_requests: usize,
    /// How the listener behaves.
    pub limits: Limits,
    /// Whose word about a client's address is believed.
    pub trusted_proxies: Vec<Network>,
    /// The listener's certificates.
    pub tls: Option<TlsFiles>,
    /// Whose pages may call.
    pub origins: Origins,
}

impl ServerConfig {
    /// Returns the names of what differs in `other`, as the file calls it.
    pub(crate) fn differences(&self, other: &Self) -> Vec<&'static str> {
        let differs = [
            ("listen", self.listen != other.listen),
            ("access_log", self.access_log != other.access_log),
            ("max_body", self.max_body != other.max_body),
            ("max_requests", self.max_requests != other.max_requests),
            ("trusted_proxies", self.trusted_proxies != other.trusted_proxies),
            ("tls", self.tls.is_some() != other.tls.is_some()),
            ("cors", self.origins != other.origins),
            ("limits", self.limits != other.limits),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }
}

pub(super) fn resolve(file: &file::Server) -> Result<ServerConfig, Wrong> {
    let usual = Options::default();
    Ok(ServerConfig {
        listen: listen(file.listen.as_deref())?,
        access_log: file.access_log.unwrap_or(usual.access_log),
        max_body: file.max_body.unwrap_or(usual.max_body),
        max_requests: file.max_requests.unwrap_or(usual.max_requests),
        limits: limits(file),
        trusted_proxies: trusted_proxies(&file.trusted_proxies)?,
        tls: file.tls.as_ref().map(|tls| TlsFiles {
            cert: tls.cert.clone(),
            key: tls.key.clone(),
            client_ca: tls.client_ca.clone(),
        }),
        origins: origins(&file.cors)?,
    })
}

/// A host and a port. Whether the host is known and the port free shows when it is listened on.
fn listen(said: Option<&str>) -> Result<String, Wrong> {
    let text = said.unwrap_or("127.0.0.1:4000");
    let (host, port) = text.rsplit_once(':').unwrap_or_default();
    if host.is_empty() || port.parse::<u16>().is_err() {
        let message = format!("{} is no host and port like `127.0.0.1:4000`", quoted(text));
        return Err(Wrong::new("server.listen", message));
    }
    Ok(text.to_owned())
}

fn limits(file: &file::Server) -> Limits {
    let (usual, own) = (Limits::default(), &file.timeouts);
    let or = |own: Option<Duration>, usual: Duration| own.unwrap_or(usual);
    Limits {
        connections: file.max_connections.unwrap_or(usual.connections),
        connections_per_peer: file.max_connections_per_peer,
        head: or(own.head, usual.head),
        body: or(own.body, usual.body),
        body_idle: or(own.body_idle, usual.body_idle),
        body_rate: own.body_rate.unwrap_or(usual.body_rate),
        write_idle: or(own.write_idle, usual.write_idle),
        drain_delay: or(file.drain_delay, usual.drain_delay),
        drain: or(file.drain, usual.drain),
    }
}

fn trusted_proxies(texts: &[String]) -> Result<Vec<Network>, Wrong> {
    let parsed = texts.iter().enumerate().map(|(i, text)| {
        let wrong = |_: UnknownNetwork| {
            let message = format!("{} is no address or network like `10.0.0.0/8`", quoted(text));
            Wrong::new(format!("server.trusted_proxies[{i}]"), message)
        };
        text.parse().map_err(wrong)
    });
    parsed.collect()
}

fn origins(file: &file::Cors) -> Result<Origins, Wrong> {
    let mut origins = Vec::with_capacity(file.origins.len());
    for (i, text) in file.origins.iter().enumerate() {
        let wrong = || {
            let message =
                format!("{} is no origin like `https://app.example.com`, nor `*`", quoted(text));
            Wrong::new(format!("server.cors.origins[{i}]"), message)
        };
        if !is_origin(text) {
            return Err(wrong());
        }
        origins.push(HeaderValue::from_str(text).map_err(|_| wrong())?);
    }
    Ok(Origins::new(origins))
}

/// Whether a browser could say this of a page: a scheme, a host, no path.
fn is_origin(text: &str) -> bool {
    let host = text.split_once("://").map(|(_, host)| host);
    text == "*" || host.is_some_and(|host| !host.is_empty() && !host.contains('/'))
}
