//! OpenAI Chat Completions and embeddings, and every host that speaks them.

use tollgate_core::{InTokens, OutTokens, Prediction, Ttl};

use super::{
    draft::{Bill, Draft, text_in, writes},
    family::Family,
    fields::{Count, Members, decimal, either, pick, pick_in, plus, text, told},
    profile::{Profile, Reasoning},
    told::Told,
};
use crate::{
    json::{self, Array, Value},
    words::Word,
};

static USAGE: Word = Word::new("\"usage\"");
static TIER: Word = Word::new("\"service_tier\"");

/// The last usage object replaces all before it.
#[derive(Debug)]
pub(super) struct Chat;

impl Family for Chat {
    fn may_tell(&self, data: &[u8]) -> bool {
        USAGE.says_something(data)
    }

    fn wants(&self, key: &[u8]) -> bool {
        matches!(key, b"usage" | b"x_groq" | b"usage_breakdown" | b"model" | b"service_tier")
    }

    fn member(&self, key: &[u8], value: &[u8], told: &mut Told) {
        match key {
            b"usage" => told.last.replace(value),
            b"usage_breakdown" => told.beside.replace(value),
            b"x_groq" => {
                let [usage, breakdown] = pick(value, ["usage", "usage_breakdown"]);
                usage.into_iter().for_each(|usage| told.last.replace(usage));
                breakdown.into_iter().for_each(|models| told.beside.replace(models));
            }
            b"model" => told.model(value),
            b"service_tier" => told.tier(value),
            // The chunk that only tells usage is the last one.
            b"choices" => told.ended |= json::is_blank(value),
            _ => {}
        }
    }

    fn served(&self, event: &[u8], told: &mut Told) {
        let wants_tier = told.served.tier.is_none() && TIER.says_something(event);
        if wants_tier || told.wants_model(event) {
            let [model, tier] = pick(event, ["model", "service_tier"]);
            model.into_iter().for_each(|model| told.model(model));
            tier.into_iter().for_each(|tier| told.tier(tier));
        }
    }

    fn draft(&self, profile: &Profile, told: &Told) -> Option<Draft> {
        let object = told.last.get()?;
        let mut draft = draft(profile, object);
        if let Some(breakdown) = told.beside.get() {
            divide(&mut draft, profile, breakdown);
        }
        Some(draft)
    }
}

/// The members of a usage object.
#[derive(Default)]
struct Wire<'a> {
    prompt: Count,
    completion: Count,
    total: Count,
    input: Input<'a>,
    output: Output,
    reasoning: Count,
    citation: Count,
    seconds: Option<&'a [u8]>,
    /// Cache counts under every name hosts have for them.
    read: [Count; 4],
    written: [Count; 2],
    tools: [Option<&'a [u8]>; 3],
    queries: Count,
    size: Option<&'a [u8]>,
    bill: Bill<'a>,
}

impl<'a> Members<'a> for Wire<'a> {
    fn member(&mut self, name: &[u8], value: &mut Value<'_, 'a>) {
        match name {
            b"prompt_tokens" => self.prompt = Count::of(value),
            b"completion_tokens" => self.completion = Count::of(value),
            b"total_tokens" => self.total = Count::of(value),
            b"prompt_tokens_details" => self.input = Input::inside(value),
            b"completion_tokens_details" => self.output = Output::inside(value),
            b"reasoning_tokens" => self.reasoning = Count::of(value),
            b"citation_tokens" => self.citation = Count::of(value),
            b"prompt_audio_seconds" => self.seconds = told(value),
            b"cached_tokens" => self.read[0] = Count::of(value),
            b"num_cached_tokens" => self.read[1] = Count::of(value),
            b"prompt_cache_hit_tokens" => self.read[2] = Count::of(value),
            b"cache_read_input_tokens" => self.read[3] = Count::of(value),
            b"cache_write_tokens" => self.written[0] = Count::of(value),
            b"cache_creation_input_tokens" => self.written[1] = Count::of(value),
            b"server_side_tool_usage_details" => self.tools[0] = told(value),
            b"server_tool_use_details" => self.tools[1] = told(value),
            b"server_tool_use" => self.tools[2] = told(value),
            b"num_search_queries" => self.queries = Count::of(value),
            b"search_context_size" => self.size = told(value),
            b"cost" => self.bill.cost = told(value),
            b"cost_in_usd_ticks" => self.bill.ticks = told(value),
            b"is_byok" => self.bill.byok = told(value),
            b"cost_details" => self.bill.details = told(value),
            _ => {}
        }
    }
}

