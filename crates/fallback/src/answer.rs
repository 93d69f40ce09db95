use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, header::RETRY_AFTER};
use tollgate_core::{Cause, Class, Ejection, Failure, Origin, Refusal, Sent};
use tollgate_sse::Failed;
use tollgate_wire::{Caller, Fault};

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// What a failed attempt left.
#[derive(Debug)]
pub(crate) enum Bad<E> {
    Answer(Box<Failed>),
    Error(E),
}

impl<E> Bad<E> {
    /// How much it helps the caller to be told of this, rather than of another: what the caller can
    /// change, then what passes by itself, then what only the gateway's owner can change.
    fn helps(&self) -> u8 {
        let Self::Answer(failed) = self else { return 0 };
        if failed.failure.cause == Cause::Translator {
            return 1;
        }
        match failed.failure.class {
            Class::Auth | Class::Permission => 2,
            Class::Quota => 3,
            Class::NotFound => 4,
            Class::Connect => 5,
            Class::ServerError | Class::Timeout => 6,
            Class::Overloaded => 7,
            Class::RateLimit => 8,
            _ => 9,
        }
    }
}

/// The most helpful failure so far; of equals the last.
#[derive(Debug)]
pub(crate) struct Best<E>(Option<Bad<E>>);

impl<E> Default for Best<E> {
    fn default() -> Self {
        Self(None)
    }
}

impl<E> Best<E> {
    pub(crate) fn offer(&mut self, bad: Bad<E>) {
        if self.0.as_ref().is_none_or(|best| best.helps() <= bad.helps()) {
            self.0 = Some(bad);
        }
    }

    /// Decides for this one, whatever there was.
    pub(crate) fn settle(&mut self, bad: Bad<E>) {
        self.0 = Some(bad);
    }

    pub(crate) fn take(&mut self) -> Option<Bad<E>> {
        self.0.take()
    }
}

/// Returns the error as the caller is to see it. `soonest`: when the first of those at their limits
/// may be asked again.
pub(crate) fn refused(
    mut failed: Failed,
    caller: Caller,
    soonest: Option<Duration>,
) -> Response<Bytes> {
    let concerns = failed.failure.class == Class::RateLimit && failed.refusal().is_none();
    if let Some(soonest) = soonest.filter(|soonest| concerns && !says(&failed, *soonest)) {
        failed.fault.retry_after = Some(soonest);
        failed.failure.retry_after = Some(soonest);
        let (seconds, millis) = header_values(soonest);
        failed.head.headers.insert(RETRY_AFTER, seconds);
        failed.head.headers.insert(RETRY_AFTER_MS, millis);
    }
    failed.into_response(caller)
}

/// Whether the upstream's own headers, which then stay as they are, ask for as long a pause: for
/// `soonest`, of which the call's own time is gone already, or for less.
fn says(failed: &Failed, soonest: Duration) -> bool {
    let headers = &failed.head.headers;
    let own = failed.failure.retry_after;
    let has_own = headers.contains_key(RETRY_AFTER) || headers.contains_key(RETRY_AFTER_MS);
    has_own && own.is_some_and(|own| own < soonest + Duration::from_secs(1))
}

/// Rounded up, so that who comes back then is not told a second time.
fn header_values(after: Duration) -> (HeaderValue, HeaderValue) {
    let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    let millis = u64::try_from(after.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    (seconds.max(1).into(), millis.into())
}

/// Refuses a call for which nobody may be asked, for the reason that passes first.
pub(crate) fn set_aside(
    reasons: impl Iterator<Item = Ejection>,
    caller: Caller,
    now: Instant,
) -> Response<Bytes> {
    let Some(ejection) = reasons.min_by_key(|ejection| (weight(ejection.reason), ejection.until))
    else {
        return caller.refuse(unavailable());
    };
    // Rounded up, so that who comes back then is not told a second time.
    let after = ejection.until.saturating_duration_since(now).max(Duration::from_secs(1));
    match ejection.reason {
        Class::RateLimit => {
            let message = "every upstream for this model is at its limit";
            caller.refuse(Refusal::new(Class::RateLimit, message).retry_after(after))
        }
        class @ (Class::Auth | Class::Permission | Class::Quota) => {
            let failure = Failure::new(class, "every upstream for this model is set aside");
            unasked(failure.cause(Cause::Credential).sent(Sent::No).retry_after(after), caller)
        }
        _ => caller.refuse(unavailable().retry_after(after)),
    }
}

/// Says what became of our credential at earlier calls. Nobody was asked in this one, so it is the
/// gateway that says so, which a gate further out must know too.
fn unasked(failure: Failure, caller: Caller) -> Response<Bytes> {
    let mut fault = Fault::from(&failure).hiding_ours();
    fault.origin = Origin::Gateway;
    let mut response = caller.answer(&fault);
    response.extensions_mut().insert(failure);
    response.extensions_mut().insert(fault);
    response
}

fn unavailable() -> Refusal {
    Refusal::new(Class::Overloaded, "every upstream for this model is failing")
        .code("upstreams_unavailable")
}

/// What passes by itself is told first.
fn weight(reason: Class) -> u8 {
    match reason {
        Class::RateLimit => 0,
        Class::Quota => 2,
        Class::Auth | Class::Permission => 3,
        _ => 1,
    }
}
