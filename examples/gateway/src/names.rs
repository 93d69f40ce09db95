//! Model names: aliases, `provider/model`, bare names; and whom they mean.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use http::Uri;
use tollgate_core::{Call, Caps, Class, Plan, PlanStep, Principal, Protocol, Refusal, Target, Transport};
use tollgate_route::Resolve;
use tollgate_wire::ModelCard;

/// Where a provider speaks one protocol.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The protocol.
    pub protocol: Protocol,
    /// Where, as that provider's own SDK takes it.
    pub base_url: Uri,
    /// How the protocol is carried there.
    pub transport: Transport,
}

impl Endpoint {
    /// Returns an endpoint at the protocol's own paths.
    pub fn new(protocol: Protocol, base_url: Uri) -> Self {
        Self { protocol, base_url, transport: Transport::Native }
    }
}

/// A provider as routing sees it.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its name in configuration.
    pub name: Arc<str>,
    /// Its preset's name, by which its habits and prices are known.
    pub kind: Arc<str>,
    /// Other names it answers to.
    pub aliases: Vec<&'static str>,
    /// Where it speaks which protocol.
    pub endpoints: Vec<Endpoint>,
    /// Its deployments, one per key: each the name of a credential.
    pub deployments: Vec<Arc<str>>,
    /// The models it is known to serve, for model lists and bare names. Others are served too.
    pub models: Vec<Arc<str>>,
    /// Whether it is asked which models it has.
    pub discover: bool,
}

impl Provider {
    fn is_called(&self, name: &str) -> bool {
        &*self.name == name || self.aliases.contains(&name)
    }

    /// Whether it is known to serve this model. Ollama calls what has no tag `latest`.
    fn has(&self, model: &str) -> bool {
        let mut known = self.models.iter();
        known.any(|known| &**known == model || known.strip_suffix(":latest") == Some(model))
    }

    /// Whether it is the same place, whatever else is said of it.
    fn is_at(&self, other: &Self) -> bool {
        let urls = |provider: &Self| -> Vec<Uri> {
            provider.endpoints.iter().map(|endpoint| endpoint.base_url.clone()).collect()
        };
        self.name == other.name && urls(self) == urls(other)
    }

    fn speaks(&self, protocol: Protocol) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.protocol == protocol)
    }

    /// Where the provider speaks `protocol`, else its first endpoint.
    fn best(&self, protocol: Protocol) -> Option<&Endpoint> {
        self.speaks(protocol).or(self.endpoints.first())
    }

    /// The target of requests that name no model.
    pub(crate) fn without_model(&self, protocol: Protocol) -> Option<Arc<Target>> {
        self.targets(protocol, "", &Arc::default()).into_iter().next()
    }

    /// One target per deployment, in order: where the provider speaks `protocol`, else where it
    /// speaks its own.
    fn targets(&self, protocol: Protocol, model: &str, caps: &Arc<Caps>) -> Vec<Arc<Target>> {
        let Some(endpoint) = self.best(protocol) else { return Vec::new() };
        let model: Arc<str> = model.into();
        let target = |deployment: &Arc<str>| {
            let (base_url, protocol) = (endpoint.base_url.clone(), endpoint.protocol);
            let mut target = Target::new(self.name.clone(), protocol, model.clone(), base_url);
            target.kind = self.kind.clone();
            target.caps = caps.clone();
            target.transport = endpoint.transport.clone();
            target.deployment = deployment.clone();
            target.credential = Some(deployment.clone());
            Arc::new(target)
        };
        self.deployments.iter().map(target).collect()
    }
}

/// Everything a model name can mean.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// In order of precedence for bare names.
    pub providers: Vec<Provider>,
    /// Alias to names of targets.
    pub aliases: BTreeMap<Box<str>, Vec<String>>,
}

