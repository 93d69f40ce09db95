use std::{borrow::Cow, fmt, sync::Arc};

use crate::{Operation, Protocol, Target};

/// A target chosen for a call, and why it stands where it stands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlanStep {
    /// The target.
    pub target: Arc<Target>,
    /// The reason, for people.
    pub reason: Cow<'static, str>,
    /// What it was ordered by, smaller is better; what is counted depends on how the route is
    /// ordered (dollars, seconds, tokens). `None` where nothing was counted.
    pub score: Option<f64>,
}

impl PlanStep {
    /// Returns a step without a score.
    pub fn new(target: Arc<Target>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { target, reason: reason.into(), score: None }
    }

    /// Sets what it was ordered by. Default: nothing.
    pub fn score(mut self, score: f64) -> Self {
        self.score = Some(score);
        self
    }
}

/// A target that was considered for a call and left out.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Skipped {
    /// The target.
    pub target: Arc<Target>,
    /// Why.
    pub why: Skip,
}

impl Skipped {
    /// Returns a target that is left out.
    pub fn new(target: Arc<Target>, why: Skip) -> Self {
        Self { target, why }
    }
}

/// Why a target is left out of a plan. Shown to people as a sentence about the target.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Skip {
    /// The caller's key may not use it.
    NotAllowed,
    /// The caller's wish of this name excludes it: `only`, `ignore`, `order`, `allow_fallbacks`.
    Unwanted(&'static str),
    /// It does not speak the caller's protocol.
    Unspoken(Protocol),
    /// Its protocol has no such operation.
    NoOperation(Operation),
    /// The model does not take what the request has: `images`, `audio`, `video`, `documents`,
    /// `tools`, `a JSON schema`, `several answers`.
    Lacks(&'static str),
    /// The prompt with its answer is likely longer than the model's window, in tokens.
    Window {
        /// What the request likely needs.
        needs: u64,
        /// What the model has.
        has: u64,
    },
    /// A longer answer is asked for than the model gives, in tokens.
    Output {
        /// What is asked for.
        asked: u64,
        /// What the model gives.
        has: u64,
    },
    /// The request replays reasoning that only another target can read.
    Reasoning,
    /// The request goes on from something another target keeps.
    State,
    /// It costs more than the caller's wish allows: the component, and its price in USD per million
    /// tokens.
    TooDear(&'static str, String),
    /// The caller set a price, and nobody knows what this costs.
    PriceUnknown,
    /// What the caller demands of how data is handled is not known to be so here.
    DataPolicy,
}

impl Skip {
    /// Whether this is a guess, for which nobody is refused who has no other choice.
    pub const fn is_doubt(&self) -> bool {
        matches!(self, Self::Window { .. } | Self::Output { .. })
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAllowed => f.write_str("this API key may not use it"),
            Self::Unwanted(wish) => write!(f, "excluded by the wish `{wish}`"),
            Self::Unspoken(protocol) => write!(f, "does not speak {protocol}"),
            Self::NoOperation(operation) => {
                write!(f, "its protocol has no operation `{}`", operation.as_str())
            }
            Self::Lacks(what) => write!(f, "does not take {what}"),
            Self::Window { needs, has } => {
                write!(f, "about {needs} tokens do not fit its window of {has}")
            }
            Self::Output { asked, has } => {
                write!(f, "gives at most {has} tokens of output, {asked} are asked for")
            }
            Self::Reasoning => f.write_str("cannot read the reasoning the request replays"),
            Self::State => f.write_str("does not have the state the request goes on from"),
            Self::TooDear(component, price) => {
                write!(f, "its {component} price of {price} USD per million tokens is too high")
            }
            Self::PriceUnknown => f.write_str("its price is not known"),
            Self::DataPolicy => f.write_str("is not known to handle data as demanded"),
        }
    }
}

/// Who could answer a call, in the order they are to be asked.
///
/// Written by `RouteLayer`, read by budgets and fallback. Absent: one attempt at the inner service.
/// Whoever makes a further attempt aims the request at the step's target with `tollgate_wire::aim`,
/// from the request as it came: everything that differs from target to target is in the
/// [`Target`], and aiming undoes what an earlier aim set.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Plan {
    /// To be asked, in this order.
    pub chosen: Vec<PlanStep>,
    /// Considered and left out.
    pub skipped: Vec<Skipped>,
    /// Members of the request's body that were meant for routing. Whoever follows the plan first
    /// removes them.
    pub removes: &'static [&'static str],
    /// What the call is remembered by: calls with the same are best answered by the same target.
    /// `None` where there is no choice.
    pub affinity: Option<u64>,
}

impl Plan {
    /// Returns a plan with one target.
    pub fn one(target: Arc<Target>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { chosen: vec![PlanStep::new(target, reason)], ..Self::default() }
    }

    /// The first target to ask.
    pub fn first(&self) -> Option<&Arc<Target>> {
        self.chosen.first().map(|step| &step.target)
    }
}
