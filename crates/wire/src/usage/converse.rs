//! Amazon Bedrock Converse.

use tollgate_core::{OutTokens, Ttl};

use super::{
    draft::{Draft, text_in, writes},
    family::Family,
    fields::{either, pick, plus},
    profile::Profile,
    told::Told,
};
use crate::{
    json::{Array, member, string},
    words::Word,
};

static USAGE: Word = Word::new("\"usage\"");

/// Told once: in the answer, or in the event `metadata` after the end.
#[derive(Debug)]
pub(super) struct Converse;

impl Family for Converse {
    fn may_tell(&self, data: &[u8]) -> bool {
        USAGE.says_something(data)
    }

    fn wants(&self, key: &[u8]) -> bool {
        matches!(key, b"usage" | b"serviceTier")
    }

    fn member(&self, key: &[u8], value: &[u8], told: &mut Told) {
        match key {
            // The event's payload may stand alone or under its name.
            b"metadata" => self.members(value, told),
            b"usage" => {
                told.last.replace(value);
                told.ended |= told.last.get().is_some();
            }
            b"serviceTier" => {
                member(value, "type").into_iter().for_each(|tier| told.tier(tier));
            }
            _ => {}
        }
    }

    fn draft(&self, _: &Profile, told: &Told) -> Option<Draft> {
        told.last.get().map(draft)
    }
}

/// Everything stands beside everything; the total is the sum of all four.
fn draft(object: &[u8]) -> Draft {
    let mut draft = Draft::default();
    let [input, output, total, read, read_count, write, write_count, details] = pick(
        object,
        [
            "inputTokens",
            "outputTokens",
            "totalTokens",
            "cacheReadInputTokens",
            "cacheReadInputTokenCount",
            "cacheWriteInputTokens",
            "cacheWriteInputTokenCount",
            "cacheDetails",
        ],
    );
    let doubt = &mut draft.doubt;
    let (input, output, total) = (doubt.count(input), doubt.count(output), doubt.count(total));
    let read = either(doubt.count(read), doubt.count(read_count));
    let write = either(doubt.count(write), doubt.count(write_count));
    draft.total(total);
    let split = retention(&mut draft, details);
    draft.usage.prompt = text_in(input);
    draft.usage.read = text_in(read);
    draft.usage.write = writes(write, split, &mut draft.doubt);
    draft.output(output, OutTokens::default(), None, true);
    let sum = plus(plus(input, output), plus(read, write)).unwrap_or(0);
    draft.expect_total(sum);
    draft
}

fn retention(draft: &mut Draft, details: Option<&[u8]>) -> [(Ttl, Option<u64>); 2] {
    let mut split = [(Ttl::M5, None), (Ttl::H1, None)];
    for entry in Array::new(details.unwrap_or_default()).map_while(Result::ok) {
        let [ttl, count] = pick(entry, ["ttl", "inputTokens"]);
        let count = draft.doubt.count(count);
        match ttl.and_then(string).as_deref() {
            Some("5m") => split[0].1 = plus(split[0].1, count),
            Some("1h") => split[1].1 = plus(split[1].1, count),
            // Stays in the rest, whose time nobody told.
            _ => {}
        }
    }
    split
}
