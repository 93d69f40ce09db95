//! What is known of one attempt until it is a charge.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use http::StatusCode;
use tollgate_catalog::Occasion;
use tollgate_core::{
    Attempt, Body, Call, Class, Money, Operation, Outcome, Principal, Protocol, Quality, Target,
    Usage,
};
use tollgate_wire::usage::Sent;

use crate::{
    Charge, EndUser, Ending, IdempotencyKey, Ledger, MeterLayer, Prices, Tags, prompt::Prompt,
    span::Span,
};

/// One attempt's account: opened with the request, settled exactly once.
pub(crate) struct Account<L, P> {
    pub(crate) facts: Facts,
    pub(crate) outcome: Outcome,
    pub(crate) span: Span,
    layer: Arc<MeterLayer<L, P>>,
}

/// Who asked whom for what, and when.
pub(crate) struct Facts {
    pub(crate) call: Call,
    pub(crate) target: Option<Arc<Target>>,
    pub(crate) attempt: Attempt,
    principal: Option<Arc<Principal>>,
    tags: Tags,
    user: Option<Box<str>>,
    pub(crate) idempotency_key: Option<Box<str>>,
    pub(crate) prompt: Prompt,
    at: SystemTime,
    pub(crate) began: Instant,
    pub(crate) head: Option<(StatusCode, Duration)>,
    pub(crate) first_content: Option<Duration>,
}

impl Facts {
    pub(crate) fn new(
        call: Call,
        target: Option<Arc<Target>>,
        request: &http::Request<Body>,
    ) -> Self {
        let extensions = request.extensions();
        let user = extensions.get::<EndUser>().map(|user| user.0.clone());
        Self {
            target,
            attempt: extensions.get().cloned().unwrap_or_default(),
            principal: extensions.get().cloned(),
            tags: extensions.get().cloned().unwrap_or_default(),
            user: user.or_else(|| call.user.clone()),
            idempotency_key: extensions.get::<IdempotencyKey>().map(|key| key.0.clone()),
            prompt: Prompt::of(request.body().frames()),
            call,
            at: SystemTime::now(),
            began: Instant::now(),
            head: None,
            first_content: None,
        }
    }

    /// The protocol the upstream speaks.
    pub(crate) fn protocol(&self) -> Protocol {
        self.target.as_ref().map_or(self.call.protocol, |target| target.protocol)
    }

    /// The model that is asked, in the upstream's spelling where it is known.
    fn model(&self) -> &str {
        let target = self.target.as_deref().map(|target| &*target.model);
        target.filter(|model| !model.is_empty()).or(self.call.model.as_deref()).unwrap_or_default()
    }

    /// How an attempt ended of which nobody wanted the rest.
    pub(crate) fn given_up(&self) -> Ending {
        use tollgate_core::{Cause, Ending as Ended};
        match self.attempt.ending() {
            None => Ending::Cancelled,
            Some(Ended::Hedged) => Ending::Hedged,
            Some(Ended::Failed(Cause::Connect)) => Ending::Failed(Class::Connect),
            Some(Ended::Failed(Cause::Deadline)) => Ending::Failed(Class::Timeout),
            Some(_) => Ending::Failed(Class::ServerError),
        }
    }
}

impl<L: Ledger, P: Prices> Account<L, P> {
    pub(crate) fn new(facts: Facts, outcome: Outcome, layer: Arc<MeterLayer<L, P>>) -> Self {
        let span = Span::begin(&facts);
        Self { facts, outcome, span, layer }
    }

    /// What an estimate may build on.
    pub(crate) fn sent(&self) -> Sent {
        let Facts { call, prompt, .. } = &self.facts;
        Sent {
            input_bytes: prompt.bytes(),
            output_limit: call.output_limit,
            candidates: call.candidates,
            hidden_reasoning: self.layer.settings.thinking.usual(self.facts.model()),
        }
    }

    /// What a usage costs.
    pub(crate) fn cost(&self, usage: &Usage) -> Option<Money> {
        let target = self.facts.target.as_deref()?;
        let now = self.occasion(self.facts.began.elapsed());
        self.layer.prices.price(target, usage, &now).cost()
    }

    /// When an attempt ended that took so long.
    fn occasion(&self, took: Duration) -> Occasion {
        let completed_at = seconds(self.facts.at + took);
        let requested_tier = self.facts.call.service_tier.as_deref().map(str::to_owned);
        Occasion { completed_at, requested_tier, ..Occasion::default() }
    }

    /// Settles an attempt that cost nothing: it was refused, or failed before any content.
    pub(crate) fn free(self, ending: Ending) -> Settled<L::Recording> {
        self.settle(ending, Box::default(), Bill::Free)
    }

    /// Settles an attempt whose usage was read, or estimated.
    pub(crate) fn used(self, ending: Ending, usage: Box<Usage>) -> Settled<L::Recording> {
        let bill = match usage.quality {
            Quality::Absent => Bill::Unknown,
            _ => Bill::Priced,
        };
        if let (Quality::Exact, Some(tokens)) = (usage.quality, usage.reasoning) {
            self.layer.settings.thinking.told(self.facts.model(), tokens);
        }
        self.settle(ending, usage, bill)
    }

    /// Settles an attempt whose operation tells no usage: it is free, or nobody knows.
    pub(crate) fn unread(self, ending: Ending) -> Settled<L::Recording> {
        let bill = match self.facts.call.operation {
            Operation::CountTokens | Operation::ListModels | Operation::GetModel => Bill::Free,
            _ => Bill::Unknown,
        };
        self.settle(ending, Box::default(), bill)
    }

    fn settle(self, ending: Ending, usage: Box<Usage>, bill: Bill) -> Settled<L::Recording> {
        let took = self.facts.began.elapsed();
        let target = self.facts.target.as_deref().filter(|_| bill == Bill::Priced);
        let price = |t| self.layer.prices.price(t, &usage, &self.occasion(took));
        let priced = target.map(|target| Box::new(price(target)));
        let Self { facts, outcome, span, layer } = self;
        let cost = match bill {
            Bill::Free => Some(Money::ZERO),
            _ => priced.as_ref().and_then(|priced| priced.cost()),
        };
        outcome.costs(cost);
        let input = usage.prompt_total().saturating_add(usage.tool_in.unwrap_or(0));
        outcome.uses(input, usage.output_total());
        let charge = Charge {
            call: facts.call.id,
            attempt: facts.attempt.number(),
            at: facts.at,
            principal: facts.principal,
            tags: facts.tags,
            user: facts.user,
            idempotency_key: facts.idempotency_key,
            protocol: facts.call.protocol,
            operation: facts.call.operation,
            stream: facts.call.stream,
            asked: facts.call.model.clone(),
            asked_tier: facts.call.service_tier.clone(),
            target: facts.target,
            status: facts.head.map(|(status, _)| status.as_u16()),
            ending,
            usage,
            priced,
            cost,
            head: facts.head.map(|(_, after)| after),
            first_content: facts.first_content,
            took,
        };
        span.end(&charge);
        Settled { cost, recording: layer.ledger.record(charge) }
    }
}

/// What there is to pay for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bill {
    Free,
    Priced,
    Unknown,
}

/// A charge on its way into the ledger.
pub(crate) struct Settled<R> {
    pub(crate) cost: Option<Money>,
    pub(crate) recording: R,
}

fn seconds(at: SystemTime) -> Option<u64> {
    at.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs())
}
