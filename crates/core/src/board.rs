use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hashbrown::HashMap;

use crate::{Class, Target};

/// How many pairs of deployment and model are told apart. What comes later shares its
/// deployment's entry: a client that invents model names does not fill the memory.
const MODELS: usize = 4096;

/// How fast a measurement is forgotten: after this time without another it counts a third.
const MEMORY: Duration = Duration::from_secs(30);

/// How far back it is counted how attempts went; twice that at most.
const WINDOW: Duration = Duration::from_secs(15);

/// How long it takes after an ejection until one strike is forgotten.
const FORGIVEN: Duration = Duration::from_secs(60);

/// The share of its usual traffic that one starts with who is well again, and the longest time until
/// it is all of it.
const FIRST_SHARE: f64 = 0.1;
const SLOW_START: Duration = Duration::from_secs(30);

/// What is known of each deployment: how busy, how fast, whether it is set aside and why.
///
/// Shared by whoever decides who could answer, whoever tries them, and whoever shows it; a clone is
/// the same board. It keeps numbers and times, no policy: how long something is set aside is said
/// by who sets it aside. Takes the present from its callers, so that paused clocks work.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use tollgate_core::{Admission, Board, Class, Ejection, Protocol, Scope, Target};
///
/// let target =
///     Target::new("openai", Protocol::OpenAiChat, "gpt-5", "http://localhost/v1".parse().unwrap());
/// let (board, now) = (Board::new(), Instant::now());
/// let standing = board.of(&target);
/// assert!(matches!(standing.admit(now), Admission::Free));
///
/// let until = now + Duration::from_secs(10);
/// standing.eject(Scope::Model, Ejection::new(Class::RateLimit, now, until));
/// assert!(matches!(standing.admit(now), Admission::Closed { .. }));
/// assert!(matches!(standing.admit(until), Admission::Probe(_)));
/// ```
#[derive(Clone, Default)]
pub struct Board(Arc<Entries>);

#[derive(Default)]
struct Entries {
    deployments: RwLock<HashMap<Arc<str>, Deployment>>,
}

struct Deployment {
    whole: Arc<Aside>,
    models: HashMap<Arc<str>, Arc<Standing>>,
}

impl Board {
    /// Returns a board that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns what is known of a target's deployment and model.
    pub fn of(&self, target: &Target) -> Arc<Standing> {
        self.known(target).unwrap_or_else(|| self.make(target))
    }

    fn known(&self, target: &Target) -> Option<Arc<Standing>> {
        let deployments = self.0.deployments.read().unwrap_or_else(PoisonError::into_inner);
        deployments.get(&target.deployment)?.models.get(&target.model).cloned()
    }

    fn make(&self, target: &Target) -> Arc<Standing> {
        let mut deployments = self.0.deployments.write().unwrap_or_else(PoisonError::into_inner);
        let full = deployments.values().map(|one| one.models.len()).sum::<usize>() >= MODELS;
        let deployment = deployments
            .entry(target.deployment.clone())
            .or_insert_with(|| Deployment { whole: Arc::default(), models: HashMap::new() });
        let model = if full { Arc::from("") } else { target.model.clone() };
        let whole = deployment.whole.clone();
        deployment
            .models
            .entry(model)
            .or_insert_with_key(|model| {
                Arc::new(Standing::new(target.deployment.clone(), model.clone(), whole))
            })
            .clone()
    }

    /// Returns everything known, by deployment and model in alphabetical order.
    pub fn standings(&self) -> Vec<Arc<Standing>> {
        let deployments = self.0.deployments.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> =
            deployments.values().flat_map(|one| one.models.values().cloned()).collect();
        all.sort_by(|a, b| (&a.deployment, &a.model).cmp(&(&b.deployment, &b.model)));
        all
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.standings()).finish()
    }
}

/// What is known of one model at one deployment.
#[derive(Debug)]
pub struct Standing {
    deployment: Arc<str>,
    model: Arc<str>,
    calls: AtomicU32,
    tokens: AtomicU64,
    first_content: Mutex<Average>,
    output_rate: Mutex<Average>,
    answer: Mutex<Average>,
    window: Mutex<Window>,
    own: Aside,
    whole: Arc<Aside>,
}

