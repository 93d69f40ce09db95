use std::{sync::Arc, time::Duration, time::SystemTime};

use tollgate_catalog::Priced;
use tollgate_core::{CallId, Class, Money, Operation, Principal, Protocol, Quality, Target, Usage};

/// What one attempt used and cost: a row of the ledger.
///
/// There is one for each attempt, also for those that failed, were given up or lost a race. Call
/// and attempt together are its identity: a ledger that is told twice counts it once.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Charge {
    /// The call it belongs to.
    pub call: CallId,
    /// Which attempt of the call, counted from 1.
    pub attempt: u32,
    /// When the attempt began.
    pub at: SystemTime,
    /// Who pays. `None`: nobody was asked.
    pub principal: Option<Arc<Principal>>,
    /// What the caller wrote on the call.
    pub tags: Tags,
    /// The end user, in the caller's own words.
    pub user: Option<Box<str>>,
    /// The key by which the caller tells its retries of one request, each a call of its own.
    pub idempotency_key: Option<Box<str>>,
    /// The protocol the client speaks.
    pub protocol: Protocol,
    /// What was asked for.
    pub operation: Operation,
    /// It was asked for as a stream.
    pub stream: bool,
    /// The model as the client named it.
    pub asked: Option<Box<str>>,
    /// The service tier that was asked for. The one that was served, and is billed, is in the
    /// usage; where the answer is silent the standard one is billed, and the price marked.
    pub asked_tier: Option<Box<str>>,
    /// Who was asked. `None`: the layer stands alone and was not told.
    pub target: Option<Arc<Target>>,
    /// The status of the answer's head; `None` where there was none.
    pub status: Option<u16>,
    /// How it ended.
    pub ending: Ending,
    /// What it used. Boxed, as the price is: they are most of a charge, which is moved often.
    pub usage: Box<Usage>,
    /// How the price was found; `None` where nothing was to be priced.
    pub priced: Option<Box<Priced>>,
    /// What is to be paid. `None` is unknown, never free.
    pub cost: Option<Money>,
    /// From the attempt's begin to the answer's head.
    pub head: Option<Duration>,
    /// From the attempt's begin to the first content.
    pub first_content: Option<Duration>,
    /// From the attempt's begin to its end.
    pub took: Duration,
}

impl Charge {
    /// Whether anything is known of what it used, counted by the upstream or by us.
    pub fn tells_usage(&self) -> bool {
        self.usage.quality != Quality::Absent
    }

    /// The word for how far its usage can be trusted: `exact`, `partial`, `estimated`,
    /// `inconsistent` or `absent`.
    pub fn quality_word(&self) -> &'static str {
        match self.usage.quality {
            Quality::Exact => "exact",
            Quality::Partial => "partial",
            Quality::Estimated => "estimated",
            Quality::Inconsistent => "inconsistent",
            Quality::Absent => "absent",
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ending {
    /// The answer was taken whole.
    Complete,
    /// It failed, before or within its answer.
    Failed(Class),
    /// The client left before the end.
    Cancelled,
    /// Another attempt of the call answered first.
    Hedged,
}

impl Ending {
    /// Returns the word used in ledgers and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Failed(class) => class.as_str(),
            Self::Cancelled => "cancelled",
            Self::Hedged => "hedged",
        }
    }
}

impl Charge {
    /// Returns the charge of a first attempt that ended complete, of which nothing else is known:
    /// for ledgers, their tests, and meters of your own.
    pub fn new(call: CallId, at: SystemTime, protocol: Protocol, operation: Operation) -> Self {
        Self {
            call,
            attempt: 1,
            at,
            principal: None,
            tags: Tags::default(),
            user: None,
            idempotency_key: None,
            protocol,
            operation,
            stream: false,
            asked: None,
            asked_tier: None,
            target: None,
            status: None,
            ending: Ending::Complete,
            usage: Box::default(),
            priced: None,
            cost: None,
            head: None,
            first_content: None,
            took: Duration::ZERO,
        }
    }
}

/// What a caller writes on a call, to find its cost again: a fact on the request.
///
/// At most 16 of at most 64 bytes each; what is beyond is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(Option<Arc<[Box<str>]>>);

impl Tags {
    const MOST: usize = 16;
    const LONGEST: usize = 64;

    /// Reads tags separated by commas, as they stand in a header.
    ///
    /// ```
    /// use tollgate_meter::Tags;
    ///
    /// let tags = Tags::parse("batch-7, search,,batch-7");
    /// assert_eq!(tags.iter().collect::<Vec<_>>(), ["batch-7", "search"]);
    /// ```
    pub fn parse(text: &str) -> Self {
        let mut tags: Vec<Box<str>> = Vec::new();
        for tag in
            text.split(',').map(str::trim).filter(|tag| (1..=Self::LONGEST).contains(&tag.len()))
        {
            if tags.len() < Self::MOST && !tags.iter().any(|known| **known == *tag) {
                tags.push(tag.into());
            }
        }
        Self((!tags.is_empty()).then(|| tags.into()))
    }

    /// Returns the tags, in the order they were written.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|tags| tags.iter()).map(|tag| &**tag)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

/// The end user a caller names in a header: a fact on the request, and stronger than what the
/// request's body says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndUser(pub Box<str>);

/// The key a caller sends with a request and again with each retry of it: a fact on the request.
///
/// Retries are charged apart; by this key those of one request are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(pub Box<str>);
