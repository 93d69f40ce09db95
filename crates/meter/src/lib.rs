//! Middleware that meters what an LLM call used and what it cost, from the bytes that passed.

mod charge;
mod ledger;
mod prices;

pub use self::{
    charge::{Charge, EndUser, Ending, Tags},
    ledger::{Channel, Ledger, MemoryLedger},
    prices::Prices,
};
