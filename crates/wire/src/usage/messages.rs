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
    json::{self, Array, Object},
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

    fn wants(&self, key: &str) -> bool {
        matches!(key, "usage" | "model" | "amazon-bedrock-invocationMetrics")
    }

    fn member(&self, key: &str, value: &[u8], told: &mut Told) {
        match key {
            "message" => Object::new(value)
                .map_while(Result::ok)
                .for_each(|(key, value)| self.member(&key, value, told)),
            "usage" if value.starts_with(b"{") && !json::is_blank(value) => {
                told.note(value);
                told.merged.merge(value);
            }
            "model" => told.model(value),
            "delta" => {
                let [stop] = pick(value, ["stop_reason"]);
                told.ended |= stop.is_some();
            }
            "amazon-bedrock-invocationMetrics" => {
                told.beside.replace(value);
                told.ended = true;
            }
            _ => {}
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
                draft.usage.extra.push((model.unwrap_or_default(), advisor.usage));
            }
            (Some("fallback_message"), Some(model)) => draft.usage.served.model = Some(model),
            _ => {}
        }
    }
}
