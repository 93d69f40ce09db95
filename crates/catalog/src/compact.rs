//! The form the built-in data are kept in: one model a line, short enough to ship and to diff.
//!
//! `ID \t FIELDS \t NAME`, the fields separated by spaces and each left out where nothing is known:
//!
//! ```text
//! gpt-5.6 \t chat lim=1050000/922000/128000 can=tvp at=i4,o20;272000<i8,o30 +batch=i2,o10 since=2026-08-21
//! ```
//!
//! Rates are a letter per component ([`Component`](crate::Component)) and the amount; `272000<` is
//! the tier above that many prompt tokens, `200000<=` one that includes its threshold. A line
//! `ALIAS \t =ID` is another name. Lines are sorted by their bytes up to the tab, so that they are
//! found in place.

use std::{borrow::Cow, fmt::Write as _};

use tollgate_core::{Decimal, Money};

use crate::{
    Ability, Component, Date, Document, FreeSearch, Mode, Model, OffPeak, Period, Rates, Schedule,
    Status, Tier, Variant,
    date::minute,
    model::{Prices, Text},
};

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A document in the form of the built-in data: what a file is called and what stands in it.
///
/// One `catalogue.txt` for what models share, one file per provider, and `patterns.txt`.
pub fn compact(document: &Document) -> Vec<(String, String)> {
    let mut files: Vec<(String, Vec<String>)> = Vec::new();
    let mut patterns = Vec::new();
    for model in &document.models {
        let file = format!("{}.txt", model.provider);
        let at = files.iter().position(|(name, _)| *name == file).unwrap_or_else(|| {
            files.push((file, Vec::new()));
            files.len() - 1
        });
        files[at].1.push(line(model, &document.sources));
        files[at].1.extend(model.aliases.iter().map(|alias| format!("{alias}\t={}", model.id)));
        let pattern = |pattern: &Text| format!("{}\t{pattern}\t{}", model.provider, model.id);
        patterns.extend(model.patterns.iter().map(pattern));
    }
    files.push(("patterns.txt".to_owned(), patterns));
    for (_, lines) in &mut files {
        lines.sort_by(|a, b| key(a).cmp(key(b)));
    }
    files.push(("catalogue.txt".to_owned(), header(document)));
    files.into_iter().map(|(name, lines)| (name, lines.join("\n") + "\n")).collect()
}

/// What a line is found by.
pub(crate) fn key(line: &str) -> &str {
    line.split_once('\t').map_or(line, |(key, _)| key)
}

fn header(document: &Document) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(document.priced_at.iter().map(|date| format!("priced_at {date}")));
    lines.extend(document.sources.iter().map(|(name, version)| format!("source {name} {version}")));
    lines.extend(document.schedules.iter().map(schedule));
    let fees = |(provider, fees): &(Text, Vec<_>)| format!("fees {provider} {}", prices(fees));
    lines.extend(document.tool_fees.iter().map(fees));
    lines
}

fn schedule(schedule: &Schedule) -> String {
    let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    let peak = schedule.peak.iter().map(|(from, to)| format!("{}-{}", clock(*from), clock(*to)));
    let days = DAYS.iter().zip(schedule.days).filter(|(_, on)| *on).map(|(day, _)| *day);
    format!(
        "schedule {} valid={} peak={} days={} ahead={} off={}",
        schedule.name,
        schedule.valid_from,
        join(peak, ","),
        join(days, ","),
        schedule.holidays_ahead,
        join(&schedule.holidays, ","),
    )
}

fn line(model: &Model, sources: &[(Text, Text)]) -> String {
    let mut line = format!("{}\t{}", model.id, model.mode.name());
    let mut field = |name: &str, value: String| {
        if !value.is_empty() {
            let _ = write!(line, " {name}={value}");
        }
    };
    if model.status != Status::Active {
        field("status", model.status.name().to_owned());
    }
    field("until", join(model.shutdown, ""));
    field("lim", limits(model));
    field("can", letters(model, true));
    field("not", letters(model, false));
    field("at", priced(&model.rates, &model.tiers));
    for variant in &model.variants {
        field(&format!("+{}", variant.name), priced(&variant.rates, &variant.tiers));
    }
    field("mod", prices(&model.modifiers));
    if let Some(off) = &model.off_peak {
        field("off", format!("{}={}", off.schedule, priced(&off.rates, &[])));
    }
    field("fee", prices(&model.fees));
    if let Some(free) = &model.free_search {
        field("free", format!("{}/{}/{}", free.group, free.count, free.per));
    }
    field("search", join(&model.search_unit, ""));
    field("unit", prices(&model.unit_prices));
    field("since", join(model.effective_from, ""));
    model.history.iter().for_each(|was| field("was", period(was)));
    model.upcoming.iter().for_each(|next| field("next", period(next)));
    field("src", join(model.sources.iter().map(|s| source_letter(s, sources)), ""));
    field("seen", join(model.page_checked, ""));
    field("page", model.page.as_deref().map(shorten).unwrap_or_default());
    field("disputed", join(&model.disputed, ",").replace(' ', "_"));
    field("scaled", join(&model.scaled, ","));
    if let Some(name) = &model.name {
        let _ = write!(line, "\t{name}");
    }
    line
}

