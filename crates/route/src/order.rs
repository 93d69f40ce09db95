//! In which order those that can answer are asked.

use std::{borrow::Cow, time::Duration};

use tollgate_core::{Decimal, Standing};

use crate::{Order, candidate::Candidate, facts::Facts, random::Random};

/// Bytes of content that make a token of output, roughly.
const TOKEN: f64 = 4.0;

/// After so long without a first content, what is known of a target's speed is out of date.
const STALE: Duration = Duration::from_secs(60);

/// How often who was never seen is tried first, and who was not seen for long.
const TRY_UNSEEN: f64 = 0.5;
const TRY_STALE: f64 = 1.0 / 16.0;

/// A candidate on its way into a plan.
#[derive(Debug)]
pub(crate) struct Ranked<'a> {
    pub(crate) candidate: &'a Candidate,
    /// Which of the names asked for it is of: the request's own, then its wishes'.
    pub(crate) tier: usize,
    pub(crate) reason: Cow<'static, str>,
    pub(crate) score: Option<f64>,
    /// Smaller is earlier, within the tier; the second decides where the first does not.
    pub(crate) rank: (f64, f64),
}

/// What orders look at beside the candidates.
pub(crate) struct Sight<'a> {
    pub(crate) facts: &'a Facts<'a>,
    pub(crate) random: &'a Random,
    /// What the call costs at a candidate, in USD.
    pub(crate) cost: &'a dyn Fn(&Candidate) -> Option<f64>,
}

