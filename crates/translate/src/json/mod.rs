//! JSON as translation needs it: read without building a tree, numbers as written, written in the
//! order it was made.

mod build;
mod read;
mod text;

pub use self::text::{Number, Raw};
pub(crate) use self::{
    build::{Json, Object},
    read::{Bad, Fields, Node},
};