/// The members of `prompt_tokens_details`.
#[derive(Default)]
struct Input<'a> {
    cached: Count,
    written: Count,
    split: Option<&'a [u8]>,
    audio: Count,
    image: Count,
    video: Count,
    per_modality: Option<&'a [u8]>,
}

impl<'a> Members<'a> for Input<'a> {
    fn member(&mut self, name: &[u8], value: &mut Value<'_, 'a>) {
        match name {
            b"cached_tokens" => self.cached = Count::of(value),
            b"cache_write_tokens" => self.written = Count::of(value),
            b"cache_write_tokens_details" => self.split = told(value),
            b"audio_tokens" => self.audio = Count::of(value),
            b"image_tokens" => self.image = Count::of(value),
            b"video_tokens" => self.video = Count::of(value),
            b"cached_tokens_details" => self.per_modality = told(value),
            _ => {}
        }
    }
}

/// The members of `completion_tokens_details`.
#[derive(Default)]
struct Output {
    reasoning: Count,
    audio: Count,
    image: Count,
    accepted: Count,
    rejected: Count,
}

impl<'a> Members<'a> for Output {
    fn member(&mut self, name: &[u8], value: &mut Value<'_, 'a>) {
        match name {
            b"reasoning_tokens" => self.reasoning = Count::of(value),
            b"audio_tokens" => self.audio = Count::of(value),
            b"image_tokens" => self.image = Count::of(value),
            b"accepted_prediction_tokens" => self.accepted = Count::of(value),
            b"rejected_prediction_tokens" => self.rejected = Count::of(value),
            _ => {}
        }
    }
}

/// The counts as they are written.
struct Counts {
    prompt: Option<u64>,
    completion: Option<u64>,
    total: Option<u64>,
    reasoning: Option<u64>,
}

impl Counts {
    fn parts(&self) -> u64 {
        plus(self.prompt, self.completion).unwrap_or(0)
    }

    /// What is absent, and the total shows. Some embedding hosts tell the total alone.
    fn fill(&mut self, profile: &Profile) {
        let adds_up = matches!(profile.reasoning, Reasoning::Inside | Reasoning::Apart);
        match (self.prompt, self.completion) {
            (None, None) => self.prompt = self.total,
            (None, Some(_)) if adds_up => self.prompt = self.rest(),
            (Some(_), None) if adds_up => self.completion = self.rest().filter(|rest| *rest > 0),
            _ => {}
        }
    }

    /// What the total has more than the parts.
    fn rest(&self) -> Option<u64> {
        self.total?.checked_sub(self.parts())
    }

    /// Whether the total is the sum of the parts and of something that is told and no part.
    fn total_is_parts_and(&self, more: Option<u64>) -> bool {
        let more = more.filter(|more| *more > 0);
        more.is_some() && self.total == plus(Some(self.parts()), more)
    }
}

