use std::{
    borrow::Cow,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use tollgate_core::{Quality, Usage};
use tollgate_meter::Charge;

use crate::{
    details::{self, millis},
    sum::Sum,
};

const DAY_MS: i64 = 86_400_000;

/// Counts beyond it are absurd and kept as it: sums of them still fit a column.
pub(crate) const MOST: i64 = 1 << 53;

/// A charge as the database and the journal keep it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row<'a> {
    pub(crate) call: [u8; 16],
    pub(crate) attempt: u32,
    /// Unix milliseconds.
    pub(crate) at: i64,
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
    pub(crate) pico: Option<i64>,
    /// Where pico is not exact.
    pub(crate) usd: Option<String>,
    pub(crate) tokens: Tokens,
    #[serde(borrow)]
    pub(crate) quality: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) ending: Cow<'a, str>,
    /// Milliseconds.
    pub(crate) took: i64,
    /// JSON.
    #[serde(borrow)]
    pub(crate) details: Cow<'a, str>,
}

/// The inclusive counts that sums are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tokens {
    pub(crate) input: i64,
    pub(crate) output: i64,
    pub(crate) cached: i64,
    pub(crate) written: i64,
    pub(crate) reasoning: i64,
}

impl<'a> Row<'a> {
    pub(crate) fn of(charge: &'a Charge) -> Self {
        let principal = charge.principal.as_deref();
        let target = charge.target.as_deref();
        let cost = charge.cost.map(Sum::from);
        let pico = cost.and_then(Sum::pico);
        Self {
            call: *charge.call.as_bytes(),
            attempt: charge.attempt,
            at: unix_millis(charge.at),
            key: text(principal.map(|p| p.key.as_str())),
            key_name: text(principal.map(|p| &*p.name)),
            team: text(principal.and_then(|p| p.ancestry.first()).map(|team| &**team)),
            provider: text(target.map(|target| &*target.provider)),
            asked: text(charge.asked.as_deref()),
            model: text(target.map(|target| &*target.model)),
            tags: tags(charge),
            user: text(charge.user.as_deref()),
            pico,
            usd: cost.filter(|_| pico.is_none()).map(|sum| sum.to_string()),
            tokens: Tokens::of(&charge.usage),
            quality: Cow::Borrowed(quality(charge.usage.quality)),
            ending: Cow::Borrowed(charge.ending.as_str()),
            took: i64::try_from(millis(charge.took)).unwrap_or(i64::MAX),
            details: Cow::Owned(details::of(charge)),
        }
    }

    /// Days since 1970-01-01, UTC.
    pub(crate) fn day(&self) -> i64 {
        self.at.div_euclid(DAY_MS)
    }

    /// What it cost; `None`: not known.
    pub(crate) fn cost(&self) -> Option<Sum> {
        match self.pico {
            Some(pico) => Some(Sum::of_pico(pico)),
            None => self.usd.as_deref()?.parse().ok(),
        }
    }

    /// Whether its numbers are there and not exact.
    pub(crate) fn estimated(&self) -> bool {
        matches!(&*self.quality, "partial" | "estimated" | "inconsistent")
    }

    pub(crate) fn tags(&self) -> impl Iterator<Item = &str> {
        self.tags.split(',').filter(|tag| !tag.is_empty())
    }
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
/// Made where the charge is, whose many small pieces are let go there and then: its texts stand in
/// one piece of memory, behind each other.
#[derive(Debug)]
pub(crate) struct Packed {
    call: [u8; 16],
    attempt: u32,
    at: i64,
    pico: Option<i64>,
    usd: Option<String>,
    tokens: Tokens,
    quality: &'static str,
    ending: &'static str,
    took: i64,
    texts: String,
    /// Where each text ends: the details, then those of [`Packed::of`] in their order.
    ends: [usize; 9],
}

impl Packed {
    pub(crate) fn of(charge: &Charge) -> Self {
        let row = Row::of(charge);
        let mut texts = row.details.into_owned();
        let mut ends = [texts.len(); 9];
        let others = [
            row.key,
            row.key_name,
            row.team,
            row.provider,
            row.asked,
            row.model,
            row.tags,
            row.user,
        ];
        for (text, end) in others.iter().zip(&mut ends[1..]) {
            texts.push_str(text);
            *end = texts.len();
        }
        Self {
            call: row.call,
            attempt: row.attempt,
            at: row.at,
            pico: row.pico,
            usd: row.usd,
            tokens: row.tokens,
            quality: quality(charge.usage.quality),
            ending: charge.ending.as_str(),
            took: row.took,
            texts,
            ends,
        }
    }

    pub(crate) fn row(&self) -> Row<'_> {
        let text = |at: usize| Cow::Borrowed(&self.texts[self.ends[at - 1]..self.ends[at]]);
        Row {
            call: self.call,
            attempt: self.attempt,
            at: self.at,
            key: text(1),
            key_name: text(2),
            team: text(3),
            provider: text(4),
            asked: text(5),
            model: text(6),
            tags: text(7),
            user: text(8),
            pico: self.pico,
            usd: self.usd.clone(),
            tokens: self.tokens,
            quality: Cow::Borrowed(self.quality),
            ending: Cow::Borrowed(self.ending),
            took: self.took,
            details: Cow::Borrowed(&self.texts[..self.ends[0]]),
        }
    }
}

fn count(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(MOST).min(MOST)
}

fn text(text: Option<&str>) -> Cow<'_, str> {
    Cow::Borrowed(text.unwrap_or_default())
}

fn tags(charge: &Charge) -> Cow<'_, str> {
    let mut tags = charge.tags.iter();
    match (tags.next(), tags.next()) {
        (Some(one), None) => Cow::Borrowed(one),
        (None, _) => Cow::Borrowed(""),
        _ => Cow::Owned(charge.tags.iter().collect::<Vec<_>>().join(",")),
    }
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

/// A time before 1970 is a clock that is wrong and counts as its begin.
pub(crate) fn unix_millis(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(millis(since)).unwrap_or(0))
}
