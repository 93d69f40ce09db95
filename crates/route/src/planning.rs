//! From a question to a plan.

use std::{borrow::Cow, sync::Arc, time::Instant};

use tollgate_core::{
    AllowedModels, Decimal, Operation, Plan, PlanStep, Principal, Refusal, Skip, Skipped, State,
};
use tollgate_wire::content::Medium;

use crate::{
    Ask, Order, Router, Wishes,
    affinity::Entry,
    candidate::{Candidate, Route},
    facts::Facts,
    fitness::{doubt, plainly_unfit, unfit},
    order::{self, Ranked, Sight, compare, float},
    refusal::{nobody, not_allowed},
    wishes::wrong,
};

/// Below this many tokens no upstream keeps a prompt.
const CACHED: u64 = 1024;

/// What a plan was made by, for who explains it.
#[derive(Debug, Default)]
pub(crate) struct Basis {
    pub(crate) order: Order,
    pub(crate) wishes: Option<Wishes>,
    /// The last to answer this conversation was asked for first: why.
    pub(crate) kept: Option<&'static str>,
}

/// One of the names a request asks for.
struct Tier {
    route: Arc<Route>,
    reason: &'static str,
    /// The key may use every target of it.
    open: bool,
}

/// The target that answered this conversation before.
struct Last {
    entry: Entry,
    /// Why it is asked first whatever the order says, if it is.
    bound: Option<Bound>,
}

/// What binds a request to a target more than a warm cache.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    /// It replays reasoning.
    Reasoning,
    /// It goes on from what the target keeps.
    State,
}

impl Router {
    /// Makes the plan, and says by what.
    pub(crate) fn plan(&self, ask: &Ask<'_>) -> Result<(Plan, Basis), Refusal> {
        let route = self.route(ask, ask.model())?;
        let wishes = Wishes::of(ask)?;
        let facts = Facts::new(ask);
        if let (None, [only], []) = (&wishes, &*route.candidates, &*route.unfit) {
            let basis = Basis { order: route.order, ..Basis::default() };
            return Ok((single(only, &route, &facts)?, basis));
        }
        Planning::new(self, &facts, route, wishes)?.plan()
    }
}

/// A plan where there is nothing to choose.
fn single(only: &Candidate, route: &Route, facts: &Facts<'_>) -> Result<Plan, Refusal> {
    let models = models(facts.ask.principal);
    let allowed = models.is_none_or(|models| {
        (route.is_alias && models.allows(facts.ask.model())) || covers(models, only)
    });
    let skip = match allowed {
        true => plainly_unfit(&only.target, facts),
        false => Some(Skip::NotAllowed),
    };
    match skip {
        Some(why) => Err(nobody(facts.ask.model(), &[Skipped::new(only.target.clone(), why)])),
        None => Ok(Plan::one(only.target.clone(), named(route))),
    }
}

fn named(route: &Route) -> &'static str {
    if route.is_alias { "as listed" } else { "asked for by name" }
}

/// The models a key is restricted to; `None`: it may use all.
fn models(principal: Option<&Principal>) -> Option<&AllowedModels> {
    principal.map(|who| &who.models).filter(|models| !models.is_all())
}

/// Whether a restricted key may use a target by its own name.
fn covers(models: &AllowedModels, candidate: &Candidate) -> bool {
    models.allows(&candidate.name) || models.allows(&candidate.target.name())
}

struct Planning<'a> {
    router: &'a Router,
    facts: &'a Facts<'a>,
    tiers: Vec<Tier>,
    order: Order,
    wishes: Wishes,
    has_wishes: bool,
    /// Names in the wish `models` that mean nothing here.
    foreign: Vec<usize>,
}

impl<'a> Planning<'a> {
    fn new(
        router: &'a Router,
        facts: &'a Facts<'a>,
        route: Arc<Route>,
        wishes: Option<Wishes>,
    ) -> Result<Self, Refusal> {
        let has_wishes = wishes.is_some();
        let wishes = wishes.unwrap_or_default();
        let order = wishes.order.unwrap_or(route.order);
        let mut planning =
            Self { router, facts, tiers: Vec::new(), order, wishes, has_wishes, foreign: vec![] };
        planning.tier(route, facts.ask.model(), "");
        planning.add_wished()?;
        Ok(planning)
    }

