use std::{fmt, sync::Arc};

use http::Request;
use tollgate_core::Body;

/// What changes a request that was refused for the reasoning it sends back; nothing by default.
#[derive(Clone, Default)]
pub(crate) struct Repair(Option<Arc<Change>>);

type Change = dyn Fn(&mut Request<Body>) -> bool + Send + Sync;

impl Repair {
    pub(crate) fn new(change: impl Fn(&mut Request<Body>) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(change)))
    }

    /// Whether anything was changed: else asking again is of no use.
    pub(crate) fn change(&self, request: &mut Request<Body>) -> bool {
        self.0.as_ref().is_some_and(|change| change(request))
    }
}

impl fmt::Debug for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Repair").field(&self.0.is_some()).finish()
    }
}
