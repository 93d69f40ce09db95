//! The models a client may ask for, as lists show them.

use std::collections::HashSet;

use tollgate_catalog::{Catalogue, Mode, Model, Status};
use tollgate_core::{Principal, Protocol, Transport};
use tollgate_wire::ModelCard;

use crate::{Provider, Router, names::Meaning};

/// A name that lists show.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    card: ModelCard,
    /// The name on which a key's allowed models are checked.
    canonical: String,
}

impl Router {
    /// Returns the models a key may ask for: aliases, but for patterns; then as `provider/model` what
    /// each provider said it has and what the catalogue has a price for there; then the bare names of
    /// models at the lab that makes them.
    ///
    /// At Azure models go by names of their owner's own: they are not known.
    pub fn list(&self, principal: Option<&Principal>) -> Vec<ModelCard> {
        let listed = self.listed().iter();
        let allowed =
            listed.filter(|one| principal.is_none_or(|who| who.models.allows(&one.canonical)));
        allowed.map(|one| one.card.clone()).collect()
    }

    /// Describes one model, if the name is anybody's. What is only tried at whoever speaks the
    /// protocol, for it might be new, is nobody's.
    pub fn describe(&self, asked: &str, protocol: Protocol) -> Option<ModelCard> {
        let meaning = self.named(asked, protocol)?;
        let listed = self.listed().iter().find(|one| one.card.id == asked);
        let owner = match meaning {
            Meaning::Alias(..) => GATEWAY,
            Meaning::Model(provider, _) => &self.providers[provider].name,
        };
        Some(listed.map_or_else(|| card(asked.to_owned(), owner), |one| one.card.clone()))
    }

    fn listed(&self) -> &[Listed] {
        self.known.listed.get_or_init(|| {
            let mut seen = HashSet::new();
            let all = self.aliased().chain(self.qualified()).chain(self.bare());
            all.filter(|one| seen.insert(one.card.id.clone())).collect()
        })
    }

    fn aliased(&self) -> impl Iterator<Item = Listed> {
        let aliases = self.aliases.keys().filter(|alias| !alias.contains('*'));
        aliases.map(|alias| Listed {
            card: card(alias.to_string(), GATEWAY),
            canonical: alias.to_string(),
        })
    }

    fn qualified(&self) -> impl Iterator<Item = Listed> {
        self.providers.iter().flat_map(move |provider| {
            let own = provider.models.iter().map(|model| card(model.to_string(), &provider.name));
            own.chain(self.priced(provider)).map(move |mut card| {
                card.id = [&*provider.name, "/", &card.id].concat();
                Listed { canonical: card.id.clone(), card }
            })
        })
    }

    /// What patterns of aliases say is none of the lab's.
    fn bare(&self) -> impl Iterator<Item = Listed> {
        let labs = self.providers.iter().filter(|provider| Catalogue::is_lab(&provider.kind));
        let cards = labs.flat_map(move |lab| self.priced(lab).map(move |card| (lab, card)));
        let meant = cards.filter(move |(_, card)| {
            !card.id.contains('/') && self.pattern(&card.id, |pattern| pattern != "*").is_none()
        });
        meant.map(|(lab, card)| Listed { canonical: [&*lab.name, "/", &card.id].concat(), card })
    }

    /// What the catalogue has a price for at a provider, of what can be asked for here.
    fn priced<'a>(&'a self, provider: &'a Provider) -> impl Iterator<Item = ModelCard> + use<'a> {
        let is_azure = |transport: &Transport| {
            matches!(transport, Transport::AzureV1 | Transport::AzureDeployments { .. })
        };
        let is_known = !provider.endpoints.iter().any(|endpoint| is_azure(&endpoint.transport));
        let catalogue = provider.catalogue_or(&self.catalogue);
        let models = is_known.then(|| catalogue.models(&provider.kind)).into_iter().flatten();
        models.filter(|model| is_offered(model)).map(move |model| described(&model, &provider.name))
    }
}

/// Who owns an alias.
const GATEWAY: &str = "tollgate";

fn is_offered(model: &Model) -> bool {
    let is_asked = matches!(model.mode, Mode::Chat | Mode::Responses | Mode::Embedding);
    is_asked && model.is_priced() && model.status != Status::Retired
}

fn described(model: &Model, owner: &str) -> ModelCard {
    ModelCard {
        max_input_tokens: model.limits.context,
        max_output_tokens: model.limits.max_output,
        ..card(model.id.to_string(), owner)
    }
}

fn card(id: String, owner: &str) -> ModelCard {
    ModelCard { id, owner: owner.to_owned(), ..ModelCard::default() }
}
