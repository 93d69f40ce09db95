use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

use tollgate_core::{Caps, Decimal};

use crate::{
    Date, Document, Model, PriceFileError, Rates, Schedule,
    builtin::{self, Hit},
    memo::Memo,
    model::{Prices, Text},
    pattern::Pattern,
    pinned::pinned,
};

/// Providers that make the models they serve, in the order a bare name is looked for.
const LABS: [&str; 16] = [
    "openai",
    "anthropic",
    "google",
    "mistral",
    "deepseek",
    "xai",
    "cohere",
    "moonshotai",
    "zai",
    "minimax",
    "meta",
    "ai21",
    "voyage",
    "jina",
    "alibaba",
    "perplexity",
];

/// What is known about models: the built-in data, what a file lays over them, and what a
/// configuration says.
///
/// Cheap to clone and never changed: each `with_…` makes another. Whoever holds one may swap it and
/// keep the last good.
///
/// ```
/// use tollgate_catalog::{Catalogue, FoundBy};
///
/// let catalogue = Catalogue::builtin();
/// let found = catalogue.find("anthropic", "claude-sonnet-4.5").unwrap();
/// assert_eq!((&*found.model.id, found.by), ("claude-sonnet-4-5", FoundBy::Pattern));
/// assert!(catalogue.find("anthropic", "claude-opus-99").is_none());
///
/// let file = r#"{"schema": "tollgate-prices/1", "models": [
///     {"provider": "anthropic", "id": "claude-opus-99", "rates": {"input": "7", "output": "35"}}
/// ]}"#;
/// let more = catalogue.with_file(file).unwrap();
/// assert!(more.find("anthropic", "claude-opus-99").is_some());
/// assert!(catalogue.find("anthropic", "claude-opus-99").is_none(), "the first is unchanged");
/// ```
#[derive(Clone, Debug)]
pub struct Catalogue(Arc<Inner>);

#[derive(Clone, Debug, Default)]
struct Inner {
    builtin: bool,
    version: Text,
    schedules: Vec<Schedule>,
    tool_fees: BTreeMap<Text, Prices>,
    providers: BTreeMap<Text, Overlay>,
    free: BTreeSet<String>,
    /// What was found before.
    found: Memo,
}

/// What is laid over a provider's built-in models.
#[derive(Clone, Debug, Default)]
struct Overlay {
    models: BTreeMap<Text, (Arc<Model>, Origin)>,
    aliases: BTreeMap<Text, Text>,
    patterns: Vec<(Pattern, Text)>,
}

/// A model and how it was found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Found {
    /// The model.
    pub model: Arc<Model>,
    /// By which rule.
    pub by: FoundBy,
    /// From where.
    pub origin: Origin,
    /// What to send on the wire: the model's own id, but a name pinned by a date as it was given.
    pub wire_id: String,
}

/// The rule that led to a model, in the order they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FoundBy {
    /// The name is its id.
    Exact,
    /// The name is another of its names.
    Alias,
    /// Its id or alias after a provider's prefix is taken away (`openai/gpt-5` at `openai`).
    Prefix,
    /// One of its anchored patterns.
    Pattern,
    /// Its id or alias after a trailing date is taken away.
    Dated,
}

/// Where a model's prices come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// Compiled in.
    Builtin,
    /// A price file.
    File,
    /// The configuration of one target.
    Configured,
}

impl FoundBy {
    /// `exact`, `alias`, `prefix`, `pattern`, `dated`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Alias => "alias",
            Self::Prefix => "prefix",
            Self::Pattern => "pattern",
            Self::Dated => "dated",
        }
    }
}

impl Origin {
    /// `builtin`, `file`, `configured`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Builtin => "builtin",
            Self::File => "file",
            Self::Configured => "configured",
        }
    }
}

