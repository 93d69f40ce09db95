//! `[models]`: names of one's own.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use tollgate_route::{Alias, AliasTarget, Provider, nearest};
use tollgate_upstream::{Preset, preset};

use super::{
    Wrong, file,
    quote::{is_name, quoted},
};

/// What the names of the file mean.
pub(super) fn resolve(
    models: &IndexMap<String, file::Alias>,
    providers: &[Provider],
) -> Result<BTreeMap<Box<str>, Alias>, Wrong> {
    let resolved = models.iter().map(|(name, said)| {
        let path = format!("models.{name}.targets");
        if said.targets.is_empty() {
            return Err(Wrong::new(path, "names no target"));
        }
        let targets = said.targets.iter().enumerate();
        let targets = targets.map(|(i, target)| {
            let path = || format!("{path}[{i}]");
            check(name, target.name(), providers).map_err(|message| Wrong::new(path(), message))?;
            if let Some(key) = target.binding() {
                let message = "is not in this version for a target: a provider's table may have it";
                return Err(Wrong::new(format!("{}.{key}", path()), message));
            }
            Ok(AliasTarget::new(target.name()).weight(target.weight()))
        });
        let targets: Vec<_> = targets.collect::<Result<_, Wrong>>()?;
        Ok((name.as_str().into(), Alias::new(targets).order(said.routing)))
    });
    resolved.collect()
}

/// A target must name a provider that is there.
fn check(alias: &str, target: &str, providers: &[Provider]) -> Result<(), String> {
    let Some((provider, model)) = target.split_once('/') else {
        // What the star of the alias stands for may name the provider.
        return match alias.contains('*') && target.contains('*') {
            true => Ok(()),
            false => Err(format!("{} is not of the form `provider/model`", quoted(target))),
        };
    };
    let called = |known: &Provider| &*known.name == provider || known.aliases.contains(&provider);
    if provider.contains('*') || providers.iter().any(called) {
        return Ok(());
    }
    let near = || nearest(provider, providers.iter().map(|known| &*known.name));
    let hint = match preset(provider) {
        Some(preset) => Some(format!("; `[providers.{provider}]` declares it{}", or_a_key(preset))),
        None => near().map(|near| match is_name(model) {
            true => format!("; did you mean `{near}/{model}`?"),
            false => format!("; did you mean `{near}`?"),
        }),
    };
    let called =
        if is_name(provider) { format!(" `{provider}`") } else { " of that name".to_owned() };
    Err(format!("no provider{called} is declared{}", hint.unwrap_or_default()))
}

/// What the environment could say of a preset.
fn or_a_key(preset: &Preset) -> String {
    match preset.env.first().filter(|_| !preset.is_placed()) {
        Some(variable) => format!(", or {variable} in the environment"),
        None => String::new(),
    }
}