impl Standing {
    fn new(deployment: Arc<str>, model: Arc<str>, whole: Arc<Aside>) -> Self {
        Self {
            deployment,
            model,
            calls: AtomicU32::new(0),
            tokens: AtomicU64::new(0),
            first_content: Mutex::default(),
            output_rate: Mutex::default(),
            answer: Mutex::default(),
            window: Mutex::default(),
            own: Aside::default(),
            whole,
        }
    }

    /// Returns the deployment's name.
    pub fn deployment(&self) -> &Arc<str> {
        &self.deployment
    }

    /// Returns the model in the upstream's own spelling, empty for models beyond the board's size.
    pub fn model(&self) -> &Arc<str> {
        &self.model
    }

    /// Counts an attempt until the returned value is dropped. `tokens`: what it may take, input and
    /// output, as far as it can be guessed.
    pub fn begin(self: &Arc<Self>, tokens: u64) -> InFlight {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.tokens.fetch_add(tokens, Ordering::Relaxed);
        InFlight { standing: self.clone(), tokens }
    }

    /// Returns how many attempts are under way.
    pub fn in_flight(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Returns how many tokens the attempts under way may take.
    pub fn in_flight_tokens(&self) -> u64 {
        self.tokens.load(Ordering::Relaxed)
    }

    /// Notes how long the first content took. A slower one counts at once, faster ones gradually.
    pub fn saw_first_content(&self, now: Instant, took: Duration) {
        lock(&self.first_content).peak(now, took.as_secs_f64());
    }

    /// Returns how long the first content takes, if any was seen.
    pub fn first_content(&self) -> Option<Duration> {
        lock(&self.first_content).value.map(Duration::from_secs_f64)
    }

    /// Notes that `bytes` of content came in `took` after the first.
    pub fn saw_output(&self, now: Instant, bytes: u64, took: Duration) {
        if bytes > 0 && took > Duration::ZERO {
            lock(&self.output_rate).gradual(now, bytes as f64 / took.as_secs_f64());
        }
    }

    /// Returns how many bytes of content come in a second, if that was seen.
    pub fn output_rate(&self) -> Option<f64> {
        lock(&self.output_rate).value
    }

    /// Notes how long an answer took that came whole, as JSON. How long it was is not known: each
    /// moves the average gradually.
    pub fn saw_answer(&self, now: Instant, took: Duration) {
        lock(&self.answer).gradual(now, took.as_secs_f64());
    }

    /// Returns how long a whole JSON answer takes, if any was seen.
    pub fn answer(&self) -> Option<Duration> {
        lock(&self.answer).value.map(Duration::from_secs_f64)
    }

    /// Returns how long ago it was seen how fast this one answers, a stream or as JSON, if ever.
    pub fn speed_age(&self, now: Instant) -> Option<Duration> {
        let seen = [lock(&self.first_content).at, lock(&self.answer).at].into_iter().flatten();
        seen.max().map(|at| now.saturating_duration_since(at))
    }

    /// Sets this model, or the whole deployment, aside. A longer ejection in force stays.
    pub fn eject(&self, scope: Scope, ejection: Ejection) {
        self.aside(scope).put(ejection);
    }

    /// Returns how often it was set aside lately: a strike is forgotten with each minute since.
    /// What is told of while it is set aside anyway makes no further one.
    pub fn strikes(&self, scope: Scope, now: Instant) -> u32 {
        lock(&self.aside(scope).history).strikes(now)
    }

    /// Notes an attempt that failed, through the fault of the model there or of the whole
    /// deployment. Returns how it went lately, this one included.
    pub fn failed(&self, scope: Scope, now: Instant) -> Lately {
        let in_a_row = self.aside(scope).streak.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let (failed, all) = lock(&self.window).count(now, true);
        Lately { in_a_row, failed, all }
    }

    /// Notes an attempt that went well: failures are no longer in a row.
    pub fn succeeded(&self, now: Instant) {
        for streak in [&self.own.streak, &self.whole.streak] {
            // Mostly read: a write would take it away from other threads.
            if streak.load(Ordering::Relaxed) != 0 {
                streak.store(0, Ordering::Relaxed);
            }
        }
        lock(&self.window).count(now, false);
    }

    fn aside(&self, scope: Scope) -> &Aside {
        match scope {
            Scope::Model => &self.own,
            Scope::Deployment => &self.whole,
        }
    }

    /// Notes a good answer to an attempt that began at `began`: what was set aside before that is
    /// no longer. Strikes stay, so that what comes and goes is set aside for longer each time.
    pub fn recovered(&self, began: Instant) {
        self.own.clear(began);
        self.whole.clear(began);
    }

    /// Returns the share of its usual traffic it should have, from 0.1 to 1: after an ejection it
    /// grows for as long as the ejection lasted, at most 30 seconds.
    pub fn share(&self, now: Instant) -> f64 {
        self.own.share(now).min(self.whole.share(now))
    }

    /// Returns whether it may be asked now.
    pub fn admit(&self, now: Instant) -> Admission {
        match (self.whole.admit(now), self.own.admit(now)) {
            (Gate::Closed(a), Gate::Closed(b)) if a.until < b.until => Admission::Closed(b),
            (Gate::Closed(closed), _) | (_, Gate::Closed(closed)) => Admission::Closed(closed),
            (Gate::Free, Gate::Free) => Admission::Free,
            (whole, own) => Self::probe(whole.into_iter().chain(own)),
        }
    }

    fn probe(doors: impl Iterator<Item = (Arc<AtomicU32>, Ejection)>) -> Admission {
        let mut held = Probe::default();
        for (door, ejection) in doors {
            if door.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                return Admission::Closed(ejection);
            }
            held.0.push(door);
        }
        Admission::Probe(held)
    }