fn join<T: ToString>(parts: impl IntoIterator<Item = T>, by: &str) -> String {
    parts.into_iter().map(|part| part.to_string()).collect::<Vec<_>>().join(by)
}

fn limits(model: &Model) -> String {
    let l = &model.limits;
    let all = [l.context, l.max_input, l.max_output, l.dimensions, l.cache_min_tokens];
    let text = all.map(|limit| limit.map(|n| n.to_string()).unwrap_or_default()).join("/");
    text.trim_end_matches('/').to_owned()
}

fn letters(model: &Model, has: bool) -> String {
    let known = |(ability, _): &(Ability, char)| model.abilities.knows(*ability) == Some(has);
    Ability::letters().filter(known).map(|(_, letter)| letter).collect()
}

fn priced(rates: &Rates, tiers: &[Tier]) -> String {
    let listed = |rates: &Rates| {
        join(rates.iter().map(|(component, rate)| format!("{}{rate}", component.letter())), ",")
    };
    let tier = |tier: &Tier| {
        let sign = if tier.inclusive { "<=" } else { "<" };
        let derived = if tier.derived.is_empty() { "" } else { "?" };
        let names = join(&tier.derived, ",");
        format!(";{}{sign}{}{derived}{names}", tier.threshold, listed(&tier.rates))
    };
    listed(rates) + &join(tiers.iter().map(tier), "")
}

fn prices(prices: &[(Text, Decimal)]) -> String {
    join(prices.iter().map(|(name, price)| format!("{name}*{price}")), ",")
}

fn period(period: &Period) -> String {
    let (from, until) = (join(period.from, ""), join(period.until, ""));
    format!("{from}..{until}={}", priced(&period.rates, &period.tiers))
}

fn source_letter(name: &str, sources: &[(Text, Text)]) -> char {
    let at = sources.iter().position(|(n, _)| n == name).and_then(|at| u8::try_from(at).ok());
    at.map_or('?', |at| char::from(b'a' + at))
}

fn shorten(page: &str) -> String {
    page.strip_prefix("https://").map_or_else(|| page.to_owned(), |rest| format!("~{rest}"))
}

/// What models share, read from `catalogue.txt`; `None` for a line that is none of ours.
pub(crate) fn read_header(text: &'static str) -> Option<Document> {
    let mut document = Document::default();
    for line in text.lines() {
        let (kind, rest) = line.split_once(' ')?;
        let (name, value) = rest.split_once(' ').unwrap_or((rest, ""));
        match kind {
            "priced_at" => document.priced_at = Some(rest.into()),
            "source" => document.sources.push((name.into(), value.into())),
            "schedule" => document.schedules.push(read_schedule(name, value)?),
            "fees" => document.tool_fees.push((name.into(), read_prices(value)?)),
            _ => return None,
        }
    }
    Some(document)
}

fn read_schedule(name: &'static str, text: &'static str) -> Option<Schedule> {
    let mut schedule = Schedule::new(name);
    for field in text.split(' ') {
        let (field, value) = field.split_once('=')?;
        let parts = || value.split(',').filter(|part| !part.is_empty());
        match field {
            "valid" => schedule.valid_from = value.parse().ok()?,
            "peak" => schedule.peak = parts().map(window).collect::<Option<_>>()?,
            "days" => schedule.days = DAYS.map(|day| parts().any(|part| part == day)),
            "ahead" => schedule.holidays_ahead = value.parse().ok()?,
            "off" => schedule.holidays = parts().map(|d| d.parse().ok()).collect::<Option<_>>()?,
            _ => return None,
        }
    }
    Some(schedule)
}

fn window(text: &str) -> Option<(u16, u16)> {
    let (from, to) = text.split_once('-')?;
    Some((minute(from).ok()?, minute(to).ok()?))
}

/// A model of the built-in data, read from its line; `None` for a line that is none.
pub(crate) fn read_line(
    provider: &'static str,
    line: &'static str,
    sources: &[(Text, Text)],
) -> Option<Model> {
    let (id, rest) = line.split_once('\t')?;
    let (fields, name) = match rest.split_once('\t') {
        Some((fields, name)) => (fields, Some(name)),
        None => (rest, None),
    };
    let mut fields = fields.split(' ');
    let mut model = Model::new(provider, id);
    model.name = name.map(Cow::Borrowed);
    model.mode = Mode::named(fields.next()?)?;
    for field in fields {
        let (name, value) = field.split_once('=')?;
        read_field(&mut model, name, value, sources)?;
    }
    Some(model)
}

