//! What the stack reads while it serves: one snapshot, replaced whole.

use std::{borrow::Cow, collections::HashMap, fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tollgate_catalog::{Catalogue, Occasion, Priced};
use tollgate_core::{Board, Plan, Protocol, Refusal, Target, Usage};
use tollgate_keys::{Canonical, Credential, Credentials, KeyHash, KeyRecord, KeyStore};
use tollgate_meter::Prices;
use tollgate_route::{Ask, Provider, Resolve, Router};
use tollgate_wire::usage::Profile;

use crate::{stack::Patience, translation::Translation, upstreams::Upstreams};

/// Credentials by the name targets call them and the protocol they are shown in.
pub type CredentialsByName = hashbrown::HashMap<(Arc<str>, Protocol), Credential>;

/// Everything that can change while the gateway runs.
#[derive(Clone)]
pub struct State {
    /// What models cost, but for the providers in [`State::own_prices`].
    pub catalogue: Catalogue,
    /// What models cost at providers that are free or have prices of their own, by name.
    pub own_prices: HashMap<Arc<str>, Catalogue>,
    /// How long whose answers are read on for clients that have left.
    pub drains: HashMap<Arc<str>, Duration>,
    /// What model names mean, and who answers to them.
    pub router: Router,
    /// How busy, fast and well the providers' deployments are; stays when the rest is replaced.
    pub board: Board,
    /// What proves to the providers who pays.
    pub credentials: CredentialsByName,
    /// The keys of the file, then those of the data directory.
    pub keys: Vec<Arc<dyn KeyStore>>,
    /// How long upstreams may take.
    pub patience: Patience,
    /// The clients that reach the providers.
    pub upstreams: Upstreams,
    /// How requests are translated.
    pub translation: Translation,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("router", &self.router).finish_non_exhaustive()
    }
}

impl State {
    /// Whether what an answer of this target costs will be known: it has a price, or tells it.
    pub(crate) fn is_priced(&self, target: &Target) -> bool {
        self.prices(target).is_priced(&target.kind, &target.model)
            || Profile::of(target.protocol, &target.kind).tells_cost()
    }

    /// The prices that apply to a target.
    fn prices(&self, target: &Target) -> &Catalogue {
        self.own_prices.get(&target.provider).unwrap_or(&self.catalogue)
    }
}

/// The snapshot in force. Readers take it once per request; a reload replaces it.
#[derive(Clone, Debug)]
pub struct SharedState(Arc<ArcSwap<State>>);

impl SharedState {
    /// Starts with `state`.
    pub fn new(state: State) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(state)))
    }

    /// Returns the snapshot in force.
    pub fn load(&self) -> arc_swap::Guard<Arc<State>> {
        self.0.load()
    }

    /// Returns the snapshot in force, to keep.
    pub fn load_full(&self) -> Arc<State> {
        self.0.load_full()
    }

    /// Notes which models a provider has. Returns whether that is news, and of a provider that is
    /// still there.
    pub(crate) fn learn(&self, asked: &Provider, models: &[Arc<str>]) -> bool {
        let mut news = false;
        self.0.rcu(|state| {
            let mut router = state.router.clone();
            news = router.learn(asked, models);
            match news {
                true => Arc::new(State { router, ..State::clone(state) }),
                false => state.clone(),
            }
        });
        news
    }

    /// Puts another snapshot in force. Requests under way keep theirs.
    pub fn replace(&self, state: State) {
        self.0.store(Arc::new(state));
    }
}

impl Canonical for SharedState {
    fn canonical<'a>(&self, asked: &'a str, protocol: Protocol) -> Cow<'a, str> {
        self.load().router.canonical(asked, protocol)
    }
}

impl KeyStore for SharedState {
    fn lookup(&self, hash: &KeyHash) -> Option<Arc<KeyRecord>> {
        self.load().keys.iter().find_map(|store| store.lookup(hash))
    }
}

impl Resolve for SharedState {
    fn resolve(&self, ask: &Ask<'_>) -> Result<Plan, Refusal> {
        self.load().router.resolve(ask)
    }

    fn answered(&self, affinity: u64, target: &Target) {
        self.load().router.answered(affinity, target);
    }

    fn keeps(&self, name: &str, target: &Target) {
        self.load().router.keeps(name, target);
    }
}

impl Prices for SharedState {
    fn price(&self, target: &Target, usage: &Usage, occasion: &Occasion) -> Priced {
        self.load().prices(target).price(target, usage, occasion)
    }
}

impl Credentials for SharedState {
    fn credential(&self, target: &Target) -> Option<Credential> {
        let state = self.load();
        let name = target.credential.clone()?;
        state.credentials.get(&(name, target.protocol)).cloned()
    }
}
