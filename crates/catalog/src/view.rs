use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use serde::{Serialize, Serializer};
use tollgate_core::{Decimal, Money, Quality};

use crate::{Line, Per, Priced, Provenance, count::fee_keys};

/// A price as JSON: money as decimal text, counts as numbers.
///
/// ```json
/// {"id":"a1","billable":{"input":1000,"output":500},
///  "components":{"input":"0.0025","output":"0.005"},"total_usd":"0.0075","quality":"exact",
///  "price":{"version":"2026-11-22","provider":"openai","model":"gpt-4o","found_by":"exact", …}}
/// ```
///
/// `billable` are the tokens after each took the component it is billed as, those of other models
/// apart in `billable_other_models`; `components` is what each component, fee and unit cost, where
/// other models' parts are named `claude-opus-5:input`.
/// `total_usd` is the table's and `null` where it is not known; `cost_usd` is what to book.
#[derive(Clone, Debug, Serialize)]
pub struct PricedView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    billable: BTreeMap<String, Count>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    billable_other_models: Vec<OtherModel<'a>>,
    rates_usd_per_mtok: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    fees: BTreeMap<String, Uses>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    units: BTreeMap<String, Uses>,
    components: BTreeMap<String, String>,
    total_usd: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reported_cost_usd: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_cost_usd: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    difference_usd: Option<String>,
    cost_usd: Option<String>,
    quality: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    marks: Vec<String>,
    price: Option<PriceView<'a>>,
}

/// The tokens of another model of the same answer.
#[derive(Clone, Debug, Serialize)]
struct OtherModel<'a> {
    model: &'a str,
    billable: BTreeMap<String, Count>,
}

/// Uses or units with what each costs.
#[derive(Clone, Debug, Serialize)]
struct Uses {
    price: String,
    qty: Count,
}

/// A whole number as a number, any other as text.
#[derive(Clone, Copy, Debug)]
struct Count(Decimal);

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = self.0.normalize();
        match u64::try_from(number) {
            Ok(whole) if number.scale() == 0 => serializer.serialize_u64(whole),
            _ => serializer.collect_str(&number),
        }
    }
}

#[derive(Clone, Debug, Serialize)]
struct PriceView<'a> {
    version: &'a str,
    provider: &'a str,
    model: &'a str,
    origin: &'static str,
    found_by: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    declared_free: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tier_above: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    off_peak: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    modifiers: BTreeMap<&'a str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    page_checked: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<&'a str>,
    sources: &'a [Cow<'static, str>],
}

impl Priced {
    /// This price as JSON, named `id` where one is given.
    pub fn view<'a>(&'a self, id: Option<&'a str>) -> PricedView<'a> {
        let of = |kind: fn(Per) -> bool| self.lines.iter().filter(move |line| kind(line.per));
        let tokens = || of(|per| per == Per::MillionTokens);
        PricedView {
            id,
            billable: quantities(tokens().filter(|line| line.model.is_none())),
            billable_other_models: others(&self.lines),
            rates_usd_per_mtok: tokens()
                .map(|line| (line.name().into_owned(), plain(line.rate)))
                .collect(),
            fees: uses(of(|per| matches!(per, Per::ThousandUses | Per::Session))),
            units: uses(of(|per| per == Per::Unit)),
            components: amounts(&self.lines),
            total_usd: self.total.map(text),
            reported_cost_usd: self.reported.map(text),
            upstream_cost_usd: self.reported_upstream.map(text),
            difference_usd: self.reported.and_then(|_| self.difference()).map(text),
            cost_usd: self.cost().map(text),
            quality: quality(self.quality),
            marks: self.marks.iter().map(ToString::to_string).collect(),
            price: self.provenance.as_ref().map(price),
        }
    }
}

fn text(money: Money) -> String {
    money.to_string()
}

fn plain(number: Decimal) -> String {
    number.normalize().to_string()
}

fn quantities<'a>(lines: impl Iterator<Item = &'a Line>) -> BTreeMap<String, Count> {
    let mut all: BTreeMap<String, Count> = BTreeMap::new();
    for line in lines {
        let count = all.entry(line.component.to_string()).or_insert(Count(Decimal::ZERO));
        count.0 = count.0.saturating_add(line.quantity);
    }
    all
}

fn others(lines: &[Line]) -> Vec<OtherModel<'_>> {
    let tokens = || lines.iter().filter(|line| line.per == Per::MillionTokens);
    let models: BTreeSet<&str> = tokens().filter_map(|line| line.model.as_deref()).collect();
    let of = |model| quantities(tokens().filter(|line| line.model.as_deref() == Some(model)));
    models.into_iter().map(|model| OtherModel { model, billable: of(model) }).collect()
}

/// Named as price files name the prices: `web_search_per_1k`, `page`.
fn uses<'a>(lines: impl Iterator<Item = &'a Line>) -> BTreeMap<String, Uses> {
    let named = |line: &Line| {
        let keys = fee_keys(&line.component).into_iter().flatten();
        let key = keys.filter(|(_, per)| *per == line.per).map(|(key, _)| key).next();
        let key = key.unwrap_or_else(|| line.component.to_string());
        let key = line.model.as_ref().map_or(key.clone(), |model| format!("{model}:{key}"));
        (key, Uses { price: plain(line.rate), qty: Count(line.quantity) })
    };
    lines.map(named).collect()
}

fn amounts(lines: &[Line]) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, Money> = BTreeMap::new();
    for line in lines {
        let sum = all.entry(line.name().into_owned()).or_default();
        // What could not be added is not in the total either.
        *sum = sum.plus(line.usd).unwrap_or(*sum);
    }
    all.into_iter().map(|(name, usd)| (name, usd.to_string())).collect()
}

fn quality(quality: Quality) -> &'static str {
    match quality {
        Quality::Exact => "exact",
        Quality::Partial => "partial",
        Quality::Estimated => "estimated",
        Quality::Inconsistent => "inconsistent",
        Quality::Absent => "absent",
    }
}

fn price(provenance: &Provenance) -> PriceView<'_> {
    let modifiers = provenance.modifiers.iter();
    PriceView {
        version: &provenance.version,
        provider: &provenance.provider,
        model: &provenance.model,
        origin: provenance.origin.name(),
        found_by: provenance.found_by.name(),
        declared_free: provenance.declared_free,
        effective_from: provenance.effective_from.map(|date| date.to_string()),
        until: provenance.until.map(|date| date.to_string()),
        variant: provenance.variant.as_deref(),
        tier_above: provenance.tier_above,
        off_peak: provenance.off_peak,
        modifiers: modifiers.map(|(name, factor)| (&**name, plain(*factor))).collect(),
        page_checked: provenance.page_checked.map(|date| date.to_string()),
        page: provenance.page.as_deref(),
        sources: &provenance.sources,
    }
}
