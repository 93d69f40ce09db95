//! The configuration file as it is written: shape and defaults, no meaning.

use std::{path::PathBuf, time::Duration};

use indexmap::IndexMap;
use serde::{Deserialize, Deserializer, de::Error as _};

/// The whole file. Everything is optional; unknown keys are errors.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct File {
    pub(crate) server: Server,
    pub(crate) keys: Vec<Key>,
    pub(crate) providers: IndexMap<String, Provider>,
    pub(crate) models: IndexMap<String, Alias>,
    pub(crate) deadlines: Deadlines,
    pub(crate) store: Option<Url>,
    pub(crate) shared: Option<Url>,
    pub(crate) prices: Option<Prices>,
}

/// `[server]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Server {
    /// Address and port. Default 127.0.0.1:4000.
    pub(crate) listen: Option<String>,
    /// Bytes a request body may have. Default 32 MiB.
    pub(crate) max_body: Option<usize>,
    /// How long running streams may go on after a SIGTERM. Default 30 s.
    #[serde(deserialize_with = "duration")]
    pub(crate) drain: Option<Duration>,
    /// How long to go on as before after a SIGTERM, but for `/readyz`. Default 0.
    #[serde(deserialize_with = "duration")]
    pub(crate) drain_delay: Option<Duration>,
    /// Requests in progress at once. Default 10 000.
    pub(crate) max_requests: Option<usize>,
    /// Connections at once. Default 16 384.
    pub(crate) max_connections: Option<usize>,
    /// Connections at once from one address. Default: no limit.
    pub(crate) max_connections_per_peer: Option<usize>,
    /// Networks whose `X-Forwarded-For` is believed.
    pub(crate) trusted_proxies: Vec<String>,
    pub(crate) timeouts: Timeouts,
    pub(crate) tls: Option<Tls>,
    pub(crate) cors: Cors,
}

/// `[server.timeouts]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Timeouts {
    /// A request's head. Default 30 s.
    #[serde(deserialize_with = "duration")]
    pub(crate) head: Option<Duration>,
    /// A request's body. Default 5 min.
    #[serde(deserialize_with = "duration")]
    pub(crate) body: Option<Duration>,
    /// Silence within a request's body. Default 30 s.
    #[serde(deserialize_with = "duration")]
    pub(crate) body_idle: Option<Duration>,
    /// Bytes a second of a request's body. Default 240.
    pub(crate) body_rate: Option<u64>,
    /// A client that takes nothing. Default 1 min.
    #[serde(deserialize_with = "duration")]
    pub(crate) write_idle: Option<Duration>,
}

/// `[server.tls]`: PEM files.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) client_ca: Option<PathBuf>,
}

/// `[server.cors]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Cors {
    pub(crate) origins: Vec<String>,
}

/// `[[keys]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    pub(crate) name: String,
    /// The key, or `env:NAME`.
    pub(crate) key: Text,
    /// Names and patterns; absent: all.
    pub(crate) models: Option<Vec<String>>,
    pub(crate) team: Option<String>,
    #[serde(default)]
    pub(crate) disabled: bool,
    pub(crate) budget: Option<Budget>,
    pub(crate) rpm: Option<u64>,
    pub(crate) tpm: Option<u64>,
}

/// `keys.budget`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "read by nobody before budgets are enforced; its shape is checked")]
pub(crate) struct Budget {
    pub(crate) usd: String,
    pub(crate) per: Period,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Period {
    Day,
    Week,
    Month,
    Total,
}

/// `[providers.NAME]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Provider {
    /// A preset's name or `openai-compatible`, …. Default: the table's own name.
    pub(crate) kind: Option<String>,
    pub(crate) api_key: Option<Text>,
    /// Several keys; each becomes a deployment.
    pub(crate) api_keys: Vec<Text>,
    /// As the provider's own SDK takes it. Default: the preset's.
    pub(crate) base_url: Option<Text>,
    /// Protocols it speaks natively. Default: the preset's.
    pub(crate) protocols: Option<Vec<String>>,
    /// Whether it is asked which models it has. Default: a preset of the user's own machine is.
    pub(crate) discover: Option<bool>,
    /// Azure OpenAI's API version. Absent: its `v1` API.
    pub(crate) api_version: Option<Text>,
    /// Vertex AI's project.
    pub(crate) project: Option<Text>,
    /// Vertex AI's location: a region, or `global`.
    pub(crate) location: Option<Text>,
    /// A Google account: a file, its JSON, or `metadata`.
    pub(crate) credentials: Option<Text>,
    /// Amazon Bedrock's region.
    pub(crate) region: Option<Text>,
    pub(crate) access_key_id: Option<Text>,
    pub(crate) secret_access_key: Option<Text>,
    pub(crate) session_token: Option<Text>,
    /// The URL of a proxy, or `none`. Default: as the environment says.
    pub(crate) proxy: Option<Text>,
    /// A PEM file of authorities to trust beside the system's.
    pub(crate) ca: Option<PathBuf>,
    pub(crate) deadlines: Deadlines,
}

/// `[models.NAME]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Alias {
    pub(crate) targets: Vec<String>,
    #[serde(default)]
    pub(crate) routing: Routing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Routing {
    #[default]
    Priority,
    Weighted,
    Cost,
    Latency,
    Load,
    Balanced,
}

/// `[deadlines]`
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Deadlines {
    #[serde(deserialize_with = "duration")]
    pub(crate) connect: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    pub(crate) head: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    pub(crate) first_content: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    pub(crate) idle: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    pub(crate) total: Option<Duration>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "read by nobody before the store is there; its shape is checked")]
pub(crate) struct Url {
    pub(crate) url: Text,
}

/// `[prices]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "read by nobody before prices are there; its shape is checked")]
pub(crate) struct Prices {
    pub(crate) unknown: Unknown,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Unknown {
    Refuse,
    Allow,
}

/// A text that may be a secret: either itself, or `env:NAME` for what the environment says.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Text(String);

impl Text {
    /// Returns the text, looked up in the environment where it says so.
    ///
    /// Errors: the name of the variable that is missing or empty.
    pub(crate) fn resolve(&self) -> Result<String, String> {
        let Some(name) = self.0.strip_prefix("env:") else { return Ok(self.0.clone()) };
        std::env::var(name).ok().filter(|value| !value.trim().is_empty()).ok_or(name.to_owned())
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Text(…)")
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text)
        .map(Some)
        .map_err(|error| D::Error::custom(format!("`{text}` is no duration like `30s`: {error}")))
}
