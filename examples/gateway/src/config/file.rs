//! The configuration file as it is written: shape and defaults, no meaning.
//!
//! The descriptions of the keys are what the schema and the book say of them. A default that is a
//! value is the schema's `default`, one that takes words its `x-default`; `x-unit` is what a value
//! counts or is; `x-env` marks those for which `env:NAME` may stand.

use std::{borrow::Cow, path::PathBuf, time::Duration};

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny},
};
use tollgate_route::Order;

use super::{capabilities::Capabilities, quote::quoted};
use crate::{serve::Limits, stack::Options};

/// The whole file. Everything is optional; unknown keys are errors.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct File {
    /// The listener and the edge.
    pub(crate) server: Server,
    /// Client keys.
    #[schemars(extend("x-default" = "those of the data directory"))]
    pub(crate) keys: Vec<Key>,
    /// Whom the gateway may ask, by names of your own; a table named like a preset takes everything
    /// from it.
    #[schemars(extend("x-default" = "what the environment has keys of, else simulated ones"))]
    pub(crate) providers: IndexMap<String, Provider>,
    /// Names of your own for models.
    #[schemars(extend("x-default" = "none"))]
    pub(crate) models: IndexMap<String, Alias>,
    /// How long an upstream may take or be silent.
    pub(crate) deadlines: Deadlines,
    /// Where the ledger is kept.
    #[schemars(extend("x-default" = "none"))]
    pub(crate) store: Option<Store>,
    /// What replicas share. No effect in this version.
    #[schemars(extend("x-default" = "none"))]
    pub(crate) shared: Option<Shared>,
    /// What calls cost.
    #[schemars(extend("x-default" = "none"))]
    pub(crate) prices: Option<Prices>,
    /// Calls whose client and provider speak different protocols.
    pub(crate) translate: Translate,
    /// Owners of keys, with budgets of their own. No effect in this version.
    #[schemars(extend("x-default" = "none"))]
    pub(crate) teams: Option<Kept>,
    /// What keys are for, with budgets of its own. No effect in this version.
    #[schemars(extend("x-default" = "none"))]
    pub(crate) projects: Option<Kept>,
    /// How long what is kept. No effect in this version.
    #[schemars(extend("x-default" = "none"))]
    pub(crate) retention: Option<Kept>,
    /// Administration over HTTP. No effect in this version.
    #[schemars(extend("x-default" = "none"))]
    pub(crate) admin: Option<Kept>,
    /// Who signs people in. No effect in this version.
    #[schemars(extend("x-default" = "none"))]
    pub(crate) oidc: Option<Kept>,
}

/// Calls whose client and provider speak different protocols.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Translate {
    /// Whether whatever cannot be carried as it stands is refused, not only reported.
    pub(crate) strict: bool,
    /// What becomes of media a model cannot take: the request is refused, or they are left out with
    /// a word in their place.
    #[schemars(extend("default" = "refuse"))]
    pub(crate) media: Untaken,
    /// Whether media at public `https` addresses are fetched for models that cannot do it themselves.
    /// Otherwise such a request is refused.
    #[schemars(extend("default" = true))]
    pub(crate) fetch: Option<bool>,
    /// Whether `http` addresses are fetched too.
    pub(crate) fetch_http: bool,
    /// Hosts that may be fetched from although they are not public: names or addresses of your own
    /// network, each as it stands in the URL.
    #[schemars(extend("default" = []))]
    pub(crate) fetch_hosts: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Untaken {
    #[default]
    Refuse,
    Drop,
}