/// Ranks the candidates of one tier.
pub(crate) fn rank(order: Order, tier: &mut [Ranked<'_>], sight: &Sight<'_>) {
    match order {
        Order::Weighted => by_weight(tier, sight),
        Order::Cost => by_cost(tier, sight),
        Order::Latency => by_latency(tier, sight),
        Order::Load => by_load(tier, sight, "the less busy of two"),
        Order::Balanced => balanced(tier, sight),
        Order::Priority => by_place(tier, sight),
    }
}

/// As listed; the deployments of one place by load.
fn by_place(tier: &mut [Ranked<'_>], sight: &Sight<'_>) {
    for place in tier.chunk_by_mut(|a, b| a.candidate.place == b.candidate.place) {
        if place.len() > 1 {
            by_load(place, sight, "as listed, the less busy of its deployments");
        }
        for (i, ranked) in by_rank(place).into_iter().enumerate() {
            let at = ranked.candidate.place as f64;
            ranked.rank = (at, i as f64);
        }
    }
}

fn by_rank<'r, 'a>(ranked: &'r mut [Ranked<'a>]) -> Vec<&'r mut Ranked<'a>> {
    let mut sorted: Vec<_> = ranked.iter_mut().collect();
    sorted.sort_by(|a, b| compare(a.rank, b.rank));
    sorted
}

pub(crate) fn compare(a: (f64, f64), b: (f64, f64)) -> std::cmp::Ordering {
    a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
}

/// Each draws a time that is the shorter the larger its weight; the first is first in proportion to
/// its weight, and so on among the rest.
fn by_weight(tier: &mut [Ranked<'_>], sight: &Sight<'_>) {
    let now = sight.facts.ask.now();
    for ranked in tier {
        let share = ranked.candidate.standing.share(now);
        let weight = ranked.candidate.weight * share;
        let drawn = -(1.0 - sight.random.unit()).ln();
        let time = if weight > 0.0 { drawn / weight } else { f64::INFINITY };
        ranked.rank = (time, drawn);
        ranked.score = Some(time);
        ranked.reason = match share < 1.0 {
            true => "drawn by weight, less of it as it is just well again".into(),
            false => "drawn by weight".into(),
        };
    }
}

/// The less busy of two taken by chance, then the others, the less busy first. Who is just well again
/// is taken less often.
fn by_load(tier: &mut [Ranked<'_>], sight: &Sight<'_>, reason: &'static str) {
    let (random, now) = (sight.random, sight.facts.ask.now());
    for ranked in tier.iter_mut() {
        let tokens = ranked.candidate.standing.in_flight_tokens() as f64;
        ranked.score = Some(tokens);
        ranked.rank = (1.0 + load(ranked.candidate), random.unit());
        ranked.reason = reason.into();
    }
    let able = |at: &usize| {
        let candidate = tier[*at].candidate;
        let share = candidate.standing.share(now);
        candidate.weight > 0.0 && (share == 1.0 || random.unit() < share)
    };
    let able: Vec<usize> = (0..tier.len()).filter(able).collect();
    let Some(first) = two(&able, random)
        .into_iter()
        .min_by(|a, b| load(tier[*a].candidate).total_cmp(&load(tier[*b].candidate)))
    else {
        return;
    };
    tier[first].rank = (0.0, 0.0);
}

/// Tokens under way for each unit of weight.
fn load(candidate: &Candidate) -> f64 {
    let tokens = candidate.standing.in_flight_tokens() as f64;
    if candidate.weight > 0.0 { tokens / candidate.weight } else { f64::INFINITY }
}

/// Two different ones, if there are two.
fn two(of: &[usize], random: &Random) -> Vec<usize> {
    match of.len() {
        0 | 1 => of.to_vec(),
        len => {
            let first = random.below(len);
            let second = (first + 1 + random.below(len - 1)) % len;
            vec![of[first], of[second]]
        }
    }
}

/// The cheapest first; what nobody knows the price of last, never first.
fn by_cost(tier: &mut [Ranked<'_>], sight: &Sight<'_>) {
    for ranked in tier {
        let cost = (sight.cost)(ranked.candidate);
        ranked.score = cost;
        ranked.rank = (cost.unwrap_or(f64::INFINITY), ranked.candidate.place as f64);
        ranked.reason = match cost {
            Some(_) => "by what this request costs there".into(),
            None => "its price is not known".into(),
        };
    }
}

/// The one that likely is done first; now and then one whose speed is not known.
fn by_latency(tier: &mut [Ranked<'_>], sight: &Sight<'_>) {
    for ranked in tier.iter_mut() {
        let time = time(ranked.candidate, sight.facts);
        ranked.score = time;
        ranked.rank = (time.unwrap_or(f64::INFINITY), sight.random.unit());
        ranked.reason = match time {
            Some(_) => "by how fast it answered lately".into(),
            None => "its speed is not known yet".into(),
        };
    }
    if tier.iter().any(|ranked| ranked.score.is_some()) {
        explore(tier, sight);
    }
}

/// How long the answer likely takes, by those of its kind, streams or JSON; where there were none, by
/// the others.
fn time(candidate: &Candidate, facts: &Facts<'_>) -> Option<f64> {
    let streamed = || streamed(candidate, facts);
    let whole = || Some(candidate.standing.answer()?.as_secs_f64() * busy(candidate));
    match facts.ask.call.stream {
        true => streamed().or_else(whole),
        false => whole().or_else(streamed),
    }
}

/// How long a stream likely takes: until its first content, and for the rest of it.
fn streamed(candidate: &Candidate, facts: &Facts<'_>) -> Option<f64> {
    let standing = &candidate.standing;
    let first = standing.first_content()?.as_secs_f64();
    let bytes = facts.output(&candidate.target) as f64 * TOKEN;
    let rest = standing.output_rate().map_or(0.0, |rate| bytes / rate.max(1.0));
    Some(first * busy(candidate) + rest)
}

/// Who is busy takes so many times longer: a burst does not all go to the fastest.
fn busy(candidate: &Candidate) -> f64 {
    f64::from(candidate.standing.in_flight() + 1)
}

/// Puts one that is idle and not seen lately first, now and then. Where nobody was ever seen there
/// is nothing to compare it with.
fn explore(tier: &mut [Ranked<'_>], sight: &Sight<'_>) {
    let now = sight.facts.ask.now();
    for ranked in tier {
        let chance = chance(&ranked.candidate.standing, now);
        if chance > 0.0 && sight.random.unit() < chance {
            ranked.rank.0 = -1.0;
            ranked.reason = "to learn how fast it is".into();
        }
    }
}

fn chance(standing: &Standing, now: std::time::Instant) -> f64 {
    match standing.speed_age(now) {
        _ if standing.in_flight() > 0 => 0.0,
        None => TRY_UNSEEN,
        Some(age) if age > STALE => TRY_STALE,
        Some(_) => 0.0,
    }
}

/// The product of how much dearer, slower and busier each is than the best of them. What is not
/// known counts as the mean of what is.
fn balanced(tier: &mut [Ranked<'_>], sight: &Sight<'_>) {
    let costs: Vec<_> = tier.iter().map(|ranked| (sight.cost)(ranked.candidate)).collect();
    let times: Vec<_> = tier.iter().map(|ranked| time(ranked.candidate, sight.facts)).collect();
    let seen = times.iter().any(Option::is_some);
    let (costs, times) = (relative(&costs), relative(&times));
    let loads = tier.iter().map(|ranked| ranked.candidate.standing.in_flight_tokens() as f64);
    let loads: Vec<f64> = loads.collect();
    let all = loads.iter().sum::<f64>().max(1.0);
    for (i, ranked) in tier.iter_mut().enumerate() {
        let score = costs[i] * times[i] * (1.0 + loads[i] / all);
        ranked.score = Some(score);
        ranked.rank = (score, sight.random.unit());
        ranked.reason = "by cost, speed and load together".into();
    }
    if seen {
        explore(tier, sight);
    }
}

/// Each as a multiple of the smallest that is not 0.
fn relative(all: &[Option<f64>]) -> Vec<f64> {
    let known = || all.iter().flatten().copied();
    let least = known().filter(|one| *one > 0.0).fold(f64::INFINITY, f64::min);
    if !least.is_finite() {
        return vec![1.0; all.len()];
    }
    let mean = known().sum::<f64>() / known().count() as f64;
    all.iter().map(|one| (one.unwrap_or(mean) / least).max(0.1)).collect()
}

/// An amount as what can be compared with chance and time.
pub(crate) fn float(amount: Decimal) -> f64 {
    f64::try_from(amount).unwrap_or(f64::INFINITY)
}
