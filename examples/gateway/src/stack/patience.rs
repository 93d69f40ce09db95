//! How long the chosen provider may be silent.

use std::{
    collections::HashMap,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::Request;
use tollgate_core::{Deadline, Target};
use tollgate_sse::Deadlines;
use tower::{Layer, Service};

use crate::state::SharedState;

/// How long upstreams may take or be silent.
#[derive(Clone, Debug, Default)]
pub struct Patience {
    /// With providers of which nothing else is said.
    pub usual: Deadlines,
    /// How long a whole call may take.
    pub total: Option<Duration>,
    /// By the provider's name: its deadlines, and how long a call may still take from when this
    /// provider is asked.
    pub providers: HashMap<Arc<str>, (Deadlines, Option<Duration>)>,
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
        let patience = &state.patience;
        let target = request.extensions().get::<Arc<Target>>();
        let own = target.and_then(|target| patience.providers.get(&target.provider));
        let (deadlines, total) = own.copied().unwrap_or((patience.usual, None));
        let extensions = request.extensions_mut();
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
