use std::time::{Duration, Instant};

use tollgate_core::{Cause, Class, Ejection, Failure, Lately, Scope, Standing, State};
use tollgate_wire::Fault;

use crate::{Counts, backoff::Chance};

/// When a target is set aside, and for how long.
///
/// | failure | what is set aside | when | for how long |
/// | --- | --- | --- | --- |
/// | server error, timeout, overloaded | the model there | several in a row, or half of many | 5 seconds |
/// | connect | the deployment | several in a row, or half of many | 5 seconds |
/// | overloaded, and it says when | the model there | at once | as it says |
/// | rate limit | the model there | at once | as it says, else 1 second |
/// | permission | the model there | at once | 1 minute |
/// | auth | the deployment | at once | 1 minute |
/// | quota | the deployment | at once | as it says, else 10 minutes |
///
/// Each time doubles with each strike, up to 5 minutes (quota: 1 hour), and is shortened by chance
/// by up to a tenth; what an upstream says itself stands. A strike is forgotten with each minute
/// without another. When the time is over one call after the other probes: an answer ends it, a
/// failure is the next strike.
#[derive(Clone, Debug)]
pub struct Breaker {
    in_a_row: u32,
    share: f64,
    of_at_least: u32,
    span: Span,
    limited: Duration,
    credential: Duration,
    quota: Span,
    chance: Chance,
    is_off: bool,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    first: Duration,
    most: Duration,
}

const MINUTE: Duration = Duration::from_secs(60);

impl Breaker {
    /// Returns the breaker with its defaults.
    pub fn new() -> Self {
        Self {
            in_a_row: 5,
            share: 0.5,
            of_at_least: 20,
            span: Span { first: Duration::from_secs(5), most: 5 * MINUTE },
            limited: Duration::from_secs(1),
            credential: MINUTE,
            quota: Span { first: 10 * MINUTE, most: 60 * MINUTE },
            chance: Chance::default(),
            is_off: false,
        }
    }

    /// Returns one that sets nobody aside, whatever happens.
    pub fn never() -> Self {
        Self { is_off: true, ..Self::new() }
    }

    /// Sets how many failures in a row are too many. Default: 5. 0 is taken as 1.
    pub fn in_a_row(mut self, failures: u32) -> Self {
        self.in_a_row = failures.max(1);
        self
    }

    /// Sets which share of failures is too large, once there were `of_at_least` attempts within
    /// about half a minute. Default: a half of at least 20. More than 1 is never reached.
    pub fn share(mut self, share: f64, of_at_least: u32) -> Self {
        (self.share, self.of_at_least) = (share, of_at_least);
        self
    }

    /// Sets how long failures set aside, at first and at most. Default: 5 seconds and 5 minutes.
    pub fn span(mut self, first: Duration, most: Duration) -> Self {
        self.span = Span { first, most };
        self
    }

    /// Sets how long a rate limit sets aside at first that does not say for how long.
    /// Default: 1 second.
    pub fn limited(mut self, first: Duration) -> Self {
        self.limited = first;
        self
    }

    /// Sets how long a rejected credential sets aside at first. Default: 1 minute.
    pub fn credential(mut self, first: Duration) -> Self {
        self.credential = first;
        self
    }

    /// Sets how long an exhausted quota sets aside at first, and at most. Default: 10 minutes and
    /// 1 hour.
    pub fn quota(mut self, first: Duration, most: Duration) -> Self {
        self.quota = Span { first, most };
        self
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self::new()
    }
}

/// An attempt, as the breaker sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) standing: &'a Standing,
    pub(crate) began: Instant,
    pub(crate) is_probe: bool,
}

/// Who is to blame for a failure.
#[derive(Clone, Copy)]
enum Blame {
    /// Nobody there: it answered, and the caller must change something.
    Caller,
    /// Nobody there, and nothing is known of it.
    Nobody,
    /// It, if this happens more often.
    Often(Scope),
    /// It, at once, for this long.
    Once(Scope, Length),
}

#[derive(Clone, Copy)]
enum Length {
    /// As the upstream says.
    Told(Duration),
    /// It grows with the strikes.
    Grows(Span),
}

