use std::{fmt, sync::Arc};

use tollgate_core::Target;
use tollgate_wire::Inspect;
use tower_layer::Layer;

use crate::{Background, Meter, drain::Drains, thinking::Thinking};

/// Layer of [`Meter`], which records one [`Charge`](crate::Charge) for each attempt. See the
/// [module](crate).
pub struct MeterLayer<L, P> {
    pub(crate) ledger: L,
    pub(crate) prices: P,
    pub(crate) settings: Settings,
}

/// What is fixed for a layer's life.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) target: Option<Arc<Target>>,
    pub(crate) inspect: Inspect,
    pub(crate) drains: Option<Drains>,
    /// Shared by all clones: what one answer tells, the estimate of another may need.
    pub(crate) thinking: Arc<Thinking>,
}

impl<L, P> MeterLayer<L, P> {
    /// Returns a layer that records charges in `ledger`, priced by `prices`.
    pub fn new(ledger: L, prices: P) -> Self {
        Self { ledger, prices, settings: Settings::default() }
    }

    /// Sets the target of requests without one. Default: none; their charges have no price.
    pub fn target(mut self, target: Arc<Target>) -> Self {
        self.settings.target = Some(target);
        self
    }

    /// Sets how requests that nobody inspected before are inspected. Default: up to 32 MiB.
    pub fn inspect(mut self, inspect: Inspect) -> Self {
        self.settings.inspect = inspect;
        self
    }

    /// Sets for how long an answer is read on when its client has left, so that its usage is known
    /// and not estimated; `background` runs that work, and should be awaited at shutdown.
    /// Only an answer that has begun is read on, and only where its rest would tell more.
    /// Default: the upstream is told at once, and the usage is estimated.
    ///
    /// `None` for a target is the default for it.
    pub fn drain(
        mut self,
        limit: impl Fn(&Target) -> Option<std::time::Duration> + Send + Sync + 'static,
        background: impl Background + 'static,
    ) -> Self {
        self.settings.drains = Some(Drains::new(limit, background));
        self
    }
}

impl<S, L: Clone, P: Clone> Layer<S> for MeterLayer<L, P> {
    type Service = Meter<S, L, P>;

    fn layer(&self, inner: S) -> Meter<S, L, P> {
        Meter::new(inner, self.clone())
    }
}

impl<L: Clone, P: Clone> Clone for MeterLayer<L, P> {
    fn clone(&self) -> Self {
        Self {
            ledger: self.ledger.clone(),
            prices: self.prices.clone(),
            settings: self.settings.clone(),
        }
    }
}

impl<L, P> fmt::Debug for MeterLayer<L, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeterLayer").field("settings", &self.settings).finish_non_exhaustive()
    }
}