/// The listener and the edge.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Server {
    /// Address and port; `--listen` beats it; port 0 takes a free one.
    #[schemars(extend("default" = "127.0.0.1:4000"))]
    pub(crate) listen: Option<String>,
    /// Whether a line is logged for each call when it has ended: by whom, for what, who answered, how
    /// it went, what it cost.
    #[schemars(extend("default" = Options::default().access_log))]
    pub(crate) access_log: Option<bool>,
    /// What a request body may have, also decoded; above it 413 (to Gemini clients 400, which is how
    /// that protocol says it).
    #[schemars(extend("default" = Options::default().max_body, "x-unit" = "bytes"))]
    pub(crate) max_body: Option<usize>,
    /// After SIGTERM or SIGINT, how long running answers may go on; a second signal ends at once.
    #[serde(deserialize_with = "duration")]
    #[schemars(with = "Words", extend("default" = words(Limits::default().drain)))]
    pub(crate) drain: Option<Duration>,
    /// After SIGTERM or SIGINT, how long to serve on while `/readyz` already says no.
    #[serde(deserialize_with = "duration")]
    #[schemars(with = "Words", extend("default" = words(Limits::default().drain_delay)))]
    pub(crate) drain_delay: Option<Duration>,
    /// Requests in progress at once, answers included; above it 503 with `Retry-After`.
    #[schemars(extend("default" = Options::default().max_requests, "x-unit" = "requests"))]
    pub(crate) max_requests: Option<usize>,
    /// Connections at once; above it 503 with `Retry-After`.
    #[schemars(extend("default" = Limits::default().connections, "x-unit" = "connections"))]
    pub(crate) max_connections: Option<usize>,
    /// Connections at once from one address.
    #[schemars(extend("x-default" = "no limit", "x-unit" = "connections"))]
    pub(crate) max_connections_per_peer: Option<usize>,
    /// Networks, like `10.0.0.0/8`, whose `X-Forwarded-For` is believed.
    #[schemars(extend("default" = []))]
    pub(crate) trusted_proxies: Vec<String>,
    /// How long a client may take.
    pub(crate) timeouts: Timeouts,
    /// Certificates of the listener.
    #[schemars(extend("x-default" = "no TLS"))]
    pub(crate) tls: Option<Tls>,
    /// Which web pages may call.
    pub(crate) cors: Cors,
}

/// How long a client may take.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Timeouts {
    /// A request's head; also an idle connection.
    #[serde(deserialize_with = "duration")]
    #[schemars(with = "Words", extend("default" = words(Limits::default().head)))]
    pub(crate) head: Option<Duration>,
    /// A request's body, in all.
    #[serde(deserialize_with = "duration")]
    #[schemars(with = "Words", extend("default" = words(Limits::default().body)))]
    pub(crate) body: Option<Duration>,
    /// Silence within a request's body.
    #[serde(deserialize_with = "duration")]
    #[schemars(with = "Words", extend("default" = words(Limits::default().body_idle)))]
    pub(crate) body_idle: Option<Duration>,
    /// At which rate a request's body must arrive on the whole, beyond the first `body_idle` of
    /// waiting for it; 0 is any.
    #[schemars(extend("default" = Limits::default().body_rate, "x-unit" = "bytes a second"))]
    pub(crate) body_rate: Option<u64>,
    /// A client that takes nothing of what is sent to it, on a connection or on a stream of HTTP/2.
    #[serde(deserialize_with = "duration")]
    #[schemars(with = "Words", extend("default" = words(Limits::default().write_idle)))]
    pub(crate) write_idle: Option<Duration>,
}

/// PEM files, read again on reload.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// A file of the listener's certificate with its chain, leaf first.
    pub(crate) cert: PathBuf,
    /// A file of its private key.
    pub(crate) key: PathBuf,
    /// A file of the authority whose certificates clients must show.
    #[schemars(extend("x-default" = "clients show none"))]
    pub(crate) client_ca: Option<PathBuf>,
}

/// Which web pages may call.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Cors {
    /// Origins like `https://app.example.com`, or `*`.
    #[schemars(extend("default" = []))]
    pub(crate) origins: Vec<String>,
}

/// A client key.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    /// For people; also the key's id; each name once.
    pub(crate) name: String,
    /// The key itself; each key once.
    pub(crate) key: Text,
    /// Names and patterns (`openai/*`) the key may ask for: an alias by its own name, everything else
    /// as `provider/model`.
    #[schemars(extend("x-default" = "all"))]
    pub(crate) models: Option<Vec<String>>,
    /// Who owns the key.
    #[schemars(extend("x-default" = "nobody"))]
    pub(crate) team: Option<String>,
    /// Switches the key off without forgetting it.
    #[serde(default)]
    pub(crate) disabled: bool,
    /// What the key may spend. No effect in this version.
    #[schemars(extend("x-default" = "no limit"))]
    pub(crate) budget: Option<Budget>,
    /// How often it may ask. No effect in this version.
    #[schemars(extend("x-default" = "no limit", "x-unit" = "requests a minute"))]
    pub(crate) rpm: Option<u64>,
    /// How much it may use. No effect in this version.
    #[schemars(extend("x-default" = "no limit", "x-unit" = "tokens a minute"))]
    pub(crate) tpm: Option<u64>,
    /// What its charges are labelled with. No effect in this version.
    #[schemars(extend("x-default" = "none"))]
    pub(crate) tags: Option<Kept>,
    /// Who is told when it has spent how much. No effect in this version.
    #[schemars(extend("x-default" = "none"))]
    pub(crate) alerts: Option<Kept>,
}