impl Breaker {
    /// Notes a failed attempt and sets its target aside where that is due.
    pub(crate) fn failed(
        &self,
        asked: Asked<'_>,
        (fault, failure): (&Fault, &Failure),
        now: Instant,
        counts: &Counts,
    ) {
        let standing = asked.standing;
        match self.blame(fault, failure) {
            Blame::Caller => {
                standing.recovered(asked.began);
                standing.succeeded(now);
            }
            Blame::Nobody => {}
            Blame::Often(scope) => self.failed_again(asked, scope, failure.class, now, counts),
            Blame::Once(scope, length) => {
                self.eject(standing, scope, length, failure.class, now, counts);
            }
        }
    }

    /// Notes that an answer broke after its first content.
    pub(crate) fn broke(&self, asked: Asked<'_>, class: Class, now: Instant, counts: &Counts) {
        if matches!(class, Class::ServerError | Class::Timeout | Class::Overloaded | Class::Connect)
        {
            self.failed_again(asked, Scope::Model, class, now, counts);
        }
    }

    fn blame(&self, fault: &Fault, failure: &Failure) -> Blame {
        let told = failure.retry_after.map(Length::Told);
        let grows = |first, most| Length::Grows(Span { first, most });
        if failure.cause == Cause::Translator {
            return Blame::Nobody;
        }
        match failure.class {
            Class::ServerError | Class::Timeout => Blame::Often(Scope::Model),
            Class::Connect => Blame::Often(Scope::Deployment),
            Class::Overloaded => match told {
                Some(told) => Blame::Once(Scope::Model, told),
                None => Blame::Often(Scope::Model),
            },
            // The request alone is larger than what is allowed per minute.
            Class::RateLimit if !fault.retryable => Blame::Caller,
            Class::RateLimit => Blame::Once(
                Scope::Model,
                told.unwrap_or_else(|| grows(self.limited, self.span.most)),
            ),
            Class::Permission => Blame::Once(Scope::Model, grows(self.credential, self.span.most)),
            Class::Auth => Blame::Once(Scope::Deployment, grows(self.credential, self.span.most)),
            Class::Quota => {
                Blame::Once(Scope::Deployment, told.unwrap_or(Length::Grows(self.quota)))
            }
            Class::Cancelled => Blame::Nobody,
            _ => Blame::Caller,
        }
    }

    fn failed_again(
        &self,
        asked: Asked<'_>,
        scope: Scope,
        class: Class,
        now: Instant,
        counts: &Counts,
    ) {
        let standing = asked.standing;
        // What began before it was set aside tells nothing new.
        if matches!(standing.state(now), State::Ejected(ejection) if ejection.since >= asked.began)
        {
            return;
        }
        let lately = standing.failed(scope, now);
        if asked.is_probe || self.is_too_much(lately) {
            self.eject(standing, scope, Length::Grows(self.span), class, now, counts);
        }
    }

    fn is_too_much(&self, lately: Lately) -> bool {
        lately.in_a_row >= self.in_a_row
            || (lately.all >= self.of_at_least
                && f64::from(lately.failed) >= f64::from(lately.all) * self.share)
    }