fn draft(profile: &Profile, object: &[u8]) -> Draft {
    let mut draft = Draft::default();
    let wire = Wire::of(Some(object));
    let (input, output) = (&wire.input, &wire.output);
    let doubt = &mut draft.doubt;
    let mut counts = Counts {
        prompt: doubt.take(wire.prompt),
        completion: doubt.take(wire.completion),
        total: doubt.take(wire.total),
        reasoning: either(doubt.take(output.reasoning), doubt.take(wire.reasoning)),
    };
    counts.fill(profile);
    draft.usage.citation = draft.doubt.take(wire.citation);
    draft.total(counts.total);
    counts.prompt = plus(counts.prompt, audio_beside(&mut draft, profile, input, &counts));
    prompt_side(&mut draft, &wire, input, counts.prompt);
    output_side(&mut draft, profile, output, &mut counts);
    if let Some(seconds) = decimal(wire.seconds) {
        draft.usage.units.insert("audio_seconds".to_owned(), seconds);
    }
    tools(&mut draft, &wire);
    draft.bill(profile.cost, wire.bill);
    draft
}

/// Audio that the prompt figure leaves out, which the total shows.
fn audio_beside(
    draft: &mut Draft,
    profile: &Profile,
    details: &Input<'_>,
    counts: &Counts,
) -> Option<u64> {
    let audio = draft.doubt.take(details.audio);
    audio.filter(|_| profile.audio_beside && counts.total_is_parts_and(audio))
}

fn prompt_side(draft: &mut Draft, wire: &Wire<'_>, details: &Input<'_>, prompt: Option<u64>) {
    let doubt = &mut draft.doubt;
    let parts = InTokens {
        text: None,
        image: doubt.take(details.image),
        audio: doubt.take(details.audio),
        video: doubt.take(details.video),
        document: None,
    };
    // Cache counts at the object's own level repeat the details' and are not added to them.
    let mut largest =
        |counts: &[Count]| counts.iter().map(|count| draft.doubt.take(*count)).max().flatten();
    let (top_read, top_write) = (largest(&wire.read), largest(&wire.written));
    let read = either(draft.doubt.take(details.cached), top_read);
    let write = either(draft.doubt.take(details.written), top_write);
    let write = writes(write, retention(draft, details.split), &mut draft.doubt);
    let read = read_by_modality(draft, read, details.per_modality);
    draft.inclusive_prompt(prompt, parts, read, write);
}

/// How long the written tokens live, where it is told.
pub(super) fn retention(draft: &mut Draft, split: Option<&[u8]>) -> [(Ttl, Option<u64>); 2] {
    let [short, long] = pick_in(split, ["ttl_30m_tokens", "ttl_12h_tokens"]);
    [(Ttl::M30, draft.doubt.count(short)), (Ttl::H12, draft.doubt.count(long))]
}

/// Divides cached tokens by modality where that is told; else they count as text.
pub(super) fn read_by_modality(
    draft: &mut Draft,
    read: Option<u64>,
    details: Option<&[u8]>,
) -> InTokens {
    let [image, audio] = pick_in(details, ["image_tokens", "audio_tokens"]);
    let (image, audio) = (draft.doubt.count(image), draft.doubt.count(audio));
    let other = plus(image, audio).unwrap_or(0);
    draft.doubt.unless(other <= read.unwrap_or(other));
    InTokens { image, audio, ..text_in(read.map(|read| read.saturating_sub(other))) }
}

fn output_side(draft: &mut Draft, profile: &Profile, details: &Output, counts: &mut Counts) {
    let doubt = &mut draft.doubt;
    let (audio, image) = (doubt.take(details.audio), doubt.take(details.image));
    let parts = OutTokens { audio, image, ..OutTokens::default() };
    let (accepted, rejected) = (doubt.take(details.accepted), doubt.take(details.rejected));
    draft.usage.prediction = accepted
        .or(rejected)
        .map(|_| Prediction { accepted: accepted.unwrap_or(0), rejected: rejected.unwrap_or(0) });
    let inside = reasoning_is_inside(draft, profile, counts);
    draft.output(counts.completion, parts, counts.reasoning, inside);
}