    /// Returns what is in force now, without asking for a probe.
    pub fn state(&self, now: Instant) -> State {
        let longest = [self.whole.current(), self.own.current()].into_iter().flatten();
        match longest.max_by_key(|ejection| ejection.until) {
            None => State::Open,
            Some(ejection) if ejection.until > now => State::Ejected(ejection),
            Some(ejection) => State::Probing(ejection),
        }
    }
}

/// An attempt under way; counted until it is dropped.
#[derive(Debug)]
pub struct InFlight {
    standing: Arc<Standing>,
    tokens: u64,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.standing.calls.fetch_sub(1, Ordering::Relaxed);
        self.standing.tokens.fetch_sub(self.tokens, Ordering::Relaxed);
    }
}

impl InFlight {
    /// Returns what is known of who is asked.
    pub fn standing(&self) -> &Arc<Standing> {
        &self.standing
    }
}

/// How attempts went lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lately {
    /// How many failed one after the other.
    pub in_a_row: u32,
    /// How many failed within about half a minute.
    pub failed: u32,
    /// How many there were within about half a minute.
    pub all: u32,
}

/// What an ejection is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// This model at this deployment.
    Model,
    /// All models of the deployment: its credential, its quota, its host.
    Deployment,
}

/// That something is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ejection {
    /// Why.
    pub reason: Class,
    /// Since when.
    pub since: Instant,
    /// Until when nobody is let through; one probe at a time from then on.
    pub until: Instant,
}

impl Ejection {
    /// Returns an ejection from `since` to `until`.
    pub fn new(reason: Class, since: Instant, until: Instant) -> Self {
        Self { reason, since, until }
    }
}

/// Whether a target may be asked.
#[derive(Debug)]
#[must_use = "a probe ends when it is dropped"]
pub enum Admission {
    /// It may.
    Free,
    /// It may, as the only one, to see whether it is well again.
    Probe(Probe),
    /// It may not: it is set aside, or somebody else is probing.
    Closed(Ejection),
}

/// The right to be the only one who asks. Given back when dropped.
#[derive(Debug, Default)]
pub struct Probe(Vec<Arc<AtomicU32>>);

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.iter().for_each(|door| door.store(0, Ordering::Release));
    }
}

/// What is in force for a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is asked.
    Open,
    /// It is set aside.
    Ejected(Ejection),
    /// Its time is over; one probe at a time decides.
    Probing(Ejection),
}

#[derive(Debug, Default)]
struct Aside {
    /// Whether `ejection` holds one: what the happy path reads.
    shut: AtomicU32,
    /// Whether `history` holds a slow start.
    slow: AtomicU32,
    /// How many attempts failed one after the other.
    streak: AtomicU32,
    history: Mutex<History>,
    probing: Arc<AtomicU32>,
}

