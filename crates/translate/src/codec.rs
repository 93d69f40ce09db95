use std::fmt;

use tollgate_core::{Caps, Protocol, Refusal};
use tollgate_wire::{Fault, ModelCard};

use crate::{
    embed::{EmbedAnswer, EmbedRequest},
    json::Raw,
    model::{Answer, Conversation, Field, MediaKind, Place, Vendor},
    restore::Restore,
    stream::{DecodeStream, EncodeStream},
    table::Row,
    warning::Report,
};

/// Returns the codec of a protocol.
pub fn codec(protocol: Protocol) -> &'static dyn Codec {
    match protocol {
        Protocol::OpenAiResponses => &crate::openai_responses::OpenAiResponses,
        Protocol::AnthropicMessages => &crate::anthropic_messages::AnthropicMessages,
        Protocol::Gemini => &crate::gemini::Gemini,
        _ => &crate::openai_chat::OpenAiChat,
    }
}

/// One protocol as the conversation model sees it: a decoder and an encoder of each kind of body.
///
/// One module each; they do not know each other. Everything is a pure function of its arguments:
/// the same value is always written as the same bytes.
pub trait Codec: fmt::Debug + Send + Sync + 'static {
    /// Which protocol this is.
    fn protocol(&self) -> Protocol;

    /// Whose opaque values this protocol hands out as its own.
    fn vendor(&self) -> Vendor;

    /// What the protocol calls a field, dots for nesting.
    fn field(&self, field: Field) -> &'static str;

    /// What the protocol calls a place in the conversation.
    fn place(&self, place: Place) -> String;

    /// Whether the upstream fetches media of a kind from the web itself.
    fn fetches(&self, kind: MediaKind, caps: &Caps) -> bool;

    /// What becomes of each field of this protocol's requests in the others.
    fn dispositions(&self) -> &'static [Row];

    /// Reads a request for an answer.
    ///
    /// Errors: the body is not what the protocol wants; the refusal names the field.
    fn decode_request(&self, incoming: &Incoming<'_>) -> Result<Conversation, Refusal>;

    /// The members of a request that its answer repeats. Default: none.
    fn echo(&self, body: &[u8]) -> Vec<(&'static str, Raw)> {
        let _ = body;
        Vec::new()
    }

    /// Returns a request without the reasoning it sends back, thinking off where the protocol does
    /// not have it without; `None` if there is none.
    fn without_reasoning(&self, body: &[u8]) -> Option<Vec<u8>>;

    /// Writes a request for an answer.
    ///
    /// Errors: something the model must see cannot be carried; the refusal names the field in the
    /// words of the protocol the conversation was read from.
    fn encode_request(
        &self,
        conversation: &Conversation,
        onto: &Onto<'_>,
        report: &mut Report,
    ) -> Result<Outgoing, Refusal>;

    /// Reads a whole answer. `seed` makes ids where the upstream gave none.
    ///
    /// Errors: the answer is an error, or nothing a client can use.
    fn decode_answer(&self, body: &[u8], seed: &str) -> Result<Answer, Fault>;

    /// Writes a whole answer.
    ///
    /// Errors: the answer cannot be shown in this protocol at all (a malformed tool call).
    fn encode_answer(
        &self,
        answer: &Answer,
        asked: &Asked,
        report: &mut Report,
    ) -> Result<Vec<u8>, Fault>;

    /// Returns a reader of a stream. `seed` makes ids where the upstream gives none.
    fn decode_stream(&self, seed: &str) -> Box<dyn DecodeStream>;

    /// Returns a writer of a stream, of an answer read from `source`.
    fn encode_stream(&self, asked: &Asked, source: Protocol) -> Box<dyn EncodeStream>;

    /// Reads a request to count the tokens of a prompt.
    ///
    /// Errors: as [`Codec::decode_request`].
    fn decode_count(&self, incoming: &Incoming<'_>) -> Result<Conversation, Refusal>;

    /// Writes a request to count the tokens of a prompt.
    ///
    /// Errors: as [`Codec::encode_request`], or the protocol cannot count.
    fn encode_count(
        &self,
        conversation: &Conversation,
        onto: &Onto<'_>,
        report: &mut Report,
    ) -> Result<Outgoing, Refusal>;

    /// Reads how many tokens were counted.
    ///
    /// Errors: the answer says no number.
    fn decode_counted(&self, body: &[u8]) -> Result<u64, Fault>;

    /// Writes how many tokens were counted.
    fn encode_counted(&self, tokens: u64) -> Vec<u8>;

    /// Reads a request for embeddings.
    ///
    /// Errors: the body is not what the protocol wants, or the protocol has none.
    fn decode_embed(&self, incoming: &Incoming<'_>) -> Result<EmbedRequest, Refusal>;

    /// Writes a request for embeddings.
    ///
    /// Errors: an input cannot be carried, or the protocol has none.
    fn encode_embed(
        &self,
        request: &EmbedRequest,
        onto: &Onto<'_>,
        report: &mut Report,
    ) -> Result<Outgoing, Refusal>;

    /// Reads embeddings.
    ///
    /// Errors: the answer holds none.
    fn decode_embedded(&self, body: &[u8]) -> Result<EmbedAnswer, Fault>;

    /// Writes embeddings as `request` wanted them.
    fn encode_embedded(&self, answer: &EmbedAnswer, request: &EmbedRequest) -> Vec<u8>;

    /// Reads a list of models.
    ///
    /// Errors: the body is no such list.
    fn decode_models(&self, body: &[u8]) -> Result<Vec<ModelCard>, Fault>;
}

/// A request as it came.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// The model, where the path names it.
    pub model: Option<&'a str>,
    /// The path asks for a stream (Gemini).
    pub stream: bool,
    /// The path asks for one of several forms (`batchEmbedContents`).
    pub batch: bool,
    /// The body.
    pub body: &'a [u8],
}

impl<'a> Incoming<'a> {
    /// Returns a request whose body says everything.
    pub fn new(body: &'a [u8]) -> Self {
        Self { model: None, stream: false, batch: false, body }
    }
}

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub struct Onto<'a> {
    /// The upstream's name of the model.
    pub model: &'a str,
    /// What the model accepts.
    pub caps: &'a Caps,
    /// The beginning of the digest of the upstream account; zeros: unknown.
    pub scope: [u8; 8],
    /// The family of models whose reasoning the model can read; empty: unknown.
    pub family: &'a str,
}

