//! x
mod builtin;
mod catalogue;
mod compact;
mod date;
mod document;
mod error;
mod litellm;
mod model;
mod pattern;
mod rates;
mod schedule;

pub use self::{
    catalogue::{Catalogue, Found, FoundBy, Origin},
    compact::compact,
    date::{Date, NotADate},
    document::{Document, rates_from},
    error::PriceFileError,
    model::{
        Abilities, Ability, FreeSearch, Limits, Mode, Model, OffPeak, Period, Status, Tier, Variant,
    },
    rates::{Component, Rates},
    schedule::Schedule,
};