/// Decides by arithmetic where it can (`metering.md` §2), else by the host's habit. Where neither
/// fits, the larger reading counts: reasoning beside the completion.
fn reasoning_is_inside(draft: &mut Draft, profile: &Profile, counts: &mut Counts) -> bool {
    if profile.reasoning == Reasoning::Rest && counts.reasoning.is_none() {
        counts.reasoning = counts.rest();
        draft.doubt.unless(counts.reasoning.is_some() || counts.total.is_none());
        return false;
    }
    if counts.total_is_parts_and(counts.reasoning) {
        return false;
    }
    draft.doubt.unless(counts.total.is_none_or(|total| total == counts.parts()));
    let habit = match (profile.reasoning, counts.total) {
        (Reasoning::Apart, _) | (Reasoning::Outside, None) => return false,
        (Reasoning::Outside, Some(_)) | (Reasoning::Inside | Reasoning::Rest, _) => true,
    };
    let fits = counts.reasoning.unwrap_or(0) <= counts.completion.unwrap_or(0);
    draft.doubt.unless(fits);
    habit && fits
}

fn tools(draft: &mut Draft, wire: &Wire<'_>) {
    wire.tools.into_iter().for_each(|counts| draft.tools(counts));
    let queries = draft.doubt.take(wire.queries);
    draft.used("web_search", queries);
    if let Some(size) = text(wire.size).filter(|size| size.len() < 16) {
        draft.used(&format!("request_{size}"), Some(1));
    }
}

/// Gives each model of a compound its own, where they come to the whole.
fn divide(draft: &mut Draft, profile: &Profile, breakdown: &[u8]) {
    let [models] = pick(breakdown, ["models"]);
    let mut sum = Draft::default();
    let mut extra = Vec::new();
    for entry in Array::new(models.unwrap_or_default()).map_while(Result::ok) {
        let [model, usage] = pick(entry, ["model", "usage"]);
        let (Some(model), Some(usage)) = (text(model), usage) else { continue };
        let part = self::draft(profile, usage);
        sum.add(&part);
        extra.push((model, *part.usage));
    }
    if extra.is_empty() {
        return;
    }
    let totals = |draft: &Draft| (draft.usage.prompt_total(), draft.usage.output_total());
    let whole = totals(draft) == totals(&sum);
    draft.doubt.unless(whole);
    if whole {
        let (prompt, output) =
            (text_in(Some(0)), OutTokens { text: Some(0), ..OutTokens::default() });
        (draft.usage.prompt, draft.usage.read, draft.usage.output) =
            (prompt, InTokens::default(), output);
        draft.usage.write.clear();
        draft.usage.reasoning = None;
        draft.usage.extra = extra;
    }
}

#[cfg(test)]
mod tests {
    use tollgate_core::{Protocol, Quality, Usage};

    use crate::{
        Event,
        usage::{Profile, Reader},
    };

    fn read(provider: &str, answer: &str) -> Usage {
        let mut reader = Reader::new(Profile::of(Protocol::OpenAiChat, provider));
        reader.answer(answer.as_bytes());
        reader.finish(true)
    }

    fn counted(provider: &str, usage: &str) -> (u64, u64, Quality) {
        let usage = read(provider, &format!(r#"{{"usage":{usage}}}"#));
        (usage.prompt_total(), usage.output_total(), usage.quality)
    }

    #[test]
    fn what_a_total_hides_depends_on_the_host() {
        let hidden = r#"{"prompt_tokens":66,"completion_tokens":6,"total_tokens":100}"#;
        assert_eq!(counted("google", hidden), (66, 34, Quality::Exact));
        assert_eq!(counted("openai", hidden), (66, 6, Quality::Inconsistent));
    }

    #[test]
    fn reasoning_beside_the_completion_is_added() {
        let told = |total| {
            format!(
                r#"{{"prompt_tokens":57,"completion_tokens":10,"total_tokens":{total},
                    "completion_tokens_details":{{"reasoning_tokens":37}}}}"#
            )
        };
        assert_eq!(counted("vercel-gateway", &told(67)), (57, 47, Quality::Exact));
        assert_eq!(counted("openai", &told(67)), (57, 47, Quality::Inconsistent));
        assert_eq!(counted("xai", &told(104)), (57, 47, Quality::Exact));
        assert_eq!(counted("nobody", &told(104)), (57, 47, Quality::Exact));
    }

