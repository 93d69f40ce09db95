//! How many connections there are, and from whom.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::sync::Notify;

/// Connections that are being told that there are too many. More are closed without a word.
const LINGERING: usize = 256;

/// Counts connections and says who may have one.
#[derive(Debug)]
pub(super) struct Admission {
    limit: usize,
    per_peer: Option<usize>,
    open: AtomicUsize,
    peers: Mutex<HashMap<IpAddr, usize>>,
    lingering: AtomicUsize,
    left: Notify,
}

/// Whether a connection may be served.
#[derive(Debug)]
pub(super) enum Admitted {
    Yes(Place),
    /// The place in which to say so, if there is one.
    No(Option<Lingering>),
}

impl Admission {
    pub(super) fn new(limit: usize, per_peer: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            limit,
            per_peer,
            open: AtomicUsize::new(0),
            peers: Mutex::default(),
            lingering: AtomicUsize::new(0),
            left: Notify::new(),
        })
    }

    pub(super) fn admit(this: &Arc<Self>, peer: IpAddr) -> Admitted {
        // Counted before it is judged: whatever happens next, the drop takes it back.
        let mut place = Place { admission: this.clone(), peer: None };
        if this.open.fetch_add(1, SeqCst) >= this.limit || !this.enter(peer, &mut place) {
            drop(place);
            return Admitted::No(this.linger());
        }
        Admitted::Yes(place)
    }

    fn enter(&self, peer: IpAddr, place: &mut Place) -> bool {
        let Some(limit) = self.per_peer else { return true };
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let open = peers.entry(peer).or_default();
        if *open >= limit {
            return false;
        }
        *open += 1;
        place.peer = Some(peer);
        true
    }

    fn leave(&self, peer: IpAddr) {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = peers.get_mut(&peer) {
            *open -= 1;
            if *open == 0 {
                peers.remove(&peer);
            }
        }
    }

    fn linger(self: &Arc<Self>) -> Option<Lingering> {
        let lingering = Lingering(self.clone());
        (self.lingering.fetch_add(1, SeqCst) < LINGERING).then_some(lingering)
    }

    /// How many connections are open.
    pub(super) fn open(&self) -> usize {
        self.open.load(SeqCst)
    }

    /// Waits until there are none.
    pub(super) async fn all_left(&self) {
        while self.open() > 0 {
            self.left.notified().await;
        }
    }
}

/// A connection's place, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    admission: Arc<Admission>,
    peer: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(peer) = self.peer {
            self.admission.leave(peer);
        }
        if self.admission.open.fetch_sub(1, SeqCst) == 1 {
            self.admission.left.notify_one();
        }
    }
}

/// The place of a connection that is refused.
#[derive(Debug)]
pub(super) struct Lingering(Arc<Admission>);

impl Drop for Lingering {
    fn drop(&mut self) {
        self.0.lingering.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yes(admission: &Arc<Admission>, peer: [u8; 4]) -> Option<Place> {
        match Admission::admit(admission, peer.into()) {
            Admitted::Yes(place) => Some(place),
            Admitted::No(_) => None,
        }
    }

    #[tokio::test]
    async fn places_are_counted_and_given_back() {
        let admission = Admission::new(2, Some(1));
        let first = yes(&admission, [1; 4]).unwrap();
        assert!(yes(&admission, [1; 4]).is_none(), "one for each peer");
        let second = yes(&admission, [2; 4]).unwrap();
        assert!(yes(&admission, [3; 4]).is_none(), "two in all");
        drop(first);
        let third = yes(&admission, [1; 4]).unwrap();
        assert_eq!(admission.open(), 2);
        drop((second, third));
        admission.all_left().await;
        assert!(admission.peers.lock().unwrap().is_empty(), "nothing is kept of who left");
        assert_eq!(admission.lingering.load(SeqCst), 0);
    }
}
