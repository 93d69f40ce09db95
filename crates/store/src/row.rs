use std::{
    borrow::Cow,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_core::{Decimal, Money, Principal, Target, Usage};
use tollgate_meter::Charge;

use crate::{
    details::{self, millis},
    sum::Sum,
    terse::{self, Members, Name},
};

const DAY_MS: u64 = 86_400_000;

/// Counts beyond it are absurd and kept as it: sums of them still fit a column.
pub(crate) const MOST: i64 = 1 << 53;

/// An attempt as database and journal keep it, and what of it is counted.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    pub(crate) call: [u8; 16],
    pub(crate) attempt: u32,
    /// All that is known: [`terse`] or JSON text.
    pub(crate) record: Cow<'a, [u8]>,
    pub(crate) counted: Counted<'a>,
}

/// What sums are made of.
#[derive(Debug)]
pub(crate) struct Counted<'a> {
    pub(crate) key: &'a str,
    pub(crate) key_name: &'a str,
    pub(crate) team: &'a str,
    pub(crate) provider: &'a str,
    pub(crate) model: &'a str,
    /// Separated by commas.
    pub(crate) tags: &'a str,
    /// Days since 1970-01-01, UTC.
    pub(crate) day: i64,
    /// What it cost; `None`: not known.
    pub(crate) cost: Option<Sum>,
    pub(crate) tokens: Tokens,
    /// Its numbers are there and not exact.
    pub(crate) is_estimated: bool,
}

impl Row<'_> {
    /// The record as JSON text; `None` if it is damaged.
    pub(crate) fn json(&self) -> Option<String> {
        terse::json(&self.record)
    }
}

/// The inclusive counts that sums are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) input: i64,
    pub(crate) output: i64,
    pub(crate) cached: i64,
    pub(crate) written: i64,
    pub(crate) reasoning: i64,
}

impl Tokens {
    fn of(usage: &Usage) -> Self {
        let mut tokens = Self {
            input: count(usage.prompt_total().saturating_add(usage.tool_in.unwrap_or(0))),
            output: count(usage.output_total()),
            cached: count(usage.read.total()),
            written: count(usage.write.iter().fold(0, |n, (_, w)| w.total().saturating_add(n))),
            reasoning: count(usage.reasoning.unwrap_or(0)),
        };
        usage.extra.iter().for_each(|(_, other)| tokens.add(Self::of(other)));
        tokens
    }

    pub(crate) fn add(&mut self, other: Self) {
        let plus = |sum: &mut i64, n: i64| *sum = sum.saturating_add(n).min(MOST);
        plus(&mut self.input, other.input);
        plus(&mut self.output, other.output);
        plus(&mut self.cached, other.cached);
        plus(&mut self.written, other.written);
        plus(&mut self.reasoning, other.reasoning);
    }
}

/// A row on its way to the writer.
///
/// Made where the charge is, whose many small pieces are let go there and then.
#[derive(Debug)]
pub(crate) struct Packed {
    call: [u8; 16],
    attempt: u32,
    at: u64,
    principal: Option<Arc<Principal>>,
    target: Option<Arc<Target>>,
    tags: String,
    cost: Option<Decimal>,
    tokens: Tokens,
    is_estimated: bool,
    record: Vec<u8>,
}

impl Packed {
    pub(crate) fn of(charge: Charge) -> Self {
        let tokens = Tokens::of(&charge.usage);
        let at = unix_millis(charge.at);
        let tags = charge.tags.iter().collect::<Vec<_>>().join(",");
        let record = terse::record(|all| {
            all.put(Name::At, at);
            head(all, &charge, &tags);
            counts(all, &charge, tokens);
            all.object(Name::Details, |all| details::of(all, &charge));
        });
        Self {
            call: *charge.call.as_bytes(),
            attempt: charge.attempt,
            at,
            tags,
            cost: charge.cost.map(|cost| cost.dollars()),
            tokens,
            is_estimated: estimated(charge.quality_word()),
            record,
            principal: charge.principal,
            target: charge.target,
        }
    }

    /// Call and attempt: rows in this order follow each other in the file.
    pub(crate) fn identity(&self) -> (u128, u32) {
        (u128::from_be_bytes(self.call), self.attempt)
    }

