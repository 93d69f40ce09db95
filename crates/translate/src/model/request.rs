use tollgate_core::{Effort, Protocol};

use super::{Extra, Item, Tool, ToolChoice};
use crate::json::{Number, Raw};

/// A request for an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversation {
    /// The protocol it was read from: the one its [`Extra`] and [`Native`] belong to.
    pub source: Protocol,
    /// The model as the client names it.
    pub model: String,
    /// The whole conversation, in order.
    pub items: Vec<Item>,
    /// In the client's order.
    pub tools: Vec<Tool>,
    /// `None`: not given, which is not [`ToolChoice::Auto`].
    pub tool_choice: Option<ToolChoice>,
    /// Whether one answer may call several tools.
    pub parallel_tools: Option<bool>,
    /// Visible and reasoning tokens together.
    pub output_limit: Option<u64>,
    /// Temperature and its kin.
    pub sampling: SamplingRequest,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// How many alternative answers.
    pub candidates: Option<u64>,
    /// The form of the answer; `None`: free text.
    pub format: Option<Format>,
    /// How many words: `low`, `medium`, `high`.
    pub verbosity: Option<String>,
    /// How much reasoning.
    pub reasoning: Option<ReasoningRequest>,
    /// What of caching concerns the whole request.
    pub cache: CacheRequest,
    /// Who asks.
    pub identity: Identity,
    /// Which service tier.
    pub tier: Option<Tier>,
    /// What it refers to on the server.
    pub state: ServerState,
    /// Log probabilities.
    pub logprobs: Option<Logprobs>,
    /// What else the answer shall hold (Responses).
    pub include: Vec<String>,
    /// Whether the answer is a stream.
    pub stream: StreamRequest,
    /// The request used `functions` and `function_call`; so must the answer.
    pub legacy_functions: bool,
    /// Known fields that only their own protocol has.
    pub native: Vec<Native>,
    /// Unknown fields.
    pub extra: Extra,
}

impl Conversation {
    /// Returns a conversation without items.
    pub fn new(source: Protocol, model: impl Into<String>) -> Self {
        Self {
            source,
            model: model.into(),
            items: Vec::new(),
            tools: Vec::new(),
            tool_choice: None,
            parallel_tools: None,
            output_limit: None,
            sampling: SamplingRequest::default(),
            stop: Vec::new(),
            candidates: None,
            format: None,
            verbosity: None,
            reasoning: None,
            cache: CacheRequest::default(),
            identity: Identity::default(),
            tier: None,
            state: ServerState::default(),
            logprobs: None,
            include: Vec::new(),
            stream: StreamRequest::default(),
            legacy_functions: false,
            native: Vec::new(),
            extra: Extra::default(),
        }
    }
}

/// A known field that only its own protocol has.
#[derive(Clone, Debug, PartialEq)]
pub struct Native {
    /// Its name, with dots for nesting, as its protocol writes it.
    pub name: &'static str,
    /// What was sent.
    pub value: Raw,
    /// Another protocol is not asked without it: the request is refused.
    pub essential: bool,
}

/// Sampling knobs, numbers as written.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct SamplingRequest {
    pub temperature: Option<Number>,
    pub top_p: Option<Number>,
    pub top_k: Option<Number>,
    pub frequency_penalty: Option<Number>,
    pub presence_penalty: Option<Number>,
    pub seed: Option<Number>,
    pub logit_bias: Option<Raw>,
}

/// The form of the answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// Free text, said explicitly.
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON that fits a schema.
    JsonSchema(JsonSchema),
    /// One word of an enumeration (Gemini's `text/x.enum`).
    Enum(Option<Raw>),
}

/// The schema of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct JsonSchema {
    pub name: Option<String>,
    pub description: Option<String>,
    /// JSON Schema; `None`: any object.
    pub schema: Option<Raw>,
    pub strict: Option<bool>,
}

/// How much reasoning is asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReasoningRequest {
    /// As a word.
    pub effort: Option<Effort>,
    /// As tokens.
    pub budget: Option<ReasoningBudget>,
    /// Whether the client wants to read it; `None`: it did not say.
    pub visible: Option<bool>,
    /// How long a summary: `auto`, `concise`, `detailed`.
    pub summary: Option<String>,
    /// What only its own protocol has.
    pub extra: Extra,
}

/// A budget of reasoning tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasoningBudget {
    /// None at all.
    Off,
    /// As the model likes.
    Dynamic,
    /// At most so many.
    Tokens(u64),
}

/// What of caching concerns the whole request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CacheRequest {
    /// The upstream chooses the breakpoints itself.
    pub auto: Option<bool>,
    /// How long, as written (`5m`, `1h`, `24h`).
    pub ttl: Option<String>,
    /// What requests with the same prefix share.
    pub key: Option<String>,
    /// Gemini's cached content, which is part of the prompt.
    pub content_ref: Option<String>,
}

/// Who asks, as the upstream is told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identity {
    /// The end user.
    pub end_user: Option<String>,
    /// The end user under the newer name; wins.
    pub safety_id: Option<String>,
    /// Labels of the request.
    pub metadata: Option<Raw>,
}

impl Identity {
    /// The end user, under whichever name.
    pub fn user(&self) -> Option<&str> {
        self.safety_id.as_deref().or(self.end_user.as_deref())
    }
}

/// A service tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Tier {
    Auto,
    Standard,
    Flex,
    Scale,
    Priority,
    Fast,
}

/// What a request refers to on the server that keeps it.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct ServerState {
    pub previous_response: Option<String>,
    pub conversation: Option<Raw>,
    pub prompt: Option<Raw>,
    pub store: Option<bool>,
    pub background: Option<bool>,
}

/// Log probabilities asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Logprobs {
    /// Of the chosen tokens.
    pub enabled: bool,
    /// Of how many alternatives.
    pub top: Option<u64>,
}

/// Whether and how the answer is streamed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamRequest {
    /// It is; `None`: not said in the body.
    pub on: Option<bool>,
    /// With usage at its end (Chat).
    pub usage: Option<bool>,
    /// What else its own protocol has.
    pub extra: Extra,
}

/// A field of a request that every protocol may have under a name of its own: what warnings and
/// refusals name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
#[non_exhaustive]
pub enum Field {
    Items,
    Tools,
    ToolChoice,
    ParallelTools,
    OutputLimit,
    Temperature,
    TopP,
    TopK,
    FrequencyPenalty,
    PresencePenalty,
    Seed,
    LogitBias,
    Stop,
    Candidates,
    Format,
    Verbosity,
    Reasoning,
    CacheAuto,
    CacheKey,
    CachedContent,
    EndUser,
    Metadata,
    Tier,
    PreviousResponse,
    ServerConversation,
    Prompt,
    Store,
    Background,
    Logprobs,
    Include,
    Stream,
}
