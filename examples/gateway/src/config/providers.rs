//! Providers: presets, what the file says of them, what the environment has.

use std::sync::Arc;

use http::{HeaderName, Uri};
use indexmap::IndexMap;
use tollgate_core::{Protocol, Secret, UnknownProtocol};
use tollgate_keys::Credential;
use tollgate_route::{DataPolicy, Endpoint, Provider, nearest};
use tollgate_upstream::{Auth, Hosting, PRESETS, Place, Preset, preset, transport};

use super::{
    Wrong, file,
    hosts::{self, resolved},
    quote::quoted,
};
use crate::{
    state::CredentialsByName,
    upstreams::{Way, Ways},
};

/// Where the providers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The configuration file.
    File,
    /// Keys found in the environment.
    Environment,
    /// The built-in simulation.
    Simulated,
}

/// The providers and what proves to them who pays.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) list: Vec<Provider>,
    pub(super) credentials: CredentialsByName,
    pub(super) ways: Ways,
    pub(super) source: Source,
    /// The names and kinds of those that cost nothing.
    pub(super) free: Vec<(Arc<str>, &'static str)>,
}

/// Returns the providers of the file, else those of the environment, else simulated ones, whose
/// addresses are set when the simulation listens.
pub(super) fn resolve(file: &file::File, demo: bool) -> Result<Resolved, Wrong> {
    let mut resolved = Resolved {
        list: Vec::new(),
        credentials: CredentialsByName::default(),
        ways: Ways::default(),
        source: Source::File,
        free: Vec::new(),
    };
    if demo {
        return Ok(simulated(resolved));
    }
    for (name, provider) in &file.providers {
        resolved.declared(name, provider, &file.deadlines)?;
    }
    if resolved.list.is_empty() {
        resolved.source = Source::Environment;
        PRESETS.iter().for_each(|preset| resolved.found(preset, &file.deadlines));
    } else {
        named(&file.models).for_each(|name| resolved.named(name, &file.deadlines));
    }
    if resolved.list.is_empty() { Ok(simulated(resolved)) } else { Ok(resolved) }
}

/// The providers that targets name.
fn named(models: &IndexMap<String, file::Alias>) -> impl Iterator<Item = &str> {
    let targets = models.values().flat_map(|alias| &alias.targets);
    targets.filter_map(|target| Some(target.name().split_once('/')?.0))
}

fn simulated(mut resolved: Resolved) -> Resolved {
    resolved.source = Source::Simulated;
    for name in ["openai", "anthropic", "gemini"] {
        let preset = preset(name).expect("a preset of this name is built in");
        let keys = [Secret::new("simulated")];
        resolved.add(name, preset, usual_endpoints(preset), &keys);
        resolved.free.push((name.into(), preset.name));
    }
    resolved
}

impl Resolved {
    /// A `[providers.NAME]` table.
    fn declared(
        &mut self,
        name: &str,
        provider: &file::Provider,
        usual: &file::Deadlines,
    ) -> Result<(), Wrong> {
        let path = format!("providers.{name}");
        let kind = provider.kind.as_deref().unwrap_or(name);
        let Some(preset) = preset(kind) else { return Err(no_preset(&path, kind)) };
        let place = hosts::place(&path, preset, provider)?;
        let endpoints = endpoints(&path, preset, provider, &place)?;
        let keys = secrets(&path, preset, provider)?;
        let signing = match keys.is_empty() {
            true => hosts::signing(&path, preset, provider, &place)?,
            false => None,
        };
        let way = hosts::way(&path, provider, signing, usual)?;
        let discover = discover(&path, preset, provider, &endpoints)?;
        self.add(name, preset, endpoints, &keys);
        if let Some(added) = self.list.last_mut() {
            added.discover = discover;
            added.data.collects = provider.collects.or(added.data.collects);
            added.data.zero_retention = provider.zero_retention.or(added.data.zero_retention);
        }
        if provider.free.unwrap_or(preset.local) {
            self.free.push((name.into(), preset.name));
        }
        self.mask(name, &way);
        self.ways.insert(name.into(), way);
        Ok(())
    }

    /// The signer sends a session's token; who knows of it masks it where it comes back.
    fn mask(&mut self, name: &str, way: &Way) {
        let Some(token) = way.session_token() else { return };
        let header = HeaderName::from_static("x-amz-security-token");
        let own = self.credentials.iter_mut().filter(|((deployment, _), _)| &**deployment == name);
        own.for_each(|(_, shown)| *shown = Credential::Header(header.clone(), token.clone()));
    }

