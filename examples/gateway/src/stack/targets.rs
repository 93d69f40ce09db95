//! What `/status/targets` says: how the targets are that were asked so far.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tollgate_core::{Ejection, Principal, Standing, State as Standings};

use crate::state::State;

/// Every target that was asked so far and that the key may ask for.
#[derive(Debug, Serialize)]
pub(super) struct Targets {
    targets: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Line {
    /// `provider/model`, or the provider alone for what names no model.
    target: String,
    deployment: String,
    /// `open`, `ejected`, or `probing`: one request at a time decides.
    state: &'static str,
    /// The class of the failure for which it is set aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// Until when, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
    /// How long that still is.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in_ms: Option<u64>,
    /// The share of its usual traffic, where it is just well again and has less than that.
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<f64>,
    in_flight: u32,
    in_flight_tokens: u64,
    /// How long the first content takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_content_ms: Option<u64>,
    /// How long a whole JSON answer takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer_ms: Option<u64>,
}

impl Targets {
    /// Returns what `who` may see of them.
    pub(super) fn of(state: &State, who: Option<&Principal>, now: Instant) -> Self {
        let lines = state.board.standings().into_iter().filter_map(|standing| {
            let target = name(state, &standing)?;
            let allowed = who.is_none_or(|who| who.models.allows(&target));
            allowed.then(|| Line::new(target, &standing, now))
        });
        Self { targets: lines.collect() }
    }
}

/// The target's name; none where its provider is no longer there.
fn name(state: &State, standing: &Standing) -> Option<String> {
    let mut providers = state.router.providers().iter();
    let own = providers.find(|provider| {
        provider.deployments.iter().any(|own| own.name == *standing.deployment())
    })?;
    Some(match &**standing.model() {
        // What names no model, under the provider's name.
        "" => own.name.to_string(),
        model => [&*own.name, "/", model].concat(),
    })
}

impl Line {
    fn new(target: String, standing: &Standing, now: Instant) -> Self {
        let (state, ejection) = match standing.state(now) {
            Standings::Open => ("open", None),
            Standings::Ejected(ejection) => ("ejected", Some(ejection)),
            Standings::Probing(ejection) => ("probing", Some(ejection)),
        };
        let left = |ejection: Ejection| ejection.until.saturating_duration_since(now);
        Self {
            target,
            deployment: standing.deployment().to_string(),
            state,
            reason: ejection.map(|ejection| ejection.reason.as_str()),
            expires_at: ejection.map(|ejection| unix(left(ejection))),
            expires_in_ms: ejection.map(|ejection| millis(left(ejection))),
            share: Some(standing.share(now)).filter(|share| *share < 1.0).map(percent),
            in_flight: standing.in_flight(),
            in_flight_tokens: standing.in_flight_tokens(),
            first_content_ms: standing.first_content().map(millis),
            answer_ms: standing.answer().map(millis),
        }
    }
}

/// The time in so long.
fn unix(left: Duration) -> u64 {
    (SystemTime::now() + left).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// To two digits.
fn percent(share: f64) -> f64 {
    (share * 100.0).round() / 100.0
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
