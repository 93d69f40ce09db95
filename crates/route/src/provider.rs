use std::sync::Arc;

use http::Uri;
use tollgate_catalog::Catalogue;
use tollgate_core::{Operation, Protocol, Transport};

/// Where a provider speaks one protocol.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The protocol.
    pub protocol: Protocol,
    /// Where, as that provider's own SDK takes it.
    pub base_url: Uri,
    /// How the protocol is carried there.
    pub transport: Transport,
}

impl Endpoint {
    /// Returns an endpoint at the protocol's own paths.
    pub fn new(protocol: Protocol, base_url: Uri) -> Self {
        Self { protocol, base_url, transport: Transport::Native }
    }
}

/// One way to reach a provider: a key, an account, a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// Its name, which is also that of its credential.
    pub name: Arc<str>,
    /// Its share of the requests beside the provider's other deployments. Default 1.
    pub weight: u32,
}

impl Deployment {
    /// Returns a deployment of weight 1.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), weight: 1 }
    }
}

impl<T: Into<Arc<str>>> From<T> for Deployment {
    fn from(name: T) -> Self {
        Self::new(name)
    }
}

/// What is known of how a provider handles what it is sent; `None`: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataPolicy {
    /// It keeps requests to learn from them, or passes them on.
    pub collects: Option<bool>,
    /// It keeps nothing once the answer is given.
    pub zero_retention: Option<bool>,
}

impl DataPolicy {
    /// Of a host of one's own: nothing leaves, nothing is kept.
    pub const OWN: Self = Self { collects: Some(false), zero_retention: Some(true) };
}

/// A provider as routing sees it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Provider {
    /// Its name in configuration.
    pub name: Arc<str>,
    /// What kind of host it is, by which its habits, its models and its prices are known: the name
    /// of a preset, or of a provider in the catalogue.
    pub kind: Arc<str>,
    /// Other names it answers to.
    pub aliases: Vec<&'static str>,
    /// Where it speaks which protocol; of several that would do, the first is taken.
    pub endpoints: Vec<Endpoint>,
    /// Its deployments, usually one per key.
    pub deployments: Vec<Deployment>,
    /// The models it is known to serve, for model lists and bare names. Others are served too.
    pub models: Vec<Arc<str>>,
    /// Whether it is asked which models it has ([`Router::learn`](crate::Router::learn)).
    pub discover: bool,
    /// What its models are and cost, where that is not in the router's catalogue.
    pub catalogue: Option<Catalogue>,
    /// How it handles what it is sent.
    pub data: DataPolicy,
}

impl Provider {
    /// Returns a provider with one deployment, both named and of the kind `name`, that speaks no
    /// protocol yet.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        let name = name.into();
        Self {
            kind: name.clone(),
            aliases: Vec::new(),
            endpoints: Vec::new(),
            deployments: vec![Deployment::new(name.clone())],
            models: Vec::new(),
            discover: false,
            catalogue: None,
            data: DataPolicy::default(),
            name,
        }
    }

    /// Sets what kind of host it is. Default: its name.
    pub fn kind(mut self, kind: impl Into<Arc<str>>) -> Self {
        self.kind = kind.into();
        self
    }

    /// Adds an endpoint.
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.endpoints.push(endpoint);
        self
    }

    /// Sets its deployments. Default: one, named like the provider.
    pub fn deployments<I>(mut self, deployments: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Deployment>,
    {
        self.deployments = deployments.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the models it is known to serve. Default: none.
    pub fn models<I>(mut self, models: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Arc<str>>,
    {
        self.models = models.into_iter().map(Into::into).collect();
        self
    }

    /// Sets how it handles what it is sent. Default: nothing is known.
    pub fn data(mut self, data: DataPolicy) -> Self {
        self.data = data;
        self
    }

    /// Sets what its models are and cost. Default: what the router's catalogue says.
    pub fn catalogue(mut self, catalogue: Catalogue) -> Self {
        self.catalogue = Some(catalogue);
        self
    }

    /// Whether `name` means this provider.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        &*self.name == name || self.aliases.contains(&name)
    }

    /// Whether a wish for `name` is one for this provider. Display names are as good.
    pub(crate) fn is_wished(&self, name: &str) -> bool {
        let own = [&*self.name, &*self.kind, Catalogue::provider_key(&self.kind)];
        own.iter().chain(&self.aliases).any(|own| own.eq_ignore_ascii_case(name))
    }

    /// Whether it is known to serve this model. Ollama calls what has no tag `latest`.
    pub(crate) fn has(&self, model: &str) -> bool {
        let mut known = self.models.iter();
        known.any(|known| &**known == model || known.strip_suffix(":latest") == Some(model))
    }

    /// Whether it is the same place, whatever else is said of it.
    pub(crate) fn is_at(&self, other: &Self) -> bool {
        let urls = |provider: &Self| -> Vec<Uri> {
            provider.endpoints.iter().map(|endpoint| endpoint.base_url.clone()).collect()
        };
        self.name == other.name && urls(self) == urls(other)
    }

    pub(crate) fn speaks(&self, protocol: Protocol) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.protocol == protocol)
    }

    /// The catalogue in force for it.
    pub(crate) fn catalogue_or<'a>(&'a self, usual: &'a Catalogue) -> &'a Catalogue {
        self.catalogue.as_ref().unwrap_or(usual)
    }
}

/// Whether a protocol has an operation.
pub(crate) fn offers(protocol: Protocol, operation: Operation) -> bool {
    match operation {
        Operation::Embed => matches!(protocol, Protocol::OpenAiChat | Protocol::Gemini),
        Operation::CountTokens => protocol != Protocol::OpenAiChat,
        _ => true,
    }
}