    pub(crate) fn row(&self) -> Row<'_> {
        let (principal, target) = (self.principal.as_deref(), self.target.as_deref());
        Row {
            call: self.call,
            attempt: self.attempt,
            record: Cow::Borrowed(&self.record),
            counted: Counted {
                key: principal.map_or("", |p| p.key.as_str()),
                key_name: principal.map_or("", |p| &*p.name),
                team: team(principal),
                provider: target.map_or("", |target| &*target.provider),
                model: target.map_or("", |target| &*target.model),
                tags: &self.tags,
                day: day(self.at),
                cost: self.cost.map(|dollars| Sum::from(Money::new(dollars))),
                tokens: self.tokens,
                is_estimated: self.is_estimated,
            },
        }
    }
}

/// Who asked whom for what.
fn head(all: &mut Members<'_>, charge: &Charge, tags: &str) {
    if let Some(principal) = charge.principal.as_deref() {
        all.said(Name::Key, principal.key.as_str());
        all.said(Name::KeyName, &principal.name);
        all.said(Name::Team, team(Some(principal)));
    }
    if let Some(target) = charge.target.as_deref() {
        all.said(Name::Provider, &target.provider);
        all.said(Name::Model, &target.model);
    }
    all.maybe(Name::Asked, charge.asked.as_deref());
    all.said(Name::Tags, tags);
    all.maybe(Name::User, charge.user.as_deref());
    all.maybe(Name::IdempotencyKey, charge.idempotency_key.as_deref());
}

fn counts(all: &mut Members<'_>, charge: &Charge, tokens: Tokens) {
    all.maybe(Name::Usd, charge.cost);
    all.some(Name::Input, tokens.input.unsigned_abs());
    all.some(Name::Output, tokens.output.unsigned_abs());
    all.some(Name::Cached, tokens.cached.unsigned_abs());
    all.some(Name::Written, tokens.written.unsigned_abs());
    all.some(Name::Reasoning, tokens.reasoning.unsigned_abs());
    all.put(Name::Quality, charge.quality_word());
    all.put(Name::Ending, charge.ending.as_str());
    all.put(Name::Took, millis(charge.took));
}

/// A record, read. What it does not hold is empty or nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Reading<'a> {
    /// Unix milliseconds.
    pub(crate) at: u64,
    #[serde(borrow)]
    pub(crate) key: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) key_name: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) team: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) provider: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) asked: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) model: Cow<'a, str>,
    /// Separated by commas.
    #[serde(borrow)]
    pub(crate) tags: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) user: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) idempotency_key: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) usd: Option<Cow<'a, str>>,
    pub(crate) input: u64,
    pub(crate) output: u64,
    pub(crate) cached: u64,
    pub(crate) written: u64,
    pub(crate) reasoning: u64,
    #[serde(borrow)]
    pub(crate) quality: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) ending: Cow<'a, str>,
    /// Milliseconds.
    pub(crate) took: u64,
    #[serde(borrow)]
    pub(crate) details: Option<&'a RawValue>,
}

impl<'a> Reading<'a> {
    /// Reads a record in JSON text.
    pub(crate) fn of(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// What it cost; `None`: not known.
    pub(crate) fn cost(&self) -> Option<Sum> {
        self.usd.as_deref()?.parse().ok()
    }

    pub(crate) fn counted(&self) -> Counted<'_> {
        Counted {
            key: &self.key,
            key_name: &self.key_name,
            team: &self.team,
            provider: &self.provider,
            model: &self.model,
            tags: &self.tags,
            day: day(self.at),
            cost: self.cost(),
            tokens: Tokens {
                input: count(self.input),
                output: count(self.output),
                cached: count(self.cached),
                written: count(self.written),
                reasoning: count(self.reasoning),
            },
            is_estimated: estimated(&self.quality),
        }
    }
}

fn team(principal: Option<&Principal>) -> &str {
    principal.and_then(|principal| principal.ancestry.first()).map_or("", |team| team)
}

/// Days since 1970-01-01, UTC.
pub(crate) fn day(at: u64) -> i64 {
    i64::try_from(at / DAY_MS).unwrap_or(i64::MAX)
}

fn estimated(quality: &str) -> bool {
    matches!(quality, "partial" | "estimated" | "inconsistent")
}

fn count(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(MOST).min(MOST)
}

/// A time before 1970 is a clock that is wrong and counts as its begin.
pub(crate) fn unix_millis(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, millis)
}