    fn tier(&mut self, route: Arc<Route>, name: &str, reason: &'static str) {
        let models = models(self.facts.ask.principal);
        let open = models.is_none_or(|models| route.is_alias && models.allows(name));
        let reason = if reason.is_empty() { named(&route) } else { reason };
        self.tiers.push(Tier { route, reason, open });
    }

    /// Adds what the wishes `models` and `fallback` name. What means nothing here may mean
    /// something to OpenRouter, if that is asked.
    fn add_wished(&mut self) -> Result<(), Refusal> {
        let models = std::mem::take(&mut self.wishes.models);
        let relayed = self.relays().next().is_some();
        for (i, name) in models.iter().enumerate() {
            match self.router.route(self.facts.ask, name) {
                Ok(route) => self.tier(route, name, "named by the wish `models`"),
                Err(_) if relayed => self.foreign.push(i),
                Err(unknown) => return Err(wrong(&format!("models[{i}]"), unknown.message)),
            }
        }
        self.wishes.models = models;
        for (i, name) in self.wishes.fallback.clone().iter().enumerate() {
            let route = self
                .router
                .route(self.facts.ask, name)
                .map_err(|unknown| wrong(&format!("provider.fallback[{i}]"), unknown.message))?;
            self.tier(route, name, "named by the wish `fallback`");
        }
        self.check_names(relayed)?;
        match self.wishes.unknown.first() {
            Some(member) if !relayed => Err(Wishes::nobodys(member)),
            _ => Ok(()),
        }
    }

    /// The candidates that OpenRouter relays to others.
    fn relays(&self) -> impl Iterator<Item = &Candidate> {
        let all = self.tiers.iter().flat_map(|tier| &tier.route.candidates);
        all.filter(|candidate| is_relay(candidate))
    }

    /// Every name in `order`, `only` and `ignore` must be somebody's.
    fn check_names(&self, relayed: bool) -> Result<(), Refusal> {
        let wishes = &self.wishes;
        for (list, names) in
            [("order", &wishes.first), ("only", &wishes.only), ("ignore", &wishes.ignore)]
        {
            let stranger = names.iter().position(|name| !self.knows(name));
            if let Some(at) = stranger.filter(|_| !relayed) {
                let why = format!("names no provider here: `{}`", names[at]);
                return Err(wrong(&format!("provider.{list}[{at}]"), why));
            }
        }
        Ok(())
    }

    /// Whether a name in a wish is a provider's, a deployment's or a target's of ours.
    fn knows(&self, name: &str) -> bool {
        let mut candidates = self.tiers.iter().flat_map(|tier| &tier.route.candidates);
        self.router.providers.iter().any(|provider| provider.is_wished(name))
            || candidates.any(|candidate| self.is_meant(name, candidate))
    }

    fn is_meant(&self, name: &str, candidate: &Candidate) -> bool {
        let target = &candidate.target;
        self.router.providers[candidate.provider].is_wished(name)
            || &*target.deployment == name
            || &*candidate.name == name
            || target.name() == name
    }

    fn plan(self) -> Result<(Plan, Basis), Refusal> {
        let now = self.facts.ask.now();
        let affinity = self.facts.affinity(&self.router.affinity);
        let last = affinity.filter(|(_, continues)| *continues);
        let last = last.and_then(|(key, _)| self.last(key, now));
        let mut skipped: Vec<Skipped> = Vec::new();
        let mut ranked = self.fit(last.as_ref(), &mut skipped);
        self.rank(&mut ranked);
        let kept = self.sort(&mut ranked, last.as_ref(), now);
        self.leave_alone(&mut ranked, &mut skipped);
        if ranked.is_empty() {
            return Err(self.refuse(&skipped));
        }
        let mut plan = Plan::default();
        plan.skipped = skipped;
        plan.affinity = affinity.map(|(key, _)| key).filter(|_| self.has_choice());
        plan.chosen = ranked.into_iter().map(step).collect();
        self.write_wishes(&mut plan);
        let Self { order, wishes, has_wishes, .. } = self;
        Ok((plan, Basis { order, wishes: has_wishes.then_some(wishes), kept }))
    }

