//! x
mod builtin;
mod catalogue;
mod compact;
mod count;
mod date;
mod document;
mod error;
mod litellm;
mod model;
mod occasion;
mod pattern;
mod price;
mod priced;
mod rates;
mod resolve;
mod schedule;
mod view;

pub use self::{
    catalogue::{Catalogue, Found, FoundBy, Origin},
    compact::compact,
    date::{Date, NotADate},
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
