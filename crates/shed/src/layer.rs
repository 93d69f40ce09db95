use std::time::Duration;

use tower_layer::Layer;

use crate::{Load, Shed};

/// Layer that refuses what is more than the service can do at once. See the [crate](crate).
#[derive(Clone, Debug)]
pub struct ShedLayer {
    settings: Settings,
    load: Load,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) limit: usize,
    pub(crate) retry_after: Duration,
}

impl ShedLayer {
    /// Returns a layer that lets at most `limit` requests be in progress. With 0 all are refused.
    pub fn new(limit: usize) -> Self {
        let settings = Settings { limit, retry_after: Duration::from_secs(1) };
        Self { settings, load: Load::default() }
    }

    /// Sets when those refused are told to come back, rounded up to seconds. Default: 1 second.
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.settings.retry_after = after;
        self
    }

    /// Returns what counts the requests of this layer.
    pub fn load(&self) -> Load {
        self.load.clone()
    }
}

impl<S> Layer<S> for ShedLayer {
    type Service = Shed<S>;

    fn layer(&self, inner: S) -> Shed<S> {
        Shed::new(inner, self.settings, self.load.clone())
    }
}
