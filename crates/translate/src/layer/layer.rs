use std::{fmt, sync::Arc};

use tollgate_core::{Caps, Protocol};
use tollgate_wire::Inspect;
use tower_layer::Layer;

use super::{MediaFetch, NoFetch, Translate};
use crate::Policy;

/// Layer of [`Translate`]. See the [module](super).
#[derive(Clone)]
pub struct TranslateLayer<M = NoFetch> {
    pub(super) settings: Settings,
    pub(super) fetch: Option<M>,
}

/// What is fixed for a layer's life.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) to: Option<Protocol>,
    pub(super) caps: Arc<Caps>,
    pub(super) policy: Policy,
    pub(super) inspect: Inspect,
    pub(super) answer: usize,
}

impl TranslateLayer {
    /// Returns a layer for requests that say their [`Target`](tollgate_core::Target): its protocol
    /// and its model's abilities decide. A request without one passes untouched.
    pub fn new() -> Self {
        let settings = Settings {
            to: None,
            caps: Arc::default(),
            policy: Policy::default(),
            inspect: Inspect::new(),
            answer: 32 << 20,
        };
        Self { settings, fetch: None }
    }

    /// Returns a layer in front of one upstream of this protocol. A request's own
    /// [`Target`](tollgate_core::Target) goes before it.
    pub fn to(protocol: Protocol) -> Self {
        let mut layer = Self::new();
        layer.settings.to = Some(protocol);
        layer
    }
}

impl<M> TranslateLayer<M> {
    /// Sets what the model takes, for requests without a target. Default: what is assumed of an
    /// unknown one.
    pub fn caps(mut self, caps: Caps) -> Self {
        self.settings.caps = Arc::new(caps);
        self
    }

    /// Sets what becomes of what cannot be carried. A [`Policy`] in a request's extensions goes
    /// before it. Default: it is reported; what the model must see is refused.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.settings.policy = policy;
        self
    }

    /// Sets who fetches media the upstream cannot fetch itself. Default: nobody; such a request is
    /// refused.
    pub fn fetch<N: MediaFetch>(self, fetch: N) -> TranslateLayer<N> {
        TranslateLayer { settings: self.settings, fetch: Some(fetch) }
    }

    /// Sets how requests that nobody inspected before are inspected. Default: up to 32 MiB.
    pub fn inspect(mut self, inspect: Inspect) -> Self {
        self.settings.inspect = inspect;
        self
    }

    /// Sets how many bytes an answer that is no stream may have to be translated; a larger one is a
    /// failure of the upstream. Default: 32 MiB.
    pub fn answer_limit(mut self, bytes: usize) -> Self {
        self.settings.answer = bytes;
        self
    }
}

impl Default for TranslateLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S, M: Clone> Layer<S> for TranslateLayer<M> {
    type Service = Translate<S, M>;

    fn layer(&self, inner: S) -> Translate<S, M> {
        Translate::new(inner, self.clone())
    }
}

impl<M> fmt::Debug for TranslateLayer<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TranslateLayer")
            .field("settings", &self.settings)
            .field("fetches", &self.fetch.is_some())
            .finish()
    }
}
