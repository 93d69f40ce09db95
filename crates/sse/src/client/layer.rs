use std::time::Duration;

use tower_layer::Layer;

use super::Sse;
use crate::Limits;

/// Layer that gives clients honest event streams. See the [module](super).
#[derive(Clone, Copy, Debug, Default)]
pub struct SseLayer {
    settings: Settings,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) keep_alive: Option<Duration>,
    pub(super) before_commit: bool,
    pub(super) limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keep_alive: Some(Duration::from_secs(15)),
            before_commit: false,
            limits: Limits::default(),
        }
    }
}

impl SseLayer {
    /// Returns the layer with its defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets after how much silence a keep-alive is sent. Default: 15 seconds.
    pub fn keep_alive(mut self, idle: Duration) -> Self {
        self.settings.keep_alive = Some(idle);
        self
    }

    /// Sends no keep-alive.
    pub fn without_keep_alive(mut self) -> Self {
        self.settings.keep_alive = None;
        self
    }

    /// Sends keep-alives also before the first content. Default: off.
    ///
    /// The first of them gives up the status line: the answer is then a 200 stream, and whatever
    /// fails becomes an error event in it, an error of the inner service included. It concerns calls whose
    /// [`Call`](tollgate_core::Call) says that a stream is asked for, in protocols that have a
    /// keep-alive.
    pub fn keep_alive_before_commit(mut self) -> Self {
        self.settings.before_commit = true;
        self
    }

    /// Sets how much is held. Default: [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }
}

impl<S> Layer<S> for SseLayer {
    type Service = Sse<S>;

    fn layer(&self, inner: S) -> Sse<S> {
        Sse::new(inner, self.settings)
    }
}