impl<'a> Onto<'a> {
    /// Returns a target of an unknown account and family.
    pub fn new(model: &'a str, caps: &'a Caps) -> Self {
        Self { model, caps, scope: [0; 8], family: "" }
    }
}

/// A request as it leaves.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// The path, beginning with `/v1`.
    pub path: String,
    /// The query without `?`; empty: none.
    pub query: &'static str,
    /// Headers the body needs.
    pub headers: Vec<(&'static str, &'static str)>,
    /// The JSON text.
    pub body: Vec<u8>,
    /// What the answer must be given back.
    pub restore: Restore,
}

impl Outgoing {
    pub(crate) fn new(path: impl Into<String>, body: Vec<u8>) -> Self {
        Self {
            path: path.into(),
            query: "",
            headers: Vec::new(),
            body,
            restore: Restore::default(),
        }
    }
}

/// What of the client's request its answer depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The client reads reasoning.
    pub reasoning: bool,
    /// The client used `functions`; so must the answer.
    pub legacy_functions: bool,
    /// The client wants its stream to tell usage (Chat; the others always do).
    pub stream_usage: bool,
    /// How many alternative answers.
    pub candidates: u32,
    /// Unix seconds, for answers whose upstream gave no time.
    pub now: i64,
    /// An id of the call, for answers whose upstream gave none.
    pub id: String,
    /// Members of the request that an answer repeats (Responses).
    pub echo: Vec<(&'static str, Raw)>,
}

impl Asked {
    /// Returns what `conversation` says, at the time `now` in a call named `id`.
    pub fn of(conversation: &Conversation, now: i64, id: impl Into<String>) -> Self {
        let reasoning = conversation.reasoning.as_ref();
        Self {
            reasoning: reasoning.is_some_and(|asked| asked.visible == Some(true)),
            legacy_functions: conversation.legacy_functions,
            stream_usage: conversation.stream.usage == Some(true),
            candidates: conversation.candidates.and_then(|n| n.try_into().ok()).unwrap_or(1),
            now,
            id: id.into(),
            echo: Vec::new(),
        }
    }
}
