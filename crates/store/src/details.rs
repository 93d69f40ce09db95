use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Serialize, Serializer, ser::SerializeMap};
use tollgate_catalog::{Date, Line, Per, Priced, Provenance};
use tollgate_core::{Decimal, InTokens, Money, OutTokens, Prediction, Ttl, Usage};
use tollgate_meter::Charge;

/// What of a charge has no column, as it is shown to whoever asks for the call.
///
/// Written straight from the charge, once for each attempt: nothing is collected first.
#[derive(Serialize)]
pub(crate) struct Details<'a> {
    protocol: &'static str,
    operation: &'static str,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deployment: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    head_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_content_ms: Option<u64>,
    usage: UsageParts<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<Price<'a>>,
}

impl<'a> Details<'a> {
    pub(crate) fn of(charge: &'a Charge) -> Self {
        let target = charge.target.as_deref();
        Self {
            protocol: charge.protocol.as_str(),
            operation: charge.operation.as_str(),
            stream: charge.stream,
            kind: target.map(|target| &*target.kind),
            deployment: target.map(|target| &*target.deployment),
            status: charge.status,
            head_ms: charge.head.map(millis),
            first_content_ms: charge.first_content.map(millis),
            usage: UsageParts::of(&charge.usage),
            price: charge.priced.as_ref().map(Price::of),
        }
    }
}

/// Whole milliseconds; more than there are stay the most.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The parts of a usage that were told, as in `Usage`.
#[derive(Serialize)]
struct UsageParts<'a> {
    #[serde(skip_serializing_if = "Input::is_empty")]
    prompt: Input<'a>,
    #[serde(skip_serializing_if = "Input::is_empty")]
    read: Input<'a>,
    #[serde(skip_serializing_if = "Written::is_empty")]
    write: Written<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_in: Option<u64>,
    #[serde(skip_serializing_if = "Output::is_empty")]
    output: Output<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    citation: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prediction: Option<Predicted>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tools: &'a BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    units: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Others::is_empty")]
    extra: Others<'a>,
    #[serde(skip_serializing_if = "Served::is_empty")]
    served: Served<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reported_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    byok: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
}

impl<'a> UsageParts<'a> {
    fn of(usage: &'a Usage) -> Self {
        Self {
            prompt: Input(&usage.prompt),
            read: Input(&usage.read),
            write: Written(&usage.write),
            tool_in: usage.tool_in,
            output: Output(&usage.output),
            reasoning: usage.reasoning,
            citation: usage.citation,
            prediction: usage.prediction.map(Predicted::of),
            tools: &usage.tools,
            units: &usage.units,
            extra: Others(&usage.extra),
            served: Served::of(usage),
            reported_tokens: usage.reported.total_tokens,
            byok: usage.reported.byok,
            method: usage.method.as_deref(),
        }
    }
}

struct Input<'a>(&'a InTokens);

impl Input<'_> {
    fn is_empty(&self) -> bool {
        *self.0 == InTokens::default()
    }

    fn parts(&self) -> [(&'static str, Option<u64>); 5] {
        let InTokens { text, image, audio, video, document } = *self.0;
        let names = ["text", "image", "audio", "video", "document"];
        let mut counts = [text, image, audio, video, document].into_iter();
        names.map(|name| (name, counts.next().flatten()))
    }
}

impl Serialize for Input<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        told(serializer, self.parts())
    }
}

struct Output<'a>(&'a OutTokens);

impl Output<'_> {
    fn is_empty(&self) -> bool {
        *self.0 == OutTokens::default()
    }
}

impl Serialize for Output<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let OutTokens { text, image, audio, video } = *self.0;
        told(serializer, [("text", text), ("image", image), ("audio", audio), ("video", video)])
    }
}

/// The counts that were told; a zero that was told is one of them.
fn told<S: Serializer, const N: usize>(
    serializer: S,
    parts: [(&'static str, Option<u64>); N],
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    for (name, count) in parts {
        if let Some(count) = count {
            map.serialize_entry(name, &count)?;
        }
    }
    map.end()
}

struct Written<'a>(&'a [(Ttl, InTokens)]);

impl Written<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Entry<'a> {
            ttl: &'static str,
            tokens: Input<'a>,
        }
        serializer.collect_seq(
            self.0.iter().map(|(ttl, tokens)| Entry { ttl: ttl_name(*ttl), tokens: Input(tokens) }),
        )
    }
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

#[derive(Serialize)]
struct Predicted {
    accepted: u64,
    rejected: u64,
}

