use tower::ServiceBuilder;
use tower_layer::Stack;

mod sealed {
    pub trait Sealed {}
    impl<L> Sealed for tower::ServiceBuilder<L> {}
}

/// A [`ServiceBuilder`] with a method per layer, each with the layer's defaults.
///
/// Whoever needs other settings gives the layer itself to [`ServiceBuilder::layer`].
pub trait ServiceBuilderExt<L>: sealed::Sealed + Sized {
    /// Lets in who shows a key of `store` ([`KeyLayer`](tollgate_keys::KeyLayer)).
    #[cfg(feature = "keys")]
    fn client_keys<K>(self, store: K) -> ServiceBuilder<Stack<tollgate_keys::KeyLayer<K>, L>>;

    /// Sets the credential of each target ([`CredentialLayer`](tollgate_keys::CredentialLayer)).
    #[cfg(feature = "keys")]
    fn credentials<C>(
        self,
        credentials: C,
    ) -> ServiceBuilder<Stack<tollgate_keys::CredentialLayer<C>, L>>;

    /// Records what each attempt used and cost ([`MeterLayer`](tollgate_meter::MeterLayer)).
    #[cfg(feature = "meter")]
    fn metered<G, P>(
        self,
        ledger: G,
        prices: P,
    ) -> ServiceBuilder<Stack<tollgate_meter::MeterLayer<G, P>, L>>;

    /// Asks the next target of the plan when one fails
    /// ([`FallbackLayer`](tollgate_fallback::FallbackLayer)).
    #[cfg(feature = "fallback")]
    fn fallback(
        self,
        board: tollgate_core::Board,
    ) -> ServiceBuilder<Stack<tollgate_fallback::FallbackLayer, L>>;

    /// Decides who answers ([`RouteLayer`](tollgate_route::RouteLayer)).
    #[cfg(feature = "route")]
    fn route_to<R>(self, resolve: R) -> ServiceBuilder<Stack<tollgate_route::RouteLayer<R>, L>>;

    /// Ends streams as what they are ([`SseLayer`](tollgate_sse::SseLayer)).
    #[cfg(feature = "sse")]
    fn honest_streams(self) -> ServiceBuilder<Stack<tollgate_sse::SseLayer, L>>;

    /// Limits an upstream's silence ([`DeadlineLayer`](tollgate_sse::DeadlineLayer)).
    #[cfg(feature = "sse")]
    fn deadlines(self) -> ServiceBuilder<Stack<tollgate_sse::DeadlineLayer, L>>;

    /// Lets clients of one protocol ask targets of another
    /// ([`TranslateLayer`](tollgate_translate::TranslateLayer)).
    #[cfg(feature = "translate")]
    fn translated(self) -> ServiceBuilder<Stack<tollgate_translate::TranslateLayer, L>>;
}

impl<L> ServiceBuilderExt<L> for ServiceBuilder<L> {
    #[cfg(feature = "keys")]
    fn client_keys<K>(self, store: K) -> ServiceBuilder<Stack<tollgate_keys::KeyLayer<K>, L>> {
        self.layer(tollgate_keys::KeyLayer::new(store))
    }

    #[cfg(feature = "keys")]
    fn credentials<C>(
        self,
        credentials: C,
    ) -> ServiceBuilder<Stack<tollgate_keys::CredentialLayer<C>, L>> {
        self.layer(tollgate_keys::CredentialLayer::new(credentials))
    }

    #[cfg(feature = "meter")]
    fn metered<G, P>(
        self,
        ledger: G,
        prices: P,
    ) -> ServiceBuilder<Stack<tollgate_meter::MeterLayer<G, P>, L>> {
        self.layer(tollgate_meter::MeterLayer::new(ledger, prices))
    }

    #[cfg(feature = "fallback")]
    fn fallback(
        self,
        board: tollgate_core::Board,
    ) -> ServiceBuilder<Stack<tollgate_fallback::FallbackLayer, L>> {
        self.layer(tollgate_fallback::FallbackLayer::new(board))
    }

    #[cfg(feature = "route")]
    fn route_to<R>(self, resolve: R) -> ServiceBuilder<Stack<tollgate_route::RouteLayer<R>, L>> {
        self.layer(tollgate_route::RouteLayer::new(resolve))
    }

    #[cfg(feature = "sse")]
    fn honest_streams(self) -> ServiceBuilder<Stack<tollgate_sse::SseLayer, L>> {
        self.layer(tollgate_sse::SseLayer::new())
    }

    #[cfg(feature = "sse")]
    fn deadlines(self) -> ServiceBuilder<Stack<tollgate_sse::DeadlineLayer, L>> {
        self.layer(tollgate_sse::DeadlineLayer::new())
    }
    #[cfg(feature = "translate")]
    fn translated(self) -> ServiceBuilder<Stack<tollgate_translate::TranslateLayer, L>> {
        self.layer(tollgate_translate::TranslateLayer::new())
    }
}
