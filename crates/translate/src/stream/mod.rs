//! Streams while they come.
//!
//! A stream of one protocol is read as [`Event`]s of the conversation model, which are written as
//! a stream of another: one small machine per protocol and direction, no pair knows its other
//! half. A whole answer is nothing else: [`Fold`] makes one of the events, [`unfold`] makes events
//! of one.
mod event;
mod fold;
mod order;
mod out;
mod restore;
mod translator;

pub use self::{
    event::{DecodeStream, Delta, EncodeStream, Ending, Event, Flow, Head, Sink, Start, Tool},
    fold::{Fold, unfold},
    out::Out,
    translator::{StreamCollector, StreamTranslator},
};
pub(crate) use self::{
    event::{broken, failed, malformed_call},
    order::InOrder,
    out::{LIMIT, Pen},
    translator::Terms,
};
