//! Every priced case of `golden/cases.jsonl`: what was answered, what of it is billed at which rate,
//! and what that comes to, exactly.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tollgate_catalog::{Catalogue, Document, Mark, Occasion, Priced, price, unix_seconds};
use tollgate_core::{InTokens, Money, OutTokens, Protocol, Quality, Ttl, Usage};
use tollgate_wire::{
    Event,
    usage::{Profile, Reader},
};

#[derive(Deserialize)]
struct Case {
    name: String,
    provider: String,
    model: String,
    protocol: String,
    at: String,
    /// A whole answer, or as much of it as decides.
    answer: Option<Value>,
    /// The events of a stream.
    #[serde(default)]
    events: Vec<Value>,
    #[serde(default)]
    facts: Facts,
    bill: Bill,
    why: String,
}

/// What the wire does not carry.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Facts {
    #[serde(default)]
    batch: bool,
    requested_service_tier: Option<String>,
    served_tier: Option<String>,
    data_residency: Option<String>,
    web_search_calls: Option<u64>,
    grounding_queries_billed: Option<u64>,
    maps_prompts_billed: Option<u64>,
    completed_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bill {
    billable: BTreeMap<String, u64>,
    rates: BTreeMap<String, String>,
    #[serde(default)]
    fees: BTreeMap<String, Uses>,
    #[serde(default)]
    units: BTreeMap<String, Uses>,
    #[serde(default)]
    modifiers: BTreeMap<String, String>,
    tier_above: Option<Value>,
    variant: Option<String>,
    cost: BTreeMap<String, String>,
    total: String,
    reported: Option<String>,
    upstream: Option<String>,
}

#[derive(Deserialize)]
struct Uses {
    price: String,
    qty: u64,
}

fn cases() -> Vec<Case> {
    let lines = include_str!("golden/cases.jsonl").lines();
    lines.map(|line| serde_json::from_str(line).expect("a case a line")).collect()
}

fn occasion(case: &Case) -> Occasion {
    let facts = &case.facts;
    let searches = facts.web_search_calls.or(facts.grounding_queries_billed);
    let uses = [("web_search", searches), ("maps", facts.maps_prompts_billed)];
    Occasion {
        completed_at: unix_seconds(facts.completed_at.as_ref().unwrap_or(&case.at)).ok(),
        batch: facts.batch,
        requested_tier: facts.requested_service_tier.clone(),
        served_tier: facts.served_tier.clone(),
        residency: facts.data_residency.clone(),
        uses: uses.into_iter().filter_map(|(name, n)| Some((name.to_owned(), n?))).collect(),
        ..Occasion::default()
    }
}

/// The usage as it is read from the bytes of the answer.
fn usage_from_wire(case: &Case) -> Usage {
    let provider = &case.provider;
    let mut reader = Reader::new(match case.protocol.as_str() {
        "openai-responses" => Profile::of(Protocol::OpenAiResponses, provider),
        "anthropic-messages" => Profile::of(Protocol::AnthropicMessages, provider),
        "gemini-generate-content" => Profile::of(Protocol::Gemini, provider),
        "bedrock-converse" => Profile::converse(),
        "cohere-v2" => Profile::cohere(),
        "openai-images" => Profile::images(),
        "openai-transcription" | "units" => Profile::media(),
        _ => Profile::of(Protocol::OpenAiChat, provider),
    });
    match &case.answer {
        Some(answer) => reader.answer(answer.to_string().as_bytes()),
        None => case.events.iter().for_each(|event| {
            reader.event(Event { name: None, data: event.to_string().as_bytes() });
        }),
    }
    reader.finish(true)
}

