//! What a request's top-level members say, read without building a tree.

use std::ops::Range;

use tollgate_core::{Frames, Needs};

use crate::{
    Dialect,
    json::{Malformed, Scanner},
};

/// What a peek found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peek {
    /// The model asked for.
    pub model: Option<String>,
    /// Where the model's JSON string stands, quotes included, in bytes of the body.
    pub model_at: Option<Range<usize>>,
    /// The answer is asked for as a stream.
    pub stream: bool,
    /// Upper limit of output tokens.
    pub output_limit: Option<u64>,
    /// Alternative answers asked for.
    pub candidates: Option<u32>,
    /// Usage is asked for in a Chat stream.
    pub stream_usage: bool,
    /// There is a `usage` member.
    pub asks_cost: bool,
    /// The end user's name.
    pub user: Option<String>,
    /// The service tier asked for.
    pub service_tier: Option<String>,
    /// What the request needs.
    pub needs: Needs,
}

/// Why a request could not be peeked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeekError {
    /// The body is no JSON object.
    Malformed(Malformed),
    /// A member is not of the kind the protocol takes: its name and what is wrong.
    Field(String, String),
}

/// Reads what the top-level members of `body` say.
///
/// Scans every byte once, skips strings with `memchr`, copies only the members it reads.
///
/// Errors: the body is not one balanced JSON object, or a member the gateway must understand is of
/// the wrong kind or written twice (which of the two an upstream would take nobody knows).
pub fn peek(dialect: &dyn Dialect, body: &Frames) -> Result<Peek, PeekError> {
    let mut scanner = Scanner::new(|key: &str| is_wish(key) || dialect.reads_member(key));
    body.as_slice()
        .iter()
        .try_for_each(|frame| scanner.feed(frame))
        .and_then(|()| starts_as_object(body))
        .map_err(PeekError::Malformed)?;
    let members = scanner.finish().map_err(PeekError::Malformed)?;
    let mut peek = Peek::default();
    for (i, member) in members.iter().enumerate() {
        if members[..i].iter().any(|m| m.key == member.key) {
            return Err(PeekError::Field(member.key.clone(), "is written twice".to_owned()));
        }
        if is_wish(&member.key) {
            peek.needs.wishes = true;
            continue;
        }
        let value = body.slice(member.value.clone());
        dialect
            .read_member(&member.key, &value, &mut peek)
            .map_err(|wrong| PeekError::Field(member.key.clone(), wrong))?;
        if member.key == "model" {
            peek.model_at = Some(member.value.clone());
        }
    }
    Ok(peek)
}

/// The members by which a request says who is to answer it; none of the protocols has them.
fn is_wish(key: &str) -> bool {
    matches!(key, "provider" | "models")
}

fn starts_as_object(body: &Frames) -> Result<(), Malformed> {
    let mut bytes = body.as_slice().iter().flat_map(|frame| frame.iter());
    match bytes.find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => Ok(()),
        _ => Err(Malformed { at: 0 }),
    }
}