    fn eject(
        &self,
        standing: &Standing,
        scope: Scope,
        length: Length,
        reason: Class,
        now: Instant,
        counts: &Counts,
    ) {
        let length = match length {
            Length::Told(length) => length,
            Length::Grows(Span { first, most }) => {
                let grown = first.saturating_mul(1 << standing.strikes(scope, now).min(16));
                self.chance.shorten(grown.min(most), 0.1)
            }
        };
        if !length.is_zero() && !self.is_off {
            standing.eject(scope, Ejection::new(reason, now, now + length));
            counts.eject(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use tollgate_core::{Admission, Board, Protocol, Target};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    struct Bed {
        board: Board,
        breaker: Breaker,
        counts: Counts,
        now: Instant,
    }

    impl Bed {
        fn new() -> Self {
            let (breaker, counts) = (Breaker::new(), Counts::default());
            Self { board: Board::new(), breaker, counts, now: Instant::now() }
        }

        fn standing(&self, model: &str) -> std::sync::Arc<Standing> {
            let base_url = "http://localhost".parse().unwrap();
            self.board.of(&Target::new("p", Protocol::OpenAiChat, model, base_url))
        }

        fn fail(&self, failure: &Failure) {
            let standing = self.standing("m");
            let asked = Asked { standing: &standing, began: self.now, is_probe: false };
            let fault = Fault::from(failure);
            self.breaker.failed(asked, (&fault, failure), self.now, &self.counts);
        }

        fn left(&self, model: &str) -> Option<Duration> {
            match self.standing(model).state(self.now) {
                State::Ejected(ejection) => Some(ejection.until - self.now),
                _ => None,
            }
        }
    }

    #[test]
    fn failures_in_a_row_open_it_and_an_answer_between_does_not() {
        let bed = Bed::new();
        let failure = Failure::new(Class::ServerError, "x");
        (0..4).for_each(|_| bed.fail(&failure));
        bed.standing("m").succeeded(bed.now);
        (0..4).for_each(|_| bed.fail(&failure));
        assert_eq!(bed.left("m"), None);
        bed.fail(&failure);
        let left = bed.left("m").unwrap();
        assert!(left > 4 * SECOND && left <= 5 * SECOND, "{left:?}");
        assert_eq!(bed.left("another"), None, "another model there is asked");
        assert_eq!(bed.counts.ejections(Class::ServerError), 1);
    }

    #[test]
    fn half_of_many_opens_it() {
        let bed = Bed::new();
        for _ in 0..10 {
            assert_eq!(bed.left("m"), None);
            bed.standing("m").succeeded(bed.now);
            bed.fail(&Failure::new(Class::Timeout, "x"));
        }
        assert!(bed.left("m").is_some());
    }

    #[test]
    fn what_an_upstream_says_stands_and_concerns_one_model() {
        let bed = Bed::new();
        bed.fail(&Failure::new(Class::RateLimit, "x").retry_after(42 * SECOND));
        assert_eq!((bed.left("m"), bed.left("n")), (Some(42 * SECOND), None));
    }

    #[test]
    fn a_credential_a_quota_and_a_host_concern_every_model() {
        for (class, times, least) in
            [(Class::Auth, 1, 50), (Class::Quota, 1, 500), (Class::Connect, 5, 4)]
        {
            let bed = Bed::new();
            (0..times).for_each(|_| bed.fail(&Failure::new(class, "x")));
            assert!(bed.left("another").unwrap() > least * SECOND, "{class}");
        }
    }

    #[test]
    fn what_the_caller_must_change_ends_an_ejection() {
        let mut bed = Bed::new();
        bed.fail(&Failure::new(Class::RateLimit, "x"));
        bed.now += 2 * SECOND;
        bed.fail(&Failure::new(Class::InvalidRequest, "x"));
        assert_eq!(bed.standing("m").state(bed.now), State::Open);
    }

    #[test]
    fn fault_33_ejections_grow_are_capped_and_decay() {
        let mut bed = Bed::new();
        let mut before = Duration::ZERO;
        for _ in 0..8 {
            let standing = bed.standing("m");
            let (Admission::Probe(_) | Admission::Free) = standing.admit(bed.now) else {
                unreachable!("its time is over")
            };
            let asked = Asked { standing: &standing, began: bed.now, is_probe: true };
            bed.breaker.broke(asked, Class::ServerError, bed.now, &bed.counts);
            let left = bed.left("m").unwrap();
            assert!(left > before.mul_f64(1.5) || left > 260 * SECOND, "{left:?} {before:?}");
            assert!(left <= 300 * SECOND);
            bed.now += left;
            // It answers once, and fails again.
            standing.recovered(bed.now);
            before = left;
        }
        bed.now += 60 * MINUTE;
        (0..5).for_each(|_| bed.fail(&Failure::new(Class::ServerError, "x")));
        assert!(bed.left("m").unwrap() <= 5 * SECOND);
    }

    #[test]
    fn a_burst_that_fails_together_is_one_strike() {
        let bed = Bed::new();
        (0..100).for_each(|_| bed.fail(&Failure::new(Class::ServerError, "x")));
        assert!(bed.left("m").unwrap() <= 5 * SECOND);
        assert_eq!(bed.counts.ejections(Class::ServerError), 1);
    }
}
