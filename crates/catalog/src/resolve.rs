use std::{borrow::Cow, collections::BTreeSet};

use tollgate_core::{Decimal, Money, ServedAs, Usage};

use crate::{
    Catalogue, Component, Date, Mark, Model, Occasion, Period, Rates, Tier, Variant, model::Text,
};

/// The rates one usage is billed at.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) rates: Rates,
    pub(crate) variant: Option<String>,
    pub(crate) tier_above: Option<u64>,
    pub(crate) from: Option<Date>,
    pub(crate) until: Option<Date>,
    pub(crate) off_peak: bool,
    pub(crate) modifiers: Vec<(String, Decimal)>,
    /// The product of the modifiers.
    pub(crate) factor: Decimal,
    pub(crate) prepaid: bool,
    /// Components that no source lists.
    pub(crate) derived: Vec<Component>,
}

/// How an answer was served, as far as it has rates of its own.
enum ServedBy {
    Standard,
    Variant(&'static str),
    /// A tier we do not know the rates of.
    Other(String),
    Prepaid,
}

/// Picks the period by time, lays the off-peak rates over it, the highest tier passed, the variant,
/// the variant's tier, and gathers the modifiers.
pub(crate) fn resolve(
    catalogue: &Catalogue,
    model: &Model,
    usage: &Usage,
    occasion: &Occasion,
    marks: &mut BTreeSet<Mark>,
) -> Resolved {
    let at = usage.served.completed_at.or(occasion.completed_at);
    let prompt = usage.prompt_total();
    let mut resolved = Resolved {
        rates: Rates::new(),
        variant: None,
        tier_above: None,
        from: model.effective_from,
        until: None,
        off_peak: false,
        modifiers: modifiers(model, usage, occasion),
        factor: Decimal::ONE,
        prepaid: false,
        derived: scaled(model),
    };
    let period = at.and_then(|at| period(model, Date::of(at), marks));
    let (base, tiers) = match period {
        Some(period) => {
            (resolved.from, resolved.until) = (period.from, period.until);
            (&period.rates, &period.tiers)
        }
        None => (&model.rates, &model.tiers),
    };
    resolved.rates.overlay(base);
    if period.is_none() {
        resolved.off_peak(catalogue, model, at);
    }
    resolved.tier(tiers, prompt, marks);
    resolved.served(model, usage, occasion, period.is_some(), marks);
    resolved.cache_read(model);
    resolved.multiply(marks);
    resolved
}

/// Providers that charge for cached tokens this part of the input's rate where a model lists no rate
/// of its own: their rule goes before the chain that ends at the input.
const CACHE_READS: [(&str, Decimal); 1] = [("fireworks", Decimal::from_parts(5, 0, 0, false, 1))];

impl Resolved {
    fn off_peak(&mut self, catalogue: &Catalogue, model: &Model, at: Option<u64>) {
        let Some((off, at)) = model.off_peak.as_ref().zip(at) else { return };
        let peak = catalogue.schedule(&off.schedule).is_none_or(|schedule| schedule.is_peak(at));
        if !peak {
            self.rates.overlay(&off.rates);
            self.off_peak = true;
        }
    }

    fn cache_read(&mut self, model: &Model) {
        let key = Catalogue::provider_key(&model.provider);
        let Some((_, part)) = CACHE_READS.iter().find(|(provider, _)| *provider == key) else {
            return;
        };
        let listed = self.rates.get(Component::CacheRead);
        let rate = self.rates.get(Component::Input).and_then(|input| input.checked_mul(*part));
        if let (None, Some(rate)) = (listed, rate) {
            self.rates.set(Component::CacheRead, rate.normalize());
            self.derived.push(Component::CacheRead);
        }
    }

    fn tier(&mut self, tiers: &[Tier], prompt: u64, marks: &mut BTreeSet<Mark>) {
        let passed = tiers.iter().filter(|tier| tier.applies(prompt));
        if let Some(tier) = passed.max_by_key(|tier| tier.threshold) {
            self.rates.overlay(&tier.rates);
            self.tier_above = self.tier_above.max(Some(tier.threshold));
            self.derived.retain(|component| tier.rates.get(*component).is_none());
            self.derived.extend(components(&tier.derived));
        }
        // The last 2% before a cliff.
        let near = |threshold: u64| prompt >= threshold.saturating_sub(threshold / 50);
        let ahead = tiers.iter().filter(|tier| !tier.applies(prompt) && near(tier.threshold));
        marks.extend(ahead.map(|tier| Mark::NearTier(tier.threshold)));
    }