impl Catalogue {
    /// The data compiled in. Costs nothing to speak of: a model is read when it is first
    /// asked for, and then kept.
    pub fn builtin() -> Self {
        static BUILTIN: LazyLock<Catalogue> = LazyLock::new(|| {
            let header = builtin::header();
            Catalogue(Arc::new(Inner {
                builtin: true,
                version: builtin::version(),
                schedules: header.schedules.clone(),
                tool_fees: header.tool_fees.iter().cloned().collect(),
                ..Inner::default()
            }))
        });
        BUILTIN.clone()
    }

    /// Knows nothing; for a catalogue that is wholly one's own.
    pub fn empty() -> Self {
        Self(Arc::default())
    }

    /// Lays a price file over this: our own schema or LiteLLM's map.
    ///
    /// A model of the file replaces the one of the same provider and id as a whole; the others stay.
    ///
    /// # Errors
    ///
    /// The first fault of the file, naming model and field. Nothing of it is taken then.
    pub fn with_file(&self, json: &str) -> Result<Self, PriceFileError> {
        self.with(Document::read(json)?)
    }

    /// Lays a document over this.
    ///
    /// # Errors
    ///
    /// A pattern that is not anchored or no pattern, a schedule nobody defines, an alias or model
    /// that is there twice.
    pub fn with(&self, document: Document) -> Result<Self, PriceFileError> {
        let mut inner = Inner::clone(&self.0);
        let date = document.priced_at.as_deref().unwrap_or("undated");
        inner.version = match &*inner.version {
            "" => date.to_owned().into(),
            version => format!("{version} + {date}").into(),
        };
        for schedule in document.schedules {
            inner.schedules.retain(|own| own.name != schedule.name);
            inner.schedules.push(schedule);
        }
        inner.tool_fees.extend(document.tool_fees);
        let mut seen = BTreeSet::new();
        for model in document.models {
            let name = format!("{}/{}", model.provider, model.id);
            if !seen.insert(name.clone()) {
                return Err(PriceFileError::new("is there twice").of(name));
            }
            inner.add(model, Origin::File).map_err(|error| error.of(name))?;
        }
        Ok(Self(Arc::new(inner)))
    }

    /// Declares that nothing at this provider costs anything: local and simulated ones.
    #[must_use]
    pub fn with_free(&self, provider: impl Into<String>) -> Self {
        let mut inner = Inner::clone(&self.0);
        inner.free.insert(provider.into());
        Self(Arc::new(inner))
    }

    /// Sets the token prices of one target, per million.
    ///
    /// They hold at any time, size and tier. What else is known of the model stays, its fees
    /// included. `model` is found as [`Catalogue::find`] does; one that is not known becomes so.
    #[must_use]
    pub fn with_price(&self, provider: &str, model: &str, rates: Rates) -> Self {
        let found = self.find(provider, model).map(|found| Model::clone(&found.model));
        let mut priced = found.unwrap_or_else(|| Model::new(provider.to_owned(), model.to_owned()));
        priced.id = model.to_owned().into();
        priced.rates = rates;
        priced.tiers.clear();
        priced.variants.clear();
        priced.modifiers.clear();
        priced.history.clear();
        priced.upcoming.clear();
        priced.off_peak = None;
        priced.effective_from = None;
        priced.page_checked = None;
        priced.page = None;
        priced.aliases.clear();
        priced.patterns.clear();
        priced.sources.clear();
        priced.disputed.clear();
        priced.scaled.clear();
        let mut inner = Inner::clone(&self.0);
        let overlay = inner.providers.entry(priced.provider.clone()).or_default();
        overlay.models.insert(priced.id.clone(), (Arc::new(priced), Origin::Configured));
        Self(Arc::new(inner))
    }

    /// The dates of the prices: of the built-in data, then of each file laid over them.
    pub fn version(&self) -> &str {
        &self.0.version
    }

    /// The same, as it is kept.
    pub(crate) fn dates(&self) -> &Text {
        &self.0.version
    }

    /// Whether a provider was declared free.
    pub fn is_free(&self, provider: &str) -> bool {
        self.0.free.contains(provider)
    }

