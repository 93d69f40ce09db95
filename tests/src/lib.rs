//! What the whole tests share: a gateway in front of an upstream of the test's own.

use std::{collections::HashMap, sync::Arc};

use http::Uri;
use tollgate_catalog::Catalogue;
use tollgate_core::{Board, KeyId, Principal, Protocol, Secret};
use tollgate_fallback::{Breaker, FallbackLayer};
use tollgate_gateway::{
    CredentialsByName, Options, Patience, SharedState, State, Translation, Upstreams,
};
use tollgate_keys::{Credential, KeyHash, KeyRecord, MemoryKeys};
use tollgate_route::{Alias, Endpoint, Provider, Router};

/// The client key every gateway of the tests accepts.
pub const CLIENT_KEY: &str = "sk-tg-canary-of-the-client-0123456789";

/// The provider key every gateway of the tests holds.
pub const PROVIDER_KEY: &str = "sk-canary-of-the-provider-9876543210";

/// Returns the state of a gateway with one provider, `upstream`, that speaks `protocol` at
/// `base_url`, and for each of `models` an alias of the same name.
///
/// # Panics
///
/// When `base_url` is no URI.
pub fn state(protocol: Protocol, base_url: &str, models: &[&str]) -> SharedState {
    patient(protocol, base_url, models, Patience::default())
}

/// Returns options of a gateway in which each call makes one attempt and remembers nothing of it:
/// what it answers depends on its upstream alone.
pub fn one_attempt() -> Options {
    let fallback = FallbackLayer::new(Board::new()).attempts(1).breaker(Breaker::never());
    Options { fallback: Some(fallback), ..Options::default() }
}

/// Returns the same with a patience of the test's own.
///
/// # Panics
///
/// When `base_url` is no URI.
pub fn patient(
    protocol: Protocol,
    base_url: &str,
    models: &[&str],
    patience: Patience,
) -> SharedState {
    let name: Arc<str> = "upstream".into();
    let base_url: Uri = base_url.parse().expect("a base URL");
    let provider = Provider::new(name.clone()).endpoint(Endpoint::new(protocol, base_url));
    let alias = |model: &&str| (model.to_string(), Alias::new([format!("upstream/{model}")]));
    let (board, aliases) = (Board::new(), models.iter().map(alias));
    let router = Router::new([provider]).aliases(aliases).board(board.clone()).translates(true);
    SharedState::new(State {
        router,
        board,
        credentials: CredentialsByName::from([(
            (name, protocol),
            Credential::Bearer(Secret::new(PROVIDER_KEY)),
        )]),
        catalogue: Catalogue::builtin(),
        own_prices: HashMap::new(),
        drains: HashMap::new(),
        keys: vec![Arc::new(client_keys())],
        patience,
        upstreams: Upstreams::default(),
        translation: Translation::default(),
    })
}

fn client_keys() -> MemoryKeys {
    let keys = MemoryKeys::new();
    let principal = Principal::new(KeyId::new("test"), "test");
    keys.insert(KeyHash::of(&Secret::new(CLIENT_KEY)), KeyRecord::new(principal));
    keys
}

/// The code of the README and of the book, run as doc tests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../../CONTRIBUTING.md")]
    struct Contributing;
    #[doc = include_str!("../../docs/getting-started.md")]
    struct GettingStarted;
    #[doc = include_str!("../../docs/one-layer.md")]
    struct OneLayer;
    #[doc = include_str!("../../docs/layers.md")]
    struct Layers;
    #[doc = include_str!("../../docs/own-layer.md")]
    struct OwnLayer;
    #[doc = include_str!("../../docs/configuration.md")]
    struct Configuration;
    #[doc = include_str!("../../docs/routing.md")]
    struct Routing;
    #[doc = include_str!("../../docs/catalogue.md")]
    struct Catalogue;
    #[doc = include_str!("../../docs/translating.md")]
    struct Translating;
    #[doc = include_str!("../../docs/fallback.md")]
    struct Fallback;
    #[doc = include_str!("../../docs/architecture.md")]
    struct Architecture;
}
