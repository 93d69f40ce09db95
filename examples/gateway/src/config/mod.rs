//! Configuration: from file, environment and command line to what the gateway runs on.
//!
//! One TOML file is the truth; unknown keys are errors. Without a file, or without providers in
//! it, the keys found in the environment switch their providers on; without any, the built-in
//! simulated providers serve.

mod aliases;
mod capabilities;
mod file;
mod hosts;
mod keys;
mod parse;
mod prices;
mod providers;
mod quote;
mod schema;
mod server;
mod store;
mod translate;

use std::{
    collections::{BTreeMap, HashMap},
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tollgate_catalog::Catalogue;
use tollgate_core::Board;
use tollgate_keys::{KeyStore, MemoryKeys};
use tollgate_route::{Affinity, Alias, Provider, Router};

use self::file::{File, given};
pub use self::{providers::Source, schema::schema, server::ServerConfig, store::StoreConfig};
use crate::{
    abilities::Abilities,
    stack::Patience,
    state::{CredentialsByName, State},
    translation::Translation,
    upstreams::{Upstreams, Ways},
};

/// What is wrong with a configuration: where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    place: String,
    message: String,
}

impl ConfigError {
    fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl std::error::Error for ConfigError {}

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the listener and the edge do.
    pub server: ServerConfig,
    /// How long upstreams may be silent.
    pub deadlines: Deadlines,
    /// What differs with a provider, by its name.
    pub provider_deadlines: HashMap<Arc<str>, Deadlines>,
    /// Who may be asked, in order of precedence for bare names.
    pub providers: Vec<Provider>,
    /// What names of one's own mean.
    pub aliases: BTreeMap<Box<str>, Alias>,
    /// Credentials of the providers.
    pub credentials: CredentialsByName,
    /// How the providers are reached.
    pub ways: Ways,
    /// The files the providers' tables name, which were read with them.
    pub files: Vec<PathBuf>,
    /// The keys of the file.
    pub keys: MemoryKeys,
    /// Where the providers come from.
    pub source: Source,
    /// What models cost.
    pub catalogue: Catalogue,
    /// What they cost at providers that are free or have prices of their own.
    pub own_prices: HashMap<Arc<str>, Catalogue>,
    /// How long whose answers are read on for clients that have left.
    pub drains: HashMap<Arc<str>, Duration>,
    /// Where charges are kept.
    pub store: StoreConfig,
    /// What is said of models beyond the catalogue.
    pub abilities: Abilities,
    /// How requests are translated.
    pub translation: Translation,
    /// What is accepted but has no effect yet.
    pub warnings: Vec<String>,
}

/// How long an upstream may take or be silent; `None` where the layers' defaults apply.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct Deadlines {
    pub connect: Option<Duration>,
    pub head: Option<Duration>,
    pub first_content: Option<Duration>,
    pub idle: Option<Duration>,
    pub total: Option<Duration>,
}

impl From<file::Deadlines> for Deadlines {
    fn from(file: file::Deadlines) -> Self {
        let file::Deadlines { connect, head, first_content, idle, total } = file;
        Self { connect, head, first_content, idle, total }
    }
}

impl Deadlines {
    /// Returns `usual` with what is said here.
    fn over(self, mut usual: tollgate_sse::Deadlines) -> tollgate_sse::Deadlines {
        usual.head = self.head.unwrap_or(usual.head);
        usual.first_content = self.first_content.unwrap_or(usual.first_content);
        usual.idle = self.idle.unwrap_or(usual.idle);
        usual
    }
}

