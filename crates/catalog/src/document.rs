use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_core::{Decimal, Money};

use crate::{
    Ability, Component, Date, FreeSearch, Mode, Model, OffPeak, Period, PriceFileError, Rates,
    Schedule, Status, Tier, Variant,
    date::{minute, unix_seconds},
    model::{Prices, Text},
};

/// The schema of our own price files.
pub(crate) const SCHEMA: &str = "tollgate-prices/1";

/// A price file as read: what is laid over the built-in catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Document {
    /// The date the file gives for its prices, as written.
    pub priced_at: Option<Text>,
    /// The collections it was made from: (name, version).
    pub sources: Vec<(Text, Text)>,
    /// Schedules its models name.
    pub schedules: Vec<Schedule>,
    /// Per provider what tools cost where a model lists nothing.
    pub tool_fees: Vec<(Text, Prices)>,
    /// The models.
    pub models: Vec<Model>,
}

type Result<T> = std::result::Result<T, PriceFileError>;
type Amounts<'a> = BTreeMap<String, &'a RawValue>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDocument<'a> {
    schema: String,
    currency: Option<String>,
    #[serde(rename = "per")]
    _per: Option<String>,
    priced_at: Option<String>,
    #[serde(default)]
    sources: BTreeMap<String, String>,
    #[serde(default)]
    schedules: BTreeMap<String, RawSchedule>,
    #[serde(default, borrow)]
    providers: BTreeMap<String, RawRules<'a>>,
    #[serde(default, borrow)]
    models: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawSchedule {
    peak_utc: Vec<(String, String)>,
    peak_days: Vec<String>,
    #[serde(default)]
    off_peak_dates: Vec<String>,
    holiday_calendar: Option<String>,
    valid_from: Option<String>,
}

#[derive(Deserialize)]
struct RawRules<'a> {
    like: Option<String>,
    #[serde(default, borrow)]
    tool_fees: Amounts<'a>,
}

/// Only what is needed to say which model a fault is in.
#[derive(Deserialize)]
struct RawName {
    provider: Option<String>,
    id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawModel<'a> {
    provider: String,
    id: String,
    name: Option<String>,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default, rename = "match")]
    patterns: Vec<String>,
    mode: Option<String>,
    status: Option<String>,
    shutdown: Option<String>,
    limits: Option<RawLimits>,
    #[serde(default)]
    capabilities: Vec<String>,
    #[serde(default)]
    lacks: Vec<String>,
    #[serde(default, borrow)]
    rates: Amounts<'a>,
    #[serde(default, borrow)]
    tiers: Vec<RawTier<'a>>,
    #[serde(default, borrow)]
    variants: BTreeMap<String, RawVariant<'a>>,
    #[serde(default, borrow)]
    modifiers: Amounts<'a>,
    #[serde(borrow)]
    off_peak: Option<RawOffPeak<'a>>,
    #[serde(default, borrow)]
    fees: Amounts<'a>,
    free_search: Option<RawFreeSearch>,
    search_unit: Option<String>,
    #[serde(default, borrow)]
    unit_prices: Amounts<'a>,
    effective_from: Option<String>,
    #[serde(default, borrow)]
    history: Vec<RawPeriod<'a>>,
    #[serde(rename = "history_note")]
    _history_note: Option<String>,
    #[serde(default, borrow)]
    upcoming: Vec<RawPeriod<'a>>,
    #[serde(default)]
    sources: Vec<String>,
    page_checked: Option<String>,
    #[serde(rename = "ref")]
    page: Option<String>,
    #[serde(default)]
    disputed: Vec<String>,
    #[serde(default)]
    scaled: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    context: Option<u64>,
    max_input: Option<u64>,
    max_output: Option<u64>,
    dimensions: Option<u64>,
    cache_min_tokens: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTier<'a> {
    threshold: u64,
    #[serde(default)]
    inclusive: bool,
    #[serde(borrow)]
    rates: Amounts<'a>,
    #[serde(default)]
    derived: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVariant<'a> {
    #[serde(default, borrow)]
    rates: Amounts<'a>,
    #[serde(default, borrow)]
    tiers: Vec<RawTier<'a>>,
    #[serde(rename = "multiplier", borrow)]
    _multiplier: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOffPeak<'a> {
    schedule: String,
    #[serde(borrow)]
    rates: Amounts<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFreeSearch {
    group: String,
    count: u64,
    per: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPeriod<'a> {
    from: Option<String>,
    until: Option<String>,
    #[serde(borrow)]
    rates: Amounts<'a>,
    #[serde(default, borrow)]
    tiers: Vec<RawTier<'a>>,
}

