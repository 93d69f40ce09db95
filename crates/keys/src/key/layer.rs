use std::{fmt, sync::Arc};

use tollgate_wire::Inspect;
use tower_layer::Layer;

use super::{AsAsked, KeyService, check::Gate};

/// Finds out who is asking. See the [module](super).
pub struct KeyLayer<K, C = AsAsked> {
    gate: Arc<Gate<K, C>>,
    inspect: Inspect,
}

impl<K> KeyLayer<K> {
    /// Returns a layer that looks keys up in `store`.
    pub fn new(store: K) -> Self {
        Self { gate: Arc::new(Gate { store, canonical: AsAsked }), inspect: Inspect::new() }
    }

    /// Sets which name of a model a restricted key's list is compared with. Default: the name as
    /// the client asked for it.
    pub fn canonical<C>(self, canonical: C) -> KeyLayer<K, C>
    where
        K: Clone,
    {
        let store = self.gate.store.clone();
        KeyLayer { gate: Arc::new(Gate { store, canonical }), inspect: self.inspect }
    }
}

impl<K, C> KeyLayer<K, C> {
    /// Sets the largest body, in bytes, that is read for a restricted key; 413 above it. Default:
    /// 32 MiB.
    pub fn limit(mut self, bytes: usize) -> Self {
        self.inspect = self.inspect.limit(bytes);
        self
    }
}

impl<S, K, C> Layer<S> for KeyLayer<K, C> {
    type Service = KeyService<S, K, C>;

    fn layer(&self, inner: S) -> Self::Service {
        KeyService::new(inner, self.gate.clone(), self.inspect)
    }
}

impl<K, C> Clone for KeyLayer<K, C> {
    fn clone(&self) -> Self {
        Self { gate: self.gate.clone(), inspect: self.inspect }
    }
}

impl<K, C> fmt::Debug for KeyLayer<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyLayer").field("inspect", &self.inspect).finish_non_exhaustive()
    }
}
