//! `[translate]`.

use tollgate_translate::Policy;
use tollgate_upstream::fetch::Fetcher;

use super::file::{self, Untaken};
use crate::translation::Translation;

/// What the section says.
pub(super) fn resolve(file: &file::Translate) -> Translation {
    let fetcher = file
        .fetch
        .unwrap_or(true)
        .then(|| Fetcher::new().http(file.fetch_http).hosts(file.fetch_hosts.iter().cloned()));
    let policy = Policy { strict: file.strict, drop_media: file.media == Untaken::Drop };
    Translation { policy, fetcher }
}
