use std::collections::BTreeMap;

/// What decides a price and does not stand in the answer. The default knows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Occasion {
    /// When the answer was complete, in unix seconds. Unless the usage says so itself, this picks
    /// the period and the peak. `None`: today's peak rates.
    pub completed_at: Option<u64>,
    /// It was part of a batch.
    pub batch: bool,
    /// The service tier that was asked for. Only the one that was served is billed.
    pub requested_tier: Option<String>,
    /// The service tier it is known to have been served in, where the answer itself does not say.
    pub served_tier: Option<String>,
    /// Where data must stay, `eu` or `us`.
    pub residency: Option<String>,
    /// It went to a regional endpoint of the provider.
    pub regional_endpoint: bool,
    /// Billed uses of tools by kind (`web_search`, `maps_grounding`), instead of what was counted.
    pub uses: BTreeMap<String, u64>,
    /// The model behind a hosted image tool, whose tokens an answer reports without its name.
    pub image_model: Option<String>,
    /// A credit for a fallback was redeemed: the provider will re-price the turn.
    pub fallback_credit: bool,
}
