use std::collections::BTreeMap;

use bytes::Bytes;

/// Prompt tokens by modality. Disjoint; `None` where the upstream did not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct InTokens {
    pub text: Option<u64>,
    pub image: Option<u64>,
    pub audio: Option<u64>,
    pub video: Option<u64>,
    pub document: Option<u64>,
}

impl InTokens {
    /// The sum over the modalities, saturating.
    pub fn total(&self) -> u64 {
        sum([self.text, self.image, self.audio, self.video, self.document])
    }
}

/// Visible output tokens by modality. Disjoint; reasoning is not among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct OutTokens {
    pub text: Option<u64>,
    pub image: Option<u64>,
    pub audio: Option<u64>,
    pub video: Option<u64>,
}

impl OutTokens {
    /// The sum over the modalities, saturating.
    pub fn total(&self) -> u64 {
        sum([self.text, self.image, self.audio, self.video])
    }
}

/// How long written cache entries live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Ttl {
    M5,
    M30,
    H1,
    H12,
    Unknown,
}

/// Predicted output that was taken or thrown away; informational, inside the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Prediction {
    pub accepted: u64,
    pub rejected: u64,
}

/// How far a usage can be trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Quality {
    /// Reported by the upstream, whole and consistent.
    Exact,
    /// Reported, but the stream ended before the last report.
    Partial,
    /// Counted by us.
    Estimated,
    /// Reported, but its numbers contradict each other.
    Inconsistent,
    /// Nothing was reported.
    #[default]
    Absent,
}

/// What the upstream says it served with, as far as it changes the price.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ServedAs {
    pub model: Option<String>,
    pub tier: Option<String>,
    pub speed: Option<String>,
    pub geo: Option<String>,
    pub batch: bool,
    pub traffic: Option<String>,
    /// Unix seconds.
    pub completed_at: Option<u64>,
}

/// What the upstream reports about the cost itself, numbers as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Reported {
    pub total_tokens: Option<u64>,
    pub cost: Option<String>,
    pub cost_unit: Option<String>,
    pub upstream_cost: Option<String>,
    pub byok: Option<bool>,
}

/// What an attempt used, lossless over all protocols (`metering.md` §5.2).
///
/// All parts are disjoint; counts are tokens. [`Usage::prompt_total`] and [`Usage::output_total`]
/// are the inclusive numbers providers show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Prompt tokens neither read from nor written to a cache.
    pub prompt: InTokens,
    /// Prompt tokens read from a cache.
    pub read: InTokens,
    /// Prompt tokens written to a cache.
    pub write: Vec<(Ttl, InTokens)>,
    /// Tokens of tool results a Gemini upstream put into the prompt itself.
    pub tool_in: Option<u64>,
    /// Visible output.
    pub output: OutTokens,
    /// Reasoning output, disjoint from the visible.
    pub reasoning: Option<u64>,
    /// Citation output, disjoint from the visible.
    pub citation: Option<u64>,
    /// Predicted output.
    pub prediction: Option<Prediction>,
    /// Uses of server tools by kind.
    pub tools: BTreeMap<String, u64>,
    /// Other billed units by kind (`audio_seconds`, `characters`, …), decimals as written.
    pub units: BTreeMap<String, String>,
    /// Usage of other models inside the same answer.
    pub extra: Vec<(String, Usage)>,
    /// How it was served.
    pub served: ServedAs,
    /// What the upstream says it costs.
    pub reported: Reported,
    /// How far it can be trusted.
    pub quality: Quality,
    /// How it was estimated, where [`Usage::quality`] is [`Quality::Estimated`].
    pub method: Option<String>,
    /// The wire objects it was read from.
    pub raw: Vec<Bytes>,
}

impl Usage {
    /// Everything in the prompt: uncached, read and written, without [`Usage::tool_in`].
    pub fn prompt_total(&self) -> u64 {
        self.write
            .iter()
            .map(|(_, tokens)| tokens.total())
            .fold(self.prompt.total().saturating_add(self.read.total()), u64::saturating_add)
    }

    /// Everything put out: visible, reasoning and citations.
    pub fn output_total(&self) -> u64 {
        self.output.total().saturating_add(sum([self.reasoning, self.citation]))
    }
}

fn sum<const N: usize>(parts: [Option<u64>; N]) -> u64 {
    parts.into_iter().flatten().fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inclusive_totals_add_the_disjoint_parts_once() {
        let tokens = |n| InTokens { text: Some(n), ..InTokens::default() };
        let usage = Usage {
            prompt: tokens(10),
            read: tokens(5),
            write: vec![(Ttl::M5, tokens(2)), (Ttl::H1, tokens(3))],
            output: OutTokens { text: Some(7), ..OutTokens::default() },
            reasoning: Some(4),
            ..Usage::default()
        };
        assert_eq!((usage.prompt_total(), usage.output_total()), (20, 11));
    }

    #[test]
    fn absurd_counts_saturate() {
        let huge = InTokens { text: Some(u64::MAX), image: Some(1), ..InTokens::default() };
        assert_eq!(Usage { prompt: huge, read: huge, ..Usage::default() }.prompt_total(), u64::MAX);
    }
}
