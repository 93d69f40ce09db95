use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

use tollgate_core::{Decimal, Money, MoneyError, Usage};

use crate::{
    Catalogue, Component, Found, FoundBy, Line, Mark, Model, Occasion, Origin, Per, Priced,
    Provenance, Rates,
    count::{self, Counted},
    resolve::{Resolved, resolve},
};

/// Answers with nested usages of other models are followed this deep.
const DEPTH: usize = 4;

/// Returns what `usage` cost at a provider.
///
/// `model` is the one that was asked for; where the answer names another, that is billed, if the
/// catalogue knows it. Pure: the same arguments give the same price.
///
/// ```
/// use tollgate_catalog::{Catalogue, Occasion, price};
/// use tollgate_core::{InTokens, OutTokens, Quality, Usage};
///
/// let mut usage = Usage::default();
/// usage.prompt = InTokens { text: Some(1000), ..InTokens::default() };
/// usage.output = OutTokens { text: Some(500), ..OutTokens::default() };
/// usage.quality = Quality::Exact;
/// let priced = price(&Catalogue::builtin(), "openai", "gpt-4o", &usage, &Occasion::default());
/// assert_eq!(priced.total.unwrap().to_string(), "0.0075");
///
/// let unknown = price(&Catalogue::builtin(), "openai", "gpt-99", &usage, &Occasion::default());
/// assert_eq!(unknown.total, None, "never zero");
/// ```
pub fn price(
    catalogue: &Catalogue,
    provider: &str,
    model: &str,
    usage: &Usage,
    occasion: &Occasion,
) -> Priced {
    let mut bill = Bill::default();
    let provenance = match select(catalogue, provider, model, usage, &mut bill) {
        Some(found) => Some(bill.add(catalogue, &found, None, usage, occasion, 0)),
        None => {
            let key = Catalogue::provider_key(provider).to_owned();
            bill.others(catalogue, &Model::new(key, model.to_owned()), usage, occasion, 0);
            None
        }
    };
    if !count::is_told(usage) {
        bill.unknown(Mark::UsageAbsent);
    }
    if occasion.fallback_credit {
        bill.marks.insert(Mark::RepriceExpected);
    }
    let total = Money::sum(bill.lines.iter().map(|line| line.usd));
    if total.is_err() {
        bill.unknown(Mark::Overflow);
    }
    let reported = &usage.reported;
    let upstream = reported.upstream_cost.as_deref().filter(|_| reported.byok == Some(true));
    Priced {
        total: total.ok().filter(|_| !bill.unknown),
        lines: bill.lines,
        reported: dollars(reported.cost.as_deref(), reported.cost_unit.as_deref()),
        reported_upstream: dollars(upstream, Some("usd")),
        quality: usage.quality,
        provenance,
        marks: bill.marks,
    }
}

/// A figure of the upstream's own, in whichever unit it gives it.
fn dollars(cost: Option<&str>, unit: Option<&str>) -> Option<Money> {
    let money = Money::parse(cost?).ok()?;
    match unit? {
        "usd" | "credits" => Some(money),
        // 10^10 ticks are one dollar.
        "usd_ticks" => money.times(Decimal::new(1, 10)).ok(),
        _ => None,
    }
}

/// Which row is billed: the served model's, unless it is the asked row by a shorter name.
fn select(
    catalogue: &Catalogue,
    provider: &str,
    asked: &str,
    usage: &Usage,
    bill: &mut Bill,
) -> Option<Arc<Found>> {
    let key = Catalogue::provider_key(provider);
    if catalogue.is_free(provider) || catalogue.is_free(key) {
        return Some(Arc::new(free(provider, usage.served.model.as_deref().unwrap_or(asked))));
    }
    let row = catalogue.row(key, asked);
    let keep =
        |row: &Found, served: &str| row.origin == Origin::Configured || is_short_for(served, asked);
    let found = match (row, usage.served.model.as_deref()) {
        (Some(row), Some(served)) if !keep(&row, served) => {
            catalogue.row(key, served).or(Some(row))
        }
        (None, Some(served)) => catalogue.row(key, served),
        (row, _) => row,
    };
    let is_priced = found.as_ref().is_some_and(|found| found.model.is_priced());
    if !is_priced && !count::is_all_others(usage) {
        bill.unknown(Mark::PriceUnknown(asked.to_owned()));
    }
    found
}

/// Whether an answer's `served` is the asked name without its region, vendor or flavour: of
/// `eu/gpt-4o`, `us.anthropic.claude-opus-5` and `model:free` only the asked id names the row.
fn is_short_for(served: &str, asked: &str) -> bool {
    let after = |at: usize| matches!(asked.as_bytes().get(at), None | Some(b'-' | b':' | b'@'));
    if served.is_empty() || served.len() > asked.len() {
        return false;
    }
    match asked.find(served) {
        Some(0) => asked[served.len()..].starts_with(':'),
        Some(at) => matches!(asked.as_bytes()[at - 1], b'.' | b'/') && after(at + served.len()),
        None => false,
    }
}