#[derive(Debug, Default)]
struct History {
    ejection: Option<Ejection>,
    strikes: u32,
    /// When the last ejection was or will be over.
    over: Option<Instant>,
    start: Option<SlowStart>,
}

/// Since when one is well again, and how long it takes until it has its usual traffic.
#[derive(Clone, Copy, Debug)]
struct SlowStart {
    began: Instant,
    lasts: Duration,
}

impl SlowStart {
    fn after(ejection: &Ejection, began: Instant) -> Self {
        let out = ejection.until.saturating_duration_since(ejection.since);
        Self { began, lasts: out.clamp(Duration::from_millis(1), SLOW_START) }
    }

    fn share(&self, now: Instant) -> f64 {
        let gone = now.saturating_duration_since(self.began).as_secs_f64();
        (gone / self.lasts.as_secs_f64()).clamp(FIRST_SHARE, 1.0)
    }
}

impl History {
    fn strikes(&self, now: Instant) -> u32 {
        let since = self.over.map_or(Duration::ZERO, |over| now.saturating_duration_since(over));
        let forgiven = since.as_secs() / FORGIVEN.as_secs();
        self.strikes.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
    }

    fn put(&mut self, ejection: Ejection) {
        let in_force = self.ejection.filter(|current| current.until > ejection.since);
        if in_force.is_none() {
            self.strikes = self.strikes(ejection.since).saturating_add(1);
        }
        if in_force.is_none_or(|current| current.until < ejection.until) {
            self.ejection = Some(ejection);
            self.over = Some(ejection.until);
        }
    }
}

/// Counts attempts of this moment and the one before.
#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    now: (u32, u32),
    before: (u32, u32),
}

impl Window {
    /// Counts one more; returns how many failed of how many.
    fn count(&mut self, now: Instant, failed: bool) -> (u32, u32) {
        let age = self.began.map_or(Duration::MAX, |began| now.saturating_duration_since(began));
        if age >= WINDOW {
            self.before = if age < 2 * WINDOW { self.now } else { (0, 0) };
            (self.now, self.began) = ((0, 0), Some(now));
        }
        self.now.0 = self.now.0.saturating_add(u32::from(failed));
        self.now.1 = self.now.1.saturating_add(1);
        (self.now.0.saturating_add(self.before.0), self.now.1.saturating_add(self.before.1))
    }
}

enum Gate {
    Free,
    Closed(Ejection),
    Due(Arc<AtomicU32>, Ejection),
}

impl IntoIterator for Gate {
    type Item = (Arc<AtomicU32>, Ejection);
    type IntoIter = std::option::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        match self {
            Self::Due(door, ejection) => Some((door, ejection)),
            Self::Free | Self::Closed(_) => None,
        }
        .into_iter()
    }
}

impl Aside {
    fn put(&self, ejection: Ejection) {
        lock(&self.history).put(ejection);
        self.shut.store(1, Ordering::Release);
    }

    fn clear(&self, began: Instant) {
        if self.shut.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut history = lock(&self.history);
        if let Some(over) = history.ejection.take_if(|ejection| ejection.since <= began) {
            history.start = Some(SlowStart::after(&over, began));
            self.slow.store(1, Ordering::Release);
            self.shut.store(0, Ordering::Release);
        }
    }

    fn share(&self, now: Instant) -> f64 {
        if self.slow.load(Ordering::Acquire) == 0 {
            return 1.0;
        }
        let mut history = lock(&self.history);
        let share = history.start.map_or(1.0, |start| start.share(now));
        if share == 1.0 {
            history.start = None;
            self.slow.store(0, Ordering::Release);
        }
        share
    }

    fn current(&self) -> Option<Ejection> {
        (self.shut.load(Ordering::Acquire) != 0).then(|| lock(&self.history).ejection).flatten()
    }

    fn admit(&self, now: Instant) -> Gate {
        match self.current() {
            None => Gate::Free,
            Some(ejection) if ejection.until > now => Gate::Closed(ejection),
            Some(ejection) => Gate::Due(self.probing.clone(), ejection),
        }
    }
}

/// An average that forgets with time.
#[derive(Debug, Default)]
struct Average {
    value: Option<f64>,
    at: Option<Instant>,
}