    /// The catalogue's key of a provider that goes by several names: `gemini` is `google` here.
    pub fn provider_key(name: &str) -> &str {
        match name {
            "gemini" => "google",
            "moonshot" | "kimi" => "moonshotai",
            "z.ai" => "zai",
            "azure-openai" => "azure",
            "vertex-ai" | "vertex_ai" => "vertex",
            other => other,
        }
    }

    /// Whether a provider (or preset) makes the models it serves: a bare name goes to it before it
    /// goes to who only hosts the model.
    pub fn is_lab(provider: &str) -> bool {
        LABS.contains(&Self::provider_key(provider))
    }

    /// The model of this name at a provider (or preset, [`Catalogue::provider_key`]).
    ///
    /// Tried in this order: exact id; alias; either after a provider's prefix is taken away; the
    /// anchored pattern that matches most of the name; either after a trailing date is taken away.
    /// There is no other guess: `None` is an unknown model, and its price is unknown too.
    pub fn find(&self, provider: &str, name: &str) -> Option<Found> {
        let provider = Self::provider_key(provider);
        self.find_listed(provider, name).or_else(|| self.find_matched(provider, name))
    }

    /// The same, remembered: charges name the same models again and again.
    pub(crate) fn row(&self, provider: &str, name: &str) -> Option<Arc<Found>> {
        self.0.found.get_or(provider, name, || self.find(provider, name))
    }

    /// Whether the price of a model is known; what a free provider has costs nothing.
    ///
    /// ```
    /// use tollgate_catalog::Catalogue;
    ///
    /// let catalogue = Catalogue::builtin();
    /// assert!(catalogue.is_priced("openai", "gpt-4o"));
    /// assert!(!catalogue.is_priced("openai", "gpt-99"));
    /// assert!(catalogue.with_free("here").is_priced("here", "gpt-99"));
    /// ```
    pub fn is_priced(&self, provider: &str, name: &str) -> bool {
        self.is_free(provider)
            || self.row(provider, name).is_some_and(|found| found.model.is_priced())
    }

    /// What routing and translation ask of the model of this name at a provider: what is known of
    /// it, else of its family, else the default.
    ///
    /// ```
    /// use tollgate_catalog::Catalogue;
    /// use tollgate_core::Thinking;
    ///
    /// let caps = Catalogue::builtin().caps("anthropic", "claude-sonnet-4-5");
    /// assert_eq!(caps.thinking, Some(Thinking::Budget));
    /// ```
    pub fn caps(&self, provider: &str, name: &str) -> Caps {
        match self.find(provider, name) {
            Some(found) => found.model.caps(),
            None => {
                let mut caps = Caps::default();
                crate::habits::apply(name, &mut caps);
                caps
            }
        }
    }

    /// The model of a bare name: at the lab that makes it, else at the first of `providers` that
    /// has it. Only these are looked at; an empty list means all there are.
    ///
    /// ```
    /// use tollgate_catalog::Catalogue;
    ///
    /// let catalogue = Catalogue::builtin();
    /// let lab = catalogue.find_anywhere("claude-sonnet-4-5", &[]).unwrap();
    /// assert_eq!(lab.model.provider, "anthropic");
    /// let host = catalogue.find_anywhere("gpt-4o", &["groq", "azure"]).unwrap();
    /// assert_eq!(host.model.provider, "azure");
    /// ```
    pub fn find_anywhere(&self, name: &str, providers: &[&str]) -> Option<Found> {
        let keys: Vec<&str> = match providers {
            [] => self.providers().collect(),
            given => given.iter().map(|provider| Self::provider_key(provider)).collect(),
        };
        let labs = LABS.iter().copied().filter(|lab| keys.contains(lab));
        let hosts = keys.iter().copied().filter(|key| !LABS.contains(key));
        let order: Vec<&str> = labs.chain(hosts).collect();
        let listed = order.iter().find_map(|provider| self.find_listed(provider, name));
        listed.or_else(|| order.iter().find_map(|provider| self.find_matched(provider, name)))
    }

