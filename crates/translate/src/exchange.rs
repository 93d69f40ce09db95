use http::{HeaderMap, StatusCode};
use tollgate_core::{Class, Protocol, Refusal};
use tollgate_wire::{Fault, Rendered, dialect, usage::Profile};

use crate::{
    answers,
    codec::{Asked, Incoming, Onto, Outgoing, codec},
    model::{Answer, Conversation},
    restore::Restore,
    stream::{StreamCollector, StreamTranslator, Terms},
    untaken,
    warning::{Code, Report, Warnings},
};

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An answer.
    Generate,
    /// How many tokens a prompt has.
    Count,
    /// Embeddings.
    Embed,
}

/// What a caller may choose about translation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Whatever is not carried as it stands is refused.
    pub strict: bool,
    /// Media the model cannot take are left out, with a word in their place, instead of the request
    /// being refused.
    pub drop_media: bool,
}

/// A request on its way from one protocol to another.
///
/// ```
/// use tollgate_core::{Caps, Protocol};
/// use tollgate_translate::{Incoming, Onto, Policy, Translator};
///
/// let body = br#"{"model":"fast","messages":[{"role":"user","content":"Hi"}]}"#;
/// let translator = Translator::new(Protocol::OpenAiChat, Protocol::AnthropicMessages);
/// let caps = Caps::default();
/// let onto = Onto::new("claude-haiku-4-5", &caps);
/// let (sent, exchange) = translator.request(&Incoming::new(body), &onto).unwrap();
///
/// assert_eq!(sent.path, "/v1/messages");
/// assert!(String::from_utf8(sent.body).unwrap().contains("\"max_tokens\":8192"));
/// assert_eq!(exchange.warnings().header().unwrap(), "default_filled:/max_completion_tokens");
///
/// let answer = br#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-haiku-4-5",
///     "content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn","stop_sequence":null,
///     "usage":{"input_tokens":8,"output_tokens":3}}"#;
/// let (shown, _) = exchange.answer(answer).unwrap();
/// assert!(String::from_utf8(shown).unwrap().contains("\"content\":\"Hello\""));
/// ```
#[derive(Clone, Debug)]
pub struct Translator {
    from: Protocol,
    to: Protocol,
    policy: Policy,
    kind: Kind,
    profile: Option<Profile>,
    now: i64,
    id: String,
}

impl Translator {
    /// Returns a translator of requests for an answer from a client's protocol to an upstream's.
    pub fn new(from: Protocol, to: Protocol) -> Self {
        Self {
            from,
            to,
            policy: Policy::default(),
            kind: Kind::Generate,
            profile: None,
            now: 0,
            id: "0".to_owned(),
        }
    }