/// What may be spent.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "read by nobody before budgets are enforced; its shape is checked")]
pub(crate) struct Budget {
    /// How much, as a decimal.
    #[schemars(extend("x-unit" = "US dollars"))]
    pub(crate) usd: String,
    /// In which time.
    pub(crate) per: Period,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Period {
    Day,
    Week,
    Month,
    Total,
}

/// Whom the gateway may ask.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Provider {
    /// A preset, or `openai-compatible`, `anthropic-compatible`, `gemini-compatible`.
    #[schemars(extend("x-default" = "the table's name"))]
    pub(crate) kind: Option<String>,
    /// The provider's key; a server of your own at a `base_url` needs none.
    #[schemars(extend("x-default" = "the preset's variable"))]
    pub(crate) api_key: Option<Text>,
    /// Several keys; each becomes a deployment.
    #[schemars(extend("default" = []))]
    pub(crate) api_keys: Vec<Text>,
    /// Where it is, as that provider's own SDK takes it: OpenAI's with `/v1`, Anthropic's and
    /// Gemini's without. Required for the `-compatible` kinds and Azure.
    #[schemars(extend("x-default" = "the preset's", "x-unit" = "URL"))]
    pub(crate) base_url: Option<Text>,
    /// What it speaks natively: `openai-chat`, `openai-responses`, `anthropic-messages`, `gemini`.
    #[schemars(extend("x-default" = "the preset's"))]
    pub(crate) protocols: Option<Vec<String>>,
    /// Whether it is asked which models it has (`GET /v1/models`): at start, each minute and on
    /// reload. They show in model lists, and bare names that it has go to it.
    #[schemars(extend("x-default" = "`true` for `ollama`, `vllm`, `lmstudio` and `llama-cpp`"))]
    pub(crate) discover: Option<bool>,
    /// The API version of Azure OpenAI.
    #[schemars(extend("x-default" = "its `v1` API"))]
    pub(crate) api_version: Option<Text>,
    /// The project of Vertex AI.
    #[schemars(extend("x-default" = "`GOOGLE_CLOUD_PROJECT`"))]
    pub(crate) project: Option<Text>,
    /// The location of Vertex AI: a region, or `global`.
    #[schemars(extend("x-default" = "`GOOGLE_CLOUD_LOCATION`"))]
    pub(crate) location: Option<Text>,
    /// The account Vertex AI is asked by: a file of a service account or of `gcloud`, its JSON
    /// itself, or `metadata` for the machine's own.
    #[schemars(extend("x-default" = "as Google's own libraries find it"))]
    pub(crate) credentials: Option<Text>,
    /// The region of Amazon Bedrock.
    #[schemars(extend("x-default" = "`AWS_REGION`, else `AWS_DEFAULT_REGION`"))]
    pub(crate) region: Option<Text>,
    /// The account's key of Amazon Bedrock, where it is shown no `api_key`.
    #[schemars(extend("x-default" = "`AWS_ACCESS_KEY_ID`"))]
    pub(crate) access_key_id: Option<Text>,
    /// The secret of that key.
    #[schemars(extend("x-default" = "`AWS_SECRET_ACCESS_KEY`"))]
    pub(crate) secret_access_key: Option<Text>,
    /// The token that goes with a key lent for a time.
    #[schemars(extend("x-default" = "`AWS_SESSION_TOKEN` with the environment's key, else none"))]
    pub(crate) session_token: Option<Text>,
    /// An HTTP, HTTPS or SOCKS proxy, or `none`. Loopback addresses are reached directly.
    #[schemars(extend("x-default" = "as `HTTPS_PROXY` and its like say", "x-unit" = "URL"))]
    pub(crate) proxy: Option<Text>,
    /// A PEM file of authorities to trust beside the system's, read again on reload.
    #[schemars(extend("x-default" = "the system's alone"))]
    pub(crate) ca: Option<PathBuf>,
    /// Whether its models cost nothing.
    #[schemars(extend("x-default" = "`true` for `ollama`, `vllm`, `lmstudio` and `llama-cpp`"))]
    pub(crate) free: Option<bool>,
    /// Prices of its models by name, in USD per million tokens, over the catalogue's:
    /// `"llama-4" = { input = "0.20", output = "0.60" }`.
    #[schemars(extend("default" = {}))]
    pub(crate) price: IndexMap<String, IndexMap<String, String>>,
    /// What its models take, by name or pattern, over what the catalogue knows:
    /// `"llama-*" = { developer_role = false }`.
    #[schemars(extend("default" = {}))]
    pub(crate) capabilities: IndexMap<String, Capabilities>,
    /// Whether it keeps what it is sent to learn from it, or passes it on. Requests that do not want
    /// that (`data_collection`) go only where this is `false`.
    #[schemars(extend("x-default" = "`false` for `ollama`, `vllm`, `lmstudio` and `llama-cpp`, else unknown"))]
    pub(crate) collects: Option<bool>,
    /// Whether it keeps nothing once the answer is given. Requests that want that (`zdr`) go only
    /// where this is `true`.
    #[schemars(extend("x-default" = "`true` for `ollama`, `vllm`, `lmstudio` and `llama-cpp`, else unknown"))]
    pub(crate) zero_retention: Option<bool>,
    /// How long an answer is read on when its client has left, so that its cost is known and not
    /// estimated.
    #[serde(deserialize_with = "duration")]
    #[schemars(with = "Words", extend("x-default" = "the provider is told at once"))]
    pub(crate) drain: Option<Duration>,
    /// As `[deadlines]`, for this provider.
    #[schemars(extend("x-default" = "those of `[deadlines]`"))]
    pub(crate) deadlines: Deadlines,
    /// Its share where several have a model. No effect in this version.
    #[schemars(extend("x-default" = "as others"))]
    pub(crate) weight: Option<Kept>,
}