impl Document {
    /// Reads a file of either kind: our own (`"schema": "tollgate-prices/1"`) or LiteLLM's map of
    /// models.
    ///
    /// # Errors
    ///
    /// The first fault, with the model and the field it is in. Nothing of a faulty file is taken.
    pub fn read(json: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Kind<'a> {
            #[serde(borrow)]
            schema: Option<&'a RawValue>,
        }
        let kind: Kind<'_> = serde_json::from_str(json).map_err(PriceFileError::new)?;
        match kind.schema {
            Some(schema) if schema.get().starts_with('"') => Self::read_own(json),
            _ => crate::litellm::read(json),
        }
    }

    fn read_own(json: &str) -> Result<Self> {
        let raw: RawDocument<'_> = serde_json::from_str(json).map_err(PriceFileError::new)?;
        if raw.schema != SCHEMA {
            let problem = format!("is {:?}; this version reads {SCHEMA:?}", raw.schema);
            return Err(PriceFileError::at("schema", problem));
        }
        if raw.currency.as_deref().is_some_and(|currency| currency != "USD") {
            return Err(PriceFileError::at("currency", "only USD is known"));
        }
        let schedules =
            raw.schedules.iter().map(|(name, s)| schedule(name, s)).collect::<Result<Vec<_>>>()?;
        let models = raw.models.iter().map(|m| named_model(m.get())).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            priced_at: raw.priced_at.map(Text::Owned),
            sources: raw.sources.into_iter().map(|(n, v)| (n.into(), v.into())).collect(),
            schedules,
            tool_fees: tool_fees(&raw.providers)?,
            models,
        })
    }
}

fn schedule(name: &str, raw: &RawSchedule) -> Result<Schedule> {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let fault = |field: &str| {
        let field = format!("schedules.{name}.{field}");
        move |problem: crate::NotADate| PriceFileError::at(field.clone(), problem)
    };
    let mut schedule = Schedule::new(name.to_owned());
    schedule.peak = raw
        .peak_utc
        .iter()
        .map(|(from, to)| Ok((minute(from)?, minute(to)?)))
        .collect::<std::result::Result<_, _>>()
        .map_err(fault("peak_utc"))?;
    schedule.days = DAYS.map(|day| raw.peak_days.iter().any(|d| d == day));
    if let Some(day) = raw.peak_days.iter().find(|day| !DAYS.contains(&day.as_str())) {
        let field = format!("schedules.{name}.peak_days");
        return Err(PriceFileError::at(field, format!("{day:?} is no day")));
    }
    let dates = raw.off_peak_dates.iter().map(|date| date.parse());
    schedule.holidays =
        dates.collect::<std::result::Result<_, _>>().map_err(fault("off_peak_dates"))?;
    schedule.holidays_ahead = ahead(raw.holiday_calendar.as_deref().unwrap_or_default());
    if let Some(from) = &raw.valid_from {
        schedule.valid_from = unix_seconds(from).map_err(fault("valid_from"))?;
    }
    Ok(schedule)
}

/// The hours in "… dates in UTC+8".
fn ahead(calendar: &str) -> i8 {
    let offset = calendar.rsplit_once("UTC").map_or("", |(_, offset)| offset);
    offset.trim_start_matches('+').parse().unwrap_or(0)
}

/// A provider's own fees over those of the provider it is like.
fn tool_fees(rules: &BTreeMap<String, RawRules<'_>>) -> Result<Vec<(Text, Prices)>> {
    let mut all = Vec::new();
    for (provider, own) in rules {
        let like = own.like.as_ref().and_then(|like| rules.get(like));
        let mut fees: BTreeMap<&String, &RawValue> = BTreeMap::new();
        fees.extend(
            like.into_iter().flat_map(|rules| rules.tool_fees.iter().map(|(k, v)| (k, *v))),
        );
        fees.extend(own.tool_fees.iter().map(|(k, v)| (k, *v)));
        let fees = fees.into_iter().map(|(name, value)| {
            let field = || format!("providers.{provider}.tool_fees.{name}");
            Ok((Text::Owned(name.clone()), amount(value, field)?))
        });
        let fees = fees.collect::<Result<Vec<_>>>()?;
        if !fees.is_empty() {
            all.push((provider.clone().into(), fees));
        }
    }
    Ok(all)
}

