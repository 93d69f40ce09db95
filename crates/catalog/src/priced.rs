use std::{borrow::Cow, collections::BTreeSet, fmt};

use tollgate_core::{Decimal, Money, Quality};

use crate::{Date, FoundBy, Origin};

/// What a usage cost, line by line, and where the prices are from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Priced {
    /// Everything that was billed. Their sum is `total` where that is known.
    pub lines: Vec<Line>,
    /// By the table. `None`: not known, which is not the same as nothing.
    pub total: Option<Money>,
    /// What the upstream says it charged.
    pub reported: Option<Money>,
    /// What the upstream says landed on the caller's own bill at the provider behind it.
    pub reported_upstream: Option<Money>,
    /// How far the counts can be trusted.
    pub quality: Quality,
    /// Where the prices are from; `None` when the model is unknown.
    pub provenance: Option<Provenance>,
    /// What else must be known about this price.
    pub marks: BTreeSet<Mark>,
}

/// One kind of thing that was billed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Line {
    /// `cache_read`, `web_search`, `page`.
    pub component: Cow<'static, str>,
    /// The other model it belongs to, of an answer that used several.
    pub model: Option<String>,
    /// How many tokens, uses or units.
    pub quantity: Decimal,
    /// USD per `per`.
    pub rate: Decimal,
    /// What the rate is for.
    pub per: Per,
    /// The product of the modifiers: tokens only.
    pub factor: Decimal,
    /// Quantity times rate times factor, exact.
    pub usd: Money,
}

/// What a rate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Per {
    MillionTokens,
    ThousandUses,
    Session,
    Unit,
}

/// Which prices were taken, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Provenance {
    /// The dates of the catalogue.
    pub version: Cow<'static, str>,
    /// The provider's key.
    pub provider: Cow<'static, str>,
    /// The id of the row that was priced.
    pub model: Cow<'static, str>,
    /// Where the row is from.
    pub origin: Origin,
    /// How it was found.
    pub found_by: FoundBy,
    /// The provider was declared free; there is no row.
    pub declared_free: bool,
    /// Since when the prices hold.
    pub effective_from: Option<Date>,
    /// Until when they held, of prices of the past.
    pub until: Option<Date>,
    /// The rates of another service tier.
    pub variant: Option<String>,
    /// The rates above this many prompt tokens.
    pub tier_above: Option<u64>,
    /// The rates outside the peak.
    pub off_peak: bool,
    /// The factors on the token rates.
    pub modifiers: Vec<(String, Decimal)>,
    /// The last day somebody read the provider's page.
    pub page_checked: Option<Date>,
    /// That page.
    pub page: Option<Cow<'static, str>>,
    /// The collections the row is from.
    pub sources: Vec<Cow<'static, str>>,
}

/// What must be known about a price besides the number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Mark {
    /// The model, or one that took part, has no known price.
    PriceUnknown(String),
    /// Nothing that could be billed was told.
    UsageAbsent,
    /// Tokens or units of this kind were used, and what they cost is not known.
    ComponentUnpriced(String),
    /// This tool was used, and whether it costs anything is not known.
    FeeUnknown(String),
    /// The numbers are too large to be priced exactly.
    Overflow,
    /// Served from capacity that is paid for already.
    Prepaid,
    /// The provider will re-price the turn.
    RepriceExpected,
    /// The prompt is within 2% of this threshold, above which the whole request costs more.
    NearTier(u64),
    /// A service tier was asked for, the answer names none: priced as standard.
    TierAssumed,
    /// Served in this tier, which has no listed rates: priced as standard.
    VariantUnlisted(String),
    /// A time with other base rates: those of the service tier are today's.
    VariantOfToday(String),
    /// From before the earliest known price.
    BeforeKnown,
    /// This rate was computed by ratio from others, no source lists it.
    Derived(String),
    /// At list price, though an allowance of the account may cover it.
    Allowance(String),
    /// How many tokens of this kind were audio is not told: priced as text.
    Approximate(String),
}

impl Priced {
    /// What to book: the upstream's own figure where there is one, else the table's.
    ///
    /// Of a router that used the caller's own key at the provider, fee and provider's part together.
    /// A provider declared free costs nothing, whatever it says. `None`: not known.
    pub fn cost(&self) -> Option<Money> {
        let declared_free = self.provenance.as_ref().is_some_and(|p| p.declared_free);
        match self.reported.filter(|_| !declared_free) {
            None => self.total,
            Some(reported) => reported.plus(self.reported_upstream.unwrap_or_default()).ok(),
        }
    }

    /// What is booked less what the table says; `None` where one of them is not known.
    pub fn difference(&self) -> Option<Money> {
        self.cost()?.minus(self.total?).ok()
    }

    /// Whether any rate of it was computed or assumed instead of read in a list.
    pub fn is_approximate(&self) -> bool {
        self.marks.iter().any(|mark| {
            use Mark as M;
            matches!(
                mark,
                M::FeeUnknown(_)
                    | M::TierAssumed
                    | M::VariantUnlisted(_)
                    | M::VariantOfToday(_)
                    | M::BeforeKnown
                    | M::Derived(_)
                    | M::Allowance(_)
                    | M::Approximate(_)
                    | M::RepriceExpected
            )
        })
    }
}

impl Line {
    /// The name on a bill: `cache_read`, or `claude-opus-5:input` for another model's.
    pub fn name(&self) -> Cow<'_, str> {
        match &self.model {
            None => Cow::Borrowed(&self.component),
            Some(model) => Cow::Owned(format!("{model}:{}", self.component)),
        }
    }
}

impl Mark {
    /// A word for it, `near_tier`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::PriceUnknown(_) => "price_unknown",
            Self::UsageAbsent => "usage_absent",
            Self::ComponentUnpriced(_) => "component_unpriced",
            Self::FeeUnknown(_) => "fee_unknown",
            Self::Overflow => "overflow",
            Self::Prepaid => "prepaid",
            Self::RepriceExpected => "reprice_expected",
            Self::NearTier(_) => "near_tier",
            Self::TierAssumed => "tier_assumed",
            Self::VariantUnlisted(_) => "variant_unlisted",
            Self::VariantOfToday(_) => "variant_of_today",
            Self::BeforeKnown => "before_known",
            Self::Derived(_) => "derived",
            Self::Allowance(_) => "allowance",
            Self::Approximate(_) => "approx",
        }
    }
}

/// The word and what it is about: `near_tier:272000`.
impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())?;
        match self {
            Self::PriceUnknown(what)
            | Self::ComponentUnpriced(what)
            | Self::FeeUnknown(what)
            | Self::VariantUnlisted(what)
            | Self::VariantOfToday(what)
            | Self::Derived(what)
            | Self::Allowance(what)
            | Self::Approximate(what) => write!(f, ":{what}"),
            Self::NearTier(threshold) => write!(f, ":{threshold}"),
            _ => Ok(()),
        }
    }
}
