use tollgate_core::{Cause, Class, Failure, Sent, Target};
use tollgate_wire::Fault;

/// An attempt that failed before anybody saw of it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Tried<'a> {
    /// Which attempt of the call it was, counted from 1.
    pub number: u32,
    /// Which attempt of the call at this target it was, counted from 1.
    pub at_target: u32,
    /// Who was asked.
    pub target: &'a Target,
    /// What went wrong, as the upstream said it or as we found it.
    pub fault: &'a Fault,
    /// The same as the fact that travels between layers.
    pub failure: &'a Failure,
}

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The call fails with this failure.
    Stop,
    /// Another target is asked; this one not again.
    Next,
    /// Another target is asked, one with a larger context window than this; none that is not.
    Larger,
    /// The same target is asked again after a pause.
    Retry,
    /// Another target is asked; where there is none, the same again after a pause.
    NextOrRetry,
}

/// Decides what happens after a failed attempt.
///
/// Cloned for each call: what it holds is that call's memory, and what is to be shared goes behind
/// an `Arc`. A closure is one. `None` says that it has no opinion: another may be asked with
/// [`Policy::or`], and with nobody left the call fails.
///
/// Whatever it says, no more attempts are made than [`FallbackLayer::attempts`] and the
/// [`Budget`] allow, a [`Refusal`] of an inner layer ends the call, and nothing is repeated after
/// the first content.
///
/// ```
/// use tollgate_fallback::{Action, ByClass, Policy, Tried};
///
/// /// Teapots never recover.
/// fn teapots(tried: &Tried<'_>) -> Option<Action> {
///     (tried.fault.status == Some(418)).then_some(Action::Next)
/// }
/// let policy = teapots.or(ByClass::new());
/// # fn is_policy<P: Policy>(_: P) {}
/// # is_policy(policy);
/// ```
///
/// [`FallbackLayer::attempts`]: crate::FallbackLayer::attempts
/// [`Budget`]: crate::Budget
/// [`Refusal`]: tollgate_core::Refusal
pub trait Policy {
    /// Says what to do after this failure.
    fn judge(&mut self, tried: &Tried<'_>) -> Option<Action>;

    /// Asks `other` where this one has no opinion.
    fn or<P: Policy>(self, other: P) -> Or<Self, P>
    where
        Self: Sized,
    {
        Or(self, other)
    }

    /// Ends a call after this many attempts, whatever this one says.
    fn limited(self, attempts: u32) -> Limited<Self>
    where
        Self: Sized,
    {
        Limited(self, attempts)
    }
}

impl<F: FnMut(&Tried<'_>) -> Option<Action>> Policy for F {
    fn judge(&mut self, tried: &Tried<'_>) -> Option<Action> {
        self(tried)
    }
}

/// The first of two policies that has an opinion. See [`Policy::or`].
#[derive(Clone, Copy, Debug)]
pub struct Or<A, B>(A, B);

impl<A: Policy, B: Policy> Policy for Or<A, B> {
    fn judge(&mut self, tried: &Tried<'_>) -> Option<Action> {
        self.0.judge(tried).or_else(|| self.1.judge(tried))
    }
}

/// A policy that gives up after so many attempts. See [`Policy::limited`].
#[derive(Clone, Copy, Debug)]
pub struct Limited<P>(P, u32);

impl<P: Policy> Policy for Limited<P> {
    fn judge(&mut self, tried: &Tried<'_>) -> Option<Action> {
        if tried.number >= self.1 { Some(Action::Stop) } else { self.0.judge(tried) }
    }
}

/// The policy that is on by default: what the class of a failure says.
///
/// | class | what happens |
/// | --- | --- |
/// | connect, rate limit, overloaded, server error | another target, else the same after a pause |
/// | connect, for a certificate | another target |
/// | timeout | another target; the same only where nothing was sent |
/// | auth, permission, quota, model unknown | another target |
/// | conflict | the same after a pause |
/// | any that our translation is to blame for | another target |
/// | context length | the call fails, unless [`ByClass::larger_for_context_length`] |
/// | invalid request, too large, content policy, cancelled | the call fails |
///
/// An upstream that says `x-should-retry: false`, or that a request alone is over its limit, is not
/// asked again; one that says `true` is, whatever the class.
#[derive(Clone, Copy, Debug)]
pub struct ByClass {
    retries: u32,
    chosen: [Option<Action>; Class::ALL.len()],
}

impl ByClass {
    /// Returns the policy with its defaults.
    pub fn new() -> Self {
        Self { retries: 2, chosen: [None; Class::ALL.len()] }
    }

    /// Sets how often the same target is asked again within a call. Default: 2.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Moves on to a model with a larger context window where the input is too long for one, as far
    /// as both windows are known. Default: the call fails.
    pub fn larger_for_context_length(self) -> Self {
        self.on(Class::ContextLength, Action::Larger)
    }

    /// Sets what happens after a failure of this class, up to the number of retries. Default: see
    /// the table.
    pub fn on(mut self, class: Class, action: Action) -> Self {
        if let Some(slot) = slot(&mut self.chosen, class) {
            *slot = Some(action);
        }
        self
    }

