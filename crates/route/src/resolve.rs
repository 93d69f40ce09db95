use std::sync::Arc;

use tollgate_core::{Call, Plan, Principal, Refusal};

/// Decides who could answer a call, in which order.
///
/// Closures `Fn(&Call, Option<&Principal>) -> Result<Plan, Refusal>` are resolvers.
pub trait Resolve {
    /// Returns the plan for a call whose operation has a model.
    ///
    /// Errors: what the caller is told where nobody may or can answer.
    fn resolve(&self, call: &Call, principal: Option<&Principal>) -> Result<Plan, Refusal>;
}

impl<F> Resolve for F
where
    F: Fn(&Call, Option<&Principal>) -> Result<Plan, Refusal>,
{
    fn resolve(&self, call: &Call, principal: Option<&Principal>) -> Result<Plan, Refusal> {
        self(call, principal)
    }
}

impl<R: Resolve + ?Sized> Resolve for Arc<R> {
    fn resolve(&self, call: &Call, principal: Option<&Principal>) -> Result<Plan, Refusal> {
        (**self).resolve(call, principal)
    }
}