    #[test]
    fn audio_beside_the_prompt_is_seen_by_the_total() {
        let usage = read(
            "mistral",
            r#"{"usage":{"prompt_audio_seconds":3,"prompt_tokens":9,"total_tokens":632,"completion_tokens":248,
                "prompt_tokens_details":{"audio_tokens":375}}}"#,
        );
        assert_eq!((usage.prompt.text, usage.prompt.audio), (Some(9), Some(375)));
        assert_eq!(usage.units.get("audio_seconds").map(String::as_str), Some("3"));
        assert_eq!(usage.quality, Quality::Exact);
    }

    #[test]
    fn the_model_and_the_tier_of_earlier_chunks_are_kept() {
        let served = |chunks: &[&str], complete| {
            let mut reader = Reader::new(Profile::of(Protocol::OpenAiChat, "openai"));
            for data in chunks {
                reader.event(Event { name: None, data: data.as_bytes() });
            }
            let usage = reader.finish(complete);
            (usage.served.model, usage.served.tier, usage.quality)
        };
        let chunks = [
            r#"{"model":"","choices":[],"usage":null}"#,
            r#"{"model":"small","service_tier":null,"choices":[{"delta":{"content":"a"}}]}"#,
            r#"{"model":"small","service_tier":"flex","choices":[{"delta":{"content":"b"}}]}"#,
            r#"{"choices":[{"delta":{"content":"{\"model\":\"other\"}"}}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
        ];
        let (small, flex) = (Some("small".to_owned()), Some("flex".to_owned()));
        assert_eq!(served(&chunks[..4], false), (small.clone(), flex.clone(), Quality::Absent));
        assert_eq!(served(&chunks, true), (small, flex, Quality::Exact));
    }

    #[test]
    fn a_cost_below_nothing_or_beyond_reason_is_not_believed() {
        for (provider, cost) in [
            ("openrouter", r#""cost":-5"#),
            ("openrouter", r#""cost":1e12"#),
            ("openrouter", r#""cost":"1e25""#),
            ("openrouter", r#""cost":1000000"#),
            ("openrouter", r#""cost":0,"cost_details":{"upstream_inference_cost":-0.1}"#),
            ("perplexity", r#""cost":{"total_cost":-0.5}"#),
            ("xai", r#""cost_in_usd_ticks":-123"#),
            ("xai", r#""cost_in_usd_ticks":10000000000000000"#),
        ] {
            let usage = format!(
                r#"{{"usage":{{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,{cost}}}}}"#
            );
            let usage = read(provider, &usage);
            assert_eq!(usage.quality, Quality::Inconsistent, "{cost}");
            let told = usage.reported.cost.or(usage.reported.upstream_cost);
            assert!(told.is_none_or(|told| told == "0"), "{cost}");
            assert_eq!(usage.prompt.text, Some(100), "{cost}");
        }
    }

    #[test]
    fn a_cost_of_nothing_is_a_fact() {
        for (provider, cost) in [("openrouter", r#""cost":0"#), ("xai", r#""cost_in_usd_ticks":0"#)]
        {
            let usage = read(
                provider,
                &format!(r#"{{"usage":{{"prompt_tokens":1,"completion_tokens":2,{cost}}}}}"#),
            );
            assert_eq!(usage.reported.cost.as_deref(), Some("0"));
            assert_eq!(usage.quality, Quality::Exact);
        }
    }

    #[test]
    fn a_cache_told_twice_is_counted_once() {
        let usage = read(
            "deepseek",
            r#"{"usage":{"prompt_tokens":10,"completion_tokens":1,"total_tokens":11,"prompt_cache_hit_tokens":8,
                "prompt_cache_miss_tokens":2,"prompt_tokens_details":{"cached_tokens":8}}}"#,
        );
        assert_eq!((usage.prompt.text, usage.read.text), (Some(2), Some(8)));
        let cached = r#"{"prompt_tokens":10,"completion_tokens":1,"total_tokens":11,"cached_tokens":8,"cache_write_tokens":1}"#;
        assert_eq!(counted("moonshot", cached), (10, 1, Quality::Exact));
    }

    #[test]
    fn of_a_count_told_twice_the_last_counts_and_is_doubted_alone() {
        for (told, expected) in [
            (r#""prompt_tokens":-1,"prompt_tokens":"7""#, (7, 2, Quality::Exact)),
            (r#""prompt_tokens":9,"prompt_tokens":7.5"#, (8, 2, Quality::Inconsistent)),
            (r#""prompt_tokens":9,"prompt_tokens":null"#, (0, 2, Quality::Partial)),
            (r#""prompt_tokens":1099511627776"#, (0, 2, Quality::Inconsistent)),
            (r#""prompt_tokens":999999999999"#, (999_999_999_999, 2, Quality::Exact)),
        ] {
            let usage = format!(r#"{{ {told} , "completion_tokens" : 2 }}"#);
            assert_eq!(counted("openai", &usage), expected, "{told}");
        }
    }

    #[test]
    fn details_that_are_none_or_broken_hide_nothing_behind_them() {
        for details in ["null", "[]", "7", "\"{\"", "{ }", "{1}", r#"{"a":[{"cached_tokens":9}]}"#]
        {
            let usage = format!(
                r#"{{"prompt_tokens":3,"prompt_tokens_details":{details},"completion_tokens":2}}"#
            );
            assert_eq!(counted("openai", &usage), (3, 2, Quality::Exact), "{details}");
        }
        let usage = r#"{"usage":{"prompt_tokens":3,"prompt_tokens_details":{"cached_tokens":2,},"completion_tokens":2}}"#;
        let usage = read("openai", usage);
        assert_eq!((usage.read.text, usage.output.text), (Some(2), Some(2)));
    }

    #[test]
    fn a_compound_is_charged_to_its_models() {
        let usage = read(
            "groq",
            r#"{"model":"groq/compound","usage":{"prompt_tokens":30,"completion_tokens":5,"total_tokens":35},
                "usage_breakdown":{"models":[
                    {"model":"a","usage":{"prompt_tokens":10,"completion_tokens":1,"total_tokens":11}},
                    {"model":"b","usage":{"prompt_tokens":20,"completion_tokens":4,"total_tokens":24}}]}}"#,
        );
        let models: Vec<_> = usage
            .extra
            .iter()
            .map(|(model, usage)| (model.as_str(), usage.prompt_total(), usage.output_total()))
            .collect();
        assert_eq!(models, [("a", 10, 1), ("b", 20, 4)]);
        assert_eq!((usage.prompt_total(), usage.output_total()), (0, 0));
        assert_eq!(usage.quality, Quality::Exact);
    }

    #[test]
    fn a_hosts_own_bill_keeps_its_text_and_unit() {
        let usage = read(
            "openrouter",
            r#"{"usage":{"prompt_tokens":1,"cost":0.00012300,"is_byok":true,"cost_details":{"upstream_inference_cost":6e-3}}}"#,
        );
        let reported = usage.reported;
        assert_eq!(
            (reported.cost.as_deref(), reported.cost_unit.as_deref()),
            (Some("0.00012300"), Some("usd"))
        );
        assert_eq!((reported.upstream_cost.as_deref(), reported.byok), (Some("6e-3"), Some(true)));
        let unknown = read("litellm", r#"{"usage":{"prompt_tokens":1,"cost":3}}"#).reported;
        assert_eq!((unknown.cost.as_deref(), unknown.cost_unit), (Some("3"), None));
    }
}
