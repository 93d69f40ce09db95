use std::{
    cell::Cell,
    fmt,
    ops::Deref,
    str::FromStr,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// A wire protocol a client or an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Protocol {
    /// OpenAI Chat Completions (and embeddings), and every server compatible with it.
    OpenAiChat,
    /// OpenAI Responses.
    OpenAiResponses,
    /// Anthropic Messages.
    AnthropicMessages,
    /// Gemini generateContent.
    Gemini,
}

impl Protocol {
    /// Every protocol, in the order of declaration.
    pub const ALL: [Self; 4] =
        [Self::OpenAiChat, Self::OpenAiResponses, Self::AnthropicMessages, Self::Gemini];

    /// Returns the name used in configuration, labels and commands.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenAiChat => "openai-chat",
            Self::OpenAiResponses => "openai-responses",
            Self::AnthropicMessages => "anthropic-messages",
            Self::Gemini => "gemini",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Protocol {
    type Err = UnknownProtocol;

    fn from_str(name: &str) -> Result<Self, UnknownProtocol> {
        Self::ALL
            .into_iter()
            .find(|p| p.as_str() == name)
            .ok_or_else(|| UnknownProtocol(name.to_owned()))
    }
}

/// The name is not one of the protocols'.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownProtocol(pub String);

impl fmt::Display for UnknownProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown protocol `{}`; one of", self.0)?;
        Protocol::ALL.iter().try_for_each(|p| write!(f, " `{p}`"))
    }
}

impl std::error::Error for UnknownProtocol {}

/// What a request asks a protocol to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Generate an answer (chat completion, response, message, content).
    Generate,
    /// Embed texts.
    Embed,
    /// Count the tokens of a prompt.
    CountTokens,
    /// List the models.
    ListModels,
    /// Describe one model.
    GetModel,
    /// Anything else: never read, passed through as it is.
    Other,
}

impl Operation {
    /// Returns the name used in logs and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Generate => "generate",
            Self::Embed => "embed",
            Self::CountTokens => "count_tokens",
            Self::ListModels => "list_models",
            Self::GetModel => "get_model",
            Self::Other => "other",
        }
    }

    /// Whether the request names a model in its body or path and can be routed by it.
    pub const fn has_model(self) -> bool {
        matches!(self, Self::Generate | Self::Embed | Self::CountTokens)
    }
}

/// The provider under whose own prefix a request came: the model it names is that provider's.
///
/// Written by whoever takes the prefix off the path; read where a [`Call`] is made. Default: the
/// name alone says whose model is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedProvider(pub Arc<str>);

impl AskedProvider {
    /// Returns `provider/model`, which `model` may be already.
    pub fn name(&self, model: String) -> String {
        let is_named = model.strip_prefix(&*self.0).is_some_and(|rest| rest.starts_with('/'));
        if is_named { model } else { [&*self.0, "/", &*model].concat() }
    }
}

/// The identity of one client call, shown as `x-tollgate-call-id`.
///
/// 128 bits, printed as 32 hexadecimal digits: when it was made, in Unix milliseconds, in the first
/// 48 and random ones behind. Ids of a time sort together, which is what makes an index of millions
/// of them cheap to add to.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallId([u8; 16]);

impl CallId {
    /// Returns a fresh identity.
    ///
    /// Each thread draws from a sequence of its own, seeded by the operating system: an id is for
    /// people to find a call again and guards nothing.
    pub fn random() -> Self {
        thread_local! {
            static SEQUENCE: Cell<u128> = Cell::new(seed());
        }
        let state = SEQUENCE.get().wrapping_add(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        SEQUENCE.set(state);
        let mixed = (state ^ (state >> 64)).wrapping_mul(0xda94_2042_e4dd_58b5_94d0_49bb_1331_11eb);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self((now.as_millis() << 80 | (mixed ^ (mixed >> 61)) >> 48).to_be_bytes())
    }

    /// Wraps the bits of an identity, as a store kept them.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the identity's bits.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// The text is not 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotACallId;

impl fmt::Display for NotACallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a call id is 32 hexadecimal digits")
    }
}

impl std::error::Error for NotACallId {}

impl FromStr for CallId {
    type Err = NotACallId;

    fn from_str(text: &str) -> Result<Self, NotACallId> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let bits = digits.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        bits.map(|bits| Self(bits.to_be_bytes())).ok_or(NotACallId)
    }
}

