use tollgate_wire::Inspect;
use tower_layer::Layer;

use crate::Route;

/// Layer of [`Route`].
#[derive(Clone, Debug)]
pub struct RouteLayer<R> {
    resolve: R,
    inspect: Inspect,
}

impl<R> RouteLayer<R> {
    /// Returns a layer that asks `resolve`.
    pub fn new(resolve: R) -> Self {
        Self { resolve, inspect: Inspect::new() }
    }

    /// Sets how requests that nobody inspected before are inspected. Default: up to 32 MiB.
    pub fn inspect(mut self, inspect: Inspect) -> Self {
        self.inspect = inspect;
        self
    }
}

impl<S, R: Clone> Layer<S> for RouteLayer<R> {
    type Service = Route<S, R>;

    fn layer(&self, inner: S) -> Route<S, R> {
        Route { inner, resolve: self.resolve.clone(), inspect: self.inspect }
    }
}
