//! What each protocol does in its own way.

use tollgate_core::{Class, Protocol};

use crate::{
    anthropic::Anthropic,
    ask::{Ask, Bad},
    chat::Chat,
    feed::Feed,
    gemini::Gemini,
    json::Json,
    responses::Responses,
    said::Said,
};

/// One request and its answer.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) ask: &'a Ask,
    pub(crate) said: &'a Said,
    /// 24 hexadecimal digits, different for each turn.
    pub(crate) id: &'a str,
    /// Unix time in seconds.
    pub(crate) created: u64,
}

impl Turn<'_> {
    /// The id of the n-th call or item of this turn.
    pub(crate) fn item(&self, prefix: &str, n: usize) -> String {
        format!("{prefix}{}{n:02x}", self.id)
    }
}

/// An error to be told in a provider's own shape.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) class: Class,
    /// The provider's usual words if there is nothing special to say.
    pub(crate) message: Option<String>,
    pub(crate) param: Option<String>,
    /// OpenAI's code where it is not the class's.
    pub(crate) code: Option<&'static str>,
}

impl Fault {
    pub(crate) fn of(class: Class) -> Self {
        Self { class, message: None, param: None, code: None }
    }

    pub(crate) fn saying(class: Class, message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), ..Self::of(class) }
    }

    pub(crate) fn message<'a>(&'a self, usual: &'a str) -> &'a str {
        self.message.as_deref().unwrap_or(usual)
    }
}

/// What the path says about a generating request.
#[derive(Debug, Default)]
pub(crate) struct Asked<'a> {
    /// The model, where the path names it.
    pub(crate) model: &'a str,
    pub(crate) stream: bool,
    pub(crate) array: bool,
}

pub(crate) trait Dialect: Sync {
    fn ask(&self, asked: &Asked<'_>, body: &[u8]) -> Result<Ask, Bad>;

    fn answer(&self, turn: &Turn<'_>) -> Json;

    fn stream(&self, turn: &Turn<'_>, feed: &mut Feed);

    /// Ends a stream with the protocol's error event.
    fn fail(&self, turn: &Turn<'_>, fault: &Fault, feed: &mut Feed);

    /// Status and body of an error.
    fn error(&self, fault: &Fault, request: &str) -> (u16, Json);

    /// What is wrong with a request, in the provider's words.
    fn bad(&self, bad: Bad) -> Fault;
}

pub(crate) fn dialect(protocol: Protocol) -> &'static dyn Dialect {
    match protocol {
        Protocol::OpenAiResponses => &Responses,
        Protocol::AnthropicMessages => &Anthropic,
        Protocol::Gemini => &Gemini,
        _ => &Chat,
    }
}