fn read_field(
    model: &mut Model,
    name: &'static str,
    value: &'static str,
    sources: &[(Text, Text)],
) -> Option<()> {
    match name {
        "status" => model.status = Status::named(value)?,
        "until" => model.shutdown = Some(value.parse().ok()?),
        "lim" => read_limits(model, value)?,
        "can" => read_abilities(model, value, true),
        "not" => read_abilities(model, value, false),
        "at" => (model.rates, model.tiers) = read_priced(value)?,
        "mod" => model.modifiers = read_prices(value)?,
        "off" => {
            let (schedule, rates) = value.split_once('=')?;
            let rates = read_rates(rates)?;
            model.off_peak = Some(OffPeak { schedule: schedule.into(), rates });
        }
        "fee" => model.fees = read_prices(value)?,
        "free" => model.free_search = Some(read_free_search(value)?),
        "search" => model.search_unit = Some(value.into()),
        "unit" => model.unit_prices = read_prices(value)?,
        "since" => model.effective_from = Some(value.parse().ok()?),
        "was" => model.history.push(read_period(value)?),
        "next" => model.upcoming.push(read_period(value)?),
        "src" => model.sources = value.bytes().filter_map(|b| source(b, sources)).collect(),
        "seen" => model.page_checked = Some(value.parse().ok()?),
        "page" => model.page = Some(lengthen(value)),
        "disputed" => {
            // One of them has two words, and none an underscore of its own in front of a word.
            let spaced = |text: Text| match &*text {
                "tier_threshold" => Cow::Borrowed("tier threshold"),
                _ => text,
            };
            model.disputed = texts(value).into_iter().map(spaced).collect();
        }
        "scaled" => model.scaled = texts(value),
        _ => {
            let (rates, tiers) = read_priced(value)?;
            model.variants.push(Variant { name: name.strip_prefix('+')?.into(), rates, tiers });
        }
    }
    Some(())
}

fn texts(value: &'static str) -> Vec<Text> {
    value.split(',').filter(|part| !part.is_empty()).map(Cow::Borrowed).collect()
}

fn source(letter: u8, sources: &[(Text, Text)]) -> Option<Text> {
    sources.get(usize::from(letter.checked_sub(b'a')?)).map(|(name, _)| name.clone())
}

fn lengthen(page: &'static str) -> Text {
    page.strip_prefix('~').map_or(page.into(), |rest| format!("https://{rest}").into())
}

fn read_limits(model: &mut Model, value: &str) -> Option<()> {
    let mut parts = value.split('/');
    let l = &mut model.limits;
    for limit in [
        &mut l.context,
        &mut l.max_input,
        &mut l.max_output,
        &mut l.dimensions,
        &mut l.cache_min_tokens,
    ] {
        let text = parts.next().unwrap_or_default();
        *limit = if text.is_empty() { None } else { Some(text.parse().ok()?) };
    }
    Some(())
}

fn read_abilities(model: &mut Model, letters: &str, has: bool) {
    for (ability, letter) in Ability::letters() {
        if letters.contains(letter) {
            model.abilities.set(ability, has);
        }
    }
}

fn read_priced(text: &'static str) -> Option<(Rates, Vec<Tier>)> {
    let mut parts = text.split(';');
    let rates = read_rates(parts.next()?)?;
    Some((rates, parts.map(read_tier).collect::<Option<_>>()?))
}

fn read_rates(text: &str) -> Option<Rates> {
    let rate = |part: &str| {
        let letter = part.chars().next()?;
        Some((Component::lettered(letter)?, decimal(&part[letter.len_utf8()..])?))
    };
    text.split(',').filter(|part| !part.is_empty()).map(rate).collect()
}

fn read_tier(text: &'static str) -> Option<Tier> {
    let (threshold, rest) = text.split_once('<')?;
    let (inclusive, rest) = rest.strip_prefix('=').map_or((false, rest), |rest| (true, rest));
    let (rates, derived) = rest.split_once('?').unwrap_or((rest, ""));
    Some(Tier {
        threshold: threshold.parse().ok()?,
        inclusive,
        rates: read_rates(rates)?,
        derived: texts(derived),
    })
}

fn read_prices(text: &'static str) -> Option<Prices> {
    let price = |part: &'static str| {
        let (name, price) = part.rsplit_once('*')?;
        Some((Cow::Borrowed(name), decimal(price)?))
    };
    text.split(',').filter(|part| !part.is_empty()).map(price).collect()
}

fn read_period(text: &'static str) -> Option<Period> {
    let (days, prices) = text.split_once('=')?;
    let (from, until) = days.split_once("..")?;
    let day = |text: &str| -> Option<Option<Date>> {
        if text.is_empty() { Some(None) } else { Some(Some(text.parse().ok()?)) }
    };
    let (rates, tiers) = read_priced(prices)?;
    Some(Period { from: day(from)?, until: day(until)?, rates, tiers })
}

fn read_free_search(text: &'static str) -> Option<FreeSearch> {
    let (rest, per) = text.rsplit_once('/')?;
    let (group, count) = rest.rsplit_once('/')?;
    Some(FreeSearch { group: group.into(), count: count.parse().ok()?, per: per.into() })
}

fn decimal(text: &str) -> Option<Decimal> {
    Money::parse(text).ok().map(Money::dollars)
}
