//! Anthropic Messages, wherever it is spoken.

use tollgate_core::{OutTokens, ServedAs, Ttl};

use super::{
    draft::{Draft, text_in, writes},
    family::Family,
    fields::{Doubt, pick, pick_in, text},
    profile::Profile,
    told::{Kept, Told, set},
};
use crate::{
    json::{self, Array},
    words::Word,
};

static USAGE: Word = Word::new("\"usage\"");
static METRICS: Word = Word::new("\"amazon-bedrock-invocationMetrics\"");

/// `message_start` and each `message_delta` tell parts, which merge field by field.
#[derive(Debug)]
pub(super) struct Messages;

impl Family for Messages {
    fn may_tell(&self, data: &[u8]) -> bool {
        USAGE.says_something(data) || METRICS.says_something(data)
    }

    fn wants(&self, key: &[u8]) -> bool {
        matches!(key, b"usage" | b"model" | b"amazon-bedrock-invocationMetrics")
    }

    fn member(&self, key: &[u8], value: &[u8], told: &mut Told) {
        match key {
            b"message" => {
                self.members(value, told);
                // A turn that goes on inside a tool comes whole, with its stop.
                let [stop] = pick(value, ["stop_reason"]);
                told.provisional = stop.is_none();
            }
            b"usage" if value.starts_with(b"{") && !json::is_blank(value) => {
                told.note(value);
                told.merged.merge(value);
                told.provisional = false;
            }
            b"model" => told.model(value),
            b"delta" => {
                let [stop] = pick(value, ["stop_reason"]);
                told.ended |= stop.is_some();
            }
            b"amazon-bedrock-invocationMetrics" => {
                told.beside.replace(value);
                told.ended = true;
            }
            _ => {}
        }
    }

    fn served(&self, event: &[u8], told: &mut Told) {
        if told.wants_model(event) {
            let [message] = pick(event, ["message"]);
            let [model] = pick_in(message, ["model"]);
            model.into_iter().for_each(|model| told.model(model));
        }
    }

    fn draft(&self, profile: &Profile, told: &Told) -> Option<Draft> {
        let merged = &told.merged;
        if !merged.told {
            return told.beside.get().map(metrics);
        }
        let mut draft = merged.counts.draft(merged.doubt);
        served(&mut draft, merged);
        draft.doubt.unless(!merged.iterations.oversized);
        passes(&mut draft, merged.iterations.get());
        merged.tools.get().into_iter().for_each(|tools| draft.tools(Some(tools)));
        merged.priced.get().into_iter().for_each(|object| draft.cost(profile.cost, object));
        Some(draft)
    }
}

/// The host's own count of an InvokeModel stream, which leaves caches out: for models that tell
/// nothing themselves.
fn metrics(object: &[u8]) -> Draft {
    let mut draft = Draft::default();
    let [input, output] = pick(object, ["inputTokenCount", "outputTokenCount"]);
    let (input, output) = (draft.doubt.count(input), draft.doubt.count(output));
    draft.usage.prompt = text_in(input);
    draft.output(output, OutTokens::default(), None, true);
    draft
}

/// The counts of one model, as far as they were told.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    input: Option<u64>,
    read: Option<u64>,
    creation: Option<u64>,
    minutes: Option<u64>,
    hour: Option<u64>,
    output: Option<u64>,
    thinking: Option<u64>,
}

impl Counts {
    fn read(object: &[u8], doubt: &mut Doubt) -> Self {
        let [input, read, creation, split, output, details] = pick(
            object,
            [
                "input_tokens",
                "cache_read_input_tokens",
                "cache_creation_input_tokens",
                "cache_creation",
                "output_tokens",
                "output_tokens_details",
            ],
        );
        let [minutes, hour] =
            pick_in(split, ["ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"]);
        let [thinking] = pick_in(details, ["thinking_tokens"]);
        Self {
            input: doubt.count(input),
            read: doubt.count(read),
            creation: doubt.count(creation),
            minutes: doubt.count(minutes),
            hour: doubt.count(hour),
            output: doubt.count(output),
            thinking: doubt.count(thinking),
        }
    }