    /// A provider that a target names: where no table declares it, a preset the environment has a key
    /// of.
    fn named(&mut self, name: &str, usual: &file::Deadlines) {
        let called = |known: &Provider| &*known.name == name || known.aliases.contains(&name);
        if let Some(preset) = preset(name).filter(|_| !self.list.iter().any(called)) {
            self.found(preset, usual);
        }
    }

    /// A preset whose key the environment has, where the key is all it takes.
    fn found(&mut self, preset: &'static Preset, usual: &file::Deadlines) {
        if preset.is_placed() {
            return;
        }
        let Some(key) = from_environment(preset) else { return };
        self.ways.insert(preset.name.into(), Way::default().connect(usual.connect));
        self.add(preset.name, preset, usual_endpoints(preset), &[key]);
    }

    /// Adds a provider with one deployment per key, or one that needs none.
    fn add(
        &mut self,
        name: &str,
        preset: &'static Preset,
        endpoints: Vec<Endpoint>,
        keys: &[Secret],
    ) {
        let deployments: Vec<Arc<str>> = match keys.len() {
            0 | 1 => vec![name.into()],
            many => (1..=many).map(|n| format!("{name}#{n}").into()).collect(),
        };
        for (i, deployment) in deployments.iter().enumerate() {
            for Endpoint { protocol, .. } in &endpoints {
                let auth = auth(preset, *protocol);
                let credential = keys.get(i).map_or(Credential::None, |key| shown(auth, key));
                self.credentials.insert((deployment.clone(), *protocol), credential);
            }
        }
        let mut provider = Provider::new(name).kind(preset.name).deployments(deployments);
        provider.endpoints = endpoints;
        if preset.name == name {
            provider.aliases = preset.aliases.to_vec();
        }
        if preset.local {
            provider.data = DataPolicy::OWN;
        }
        self.list.push(provider);
    }
}

/// Whether it is asked for its models, in OpenAI's protocol.
fn discover(
    path: &str,
    preset: &Preset,
    provider: &file::Provider,
    endpoints: &[Endpoint],
) -> Result<bool, Wrong> {
    let openai = [Protocol::OpenAiChat, Protocol::OpenAiResponses];
    let speaks = endpoints.iter().any(|endpoint| openai.contains(&endpoint.protocol));
    if provider.discover == Some(true) && !speaks {
        let message = "asks in OpenAI's protocol, which is not among its `protocols`";
        return Err(Wrong::new(format!("{path}.discover"), message));
    }
    Ok(provider.discover.unwrap_or(preset.local) && speaks)
}

fn no_preset(path: &str, kind: &str) -> Wrong {
    let names = PRESETS.iter().flat_map(|p| p.aliases.iter().chain([&p.name])).copied();
    let hint = match nearest(kind, names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "set `kind`, for example to `openai-compatible`".to_owned(),
    };
    Wrong::new(format!("{path}.kind"), format!("{} is no preset; {hint}", quoted(kind)))
}

/// Where a preset says that it speaks its protocols.
fn usual_endpoints(preset: &Preset) -> Vec<Endpoint> {
    let endpoints = preset.endpoints.iter();
    let placed = endpoints.filter_map(|e| Some(Endpoint::new(e.protocol, parsed(e.base_url?)?)));
    placed.collect()
}

/// How the provider is shown a key in this protocol.
fn auth(preset: &Preset, protocol: Protocol) -> Auth {
    match preset.endpoint(protocol) {
        // Who is given a key although its requests are signed has one instead.
        Some(endpoint) if endpoint.auth == Auth::None => Auth::Bearer,
        Some(endpoint) => endpoint.auth,
        None => usual(protocol),
    }
}

/// How each protocol's own provider is shown a key.
fn usual(protocol: Protocol) -> Auth {
    let own = PRESETS.iter().find_map(|preset| preset.endpoint(protocol));
    own.map_or(Auth::Bearer, |endpoint| endpoint.auth)
}

fn shown(auth: Auth, key: &Secret) -> Credential {
    match auth {
        Auth::Header(name) => Credential::Header(HeaderName::from_static(name), key.clone()),
        Auth::Bearer => Credential::Bearer(key.clone()),
        _ => Credential::None,
    }
}