impl Names {
    /// Returns the name on which a key's allowed models are checked: an alias as it is, anything
    /// else as `provider/model`.
    pub fn canonical<'a>(&self, asked: &'a str, protocol: Protocol) -> Cow<'a, str> {
        if self.aliases.contains_key(asked) {
            return Cow::Borrowed(asked);
        }
        match self.find(asked, protocol) {
            Ok((provider, model)) => Cow::Owned(format!("{}/{model}", provider.name)),
            Err(_) => Cow::Borrowed(asked),
        }
    }

    /// Returns the models a key may ask for, aliases first.
    pub fn list(&self, principal: Option<&Principal>) -> Vec<ModelCard> {
        let aliases = self.aliases.keys().map(|alias| card(alias.to_string(), "tollgate"));
        let models = self.providers.iter().flat_map(|provider| {
            let name = &provider.name;
            provider.models.iter().map(move |model| card(format!("{name}/{model}"), name))
        });
        let allowed = |card: &ModelCard| principal.is_none_or(|p| p.models.allows(&card.id));
        aliases.chain(models).filter(allowed).collect()
    }

    /// Describes one model, if the name means anything.
    pub fn describe(&self, asked: &str, protocol: Protocol) -> Option<ModelCard> {
        if self.aliases.contains_key(asked) {
            return Some(card(asked.to_owned(), "tollgate"));
        }
        let (provider, _) = self.find(asked, protocol).ok()?;
        Some(card(asked.to_owned(), &provider.name))
    }

    /// Finds a provider by its name or an alias of it.
    pub fn provider(&self, name: &str) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.is_called(name))
    }

    /// Finds the provider of a `provider/model` or bare name, and its own name for the model.
    fn find<'a>(
        &self,
        asked: &'a str,
        protocol: Protocol,
    ) -> Result<(&Provider, &'a str), Refusal> {
        let split = asked.split_once('/');
        if let Some((provider, model)) =
            split.and_then(|(name, model)| Some((self.provider(name)?, model)))
        {
            return Ok((provider, model));
        }
        if let Some(provider) = self.knowing(asked, protocol) {
            return Ok((provider, asked));
        }
        if split.is_some() {
            return Err(self.unknown(asked));
        }
        let native = self.providers.iter().find(|provider| provider.speaks(protocol).is_some());
        let any = native.or(self.providers.first());
        any.map(|provider| (provider, asked)).ok_or_else(|| self.unknown(asked))
    }

    /// The provider that is known to have a model of this name: one that speaks the protocol, else
    /// any.
    fn knowing(&self, asked: &str, protocol: Protocol) -> Option<&Provider> {
        let having = || self.providers.iter().filter(|provider| provider.has(asked));
        let speaking = having().find(|provider| provider.speaks(protocol).is_some());
        speaking.or_else(|| having().next())
    }

    /// Notes which models a provider has. Returns whether that is news, and of a provider that is
    /// still there.
    pub(crate) fn learn(&mut self, asked: &Provider, models: &[Arc<str>]) -> bool {
        let still = |own: &&mut Provider| own.discover && own.is_at(asked);
        let Some(own) = self.providers.iter_mut().find(still) else { return false };
        let news = own.models != models;
        own.models = models.to_vec();
        news
    }

    /// Takes over what was learned before of providers that are still there.
    pub(crate) fn remember(&mut self, before: &Self) {
        for asked in before.providers.iter().filter(|provider| provider.discover) {
            self.learn(asked, &asked.models);
        }
    }

    fn unknown(&self, asked: &str) -> Refusal {
        let names: Vec<_> = self.providers.iter().map(|p| format!("`{}/…`", p.name)).collect();
        let message = format!(
            "no model `{asked}` here: ask for an alias or {}",
            if names.is_empty() { "configure a provider".to_owned() } else { names.join(", ") }
        );
        Refusal::new(Class::NotFound, message).param("model")
    }

    fn targets(&self, name: &str, protocol: Protocol) -> Result<Vec<Arc<Target>>, Refusal> {
        let (provider, model) = self.find(name, protocol)?;
        if model.is_empty() {
            return Err(self.unknown(name));
        }
        let targets = provider.targets(protocol, model, &Arc::default());
        if targets.is_empty() {
            let message = format!("provider `{}` speaks no protocol", provider.name);
            return Err(Refusal::new(Class::InvalidRequest, message).param("model"));
        }
        Ok(targets)
    }
}

impl Resolve for Names {
    fn resolve(&self, call: &Call, _: Option<&Principal>) -> Result<Plan, Refusal> {
        let asked = call.model.as_deref().unwrap_or_default();
        let (names, reason) = match self.aliases.get(asked) {
            Some(names) => (names.iter().map(String::as_str).collect(), "the alias lists it"),
            None => (vec![asked], "asked for by name"),
        };
        let mut plan = Plan::default();
        let mut refused = None;
        for name in names {
            match self.targets(name, call.protocol) {
                Ok(targets) => plan.chosen.extend(targets.into_iter().map(step(reason))),
                Err(refusal) => refused = refused.or(Some(refusal)),
            }
        }
        match refused {
            Some(refusal) if plan.chosen.is_empty() => Err(refusal),
            _ => Ok(plan),
        }
    }
}

fn step(reason: &'static str) -> impl Fn(Arc<Target>) -> PlanStep {
    move |target| PlanStep { target, reason: reason.into() }
}

fn card(id: String, owner: &str) -> ModelCard {
    ModelCard { id, owner: owner.to_owned(), ..ModelCard::default() }
}

#[cfg(test)]
mod tests {
    use tollgate_core::{CallFacts, Operation};

    use super::*;

    fn provider(name: &'static str, protocol: Protocol) -> Provider {
        Provider {
            name: name.into(),
            kind: name.into(),
            aliases: if name == "gemini" { vec!["google"] } else { vec![] },
            endpoints: vec![Endpoint::new(protocol, Uri::from_static("http://127.0.0.1/v1"))],
            deployments: vec![name.into()],
            models: vec!["m".into()],
            discover: name == "local",
        }
    }

