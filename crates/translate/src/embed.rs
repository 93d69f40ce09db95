use tollgate_core::Protocol;

use crate::json::{Number, Raw};

/// A request for embeddings.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbedRequest {
    /// The protocol it was read from.
    pub source: Protocol,
    /// The model as the client names it.
    pub model: String,
    /// Each text to embed, in order.
    pub inputs: Vec<String>,
    /// The inputs were a list; one input alone otherwise.
    pub list: bool,
    /// How many numbers each vector shall have.
    pub dimensions: Option<u64>,
    /// Vectors shall be base64 of little-endian `f32`.
    pub base64: bool,
    /// The end user.
    pub user: Option<String>,
    /// Known fields that only their own protocol has, by name.
    pub native: Vec<(&'static str, Raw)>,
    /// Unknown fields, by name.
    pub unknown: Vec<String>,
}

/// Embeddings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmbedAnswer {
    /// The model that served; empty: not said.
    pub model: String,
    /// One vector an input, in order, numbers as written.
    pub vectors: Vec<Vec<Number>>,
    /// Tokens of all inputs; `None`: not said.
    pub tokens: Option<u64>,
}
