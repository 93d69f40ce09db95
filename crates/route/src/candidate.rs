use std::{borrow::Cow, sync::Arc, time::Instant};

use tollgate_catalog::{Catalogue, Found, FoundBy, Mode};
use tollgate_core::{
    Board, Operation, Protocol, Skip, Skipped, Standing, State, Target, Transport,
};

use crate::{
    Order,
    provider::{Deployment, Endpoint, Provider, offers},
    router::Abilities,
};

/// What a name means to calls of one protocol and operation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Route {
    /// The name is an alias: who may use it may use its targets.
    pub(crate) is_alias: bool,
    pub(crate) order: Order,
    pub(crate) candidates: Vec<Candidate>,
    /// Those that can never answer such a call.
    pub(crate) unfit: Vec<Skipped>,
}

/// A target with what routing knows of it.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) target: Arc<Target>,
    /// `provider/model` as it was asked or configured.
    pub(crate) name: Box<str>,
    /// Which of the alias' targets it is of.
    pub(crate) place: usize,
    pub(crate) weight: f64,
    /// Its provider, by its place among the router's.
    pub(crate) provider: usize,
    pub(crate) standing: Arc<Standing>,
}

/// What routes are made of.
pub(crate) struct Maker<'a> {
    pub(crate) providers: &'a [Provider],
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) board: &'a Board,
    pub(crate) abilities: &'a Abilities,
    pub(crate) translates: bool,
    pub(crate) protocol: Protocol,
    pub(crate) operation: Operation,
}

/// One model at one provider, in one place of an order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) provider: usize,
    pub(crate) model: &'a str,
    pub(crate) place: usize,
    pub(crate) weight: u32,
}

impl Maker<'_> {
    /// Adds one candidate for each deployment, or says why there can be none.
    pub(crate) fn add(&self, route: &mut Route, place: Place<'_>) {
        let provider = &self.providers[place.provider];
        let catalogue = provider.catalogue_or(self.catalogue);
        let found = catalogue.find(&provider.kind, place.model);
        let name: Box<str> = [&*provider.name, "/", place.model].concat().into();
        let Some(endpoint) = self.endpoint(provider, found.as_ref()) else {
            route.unfit.extend(self.unspoken(provider, place.model));
            return;
        };
        let wire = wire_id(endpoint, place.model, found.as_ref());
        let caps = catalogue.caps(&provider.kind, place.model);
        let caps = Arc::new(self.abilities.of(&base(provider, endpoint, &wire), caps));
        let total: u32 = provider.deployments.iter().map(|own| own.weight).sum();
        for deployment in &provider.deployments {
            let mut target = base(provider, endpoint, &wire);
            target.deployment = deployment.name.clone();
            target.credential = Some(deployment.name.clone());
            target.caps = caps.clone();
            let share = f64::from(deployment.weight) / f64::from(total.max(1));
            route.candidates.push(Candidate {
                standing: self.board.of(&target),
                target: Arc::new(target),
                name: name.clone(),
                place: place.place,
                weight: f64::from(place.weight) * share,
                provider: place.provider,
            });
        }
    }

    /// Where the provider is asked: in the caller's protocol if it can, else in one that can be
    /// translated.
    fn endpoint<'p>(&self, provider: &'p Provider, found: Option<&Found>) -> Option<&'p Endpoint> {
        let able = |endpoint: &&Endpoint| offers(endpoint.protocol, self.operation);
        let mut others = provider.endpoints.iter().filter(able).filter(|_| self.translates);
        let responses = found.is_some_and(|found| found.model.mode == Mode::Responses);
        if responses && self.protocol == Protocol::OpenAiChat {
            let only = |endpoint: &&Endpoint| endpoint.protocol == Protocol::OpenAiResponses;
            if let Some(endpoint) = others.clone().find(only) {
                return Some(endpoint);
            }
        }
        provider.speaks(self.protocol).filter(able).or_else(|| others.next())
    }

    fn unspoken(&self, provider: &Provider, model: &str) -> Option<Skipped> {
        let endpoint = provider.endpoints.first()?;
        let why = match provider.speaks(self.protocol).is_some() || self.translates {
            true => Skip::NoOperation(self.operation),
            false => Skip::Unspoken(self.protocol),
        };
        Some(Skipped::new(Arc::new(base(provider, endpoint, model)), why))
    }
}

fn base(provider: &Provider, endpoint: &Endpoint, model: &str) -> Target {
    let base_url = endpoint.base_url.clone();
    let mut target = Target::new(provider.name.clone(), endpoint.protocol, model, base_url);
    target.kind = provider.kind.clone();
    target.transport = endpoint.transport.clone();
    target
}

impl Provider {
    /// The target of requests that name no model: where the provider speaks `protocol`, else its
    /// first endpoint; by its first deployment that `board` does not say is set aside, else the
    /// first.
    pub fn without_model(
        &self,
        protocol: Protocol,
        board: &Board,
        now: Instant,
    ) -> Option<Arc<Target>> {
        let endpoint = self.speaks(protocol).or(self.endpoints.first())?;
        let by = |deployment: &Deployment| {
            let mut target = base(self, endpoint, "");
            target.deployment = deployment.name.clone();
            target.credential = Some(deployment.name.clone());
            target
        };
        let is_open = |target: &Target| board.of(target).state(now) == State::Open;
        let open = self.deployments.iter().map(by).find(is_open);
        open.or_else(|| self.deployments.first().map(by)).map(Arc::new)
    }
}

/// What is sent: the catalogue's id of the model, but what may be a name of somebody's own (a
/// deployment, a region's, a tuned model's) as it was given.
fn wire_id<'a>(endpoint: &Endpoint, asked: &'a str, found: Option<&'a Found>) -> Cow<'a, str> {
    let own = endpoint.transport != Transport::Native || asked.contains(':');
    match found {
        // A pattern tells what a model costs, not that another one is meant.
        Some(found) if found.by == FoundBy::Pattern && !is_spelling(asked, &found.wire_id) => {
            Cow::Borrowed(asked)
        }
        Some(found) if !own || found.by == FoundBy::Exact => Cow::Borrowed(&found.wire_id),
        _ => Cow::Borrowed(asked),
    }
}

/// Whether two names differ by their punctuation and case alone.
fn is_spelling(one: &str, other: &str) -> bool {
    let letter = |byte: u8| match byte {
        b'.' | b'_' => b'-',
        other => other.to_ascii_lowercase(),
    };
    one.bytes().map(letter).eq(other.bytes().map(letter))
}