impl Predicted {
    fn of(prediction: Prediction) -> Self {
        Self { accepted: prediction.accepted, rejected: prediction.rejected }
    }
}

struct Others<'a>(&'a [(String, Usage)]);

impl Others<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Others<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Entry<'a> {
            model: &'a str,
            usage: UsageParts<'a>,
        }
        serializer.collect_seq(
            self.0.iter().map(|(model, usage)| Entry { model, usage: UsageParts::of(usage) }),
        )
    }
}

#[derive(Serialize)]
struct Served<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    speed: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    geo: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    batch: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    traffic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<u64>,
}

impl<'a> Served<'a> {
    fn of(usage: &'a Usage) -> Self {
        let served = &usage.served;
        Self {
            model: served.model.as_deref(),
            tier: served.tier.as_deref(),
            speed: served.speed.as_deref(),
            geo: served.geo.as_deref(),
            batch: served.batch,
            traffic: served.traffic.as_deref(),
            completed_at: served.completed_at,
        }
    }

    fn is_empty(&self) -> bool {
        let texts = [self.model, self.tier, self.speed, self.geo, self.traffic];
        texts.iter().all(Option::is_none) && !self.batch && self.completed_at.is_none()
    }
}

#[derive(Serialize)]
struct Price<'a> {
    lines: Lines<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_usd: Option<Text<Money>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reported_usd: Option<Text<Money>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reported_upstream_usd: Option<Text<Money>>,
    #[serde(skip_serializing_if = "Marks::is_empty")]
    marks: Marks<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provenance: Option<Origin<'a>>,
}

impl<'a> Price<'a> {
    fn of(priced: &'a Priced) -> Self {
        Self {
            lines: Lines(&priced.lines),
            total_usd: priced.total.map(Text),
            reported_usd: priced.reported.map(Text),
            reported_upstream_usd: priced.reported_upstream.map(Text),
            marks: Marks(priced),
            provenance: priced.provenance.as_ref().map(Origin::of),
        }
    }
}

/// Written as its text.
struct Text<T>(T);

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

struct Marks<'a>(&'a Priced);

impl Marks<'_> {
    fn is_empty(&self) -> bool {
        self.0.marks.is_empty()
    }
}

impl Serialize for Marks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.marks.iter().map(Text))
    }
}

struct Lines<'a>(&'a [Line]);

impl Serialize for Lines<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Billed::of))
    }
}

#[derive(Serialize)]
struct Billed<'a> {
    component: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    quantity: Text<Decimal>,
    rate_usd: Text<Decimal>,
    per: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    factor: Option<Text<Decimal>>,
    usd: Text<Money>,
}

impl<'a> Billed<'a> {
    fn of(line: &'a Line) -> Self {
        Self {
            component: &line.component,
            model: line.model.as_deref(),
            quantity: Text(line.quantity.normalize()),
            rate_usd: Text(line.rate.normalize()),
            per: per(line.per),
            factor: (line.factor != Decimal::ONE).then(|| Text(line.factor.normalize())),
            usd: Text(line.usd),
        }
    }
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
#[derive(Serialize)]
struct Origin<'a> {
    version: &'a str,
    provider: &'a str,
    model: &'a str,
    origin: &'static str,
    found_by: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    declared_free: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_from: Option<Text<Date>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Text<Date>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tier_above: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    off_peak: bool,
    #[serde(skip_serializing_if = "Modifiers::is_empty")]
    modifiers: Modifiers<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    page_checked: Option<Text<Date>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    sources: &'a [String],
}

impl<'a> Origin<'a> {
    fn of(provenance: &'a Provenance) -> Self {
        Self {
            version: &provenance.version,
            provider: &provenance.provider,
            model: &provenance.model,
            origin: provenance.origin.name(),
            found_by: provenance.found_by.name(),
            declared_free: provenance.declared_free,
            effective_from: provenance.effective_from.map(Text),
            until: provenance.until.map(Text),
            variant: provenance.variant.as_deref(),
            tier_above: provenance.tier_above,
            off_peak: provenance.off_peak,
            modifiers: Modifiers(&provenance.modifiers),
            page_checked: provenance.page_checked.map(Text),
            page: provenance.page.as_deref(),
            sources: &provenance.sources,
        }
    }
}

struct Modifiers<'a>(&'a [(String, Decimal)]);

impl Modifiers<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Modifiers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, factor)| (name, Text(factor.normalize()))))
    }
}
