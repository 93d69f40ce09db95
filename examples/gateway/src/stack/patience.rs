//! How long the chosen provider may be silent.

use std::{
    collections::HashMap,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::Request;
use tollgate_core::{Attempt, Call, Deadline, Target};
use tollgate_sse::Deadlines;
use tower::{Layer, Service};

use crate::state::SharedState;

/// How long upstreams may take or be silent.
#[derive(Clone, Debug)]
pub struct Patience {
    /// With providers of which nothing else is said.
    pub usual: Deadlines,
    /// Until the first content of a stream where somebody else could be asked, with providers of which
    /// nothing else is said. Default: 2 minutes; `None`: as usual. A JSON answer is content when it
    /// is whole: who thinks long is not cut short for it.
    pub with_others: Option<Duration>,
    /// How long a whole call may take.
    pub total: Option<Duration>,
    /// By the provider's name: its deadlines, and how long a call may still take from when this
    /// provider is asked.
    pub providers: HashMap<Arc<str>, (Deadlines, Option<Duration>)>,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            usual: Deadlines::default(),
            with_others: Some(Duration::from_secs(120)),
            total: None,
            providers: HashMap::new(),
        }
    }
}

impl Patience {
    /// How long `target` may be silent in an attempt.
    fn with(
        &self,
        target: Option<&Target>,
        attempt: Option<&Attempt>,
        call: Option<&Call>,
    ) -> (Deadlines, Option<Duration>) {
        let own = target.and_then(|target| self.providers.get(&target.provider));
        let (mut deadlines, total) = own.copied().unwrap_or((self.usual, None));
        let others =
            attempt.is_some_and(Attempt::is_followed) && call.is_none_or(|call| call.stream);
        if let Some(sooner) = self.with_others
            && others
            && deadlines.first_content == self.usual.first_content
        {
            deadlines.first_content = deadlines.first_content.min(sooner);
        }
        (deadlines, total)
    }
}

/// Layer of [`Patient`].
#[derive(Clone, Debug)]
pub(super) struct PatienceLayer {
    state: SharedState,
}

impl PatienceLayer {
    /// Returns the layer; `state` says how patient we are with whom.
    pub(super) fn new(state: SharedState) -> Self {
        Self { state }
    }
}

impl<S> Layer<S> for PatienceLayer {
    type Service = Patient<S>;

    fn layer(&self, inner: S) -> Patient<S> {
        Patient { inner, state: self.state.clone() }
    }
}

/// Middleware that writes down the [`Deadlines`] of the request's target, where they differ from
/// the defaults of the layer that keeps them. A provider's total only shortens the call's.
#[derive(Clone, Debug)]
pub(super) struct Patient<S> {
    inner: S,
    state: SharedState,
}

impl<S> Patient<S> {
    fn write<B>(&self, request: &mut Request<B>) {
        let state = self.state.load();
        let extensions = request.extensions_mut();
        let target = extensions.get::<Arc<Target>>().map(|target| &**target);
        let (attempt, call) = (extensions.get::<Attempt>(), extensions.get::<Call>());
        let (deadlines, total) = state.patience.with(target, attempt, call);
        // An extension is an allocation: none for what the layer does anyway.
        if deadlines != Deadlines::default() {
            extensions.insert(deadlines);
        }
        if let Some(total) = total {
            let own = Instant::now() + total;
            let call = extensions.get::<Deadline>().map_or(own, |call| call.0.min(own));
            extensions.insert(Deadline(call));
        }
    }
}

impl<S, B> Service<Request<B>> for Patient<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        self.write(&mut request);
        self.inner.call(request)
    }
}