/// The usage a reader would make of the case's answer, as far as the bill tells.
fn usage_from_bill(case: &Case) -> Usage {
    let bill = &case.bill;
    let mut usage = component_counts(bill, "");
    usage.quality = Quality::Exact;
    for name in bill.billable.keys().filter_map(|name| name.split_once(':')).map(|(m, _)| m) {
        if !usage.extra.iter().any(|(model, _)| model == name) {
            let inner = component_counts(bill, &format!("{name}:"));
            usage.extra.push((name.to_owned(), inner));
        }
    }
    for (fee, uses) in &bill.fees {
        usage.tools.insert(fee.replace("_per_1k", ""), uses.qty);
    }
    for (unit, uses) in &bill.units {
        let kind = match unit.as_str() {
            "audio_second_in" => "audio_seconds",
            "query" => "search_units",
            "page" => "pages",
            other => other,
        };
        usage.units.insert(kind.to_owned(), uses.qty.to_string());
    }
    match bill.variant.as_deref() {
        Some("batch") => usage.served.batch = true,
        Some("fast") => usage.served.speed = Some("fast".to_owned()),
        tier => usage.served.tier = tier.map(str::to_owned),
    }
    let geo = bill.modifiers.keys().find_map(|name| name.strip_prefix("inference_geo:"));
    usage.served.geo = geo.map(str::to_owned);
    usage
}

fn component_counts(bill: &Bill, prefix: &str) -> Usage {
    let count = |name: &str| bill.billable.get(&format!("{prefix}{name}")).copied();
    let text = |name: &str| InTokens { text: count(name), ..InTokens::default() };
    let ttls = [
        ("cache_write_5m", Ttl::M5),
        ("cache_write_30m", Ttl::M30),
        ("cache_write_1h", Ttl::H1),
        ("cache_write_12h", Ttl::H12),
        ("cache_write", Ttl::Unknown),
    ];
    let mut usage = Usage::default();
    usage.prompt = InTokens {
        text: Some(count("input").unwrap_or(0)),
        image: count("image_in"),
        audio: count("audio_in"),
        video: count("video_in"),
        document: None,
    };
    usage.read = InTokens {
        text: count("cache_read"),
        audio: count("cache_read_audio"),
        image: count("cache_read_image"),
        ..InTokens::default()
    };
    usage.write = ttls.iter().map(|(name, ttl)| (*ttl, text(name))).collect();
    usage.output = OutTokens {
        text: count("output"),
        image: count("image_out"),
        audio: count("audio_out"),
        video: count("video_out"),
    };
    usage.reasoning = count("reasoning");
    usage.citation = count("citation");
    usage
}

/// Compares every number of the bill; what differs is said in words.
fn faults(case: &Case, priced: &Priced) -> Vec<String> {
    let view = serde_json::to_value(priced.view(Some(&case.name))).unwrap();
    let bill = &case.bill;
    let mut faults = Vec::new();
    let mut check = |what: &str, is: &Value, should: Value| {
        if *is != should {
            faults.push(format!("{} {what}: {is}, should be {should} ({})", case.name, case.why));
        }
    };
    let (others, own): (BTreeMap<_, _>, BTreeMap<_, _>) =
        bill.billable.iter().partition(|(name, _)| name.contains(':'));
    check("billable", &view["billable"], json!(own));
    let other = |(name, count): (&String, &u64)| {
        let (model, name) = name.split_once(':')?;
        let theirs = view["billable_other_models"].as_array()?;
        let theirs = theirs.iter().find(|theirs| theirs["model"] == model)?;
        Some(theirs["billable"][name] == *count)
    };
    let all_there = others.into_iter().all(|of| other(of) == Some(true));
    check("billable_other_models", &json!(all_there), json!(true));
    let listed = |uses: &BTreeMap<String, Uses>| -> Map<String, Value> {
        let shown = |uses: &Uses| json!({"price": uses.price, "qty": uses.qty});
        uses.iter().map(|(name, uses)| (name.clone(), shown(uses))).collect()
    };
    check("fees", view.get("fees").unwrap_or(&json!({})), listed(&bill.fees).into());
    check("units", view.get("units").unwrap_or(&json!({})), listed(&bill.units).into());
    check("rates", &view["rates_usd_per_mtok"], json!(bill.rates));
    check("cost", &view["components"], json!(bill.cost));
    check("total", &view["total_usd"], json!(bill.total));
    let price = &view["price"];
    check("variant", &price["variant"], json!(bill.variant));
    let tier = bill.tier_above.as_ref().map(|tier| tier.to_string().replace('"', ""));
    check("tier", &price["tier_above"], json!(tier.and_then(|tier| tier.parse::<u64>().ok())));
    let modifiers = price.get("modifiers").cloned().unwrap_or(json!({}));
    check("modifiers", &modifiers, json!(bill.modifiers));
    let sum = Money::sum(priced.lines.iter().map(|line| line.usd)).ok();
    check("sum of the lines", &json!(sum.map(|sum| sum.to_string())), json!(bill.total));
    let unknown = priced.marks.iter().any(|mark| matches!(mark, Mark::PriceUnknown(_)));
    check("unknown", &json!(unknown), json!(false));
    faults
}