fn seed() -> u128 {
    let mut bytes = [0; 16];
    // Without randomness the sequence starts where every such process starts: ids may repeat.
    let _ = getrandom::fill(&mut bytes);
    u128::from_be_bytes(bytes)
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What the request needs of whoever answers it, as far as its top-level members show.
///
/// A set flag is certain; an unset one means "not seen without parsing the messages".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Needs {
    /// Tools are offered.
    pub tools: bool,
    /// A structured answer is asked for (JSON schema or JSON object).
    pub structured_output: bool,
    /// The structured answer is to follow a schema, not only to be JSON.
    pub schema: bool,
    /// Reasoning is asked for or configured.
    pub reasoning: bool,
    /// It goes on from what an upstream keeps: an earlier response, a conversation, cached content.
    pub state: bool,
    /// The body has a member `provider` or `models`: wishes about who is to answer.
    pub wishes: bool,
}

/// The facts of one call.
#[derive(Clone, Debug)]
pub struct CallFacts {
    /// Identity of the call.
    pub id: CallId,
    /// The protocol the client speaks.
    pub protocol: Protocol,
    /// What it asks for.
    pub operation: Operation,
    /// The model as the client named it; `None` for operations without one.
    pub model: Option<Box<str>>,
    /// The answer is asked for as a stream.
    pub stream: bool,
    /// A Gemini stream without `alt=sse`: one JSON array sent element by element.
    pub json_array: bool,
    /// Upper limit of output tokens the client set, reasoning included.
    pub output_limit: Option<u64>,
    /// How many alternative answers are asked for (`n`, `candidateCount`); 1 when not given.
    pub candidates: u32,
    /// The client asked for usage in a Chat stream (`stream_options.include_usage`).
    pub stream_usage: bool,
    /// The request has a `usage` member, by which OpenRouter is asked to tell the cost.
    pub asks_cost: bool,
    /// The end user, where the request names one (OpenAI's `safety_identifier` or `user`,
    /// Anthropic's `metadata.user_id`). At most 256 bytes.
    pub user: Option<Box<str>>,
    /// The service tier asked for, in the protocol's own word (`service_tier`; Gemini's
    /// `serviceTier`). At most 64 bytes. What is billed is the one that was served.
    pub service_tier: Option<Box<str>>,
    /// What the request needs of a target.
    pub needs: Needs,
}

/// What is known of a client's call: facts only, written by `Inspect` and read by every layer.
///
/// The request's body stays the only truth about its bytes; whoever changes the body inspects
/// again. Cloning is one reference count.
#[derive(Clone, Debug)]
pub struct Call(Arc<CallFacts>);

impl Call {
    /// Returns a call without model, not streamed, with a fresh id.
    pub fn new(protocol: Protocol, operation: Operation) -> Self {
        CallFacts {
            id: CallId::random(),
            protocol,
            operation,
            model: None,
            stream: false,
            json_array: false,
            output_limit: None,
            candidates: 1,
            stream_usage: false,
            asks_cost: false,
            user: None,
            service_tier: None,
            needs: Needs::default(),
        }
        .into()
    }
}

impl From<CallFacts> for Call {
    fn from(facts: CallFacts) -> Self {
        Self(Arc::new(facts))
    }
}

impl Deref for Call {
    type Target = CallFacts;

    fn deref(&self) -> &CallFacts {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocol_names_parse_back() {
        for protocol in Protocol::ALL {
            assert_eq!(protocol.as_str().parse(), Ok(protocol));
        }
        assert!("openai".parse::<Protocol>().unwrap_err().to_string().contains("openai-chat"));
    }

    #[test]
    fn call_ids_differ_and_have_32_digits() {
        let (a, b) = (CallId::random(), CallId::random());
        assert_ne!(a, b);
        assert_eq!(a.to_string().len(), 32);
        assert_eq!(a.to_string().parse(), Ok(a));
        assert_eq!(CallId::from_bytes(*b.as_bytes()), b);
        let millis = |id: CallId| u64::from_str_radix(&id.to_string()[..12], 16).unwrap();
        assert!(millis(a) > 1_700_000_000_000 && millis(b) - millis(a) < 60_000);
        for text in ["", "0", &"g".repeat(32), &"+".repeat(32), &"0".repeat(33)] {
            assert_eq!(text.parse::<CallId>(), Err(NotACallId), "{text}");
        }
    }
}