    /// Sets what is asked for. Default: an answer.
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Sets the policy. Default: what cannot be carried is reported.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets how the upstream tells usage. Default: as its protocol's own provider does.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = Some(profile);
        self
    }

    /// Sets the time and the id shown where the upstream gave none. Default: 1970 and `0`.
    pub fn call(mut self, now: i64, id: impl Into<String>) -> Self {
        self.now = now;
        self.id = id.into();
        self
    }

    /// Translates a request.
    ///
    /// Errors: the body is not what the client's protocol wants, or something cannot be carried;
    /// the refusal names the field in the client's words.
    pub fn request(
        &self,
        incoming: &Incoming<'_>,
        onto: &Onto<'_>,
    ) -> Result<(Outgoing, Exchange), Refusal> {
        let mut report = Report::new(codec(self.from));
        let (outgoing, asked) = match self.kind {
            Kind::Generate => {
                let conversation = self.read(incoming)?;
                return self.write(&conversation, incoming, onto);
            }
            Kind::Count => self.count(incoming, onto, &mut report)?,
            Kind::Embed => self.embed(incoming, onto, &mut report)?,
        };
        self.sent(outgoing, asked, onto, report)
    }

    /// Reads a request for an answer, so that media can be fetched for it ([`crate::wanted`])
    /// before [`Translator::write`].
    ///
    /// Errors: the body is not what the client's protocol wants.
    pub fn read(&self, incoming: &Incoming<'_>) -> Result<Conversation, Refusal> {
        codec(self.from).decode_request(incoming)
    }

    /// Writes a request for an answer that was read from `incoming`.
    ///
    /// Errors: as [`Translator::request`].
    pub fn write(
        &self,
        conversation: &Conversation,
        incoming: &Incoming<'_>,
        onto: &Onto<'_>,
    ) -> Result<(Outgoing, Exchange), Refusal> {
        let mut report = Report::new(codec(self.from));
        let mut encoded = codec(self.to).encode_request(conversation, onto, &mut report);
        if encoded.is_err() && self.policy.drop_media {
            report = Report::new(codec(self.from));
            let rest = untaken::left_out(conversation, self.to, onto, &mut report);
            encoded = codec(self.to).encode_request(&rest, onto, &mut report);
        }
        let outgoing = encoded?;
        let mut asked = Asked::of(conversation, self.now, &self.id);
        asked.echo = codec(self.from).echo(incoming.body);
        self.sent(outgoing, Expected::Answer(asked), onto, report)
    }

    fn sent(
        &self,
        outgoing: Outgoing,
        asked: Expected,
        onto: &Onto<'_>,
        report: Report,
    ) -> Result<(Outgoing, Exchange), Refusal> {
        let warnings = report.into_warnings();
        if let Some(refusal) = warnings.refusal().filter(|_| self.policy.strict) {
            return Err(refusal);
        }
        let restore = outgoing.restore.clone();
        let model = onto.model.to_owned();
        let (from, to, profile) = (self.from, self.to, self.profile);
        Ok((outgoing, Exchange { from, to, model, asked, restore, profile, warnings }))
    }

    fn count(
        &self,
        incoming: &Incoming<'_>,
        onto: &Onto<'_>,
        report: &mut Report,
    ) -> Result<(Outgoing, Expected), Refusal> {
        let conversation = codec(self.from).decode_count(incoming)?;
        let outgoing = codec(self.to).encode_count(&conversation, onto, report)?;
        Ok((outgoing, Expected::Count))
    }

    fn embed(
        &self,
        incoming: &Incoming<'_>,
        onto: &Onto<'_>,
        report: &mut Report,
    ) -> Result<(Outgoing, Expected), Refusal> {
        let request = codec(self.from).decode_embed(incoming)?;
        let outgoing = codec(self.to).encode_embed(&request, onto, report)?;
        Ok((outgoing, Expected::Embeddings(request)))
    }
}

/// What the answer will be.
#[derive(Clone, Debug)]
enum Expected {
    Answer(Asked),
    Count,
    Embeddings(crate::EmbedRequest),
}

/// What the answer to a translated request is translated with.
#[derive(Clone, Debug)]
pub struct Exchange {
    from: Protocol,
    to: Protocol,
    model: String,
    asked: Expected,
    restore: Restore,
    profile: Option<Profile>,
    warnings: Warnings,
}

impl Exchange {
    /// What of the request was not carried as it stood.
    pub fn warnings(&self) -> &Warnings {
        &self.warnings
    }

    /// Translates a whole answer with status 200.
    ///
    /// Errors: the answer is an error, cannot be read, or cannot be shown in the client's protocol.
    pub fn answer(&self, body: &[u8]) -> Result<(Vec<u8>, Warnings), Fault> {
        let (client, upstream) = (codec(self.from), codec(self.to));
        match &self.asked {
            Expected::Count => {
                let tokens = upstream.decode_counted(body)?;
                Ok((client.encode_counted(tokens), Warnings::default()))
            }
            Expected::Embeddings(request) => {
                let mut answer = upstream.decode_embedded(body)?;
                if answer.model.is_empty() {
                    answer.model.clone_from(&self.model);
                }
                if answer.vectors.len() != request.inputs.len() {
                    let why = "the upstream answered with another number of embeddings";
                    return Err(Fault::new(Class::ServerError, why));
                }
                Ok((client.encode_embedded(&answer, request), Warnings::default()))
            }
            Expected::Answer(asked) => self.generated(asked, body),
        }
    }