    /// Every provider something is known of, sorted.
    pub fn providers(&self) -> impl Iterator<Item = &str> {
        let builtin = builtin::providers().filter(|_| self.0.builtin);
        let mut all: BTreeSet<&str> = builtin.collect();
        all.extend(self.0.providers.keys().map(|provider| &**provider));
        all.into_iter()
    }

    /// Every model of a provider, sorted by id.
    pub fn models(&self, provider: &str) -> impl Iterator<Item = Arc<Model>> {
        let provider = Self::provider_key(provider);
        let builtin = self.0.builtin.then(|| builtin::models(provider)).into_iter().flatten();
        let mut models: BTreeMap<Text, Arc<Model>> =
            builtin.map(|model| (model.id.clone(), model)).collect();
        let overlay = self.0.providers.get(provider).into_iter().flat_map(|o| &o.models);
        models.extend(overlay.map(|(id, (model, _))| (id.clone(), Arc::clone(model))));
        models.into_values()
    }

    /// The schedule of this name.
    pub(crate) fn schedule(&self, name: &str) -> Option<&Schedule> {
        self.0.schedules.iter().find(|schedule| schedule.name == name)
    }

    /// What a tool costs at a provider where its model lists nothing.
    pub(crate) fn tool_fee(&self, provider: &str, name: &str) -> Option<Decimal> {
        let fees = self.0.tool_fees.get(provider)?;
        fees.iter().find(|(fee, _)| fee == name).map(|(_, price)| *price)
    }

    fn find_listed(&self, provider: &str, name: &str) -> Option<Found> {
        self.listed(provider, name, name).or_else(|| {
            let bare = without_prefix(provider, name)?;
            Some(Found { by: FoundBy::Prefix, ..self.listed(provider, bare, bare)? })
        })
    }

    fn find_matched(&self, provider: &str, name: &str) -> Option<Found> {
        let bare = without_prefix(provider, name).unwrap_or(name);
        self.matched(provider, name).or_else(|| self.matched(provider, bare)).or_else(|| {
            let undated = without_date(bare)?;
            Some(Found { by: FoundBy::Dated, ..self.listed(provider, undated, bare)? })
        })
    }

    /// By exact id, else by alias; `wire` is what is sent of a dated id.
    fn listed(&self, provider: &str, name: &str, wire: &str) -> Option<Found> {
        let overlay = self.0.providers.get(provider);
        if let Some((model, origin)) = overlay.and_then(|o| o.models.get(name)) {
            return Some(found(Arc::clone(model), FoundBy::Exact, *origin, wire));
        }
        let builtin = self.0.builtin.then(|| builtin::find(provider, name)).flatten();
        let alias = match builtin {
            Some(Hit::Id(model)) => {
                return Some(found(model, FoundBy::Exact, Origin::Builtin, wire));
            }
            Some(Hit::Alias(model)) => Some(model),
            None => None,
        };
        let named = overlay.and_then(|o| o.aliases.get(name));
        let id = named.cloned().or_else(|| alias.as_ref().map(|model| model.id.clone()))?;
        if let Some((model, origin)) = overlay.and_then(|o| o.models.get(&id)) {
            return Some(found(Arc::clone(model), FoundBy::Alias, *origin, spelt(wire, &id)));
        }
        alias.map(|model| found(model, FoundBy::Alias, Origin::Builtin, spelt(wire, &id)))
    }

    fn matched(&self, provider: &str, name: &str) -> Option<Found> {
        let overlay = self.0.providers.get(provider);
        let own = overlay.into_iter().flat_map(|o| &o.patterns);
        let own = own
            .filter_map(|(pattern, id)| Some((pattern.length(name)?, &**id)))
            .max_by_key(|(length, _)| *length);
        let builtin = self.0.builtin.then(|| builtin::matched(provider, name)).flatten();
        let id = match (own, builtin) {
            (Some((own, id)), Some((builtin, _))) if own >= builtin => id,
            (_, Some((_, id))) | (Some((_, id)), None) => id,
            (None, None) => return None,
        };
        let wire = if without_date(name) == Some(id) { name } else { id };
        Some(Found { by: FoundBy::Pattern, ..self.listed(provider, id, wire)? })
    }
}

