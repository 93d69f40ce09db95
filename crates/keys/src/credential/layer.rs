use std::{fmt, sync::Arc};

use tollgate_core::Target;
use tower_layer::Layer;

use super::SetCredential;

/// Sets the provider's credential for the request's target. See the [module](super).
pub struct CredentialLayer<C> {
    credentials: Arc<C>,
    target: Option<Arc<Target>>,
}

impl<C> CredentialLayer<C> {
    /// Returns a layer that takes credentials from `credentials`.
    pub fn new(credentials: C) -> Self {
        Self { credentials: Arc::new(credentials), target: None }
    }

    /// Sets the target of requests that carry none. Default: such requests are not sent.
    pub fn target(mut self, target: Arc<Target>) -> Self {
        self.target = Some(target);
        self
    }
}

impl<S, C> Layer<S> for CredentialLayer<C> {
    type Service = SetCredential<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        SetCredential::new(inner, self.credentials.clone(), self.target.clone())
    }
}

impl<C> Clone for CredentialLayer<C> {
    fn clone(&self) -> Self {
        Self { credentials: self.credentials.clone(), target: self.target.clone() }
    }
}

impl<C> fmt::Debug for CredentialLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialLayer").field("target", &self.target).finish_non_exhaustive()
    }
}