/// The row of a provider that was declared free.
fn free(provider: &str, name: &str) -> Found {
    let mut model = Model::new(provider.to_owned(), name.to_owned());
    model.rates =
        [Component::Input, Component::Output].map(|c| (c, Decimal::ZERO)).into_iter().collect();
    let (by, origin) = (FoundBy::Exact, Origin::Configured);
    Found { model: Arc::new(model), by, origin, wire_id: name.to_owned() }
}

/// A bill while it is being written.
#[derive(Debug, Default)]
struct Bill {
    lines: Vec<Line>,
    marks: BTreeSet<Mark>,
    /// Something has no price: there is no total.
    unknown: bool,
}

impl Bill {
    fn unknown(&mut self, mark: Mark) {
        self.marks.insert(mark);
        self.unknown = true;
    }

    /// Bills a usage at one row, and usages of other models inside it at theirs.
    fn add(
        &mut self,
        catalogue: &Catalogue,
        found: &Found,
        other: Option<&str>,
        usage: &Usage,
        occasion: &Occasion,
        depth: usize,
    ) -> Provenance {
        let model = &*found.model;
        let declared_free = catalogue.is_free(&model.provider)
            || catalogue.is_free(Catalogue::provider_key(&model.provider));
        let resolved = resolve(catalogue, model, usage, occasion, &mut self.marks);
        let mut part =
            Part { bill: self, catalogue, model, resolved: &resolved, declared_free, other };
        part.tokens(usage);
        part.units(usage);
        part.tools(usage, occasion);
        self.others(catalogue, model, usage, occasion, depth);
        provenance(catalogue, found, resolved, declared_free)
    }

    /// Bills the usages of other models inside one.
    fn others(
        &mut self,
        catalogue: &Catalogue,
        main: &Model,
        usage: &Usage,
        occasion: &Occasion,
        depth: usize,
    ) {
        if depth < DEPTH {
            for (name, inner) in &usage.extra {
                self.extra(catalogue, main, name, &inherit(inner, usage), occasion, depth + 1);
            }
        }
    }

    fn extra(
        &mut self,
        catalogue: &Catalogue,
        main: &Model,
        name: &str,
        usage: &Usage,
        occasion: &Occasion,
        depth: usize,
    ) {
        let name = match (name, &occasion.image_model) {
            ("image_gen", Some(model)) => model,
            _ => name,
        };
        let occasion = Occasion { uses: Default::default(), ..occasion.clone() };
        let found = if catalogue.is_free(&main.provider) {
            Some(free(&main.provider, name))
        } else {
            catalogue.find(&main.provider, name).filter(|found| found.model.is_priced())
        };
        match found {
            Some(found) => {
                let other = (found.model.id != main.id).then(|| found.model.id.to_string());
                self.add(catalogue, &found, other.as_deref(), usage, &occasion, depth);
            }
            None => self.unknown(Mark::PriceUnknown(name.to_owned())),
        }
    }
}

/// Whether audio may be among the tokens read from a cache: there is some in the prompt, and the
/// cached tokens are not told apart (`metering.md` §3.1).
fn hides_audio(usage: &Usage) -> bool {
    let told = |count: Option<u64>| count.is_some_and(|count| count > 0);
    told(usage.prompt.audio) && told(usage.read.text) && usage.read.audio.is_none()
}

/// A usage inside another was served in the same batch, tier and place, unless it says otherwise.
fn inherit(inner: &Usage, outer: &Usage) -> Usage {
    let mut inner = inner.clone();
    let (own, served) = (&mut inner.served, &outer.served);
    own.batch |= served.batch;
    own.tier = own.tier.take().or_else(|| served.tier.clone());
    own.geo = own.geo.take().or_else(|| served.geo.clone());
    own.traffic = own.traffic.take().or_else(|| served.traffic.clone());
    own.completed_at = own.completed_at.or(served.completed_at);
    inner
}

/// One usage at one row.
struct Part<'a> {
    bill: &'a mut Bill,
    catalogue: &'a Catalogue,
    model: &'a Model,
    resolved: &'a Resolved,
    declared_free: bool,
    other: Option<&'a str>,
}

