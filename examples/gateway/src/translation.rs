//! How requests are translated, and what is fetched for them.

use std::{future::Future, pin::Pin};

use tollgate_translate::{
    Fetched, Policy, Wanted,
    layer::{FetchFailed, MediaFetch},
    model::MediaKind,
};
use tollgate_upstream::fetch::Fetcher;

use crate::state::SharedState;

/// How requests are translated.
#[derive(Clone, Debug, Default)]
pub struct Translation {
    /// What becomes of what cannot be carried.
    pub policy: Policy,
    /// Who fetches media for models that cannot. Default: nobody.
    pub fetcher: Option<Fetcher>,
}

/// Fetches as the state in force says.
#[derive(Clone, Debug)]
pub(crate) struct Fetching(SharedState);

impl Fetching {
    pub(crate) fn new(state: SharedState) -> Self {
        Self(state)
    }
}

impl MediaFetch for Fetching {
    type Fetching = Pin<Box<dyn Future<Output = Result<Fetched, FetchFailed>> + Send>>;

    fn fetch(&self, wanted: Wanted) -> Self::Fetching {
        let fetcher = self.0.load().translation.fetcher.clone();
        Box::pin(async move {
            let fetcher = fetcher.ok_or_else(|| {
                FetchFailed::new("nothing is fetched here; send the media themselves")
            })?;
            let fetched = fetcher.get(&wanted.url, types(wanted.kind)).await;
            let fetched = fetched.map_err(|error| FetchFailed::new(error.to_string()))?;
            Ok(Fetched::new(fetched.mime, &fetched.bytes))
        })
    }
}

/// How the media types of a kind begin.
fn types(kind: MediaKind) -> &'static [&'static str] {
    match kind {
        MediaKind::Image => &["image/"],
        MediaKind::Document => &["application/pdf", "text/"],
        MediaKind::Audio => &["audio/"],
        MediaKind::Video => &["video/"],
    }
}
