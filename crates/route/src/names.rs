//! What a model's name means.

use tollgate_catalog::Catalogue;
use tollgate_core::{Class, Protocol, Refusal};

use crate::{Alias, Router, alias::star};

/// What a name means.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Meaning<'a> {
    /// An alias, with what its `*` stands for.
    Alias(&'a Alias, Option<&'a str>),
    /// A model of a provider, by its place among the router's.
    Model(usize, &'a str),
}

impl Router {
    /// Finds out what a name means to callers of `protocol`.
    ///
    /// Errors: nothing; the refusal names what is nearest.
    pub(crate) fn meaning<'a>(
        &'a self,
        asked: &'a str,
        protocol: Protocol,
    ) -> Result<Meaning<'a>, Refusal> {
        if let Some(meaning) = self.named(asked, protocol) {
            return Ok(meaning);
        }
        let native = || self.providers.iter().position(|p| p.speaks(protocol).is_some());
        match native().filter(|_| !asked.contains('/') && !asked.is_empty()) {
            Some(provider) => Ok(Meaning::Model(provider, asked)),
            None => Err(self.unknown(asked)),
        }
    }

    /// The same of names that are known to be somebody's.
    pub(crate) fn named<'a>(&'a self, asked: &'a str, protocol: Protocol) -> Option<Meaning<'a>> {
        if let Some(alias) = self.aliases.get(asked) {
            return Some(Meaning::Alias(alias, None));
        }
        if let Some((alias, rest)) = self.pattern(asked, |pattern| pattern != "*") {
            return Some(Meaning::Alias(alias, Some(rest)));
        }
        let split = asked.split_once('/');
        if let Some((provider, model)) =
            split.and_then(|(name, model)| Some((self.position(name)?, model)))
        {
            return (!model.is_empty()).then_some(Meaning::Model(provider, model));
        }
        if let Some(provider) = self.knowing(asked, protocol) {
            return Some(Meaning::Model(provider, asked));
        }
        let (alias, rest) = self.pattern(asked, |pattern| pattern == "*")?;
        Some(Meaning::Alias(alias, Some(rest)))
    }

    /// The alias whose pattern matches with most letters of its own.
    pub(crate) fn pattern<'a>(
        &'a self,
        asked: &'a str,
        wanted: impl Fn(&str) -> bool,
    ) -> Option<(&'a Alias, &'a str)> {
        let matching = self.aliases.iter().filter(|(pattern, _)| wanted(pattern));
        matching
            .filter_map(|(pattern, alias)| Some((pattern.len(), alias, star(pattern, asked)?)))
            .max_by_key(|(letters, ..)| *letters)
            .map(|(_, alias, rest)| (alias, rest))
    }

    /// The provider of this name or alias, by its place.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.providers.iter().position(|provider| provider.is_called(name))
    }

    /// The provider a bare name means: the lab that makes the model, else the first that has it.
    /// Who can be asked in the caller's protocol goes before who cannot.
    fn knowing(&self, asked: &str, protocol: Protocol) -> Option<usize> {
        let all = || self.providers.iter().enumerate();
        let reached = |at: usize| self.translates || self.providers[at].speaks(protocol).is_some();
        let made = all().filter_map(|(at, _)| self.makes(at, asked).then_some(at));
        let has = |at: usize| self.providers[at].has(asked) || self.lists(at, asked);
        let having = all().filter_map(|(at, _)| has(at).then_some(at));
        let known: Vec<usize> = made.chain(having).collect();
        known.iter().copied().find(|at| reached(*at)).or_else(|| known.first().copied())
    }

    /// Whether the provider is the lab that makes the model.
    fn makes(&self, provider: usize, model: &str) -> bool {
        Catalogue::is_lab(&self.providers[provider].kind) && self.lists(provider, model)
    }

    /// Whether the catalogue has the model at this provider.
    fn lists(&self, provider: usize, model: &str) -> bool {
        let provider = &self.providers[provider];
        provider.catalogue_or(&self.catalogue).find(&provider.kind, model).is_some()
    }

    /// Says that nobody is known by this name, and who is.
    pub(crate) fn unknown(&self, asked: &str) -> Refusal {
        let names: Vec<_> = self.providers.iter().map(|p| format!("`{}/…`", p.name)).collect();
        let ask = match names.is_empty() {
            true => "configure a provider".to_owned(),
            false => names.join(", "),
        };
        let near = self.nearest(asked).map(|near| format!("did you mean `{near}`? Or "));
        let message = format!(
            "no model `{asked}` here: {}ask for an alias or {ask}",
            near.unwrap_or_default()
        );
        Refusal::new(Class::NotFound, message).param("model")
    }

    /// The name that looks most like `asked`: an alias, or a model of a provider.
    fn nearest(&self, asked: &str) -> Option<String> {
        let aliases = self.aliases.keys().filter(|alias| !alias.contains('*'));
        let models = self.providers.iter().flat_map(|provider| {
            provider.models.iter().map(|model| [&*provider.name, "/", model].concat())
        });
        let respelt = asked.split_once('/').and_then(|(name, model)| {
            let names = self.providers.iter().map(|provider| &*provider.name);
            Some([nearest(name, names)?, "/", model].concat())
        });
        let listed: Vec<String> = aliases.map(|alias| alias.to_string()).chain(models).collect();
        let near = nearest(asked, listed.iter().map(String::as_str)).map(str::to_owned);
        respelt.or(near)
    }
}

/// Returns the candidate that looks most like `name`, for "did you mean": `None` where none looks
/// like it. What was typed wrongly is found, what is another word is not.
///
/// ```
/// use tollgate_route::nearest;
///
/// assert_eq!(nearest("opnai", ["anthropic", "openai"]), Some("openai"));
/// assert_eq!(nearest("bedrock", ["anthropic", "openai"]), None);
/// ```
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
