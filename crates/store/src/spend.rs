use std::time::SystemTime;

use serde::{Serialize, Serializer, ser::SerializeMap};
use tollgate_catalog::Date;
use tollgate_core::Money;

/// What spend is grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpendBy {
    /// The virtual key.
    Key,
    /// The nearest owner of the key.
    Team,
    /// The model that was asked, as `provider/model`.
    Model,
    /// The provider's name in configuration.
    Provider,
    /// What callers wrote on their calls; a call with two tags counts for both.
    Tag,
    /// The day (UTC) on which attempts began.
    Day,
}

impl SpendBy {
    /// Every grouping, in the order of declaration.
    pub const ALL: [Self; 6] =
        [Self::Key, Self::Team, Self::Model, Self::Provider, Self::Tag, Self::Day];

    /// Returns the name used in commands: `key`, `team`, `model`, `provider`, `tag`, `day`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Team => "team",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Tag => "tag",
            Self::Day => "day",
        }
    }
}

impl std::str::FromStr for SpendBy {
    type Err = UnknownGrouping;

    fn from_str(name: &str) -> Result<Self, UnknownGrouping> {
        Self::ALL
            .into_iter()
            .find(|by| by.as_str() == name)
            .ok_or_else(|| UnknownGrouping(name.to_owned()))
    }
}

/// The name is not one of a grouping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownGrouping(pub String);

impl std::fmt::Display for UnknownGrouping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "spend is not grouped by `{}`, only by", self.0)?;
        SpendBy::ALL.iter().try_for_each(|by| write!(f, " `{}`", by.as_str()))
    }
}

impl std::error::Error for UnknownGrouping {}

/// Which days (UTC) count, ends included. Default: all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    first: Option<i64>,
    last: Option<i64>,
}

impl Range {
    /// Returns the range of all days.
    pub fn all() -> Self {
        Self::default()
    }

    /// Leaves out what is before the day that holds `at`.
    pub fn since(mut self, at: SystemTime) -> Self {
        self.first = Some(day(at));
        self
    }

    /// Leaves out what is after the day that holds `at`.
    pub fn until(mut self, at: SystemTime) -> Self {
        self.last = Some(day(at));
        self
    }

    pub(crate) fn days(self) -> (i64, i64) {
        (self.first.unwrap_or(i64::MIN), self.last.unwrap_or(i64::MAX))
    }
}

fn day(at: SystemTime) -> i64 {
    crate::row::day(crate::row::unix_millis(at))
}

/// The day of this number, `2026-11-22`.
pub(crate) fn date(day: i64) -> String {
    Date::of(u64::try_from(day).unwrap_or(0).saturating_mul(86_400)).to_string()
}

/// What a group has spent. As JSON the money is a decimal text, and `null` where none is known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpendRow {
    /// The group's name; `(none)` where there is none, such as calls without a key.
    pub name: String,
    /// The key's id where the group is a key: names may be given twice.
    pub id: Option<String>,
    /// The sum of all costs that are known. Exact to the digit, unless it has more than 28.
    pub usd: Money,
    /// Calls that began here: first attempts.
    pub calls: u64,
    /// Attempts, also failed and cancelled ones.
    pub attempts: u64,
    /// Everything in prompts, cached and written parts and tool results included.
    pub input_tokens: u64,
    /// Everything put out, reasoning included.
    pub output_tokens: u64,
    /// Prompt tokens read from caches.
    pub cached_tokens: u64,
    /// Prompt tokens written to caches.
    pub cache_write_tokens: u64,
    /// Output tokens of reasoning.
    pub reasoning_tokens: u64,
    /// Attempts whose cost is not known. They are not in the sum.
    pub unknown: u64,
    /// Attempts whose usage was estimated, partial or inconsistent.
    pub estimated: u64,
}

impl SpendRow {
    /// The sum, unless there is none: of no attempt the cost is known.
    pub fn known_usd(&self) -> Option<Money> {
        let is_known = self.attempts == 0 || self.unknown < self.attempts;
        is_known.then_some(self.usd)
    }
}

impl Serialize for SpendRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_map(None)?;
        row.serialize_entry("name", &self.name)?;
        if let Some(id) = &self.id {
            row.serialize_entry("id", id)?;
        }
        row.serialize_entry("usd", &self.known_usd().map(|usd| usd.to_string()))?;
        for (name, count) in [
            ("calls", self.calls),
            ("attempts", self.attempts),
            ("input_tokens", self.input_tokens),
            ("output_tokens", self.output_tokens),
            ("cached_tokens", self.cached_tokens),
            ("cache_write_tokens", self.cache_write_tokens),
            ("reasoning_tokens", self.reasoning_tokens),
            ("unknown", self.unknown),
            ("estimated", self.estimated),
        ] {
            row.serialize_entry(name, &count)?;
        }
        row.end()
    }
}