impl Config {
    /// Reads the file at `path`.
    ///
    /// Errors: the first thing that is wrong, with file, line or path within the file.
    pub fn read(path: &Path, demo: bool) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let text = fs::read_to_string(path)
            .map_err(|error| ConfigError::new(&name, format!("cannot be read: {error}")))?;
        Self::parse(&name, &text, demo)
    }

    /// Reads a file's text; `name` is how errors call it. An empty text is zero configuration.
    ///
    /// Errors: the first thing that is wrong, with file, line or path within the file.
    pub fn parse(name: &str, text: &str, demo: bool) -> Result<Self, ConfigError> {
        let file = parse::parse(name, text)?;
        Self::resolve(&file, demo).map_err(|Wrong { path, message }| {
            let place = parse::place_of(name, text, &path);
            ConfigError::new(place, format!("`{path}`: {message}"))
        })
    }

    fn resolve(file: &File, demo: bool) -> Result<Self, Wrong> {
        let providers = providers::resolve(file, demo)?;
        let aliases = aliases::resolve(&file.models, &providers.list)?;
        let keys = keys::resolve(&file.keys)?;
        let server = server::resolve(&file.server)?;
        Ok(Self {
            server,
            deadlines: file.deadlines.into(),
            provider_deadlines: provider_deadlines(file),
            providers: providers.list,
            aliases,
            credentials: providers.credentials,
            ways: providers.ways,
            files: files(file),
            keys,
            catalogue: prices::catalogue(file)?,
            own_prices: prices::own(file, &providers.free)?,
            drains: drains(file),
            store: store::resolve(file.store.as_ref())?,
            abilities: capabilities::abilities(&file.providers),
            translation: translate::resolve(&file.translate),
            source: providers.source,
            warnings: warnings(file),
        })
    }

    /// Returns what the stack runs on, with `stored` keys beside those of the file.
    pub fn state(&self, stored: Arc<dyn KeyStore>) -> State {
        self.state_with(stored, &Upstreams::default(), Board::new(), Affinity::default())
    }

    /// Returns the same for a gateway that runs on `before`: what is reached as it was keeps its
    /// connections and the models that are known of it.
    pub fn state_after(&self, stored: Arc<dyn KeyStore>, before: &State) -> State {
        let (board, affinity) = (before.board.clone(), before.router.remembered().clone());
        let mut state = self.state_with(stored, &before.upstreams, board, affinity);
        state.router.remember(&before.router);
        state
    }

    /// Who answers to which name, as `board` and `affinity` know of those who did.
    fn router(&self, board: Board, affinity: Affinity) -> Router {
        let providers = self.providers.iter().cloned().map(|mut provider| {
            provider.catalogue = self.own_prices.get(&provider.name).cloned();
            provider
        });
        let abilities = self.abilities.clone();
        Router::new(providers)
            .aliases(self.aliases.clone())
            .catalogue(self.catalogue.clone())
            .board(board)
            .affinity(affinity)
            .translates(true)
            .abilities(move |target, caps| abilities.tell(target, caps))
    }

    fn state_with(
        &self,
        stored: Arc<dyn KeyStore>,
        before: &Upstreams,
        board: Board,
        affinity: Affinity,
    ) -> State {
        State {
            router: self.router(board.clone(), affinity),
            board,
            credentials: self.credentials.clone(),
            catalogue: self.catalogue.clone(),
            own_prices: self.own_prices.clone(),
            drains: self.drains.clone(),
            keys: vec![Arc::new(self.keys.clone()), stored],
            patience: self.patience(),
            upstreams: Upstreams::new(&self.ways, before),
            translation: self.translation.clone(),
        }
    }

    fn patience(&self) -> Patience {
        let usual = self.deadlines.over(tollgate_sse::Deadlines::default());
        let own = self.provider_deadlines.iter();
        let providers = own.map(|(name, own)| (name.clone(), (own.over(usual), own.total)));
        let with_others = Patience::default().with_others;
        Patience {
            usual,
            with_others: with_others.filter(|_| self.deadlines.first_content.is_none()),
            total: self.deadlines.total,
            providers: providers.collect(),
        }
    }
}

/// The files the configuration names.
fn files(file: &File) -> Vec<PathBuf> {
    let prices = file.prices.iter().filter_map(|prices| prices.file.clone());
    file.providers.values().flat_map(hosts::files).chain(prices).collect()
}

fn drains(file: &File) -> HashMap<Arc<str>, Duration> {
    let said = file.providers.iter().filter_map(|(name, p)| Some((name.as_str().into(), p.drain?)));
    said.collect()
}