    fn refuse(&self, skipped: &[Skipped]) -> Refusal {
        match skipped {
            [] => not_allowed(self.facts.ask.model()),
            _ => nobody(self.facts.ask.model(), skipped),
        }
    }

    /// Who answered this conversation last, if that is a reason to ask there again.
    fn last(&self, key: u64, now: Instant) -> Option<Last> {
        let entry = self.router.affinity.get(key)?;
        let mut all = self.tiers.iter().flat_map(|tier| &tier.route.candidates);
        if !all.any(|candidate| entry.is(&candidate.target)) {
            return None;
        }
        let bound = match self.facts.ask.call.needs.state {
            true => Some(Bound::State),
            false => self.facts.holds(Medium::Reasoning).then_some(Bound::Reasoning),
        };
        let warm = || self.facts.prompt() >= CACHED && self.router.affinity.is_warm(&entry, now);
        (bound.is_some() || warm()).then_some(Last { entry, bound })
    }

    /// The candidates that can take the request; where there is no other, those that likely cannot.
    fn fit(&self, last: Option<&Last>, skipped: &mut Vec<Skipped>) -> Vec<Ranked<'_>> {
        let (mut fit, mut doubtful) = (Vec::new(), Vec::new());
        for (number, tier) in self.tiers.iter().enumerate() {
            skipped.extend(tier.route.unfit.iter().cloned());
            for candidate in self.fresh(number) {
                let ranked = Ranked {
                    candidate,
                    tier: number,
                    reason: tier.reason.into(),
                    score: None,
                    rank: (0.0, 0.0),
                };
                match self.skip(candidate, tier, last) {
                    None => fit.push(ranked),
                    Some(why) if why.is_doubt() => doubtful.push((ranked, why)),
                    Some(why) => skipped.push(Skipped::new(candidate.target.clone(), why)),
                }
            }
        }
        if fit.is_empty() {
            return doubtful.into_iter().map(|(ranked, _)| ranked).collect();
        }
        let left = doubtful.into_iter();
        skipped
            .extend(left.map(|(ranked, why)| Skipped::new(ranked.candidate.target.clone(), why)));
        fit
    }

    /// The candidates of a tier that the key was not given by one before.
    fn fresh(&self, tier: usize) -> impl Iterator<Item = &Candidate> {
        let before = self.tiers[..tier].iter().flat_map(|tier| {
            let all = tier.route.candidates.iter();
            all.filter(|candidate| self.allows(candidate, tier))
        });
        let all = self.tiers[tier].route.candidates.iter();
        all.filter(move |one| {
            !before.clone().any(|other| Arc::ptr_eq(&one.standing, &other.standing))
        })
    }

    /// Whether the key may use a candidate by the name that led to it.
    fn allows(&self, candidate: &Candidate, tier: &Tier) -> bool {
        let models = models(self.facts.ask.principal).filter(|_| !tier.open);
        models.is_none_or(|models| covers(models, candidate))
    }

    fn skip(&self, candidate: &Candidate, tier: &Tier, last: Option<&Last>) -> Option<Skip> {
        if !self.allows(candidate, tier) {
            return Some(Skip::NotAllowed);
        }
        self.unwanted(candidate)
            .or_else(|| unfit(&candidate.target, self.facts))
            .or_else(|| strange(candidate, last))
            .or_else(|| self.too_dear(candidate))
            .or_else(|| doubt(&candidate.target, self.facts))
    }

    /// What the wishes `only`, `ignore`, `order` and those about data exclude.
    fn unwanted(&self, candidate: &Candidate) -> Option<Skip> {
        if !self.has_wishes {
            return None;
        }
        let (wishes, relay) = (&self.wishes, is_relay(candidate));
        let meant = |names: &[String]| names.iter().any(|name| self.is_meant(name, candidate));
        let strangers = |names: &[String]| names.iter().any(|name| !self.knows(name));
        // Names that are nobody's here are those of whom OpenRouter relays to.
        let inside = |names: &[String]| relay && (self.only_relays() || strangers(names));
        if !wishes.only.is_empty() && !meant(&wishes.only) && !inside(&wishes.only) {
            return Some(Skip::Unwanted("only"));
        }
        if meant(&wishes.ignore) && !(relay && self.only_relays()) {
            return Some(Skip::Unwanted("ignore"));
        }
        let first = &wishes.first;
        if wishes.alone && !first.is_empty() && !meant(first) && !inside(first) {
            return Some(Skip::Unwanted("order"));
        }
        let data = &self.router.providers[candidate.provider].data;
        let leaks = wishes.no_collection && data.collects != Some(false);
        let keeps = wishes.zero_retention && data.zero_retention != Some(true);
        let native = candidate.target.protocol == self.facts.ask.call.protocol;
        let told = relay && native && wishes.written[0].is_some();
        ((leaks || keeps) && !told).then_some(Skip::DataPolicy)
    }

    /// Whether there was more than one to choose from: also of one who is left because the others do
    /// not have what the request goes on from, the next answer's name is worth knowing.
    fn has_choice(&self) -> bool {
        self.tiers.iter().map(|tier| tier.route.candidates.len()).sum::<usize>() > 1
    }

    /// Whether nobody but OpenRouter is asked: then all wishes are its business too.
    fn only_relays(&self) -> bool {
        self.tiers.iter().flat_map(|tier| &tier.route.candidates).all(is_relay)
    }

    fn too_dear(&self, candidate: &Candidate) -> Option<Skip> {
        let most = self.wishes.max_price;
        if most.is_none() {
            return None;
        }
        let catalogue = self.router.catalogue_of(candidate.provider);
        let [input, output] = self.facts.rates(&candidate.target, catalogue);
        let exceeds = |component, price: Option<Decimal>, most: Option<Decimal>| {
            let most = most?;
            match price {
                None => Some(Skip::PriceUnknown),
                Some(price) if price > most => {
                    Some(Skip::TooDear(component, price.normalize().to_string()))
                }
                Some(_) => None,
            }
        };
        let embeds = self.facts.ask.call.operation == Operation::Embed;
        let completion = most.completion.filter(|_| !embeds);
        exceeds("input", input, most.prompt).or_else(|| exceeds("output", output, completion))
    }

    fn rank(&self, ranked: &mut [Ranked<'_>]) {
        let cost = |candidate: &Candidate| {
            let catalogue = self.router.catalogue_of(candidate.provider);
            self.facts.cost(&candidate.target, catalogue).map(|cost| float(cost.dollars()))
        };
        let sight = Sight { facts: self.facts, random: &self.router.random, cost: &cost };
        for tier in ranked.chunk_by_mut(|a, b| a.tier == b.tier) {
            if let [_, _, ..] = tier {
                order::rank(self.order, tier, &sight);
            }
        }
    }

    /// Sorts: who is set aside last, who made the reasoning first, then by name, wish, warm cache
    /// and rank. Returns why the last to answer was preferred, if so.
    fn sort(
        &self,
        ranked: &mut Vec<Ranked<'_>>,
        last: Option<&Last>,
        now: Instant,
    ) -> Option<&'static str> {
        let bound = last.and_then(|last| last.bound);
        let mut keyed: Vec<_> = std::mem::take(ranked)
            .into_iter()
            .map(|mut ranked| {
                let aside = aside(&ranked, now);
                let same = last.is_some_and(|last| last.entry.is(&ranked.candidate.target));
                let wish = self.wished(ranked.candidate);
                explain(&mut ranked, aside.is_some(), same.then_some(bound), wish.is_some());
                let wish = wish.unwrap_or(usize::MAX);
                let key = (aside, !(same && bound.is_some()), ranked.tier, wish, !same);
                (key, ranked)
            })
            .collect();
        keyed.sort_by(|(a, one), (b, other)| a.cmp(b).then(compare(one.rank, other.rank)));
        let kept = keyed.first().filter(|((.., other), _)| !other).map(|_| kept(bound));
        ranked.extend(keyed.into_iter().map(|(_, ranked)| ranked));
        kept
    }

    /// Where the wish `order` puts it.
    fn wished(&self, candidate: &Candidate) -> Option<usize> {
        self.wishes.first.iter().position(|name| self.is_meant(name, candidate))
    }

    /// Without fallbacks only the first is asked, or those that `order` names.
    fn leave_alone(&self, ranked: &mut Vec<Ranked<'_>>, skipped: &mut Vec<Skipped>) {
        if self.wishes.alone && self.wishes.first.is_empty() {
            let others = ranked.drain(1.min(ranked.len())..);
            skipped.extend(others.map(|other| {
                Skipped::new(other.candidate.target.clone(), Skip::Unwanted("allow_fallbacks"))
            }));
        }
    }

    /// Sees to it that no upstream gets wishes that are not its business.
    fn write_wishes(&self, plan: &mut Plan) {
        let written = &self.wishes.written;
        if written.iter().all(Option::is_none) {
            return;
        }
        let kept = crate::relay::kept(&self.wishes, &self.foreign, self.only_relays(), |name| {
            self.knows(name)
        });
        let told = |step: &PlanStep| {
            let target = &step.target;
            is_openrouter(&target.kind) && target.protocol == self.facts.ask.call.protocol
        };
        if kept.is_whole && plan.chosen.iter().all(told) {
            return;
        }
        plan.removes = crate::wishes::MEMBERS;
        for step in plan.chosen.iter_mut().filter(|step| told(step)) {
            Arc::make_mut(&mut step.target).members = kept.members.clone();
        }
    }
}

