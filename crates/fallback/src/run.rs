use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use tollgate_core::{
    Admission, Attempt, Body, Call, Cause, Class, Deadline, Ejection, Ending, Failure, InFlight,
    Missed, Operation, Outcome, Plan, PlanStep, Probe, Reply, Sent, Served, Standing, State,
    Target,
};
use tollgate_sse::{Failed, Gate, GatedBody};
use tollgate_wire::{Caller, Fault, aim};

use crate::{
    Action, FallbackBody, Policy, Tried,
    answer::{Bad, Best, refused, set_aside},
    body::Watch,
    breaker::Asked,
    layer::Settings,
    spare::Spare,
};

/// How often it is looked whether somebody else's probe has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What of a request was not sent as it came.
const WARNINGS: HeaderName = HeaderName::from_static("x-tollgate-warnings");
const REPAIRED: HeaderValue = HeaderValue::from_static("reasoning_dropped:/");

/// The present, by tokio's clock, so that it can be paused.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// What comes next in a call.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // the large one is the happy path
pub(crate) enum Step<E> {
    /// This is sent.
    Ask(Request<Body>),
    /// Nobody may be asked before.
    Pause(Instant),
    /// The call has failed.
    Done(Result<Response<Bytes>, E>),
}

/// One call along its plan: who was asked, what became of it, who is next.
#[derive(Debug)]
pub(crate) struct Run<S, P, E> {
    settings: Arc<Settings>,
    service: Arc<S>,
    policy: P,
    /// `None` until the request is known.
    call: Option<Call>,
    steps: Vec<PlanStep>,
    /// What was done with each step; empty until one has failed.
    tries: Vec<Try>,
    /// The request as it came; `None` where it cannot be sent again.
    spare: Option<Box<Spare>>,
    current: Option<Current>,
    attempts: u32,
    last: usize,
    missed: Vec<Missed>,
    best: Best<E>,
    deadline: Option<Instant>,
    /// Since when nobody was asked.
    waiting: Option<Instant>,
    /// The next attempt is paid for.
    is_paid: bool,
    /// The request was changed for a target that refused it as it came.
    is_repaired: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Try {
    asked: u32,
    /// Not to be asked any more.
    is_out: bool,
    /// When it may be asked again.
    again: Option<Instant>,
}

/// Who is to be asked next.
#[derive(Debug)]
struct Picked {
    index: usize,
    standing: Arc<Standing>,
    probe: Option<Probe>,
}

/// An attempt under way.
#[derive(Debug)]
struct Current {
    index: usize,
    attempt: Attempt,
    began: Instant,
    in_flight: InFlight,
    probe: Option<Probe>,
}

impl Current {
    fn asked(&self) -> Asked<'_> {
        let standing = self.in_flight.standing();
        Asked { standing, began: self.began, is_probe: self.probe.is_some() }
    }
}

impl<S, P, E> Run<S, P, E> {
    pub(crate) fn new(service: Arc<S>, policy: P, settings: Arc<Settings>) -> Self {
        Self {
            settings,
            service,
            policy,
            call: None,
            steps: Vec::new(),
            tries: Vec::new(),
            spare: None,
            current: None,
            attempts: 0,
            last: 0,
            missed: Vec::new(),
            best: Best::default(),
            deadline: None,
            waiting: None,
            is_paid: false,
            is_repaired: false,
        }
    }

    /// Returns a service for a further attempt, not yet ready.
    pub(crate) fn service(&self) -> S
    where
        S: Clone,
    {
        (*self.service).clone()
    }

    /// Takes the request and says what to do first.
    pub(crate) fn first(&mut self, mut request: Request<Body>) -> Step<E> {
        let facts = request.extensions_mut();
        self.steps = facts.remove::<Plan>().map(|plan| plan.chosen).unwrap_or_default();
        self.call = facts.get::<Call>().cloned();
        self.deadline = facts.get::<Deadline>().map(|deadline| deadline.0);
        let now = now();
        if let Some(picked) = self.pick(now) {
            if self.settings.attempts > 1 {
                self.spare = Spare::of(&request);
            }
            return self.ask(picked, request, now);
        }
        self.spare = Spare::of(&request);
        self.wait_or_end(now)
    }

    /// Says what to do after a failure, or when a pause is over.
    pub(crate) fn next(&mut self) -> Step<E> {
        let now = now();
        if self.is_over(now) || self.attempts >= self.settings.attempts {
            return self.end(now);
        }
        let Some(picked) = self.pick(now) else { return self.wait_or_end(now) };
        match self.spare.as_deref().and_then(Spare::request) {
            Some(request) => self.ask(picked, request, now),
            None => self.end(now),
        }
    }

