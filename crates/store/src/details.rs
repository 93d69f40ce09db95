use std::time::Duration;

use tollgate_catalog::{Line, Mark, Per, Priced, Provenance};
use tollgate_core::{Decimal, InTokens, OutTokens, ServedAs, Ttl, Usage};
use tollgate_meter::Charge;

use crate::terse::{Members, Name, Shown, Value, object};

/// Whole milliseconds; more than there are stay the most.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Writes what of a charge is only shown, to whoever asks for the call.
pub(crate) fn of(all: &mut Members<'_>, charge: &Charge) {
    let target = charge.target.as_deref();
    all.put(Name::Protocol, charge.protocol.as_str());
    all.put(Name::Operation, charge.operation.as_str());
    all.put(Name::Stream, charge.stream);
    all.maybe(Name::AskedTier, charge.asked_tier.as_deref());
    all.maybe(Name::Kind, target.map(|target| &*target.kind));
    all.maybe(Name::Deployment, target.map(|target| &*target.deployment));
    all.maybe(Name::Status, charge.status.map(u64::from));
    all.maybe(Name::HeadMs, charge.head.map(millis));
    all.maybe(Name::FirstContentMs, charge.first_content.map(millis));
    all.object(Name::Usage, |all| usage(all, &charge.usage));
    if let Some(priced) = &charge.priced {
        all.object(Name::Price, |all| price(all, priced));
    }
}

/// The parts of a usage that were told, as in `Usage`; a zero that was told is one of them.
fn usage(all: &mut Members<'_>, usage: &Usage) {
    all.filled(Name::Prompt, |all| input(all, &usage.prompt));
    all.filled(Name::Read, |all| input(all, &usage.read));
    if !usage.write.is_empty() {
        all.list(Name::Write, &usage.write, |out, (ttl, tokens)| {
            object(out, |all| {
                all.put(Name::Ttl, ttl_name(*ttl));
                all.object(Name::Tokens, |all| input(all, tokens));
            });
        });
    }
    all.maybe(Name::ToolIn, usage.tool_in);
    all.filled(Name::Output, |all| output(all, &usage.output));
    all.maybe(Name::Reasoning, usage.reasoning);
    all.maybe(Name::Citation, usage.citation);
    if let Some(prediction) = usage.prediction {
        all.object(Name::Prediction, |all| {
            all.put(Name::Accepted, prediction.accepted);
            all.put(Name::Rejected, prediction.rejected);
        });
    }
    all.filled(Name::Tools, |all| {
        usage.tools.iter().for_each(|(kind, uses)| all.put_named(kind, *uses));
    });
    all.filled(Name::Units, |all| {
        usage.units.iter().for_each(|(kind, amount)| all.put_named(kind, amount.as_str()));
    });
    if !usage.extra.is_empty() {
        all.list(Name::Extra, &usage.extra, |out, (model, other)| {
            object(out, |all| {
                all.put(Name::Model, model.as_str());
                all.object(Name::Usage, |all| self::usage(all, other));
            });
        });
    }
    all.filled(Name::Served, |all| served(all, &usage.served));
    all.maybe(Name::ReportedTokens, usage.reported.total_tokens);
    all.maybe(Name::Byok, usage.reported.byok);
    all.maybe(Name::Method, usage.method.as_deref());
}

fn input(all: &mut Members<'_>, tokens: &InTokens) {
    let InTokens { text, image, audio, video, document } = *tokens;
    all.maybe(Name::Text, text);
    all.maybe(Name::Image, image);
    all.maybe(Name::Audio, audio);
    all.maybe(Name::Video, video);
    all.maybe(Name::Document, document);
}

fn output(all: &mut Members<'_>, tokens: &OutTokens) {
    let OutTokens { text, image, audio, video } = *tokens;
    all.maybe(Name::Text, text);
    all.maybe(Name::Image, image);
    all.maybe(Name::Audio, audio);
    all.maybe(Name::Video, video);
}

fn ttl_name(ttl: Ttl) -> &'static str {
    match ttl {
        Ttl::M5 => "5m",
        Ttl::M30 => "30m",
        Ttl::H1 => "1h",
        Ttl::H12 => "12h",
        Ttl::Unknown => "unknown",
    }
}

fn served(all: &mut Members<'_>, served: &ServedAs) {
    all.maybe(Name::Model, served.model.as_deref());
    all.maybe(Name::Tier, served.tier.as_deref());
    all.maybe(Name::Speed, served.speed.as_deref());
    all.maybe(Name::Geo, served.geo.as_deref());
    all.mark(Name::Batch, served.batch);
    all.maybe(Name::Traffic, served.traffic.as_deref());
    all.maybe(Name::CompletedAt, served.completed_at);
}

fn price(all: &mut Members<'_>, priced: &Priced) {
    all.list(Name::Lines, &priced.lines, |out, line| {
        object(out, |all| self::line(all, line));
    });
    all.maybe(Name::TotalUsd, priced.total);
    all.maybe(Name::ReportedUsd, priced.reported);
    all.maybe(Name::ReportedUpstreamUsd, priced.reported_upstream);
    if !priced.marks.is_empty() {
        let mark = |out: &mut Vec<u8>, mark: &Mark| Shown(mark).write(out);
        all.list(Name::Marks, &priced.marks, mark);
    }
    if let Some(provenance) = &priced.provenance {
        all.object(Name::Provenance, |all| origin(all, provenance));
    }
}

fn line(all: &mut Members<'_>, line: &Line) {
    all.put(Name::Component, &*line.component);
    all.maybe(Name::Model, line.model.as_deref());
    all.put(Name::Quantity, line.quantity);
    all.put(Name::RateUsd, line.rate);
    all.put(Name::Per, per(line.per));
    all.maybe(Name::Factor, Some(line.factor).filter(|factor| *factor != Decimal::ONE));
    all.put(Name::Usd, line.usd);
}

fn per(per: Per) -> &'static str {
    match per {
        Per::MillionTokens => "million_tokens",
        Per::ThousandUses => "thousand_uses",
        Per::Session => "session",
        Per::Unit => "unit",
    }
}

/// Where the prices are from.
fn origin(all: &mut Members<'_>, provenance: &Provenance) {
    all.put(Name::Version, &*provenance.version);
    all.put(Name::Provider, &*provenance.provider);
    all.put(Name::Model, &*provenance.model);
    all.put(Name::Origin, provenance.origin.name());
    all.put(Name::FoundBy, provenance.found_by.name());
    all.mark(Name::DeclaredFree, provenance.declared_free);
    all.maybe(Name::EffectiveFrom, provenance.effective_from.map(Shown));
    all.maybe(Name::Until, provenance.until.map(Shown));
    all.maybe(Name::Variant, provenance.variant.as_deref());
    all.maybe(Name::TierAbove, provenance.tier_above);
    all.mark(Name::OffPeak, provenance.off_peak);
    all.filled(Name::Modifiers, |all| {
        provenance.modifiers.iter().for_each(|(name, factor)| all.put_named(name, *factor));
    });
    all.maybe(Name::PageChecked, provenance.page_checked.map(Shown));
    all.maybe(Name::Page, provenance.page.as_deref());
    if !provenance.sources.is_empty() {
        all.list(Name::Sources, provenance.sources.iter(), |out, source| (**source).write(out));
    }
}