    fn by_class(tried: &Tried<'_>) -> Action {
        let Tried { fault, failure, .. } = tried;
        let moves = fault.fallback || failure.cause == Cause::Translator;
        let unsent = failure.class != Class::Timeout || failure.sent == Sent::No;
        match (moves, fault.retryable && unsent) {
            (true, true) => Action::NextOrRetry,
            (true, false) => Action::Next,
            (false, true) => Action::Retry,
            (false, false) => Action::Stop,
        }
    }
}

fn slot(chosen: &mut [Option<Action>], class: Class) -> Option<&mut Option<Action>> {
    Class::ALL.iter().zip(chosen).find(|(known, _)| **known == class).map(|(_, slot)| slot)
}

impl Default for ByClass {
    fn default() -> Self {
        Self::new()
    }
}

impl Policy for ByClass {
    fn judge(&mut self, tried: &Tried<'_>) -> Option<Action> {
        let chosen = slot(&mut self.chosen, tried.failure.class).and_then(|slot| *slot);
        let action = chosen.unwrap_or_else(|| Self::by_class(tried));
        // A certificate is no better the next time.
        let action = match action {
            Action::NextOrRetry if tried.failure.code == Some("upstream_tls") => Action::Next,
            action => action,
        };
        Some(match action {
            Action::Retry if tried.at_target > self.retries => Action::Stop,
            Action::NextOrRetry if tried.at_target > self.retries => Action::Next,
            action => action,
        })
    }
}

#[cfg(test)]
mod tests {
    use tollgate_core::Protocol;

    use super::*;

    fn judged(policy: &mut impl Policy, failure: &Failure, at_target: u32) -> Option<Action> {
        let base_url = "http://localhost".parse().unwrap();
        let target = &Target::new("p", Protocol::OpenAiChat, "m", base_url);
        let fault = &Fault::from(failure);
        policy.judge(&Tried { number: at_target, at_target, target, fault, failure })
    }

    #[test]
    fn every_class_has_its_action() {
        use Action::{Next, NextOrRetry, Retry, Stop};
        for (class, action) in [
            (Class::Auth, Next),
            (Class::Permission, Next),
            (Class::NotFound, Next),
            (Class::RateLimit, NextOrRetry),
            (Class::Quota, Next),
            (Class::Overloaded, NextOrRetry),
            (Class::ContextLength, Stop),
            (Class::TooLarge, Stop),
            (Class::ContentPolicy, Stop),
            (Class::InvalidRequest, Stop),
            (Class::Conflict, Retry),
            (Class::Timeout, Next),
            (Class::Cancelled, Stop),
            (Class::ServerError, NextOrRetry),
            (Class::Connect, NextOrRetry),
        ] {
            let failure = Failure::new(class, "no");
            assert_eq!(judged(&mut ByClass::new(), &failure, 1), Some(action), "{class}");
        }
    }

    #[test]
    fn what_was_not_sent_may_be_sent_again() {
        let failure = Failure::new(Class::Timeout, "late").sent(Sent::No);
        assert_eq!(judged(&mut ByClass::new(), &failure, 1), Some(Action::NextOrRetry));
    }

    #[test]
    fn fault_03_a_certificate_is_not_tried_again() {
        let failure = Failure::new(Class::Connect, "x").sent(Sent::No).code("upstream_tls");
        assert_eq!(judged(&mut ByClass::new(), &failure, 1), Some(Action::Next));
    }

    #[test]
    fn a_fault_of_our_translation_moves_on() {
        let failure = Failure::new(Class::InvalidRequest, "x").cause(Cause::Translator);
        assert_eq!(judged(&mut ByClass::new(), &failure, 1), Some(Action::Next));
    }

    #[test]
    fn retries_end_and_choices_are_heard() {
        let failure = Failure::new(Class::ServerError, "x");
        let mut policy = ByClass::new().retries(1);
        assert_eq!(judged(&mut policy, &failure, 1), Some(Action::NextOrRetry));
        assert_eq!(judged(&mut policy, &failure, 2), Some(Action::Next));
        let mut policy = ByClass::new().on(Class::ServerError, Action::Retry);
        assert_eq!(judged(&mut policy, &failure, 2), Some(Action::Retry));
        assert_eq!(judged(&mut policy, &failure, 3), Some(Action::Stop));
        let long = Failure::new(Class::ContextLength, "x");
        let mut policy = ByClass::new().larger_for_context_length();
        assert_eq!(judged(&mut policy, &long, 1), Some(Action::Larger));
    }

    #[test]
    fn policies_are_combined() {
        let failure = Failure::new(Class::ServerError, "x");
        let nothing = |_: &Tried<'_>| None;
        let stop = |_: &Tried<'_>| Some(Action::Stop);
        assert_eq!(judged(&mut nothing.or(stop), &failure, 1), Some(Action::Stop));
        assert_eq!(judged(&mut stop.or(ByClass::new()), &failure, 1), Some(Action::Stop));
        let mut limited = ByClass::new().limited(2);
        assert_eq!(judged(&mut limited, &failure, 1), Some(Action::NextOrRetry));
        assert_eq!(judged(&mut limited, &failure, 2), Some(Action::Stop));
    }
}
