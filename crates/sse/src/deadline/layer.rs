use std::time::Duration;

use tower_layer::Layer;

use super::DeadlineService;

/// How long an upstream may be silent.
///
/// In a request's extensions it replaces what the [`DeadlineLayer`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deadlines {
    /// From the request to the response head. Default: 5 minutes.
    pub head: Duration,
    /// From the request to the first content of a stream, or to the end of a JSON answer. Default: 5
    /// minutes.
    pub first_content: Duration,
    /// Between whole events, or frames of a body without events. Default: 2 minutes.
    pub idle: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        Self { head: minutes(5), first_content: minutes(5), idle: minutes(2) }
    }
}

/// Layer that limits how long one upstream may be silent. See the [module](super).
#[derive(Clone, Copy, Debug, Default)]
pub struct DeadlineLayer {
    deadlines: Deadlines,
}

impl DeadlineLayer {
    /// Returns the layer with its defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the time to the response head. Default: 5 minutes.
    pub fn head(mut self, head: Duration) -> Self {
        self.deadlines.head = head;
        self
    }

    /// Sets the time to a stream's first content or a JSON answer's end. Default: 5 minutes.
    pub fn first_content(mut self, first_content: Duration) -> Self {
        self.deadlines.first_content = first_content;
        self
    }

    /// Sets the time between whole events. Default: 2 minutes.
    pub fn idle(mut self, idle: Duration) -> Self {
        self.deadlines.idle = idle;
        self
    }
}

impl From<Deadlines> for DeadlineLayer {
    fn from(deadlines: Deadlines) -> Self {
        Self { deadlines }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> DeadlineService<S> {
        DeadlineService::new(inner, self.deadlines)
    }
}
