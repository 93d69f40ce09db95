use std::time::Duration;

use tollgate_catalog::{Line, Mark, Per, Priced, Provenance};
use tollgate_core::{Decimal, InTokens, OutTokens, ServedAs, Ttl, Usage};
use tollgate_meter::Charge;

use crate::json::{Members, Text, Value, object};

/// Returns what of a charge has no column, as it is shown to whoever asks for the call: a JSON
/// object.
///
/// Written straight from the charge, once for each attempt: nothing is collected first.
pub(crate) fn of(charge: &Charge) -> String {
    let mut json = String::with_capacity(1024);
    object(&mut json, |all| details(all, charge));
    json
}

/// Whole milliseconds; more than there are stay the most.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn details(all: &mut Members<'_>, charge: &Charge) {
    let target = charge.target.as_deref();
    all.put("protocol", charge.protocol.as_str());
    all.put("operation", charge.operation.as_str());
    all.put("stream", charge.stream);
    all.maybe("asked_tier", charge.asked_tier.as_deref());
    all.maybe("kind", target.map(|target| &*target.kind));
    all.maybe("deployment", target.map(|target| &*target.deployment));
    all.maybe("status", charge.status.map(u64::from));
    all.maybe("head_ms", charge.head.map(millis));
    all.maybe("first_content_ms", charge.first_content.map(millis));
    all.object("usage", |all| usage(all, &charge.usage));
    if let Some(priced) = &charge.priced {
        all.object("price", |all| price(all, priced));
    }
}

/// The parts of a usage that were told, as in `Usage`; a zero that was told is one of them.
fn usage(all: &mut Members<'_>, usage: &Usage) {
    all.filled("prompt", |all| input(all, &usage.prompt));
    all.filled("read", |all| input(all, &usage.read));
    if !usage.write.is_empty() {
        all.list("write", &usage.write, |out, (ttl, tokens)| {
            object(out, |all| {
                all.put("ttl", ttl_name(*ttl));
                all.object("tokens", |all| input(all, tokens));
            });
        });
    }
    all.maybe("tool_in", usage.tool_in);
    all.filled("output", |all| output(all, &usage.output));
    all.maybe("reasoning", usage.reasoning);
    all.maybe("citation", usage.citation);
    if let Some(prediction) = usage.prediction {
        all.object("prediction", |all| {
            all.put("accepted", prediction.accepted);
            all.put("rejected", prediction.rejected);
        });
    }
    all.filled("tools", |all| {
        usage.tools.iter().for_each(|(kind, uses)| all.put_named(kind, *uses));
    });
    all.filled("units", |all| {
        usage.units.iter().for_each(|(kind, amount)| all.put_named(kind, amount.as_str()));
    });
    if !usage.extra.is_empty() {
        all.list("extra", &usage.extra, |out, (model, other)| {
            object(out, |all| {
                all.put("model", model.as_str());
                all.object("usage", |all| self::usage(all, other));
            });
        });
    }
    all.filled("served", |all| served(all, &usage.served));
    all.maybe("reported_tokens", usage.reported.total_tokens);
    all.maybe("byok", usage.reported.byok);
    all.maybe("method", usage.method.as_deref());
}

fn input(all: &mut Members<'_>, tokens: &InTokens) {
    let InTokens { text, image, audio, video, document } = *tokens;
    all.maybe("text", text);
    all.maybe("image", image);
    all.maybe("audio", audio);
    all.maybe("video", video);
    all.maybe("document", document);
}

fn output(all: &mut Members<'_>, tokens: &OutTokens) {
    let OutTokens { text, image, audio, video } = *tokens;
    all.maybe("text", text);
    all.maybe("image", image);
    all.maybe("audio", audio);
    all.maybe("video", video);
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
    all.maybe("model", served.model.as_deref());
    all.maybe("tier", served.tier.as_deref());
    all.maybe("speed", served.speed.as_deref());
    all.maybe("geo", served.geo.as_deref());
    all.mark("batch", served.batch);
    all.maybe("traffic", served.traffic.as_deref());
    all.maybe("completed_at", served.completed_at);
}

fn price(all: &mut Members<'_>, priced: &Priced) {
    all.list("lines", &priced.lines, |out, line| {
        object(out, |all| self::line(all, line));
    });
    all.maybe("total_usd", priced.total);
    all.maybe("reported_usd", priced.reported);
    all.maybe("reported_upstream_usd", priced.reported_upstream);
    if !priced.marks.is_empty() {
        let mark = |out: &mut String, mark: &Mark| mark.to_string().as_str().write(out);
        all.list("marks", &priced.marks, mark);
    }
    if let Some(provenance) = &priced.provenance {
        all.object("provenance", |all| origin(all, provenance));
    }
}

fn line(all: &mut Members<'_>, line: &Line) {
    all.put("component", &*line.component);
    all.maybe("model", line.model.as_deref());
    all.put("quantity", line.quantity);
    all.put("rate_usd", line.rate);
    all.put("per", per(line.per));
    all.maybe("factor", Some(line.factor).filter(|factor| *factor != Decimal::ONE));
    all.put("usd", line.usd);
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
    all.put("version", &*provenance.version);
    all.put("provider", &*provenance.provider);
    all.put("model", &*provenance.model);
    all.put("origin", provenance.origin.name());
    all.put("found_by", provenance.found_by.name());
    all.mark("declared_free", provenance.declared_free);
    all.maybe("effective_from", provenance.effective_from.map(Text));
    all.maybe("until", provenance.until.map(Text));
    all.maybe("variant", provenance.variant.as_deref());
    all.maybe("tier_above", provenance.tier_above);
    all.mark("off_peak", provenance.off_peak);
    all.filled("modifiers", |all| {
        provenance.modifiers.iter().for_each(|(name, factor)| all.put_named(name, *factor));
    });
    all.maybe("page_checked", provenance.page_checked.map(Text));
    all.maybe("page", provenance.page.as_deref());
    if !provenance.sources.is_empty() {
        all.list("sources", provenance.sources.iter(), |out, source| (**source).write(out));
    }
}