fn run(reprice: impl Fn(&Case) -> Priced) {
    let cases = cases();
    assert_eq!(cases.len(), 196);
    let faults: Vec<_> = cases.iter().flat_map(|case| faults(case, &reprice(case))).collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn what_is_billable_is_priced_by_the_catalogue() {
    let catalogue = Catalogue::builtin();
    run(|case| {
        let usage = usage_from_bill(case);
        price(&catalogue, &case.provider, &case.model, &usage, &occasion(case))
    });
}

/// A price file that says what the case says, so that the case holds when list prices move.
fn own_rates(case: &Case) -> Catalogue {
    let of = |prefix: Option<&str>| -> Map<String, Value> {
        let own = case.bill.rates.iter().filter_map(|(name, rate)| match prefix {
            Some(prefix) => Some((name.strip_prefix(prefix)?, rate)),
            None => (!name.contains(':')).then_some((name.as_str(), rate)),
        });
        own.map(|(name, rate)| (name.to_owned(), json!(rate))).collect()
    };
    let prices = |uses: &BTreeMap<String, Uses>| -> Map<String, Value> {
        uses.iter().map(|(name, uses)| (name.clone(), json!(uses.price))).collect()
    };
    let bill = &case.bill;
    let tier = bill.tier_above.as_ref().map(|tier| tier.to_string().replace('"', ""));
    let threshold = tier.and_then(|tier| tier.parse::<u64>().ok());
    let tiers = threshold.map(|t| json!({"threshold": t, "inclusive": true, "rates": of(None)}));
    let mut model = json!({
        "provider": case.provider, "id": case.model, "modifiers": bill.modifiers,
        // One that bills nothing has no rates of its own, and without any a model is not priced.
        "rates": if bill.rates.is_empty() { json!({"input": "1"}) } else { json!(of(None)) }, "tiers": tiers.into_iter().collect::<Vec<_>>(),
        "fees": prices(&bill.fees), "unit_prices": prices(&bill.units),
    });
    if let Some(variant) = &bill.variant {
        model["variants"] = json!({ variant: {"rates": of(None)} });
    }
    let mut models = vec![model];
    for (name, _) in bill.rates.keys().filter_map(|name| name.split_once(':')) {
        let rates = of(Some(&format!("{name}:")));
        let other = json!({"provider": case.provider, "id": name, "rates": rates});
        if !models.contains(&other) {
            models.push(other);
        }
    }
    let document = json!({"schema": "tollgate-prices/1", "models": models});
    Catalogue::empty().with(Document::read(&document.to_string()).unwrap()).unwrap()
}

#[test]
fn what_is_billable_is_priced_by_rates_of_a_file() {
    run(|case| {
        let usage = usage_from_bill(case);
        price(&own_rates(case), &case.provider, &case.model, &usage, &occasion(case))
    });
}

#[test]
fn what_was_answered_is_read_and_priced() {
    let catalogue = Catalogue::builtin();
    run(|case| {
        let usage = usage_from_wire(case);
        price(&catalogue, &case.provider, &case.model, &usage, &occasion(case))
    });
}

#[test]
fn the_upstreams_own_figures_are_read_beside_it() {
    let catalogue = Catalogue::builtin();
    for case in cases() {
        let usage = usage_from_wire(&case);
        let priced = price(&catalogue, &case.provider, &case.model, &usage, &occasion(&case));
        let text = |money: Option<Money>| money.map(|money| money.to_string());
        assert_eq!(text(priced.reported), case.bill.reported, "{}", case.name);
        assert_eq!(text(priced.reported_upstream), case.bill.upstream, "{}", case.name);
        assert_eq!(priced.quality, Quality::Exact, "{}", case.name);
    }
}