fn step(ranked: Ranked<'_>) -> PlanStep {
    let step = PlanStep::new(ranked.candidate.target.clone(), ranked.reason);
    match ranked.score {
        Some(score) => step.score(score),
        None => step,
    }
}

fn is_relay(candidate: &Candidate) -> bool {
    is_openrouter(&candidate.target.kind)
}

fn is_openrouter(kind: &str) -> bool {
    kind == "openrouter"
}

/// Says whether another has what the request replays or goes on from, and this one does not.
/// Another key of the same provider may be the same account's.
fn strange(candidate: &Candidate, last: Option<&Last>) -> Option<Skip> {
    let target = &candidate.target;
    let other = last.filter(|last| !last.entry.is(target) && !last.entry.is_near(target))?;
    match other.bound? {
        Bound::Reasoning => target.caps.bound_reasoning.then_some(Skip::Reasoning),
        Bound::State => Some(Skip::State),
    }
}

/// Until when it is set aside, if it is. Whose time is over is asked where it stands: otherwise
/// nobody would ever see that it is well again.
fn aside(ranked: &Ranked<'_>, now: Instant) -> Option<Instant> {
    match ranked.candidate.standing.state(now) {
        State::Ejected(ejection) => Some(ejection.until),
        State::Open | State::Probing(_) => None,
    }
}

fn explain(ranked: &mut Ranked<'_>, aside: bool, same: Option<Option<Bound>>, wished: bool) {
    let reason: Option<Cow<'static, str>> = match same {
        _ if aside => Some("set aside, asked when nobody else is left".into()),
        Some(bound) => Some(kept(bound).into()),
        None if wished => Some("named by the wish `order`".into()),
        None => None,
    };
    ranked.reason = reason.unwrap_or_else(|| std::mem::take(&mut ranked.reason));
}

fn kept(bound: Option<Bound>) -> &'static str {
    match bound {
        Some(Bound::Reasoning) => "it made the reasoning the request replays",
        Some(Bound::State) => "it keeps what the request goes on from",
        None => "it answered last, its prompt cache is likely warm",
    }
}