    fn names() -> Names {
        let mut names = Names {
            providers: vec![
                provider("openai", Protocol::OpenAiChat),
                provider("local", Protocol::OpenAiChat),
                provider("gemini", Protocol::Gemini),
            ],
            aliases: [("fast".into(), vec!["gemini/flash".to_owned(), "local/mini".to_owned()])]
                .into(),
        };
        let local = names.providers[1].clone();
        let models = ["m", "qwen3:latest", "meta/llama-3"].map(Arc::from);
        assert!(names.learn(&local, &models) && !names.learn(&local, &models));
        names
    }

    fn first(protocol: Protocol, model: &str) -> Result<String, Refusal> {
        let call = Call::new(protocol, Operation::Generate);
        let call = CallFacts { model: Some(model.into()), ..CallFacts::clone(&call) }.into();
        names().resolve(&call, None).map(|plan| plan.first().map(|t| t.name()).unwrap_or_default())
    }

    #[test]
    fn names_mean_providers() {
        use Protocol::{AnthropicMessages, Gemini, OpenAiChat};
        for (protocol, asked, target) in [
            (OpenAiChat, "local/llama/3", "local/llama/3"),
            (OpenAiChat, "gpt-5", "openai/gpt-5"),
            (OpenAiChat, "m", "openai/m"),
            (OpenAiChat, "qwen3", "local/qwen3"),
            (OpenAiChat, "meta/llama-3", "local/meta/llama-3"),
            (Gemini, "google/flash", "gemini/flash"),
            (Gemini, "flash", "gemini/flash"),
            (OpenAiChat, "fast", "gemini/flash"),
            (Gemini, "fast", "gemini/flash"),
            (Gemini, "openai/gpt-5", "openai/gpt-5"),
            (Gemini, "qwen3", "local/qwen3"),
            (AnthropicMessages, "x", "openai/x"),
        ] {
            assert_eq!(first(protocol, asked).unwrap(), target, "{asked}");
        }
    }

    #[test]
    fn refusals_name_what_is_wrong() {
        let unknown = first(Protocol::OpenAiChat, "nobody/x").unwrap_err();
        assert_eq!((unknown.class, unknown.param.as_deref()), (Class::NotFound, Some("model")));
        assert!(unknown.message.contains("`openai/…`"), "{}", unknown.message);
        assert_eq!(first(Protocol::OpenAiChat, "openai/").unwrap_err().class, Class::NotFound);
    }

    #[test]
    fn a_provider_is_asked_in_the_clients_protocol_where_it_speaks_it_and_else_in_its_own() {
        use Protocol::{AnthropicMessages, Gemini, OpenAiChat, OpenAiResponses};
        let mut names = names();
        let at = || Uri::from_static("http://127.0.0.1/v1");
        names.providers[0].endpoints.push(Endpoint::new(OpenAiResponses, at()));
        for (asked, spoken) in [
            (OpenAiChat, OpenAiChat),
            (OpenAiResponses, OpenAiResponses),
            (AnthropicMessages, OpenAiChat),
            (Gemini, OpenAiChat),
        ] {
            let targets = names.targets("openai/m", asked).unwrap();
            assert_eq!(targets[0].protocol, spoken, "{asked}");
        }
    }

    #[test]
    fn what_was_learned_of_a_provider_stays_while_it_is_where_it_was() {
        let (before, mut same, mut moved) = (names(), names(), names());
        for next in [&mut same, &mut moved] {
            next.providers.iter_mut().for_each(|provider| provider.models.clear());
        }
        moved.providers[1].endpoints[0].base_url = Uri::from_static("http://127.0.0.1:1");
        same.remember(&before);
        moved.remember(&before);
        let known =
            |names: &Names| names.providers.iter().map(|p| p.models.len()).collect::<Vec<_>>();
        assert_eq!((known(&same), known(&moved)), (vec![0, 3, 0], vec![0, 0, 0]));
    }

    #[test]
    fn allowed_models_are_checked_on_canonical_names() {
        let names = names();
        let canonical = |asked| names.canonical(asked, Protocol::OpenAiChat).into_owned();
        assert_eq!(canonical("gpt-5"), "openai/gpt-5");
        assert_eq!(canonical("google/flash"), "gemini/flash");
        assert_eq!(canonical("fast"), "fast");
    }

    #[test]
    fn lists_show_what_the_key_may_use() {
        let mut principal = Principal::new(tollgate_core::KeyId::new("k"), "k");
        principal.models = tollgate_core::AllowedModels::only(["fast", "local/*"]);
        let listed: Vec<_> = names().list(Some(&principal)).into_iter().map(|c| c.id).collect();
        assert_eq!(listed, ["fast", "local/m", "local/qwen3:latest", "local/meta/llama-3"]);
    }
}