impl Part<'_> {
    fn tokens(&mut self, usage: &Usage) {
        let mut sums: Vec<(Component, Decimal, u128)> = Vec::new();
        count::tokens(usage, |component, count| {
            if count == 0 {
                return;
            }
            let Some((billed, rate)) = self.resolved.rates.priced_as(component) else {
                return self.bill.unknown(Mark::ComponentUnpriced(component.name().to_owned()));
            };
            match sums.iter_mut().find(|(of, ..)| *of == billed) {
                Some((.., sum)) => *sum += u128::from(count),
                None => sums.push((billed, rate, u128::from(count))),
            }
        });
        if hides_audio(usage) {
            let mark = Mark::Approximate(Component::CacheRead.name().to_owned());
            self.bill.marks.insert(mark);
        }
        for (component, rate, count) in sums {
            if self.resolved.derived.contains(&component) {
                self.bill.marks.insert(Mark::Derived(component.name().to_owned()));
            }
            let quantity = i128::try_from(count).unwrap_or(i128::MAX);
            let quantity = Decimal::try_from_i128_with_scale(quantity, 0).unwrap_or(Decimal::MAX);
            self.line(component.name().into(), quantity, rate, Per::MillionTokens);
        }
    }

    fn units(&mut self, usage: &Usage) {
        for (kind, amount) in &usage.units {
            let Some(Counted { name, quantity, rate }) =
                count::unit(self.model, kind, amount, self.declared_free)
            else {
                let mark = Mark::ComponentUnpriced(kind.clone());
                // Where tokens are billed, the unit may be for information.
                if self.bill.lines.is_empty() {
                    self.bill.unknown(mark);
                } else {
                    self.bill.marks.insert(mark);
                }
                continue;
            };
            if !quantity.is_zero() {
                self.line(name, quantity, rate, Per::Unit);
            }
        }
    }

    fn tools(&mut self, usage: &Usage, occasion: &Occasion) {
        for (kind, uses) in count::uses(self.model, usage, occasion) {
            match count::fee(self.catalogue, self.model, &kind) {
                _ if self.declared_free => {
                    self.line(kind.into(), Decimal::from(uses), Decimal::ZERO, Per::ThousandUses);
                }
                Some((rate, _)) if rate.is_zero() => {}
                Some((rate, per)) => {
                    if kind == "web_search" && self.model.free_search.is_some() {
                        self.bill.marks.insert(Mark::Allowance(kind.clone()));
                    }
                    self.line(kind.into(), Decimal::from(uses), rate, per);
                }
                None => {
                    self.bill.marks.insert(Mark::FeeUnknown(kind));
                }
            }
        }
    }

    fn line(&mut self, component: Cow<'static, str>, quantity: Decimal, rate: Decimal, per: Per) {
        let prepaid = self.resolved.prepaid && per == Per::MillionTokens;
        let rate = if prepaid { Decimal::ZERO } else { rate };
        let factor = match per {
            Per::MillionTokens => self.resolved.factor,
            _ => Decimal::ONE,
        };
        match product(quantity, rate, factor, per) {
            Ok(usd) => {
                let model = self.other.map(str::to_owned);
                self.bill.lines.push(Line { component, model, quantity, rate, per, factor, usd });
            }
            Err(_) => self.bill.unknown(Mark::Overflow),
        }
    }
}

/// Multiplied first; the division is a shift of the point.
fn product(
    quantity: Decimal,
    rate: Decimal,
    factor: Decimal,
    per: Per,
) -> Result<Money, MoneyError> {
    let shift = match per {
        Per::MillionTokens => 6,
        Per::ThousandUses => 3,
        Per::Session | Per::Unit => 0,
    };
    let each = Money::new(rate);
    let each = if factor == Decimal::ONE { each } else { each.times(factor)? };
    match Decimal::try_from_i128_with_scale(quantity.mantissa(), quantity.scale() + shift) {
        Ok(shifted) => each.times(shifted),
        Err(_) => each.times(quantity)?.times(Decimal::new(1, shift)),
    }
}

fn provenance(
    catalogue: &Catalogue,
    found: &Found,
    resolved: Resolved,
    declared_free: bool,
) -> Provenance {
    let model = &*found.model;
    Provenance {
        version: catalogue.dates().clone(),
        provider: model.provider.clone(),
        model: model.id.clone(),
        origin: found.origin,
        found_by: found.by,
        declared_free,
        effective_from: resolved.from,
        until: resolved.until,
        variant: resolved.variant,
        tier_above: resolved.tier_above,
        off_peak: resolved.off_peak,
        modifiers: resolved.modifiers,
        page_checked: model.page_checked,
        page: model.page.clone(),
        sources: model.sources.clone(),
    }
}

/// Returns the rates a usage is billed at: for a reservation, or to show a price.
///
/// The same steps as in [`price`]: period, off-peak, tier, variant, modifiers (already multiplied
/// in). `None` where the model is unknown.
pub fn rates(
    catalogue: &Catalogue,
    provider: &str,
    model: &str,
    usage: &Usage,
    occasion: &Occasion,
) -> Option<Rates> {
    let found = select(catalogue, provider, model, usage, &mut Bill::default())?;
    let resolved = resolve(catalogue, &found.model, usage, occasion, &mut BTreeSet::new());
    let multiplied = |(component, rate): (Component, Decimal)| {
        Some((component, Money::new(rate).times(resolved.factor).ok()?.dollars()))
    };
    resolved.rates.iter().map(multiplied).collect()
}