    fn wait_or_end(&mut self, now: Instant) -> Step<E> {
        let at = self.earliest(now).filter(|at| self.spare.is_some() && self.may_wait(now, *at));
        let Some(at) = at else { return self.end(now) };
        if self.attempts > 0 && !self.is_paid {
            self.is_paid = self.withdraw();
            if !self.is_paid {
                return self.end(now);
            }
        }
        self.waiting.get_or_insert(now);
        Step::Pause(at)
    }

    fn is_over(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    fn withdraw(&self) -> bool {
        let affordable = self.settings.budget.withdraw();
        if !affordable {
            self.settings.counts.cannot_afford();
        }
        affordable
    }

    fn may_wait(&self, now: Instant, until: Instant) -> bool {
        let whole = until.saturating_duration_since(self.waiting.unwrap_or(now));
        let Settings { patience, backoff, .. } = &*self.settings;
        match self.deadline {
            Some(deadline) if self.attempts == 0 => until < deadline && whole <= *patience,
            Some(deadline) => until < deadline && whole <= backoff.most().max(*patience),
            None => self.attempts > 0 && whole <= backoff.most(),
        }
    }

    /// Finds who may be asked now, in the plan's order.
    fn pick(&mut self, now: Instant) -> Option<Picked> {
        for index in 0..self.steps.len() {
            if !self.is_due(index, now) {
                continue;
            }
            let standing = self.settings.board.of(&self.steps[index].target);
            let (probe, is_well) = match standing.admit(now) {
                Admission::Free => (None, true),
                Admission::Probe(probe) => (Some(probe), false),
                Admission::Closed(_) => continue,
            };
            if self.can_afford(index, is_well) {
                return Some(Picked { index, standing, probe });
            }
        }
        None
    }

    fn is_due(&self, index: usize, now: Instant) -> bool {
        self.tries.get(index).is_none_or(|tried| {
            !tried.is_out && (tried.asked == 0 || tried.again.is_some_and(|again| again <= now))
        })
    }

    /// Free are the first attempt of a call and the first at another deployment that is well.
    fn can_afford(&mut self, index: usize, is_well: bool) -> bool {
        let free = self.attempts == 0 || (is_well && self.is_new(index));
        free || std::mem::take(&mut self.is_paid) || self.withdraw()
    }

    /// Whether the deployment was not asked yet.
    fn is_new(&self, index: usize) -> bool {
        let deployment = &self.steps[index].target.deployment;
        !self.missed.iter().any(|missed| missed.target.deployment == *deployment)
    }

    /// When somebody may be asked, if anybody is worth waiting for.
    fn earliest(&self, now: Instant) -> Option<Instant> {
        let at = |(index, step): (usize, &PlanStep)| {
            let tried = self.tries.get(index).copied().unwrap_or_default();
            if tried.is_out || (tried.asked > 0 && tried.again.is_none()) {
                return None;
            }
            let again = tried.again.unwrap_or(now);
            let limited = |reason| matches!(reason, Class::RateLimit | Class::Overloaded);
            match self.settings.board.of(&step.target).state(now) {
                State::Open => Some(again.max(now)),
                State::Ejected(ejection) if limited(ejection.reason) => {
                    Some(again.max(ejection.until))
                }
                State::Probing(ejection) if limited(ejection.reason) => {
                    Some(again.max(now + LOOK_AGAIN))
                }
                _ => None,
            }
        };
        self.steps.iter().enumerate().filter_map(at).min()
    }

    /// Aims the request and counts the attempt as begun.
    fn ask(&mut self, picked: Picked, mut request: Request<Body>, now: Instant) -> Step<E> {
        let Picked { index, standing, probe } = picked;
        let target = self.steps[index].target.clone();
        let is_aimed = |aimed: &Arc<Target>| Arc::ptr_eq(aimed, &target);
        if !request.extensions().get::<Arc<Target>>().is_some_and(is_aimed) {
            if let Err(refusal) = aim(&mut request, &target) {
                return Step::Done(Ok(self.signed(self.caller().refuse(refusal))));
            }
            request.extensions_mut().insert(target.clone());
        }
        self.count(index);
        let is_followed = self.attempts < self.settings.attempts && self.has_others(index);
        let attempt = Attempt::new(self.attempts).followed(is_followed);
        request.extensions_mut().insert(attempt.clone());
        let in_flight = standing.begin(self.tokens(&request));
        self.current = Some(Current { index, attempt, began: now, in_flight, probe });
        Step::Ask(request)
    }

    fn count(&mut self, index: usize) {
        let Settings { counts, budget, .. } = &*self.settings;
        counts.attempt();
        match self.attempts {
            0 => budget.deposit(),
            _ => counts.again(self.last == index),
        }
        self.attempts += 1;
        (self.last, self.waiting) = (index, None);
    }

    /// Whether somebody else may be asked after this one.
    fn has_others(&self, index: usize) -> bool {
        let is_left =
            |other: usize| other != index && !self.tries.get(other).is_some_and(|t| t.is_out);
        (0..self.steps.len()).any(is_left)
    }

    /// What the attempt may take, as far as it can be guessed: four bytes are a token.
    fn tokens(&self, request: &Request<Body>) -> u64 {
        let input = request.body().frames().map_or(0, |frames| frames.len() as u64 / 4);
        input + self.call.as_ref().and_then(|call| call.output_limit).unwrap_or(0)
    }

    /// Whether it is an operation without a model, of whose answers only errors are read.
    fn is_unread(&self) -> bool {
        self.call.as_ref().is_some_and(|call| !call.operation.has_model())
    }

    /// Whether how long an answer took tells how long the next one will: counting tokens is quick
    /// where generating is not.
    fn is_timed(&self) -> bool {
        let operation = self.call.as_ref().map(|call| call.operation);
        matches!(operation, Some(Operation::Generate | Operation::Embed))
    }

    fn caller(&self) -> Caller {
        match &self.call {
            Some(call) => Caller { protocol: call.protocol, id: call.id },
            None => Caller::of(&Request::new(())),
        }
    }

    /// Holds an answer until it is known whether it is one.
    pub(crate) fn gate<R>(&self, response: Response<R>) -> Gate<R> {
        let unknown;
        let call = match &self.call {
            Some(call) => call,
            None => {
                unknown = Call::new(self.caller().protocol, Operation::Other);
                &unknown
            }
        };
        let gate = Gate::with_limits(response, call, self.settings.limits);
        match &self.current {
            Some(current) => gate.attempt(current.attempt.clone()),
            None => gate,
        }
    }

    /// Gives the answer on.
    pub(crate) fn committed<R>(
        &mut self,
        mut response: Response<GatedBody<R>>,
    ) -> Response<Reply<FallbackBody<R>>> {
        let (is_stream, is_whole) = (response.body().is_stream(), response.body().is_whole());
        let call = self.call.as_ref();
        let passed = call.and_then(|call| response.body_mut().passed(call, self.settings.limits));
        if self.is_repaired {
            response.headers_mut().append(WARNINGS, REPAIRED);
        }
        let served = self.served();
        let facts = response.extensions_mut();
        if let Some(passed) = passed {
            facts.insert(passed);
        }
        facts.insert(served);
        let outcome = facts.get_or_insert_default::<Outcome>().clone();
        let (is_unread, is_timed) = (self.is_unread(), self.is_timed());
        let watch = self.current.take().and_then(|current| {
            let now = now();
            current.in_flight.standing().recovered(current.began);
            if is_unread {
                return None;
            }
            if is_stream {
                let took = now.saturating_duration_since(current.began);
                current.in_flight.standing().saw_first_content(now, took);
            }
            if is_whole {
                if is_timed && !is_stream {
                    let took = now.saturating_duration_since(current.began);
                    current.in_flight.standing().saw_answer(now, took);
                }
                current.in_flight.standing().succeeded(now);
                return None;
            }
            let Current { began, in_flight, .. } = current;
            let watch = Watch::new(in_flight, began, now, self.settings.clone());
            Some(watch.until(self.deadline).told_by(is_stream.then_some(outcome)))
        });
        response.map(|body| Reply::inner(FallbackBody::new(body, watch)))
    }

    fn served(&mut self) -> Served {
        let target = self.steps[self.last].target.clone();
        Served::new(target, self.attempts).missed(std::mem::take(&mut self.missed))
    }

    fn signed<B>(&mut self, mut response: Response<B>) -> Response<B> {
        if !self.steps.is_empty() {
            let served = self.served();
            response.extensions_mut().insert(served);
        }
        response
    }

    /// Ends the call with the most helpful error there is.
    fn end(&mut self, now: Instant) -> Step<E> {
        let soonest = self.soonest(now);
        let answer = match self.best.take() {
            Some(Bad::Error(error)) => return Step::Done(Err(error)),
            Some(Bad::Answer(failed)) => refused(*failed, self.caller(), soonest),
            None => {
                self.settings.counts.refuse();
                set_aside(self.reasons(now), self.caller(), now)
            }
        };
        Step::Done(Ok(self.signed(answer)))
    }

    fn reasons(&self, now: Instant) -> impl Iterator<Item = Ejection> {
        self.steps.iter().filter_map(move |step| {
            match self.settings.board.of(&step.target).state(now) {
                State::Ejected(ejection) | State::Probing(ejection) => Some(ejection),
                State::Open => None,
            }
        })
    }

    /// In how long the first of those at their limits may be asked again.
    fn soonest(&self, now: Instant) -> Option<Duration> {
        let limits = self.reasons(now).filter(|ejection| ejection.reason == Class::RateLimit);
        limits.map(|ejection| ejection.until.saturating_duration_since(now)).min()
    }
}

impl<S, P: Policy, E> Run<S, P, E> {
    /// An attempt was answered with an error, or with nothing that is an answer.
    pub(crate) fn failed(&mut self, failed: Box<Failed>) -> Step<E> {
        let action = match failed.refusal() {
            None => self.judge(&failed.fault, &failed.failure),
            // It concerns the caller, and tells nothing of the target.
            Some(_) => Action::Stop,
        };
        self.go_on(Bad::Answer(failed), action)
    }

