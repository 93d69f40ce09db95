use std::collections::BTreeSet;

/// Which sampling knobs a model takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sampling {
    /// All of them.
    #[default]
    Full,
    /// Temperature or top-p, not both.
    OneOf,
    /// None: newest Claude models refuse every knob.
    None,
}

/// How a model takes its thinking configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thinking {
    /// Not at all.
    None,
    /// As a budget of tokens.
    Budget,
    /// Adaptively, with an effort word.
    Adaptive,
    /// As a level.
    Level,
}

/// A word for how much to reason, from none to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    XHigh,
    Max,
}

/// The schema language of tools and structured answers at a Gemini upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SchemaDialect {
    /// JSON Schema.
    #[default]
    JsonSchema,
    /// The OpenAPI subset of older models.
    OpenApiSubset,
}

/// Whether a tool choice may force a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForcedToolChoice {
    /// Always.
    Always,
    /// Not while thinking is on.
    NotWithThinking,
    /// Never.
    Never,
}

/// What the model at a deployment accepts: the capability record of `protocols/README.md` §1.1.
///
/// The default is what is assumed of an unknown model. `None` where a protocol's own default
/// applies.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
#[non_exhaustive]
pub struct Caps {
    /// Input and output together, in tokens.
    pub context_window: Option<u64>,
    /// In tokens, reasoning included.
    pub max_output_tokens: Option<u64>,
    /// Sent where the protocol requires a limit and nobody gave one. Default 8192.
    pub default_max_output_tokens: u64,
    pub sampling: Sampling,
    /// Protocol default: Anthropic a budget, Gemini a level.
    pub thinking: Option<Thinking>,
    /// Effort words the model takes; `None`: all.
    pub efforts: Option<BTreeSet<Effort>>,
    /// The last message may be the assistant's.
    pub prefill: bool,
    /// `role: "system"` is accepted inside Anthropic `messages`.
    pub mid_system: bool,
    /// The `developer` role is known. Default: only at OpenAI itself.
    pub developer_role: Option<bool>,
    pub structured_output: bool,
    pub strict_tools: bool,
    pub schema: SchemaDialect,
    /// Media may stand in tool results. Protocol default: all but Chat.
    pub tool_result_media: Option<bool>,
    /// Replayed reasoning is bound to the exact prefix or account.
    pub bound_reasoning: bool,
    /// Protocol default: Anthropic with a budget not with thinking, else always.
    pub forced_tool_choice: Option<ForcedToolChoice>,
    /// Function calls of the current turn must carry a thought signature.
    pub needs_thought_signature: bool,
    /// The upstream fetches `https` images itself.
    pub fetches_https_images: Option<bool>,
    /// The upstream fetches `https` files itself.
    pub fetches_https_files: Option<bool>,
    /// `None`: unknown, which refuses nothing.
    pub image_in: Option<bool>,
    pub audio_in: Option<bool>,
    pub video_in: Option<bool>,
    pub pdf_in: Option<bool>,
    pub tools: Option<bool>,
    pub n_gt_1: Option<bool>,
    pub logprobs: Option<bool>,
    pub penalties: Option<bool>,
    pub seed: Option<bool>,
    pub server_web_search: Option<bool>,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            context_window: None,
            max_output_tokens: None,
            default_max_output_tokens: 8192,
            sampling: Sampling::Full,
            thinking: None,
            efforts: None,
            prefill: true,
            mid_system: false,
            developer_role: None,
            structured_output: true,
            strict_tools: true,
            schema: SchemaDialect::JsonSchema,
            tool_result_media: None,
            bound_reasoning: false,
            forced_tool_choice: None,
            needs_thought_signature: false,
            fetches_https_images: None,
            fetches_https_files: None,
            image_in: None,
            audio_in: None,
            video_in: None,
            pdf_in: None,
            tools: None,
            n_gt_1: None,
            logprobs: None,
            penalties: None,
            seed: None,
            server_web_search: None,
        }
    }
}
