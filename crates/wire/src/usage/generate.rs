//! Gemini generateContent and embedContent.

use tollgate_core::{InTokens, OutTokens, Ttl};

use super::{
    draft::Draft,
    family::Family,
    fields::{Doubt, pick, plus},
    profile::Profile,
    told::{Told, set},
};
use crate::{
    json::{self, Array, Object},
    words::Word,
};

static WORDS: [Word; 3] = [
    Word::new("\"usageMetadata\""),
    Word::new("\"usage_metadata\""),
    Word::new("\"groundingMetadata\""),
];

/// The last `usageMetadata` counts as a whole: early ones lack thoughts.
#[derive(Debug)]
pub(super) struct Generate;

impl Family for Generate {
    fn may_tell(&self, data: &[u8]) -> bool {
        WORDS.iter().any(|word| word.says_something(data))
    }

    fn wants(&self, key: &[u8]) -> bool {
        matches!(
            key,
            b"usageMetadata"
                | b"usage_metadata"
                | b"modelVersion"
                | b"model_version"
                | b"candidates"
        )
    }

    fn member(&self, key: &[u8], value: &[u8], told: &mut Told) {
        match key {
            b"usageMetadata" | b"usage_metadata" => told.last.replace(value),
            b"modelVersion" | b"model_version" => told.model(value),
            b"candidates" if WORDS[2].says_something(value) => grounding(value, told),
            _ => {}
        }
    }

    fn draft(&self, _: &Profile, told: &Told) -> Option<Draft> {
        let mut draft = draft(told.last.get()?);
        draft.used("web_search", u64::try_from(told.queries.len()).ok());
        told.counted.iter().for_each(|(kind, uses)| draft.used(kind, Some(*uses)));
        Some(draft)
    }
}

/// Collects what was searched for, and whether maps were asked.
fn grounding(candidates: &[u8], told: &mut Told) {
    for candidate in Array::new(candidates).map_while(Result::ok) {
        let Some(metadata) = json::member(candidate, "groundingMetadata") else { continue };
        let [queries, chunks] = pick(metadata, ["webSearchQueries", "groundingChunks"]);
        let queries = Array::new(queries.unwrap_or_default()).map_while(Result::ok);
        queries.filter_map(json::string).for_each(|query| told.query(&query));
        let mut chunks = Array::new(chunks.unwrap_or_default()).map_while(Result::ok);
        if chunks.any(|chunk| json::member(chunk, "maps").is_some()) {
            told.counted.insert("maps", 1);
        }
    }
}

/// Both spellings of a name, as JSON and as Python clients write it: [`pick`] of either, the first
/// before the second.
fn spelled<'a, const N: usize>(
    object: &'a [u8],
    names: [(&str, &str); N],
) -> [Option<&'a [u8]>; N] {
    let (mut camel, mut snake) = ([None; N], [None; N]);
    let mut object = Object::new(object);
    while let Some(Ok((key, value))) = object.member() {
        let value = Some(value).filter(|value| !json::is_null(value));
        if let Some(at) = names.iter().position(|(name, _)| *name.as_bytes() == *key) {
            camel[at] = value;
        } else if let Some(at) = names.iter().position(|(_, name)| *name.as_bytes() == *key) {
            snake[at] = value;
        }
    }
    std::array::from_fn(|at| camel[at].or(snake[at]))
}

fn draft(object: &[u8]) -> Draft {
    let mut draft = Draft::default();
    let [prompt, cached, candidates, thoughts, tools, total] = spelled(
        object,
        [
            ("promptTokenCount", "prompt_token_count"),
            ("cachedContentTokenCount", "cached_content_token_count"),
            ("candidatesTokenCount", "candidates_token_count"),
            ("thoughtsTokenCount", "thoughts_token_count"),
            ("toolUsePromptTokenCount", "tool_use_prompt_token_count"),
            ("totalTokenCount", "total_token_count"),
        ],
    );
    let doubt = &mut draft.doubt;
    let (prompt, cached) = (doubt.count(prompt), doubt.count(cached));
    let (candidates, thoughts) = (doubt.count(candidates), doubt.count(thoughts));
    draft.usage.tool_in = doubt.count(tools);
    let total = doubt.count(total);
    draft.total(total);
    let output = plus(candidates, thoughts);
    // What is absent, and the total shows.
    let prompt = prompt.or_else(|| total?.checked_sub(plus(output, draft.usage.tool_in)?));
    prompt_side(&mut draft, object, prompt, cached);
    output_side(&mut draft, object, prompt, candidates, thoughts);
    served(&mut draft, object);
    draft
}

fn prompt_side(draft: &mut Draft, object: &[u8], prompt: Option<u64>, cached: Option<u64>) {
    let [whole, whole_of_embedding, cache] = spelled(
        object,
        [
            ("promptTokensDetails", "prompt_tokens_details"),
            ("promptTokenDetails", "prompt_token_details"),
            ("cacheTokensDetails", "cache_tokens_details"),
        ],
    );
    let whole = modalities(whole.or(whole_of_embedding), &mut draft.doubt);
    // Where the cached tokens are told apart, what is not among them is none of them.
    let none = whole.audio.filter(|_| cache.is_some()).map(|_| 0);
    let cache = modalities(cache, &mut draft.doubt);
    let other = InTokens { text: None, audio: cache.audio.or(none), ..cache };
    draft.doubt.unless(other.total() <= cached.unwrap_or(0));
    let text = cached.map(|cached| cached.saturating_sub(other.total()));
    draft.inclusive_prompt(prompt, whole, InTokens { text, ..other }, Vec::<(Ttl, _)>::new());
}

