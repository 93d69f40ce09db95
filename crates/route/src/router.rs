use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
};

use arc_swap::ArcSwap;
use hashbrown::HashMap;
use tollgate_catalog::Catalogue;
use tollgate_core::{Board, Caps, Operation, Plan, Protocol, Refusal, Target};

use crate::{
    Affinity, Alias, Ask, Provider, Resolve,
    candidate::{Maker, Place, Route},
    list::Listed,
    names::Meaning,
    random::Random,
};

/// So many names are kept with what they mean; what comes later is looked up each time.
const NAMES: usize = 1024;

/// Decides who could answer, from what it was told of providers, aliases and models.
///
/// Cheap to clone; a clone knows the same and shares what is learned while it serves (the
/// [`Board`], the [`Affinity`]). Changing one leaves its clones as they were.
#[derive(Clone, Debug)]
pub struct Router {
    pub(crate) providers: Arc<[Provider]>,
    pub(crate) aliases: Arc<BTreeMap<Box<str>, Alias>>,
    pub(crate) catalogue: Catalogue,
    pub(crate) board: Board,
    pub(crate) affinity: Affinity,
    pub(crate) translates: bool,
    pub(crate) random: Random,
    abilities: Abilities,
    pub(crate) known: Known,
}

/// Who knows better what models take.
#[derive(Clone, Default)]
pub(crate) struct Abilities(Option<Arc<Know>>);

type Know = dyn Fn(&Target, &mut Caps) + Send + Sync;

impl Abilities {
    /// What a target's model takes, of which the catalogue knows `caps`.
    pub(crate) fn of(&self, target: &Target, mut caps: Caps) -> Caps {
        if let Some(know) = &self.0 {
            know(target, &mut caps);
        }
        caps
    }
}

impl fmt::Debug for Abilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Abilities").field(&self.0.is_some()).finish()
    }
}

/// What was found out of names before.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// What those mean that were asked for, by protocol and operation.
    routes: Arc<[ArcSwap<Routes>]>,
    /// Those that lists show.
    pub(crate) listed: Arc<OnceLock<Vec<Listed>>>,
}

type Routes = HashMap<Box<str>, Arc<Route>>;

/// Kinds of calls to which a name may mean different things.
const KINDS: usize = Protocol::ALL.len() * 3;

impl Default for Known {
    fn default() -> Self {
        let routes = (0..KINDS).map(|_| ArcSwap::default()).collect();
        Self { routes, listed: Arc::default() }
    }
}

impl Known {
    fn of(&self, protocol: Protocol, operation: Operation) -> &ArcSwap<Routes> {
        let protocol = Protocol::ALL.iter().position(|one| *one == protocol).unwrap_or_default();
        let operation = match operation {
            Operation::Embed => 1,
            Operation::CountTokens => 2,
            _ => 0,
        };
        &self.routes[protocol * 3 + operation]
    }
}

impl Router {
    /// Returns a router to these providers, in order of precedence for bare names, that knows the
    /// built-in catalogue and no aliases.
    pub fn new(providers: impl IntoIterator<Item = Provider>) -> Self {
        Self {
            providers: providers.into_iter().collect(),
            aliases: Arc::default(),
            catalogue: Catalogue::builtin(),
            board: Board::new(),
            affinity: Affinity::default(),
            translates: false,
            random: Random::default(),
            abilities: Abilities::default(),
            known: Known::default(),
        }
    }

    /// Changes what it was told of each of its providers. What was learned of names is forgotten.
    pub fn each_provider(mut self, change: impl FnMut(&mut Provider)) -> Self {
        let mut providers = self.providers.to_vec();
        providers.iter_mut().for_each(change);
        self.providers = providers.into();
        self.forgotten()
    }

    /// Sets what names of one's own mean; a name with a `*` is a pattern. Default: there are none.
    ///
    /// A name that is one goes before patterns, of these the one with most letters goes first;
    /// `*` alone is for what means nothing else.
    pub fn aliases<I, N>(mut self, aliases: I) -> Self
    where
        I: IntoIterator<Item = (N, Alias)>,
        N: Into<Box<str>>,
    {
        self.aliases = Arc::new(aliases.into_iter().map(|(n, alias)| (n.into(), alias)).collect());
        self.forgotten()
    }

    /// Sets what is known of models and their prices. Default: the built-in catalogue.
    pub fn catalogue(mut self, catalogue: Catalogue) -> Self {
        self.catalogue = catalogue;
        self.forgotten()
    }

    /// Sets where is read how busy, fast and well targets are. Default: a board nobody writes to.
    pub fn board(mut self, board: Board) -> Self {
        self.board = board;
        self.forgotten()
    }

    /// Sets where is kept who answered which conversation, for a router that takes over from
    /// another. Default: a memory of its own.
    pub fn affinity(mut self, affinity: Affinity) -> Self {
        self.affinity = affinity;
        self
    }

    /// Sets whether somebody further in translates between protocols, so that a target need not
    /// speak the caller's. Default: no.
    pub fn translates(mut self, translates: bool) -> Self {
        self.translates = translates;
        self.forgotten()
    }

    /// Sets where chance comes from: each number as likely as any other. Default: a sequence of
    /// each thread's own.
    pub fn random(mut self, bits: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.random = Random::Given(Arc::new(bits));
        self
    }

