//! Charges as a gateway makes them.

#![allow(unreachable_pub, dead_code, clippy::unwrap_used)]

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tollgate_catalog::{Catalogue, Occasion, price};
use tollgate_core::{
    CallId, InTokens, KeyId, Money, Operation, OutTokens, Principal, Protocol, Quality, Target,
    Usage,
};
use tollgate_meter::{Charge, Tags};

pub const LONG: Duration = Duration::from_secs(30);

/// Noon of 2026-11-22.
pub fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_348_800)
}

pub fn money(text: &str) -> Money {
    Money::parse(text).unwrap()
}

/// A charge of this many dollars, of no key.
pub fn costing(usd: &str) -> Charge {
    let mut charge =
        Charge::new(CallId::random(), noon(), Protocol::OpenAiChat, Operation::Generate);
    charge.cost = Some(money(usd));
    charge.usage.quality = Quality::Exact;
    charge
}

/// A charge as most are: a key with a team, a target, usage, priced by the catalogue.
pub fn usual() -> Charge {
    let mut charge = costing("0");
    let mut principal = Principal::new(KeyId::new("key_1"), "dev");
    principal.ancestry = Arc::from(["search".into()]);
    charge.principal = Some(Arc::new(principal));
    charge.tags = Tags::parse("batch-7,nightly");
    charge.asked = Some("openai/gpt-5-mini".into());
    let base = http::Uri::from_static("https://api.openai.com/v1");
    charge.target = Some(Arc::new(Target::new("openai", Protocol::OpenAiChat, "gpt-5-mini", base)));
    charge.status = Some(200);
    charge.usage = usage().into();
    let occasion = Occasion { completed_at: Some(1_795_348_800), ..Occasion::default() };
    let priced = price(&Catalogue::builtin(), "openai", "gpt-5-mini", &charge.usage, &occasion);
    charge.cost = priced.cost();
    charge.priced = Some(priced.into());
    charge.head = Some(Duration::from_millis(300));
    charge.took = Duration::from_millis(1200);
    charge
}

fn usage() -> Usage {
    let mut usage = Usage::default();
    usage.prompt = InTokens { text: Some(1000), ..InTokens::default() };
    usage.read = InTokens { text: Some(200), ..InTokens::default() };
    usage.output = OutTokens { text: Some(300), ..OutTokens::default() };
    usage.reasoning = Some(50);
    usage.quality = Quality::Exact;
    usage
}
