use tollgate_core::{Protocol, Usage};

use super::{Extra, Part};
use crate::json::Raw;

/// A whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The protocol it was read from: the one its [`Extra`] belongs to.
    pub source: Protocol,
    /// The upstream's id; empty: it gave none.
    pub id: String,
    /// Unix seconds; 0: unknown.
    pub created: i64,
    /// The model that served.
    pub model: String,
    /// At least one, unless the prompt was refused.
    pub candidates: Vec<Candidate>,
    /// What it used.
    pub usage: Option<Box<Usage>>,
    /// The prompt itself was refused.
    pub prompt_block: Option<PromptBlock>,
    /// What only its own protocol has.
    pub extra: Extra,
}

impl Answer {
    /// Returns an answer of `source` of which nothing came yet.
    pub fn new(source: Protocol) -> Self {
        Self {
            source,
            id: String::new(),
            created: 0,
            model: String::new(),
            candidates: Vec::new(),
            usage: None,
            prompt_block: None,
            extra: Extra::default(),
        }
    }
}

/// One alternative of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Its number, from 0.
    pub index: u64,
    /// What was said, in order.
    pub parts: Vec<Part>,
    /// Why it ended.
    pub finish: Finish,
    /// The protocol's own word for that.
    pub native_finish: String,
    /// More about the ending.
    pub detail: Option<FinishDetail>,
    /// Log probabilities in the protocol's own shape.
    pub logprobs: Option<Raw>,
    /// What only its own protocol has.
    pub extra: Extra,
}

impl Candidate {
    /// Returns the first alternative, regularly ended.
    pub fn new(parts: Vec<Part>, finish: Finish) -> Self {
        Self {
            index: 0,
            parts,
            finish,
            native_finish: String::new(),
            detail: None,
            logprobs: None,
            extra: Extra::default(),
        }
    }

    /// Whether it calls a tool of the client.
    pub fn calls_tools(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::ToolCall(_)))
    }

    /// Whether it holds anything a client can use.
    pub fn is_empty(&self) -> bool {
        !self.parts.iter().any(|part| match part {
            Part::Text(text) => !text.text.is_empty(),
            Part::Reasoning(_) => false,
            _ => true,
        })
    }
}

/// Why an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// Everything is said.
    Stop,
    /// A stop sequence was met.
    StopSequence(Option<String>),
    /// The output limit was reached.
    Length,
    /// The model's window is full.
    ContextWindow,
    /// The client shall run tools.
    ToolCalls,
    /// A filter cut it.
    ContentFilter,
    /// The model declined.
    Refusal,
    /// It would have recited.
    Recitation,
    /// A long turn pauses; sending it back continues it.
    PauseTurn,
    /// A tool call that cannot be read.
    MalformedToolCall,
    /// Anything else, in the upstream's words.
    Other(String),
}

/// More about an ending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct FinishDetail {
    pub category: Option<String>,
    pub message: Option<String>,
}

/// The prompt itself was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct PromptBlock {
    pub reason: String,
    pub message: Option<String>,
}