/// A name of your own.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Alias {
    /// `provider/model`, at least one; or a table with its `target` and `weight`. In a name with a
    /// `*`, a `*` here is what that stood for.
    #[schemars(length(min = 1))]
    pub(crate) targets: Vec<AliasTarget>,
    /// In which order they are asked: as listed, by chance in proportion to their weights, the
    /// cheapest for the very request first, the fastest first, the less busy of two first, or all
    /// three together.
    #[serde(default, deserialize_with = "order")]
    #[schemars(schema_with = "orders", extend("default" = Order::default().as_str()))]
    pub(crate) routing: Order,
    /// How often the same target is asked again. No effect in this version.
    #[schemars(extend("x-default" = "as the failure's class says"))]
    pub(crate) retries: Option<Kept>,
    /// When a second target is asked beside a slow one. No effect in this version.
    #[schemars(extend("x-default" = "never"))]
    pub(crate) hedge: Option<Kept>,
    /// Whether another target goes on with a stream that broke. No effect in this version.
    #[schemars(extend("x-default" = "none does"))]
    pub(crate) resume: Option<Kept>,
}

/// A target of an alias, by name alone or with its share.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected `provider/model` or a table of `target` and `weight`")]
#[schemars(inline)]
pub(crate) enum AliasTarget {
    Name(String),
    Weighted(Weighted),
}

/// A target with its share.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct Weighted {
    target: String,
    #[serde(default = "one")]
    weight: u32,
    deadlines: Option<Kept>,
    proxy: Option<Kept>,
    ca: Option<Kept>,
    drain: Option<Kept>,
    price: Option<Kept>,
}

fn one() -> u32 {
    1
}

impl AliasTarget {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Weighted(weighted) => &weighted.target,
        }
    }

    pub(crate) fn weight(&self) -> u32 {
        match self {
            Self::Name(_) => one(),
            Self::Weighted(weighted) => weighted.weight,
        }
    }

    /// The keys that later versions will understand and that do no harm where they are ignored.
    pub(crate) fn kept(&self) -> Vec<&'static str> {
        let Self::Weighted(own) = self else { return Vec::new() };
        let kept = [("deadlines", &own.deadlines), ("drain", &own.drain), ("price", &own.price)];
        given(kept)
    }

    /// The keys that later versions will understand and that say which way calls must go: a call
    /// that went another would be worse than none.
    pub(crate) fn binding(&self) -> Option<&'static str> {
        let Self::Weighted(own) = self else { return None };
        given([("proxy", &own.proxy), ("ca", &own.ca)]).first().copied()
    }
}