    /// Sets who knows better than the catalogue what a target's model takes: called once for each
    /// target, with what the catalogue knows. Default: nobody.
    pub fn abilities(mut self, know: impl Fn(&Target, &mut Caps) + Send + Sync + 'static) -> Self {
        self.abilities = Abilities(Some(Arc::new(know)));
        self.forgotten()
    }

    /// What names mean may be different now.
    fn forgotten(mut self) -> Self {
        self.known = Known::default();
        self
    }

    /// Where is kept who answered which conversation.
    pub fn remembered(&self) -> &Affinity {
        &self.affinity
    }

    /// The providers, in order of precedence.
    pub fn providers(&self) -> &[Provider] {
        &self.providers
    }

    /// Finds a provider by its name or an alias of it.
    pub fn provider(&self, name: &str) -> Option<&Provider> {
        self.position(name).map(|at| &self.providers[at])
    }

    /// Returns the name on which a key's allowed models are checked: an alias as it is, anything
    /// else as `provider/model`.
    pub fn canonical<'a>(&self, asked: &'a str, protocol: Protocol) -> Cow<'a, str> {
        let known = self.known.of(protocol, Operation::Generate).load();
        let first = known.get(asked).filter(|route| !route.is_alias);
        if let Some(first) = first.and_then(|route| route.candidates.first()) {
            return first.name.to_string().into();
        }
        match self.meaning(asked, protocol) {
            Ok(Meaning::Model(provider, model)) => {
                Cow::Owned([&*self.providers[provider].name, "/", model].concat())
            }
            _ => Cow::Borrowed(asked),
        }
    }

    /// Notes which models a provider has. Returns whether that is news, and of a provider that is
    /// still there.
    pub fn learn(&mut self, asked: &Provider, models: &[Arc<str>]) -> bool {
        let still = |own: &Provider| own.discover && own.is_at(asked);
        let Some(at) = self.providers.iter().position(still) else { return false };
        if self.providers[at].models == models {
            return false;
        }
        let mut providers = self.providers.to_vec();
        providers[at].models = models.to_vec();
        self.providers = providers.into();
        self.known = Known::default();
        true
    }

    /// Takes over what was learned before of providers that are still there.
    pub fn remember(&mut self, before: &Self) {
        for asked in before.providers.iter().filter(|provider| provider.discover) {
            self.learn(asked, &asked.models);
        }
    }

    /// Returns what a name means to such calls.
    pub(crate) fn route(&self, ask: &Ask<'_>, name: &str) -> Result<Arc<Route>, Refusal> {
        let known = self.known.of(ask.call.protocol, ask.call.operation);
        if let Some(route) = known.load().get(name) {
            return Ok(route.clone());
        }
        let route = Arc::new(self.make(ask, name)?);
        if known.load().len() < NAMES {
            known.rcu(|known| {
                let mut more = Routes::clone(known);
                more.insert(name.into(), route.clone());
                more
            });
        }
        Ok(route)
    }

    fn make(&self, ask: &Ask<'_>, name: &str) -> Result<Route, Refusal> {
        let maker = Maker {
            providers: &self.providers,
            catalogue: &self.catalogue,
            board: &self.board,
            abilities: &self.abilities,
            translates: self.translates,
            protocol: ask.call.protocol,
            operation: ask.call.operation,
        };
        let mut route = Route::default();
        match self.meaning(name, ask.call.protocol)? {
            Meaning::Model(provider, model) => {
                maker.add(&mut route, Place { provider, model, place: 0, weight: 1 });
            }
            Meaning::Alias(alias, rest) => {
                (route.is_alias, route.order) = (true, alias.order);
                self.add_targets(&maker, &mut route, alias, rest)?;
            }
        }
        Ok(route)
    }

    fn add_targets(
        &self,
        maker: &Maker<'_>,
        route: &mut Route,
        alias: &Alias,
        rest: Option<&str>,
    ) -> Result<(), Refusal> {
        let mut nobody = None;
        for (place, target) in alias.targets.iter().enumerate() {
            let name = rest.map(|rest| Cow::Owned(target.name.replace('*', rest)));
            let name = name.unwrap_or(Cow::Borrowed(&*target.name));
            let parts = name.split_once('/');
            let found = parts.and_then(|(provider, model)| Some((self.position(provider)?, model)));
            match found {
                Some((provider, model)) => {
                    let weight = target.weight;
                    maker.add(route, Place { provider, model, place, weight });
                }
                None => nobody = nobody.or_else(|| Some(self.unknown(&name))),
            }
        }
        match nobody.filter(|_| route.candidates.is_empty() && route.unfit.is_empty()) {
            Some(refusal) => Err(refusal),
            None => Ok(()),
        }
    }

    /// What is known of a target's provider's models.
    pub(crate) fn catalogue_of(&self, provider: usize) -> &Catalogue {
        self.providers[provider].catalogue_or(&self.catalogue)
    }
}

impl Resolve for Router {
    fn resolve(&self, ask: &Ask<'_>) -> Result<Plan, Refusal> {
        self.plan(ask).map(|(plan, _)| plan)
    }

    fn answered(&self, affinity: u64, target: &Target) {
        let now = tokio::time::Instant::now().into_std();
        self.affinity.put(affinity, target, now);
    }

    fn keeps(&self, name: &str, target: &Target) {
        self.answered(self.affinity.named(name), target);
    }
}