fn named_model(json: &str) -> Result<Model> {
    let name: RawName = serde_json::from_str(json).map_err(PriceFileError::new)?;
    let name = format!(
        "{}/{}",
        name.provider.as_deref().unwrap_or("?"),
        name.id.as_deref().unwrap_or("?")
    );
    let raw = serde_json::from_str(json).map_err(PriceFileError::new);
    raw.and_then(model).map_err(|error| error.of(name))
}

fn model(raw: RawModel<'_>) -> Result<Model> {
    let mut model = Model::new(raw.provider, raw.id);
    if model.provider.is_empty() || model.id.is_empty() {
        return Err(PriceFileError::at("id", "provider and id must not be empty"));
    }
    model.name = raw.name.map(Text::Owned);
    model.aliases = owned(raw.aliases);
    model.patterns = owned(raw.patterns);
    model.mode = word("mode", raw.mode, Mode::named)?.unwrap_or_default();
    model.status = word("status", raw.status, Status::named)?.unwrap_or_default();
    model.shutdown = date("shutdown", raw.shutdown)?;
    abilities(&mut model, "capabilities", &raw.capabilities, true)?;
    abilities(&mut model, "lacks", &raw.lacks, false)?;
    if let Some(limits) = raw.limits {
        model.limits.context = limits.context;
        model.limits.max_input = limits.max_input;
        model.limits.max_output = limits.max_output;
        model.limits.dimensions = limits.dimensions;
        model.limits.cache_min_tokens = limits.cache_min_tokens;
    }
    model.rates = rates("rates", &raw.rates)?;
    model.tiers = tiers("tiers", raw.tiers)?;
    for (name, variant) in raw.variants {
        let path = format!("variants.{name}");
        let rates = rates(&format!("{path}.rates"), &variant.rates)?;
        let tiers = tiers(&format!("{path}.tiers"), variant.tiers)?;
        model.variants.push(Variant { name: name.into(), rates, tiers });
    }
    if let Some(off_peak) = raw.off_peak {
        let rates = rates("off_peak.rates", &off_peak.rates)?;
        model.off_peak = Some(OffPeak { schedule: off_peak.schedule.into(), rates });
    }
    model.modifiers = prices("modifiers", &raw.modifiers)?;
    model.fees = prices("fees", &raw.fees)?;
    model.unit_prices = prices("unit_prices", &raw.unit_prices)?;
    model.free_search = raw.free_search.map(|free| FreeSearch {
        group: free.group.into(),
        count: free.count,
        per: free.per.into(),
    });
    model.search_unit = raw.search_unit.map(Text::Owned);
    model.effective_from = date("effective_from", raw.effective_from)?;
    model.history = periods("history", raw.history)?;
    model.upcoming = periods("upcoming", raw.upcoming)?;
    model.sources = owned(raw.sources);
    model.page_checked = date("page_checked", raw.page_checked)?;
    model.page = raw.page.map(Text::Owned);
    model.disputed = owned(raw.disputed);
    model.scaled = owned(raw.scaled);
    Ok(model)
}

fn owned(texts: Vec<String>) -> Vec<Text> {
    texts.into_iter().map(Text::Owned).collect()
}

