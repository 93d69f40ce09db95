//! Several pools side by side, so that HTTP/2's limit of streams is no queue.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// Pools, each taken only when those before it are full.
///
/// A pool keeps one HTTP/2 connection per host. Requests beyond the streams an upstream allows on
/// it wait for each other, so the next lane's connection is used instead. Requests to all hosts
/// count together: a lane too many costs a connection, a lane too few would cost waiting.
pub(crate) struct Lanes<T> {
    lanes: Arc<[Lane<T>]>,
    width: usize,
}

struct Lane<T> {
    pool: T,
    busy: Arc<AtomicUsize>,
}

/// A place in a lane, given back when dropped.
pub(crate) struct Place(Arc<AtomicUsize>);

impl<T> Lanes<T> {
    /// Returns `lanes` lanes, at least one, of `width` requests each.
    pub(crate) fn new(lanes: usize, width: usize, pool: impl Fn() -> T) -> Self {
        let lane = |_| Lane { pool: pool(), busy: Arc::default() };
        Self { lanes: (0..lanes.max(1)).map(lane).collect(), width: width.max(1) }
    }

    /// Takes a place in the first lane that has one, or in the emptiest.
    pub(crate) fn take(&self) -> (&T, Place) {
        let free = self.lanes.iter().find(|lane| lane.busy.load(Relaxed) < self.width);
        let emptiest = || self.lanes.iter().min_by_key(|lane| lane.busy.load(Relaxed));
        let lane = free.or_else(emptiest).expect("there is at least one lane");
        lane.busy.fetch_add(1, Relaxed);
        (&lane.pool, Place(lane.busy.clone()))
    }
}

impl<T> Clone for Lanes<T> {
    fn clone(&self) -> Self {
        Self { lanes: self.lanes.clone(), width: self.width }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_filled_before_the_next_and_places_come_back() {
        let count = AtomicUsize::new(0);
        let lanes = Lanes::new(2, 2, || count.fetch_add(1, Relaxed));
        let mut taken: Vec<_> = (0..4).map(|_| lanes.take()).collect();
        assert_eq!(taken.iter().map(|(lane, _)| **lane).collect::<Vec<_>>(), [0, 0, 1, 1]);
        drop(taken.remove(0));
        assert_eq!(*lanes.take().0, 0);
    }

    #[test]
    fn beyond_all_lanes_the_emptiest_is_taken() {
        let lanes = Lanes::new(2, 1, || ());
        let places: Vec<_> = (0..5).map(|_| lanes.take().1).collect();
        assert_eq!(lanes.lanes.iter().map(|l| l.busy.load(Relaxed)).collect::<Vec<_>>(), [3, 2]);
        drop(places);
        assert!(lanes.lanes.iter().all(|lane| lane.busy.load(Relaxed) == 0));
    }
}