    /// Takes what a later report says.
    fn merge(&mut self, later: Self) {
        let split_told = later.minutes.or(later.hour).is_some();
        if later.creation.is_some_and(|creation| creation > 0) && !split_told {
            // A new total without its parts: the old parts are no longer its.
            let stale = later.creation != self.creation;
            (self.minutes, self.hour) =
                if stale { (None, None) } else { (self.minutes, self.hour) };
        }
        keep_positive(&mut self.input, later.input);
        keep_positive(&mut self.read, later.read);
        keep_positive(&mut self.creation, later.creation);
        keep_positive(&mut self.minutes, later.minutes);
        keep_positive(&mut self.hour, later.hour);
        self.output = later.output.or(self.output);
        self.thinking = later.thinking.or(self.thinking);
    }

    /// Caches stand beside the input, thinking inside the output.
    fn draft(self, doubt: Doubt) -> Draft {
        let mut draft = Draft { doubt, ..Draft::default() };
        let split = [(Ttl::M5, self.minutes), (Ttl::H1, self.hour)];
        draft.usage.prompt = text_in(self.input);
        draft.usage.read = text_in(self.read);
        draft.usage.write = writes(self.creation, split, &mut draft.doubt);
        let fits = self.thinking.unwrap_or(0) <= self.output.unwrap_or(0);
        draft.doubt.unless(fits);
        draft.output(self.output, OutTokens::default(), self.thinking, fits);
        draft
    }
}

/// A later zero on the input side is a field the host did not fill in.
fn keep_positive(slot: &mut Option<u64>, later: Option<u64>) {
    let erases = later == Some(0) && slot.is_some_and(|earlier| earlier > 0);
    if !erases {
        *slot = later.or(*slot);
    }
}

/// What all reports so far come to.
#[derive(Clone, Debug, Default)]
pub(super) struct Merged {
    told: bool,
    counts: Counts,
    doubt: Doubt,
    tools: Kept,
    priced: Kept,
    iterations: Kept,
    served: ServedAs,
}

impl Merged {
    fn merge(&mut self, object: &[u8]) {
        self.told = true;
        self.counts.merge(Counts::read(object, &mut self.doubt));
        let [tools, iterations, cost, tier, speed, geo] = pick(
            object,
            ["server_tool_use", "iterations", "cost", "service_tier", "speed", "inference_geo"],
        );
        tools.into_iter().for_each(|tools| self.tools.replace(tools));
        iterations.into_iter().for_each(|_| self.iterations.replace(object));
        cost.into_iter().for_each(|_| self.priced.replace(object));
        tier.into_iter().for_each(|tier| set(&mut self.served.tier, tier));
        speed.into_iter().for_each(|speed| set(&mut self.served.speed, speed));
        geo.into_iter().for_each(|geo| set(&mut self.served.geo, geo));
    }
}

fn served(draft: &mut Draft, merged: &Merged) {
    draft.usage.served = merged.served.clone();
    draft.usage.served.batch = merged.served.tier.as_deref() == Some("batch");
}

