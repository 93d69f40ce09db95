//! An answer while it comes, both ways.

mod decode;
mod encode;
mod partial;

pub(super) use self::{decode::GeminiReader, encode::GeminiWriter};