    /// The inner service failed without an answer.
    pub(crate) fn broke(&mut self, error: E) -> Step<E> {
        if let Some(current) = &self.current {
            current.attempt.end(Ending::Failed(Cause::Upstream));
        }
        let failure = Failure::new(Class::ServerError, "the upstream failed without an answer")
            .sent(Sent::Maybe);
        let action = self.judge(&Fault::from(&failure), &failure);
        self.go_on(Bad::Error(error), action)
    }

    /// The inner service cannot take a further attempt.
    pub(crate) fn unready(&mut self, error: E) -> Step<E> {
        self.current = None;
        self.best.offer(Bad::Error(error));
        self.end(now())
    }

    /// Notes how the attempt ended and asks what to do.
    fn judge(&mut self, fault: &Fault, failure: &Failure) -> Action {
        let Some(current) = self.current.take() else { return Action::Stop };
        let now = now();
        // How little time a caller has is no fault of the target's.
        let is_fair = failure.class != Class::Timeout || !self.is_over(now);
        if is_fair && self.tells_of_target(failure.class) {
            let Settings { breaker, counts, .. } = &*self.settings;
            breaker.failed(current.asked(), (fault, failure), now, counts);
        }
        let target = &self.steps[current.index].target;
        self.missed.push(Missed::new(target.clone(), failure.class));
        self.tries.resize(self.steps.len(), Try::default());
        let tried = &mut self.tries[current.index];
        tried.asked += 1;
        tried.again = None;
        let (number, at_target) = (self.attempts, tried.asked);
        let tried = Tried { number, at_target, target, fault, failure };
        let action = self.policy.judge(&tried).unwrap_or(Action::Stop);
        if action == Action::Stop && fault.reasoning_replay && self.repair() {
            self.note(current.index, Action::NextOrRetry, Some(Duration::ZERO), now);
            return Action::NextOrRetry;
        }
        self.note(current.index, action, failure.retry_after, now);
        action
    }

