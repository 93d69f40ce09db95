//! The gateway's own paths: what is asked there is asked of the gateway, in no provider's protocol.

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
