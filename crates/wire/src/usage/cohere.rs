//! Cohere's own protocol: what is billed is told apart from what the model saw.

use tollgate_core::{InTokens, OutTokens};

use super::{
    draft::{Draft, text_in},
    family::Family,
    fields::{pick, pick_in},
    media::units,
    profile::Profile,
    told::Told,
};
use crate::words::Word;

static WORDS: [Word; 2] = [Word::new("\"usage\""), Word::new("\"billed_units\"")];

/// Only `billed_units` count: `tokens` holds the host's own additions, too.
#[derive(Debug)]
pub(super) struct Cohere;

impl Family for Cohere {
    fn may_tell(&self, data: &[u8]) -> bool {
        WORDS.iter().any(|word| word.says_something(data))
    }

    fn wants(&self, key: &[u8]) -> bool {
        matches!(key, b"usage" | b"meta")
    }

    fn member(&self, key: &[u8], value: &[u8], told: &mut Told) {
        match key {
            b"usage" | b"meta" => told.last.replace(value),
            // The event `message-end`, which is the last.
            b"delta" => {
                let [usage] = pick(value, ["usage"]);
                usage.into_iter().for_each(|usage| told.last.replace(usage));
                told.ended |= usage.is_some();
            }
            _ => {}
        }
    }

    fn draft(&self, _: &Profile, told: &Told) -> Option<Draft> {
        let object = told.last.get()?;
        let mut draft = Draft::default();
        let [billed, cached] = pick(object, ["billed_units", "cached_tokens"]);
        let [input, output] = pick_in(billed, ["input_tokens", "output_tokens"]);
        let doubt = &mut draft.doubt;
        let (input, output) = (doubt.count(input), doubt.count(output));
        let read = text_in(doubt.count(cached));
        draft.inclusive_prompt(input, InTokens::default(), read, Vec::new());
        draft.output(output, OutTokens::default(), None, true);
        units(&mut draft, object);
        Some(draft)
    }
}
