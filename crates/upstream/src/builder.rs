use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::HeaderMap;
use hyper_rustls::HttpsConnectorBuilder;
use rustls::ClientConfig;
use tollgate_core::Target;

use crate::{
    HttpsConnector, InvalidPem, Proxies, Signer, Upstream,
    connect::{Connector, Dialer, WithDeadline},
    lanes::Lanes,
    pool::{Limits, Pool},
    service::Settings,
    tls::Tls,
};

/// Settings of an [`Upstream`].
#[derive(Clone, Debug)]
pub struct Builder {
    connect: Duration,
    idle: Duration,
    idle_per_host: usize,
    streams: usize,
    connections: usize,
    decoded_limit: u64,
    target: Option<Arc<Target>>,
    headers: BTreeMap<String, HeaderMap>,
    tls: Option<ClientConfig>,
    trust: Tls,
    proxies: Option<Proxies>,
    signers: BTreeMap<String, Arc<dyn Signer>>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            idle: Duration::from_secs(90),
            idle_per_host: 64,
            streams: 100,
            connections: 16,
            decoded_limit: 256 << 20,
            target: None,
            headers: BTreeMap::new(),
            tls: None,
            trust: Tls::default(),
            proxies: None,
            signers: BTreeMap::new(),
        }
    }
}

impl Builder {
    /// Sets how long name, TCP and TLS may take together. Default: 3 seconds.
    pub fn connect_deadline(mut self, after: Duration) -> Self {
        self.connect = after;
        self
    }

    /// Sets how long an unused connection is used again. Default: 90 seconds. It is closed at the
    /// latest when twice that has passed.
    pub fn idle_timeout(mut self, after: Duration) -> Self {
        self.idle = after;
        self
    }

    /// Sets how many unused HTTP/1.1 connections are kept per host. Default: 64.
    pub fn max_idle_per_host(mut self, connections: usize) -> Self {
        self.idle_per_host = connections;
        self
    }

    /// Sets after how many concurrent requests another HTTP/2 connection to the same host is opened.
    /// Default: 100, what upstreams commonly allow. Beyond what an upstream allows on a connection
    /// requests wait for each other.
    pub fn streams_per_connection(mut self, requests: usize) -> Self {
        self.streams = requests;
        self
    }

    /// Sets how many HTTP/2 connections to a host there are at most. Default: 16. HTTP/1.1 has one
    /// per concurrent request, and this many pools of [`Builder::max_idle_per_host`].
    pub fn max_http2_connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// Sets to how many bytes an encoded answer may decode. Default: 256 MiB. Answers that come as
    /// they were asked for, unencoded, have no limit here.
    pub fn decoded_limit(mut self, bytes: u64) -> Self {
        self.decoded_limit = bytes;
        self
    }

    /// Sets the target of requests that carry none. Default: they are refused.
    pub fn target(mut self, target: Arc<Target>) -> Self {
        self.target = Some(target);
        self
    }

    /// Adds headers for requests to `provider` that have none of that name. Default: only those
    /// its protocol demands ([`headers::required`](crate::headers::required)).
    pub fn headers(mut self, provider: impl Into<String>, headers: HeaderMap) -> Self {
        self.headers.insert(provider.into(), headers);
        self
    }

    /// Sets who signs requests to targets with this credential's name. Default: nobody. What is
    /// signed is read before it is sent, up to 32 MiB where nobody has read it.
    pub fn signer(mut self, credential: impl Into<String>, signer: Arc<dyn Signer>) -> Self {
        self.signers.insert(credential.into(), signer);
        self
    }

    /// Sets which upstreams are reached through which proxy. Default: as the environment says
    /// ([`Proxies::from_env`]), read by [`Builder::build`].
    pub fn proxy(mut self, proxies: Proxies) -> Self {
        self.proxies = Some(proxies);
        self
    }

    /// Adds authorities to trust, one or more certificates in PEM. Default: the system's alone, or
    /// Mozilla's list where the system has none.
    ///
    /// Errors: see [`InvalidPem`].
    pub fn extra_ca(mut self, pem: impl AsRef<[u8]>) -> Result<Self, InvalidPem> {
        self.trust.trust(pem.as_ref())?;
        Ok(self)
    }

    /// Sets the certificate, with its chain, and the private key to show to upstreams that ask for
    /// one, both in PEM. Default: none.
    ///
    /// Errors: see [`InvalidPem`].
    pub fn client_certificate(
        mut self,
        chain: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<Self, InvalidPem> {
        self.trust.identify(chain.as_ref(), key.as_ref())?;
        Ok(self)
    }

    /// Sets everything about TLS at once; [`Builder::extra_ca`] and [`Builder::client_certificate`]
    /// have no effect then. ALPN is set here, whatever it was.
    pub fn tls(mut self, config: ClientConfig) -> Self {
        self.tls = Some(config);
        self
    }

    /// Returns the upstream. The system's authorities are read when it is first asked over TLS.
    pub fn build(mut self) -> Upstream {
        let tls = self.tls.take().unwrap_or_else(|| self.trust.config());
        let proxies = self.proxies.take().unwrap_or_else(Proxies::from_env);
        self.assemble(connector(tls, proxies.clone()), proxies)
    }

    /// Returns an upstream that connects through `connector`: a proxy, a unix socket, memory.
    /// What was said of TLS and proxies has no effect then.
    pub fn build_on<C>(self, connector: C) -> Upstream<C>
    where
        C: Connector,
    {
        self.assemble(connector, Proxies::none())
    }

    fn assemble<C>(self, connector: C, proxies: Proxies) -> Upstream<C>
    where
        C: Connector,
    {
        let connector = WithDeadline::new(connector, self.connect);
        let limits = Limits { idle: self.idle, per_host: self.idle_per_host };
        let pool = || Pool::new(connector.clone(), limits);
        let pools = Lanes::new(self.connections, self.streams, pool);
        let Self { target, headers, decoded_limit, signers, .. } = self;
        let settings = Settings { target, headers, decoded_limit, proxies, signers };
        Upstream { pools, settings: Arc::new(settings) }
    }
}

/// TLS on top of what the dialer opens.
fn connector(mut tls: ClientConfig, proxies: Proxies) -> HttpsConnector {
    tls.alpn_protocols.clear();
    let dialer = Dialer::new(proxies, tls.clone());
    HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(dialer)
}