fn provider_deadlines(file: &File) -> HashMap<Arc<str>, Deadlines> {
    let said = file.providers.iter().filter(|(_, p)| p.deadlines != file::Deadlines::default());
    said.map(|(name, p)| (name.as_str().into(), p.deadlines.into())).collect()
}

/// Something wrong at a path within the file.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) path: String,
    pub(crate) message: String,
}

impl Wrong {
    pub(crate) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

/// Whoever writes what has no effect must be told, each time.
fn warnings(file: &File) -> Vec<String> {
    let silent = silent_sections(file).into_iter().chain(silent_in_keys(file));
    let silent = silent.chain(silent_in_providers(file)).chain(silent_in_models(file));
    silent.map(|what| format!("`{what}` has no effect in this version")).collect()
}

fn silent_sections(file: &File) -> Vec<String> {
    let unknown = file.prices.as_ref().is_some_and(|p| p.unknown != Default::default());
    let known = [("shared", file.shared.is_some()), ("prices.unknown", unknown)];
    let known = known.into_iter().filter(|(_, given)| *given).map(|(name, _)| name);
    let kept = given([
        ("teams", &file.teams),
        ("projects", &file.projects),
        ("retention", &file.retention),
        ("admin", &file.admin),
        ("oidc", &file.oidc),
    ]);
    known.chain(kept).map(str::to_owned).collect()
}

fn silent_in_keys(file: &File) -> Vec<String> {
    let mut silent = Vec::new();
    for key in &file.keys {
        let limits = [
            ("budget", key.budget.is_some()),
            ("rpm", key.rpm.is_some()),
            ("tpm", key.tpm.is_some()),
        ];
        let limits = limits.into_iter().filter(|(_, given)| *given).map(|(limit, _)| limit);
        let kept = given([("tags", &key.tags), ("alerts", &key.alerts)]);
        silent.extend(limits.chain(kept).map(|what| format!("keys.{}.{what}", key.name)));
    }
    silent
}

fn silent_in_providers(file: &File) -> Vec<String> {
    let weighed = file.providers.iter().filter(|(_, provider)| provider.weight.is_some());
    weighed.map(|(name, _)| format!("providers.{name}.weight")).collect()
}

fn silent_in_models(file: &File) -> Vec<String> {
    let mut silent = Vec::new();
    for (name, alias) in &file.models {
        let kept =
            [("retries", &alias.retries), ("hedge", &alias.hedge), ("resume", &alias.resume)];
        silent.extend(given(kept).into_iter().map(|what| format!("models.{name}.{what}")));
        for (i, target) in alias.targets.iter().enumerate() {
            let kept = target.kept().into_iter();
            silent.extend(kept.map(|what| format!("models.{name}.targets[{i}].{what}")));
        }
    }
    silent
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        Config::parse("t.toml", text, false).unwrap_err().to_string()
    }

    const LOCAL: &str =
        "[providers.local]\nkind = \"openai-compatible\"\nbase_url = \"http://127.0.0.1:1/v1\"\n";

    #[test]
    fn an_empty_file_serves_simulated_providers_or_those_of_the_environment() {
        let config = Config::parse("t.toml", "", true).unwrap();
        assert_eq!(config.source, Source::Simulated);
        assert_eq!(config.server.listen, "127.0.0.1:4000");
        assert_eq!(config.providers.len(), 3);
    }

    #[test]
    fn a_local_server_needs_a_url_and_no_key() {
        let config = Config::parse("t.toml", LOCAL, false).unwrap();
        assert_eq!(config.source, Source::File);
        assert_eq!(&*config.providers[0].name, "local");
    }

