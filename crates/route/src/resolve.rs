use std::sync::Arc;

use tollgate_core::{Call, Plan, Principal, Refusal, Target};

use crate::Ask;

/// Decides who could answer a call, in which order.
///
/// [`Router`](crate::Router) is one made from data. Closures
/// `Fn(&Call, Option<&Principal>) -> Result<Plan, Refusal>` are resolvers too.
pub trait Resolve {
    /// Returns the plan for a call whose operation has a model.
    ///
    /// Errors: what the caller is told where nobody may or can answer.
    fn resolve(&self, ask: &Ask<'_>) -> Result<Plan, Refusal>;

    /// Learns that `target` answered well a call whose plan had this
    /// [`affinity`](Plan::affinity). Default: nothing.
    fn answered(&self, affinity: u64, target: &Target) {
        let _ = (affinity, target);
    }

    /// Learns that `target` keeps the answer it gave by this name, so that others may go on from
    /// it. Told of answers in the Responses protocol whose plan had an affinity. Default: nothing.
    fn keeps(&self, name: &str, target: &Target) {
        let _ = (name, target);
    }
}

impl<F> Resolve for F
where
    F: Fn(&Call, Option<&Principal>) -> Result<Plan, Refusal>,
{
    fn resolve(&self, ask: &Ask<'_>) -> Result<Plan, Refusal> {
        self(ask.call, ask.principal)
    }
}

impl<R: Resolve + ?Sized> Resolve for Arc<R> {
    fn resolve(&self, ask: &Ask<'_>) -> Result<Plan, Refusal> {
        (**self).resolve(ask)
    }

    fn answered(&self, affinity: u64, target: &Target) {
        (**self).answered(affinity, target);
    }

    fn keeps(&self, name: &str, target: &Target) {
        (**self).keeps(name, target);
    }
}
