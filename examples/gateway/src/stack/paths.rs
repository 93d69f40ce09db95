//! The gateway's own paths: what is asked there is asked of the gateway, in no provider's protocol.
//! And those of calls, where a client writes them otherwise than their protocol does.

use std::{borrow::Cow, sync::Arc};

use http::Request;
use tollgate_core::AskedProvider;
use tollgate_route::Router;
use tollgate_wire::{locate, prefix, with_path};

/// What is asked, with `GET`, at a path of the gateway's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Own<'a> {
    /// Whether the process lives. Needs no key, as the next two.
    Health,
    /// Whether new requests should come here.
    Ready,
    /// What was counted.
    Metrics,
    /// How the targets are.
    Targets,
    /// What the asking key has spent.
    Spend,
    /// What one call of the asking key was, by its id.
    Call(&'a str),
}

impl<'a> Own<'a> {
    /// Returns what is asked at `path`; `None` where the path is not the gateway's own.
    pub(super) fn at(path: &'a str) -> Option<Self> {
        Some(match path {
            "/healthz" => Self::Health,
            "/readyz" => Self::Ready,
            "/metrics" => Self::Metrics,
            "/status/targets" => Self::Targets,
            "/v1/spend" => Self::Spend,
            _ => Self::Call(path.strip_prefix("/v1/calls/")?),
        })
    }
}

/// Writes the path of a call as its protocol does, where a client has slashes too many in it or
/// writes it behind a provider's name, which is then noted as who is asked. Every other path keeps
/// its bytes.
pub(super) fn straighten<B>(request: &mut Request<B>, router: &Router) {
    let tidy = tidy(request.uri().path());
    let is_call = |path: &str| {
        let located = locate(request.method(), path, request.headers());
        located.is_some_and(|located| located.route.operation.has_model())
    };
    let under =
        under_a_provider(&tidy, router).filter(|(_, rest)| !is_call(&tidy) && is_call(rest));
    let (provider, path) = match under {
        Some((provider, rest)) => (Some(provider), rest),
        None if matches!(tidy, Cow::Owned(_)) && is_call(&tidy) => (None, &*tidy),
        None => return,
    };
    let Some(uri) = with_path(request.uri(), path) else { return };
    *request.uri_mut() = uri;
    if let Some(provider) = provider {
        request.extensions_mut().insert(AskedProvider(provider));
    }
}

/// The path without empty segments.
fn tidy(path: &str) -> Cow<'_, str> {
    if !path.ends_with('/') && !path.contains("//") {
        return Cow::Borrowed(path);
    }
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    Cow::Owned(segments.flat_map(|segment| ["/", segment]).collect())
}

/// The provider whose name a path begins with, where that is no protocol's prefix, and the rest.
fn under_a_provider<'a>(path: &'a str, router: &Router) -> Option<(Arc<str>, &'a str)> {
    let end = path.get(1..)?.find('/')? + 1;
    let provider = router.provider(&path[1..end]).filter(|_| prefix(path) == 0)?;
    Some((provider.name.clone(), &path[end..]))
}