    #[test]
    fn what_is_wrong_is_named_by_its_path() {
        for (text, expected) in [
            (
                "[providers.opnai]\n",
                "`providers.opnai.kind`: `opnai` is no preset; did you mean `openai`?",
            ),
            ("[providers.x]\nkind = \"openai-compatible\"\n", "`providers.x.base_url`: "),
            (
                "[providers.openai]\napi_key = \"env:TOLLGATE_TEST_UNSET\"\n",
                "`providers.openai.api_key`: the environment variable TOLLGATE_TEST_UNSET",
            ),
            (
                "[providers.x]\nkind = \"openai-compatible\"\nbase_url = \"127.0.0.1\"\n",
                "`providers.x.base_url`: is no http or https URL",
            ),
            (
                "[providers.x]\nkind = \"openai-compatible\"\nbase_url = \"http://h\"\nprotocols = [\"openai\"]\n",
                "`providers.x.protocols[0]`: `openai` is no protocol; one of `openai-chat`, ",
            ),
            ("[[keys]]\nname = \"a\"\nkey = \"\"\n", "`keys[0].key`: "),
            (
                "[[keys]]\nname = \"a\"\nkey = \"k1\"\n[[keys]]\nname = \"a\"\nkey = \"k2\"\n",
                "`keys[1].name`: ",
            ),
            (
                "[[keys]]\nname = \"a\"\nkey = \"k1\"\n[[keys]]\nname = \"b\"\nkey = \"k1\"\n",
                "`keys[1].key`: ",
            ),
        ] {
            let message = message(text);
            assert!(message.contains(expected), "{message}");
        }
        let dangling = format!("{LOCAL}[models.fast]\ntargets = [\"locl/m\"]\n");
        let message = message(&dangling);
        assert!(message.contains("`models.fast.targets[0]`"), "{message}");
        assert!(message.contains("did you mean `local/m`?"), "{message}");
        let preset = format!("{LOCAL}[models.fast]\ntargets = [\"ollama/m\"]\n");
        assert!(self::message(&preset).ends_with("`[providers.ollama]` declares it"));
        let empty = format!("{LOCAL}[models.fast]\ntargets = []\n");
        assert!(self::message(&empty).contains("`models.fast.targets`"));
    }

    #[test]
    fn no_value_is_repeated_that_could_be_a_secret() {
        const SECRET: &str = "sk-proj-abcdefghijklmnopqrstuvwx1234";
        for text in [
            "[providers.openai]\napi_keys = \"SECRET\"\n",
            "[providers]\nopenai = \"SECRET\"\n",
            "keys = \"SECRET\"\n",
            "keys = [\"SECRET\"]\n",
            "[[keys]]\nSECRET = 1\n",
            "[[keys]]\nname = \"a\"\nkey = \"env:SECRET\"\n",
            "[[keys]]\nname = \"SECRET\"\nkey = \"a\"\n[[keys]]\nname = \"SECRET\"\nkey = \"b\"\n",
            "[[keys]]\nname = \"a\"\nkey = SECRET\n",
            "[[keys]]\nname = \"a\"\nkey = \"SECRET\nmodels = []\n",
            "[[keys]]\nname = \"a\"\nkey = \"SECRET\\q\"\n",
            "[[keys]]\nname = \"a\"\nkey = \"k\"\nrpm = \"SECRET\"\n",
            "[[keys]]\nname = \"a\"\nkey = \"k\"\nbudget = { usd = \"1\", per = \"SECRET\" }\n",
            "[providers.openai]\napi_key = \"env:SECRET\"\n",
            "[providers.x]\nkind = \"SECRET\"\n",
            "[providers.x]\nkind = \"openai-SECRET\"\n",
            "[providers.x]\nkind = \"openai-compatible\"\nbase_url = \"ftp://user:SECRET@h/\"\n",
            "[providers.x]\nkind = \"openai-compatible\"\nbase_url = \"user:SECRET@host/v1\"\n",
            "[providers.x]\nkind = \"openai-compatible\"\nbase_url = \"env:CARGO_MANIFEST_DIR\"\n",
            "[providers.openai]\nprotocols = [\"SECRET\"]\napi_key = \"k\"\n",
            "[providers.openai]\nproxy = \"http://u:SECRET@\"\napi_key = \"k\"\n",
            "[models.fast]\ntargets = [\"SECRET\"]\n",
            "[models.fast]\ntargets = [\"SECRET/m\"]\n",
            "[models.fast]\nrouting = \"SECRET\"\ntargets = []\n",
            "[deadlines]\nidle = \"SECRET\"\n",
            "[server]\nlisten = \"u:SECRET@host\"\n",
            "[server]\ntrusted_proxies = [\"SECRET\"]\n",
            "[server.cors]\norigins = [\"SECRET\"]\n",
            "[store]\nurl = \"postgres://u:SECRET@h/\"\n",
            "[store]\nurl = \"env:SECRET\"\n",
            "[store]\ndurability = \"SECRET\"\n",
        ] {
            let message = message(&text.replace("SECRET", SECRET));
            assert!(!message.contains("abcdef"), "{text}: {message}");
            assert!(!message.contains(env!("CARGO_MANIFEST_DIR")), "{text}: {message}");
            assert!(message.starts_with("t.toml:"), "{text}: {message}");
        }
        assert!(!message("[[keys]]\nname = 987654321\n").contains("987654321"));
    }