impl Average {
    fn gradual(&mut self, now: Instant, value: f64) {
        let age = self.at.map_or(Duration::MAX, |at| now.saturating_duration_since(at));
        // Even measurements of one moment move it a little.
        let old = (-age.as_secs_f64() / MEMORY.as_secs_f64()).exp().min(0.95);
        self.value = Some(self.value.map_or(value, |before| before * old + value * (1.0 - old)));
        self.at = Some(now);
    }

    fn peak(&mut self, now: Instant, value: f64) {
        match self.value {
            Some(before) if value <= before => self.gradual(now, value),
            _ => (self.value, self.at) = (Some(value), Some(now)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Protocol;

    const SECOND: Duration = Duration::from_secs(1);

    fn target(deployment: &str, model: &str) -> Target {
        let base = "http://localhost/v1".parse().unwrap();
        let mut target = Target::new("p", Protocol::OpenAiChat, model, base);
        target.deployment = deployment.into();
        target
    }

    #[test]
    fn attempts_count_while_they_last() {
        let standing = Board::new().of(&target("a", "m"));
        let (one, two) = (standing.begin(10), standing.begin(5));
        assert_eq!((standing.in_flight(), standing.in_flight_tokens()), (2, 15));
        drop(one);
        assert_eq!((standing.in_flight(), standing.in_flight_tokens()), (1, 5));
        drop(two);
        assert_eq!((standing.in_flight(), standing.in_flight_tokens()), (0, 0));
    }

    #[test]
    fn a_model_is_set_aside_alone_and_a_deployment_with_all_its_models() {
        let (board, now) = (Board::new(), Instant::now());
        let [one, other] = ["m", "n"].map(|model| board.of(&target("a", model)));
        let elsewhere = board.of(&target("b", "m"));
        one.eject(Scope::Model, Ejection::new(Class::Overloaded, now, now + SECOND));
        assert!(matches!(one.admit(now), Admission::Closed(e) if e.reason == Class::Overloaded));
        assert!(matches!(other.admit(now), Admission::Free));
        one.eject(Scope::Deployment, Ejection::new(Class::Auth, now, now + 2 * SECOND));
        assert!(matches!(other.state(now), State::Ejected(e) if e.reason == Class::Auth));
        assert!(matches!(elsewhere.admit(now), Admission::Free));
        other.recovered(now);
        assert_eq!(other.state(now), State::Open);
        assert!(matches!(one.state(now), State::Ejected(e) if e.reason == Class::Overloaded));
    }

    #[test]
    fn one_probe_at_a_time() {
        let (standing, now) = (Board::new().of(&target("a", "m")), Instant::now());
        standing.eject(Scope::Model, Ejection::new(Class::ServerError, now, now + SECOND));
        let later = now + SECOND;
        let probe = standing.admit(later);
        assert!(matches!(probe, Admission::Probe(_)));
        assert!(matches!(standing.admit(later), Admission::Closed(_)));
        assert!(matches!(standing.state(later), State::Probing(_)));
        drop(probe);
        assert!(matches!(standing.admit(later), Admission::Probe(_)));
        standing.recovered(later);
        assert!(matches!(standing.admit(now), Admission::Free));
    }

    #[test]
    fn the_longer_ejection_stays_and_a_burst_is_one_strike() {
        let (standing, now) = (Board::new().of(&target("a", "m")), Instant::now());
        standing.eject(Scope::Model, Ejection::new(Class::RateLimit, now, now + 5 * SECOND));
        standing.eject(Scope::Model, Ejection::new(Class::ServerError, now, now + SECOND));
        assert!(matches!(standing.state(now), State::Ejected(e) if e.until == now + 5 * SECOND));
        assert_eq!(standing.strikes(Scope::Model, now), 1);
    }

    #[test]
    fn strikes_outlive_recovery_and_are_forgotten_with_time() {
        let (standing, now) = (Board::new().of(&target("a", "m")), Instant::now());
        for n in 0..3 {
            let at = now + n * SECOND;
            standing.eject(Scope::Model, Ejection::new(Class::Overloaded, at, at + SECOND));
            standing.recovered(at + SECOND);
        }
        let over = now + 3 * SECOND;
        assert_eq!(standing.state(over), State::Open);
        assert_eq!(standing.strikes(Scope::Model, over), 3);
        assert_eq!(standing.strikes(Scope::Model, over + FORGIVEN), 2);
        assert_eq!(standing.strikes(Scope::Model, over + 60 * FORGIVEN), 0);
    }

    #[test]
    fn an_answer_to_an_older_attempt_is_no_recovery() {
        let (standing, now) = (Board::new().of(&target("a", "m")), Instant::now());
        let later = now + SECOND;
        standing.eject(Scope::Model, Ejection::new(Class::RateLimit, later, later + SECOND));
        standing.recovered(now);
        assert!(matches!(standing.state(later), State::Ejected(_)));
        standing.recovered(later);
        assert_eq!(standing.state(later), State::Open);
    }

    #[test]
    fn fault_32_who_is_well_again_starts_slowly() {
        let (standing, now) = (Board::new().of(&target("a", "m")), Instant::now());
        assert_eq!(standing.share(now), 1.0);
        standing.eject(Scope::Model, Ejection::new(Class::RateLimit, now, now + 20 * SECOND));
        let back = now + 25 * SECOND;
        standing.recovered(back);
        let share = |seconds: u32| standing.share(back + seconds * SECOND);
        assert_eq!([0, 5, 10, 19].map(share), [0.1, 0.25, 0.5, 0.95]);
        // Set aside again before that, it starts anew.
        let again = back + 19 * SECOND;
        standing.eject(Scope::Deployment, Ejection::new(Class::Auth, again, again + 90 * SECOND));
        standing.recovered(again + SECOND);
        assert_eq!(share(20), 0.1);
        assert_eq!([35, 50].map(share), [0.5, 1.0], "half a minute at most");
        assert_eq!(share(20), 1.0, "and it is over");
    }

    #[test]
    fn failures_are_counted_in_a_row_and_within_a_while() {
        let (standing, now) = (Board::new().of(&target("a", "m")), Instant::now());
        standing.succeeded(now);
        standing.failed(Scope::Model, now);
        let lately = standing.failed(Scope::Model, now);
        assert_eq!((lately.in_a_row, lately.failed, lately.all), (2, 2, 3));
        standing.succeeded(now + WINDOW);
        let lately = standing.failed(Scope::Deployment, now + WINDOW);
        assert_eq!((lately.in_a_row, lately.failed, lately.all), (1, 3, 5));
        let lately = standing.failed(Scope::Model, now + 9 * WINDOW);
        assert_eq!((lately.in_a_row, lately.failed, lately.all), (1, 1, 1));
    }

    #[test]
    fn slower_counts_at_once_and_faster_gradually() {
        let (standing, now) = (Board::new().of(&target("a", "m")), Instant::now());
        assert_eq!(standing.first_content(), None);
        standing.saw_first_content(now, SECOND);
        standing.saw_first_content(now, 4 * SECOND);
        assert_eq!(standing.first_content(), Some(4 * SECOND));
        assert_eq!(standing.speed_age(now + SECOND), Some(SECOND));
        standing.saw_first_content(now + SECOND, SECOND);
        let soon = standing.first_content().unwrap();
        assert!(soon > 3 * SECOND && soon < 4 * SECOND, "{soon:?}");
        standing.saw_first_content(now + 100 * SECOND, SECOND);
        assert!(standing.first_content().unwrap() < 2 * SECOND);
    }

    #[test]
    fn a_long_answer_among_short_ones_moves_their_average_a_little() {
        let (standing, now) = (Board::new().of(&target("a", "m")), Instant::now());
        assert_eq!((standing.answer(), standing.speed_age(now)), (None, None));
        standing.saw_answer(now, SECOND);
        standing.saw_answer(now, 10 * SECOND);
        let usual = standing.answer().unwrap();
        assert!(usual > SECOND && usual < 2 * SECOND, "{usual:?}");
        assert_eq!(standing.first_content(), None, "which is something else");
        standing.saw_first_content(now + SECOND, SECOND);
        assert_eq!(standing.speed_age(now + 3 * SECOND), Some(2 * SECOND));
    }

    #[test]
    fn invented_models_share_an_entry_once_there_are_too_many() {
        let board = Board::new();
        (0..2 * MODELS).for_each(|n| drop(board.of(&target("a", &n.to_string()))));
        assert!(board.standings().len() <= MODELS + 1);
        assert!(board.of(&target("a", "another")).model().is_empty());
    }
}
