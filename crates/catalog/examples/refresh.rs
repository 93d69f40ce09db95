//! Rewrites the built-in data from a price file: `cargo xtask catalogue [FILE]`.
//!
//! Prints each price that changed, and `LOOK` before one that moved by more than a factor of two:
//! that one a human should read on the provider's page before it is committed.

use std::{collections::BTreeMap, error::Error, fs, path::Path};

use tollgate_catalog::{Catalogue, Document, compact};
use tollgate_core::Decimal;

type Prices = BTreeMap<String, Decimal>;

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("usage: refresh MODELS.json")?;
    let document = Document::read(&fs::read_to_string(&file)?)?;
    // What the loader would refuse must not be compiled in either.
    Catalogue::empty().with(document.clone())?;
    let changes = compare(&builtin(), &prices(&document));
    changes.iter().for_each(|line| println!("{line}"));
    println!("{} models, {} prices changed", document.models.len(), changes.len());
    write(&document)
}

fn builtin() -> Prices {
    let catalogue = Catalogue::builtin();
    let models = catalogue.providers().flat_map(|provider| catalogue.models(provider));
    models.flat_map(|model| named(&model)).collect()
}

fn prices(document: &Document) -> Prices {
    document.models.iter().flat_map(named).collect()
}

fn named(model: &tollgate_catalog::Model) -> Vec<(String, Decimal)> {
    let name = format!("{}/{}", model.provider, model.id);
    model.amounts().into_iter().map(|(path, price)| (format!("{name} {path}"), price)).collect()
}

fn compare(old: &Prices, new: &Prices) -> Vec<String> {
    let gone = old.iter().filter(|(path, _)| !new.contains_key(*path));
    let gone = gone.map(|(path, was)| format!("     {path}: {was} -> gone"));
    let moved = new.iter().filter_map(|(path, now)| match old.get(path) {
        None => Some(format!("     {path}: new, {now}")),
        Some(was) if was == now => None,
        Some(was) => Some(format!("{} {path}: {was} -> {now}", flag(*was, *now))),
    });
    gone.chain(moved).collect()
}

/// A move by more than a factor of two, or from or to nothing.
fn flag(was: Decimal, now: Decimal) -> &'static str {
    let far = was.max(now) > was.min(now) * Decimal::TWO;
    if far { "LOOK" } else { "    " }
}

fn write(document: &Document) -> Result<(), Box<dyn Error>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    for (name, text) in compact(document) {
        fs::write(directory.join(name), text)?;
    }
    Ok(())
}