    fn served(
        &mut self,
        model: &Model,
        usage: &Usage,
        occasion: &Occasion,
        other_period: bool,
        marks: &mut BTreeSet<Mark>,
    ) {
        match served_by(&usage.served, occasion) {
            ServedBy::Prepaid => {
                self.prepaid = true;
                marks.insert(Mark::Prepaid);
            }
            ServedBy::Other(name) => {
                marks.insert(Mark::VariantUnlisted(name));
            }
            ServedBy::Variant(name) => match model.variant(name) {
                Some(variant) => self.vary(variant, usage, other_period, marks),
                None => {
                    marks.insert(Mark::VariantUnlisted(name.to_owned()));
                }
            },
            ServedBy::Standard => {
                if is_assumed(&usage.served, occasion) {
                    marks.insert(Mark::TierAssumed);
                }
                let thinking = usage.reasoning.is_some_and(|tokens| tokens > 0);
                if let Some(variant) = model.variant("thinking").filter(|_| thinking) {
                    self.vary(variant, usage, other_period, marks);
                }
            }
        }
    }

    fn vary(
        &mut self,
        variant: &Variant,
        usage: &Usage,
        other_period: bool,
        marks: &mut BTreeSet<Mark>,
    ) {
        self.rates.overlay(&variant.rates);
        self.derived.retain(|component| variant.rates.get(*component).is_none());
        self.tier(&variant.tiers, usage.prompt_total(), marks);
        self.variant = Some(variant.name.to_string());
        if other_period {
            marks.insert(Mark::VariantOfToday(variant.name.to_string()));
        }
    }

    fn multiply(&mut self, marks: &mut BTreeSet<Mark>) {
        for (_, modifier) in &self.modifiers {
            match Money::new(self.factor).times(*modifier) {
                Ok(factor) => self.factor = factor.dollars(),
                Err(_) => {
                    marks.insert(Mark::Overflow);
                }
            }
        }
    }
}

/// The other prices of that day; `None`: today's.
fn period<'a>(model: &'a Model, day: Date, marks: &mut BTreeSet<Mark>) -> Option<&'a Period> {
    let begun = |period: &&Period| period.from.is_none_or(|from| from <= day);
    if let Some(next) = model.upcoming.iter().filter(begun).max_by_key(|period| period.from) {
        return Some(next);
    }
    let before = model.effective_from.is_none_or(|from| day < from);
    let past = model.history.iter().rev().find(|period| period.holds(day)).filter(|_| before);
    if past.is_none() && model.effective_from.is_some_and(|from| day < from) {
        marks.insert(Mark::BeforeKnown);
    }
    past
}

fn scaled(model: &Model) -> Vec<Component> {
    components(&model.scaled).collect()
}

fn components(names: &[Text]) -> impl Iterator<Item = Component> {
    names.iter().filter_map(|name| Component::named(name))
}

/// The tier that was served, never the one that was asked for.
fn served_by(served: &ServedAs, occasion: &Occasion) -> ServedBy {
    let (traffic, speed) = (lower(&served.traffic), lower(&served.speed));
    let known = served.tier.is_none() && served.traffic.is_none();
    let tier = lower(if known { &occasion.served_tier } else { &served.tier });
    if traffic == "provisioned_throughput" {
        return ServedBy::Prepaid;
    }
    if occasion.batch || served.batch || tier == "batch" {
        return ServedBy::Variant("batch");
    }
    if speed == "fast" {
        return ServedBy::Variant("fast");
    }
    let word = if tier.is_empty() { traffic } else { tier };
    match &*word {
        ""
        | "standard"
        | "default"
        | "auto"
        | "scale"
        | "on_demand"
        | "on_demand_offpeak"
        | "traffic_type_unspecified"
        | "unspecified"
        | "service_tier_unspecified" => ServedBy::Standard,
        "flex" | "on_demand_flex" => ServedBy::Variant("flex"),
        "priority" | "fast" | "on_demand_priority" => ServedBy::Variant("priority"),
        "ultrafast" => ServedBy::Variant("ultrafast"),
        _ => ServedBy::Other(word.into_owned()),
    }
}

/// The text in lower case, as nearly all of them are; what is absent is empty.
fn lower(text: &Option<String>) -> Cow<'_, str> {
    let text = text.as_deref().unwrap_or_default();
    match text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => text.to_ascii_lowercase().into(),
        false => text.into(),
    }
}

/// Whether another tier than the standard one was asked for and the answer is silent.
fn is_assumed(served: &ServedAs, occasion: &Occasion) -> bool {
    let silent =
        served.tier.is_none() && served.traffic.is_none() && occasion.served_tier.is_none();
    let asked = occasion.requested_tier.as_deref().map(str::to_ascii_lowercase);
    silent && asked.is_some_and(|tier| !is_standard(tier.trim_start_matches("service_tier_")))
}

/// Whether a request that says this asks for no tier of its own.
fn is_standard(tier: &str) -> bool {
    matches!(tier, "auto" | "default" | "standard" | "standard_only" | "unspecified")
}

fn modifiers(model: &Model, usage: &Usage, occasion: &Occasion) -> Vec<(String, Decimal)> {
    let residency = occasion.residency.as_deref().map(|place| format!("data_residency:{place}"));
    let geo = usage.served.geo.as_deref().map(|place| format!("inference_geo:{place}"));
    let regional = occasion.regional_endpoint.then(|| "regional_endpoint".to_owned());
    let names = [residency, geo, regional].into_iter().flatten();
    names.filter_map(|name| model.modifier(&name).map(|factor| (name, factor))).collect()
}
