//! An answer while it comes, both ways.

mod calls;
mod decode;
mod encode;
mod thoughts;

pub(super) use self::{decode::ChatReader, encode::ChatWriter};