    /// Whether a failure tells how others would fare: that of an operation without a model does only
    /// where it is the account's or the host's.
    fn tells_of_target(&self, class: Class) -> bool {
        let is_everyones =
            matches!(class, Class::Auth | Class::Permission | Class::Quota | Class::Connect);
        is_everyones || !self.is_unread()
    }

    /// Leaves out of the request what was refused of it, once; whether there was anything.
    fn repair(&mut self) -> bool {
        let spare = self.spare.as_deref().filter(|_| !self.is_repaired);
        let Some(mut request) = spare.and_then(Spare::request) else { return false };
        self.is_repaired = self.settings.repair.change(&mut request);
        if self.is_repaired {
            self.spare = Spare::of(&request);
        }
        // It is not for a target that fails: a client without its thoughts needs it at each turn.
        self.is_paid |= self.is_repaired;
        self.is_repaired
    }

    /// Notes who may be asked after that.
    fn note(&mut self, index: usize, action: Action, hint: Option<Duration>, now: Instant) {
        let pause = self.settings.backoff.pause(self.tries[index].asked);
        match action {
            Action::Stop => {}
            Action::Next => self.tries[index].is_out = true,
            Action::Larger => self.only_larger(index),
            Action::NextOrRetry => self.tries[index].again = Some(now + hint.unwrap_or(pause)),
            Action::Retry => {
                for (other, tried) in self.tries.iter_mut().enumerate() {
                    tried.is_out = other != index;
                }
                self.tries[index].again = Some(now + hint.unwrap_or(pause));
            }
        }
    }

    fn only_larger(&mut self, index: usize) {
        let window = |step: &PlanStep| step.target.caps.context_window;
        let than = window(&self.steps[index]);
        for (tried, step) in self.tries.iter_mut().zip(&self.steps) {
            let is_larger = window(step).zip(than).is_some_and(|(larger, than)| larger > than);
            tried.is_out |= !is_larger;
        }
    }

    fn go_on(&mut self, bad: Bad<E>, action: Action) -> Step<E> {
        match action {
            Action::Stop => {
                self.current = None;
                self.best.settle(bad);
                self.end(now())
            }
            _ => {
                self.best.offer(bad);
                self.next()
            }
        }
    }
}
