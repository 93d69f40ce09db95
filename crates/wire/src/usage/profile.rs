use tollgate_core::Protocol;

/// How one host tells usage: which names, which counts are parts of which, and how it is asked.
///
/// Chosen by the route, never by the look of an object: the same names mean different things at
/// different hosts (`metering.md` §2).
///
/// ```
/// use tollgate_wire::{tollgate_core::Protocol, usage::Profile};
///
/// let xai = Profile::of(Protocol::OpenAiChat, "xai");
/// assert_ne!(xai, Profile::of(Protocol::OpenAiChat, "openai"));
/// assert_eq!(Profile::of(Protocol::OpenAiChat, "moonshotai"), Profile::of(Protocol::OpenAiChat, "moonshot"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    pub(super) shape: Shape,
    pub(super) reasoning: Reasoning,
    pub(super) cost: Cost,
    pub(super) asking: Asking,
    /// Audio stands beside the prompt figure where the total says so.
    pub(super) audio_beside: bool,
}

/// Which names the counts have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Chat,
    Responses,
    Realtime,
    Messages,
    Generate,
    Converse,
    Cohere,
    Images,
    Media,
}

/// Where reasoning stands to the output and to the total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reasoning {
    /// Part of the output.
    Inside,
    /// Beside the output, part of the total.
    Outside,
    /// Beside the output, and the total leaves it out.
    Apart,
    /// Not told: what the total has more than its parts.
    Rest,
}

/// What the host says of its own bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cost {
    /// Nothing that is known; a `cost` is kept without a unit.
    Unknown,
    /// `usage.cost`, a number of US dollars.
    Dollars,
    /// `usage.cost.total_cost`, a number of US dollars.
    Total,
    /// `usage.cost_in_usd_ticks`, of which 10^10 are a dollar.
    Ticks,
}

/// How a Chat stream is made to tell its usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asking {
    /// By `stream_options.include_usage`.
    Option,
    /// The same; `usage.include` is the host's own, too.
    OptionOrInclude,
    /// `usage.include` is the host's own, and nothing is asked for.
    Include,
    /// Not at all: the host tells it unasked or refuses the option.
    Never,
}

/// Known to count as OpenAI does, cached tokens inside the prompt and reasoning inside the
/// completion, under whichever of the cache's names.
const OPENAI_AND_LIKES: &[&str] = &[
    "openai",
    "azure",
    "azure-ai",
    "github-models",
    "bedrock-mantle",
    "deepseek",
    "groq",
    "together",
    "fireworks",
    "moonshot",
    "moonshotai",
    "kimi",
    "zai",
    "z.ai",
    "alibaba",
    "dashscope",
    "qwen",
    "cohere",
    "llama-cpp",
    "ollama",
];

/// How OpenAI does it.
const CHAT: Profile = Profile { asking: Asking::Option, ..Profile::plain(Shape::Chat) };

/// Hosts that speak Chat Completions, by every name they have. Who is not here is taken for OpenAI.
const CHAT_HOSTS: &[(&[&str], Profile)] = &[
    (OPENAI_AND_LIKES, CHAT),
    (&["xai"], Profile { reasoning: Reasoning::Outside, cost: Cost::Ticks, ..CHAT }),
    (
        &["perplexity"],
        Profile { reasoning: Reasoning::Apart, cost: Cost::Total, asking: Asking::Never, ..CHAT },
    ),
    (&["openrouter"], Profile { cost: Cost::Dollars, asking: Asking::OptionOrInclude, ..CHAT }),
    // Seen in its bills: reasoning is charged beside the completion, also for OpenAI's models.
    (
        &["vercel-gateway", "vercel"],
        Profile { reasoning: Reasoning::Apart, cost: Cost::Dollars, ..CHAT },
    ),
    (&["avian"], Profile { cost: Cost::Dollars, ..CHAT }),
    // The compatible endpoint leaves thoughts out of the completion, and names them nowhere.
    (&["gemini", "google", "vertex"], Profile { reasoning: Reasoning::Rest, ..CHAT }),
    // Refuses the option; tells usage on the last chunk unasked.
    (&["mistral"], Profile { asking: Asking::Never, audio_beside: true, ..CHAT }),
    // Tell it unasked.
    (&["cerebras", "databricks"], Profile { asking: Asking::Never, ..CHAT }),
];

