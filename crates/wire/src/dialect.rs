use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use tollgate_core::{Body, Call, Operation, Protocol, Refusal};

use crate::{
    Automaton, Fault, ModelCard, Rendered, anthropic_messages::AnthropicMessages, content::Content,
    gemini::Gemini, json::Object, openai_chat::OpenAiChat, openai_responses::OpenAiResponses,
    peek::Peek,
};

/// Returns the dialect of a protocol.
pub fn dialect(protocol: Protocol) -> &'static dyn Dialect {
    match protocol {
        Protocol::OpenAiResponses => &OpenAiResponses,
        Protocol::AnthropicMessages => &AnthropicMessages,
        Protocol::Gemini => &Gemini,
        _ => &OpenAiChat,
    }
}

/// One protocol as it looks on the wire. One module each; they do not know each other.
///
/// Everything is a pure function of its arguments.
pub trait Dialect: fmt::Debug + Send + Sync + 'static {
    /// Which protocol this is.
    fn protocol(&self) -> Protocol;

    /// Recognises a request of this protocol by method and path (without prefix and query).
    fn route(&self, method: &Method, path: &str) -> Option<Route>;

    /// Whether the headers are such as only this protocol's clients send. Default: no.
    fn claims(&self, headers: &HeaderMap) -> bool {
        let _ = headers;
        false
    }

    /// Whether an unknown path looks like this protocol's rather than another's. Default: no.
    fn owns(&self, path: &str) -> bool {
        let _ = path;
        false
    }

    /// Whether a stream asked for with this query comes as one JSON array. Default: no.
    fn streams_an_array(&self, query: &str) -> bool {
        let _ = query;
        false
    }

    /// Sets the model of a request in this protocol. Everything else keeps its bytes.
    ///
    /// Errors: the request does not name its model where the protocol wants it.
    fn aim(&self, request: &mut Request<Body>, model: &str) -> Result<(), Refusal>;

    /// Whether the top-level member `key` of a request's body is read by [`Dialect::read_member`].
    fn reads_member(&self, key: &str) -> bool;

    /// Takes what the top-level member `key` says into `peek`. `value` is the JSON as written.
    ///
    /// Errors: the member is of a kind the protocol cannot take (a model that is no string …); the
    /// text names the field.
    fn read_member(&self, key: &str, value: &[u8], peek: &mut Peek) -> Result<(), String>;

    /// Takes what the top-level member `key` says about the media and the history in the messages.
    fn read_content(&self, key: &str, value: &[u8], content: &mut Content);

    /// Gives `take` what the top-level member `key` says that stays while the conversation goes on:
    /// its name, the instructions, the turns until the first of the user.
    fn read_opening(&self, key: &str, value: &[u8], take: &mut dyn FnMut(&[u8]));

    /// Returns the automaton of the stream that answers `call`.
    fn automaton(&self, call: &Call) -> Box<dyn Automaton>;

    /// Classifies an error answer (`protocols/errors.md` §2, §3). `body` may be anything.
    fn classify(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault;

    /// Returns the error a whole answer with status 200 holds at its top level, if it is one.
    fn error_in_answer(&self, answer: Object<'_>) -> Option<Fault>;

    /// Renders an error answer (`protocols/errors.md` §4). `id` is the request id to show.
    fn render(&self, fault: &Fault, id: &str) -> Rendered;

    /// Returns what keeps an idle stream alive between events; `None` where nothing may be sent.
    fn keep_alive(&self) -> Option<&'static [u8]>;

    /// Returns the header under which this protocol's clients look for the request id.
    fn request_id_header(&self) -> &'static str;

    /// Renders a list of models.
    fn render_models(&self, models: &[ModelCard]) -> Bytes;

    /// Renders one model.
    fn render_model(&self, model: &ModelCard) -> Bytes;
}

/// What a path asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The operation.
    pub operation: Operation,
    /// The model, where the path names one.
    pub model: Option<String>,
    /// The path says that the answer is a stream.
    pub stream: bool,
}
