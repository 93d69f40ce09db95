use std::sync::Arc;

use tollgate_catalog::{Catalogue, Occasion, Priced, price};
use tollgate_core::{Target, Usage};

/// Who knows what a usage costs at a target.
///
/// A [`Catalogue`] does; closures `Fn(&Target, &Usage, &Occasion) -> Priced` may.
pub trait Prices: Send + Sync + 'static {
    /// Returns the price. Pure: asked at the end of each answer.
    fn price(&self, target: &Target, usage: &Usage, occasion: &Occasion) -> Priced;
}

impl Prices for Catalogue {
    fn price(&self, target: &Target, usage: &Usage, occasion: &Occasion) -> Priced {
        price(self, &target.kind, &target.model, usage, occasion)
    }
}

impl<P: Prices + ?Sized> Prices for Arc<P> {
    fn price(&self, target: &Target, usage: &Usage, occasion: &Occasion) -> Priced {
        (**self).price(target, usage, occasion)
    }
}

impl<F> Prices for F
where
    F: Fn(&Target, &Usage, &Occasion) -> Priced + Send + Sync + 'static,
{
    fn price(&self, target: &Target, usage: &Usage, occasion: &Occasion) -> Priced {
        self(target, usage, occasion)
    }
}
