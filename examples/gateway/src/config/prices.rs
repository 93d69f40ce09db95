//! `[prices]`, and what providers say of their own.

use std::{collections::HashMap, fs, sync::Arc};

use tollgate_catalog::{Catalogue, rates_from};

use super::{Wrong, file::File};

/// The built-in catalogue under the file's.
pub(super) fn catalogue(file: &File) -> Result<Catalogue, Wrong> {
    let builtin = Catalogue::builtin();
    let Some(path) = file.prices.as_ref().and_then(|prices| prices.file.as_ref()) else {
        return Ok(builtin);
    };
    let wrong = |what: String| Wrong::new("prices.file", format!("{}: {what}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    builtin.with_file(&text).map_err(|error| wrong(error.to_string()))
}

/// What models cost at providers that are free or have prices of their own.
pub(super) fn own(
    file: &File,
    free: &[(Arc<str>, &'static str)],
) -> Result<HashMap<Arc<str>, Catalogue>, Wrong> {
    let known = catalogue(file)?;
    let mut own: HashMap<_, _> =
        free.iter().map(|(name, kind)| (name.clone(), known.with_free(*kind))).collect();
    for (name, provider) in file.providers.iter().filter(|(_, p)| !p.price.is_empty()) {
        let kind = provider.kind.as_deref().unwrap_or(name);
        let mut catalogue = known.clone();
        for (model, rates) in &provider.price {
            let path = || format!("providers.{name}.price.{model}");
            let pairs = rates.iter().map(|(component, rate)| (component.as_str(), rate.as_str()));
            let rates = rates_from(pairs).map_err(|e| Wrong::new(path(), e.to_string()))?;
            catalogue = catalogue.with_price(kind, model, rates);
        }
        own.insert(name.as_str().into(), catalogue);
    }
    Ok(own)
}