impl Profile {
    /// Returns how `provider` tells usage in `protocol`.
    ///
    /// Providers are named as the presets or the price catalogue name them (`gemini` or `google`,
    /// `moonshot` or `moonshotai`, …). One nobody knows is taken to follow the protocol's owner.
    pub fn of(protocol: Protocol, provider: &str) -> Self {
        match protocol {
            Protocol::OpenAiResponses => Self::responses(provider),
            Protocol::AnthropicMessages => {
                Self { cost: cost(provider), ..Self::plain(Shape::Messages) }
            }
            Protocol::Gemini => {
                Self { reasoning: Reasoning::Outside, ..Self::plain(Shape::Generate) }
            }
            _ => Self::chat(provider),
        }
    }

    /// Whether the host tells what an answer costs.
    pub fn tells_cost(&self) -> bool {
        self.cost != Cost::Unknown
    }

    /// Returns how Amazon Bedrock tells usage in Converse.
    pub const fn converse() -> Self {
        Self::plain(Shape::Converse)
    }

    /// Returns how Cohere tells usage in its own chat, embed and rerank.
    pub const fn cohere() -> Self {
        Self::plain(Shape::Cohere)
    }

    /// Returns how OpenAI counts generated images: the output is image tokens.
    pub const fn images() -> Self {
        Self::plain(Shape::Images)
    }

    /// Returns how transcriptions and documents (OCR) are counted: tokens by modality, seconds,
    /// pages.
    pub const fn media() -> Self {
        Self::plain(Shape::Media)
    }

    /// Returns how OpenAI Realtime tells usage: each `response.done` its own, which add up.
    pub const fn realtime() -> Self {
        Self::plain(Shape::Realtime)
    }

    /// Never asks in the client's stead: for a host of one's own that refuses `stream_options`.
    #[must_use]
    pub const fn without_asking(mut self) -> Self {
        self.asking = match self.asking {
            Asking::OptionOrInclude => Asking::Include,
            Asking::Option | Asking::Include | Asking::Never => Asking::Never,
        };
        self
    }

    const fn plain(shape: Shape) -> Self {
        Self {
            shape,
            reasoning: Reasoning::Inside,
            cost: Cost::Unknown,
            asking: Asking::Never,
            audio_beside: false,
        }
    }

    fn chat(provider: &str) -> Self {
        let known = CHAT_HOSTS.iter().find(|(names, _)| names.contains(&provider));
        known.map_or(CHAT, |(_, profile)| *profile)
    }

    fn responses(provider: &str) -> Self {
        let asking = match provider {
            "openrouter" => Asking::Include,
            _ => Asking::Never,
        };
        Self { cost: cost(provider), asking, ..Self::plain(Shape::Responses) }
    }
}

/// A host bills in one way, whichever protocol it is asked in.
fn cost(provider: &str) -> Cost {
    Profile::chat(provider).cost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_entry() {
        let names: Vec<_> = CHAT_HOSTS.iter().flat_map(|(names, _)| *names).collect();
        for name in &names {
            assert_eq!(names.iter().filter(|other| other == &name).count(), 1, "{name}");
        }
    }

    #[test]
    fn the_protocol_decides_before_the_host() {
        let of = |protocol| Profile::of(protocol, "xai");
        assert_eq!(of(Protocol::OpenAiChat).reasoning, Reasoning::Outside);
        assert_eq!(of(Protocol::OpenAiResponses).reasoning, Reasoning::Inside);
        assert_eq!(of(Protocol::OpenAiResponses).cost, Cost::Ticks);
        assert_eq!(of(Protocol::AnthropicMessages).shape, Shape::Messages);
        assert_eq!(Profile::of(Protocol::OpenAiChat, "nobody").asking, Asking::Option);
    }
}
