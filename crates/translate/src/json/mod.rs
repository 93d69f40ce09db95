//! JSON as translation needs it: read without building a tree, numbers as written, written in the
//! order it was made.

mod build;
mod prefix;
mod read;
mod text;

pub use self::text::{Number, Raw};
pub(crate) use self::{
    build::{Json, Object, write_string},
    prefix::Prefix,
    read::{Bad, Fields, Node},
};