/// The protocols it speaks, each at the file's address or else the preset's.
fn endpoints(
    path: &str,
    preset: &Preset,
    provider: &file::Provider,
    place: &Place,
) -> Result<Vec<Endpoint>, Wrong> {
    let own = match &provider.base_url {
        Some(url) => Some(base_url(path, url)?),
        None => None,
    };
    protocols(path, preset, provider)?
        .into_iter()
        .map(|protocol| {
            let transport = preset.hosting.transport(protocol, place);
            let transport = transport
                .map_err(|key| Wrong::new(format!("{path}.{key}"), missing(preset.hosting, key)))?;
            let usual = || preset.endpoint(protocol)?.base_url.and_then(parsed);
            let url = own.clone().or_else(usual).or_else(|| transport::base_url(&transport));
            let nowhere =
                || Wrong::new(format!("{path}.base_url"), missing(preset.hosting, "base_url"));
            let base_url = url.ok_or_else(nowhere)?;
            Ok(Endpoint { protocol, base_url, transport })
        })
        .collect()
}

/// What is said of a key that is not there.
fn missing(hosting: Hosting, key: &str) -> &'static str {
    match (hosting, key) {
        (Hosting::Azure, "base_url") => {
            "is missing: the resource's address, like `https://NAME.openai.azure.com`"
        }
        (Hosting::Vertex, "project") => "is missing, and GOOGLE_CLOUD_PROJECT is not set",
        (Hosting::Vertex, "location") => {
            "is missing, and GOOGLE_CLOUD_LOCATION is not set: a region, or `global`"
        }
        (Hosting::Bedrock, "region") => "is missing, and AWS_REGION is not set",
        _ => "is missing",
    }
}

fn protocols(
    path: &str,
    preset: &Preset,
    provider: &file::Provider,
) -> Result<Vec<Protocol>, Wrong> {
    let Some(names) = &provider.protocols else {
        return Ok(preset.endpoints.iter().map(|endpoint| endpoint.protocol).collect());
    };
    let parsed = names.iter().enumerate().map(|(i, name)| {
        let wrong = |why: String| Wrong::new(format!("{path}.protocols[{i}]"), why);
        let protocol = name.parse().map_err(|_: UnknownProtocol| wrong(no_protocol(name)))?;
        if preset.hosting != Hosting::Own && preset.endpoint(protocol).is_none() {
            return Err(wrong(format!("`{}` does not speak {protocol}", preset.name)));
        }
        Ok(protocol)
    });
    parsed.collect()
}

fn no_protocol(name: &str) -> String {
    let known = Protocol::ALL.map(|protocol| format!("`{protocol}`")).join(", ");
    format!("{} is no protocol; one of {known}", quoted(name))
}

/// The URL may hold a password: it is not repeated.
fn base_url(path: &str, url: &file::Text) -> Result<Uri, Wrong> {
    let path = format!("{path}.base_url");
    let text = resolved(&path, url)?;
    let text = text.trim_end_matches('/');
    parsed(text).ok_or_else(|| Wrong::new(path, "is no http or https URL"))
}

fn parsed(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let usable = matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some();
    usable.then_some(uri)
}

/// The keys of the table, else the one the environment has for this preset.
fn secrets(path: &str, preset: &Preset, provider: &file::Provider) -> Result<Vec<Secret>, Wrong> {
    let single = provider.api_key.iter().map(|key| (format!("{path}.api_key"), key));
    let many = provider.api_keys.iter().enumerate();
    let many = many.map(|(i, key)| (format!("{path}.api_keys[{i}]"), key));
    let mut secrets = Vec::new();
    for (path, key) in single.chain(many) {
        secrets.push(Secret::new(resolved(&path, key)?));
    }
    if preset.hosting == Hosting::Vertex && !secrets.is_empty() {
        let key = if provider.api_key.is_some() { "api_key" } else { "api_keys" };
        let message = "has no meaning for `vertex`, which is shown tokens of `credentials`";
        return Err(Wrong::new(format!("{path}.{key}"), message));
    }
    if secrets.is_empty() {
        secrets.extend(from_environment(preset));
    }
    let own_server = provider.base_url.is_some() && preset.hosting == Hosting::Own;
    if secrets.is_empty() && !preset.env.is_empty() && !own_server {
        let message = format!("is missing, and {} is not set", preset.env.join(" or "));
        return Err(Wrong::new(format!("{path}.api_key"), message));
    }
    Ok(secrets)
}

fn from_environment(preset: &Preset) -> Option<Secret> {
    let set = preset.env.iter().find_map(|name| std::env::var(name).ok());
    set.map(Secret::new).filter(|key| !key.expose().is_empty())
}
