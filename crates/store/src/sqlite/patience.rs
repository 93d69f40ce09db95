use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use crate::counters::Counts;

/// Nobody waits for longer, and a clock can count it.
const EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Holds the end of an answer until its charge is safe, or given up: dropped, it lets it go.
#[derive(Debug)]
pub(super) struct Hold(Arc<Gate>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// What one answer waits behind. Opened once.
#[derive(Debug)]
struct Gate(Mutex<Option<oneshot::Sender<()>>>);

impl Gate {
    /// Returns whether this let somebody go who still waited.
    fn open(&self) -> bool {
        let sender = self.lock().take();
        sender.is_some_and(|sender| sender.send(()).is_ok())
    }

    fn is_open(&self) -> bool {
        self.lock().is_none()
    }

    fn lock(&self) -> MutexGuard<'_, Option<oneshot::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets answers go that have waited for long enough, whatever the writer is stuck in.
///
/// All wait equally long: who came first is released first.
#[derive(Debug)]
pub(super) struct Patience {
    most: Duration,
    counts: Arc<Counts>,
    state: Mutex<State>,
    came: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<(Instant, Arc<Gate>)>,
    /// The thread has no end of a wait to sleep until.
    idle: bool,
    /// Nobody comes any more.
    closed: bool,
}

impl State {
    /// Forgets those at the front who do not wait any more.
    fn prune(&mut self) {
        while self.waiting.front().is_some_and(|(_, gate)| gate.is_open()) {
            self.waiting.pop_front();
        }
    }
}

impl Patience {
    pub(super) fn new(most: Duration, counts: Arc<Counts>) -> Self {
        Self { most: most.min(EVER), counts, state: Mutex::default(), came: Condvar::new() }
    }

    /// Starts the thread that watches. It ends when nobody waits after [`Patience::close`].
    pub(super) fn watch(self: &Arc<Self>) -> io::Result<()> {
        let patience = self.clone();
        thread::Builder::new().name("tollgate-patience".into()).spawn(move || patience.run())?;
        Ok(())
    }

    /// Returns what holds an answer, and what the answer waits for.
    pub(super) fn hold(&self) -> (Hold, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        let gate = Arc::new(Gate(Mutex::new(Some(sender))));
        let mut state = self.lock();
        state.prune();
        state.waiting.push_back((Instant::now() + self.most, gate.clone()));
        let wake = std::mem::take(&mut state.idle);
        drop(state);
        if wake {
            self.came.notify_one();
        }
        (Hold(gate), receiver)
    }

    /// Nobody comes any more. Who waits is still released in time.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.came.notify_one();
    }

    fn run(&self) {
        let mut state = self.lock();
        loop {
            self.release(&mut state);
            let next = state.waiting.front().map(|(end, _)| *end);
            if next.is_none() && state.closed {
                return;
            }
            state.idle = next.is_none();
            state = match next {
                None => self.came.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(end) => {
                    let left = end.saturating_duration_since(Instant::now());
                    let waited = self.came.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Lets those go whose time is over.
    fn release(&self, state: &mut State) {
        let now = Instant::now();
        let mut released = 0;
        state.prune();
        while state.waiting.front().is_some_and(|(end, _)| *end <= now) {
            let late = state.waiting.pop_front();
            released += usize::from(late.is_some_and(|(_, gate)| gate.open()));
        }
        if released > 0 {
            self.counts.release(released);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