fn word<T>(
    field: &str,
    text: Option<String>,
    named: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>> {
    let unknown = |text: &String| PriceFileError::at(field, format!("{text:?} is not known"));
    text.map(|text| named(&text).ok_or_else(|| unknown(&text))).transpose()
}

fn date(field: &str, text: Option<String>) -> Result<Option<Date>> {
    text.map(|text| text.parse().map_err(|problem| PriceFileError::at(field, problem))).transpose()
}

fn abilities(model: &mut Model, field: &str, names: &[String], has: bool) -> Result<()> {
    for name in names {
        let ability = word(field, Some(name.clone()), Ability::named)?;
        ability.into_iter().for_each(|ability| model.abilities.set(ability, has));
    }
    Ok(())
}

fn rates(path: &str, amounts: &Amounts<'_>) -> Result<Rates> {
    let rate = |(name, value): (&String, &&RawValue)| {
        let field = || format!("{path}.{name}");
        let component = Component::named(name)
            .ok_or_else(|| PriceFileError::at(field(), "no such component"))?;
        Ok((component, amount(value, field)?))
    };
    amounts.iter().map(rate).collect()
}

fn prices(path: &str, amounts: &Amounts<'_>) -> Result<Prices> {
    let price = |(name, value): (&String, &&RawValue)| {
        Ok((Text::Owned(name.clone()), amount(value, || format!("{path}.{name}"))?))
    };
    amounts.iter().map(price).collect()
}

fn tiers(path: &str, raw: Vec<RawTier<'_>>) -> Result<Vec<Tier>> {
    let tier = |(at, tier): (usize, RawTier<'_>)| {
        let rates = rates(&format!("{path}[{at}].rates"), &tier.rates)?;
        let derived = owned(tier.derived);
        Ok(Tier { threshold: tier.threshold, inclusive: tier.inclusive, rates, derived })
    };
    raw.into_iter().enumerate().map(tier).collect()
}

fn periods(path: &str, raw: Vec<RawPeriod<'_>>) -> Result<Vec<Period>> {
    let period = |(at, period): (usize, RawPeriod<'_>)| {
        let path = format!("{path}[{at}]");
        Ok(Period {
            from: date(&format!("{path}.from"), period.from)?,
            until: date(&format!("{path}.until"), period.until)?,
            rates: rates(&format!("{path}.rates"), &period.rates)?,
            tiers: tiers(&format!("{path}.tiers"), period.tiers)?,
        })
    };
    raw.into_iter().enumerate().map(period).collect()
}

/// A price in text or as a JSON number, read from its digits and never through a float.
pub(crate) fn amount(value: &RawValue, field: impl Fn() -> String) -> Result<Decimal> {
    let text = value.get().trim().trim_matches('"');
    let money = Money::parse(text)
        .map_err(|problem| PriceFileError::at(field(), format!("{}: {problem}", value.get())))?;
    if money < Money::ZERO {
        return Err(PriceFileError::at(field(), "a price is not negative"));
    }
    Ok(money.dollars())
}

/// The rates of a price given in configuration: `{ input = "2.5", output = "10" }` per million.
///
/// # Errors
///
/// An unknown component or an amount that is no decimal, with the name it has.
pub fn rates_from<'a>(
    prices: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> std::result::Result<Rates, PriceFileError> {
    let rate = |(name, text): (&str, &str)| {
        let component =
            Component::named(name).ok_or_else(|| PriceFileError::at(name, "no such component"))?;
        let money = Money::parse(text).map_err(|problem| PriceFileError::at(name, problem))?;
        let valid = money >= Money::ZERO;
        valid
            .then(|| (component, money.dollars()))
            .ok_or_else(|| PriceFileError::at(name, "a price is not negative"))
    };
    prices.into_iter().map(rate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(model: &str) -> String {
        let json = format!("{{\"schema\":\"tollgate-prices/1\",\"models\":[{model}]}}");
        Document::read(&json).unwrap_err().to_string()
    }

    #[test]
    fn a_fault_names_its_model_and_field() {
        assert_eq!(
            fault(r#"{"provider":"acme","id":"one","rates":{"input":"free"}}"#),
            "model acme/one: rates.input: \"free\": not a decimal number"
        );
        assert_eq!(
            fault(r#"{"provider":"acme","id":"one","tiers":[{"threshold":1,"rates":{"in":"1"}}]}"#),
            "model acme/one: tiers[0].rates.in: no such component"
        );
        assert_eq!(
            fault(r#"{"provider":"acme","id":"one","shutdown":"soon"}"#),
            "model acme/one: shutdown: not a date such as 2026-11-22"
        );
        assert!(
            fault(r#"{"provider":"acme","id":"one","rate":{}}"#)
                .starts_with("model acme/one: unknown field `rate`")
        );
        assert_eq!(
            fault(r#"{"provider":"acme","id":"one","fees":{"web_search_per_1k":-1}}"#),
            "model acme/one: fees.web_search_per_1k: a price is not negative"
        );
    }

    #[test]
    fn numbers_are_read_from_their_digits() {
        let json = r#"{"schema":"tollgate-prices/1","models":[
            {"provider":"acme","id":"one","rates":{"input":0.1,"output":3e-1}}]}"#;
        let model = &Document::read(json).unwrap().models[0];
        assert_eq!(model.rates.get(Component::Input).unwrap().to_string(), "0.1");
        assert_eq!(model.rates.get(Component::Output).unwrap().to_string(), "0.3");
    }

    #[test]
    fn another_schema_is_refused_by_name() {
        let error = Document::read("{\"schema\":\"tollgate-prices/9\"}").unwrap_err();
        assert_eq!(error.field(), Some("schema"));
    }

    #[test]
    fn a_configured_price_is_checked_by_name() {
        let rates = rates_from([("input", "2.5"), ("cache_read", "0.25")]).unwrap();
        assert_eq!(rates.get(Component::CacheRead), Some(Decimal::new(25, 2)));
        assert_eq!(rates_from([("inptu", "2")]).unwrap_err().field(), Some("inptu"));
        assert_eq!(rates_from([("input", "two")]).unwrap_err().field(), Some("input"));
    }
}