/// The passes of one turn: a compaction is not in the top level and is added, an advisor is
/// another model's, and a fallback names who really answered.
fn passes(draft: &mut Draft, object: Option<&[u8]>) {
    let Some(object) = object else { return };
    let [iterations] = pick(object, ["iterations"]);
    for pass in Array::new(iterations.unwrap_or_default()).map_while(Result::ok) {
        let [kind, model] = pick(pass, ["type", "model"]);
        let counts =
            |draft: &mut Draft| Counts::read(pass, &mut draft.doubt).draft(Doubt::default());
        match (kind.and_then(json::string).as_deref(), text(model)) {
            (Some("compaction"), _) => {
                let compaction = counts(draft);
                draft.add(&compaction);
            }
            (Some("advisor_message"), model) => {
                let advisor = counts(draft);
                draft.doubt.unless(!advisor.doubt.is_doubted());
                draft.usage.extra.push((model.unwrap_or_default(), *advisor.usage));
            }
            (Some("fallback_message"), Some(model)) => draft.usage.served.model = Some(model),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tollgate_core::{Protocol, Quality, Usage};

    use crate::usage::{Profile, Reader};

    fn read(usage: &str) -> Usage {
        let mut reader = Reader::new(Profile::of(Protocol::AnthropicMessages, "anthropic"));
        reader.answer(format!(r#"{{"model":"asked","usage":{usage}}}"#).as_bytes());
        reader.finish(true)
    }

    #[test]
    fn passes_of_one_turn_are_charged_once_and_to_whom_they_belong() {
        let usage = read(
            r#"{"input_tokens":5,"output_tokens":2,"iterations":[
                {"type":"message","input_tokens":5,"output_tokens":2},
                {"type":"compaction","input_tokens":100,"cache_read_input_tokens":7,"output_tokens":30},
                {"type":"advisor_message","model":"larger","input_tokens":50,"output_tokens":9},
                {"type":"fallback_message","model":"other","input_tokens":5,"output_tokens":2}]}"#,
        );
        assert_eq!((usage.prompt.text, usage.read.text), (Some(105), Some(7)));
        assert_eq!(usage.output_total(), 32);
        let [(model, advisor)] = usage.extra.as_slice() else { panic!("{:?}", usage.extra) };
        assert_eq!(
            (model.as_str(), advisor.prompt_total(), advisor.output_total()),
            ("larger", 50, 9)
        );
        assert_eq!(usage.served.model.as_deref(), Some("other"));
        assert_eq!(usage.quality, Quality::Exact);
    }

    #[test]
    fn a_split_that_does_not_come_to_the_total_is_marked_and_the_rest_kept() {
        let usage = read(
            r#"{"input_tokens":1,"output_tokens":1,"cache_creation_input_tokens":10,
                "cache_creation":{"ephemeral_5m_input_tokens":3,"ephemeral_1h_input_tokens":4}}"#,
        );
        let write: Vec<_> =
            usage.write.iter().map(|(ttl, tokens)| (*ttl, tokens.total())).collect();
        use tollgate_core::Ttl::{H1, M5, Unknown};
        assert_eq!(write, [(M5, 3), (H1, 4), (Unknown, 3)]);
        assert_eq!(usage.quality, Quality::Inconsistent);
    }

    #[test]
    fn invocation_metrics_count_where_the_model_tells_nothing() {
        let metrics = r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":8,"outputTokenCount":3}}"#;
        let mut reader = Reader::new(Profile::of(Protocol::AnthropicMessages, "bedrock"));
        reader.answer(metrics.as_bytes());
        let usage = reader.finish(false);
        assert_eq!((usage.prompt_total(), usage.output_total()), (8, 3));
        assert_eq!(usage.quality, Quality::Exact);
        let mut reader = Reader::new(Profile::of(Protocol::AnthropicMessages, "bedrock"));
        reader.answer(
            br#"{"usage":{"input_tokens":2,"cache_read_input_tokens":6,"output_tokens":3}}"#,
        );
        reader.answer(metrics.as_bytes());
        assert_eq!(reader.finish(true).prompt_total(), 8);
    }

    #[test]
    fn a_message_that_starts_with_its_stop_is_whole() {
        for (stop, quality) in [("null", Quality::Partial), ("\"tool_use\"", Quality::Exact)] {
            let mut reader = Reader::new(Profile::of(Protocol::AnthropicMessages, "anthropic"));
            let message = format!(
                r#"{{"message":{{"stop_reason":{stop},"usage":{{"input_tokens":0,"output_tokens":0}}}}}}"#
            );
            reader.answer(message.as_bytes());
            assert_eq!(reader.finish(true).quality, quality);
        }
    }

    #[test]
    fn tools_speed_and_place_are_kept() {
        let usage = read(
            r#"{"input_tokens":1,"output_tokens":1,"service_tier":"batch","speed":"fast","inference_geo":"us",
                "server_tool_use":{"web_search_requests":2,"web_fetch_requests":0}}"#,
        );
        assert_eq!(usage.tools.into_iter().collect::<Vec<_>>(), [("web_search".to_owned(), 2)]);
        let served = usage.served;
        assert!(served.batch);
        assert_eq!((served.speed.as_deref(), served.geo.as_deref()), (Some("fast"), Some("us")));
    }
}