/// How long an upstream may take or be silent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Deadlines {
    /// Name resolution, TCP and TLS together.
    #[serde(deserialize_with = "duration")]
    #[schemars(with = "Words", extend("default" = "3s"))]
    pub(crate) connect: Option<Duration>,
    /// Until the response's head.
    #[serde(deserialize_with = "duration")]
    #[schemars(with = "Words", extend("default" = words(tollgate_sse::Deadlines::default().head)))]
    pub(crate) head: Option<Duration>,
    /// Until the first content; what a stream says before does not count.
    #[serde(deserialize_with = "duration")]
    #[schemars(
        with = "Words",
        extend("default" = words(tollgate_sse::Deadlines::default().first_content))
    )]
    pub(crate) first_content: Option<Duration>,
    /// Between two whole events of a stream, pings included, comments not.
    #[serde(deserialize_with = "duration")]
    #[schemars(with = "Words", extend("default" = words(tollgate_sse::Deadlines::default().idle)))]
    pub(crate) idle: Option<Duration>,
    /// The whole call; nothing resets it.
    #[serde(deserialize_with = "duration")]
    #[schemars(with = "Words", extend("x-default" = "no limit"))]
    pub(crate) total: Option<Duration>,
}

/// Where the ledger is kept.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Store {
    /// `sqlite://PATH`, relative to the working directory.
    #[schemars(extend("x-default" = "`tollgate.db` in the data directory", "x-unit" = "URL"))]
    pub(crate) url: Option<Text>,
    /// When a charge counts as written: within a second (nothing waits for it), or on the disk (an
    /// answer's end waits for it).
    #[serde(default)]
    #[schemars(extend("default" = "batched"))]
    pub(crate) durability: Durability,
}

/// When a charge counts as written: within a second, or on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Durability {
    #[default]
    Batched,
    Strict,
}

impl From<Durability> for tollgate_store::Durability {
    fn from(said: Durability) -> Self {
        match said {
            Durability::Batched => Self::Batched,
            Durability::Strict => Self::Strict,
        }
    }
}

/// What replicas share.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "read by nobody before it is shared; its shape is checked")]
pub(crate) struct Shared {
    /// `redis://…`.
    #[schemars(extend("x-unit" = "URL"))]
    pub(crate) url: Text,
}

/// What calls cost.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prices {
    /// What becomes of a call under a hard budget whose price is not known. No effect before there
    /// are budgets.
    #[serde(default)]
    #[schemars(extend("default" = "refuse"))]
    pub(crate) unknown: Unknown,
    /// A price file over the built-in catalogue: our own schema or LiteLLM's map, read again on
    /// reload.
    #[schemars(extend("x-default" = "the built-in catalogue alone"))]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Unknown {
    #[default]
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

impl JsonSchema for Text {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "x-env": true })
    }
}

/// What only later versions understand, whatever it is. A file that says it is valid.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Kept(IgnoredAny);

/// The names of what there is.
pub(crate) fn given<const N: usize>(kept: [(&'static str, &Option<Kept>); N]) -> Vec<&'static str> {
    kept.into_iter().filter(|(_, kept)| kept.is_some()).map(|(name, _)| name).collect()
}

impl JsonSchema for Kept {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Kept".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-unit": "anything" })
    }
}

/// A duration in words, as the schema knows it.
struct Words;

impl JsonSchema for Words {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Words".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "x-unit": "duration" })
    }
}

fn words(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = |_| D::Error::custom(format!("{} is no duration like `30s`", quoted(&text)));
    humantime::parse_duration(&text).map(Some).map_err(wrong)
}

fn order<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Order, D::Error> {
    let name = String::deserialize(deserializer)?;
    let known = || Order::ALL.map(|order| format!("`{}`", order.as_str())).join(", ");
    let wrong =
        |_| D::Error::custom(format!("unknown variant `{name}`, expected one of {}", known()));
    name.parse().map_err(wrong)
}

/// The names of the orders, as the schema knows them.
fn orders(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": Order::ALL.map(Order::as_str) })
}
