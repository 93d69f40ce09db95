//! Something said once to many who wait for it while they do other things.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Waker},
};

use futures_util::task::AtomicWaker;
use slab::Slab;

/// Waiters are spread so that streams that begin and end together do not meet at one lock.
const SHARDS: usize = 16;

type Wakers = Slab<Arc<AtomicWaker>>;

#[derive(Default)]
struct Shared {
    given: AtomicBool,
    next: AtomicUsize,
    shards: [Mutex<Wakers>; SHARDS],
}

/// A signal that is given once and stays given. Clones are the same signal.
///
/// A waiter takes a lock when it first has to wait and when it is dropped; in between, asking
/// again on behalf of the same task reads one flag.
#[derive(Clone, Default)]
pub struct Signal(Arc<Shared>);

impl Signal {
    /// Returns a signal that was not given yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the signal: wakes everyone who waits for it.
    pub fn give(&self) {
        self.0.given.store(true, Ordering::SeqCst);
        for shard in &self.0.shards {
            lock(shard).iter().for_each(|(_, waker)| waker.wake());
        }
    }

    /// Whether it was given.
    pub fn is_given(&self) -> bool {
        self.0.given.load(Ordering::SeqCst)
    }

    /// Returns what waits for the signal on behalf of one task.
    pub fn waiter(&self) -> Waiter {
        Waiter { signal: self.clone(), seat: None }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signal").field(&self.is_given()).finish()
    }
}

/// Waits for a [`Signal`] on behalf of one task.
#[derive(Debug)]
pub struct Waiter {
    signal: Signal,
    seat: Option<Seat>,
}

/// Where a waiter's waker is found.
#[derive(Debug)]
struct Seat {
    shard: usize,
    key: usize,
    waker: Arc<AtomicWaker>,
    /// Whom it wakes.
    task: Option<Waker>,
}

impl Seat {
    /// The signal is given once and then known: who waits already need not say so again.
    fn wait(&mut self, waker: &Waker) {
        if !self.task.as_ref().is_some_and(|task| task.will_wake(waker)) {
            self.waker.register(waker);
            self.task = Some(waker.clone());
        }
    }
}

impl Waiter {
    /// Whether the signal was given, without waiting for it.
    pub fn is_given(&self) -> bool {
        self.signal.is_given()
    }

    /// Whether the signal was given; if not, the task is woken when it is.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let seat = self.seat.get_or_insert_with(|| self.signal.0.seat());
        seat.wait(cx.waker());
        // After the registration: whoever gives the signal sees the waker, or we see the signal.
        self.signal.is_given()
    }
}

impl Shared {
    fn seat(&self) -> Seat {
        let shard = self.next.fetch_add(1, Ordering::Relaxed) % SHARDS;
        let waker = Arc::new(AtomicWaker::new());
        let key = lock(&self.shards[shard]).insert(waker.clone());
        Seat { shard, key, waker, task: None }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if let Some(seat) = self.seat.take() {
            lock(&self.signal.0.shards[seat.shard]).remove(seat.key);
        }
    }
}

fn lock(shard: &Mutex<Wakers>) -> MutexGuard<'_, Wakers> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn everyone_who_waits_hears_it() {
        let signal = Signal::new();
        let waiting: Vec<_> = (0..40)
            .map(|_| {
                let mut waiter = signal.waiter();
                tokio::spawn(poll_fn(move |cx| match waiter.poll(cx) {
                    true => std::task::Poll::Ready(()),
                    false => std::task::Poll::Pending,
                }))
            })
            .collect();
        tokio::task::yield_now().await;
        signal.give();
        for task in waiting {
            task.await.unwrap();
        }
        assert!(signal.waiter().is_given(), "and whoever comes later");
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn the_task_that_asked_last_is_woken() {
        let signal = Signal::new();
        let mut waiter = signal.waiter();
        let (first, last) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
        for task in [&first, &first, &last, &last] {
            assert!(!waiter.poll(&mut Context::from_waker(&task.clone().into())));
        }
        signal.give();
        let woken = |task: &Woken| task.0.load(Ordering::SeqCst);
        assert_eq!((woken(&first), woken(&last)), (0, 1));
    }

    #[test]
    fn nothing_is_left_of_who_stopped_waiting() {
        let signal = Signal::new();
        let mut waiter = signal.waiter();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(!waiter.poll(&mut cx));
        drop(waiter);
        assert!(signal.0.shards.iter().all(|shard| lock(shard).is_empty()));
    }
}