    /// Returns what translates the stream that answers the request; `None` if the request does
    /// not ask for an answer but to count or to embed.
    ///
    /// ```
    /// use bytes::BytesMut;
    /// use tollgate_core::{Caps, Protocol};
    /// use tollgate_translate::{Incoming, Onto, Translator};
    ///
    /// let body = br#"{"model":"fast","stream":true,"messages":[{"role":"user","content":"Hi"}]}"#;
    /// let translator = Translator::new(Protocol::OpenAiChat, Protocol::Gemini);
    /// let caps = Caps::default();
    /// let onto = Onto::new("gemini-3-flash", &caps);
    /// let (_, exchange) = translator.request(&Incoming::new(body), &onto).unwrap();
    ///
    /// let (mut stream, mut out) = (exchange.stream().unwrap(), BytesMut::new());
    /// let first = br#"{"candidates":[{"content":{"parts":[{"text":"Hel"}]}}]}"#;
    /// stream.event(None, first, &mut out);
    /// assert!(std::str::from_utf8(&out).unwrap().contains(r#""delta":{"content":"Hel"}"#));
    /// let last = br#"{"candidates":[{"content":{"parts":[{"text":"lo"}]},"finishReason":"STOP"}]}"#;
    /// stream.event(None, last, &mut out);
    /// stream.end(&mut out);
    /// assert!(out.ends_with(b"data: [DONE]\n\n"));
    /// ```
    pub fn stream(&self) -> Option<StreamTranslator> {
        Some(StreamTranslator::new(&self.terms()?))
    }

    /// Returns what collects the stream that answers the request into one answer, for a client
    /// that asked for none; `None` as with [`Exchange::stream`]. [`Exchange::collected`] takes it
    /// at the end.
    pub fn collect(&self) -> Option<StreamCollector> {
        Some(StreamCollector::new(&self.terms()?))
    }

    /// Translates what was collected of a stream, which must have ended.
    ///
    /// Errors: the stream failed, broke off, or cannot be shown in the client's protocol.
    pub fn collected(&self, stream: StreamCollector) -> Result<(Vec<u8>, Warnings), Fault> {
        let answer = stream.end()?;
        match &self.asked {
            Expected::Answer(asked) => self.shown(asked, answer),
            _ => Err(Fault::new(Class::ServerError, "the request did not ask for an answer")),
        }
    }

    fn terms(&self) -> Option<Terms<'_>> {
        let Expected::Answer(asked) = &self.asked else { return None };
        Some(Terms {
            from: self.from,
            to: self.to,
            model: &self.model,
            asked,
            restore: &self.restore,
            profile: self.profile,
        })
    }

    fn generated(&self, asked: &Asked, body: &[u8]) -> Result<(Vec<u8>, Warnings), Fault> {
        let mut answer = codec(self.to).decode_answer(body, &asked.id)?;
        if let Some(profile) = self.profile {
            answer.usage = answers::told(profile, body);
        }
        self.shown(asked, answer)
    }

    fn shown(&self, asked: &Asked, mut answer: Answer) -> Result<(Vec<u8>, Warnings), Fault> {
        self.restore.apply(&mut answer);
        if answer.model.is_empty() {
            answer.model.clone_from(&self.model);
        }
        let mut report = Report::new(codec(self.to));
        if answer.extra.get("input_transformations").is_some_and(|list| list.as_str() != "[]") {
            report.path(Code::SignatureDropped, "input_transformations");
        }
        let shown = codec(self.from).encode_answer(&answer, asked, &mut report)?;
        Ok((shown, report.into_warnings()))
    }
}

/// Reads an error answer of an upstream. Where the credential was the gateway's own, show
/// [`Fault::hiding_ours`]: a rejection of it is not the caller's.
pub fn error(upstream: Protocol, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
    dialect(upstream).classify(status, headers, body)
}

/// Writes an error for a client; `id` is the request id to show.
pub fn render(client: Protocol, fault: &Fault, id: &str) -> Rendered {
    dialect(client).render(fault, id)
}

/// Translates a list of models.
///
/// Errors: the body is no such list.
pub fn models(upstream: Protocol, client: Protocol, body: &[u8]) -> Result<Vec<u8>, Fault> {
    let cards = codec(upstream).decode_models(body)?;
    Ok(dialect(client).render_models(&cards).to_vec())
}
