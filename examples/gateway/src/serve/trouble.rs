//! What is said of a listener that cannot accept.

use std::{
    io,
    time::{Duration, Instant},
};

/// Says once that connections cannot be accepted, again each minute while that lasts, and once that
/// they can be. Out of file descriptors the same error comes ten times a second.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    now: Option<Lasting>,
}

/// Trouble that goes on.
#[derive(Debug)]
struct Lasting {
    since: Instant,
    last: Instant,
    said: Instant,
    failures: u64,
}

/// What there is to say.
#[derive(Debug, PartialEq, Eq)]
enum Say {
    Nothing,
    Begun,
    Lasts { failures: u64, since: Duration },
    Over { failures: u64 },
}

impl Trouble {
    /// How often it is said that it lasts.
    const AGAIN: Duration = Duration::from_secs(60);
    /// It is over when nothing failed for so long: connections come and go meanwhile.
    const QUIET: Duration = Duration::from_secs(5);

    /// Takes down that nothing can be accepted.
    pub(super) fn failed(&mut self, error: &io::Error, now: Instant) {
        match self.note_failed(now) {
            Say::Begun => tracing::warn!(%error, "cannot accept connections"),
            Say::Lasts { failures, since } => {
                let seconds = since.as_secs();
                tracing::warn!(%error, failures, seconds, "still cannot accept all connections");
            }
            _ => {}
        }
    }

    /// Takes down that a connection was accepted.
    pub(super) fn accepted(&mut self, now: Instant) {
        if let Say::Over { failures } = self.note_accepted(now) {
            tracing::info!(failures, "accepting connections again");
        }
    }

    fn note_failed(&mut self, now: Instant) -> Say {
        let Some(lasting) = &mut self.now else {
            self.now = Some(Lasting { since: now, last: now, said: now, failures: 1 });
            return Say::Begun;
        };
        lasting.failures += 1;
        lasting.last = now;
        if now.saturating_duration_since(lasting.said) < Self::AGAIN {
            return Say::Nothing;
        }
        lasting.said = now;
        let since = now.saturating_duration_since(lasting.since);
        Say::Lasts { failures: lasting.failures, since }
    }

    fn note_accepted(&mut self, now: Instant) -> Say {
        let over =
            |lasting: &mut Lasting| now.saturating_duration_since(lasting.last) >= Self::QUIET;
        match self.now.take_if(over) {
            Some(Lasting { failures, .. }) => Say::Over { failures },
            None => Say::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_58_trouble_is_told_once_each_minute_and_when_it_is_over() {
        let (mut trouble, start) = (Trouble::default(), Instant::now());
        let at = |millis: u64| start + Duration::from_millis(millis);
        assert_eq!(trouble.note_accepted(at(0)), Say::Nothing);
        assert_eq!(trouble.note_failed(at(0)), Say::Begun);
        for tenth in 1..600 {
            assert_eq!(trouble.note_failed(at(tenth * 100)), Say::Nothing, "{tenth}");
            // One that ended made room for one.
            assert_eq!(trouble.note_accepted(at(tenth * 100 + 50)), Say::Nothing);
        }
        let lasts = Say::Lasts { failures: 601, since: Duration::from_secs(60) };
        assert_eq!(trouble.note_failed(at(60_000)), lasts);
        assert_eq!(trouble.note_failed(at(60_100)), Say::Nothing);
        assert_eq!(trouble.note_accepted(at(65_099)), Say::Nothing, "not quiet for long enough");
        assert_eq!(trouble.note_accepted(at(65_100)), Say::Over { failures: 602 });
        assert_eq!(trouble.note_accepted(at(65_200)), Say::Nothing, "told once");
        assert_eq!(trouble.note_failed(at(65_300)), Say::Begun, "and begins anew");
    }
}