impl Default for Catalogue {
    fn default() -> Self {
        Self::builtin()
    }
}

impl Inner {
    fn add(&mut self, model: Model, origin: Origin) -> Result<(), PriceFileError> {
        let undefined = |name: &Text| !self.schedules.iter().any(|s| s.name == *name);
        if let Some(off) = model.off_peak.as_ref().filter(|off| undefined(&off.schedule)) {
            let problem = format!("{:?} is not defined", off.schedule);
            return Err(PriceFileError::at("off_peak.schedule", problem));
        }
        let overlay = self.providers.entry(model.provider.clone()).or_default();
        for pattern in &model.patterns {
            let compiled =
                Pattern::new(pattern).map_err(|problem| PriceFileError::at("match", problem))?;
            overlay.patterns.push((compiled, model.id.clone()));
        }
        for alias in &model.aliases {
            let before = overlay.aliases.insert(alias.clone(), model.id.clone());
            if let Some(other) = before.filter(|other| *other != model.id) {
                let problem = format!("{alias:?} is {other} already");
                return Err(PriceFileError::at("aliases", problem));
            }
        }
        overlay.models.insert(model.id.clone(), (Arc::new(model), origin));
        Ok(())
    }
}

fn found(model: Arc<Model>, by: FoundBy, origin: Origin, wire: &str) -> Found {
    Found { model, by, origin, wire_id: wire.to_owned() }
}

/// What is sent of another name of a model: its own id, unless that loses the date asked for.
fn spelt<'a>(asked: &'a str, id: &'a str) -> &'a str {
    let is_lost = pinned(asked).is_some_and(|date| pinned(id) != Some(date));
    if is_lost { asked } else { id }
}

/// The name without the prefix other tools put before this provider's ids.
fn without_prefix<'a>(provider: &str, name: &'a str) -> Option<&'a str> {
    let others: &[&str] = match provider {
        "google" => &["gemini/", "models/"],
        "vertex" => {
            &["vertex_ai/", "publishers/google/models/", "publishers/anthropic/models/", "google/"]
        }
        "azure-ai" => &["azure_ai/"],
        "bedrock-mantle" => &["bedrock_mantle/"],
        "together" => &["together_ai/"],
        "fireworks" => &["fireworks_ai/"],
        "moonshotai" => &["moonshot/", "kimi/"],
        "alibaba" => &["dashscope/"],
        "jina" => &["jina_ai/"],
        _ => &[],
    };
    let own = name.strip_prefix(provider).and_then(|rest| rest.strip_prefix('/'));
    own.or_else(|| others.iter().find_map(|prefix| name.strip_prefix(prefix)))
        .filter(|rest| !rest.is_empty())
}

/// The name without `-20261122`, `@20261122` or `-2026-11-22` at its end.
pub(crate) fn without_date(name: &str) -> Option<&str> {
    let plausible = |date: Option<Date>| date.is_some_and(|d| d >= Date::of(946_684_800));
    let dashed = name.len().checked_sub(11).and_then(|at| name.split_at_checked(at));
    if let Some((rest, date)) = dashed
        && plausible(date.strip_prefix('-').and_then(|date| date.parse().ok()))
    {
        return Some(rest).filter(|rest| !rest.is_empty());
    }
    let (rest, date) = name.split_at_checked(name.len().checked_sub(9)?)?;
    let digits = date.strip_prefix(['-', '@'])?;
    let dashed = format!("{}-{}-{}", digits.get(..4)?, digits.get(4..6)?, digits.get(6..)?);
    (plausible(dashed.parse().ok()) && !rest.is_empty()).then_some(rest)
}