    #[test]
    fn the_server_section_is_checked() {
        for (text, expected) in [
            ("trusted_proxies = [\"10.0.0.0/8\", \"10/8\"]", "`server.trusted_proxies[1]`: `10/8`"),
            ("[server.cors]\norigins = [\"app.test\"]", "`server.cors.origins[0]`: `app.test`"),
            ("[server.tls]\ncert = \"a\"", "missing field `key`"),
            ("listen = \"4000\"", "`server.listen`: `4000` is no host and port"),
            ("listen = \"127.0.0.1:99999\"", "`server.listen`: "),
            ("[server.timeouts]\nbody_idel = \"1s\"", "did you mean `body_idle`?"),
        ] {
            let message = message(&format!("[server]\n{text}\n"));
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_providers_deadlines_lie_over_the_usual_ones() {
        let text = format!(
            "{LOCAL}deadlines = {{ head = \"3s\", total = \"9s\" }}\n[deadlines]\nidle = \"5s\"\n"
        );
        let patience = Config::parse("t.toml", &text, false).unwrap().patience();
        let (own, total) = patience.providers["local"];
        assert_eq!((own.head.as_secs(), own.idle.as_secs()), (3, 5));
        assert_eq!((total, patience.total), (Some(Duration::from_secs(9)), None));
        assert_eq!(patience.usual.head, tollgate_sse::Deadlines::default().head);
    }

    #[test]
    fn limits_that_are_not_enforced_are_said_so() {
        let limits = "[[keys]]\nname = \"a\"\nkey = \"k\"\nrpm = 5\n";
        let config = Config::parse("t.toml", &format!("{LOCAL}{limits}"), false).unwrap();
        assert!(config.warnings[0].contains("keys.a.rpm"));
        assert_eq!(config.warnings.len(), 1);
    }

    #[test]
    fn names_kept_for_what_comes_are_said_to_have_no_effect() {
        let text = "[[keys]]\nname = \"a\"\nkey = \"k\"\ntags = { cost = \"x\" }\nalerts = [1]\n\
            [[teams]]\nname = \"t\"\nbudget = { usd = \"1\", per = \"day\" }\ntags = []\n\
            [[projects]]\nname = \"p\"\n[retention]\nledger = \"90d\"\n[admin]\nlisten = \"x\"\n\
            [oidc]\nissuer = \"x\"\n\
            [models.fast]\nretries = 1\nhedge = \"2s\"\nresume = true\n\
            targets = [{ target = \"local/m\", weight = 2, deadlines = { idle = \"1s\" } }]\n";
        let config = Config::parse("t.toml", &format!("{LOCAL}weight = 2\n{text}"), false).unwrap();
        for name in [
            "teams",
            "projects",
            "retention",
            "admin",
            "oidc",
            "keys.a.tags",
            "keys.a.alerts",
            "providers.local.weight",
            "models.fast.retries",
            "models.fast.hedge",
            "models.fast.resume",
            "models.fast.targets[0].deadlines",
        ] {
            let warning = format!("`{name}` has no effect in this version");
            assert!(config.warnings.contains(&warning), "{name}: {:?}", config.warnings);
        }
        assert_eq!(config.warnings.len(), 12);
        let proxied = format!(
            "{LOCAL}[models.fast]\ntargets = [{{ target = \"local/m\", proxy = \"x\" }}]\n"
        );
        assert!(
            message(&proxied).contains("`models.fast.targets[0].proxy`: is not in this version")
        );
    }
}
