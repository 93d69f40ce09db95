//! OpenAI Realtime: each response tells its own, and they add up.

use super::{draft::Draft, family::Family, fields::pick, media, profile::Profile, told::Told};
use crate::words::Word;

static USAGE: Word = Word::new("\"usage\"");

/// `response.done` events of one session.
#[derive(Debug)]
pub(super) struct Realtime;

impl Family for Realtime {
    fn may_tell(&self, data: &[u8]) -> bool {
        USAGE.says_something(data)
    }

    fn wants(&self, key: &[u8]) -> bool {
        key == b"response"
    }

    fn member(&self, key: &[u8], value: &[u8], told: &mut Told) {
        let [usage, model] = match key {
            b"response" => pick(value, ["usage", "model"]),
            _ => return,
        };
        model.into_iter().for_each(|model| told.model(model));
        if let Some(usage) = usage {
            told.note(usage);
            told.sum.get_or_insert_default().add(&media::tokens(usage).0);
        }
    }

    fn draft(&self, _: &Profile, told: &Told) -> Option<Draft> {
        told.sum.as_deref().cloned()
    }
}
