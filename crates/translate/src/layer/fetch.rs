use std::{
    collections::BTreeMap,
    fmt,
    future::{Future, Ready},
    pin::Pin,
    task::{Context, Poll},
};

use crate::{Fetched, Wanted};

/// Fetches media that an upstream cannot fetch itself. Given to
/// [`TranslateLayer::fetch`](super::TranslateLayer::fetch).
///
/// Addresses come from the caller: whoever fetches decides which may be asked, and guards what only
/// this machine can reach. Closures `Fn(Wanted) -> impl Future<Output = Result<Fetched, FetchFailed>>`
/// are fetchers.
pub trait MediaFetch {
    /// What is awaited. Dropping it ends the fetch.
    type Fetching: Future<Output = Result<Fetched, FetchFailed>>;

    /// Begins to fetch.
    fn fetch(&self, wanted: Wanted) -> Self::Fetching;
}

impl<F, T> MediaFetch for F
where
    F: Fn(Wanted) -> T,
    T: Future<Output = Result<Fetched, FetchFailed>>,
{
    type Fetching = T;

    fn fetch(&self, wanted: Wanted) -> T {
        self(wanted)
    }
}

/// Nothing is fetched: what an upstream cannot fetch itself is refused.
#[derive(Clone, Copy, Debug)]
pub enum NoFetch {}

impl MediaFetch for NoFetch {
    type Fetching = Ready<Result<Fetched, FetchFailed>>;

    fn fetch(&self, _: Wanted) -> Self::Fetching {
        match *self {}
    }
}

/// Why media were not fetched. The caller reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchFailed(String);

impl FetchFailed {
    /// Returns the reason, the end of a sentence that begins with where the media stand. It must not
    /// tell what the network looks like from here.
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for FetchFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FetchFailed {}

/// How many different addresses one request may name.
pub(super) const MOST: usize = 32;

/// What was fetched, by address.
pub(super) type Found = BTreeMap<String, Result<Fetched, FetchFailed>>;

/// All fetches of one request, at the same time.
pub(super) struct Fetches<F> {
    pending: Vec<(String, Pin<Box<F>>)>,
    found: Found,
}

impl<F> Fetches<F> {
    pub(super) fn new<M: MediaFetch<Fetching = F>>(fetch: &M, wanted: Vec<Wanted>) -> Self {
        let begin = |wanted: Wanted| (wanted.url.clone(), Box::pin(fetch.fetch(wanted)));
        Self { pending: wanted.into_iter().map(begin).collect(), found: Found::new() }
    }
}

impl<F: Future<Output = Result<Fetched, FetchFailed>>> Future for Fetches<F> {
    type Output = Found;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Found> {
        let this = self.get_mut();
        let found = &mut this.found;
        this.pending.retain_mut(|(url, fetching)| match fetching.as_mut().poll(cx) {
            Poll::Pending => true,
            Poll::Ready(result) => {
                found.insert(std::mem::take(url), result);
                false
            }
        });
        match this.pending.is_empty() {
            true => Poll::Ready(std::mem::take(found)),
            false => Poll::Pending,
        }
    }
}

impl<F> fmt::Debug for Fetches<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetches").field("pending", &self.pending.len()).finish_non_exhaustive()
    }
}
