//! What is known about the models of LLM providers, and what a call to one of them cost.
//!
//! The crate holds a catalogue of limits, abilities and prices, and a price engine over it. Both are
//! pure: no I/O, no clock, no global state, and money is decimal from the first digit to the last.
//!
//! ```
//! use tollgate_catalog::{Catalogue, Mark, Occasion, price};
//! use tollgate_core::{InTokens, OutTokens, Quality, Ttl, Usage};
//!
//! let mut usage = Usage::default();
//! usage.prompt.text = Some(3);
//! usage.write = vec![(Ttl::M5, InTokens { text: Some(12_304), ..InTokens::default() })];
//! usage.output = OutTokens { text: Some(550), ..OutTokens::default() };
//! usage.quality = Quality::Exact;
//!
//! let catalogue = Catalogue::builtin();
//! let priced = price(&catalogue, "anthropic", "claude-opus-4-5", &usage, &Occasion::default());
//!
//! let lines: Vec<_> = priced.lines.iter().map(|line| (line.name(), line.usd.to_string())).collect();
//! assert_eq!(lines, [
//!     ("input".into(), "0.000015".to_owned()),
//!     ("cache_write_5m".into(), "0.0769".to_owned()),
//!     ("output".into(), "0.01375".to_owned()),
//! ]);
//! assert_eq!(priced.total.unwrap().to_string(), "0.090665");
//! assert!(priced.marks.is_empty());
//!
//! // A model nobody knows has no price, and is not given the one of a similar name.
//! let unknown = price(&catalogue, "anthropic", "claude-opus-4-55", &usage, &Occasion::default());
//! assert_eq!(unknown.total, None);
//! assert!(unknown.marks.contains(&Mark::PriceUnknown("claude-opus-4-55".to_owned())));
//! ```
//!
//! # Finding a model
//!
//! [`Catalogue::find`] knows five rules and no guess: exact id, alias, either behind a provider's
//! prefix, the anchored pattern that matches most of the name, either before a trailing date.
//!
//! # Prices of one's own
//!
//! [`Catalogue::with_file`] lays a file over the built-in data, [`Catalogue::with_price`] a price
//! for one target, [`Catalogue::with_free`] declares a provider free. Each returns another
//! catalogue; the one in use stays what it was.
//!
//! ```
//! use tollgate_catalog::{Catalogue, Occasion, price, rates_from};
//! # use tollgate_core::{InTokens, Usage};
//! # let mut usage = Usage::default();
//! # usage.prompt = InTokens { text: Some(1_000_000), ..InTokens::default() };
//! let own = rates_from([("input", "1.75"), ("output", "7")]).unwrap();
//! let catalogue = Catalogue::builtin().with_price("openai", "gpt-4o", own).with_free("ollama");
//!
//! let cost = |provider, model| {
//!     price(&catalogue, provider, model, &usage, &Occasion::default()).total.unwrap().to_string()
//! };
//! assert_eq!(cost("openai", "gpt-4o"), "1.75");
//! assert_eq!(cost("ollama", "whatever-is-loaded"), "0");
//! ```
//!
//! # What a price says of itself
//!
//! A [`Priced`] names the row it was priced by and everything that moved it ([`Provenance`]), and
//! carries a [`Mark`] for whatever a reader of the number should know: an assumption that was made,
//! a threshold that was nearly passed, a component without a price. The upstream's own figure is
//! kept beside the table's, and [`Priced::cost`] prefers it.
//!
//! # The surprise
//!
//! Long-context tiers are cliffs. One token above the threshold and the whole request, its output
//! and its cached part too, is billed at the dearer rates: [`Mark::NearTier`] warns before it.

mod builtin;
mod catalogue;
mod compact;
mod count;
mod date;
mod document;
mod error;
mod habits;
mod litellm;
mod memo;
mod model;
mod occasion;
mod pattern;
mod pinned;
mod price;
mod priced;
mod rates;
mod resolve;
mod schedule;
mod view;

pub use self::{
    catalogue::{Catalogue, Found, FoundBy, Origin},
    compact::compact,
    date::{Date, NotADate, unix_seconds},
    document::{Document, rates_from},
    error::PriceFileError,
    model::{
        Abilities, Ability, FreeSearch, Limits, Mode, Model, OffPeak, Period, Status, Tier, Variant,
    },
    occasion::Occasion,
    price::{price, rates},
    priced::{Line, Mark, Per, Priced, Provenance},
    rates::{Component, Rates},
    schedule::Schedule,
    view::PricedView,
};