/// Thoughts stand beside the candidates; in answers of early 2025 inside, which the total shows.
fn output_side(
    draft: &mut Draft,
    object: &[u8],
    prompt: Option<u64>,
    candidates: Option<u64>,
    thoughts: Option<u64>,
) {
    let [details] = spelled(object, [("candidatesTokensDetails", "candidates_tokens_details")]);
    let InTokens { image, audio, video, .. } = modalities(details, &mut draft.doubt);
    let total = draft.usage.reported.total_tokens;
    let others = plus(plus(prompt, draft.usage.tool_in), thoughts);
    let rest = total.filter(|_| prompt.is_some()).and_then(|total| total.checked_sub(others?));
    // A turn that stops while thinking has no candidates.
    let candidates = candidates.or(rest).or(thoughts.map(|_| 0));
    let visible = plus(plus(prompt, candidates), draft.usage.tool_in).unwrap_or(0);
    let inside = thoughts.is_some_and(|thoughts| {
        thoughts > 0 && total == Some(visible) && thoughts <= candidates.unwrap_or(0)
    });
    if !inside {
        draft.expect_total(visible.saturating_add(thoughts.unwrap_or(0)));
    }
    draft.output(candidates, OutTokens { text: None, image, audio, video }, thoughts, inside);
}

/// Reads a list of counts by modality. One without a name is text.
fn modalities(list: Option<&[u8]>, doubt: &mut Doubt) -> InTokens {
    let mut sums = InTokens::default();
    for entry in Array::new(list.unwrap_or_default()).map_while(Result::ok) {
        let [modality, count] =
            spelled(entry, [("modality", "modality"), ("tokenCount", "token_count")]);
        let count = doubt.count(count);
        // Some deployments write enums as numbers.
        let slot = match modality {
            Some(b"\"IMAGE\"" | b"2") => &mut sums.image,
            Some(b"\"VIDEO\"" | b"3") => &mut sums.video,
            Some(b"\"AUDIO\"" | b"4") => &mut sums.audio,
            Some(b"\"DOCUMENT\"" | b"5") => &mut sums.document,
            _ => &mut sums.text,
        };
        *slot = plus(*slot, count);
    }
    sums
}

fn served(draft: &mut Draft, object: &[u8]) {
    let [tier, traffic] =
        spelled(object, [("serviceTier", "service_tier"), ("trafficType", "traffic_type")]);
    tier.into_iter().for_each(|tier| set(&mut draft.usage.served.tier, tier));
    traffic.into_iter().for_each(|traffic| set(&mut draft.usage.served.traffic, traffic));
}

#[cfg(test)]
mod tests {
    use tollgate_core::{Protocol, Quality, Usage};

    use crate::usage::{Profile, Reader};

    fn read(events: &[&str]) -> Usage {
        let mut reader = Reader::new(Profile::of(Protocol::Gemini, "google"));
        reader.answer(format!("[{}]", events.join(",")).as_bytes());
        reader.finish(true)
    }

    #[test]
    fn queries_are_counted_once_and_empty_ones_not() {
        let grounded = r#"{"candidates":[{"groundingMetadata":{"webSearchQueries":["","a","b"],"groundingChunks":[{"maps":{}}]}}]}"#;
        let usage = read(&[
            grounded,
            grounded,
            r#"{"usageMetadata":{"promptTokenCount":1,"totalTokenCount":1}}"#,
        ]);
        assert_eq!(usage.tools.get("web_search"), Some(&2));
        assert_eq!(usage.tools.get("maps"), Some(&1));
        assert_eq!(usage.quality, Quality::Exact);
    }

    #[test]
    fn thoughts_that_the_total_counts_among_candidates_are_not_added() {
        let usage = read(&[
            r#"{"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":30,"thoughtsTokenCount":20,"totalTokenCount":40}}"#,
        ]);
        assert_eq!((usage.output.text, usage.reasoning), (Some(10), Some(20)));
        assert_eq!(usage.quality, Quality::Exact);
    }

    #[test]
    fn a_cache_that_tells_no_modality_never_makes_one_negative() {
        let usage = read(&[
            r#"{"usageMetadata":{"promptTokenCount":100,"cachedContentTokenCount":90,"candidatesTokenCount":1,"totalTokenCount":101,
                "promptTokensDetails":[{"modality":1,"tokenCount":20},{"modality":"AUDIO","tokenCount":80}]}}"#,
        ]);
        assert_eq!((usage.prompt.text, usage.prompt.audio), (Some(0), Some(10)));
        assert_eq!((usage.prompt_total(), usage.quality), (100, Quality::Exact));
    }

    #[test]
    fn names_are_read_in_either_spelling_and_the_first_goes_before_the_second() {
        let usage = read(&[
            r#"{"usage_metadata":{"promptTokenCount":5,"prompt_token_count":9,"candidates_token_count":2,"candidatesTokenCount":null,
                "prompt_tokens_details":[{"modality":"AUDIO","token_count":3}],"total_token_count":7}}"#,
        ]);
        assert_eq!((usage.prompt.text, usage.prompt.audio), (Some(2), Some(3)));
        assert_eq!((usage.output_total(), usage.quality), (2, Quality::Exact));
    }

    #[test]
    fn the_last_report_counts_as_a_whole() {
        let usage = read(&[
            r#"{"usageMetadata":{"promptTokenCount":5,"thoughtsTokenCount":9,"totalTokenCount":14,"trafficType":"ON_DEMAND"}}"#,
            r#"{"modelVersion":"m","usageMetadata":{"promptTokenCount":"6","candidatesTokenCount":2,"totalTokenCount":8}}"#,
        ]);
        assert_eq!((usage.prompt_total(), usage.reasoning), (6, None));
        assert_eq!((usage.served.model.as_deref(), usage.served.traffic), (Some("m"), None));
    }
}
