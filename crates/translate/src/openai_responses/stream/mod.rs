//! An answer while it comes, both ways.

mod decode;
mod encode;

pub(super) use self::{decode::ResponsesReader, encode::ResponsesWriter};
