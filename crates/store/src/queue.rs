use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Hands items from many threads to one, which takes them in bulk. Nobody who puts waits.
///
/// What was taken counts as waiting until the taker says it is kept.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    settled: Condvar,
    capacity: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    put: u64,
    kept: u64,
    safe: u64,
    /// The taker has nothing to do.
    idle: bool,
    /// Somebody waits for what is in here.
    hurry: bool,
    closed: bool,
    stopped: bool,
}

/// What the taker finds.
#[derive(Debug)]
pub(crate) struct Taken<T> {
    pub(crate) items: VecDeque<T>,
    pub(crate) hurry: bool,
    pub(crate) closed: bool,
}

impl<T> Queue<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        let state = State {
            items: VecDeque::new(),
            put: 0,
            kept: 0,
            safe: 0,
            idle: false,
            hurry: false,
            closed: false,
            stopped: false,
        };
        Self { state: Mutex::new(state), filled: Condvar::new(), settled: Condvar::new(), capacity }
    }

    /// Gives the item back when the queue is full or closed.
    pub(crate) fn put(&self, item: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.closed || state.waiting() >= self.capacity {
            return Err(item);
        }
        state.items.push_back(item);
        state.put += 1;
        let wake = state.idle || state.waiting() * 2 == self.capacity;
        drop(state);
        if wake {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Waits for items, at most `most`, and then for more of them, at most `gather`.
    pub(crate) fn take(&self, most: Duration, gather: Duration) -> Taken<T> {
        let mut state = self.lock();
        state.idle = true;
        state = self.wait(state, most, |state| state.items.is_empty());
        state.idle = false;
        if !state.items.is_empty() {
            state = self.wait(state, gather, |state| state.waiting() * 2 < self.capacity);
        }
        let hurry = std::mem::take(&mut state.hurry);
        Taken { items: std::mem::take(&mut state.items), hurry, closed: state.closed }
    }

    fn wait<'a>(
        &self,
        mut state: MutexGuard<'a, State<T>>,
        most: Duration,
        go_on: impl Fn(&State<T>) -> bool,
    ) -> MutexGuard<'a, State<T>> {
        let end = Instant::now() + most;
        while go_on(&state) && !state.hurry && !state.closed {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.filled.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }

    /// The taker is done with so many of its items.
    pub(crate) fn kept(&self, items: usize) {
        self.lock().kept += items as u64;
    }

    /// All that was kept is on the disk.
    pub(crate) fn safe(&self) {
        let mut state = self.lock();
        state.safe = state.kept;
        drop(state);
        self.settled.notify_all();
    }

    /// Waits until all that was put before is on the disk; says whether it is.
    pub(crate) fn flush(&self, patience: Duration) -> bool {
        let mut state = self.lock();
        let upto = state.put;
        if state.safe < upto {
            state.hurry = true;
            self.filled.notify_one();
        }
        state = self.settle(state, patience, |state| state.safe < upto && !state.stopped);
        state.safe >= upto
    }

    /// Takes nothing more. What is inside is still taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    /// The taker has gone.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.stopped = true;
        drop(state);
        self.settled.notify_all();
    }

    /// Waits until the taker has gone; says whether it has.
    pub(crate) fn stopped(&self, patience: Duration) -> bool {
        self.settle(self.lock(), patience, |state| !state.stopped).stopped
    }

    /// Whether [`Queue::close`] was called.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// How many were put and are not kept yet.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().waiting()
    }

    fn settle<'a>(
        &'a self,
        state: MutexGuard<'a, State<T>>,
        patience: Duration,
        go_on: impl Fn(&State<T>) -> bool,
    ) -> MutexGuard<'a, State<T>> {
        let waited = self.settled.wait_timeout_while(state, patience, |state| go_on(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn waiting(&self) -> usize {
        usize::try_from(self.put - self.kept).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn what_is_taken_counts_until_it_is_kept() {
        let queue = Queue::new(2);
        assert!(queue.put(1).is_ok() && queue.put(2).is_ok());
        assert_eq!(queue.put(3), Err(3));
        assert_eq!(queue.take(LONG, Duration::ZERO).items, [1, 2]);
        assert_eq!(queue.put(4), Err(4), "taken, but not yet kept");
        queue.kept(1);
        assert!(queue.put(5).is_ok());
    }

    #[test]
    fn who_flushes_does_not_wait_for_the_gathering_to_end() {
        let queue = Arc::new(Queue::new(8));
        queue.put(1).unwrap();
        let flushing = std::thread::spawn({
            let queue = queue.clone();
            move || queue.flush(LONG)
        });
        let taken = queue.take(LONG, LONG);
        assert!(taken.hurry && !taken.closed);
        queue.kept(taken.items.len());
        queue.safe();
        assert!(flushing.join().unwrap());
    }

    #[test]
    fn a_flush_gives_up_when_the_taker_has_gone() {
        let queue = Queue::new(8);
        queue.put(1).unwrap();
        queue.stop();
        assert!(!queue.flush(LONG) && queue.stopped(LONG) && queue.put(2).is_err());
    }

    #[test]
    fn closing_wakes_the_taker_and_leaves_it_the_rest() {
        let queue = Queue::new(8);
        queue.put(1).unwrap();
        queue.close();
        let taken = queue.take(LONG, LONG);
        assert!(taken.closed && taken.items == [1] && queue.put(2).is_err());
    }
}
