//! The instructions and the items of a request as an upstream takes them.

use std::borrow::Cow;

use tollgate_core::{Protocol, Refusal};

use super::{NAMES, tools::with_extra};
use crate::{
    codec::Onto,
    ids,
    json::{Json, Object},
    media,
    model::{
        CallKind, Conversation, Media, MediaKind, Message, Part, Place, Reasoning, Role, Source,
        Text, ToolCall, ToolResult, Vendor,
    },
    openai, search,
    shape::{Assistant, NO_RESULT, Outcome, Piece, Shape, Turn, User},
    warning::{Code, Report},
};

const ME: Protocol = Protocol::OpenAiResponses;

#[derive(Debug)]
pub(super) struct Turns<'r> {
    source: Protocol,
    onto: &'r Onto<'r>,
    report: &'r mut Report,
}

impl<'r> Turns<'r> {
    pub(super) fn new(c: &Conversation, onto: &'r Onto<'r>, report: &'r mut Report) -> Self {
        Self { source: c.source, onto, report }
    }

    fn is_own(&self) -> bool {
        self.source == ME
    }

    /// The instructions, and the leading messages that stay items.
    pub(super) fn leading<'a>(
        &mut self,
        leading: &[&'a Message],
    ) -> Result<(Option<Json<'a>>, Vec<Json<'a>>), Refusal> {
        if self.source == Protocol::OpenAiChat {
            let items = leading.iter().map(|m| self.instruction(m, role(m)));
            return Ok((None, items.collect::<Result<_, _>>()?));
        }
        if self.is_own() {
            return self.own_leading(leading);
        }
        let parts = || leading.iter().flat_map(|message| &message.parts);
        let hinted = |part: &Part| matches!(part, Part::Text(text) if text.cache.is_some());
        if parts().any(hinted) {
            let items = leading.iter().map(|m| self.instruction(m, "developer"));
            return Ok((None, items.collect::<Result<_, _>>()?));
        }
        let texts: Vec<_> = parts().filter_map(Part::as_text).collect();
        Ok(match texts.as_slice() {
            [] => (None, Vec::new()),
            [only] => (Some(Json::Str(Cow::Borrowed(only))), Vec::new()),
            texts => (Some(texts.join("\n\n").into()), Vec::new()),
        })
    }

    fn own_leading<'a>(
        &mut self,
        leading: &[&'a Message],
    ) -> Result<(Option<Json<'a>>, Vec<Json<'a>>), Refusal> {
        let mut instructions = None;
        let mut items = Vec::new();
        for message in leading {
            match (message.place, message.parts.as_slice()) {
                (Place::Instructions, [Part::Text(text)]) => {
                    instructions = Some((&text.text).into());
                }
                _ => items.push(self.instruction(message, role(message))?),
            }
        }
        Ok((instructions, items))
    }

    fn instruction<'a>(
        &mut self,
        message: &'a Message,
        role: &'static str,
    ) -> Result<Json<'a>, Refusal> {
        let parts: Vec<_> = message.parts.iter().map(Cow::Borrowed).collect();
        self.message(role, &parts, Some(message), message.place)
    }

    pub(super) fn items<'a>(&mut self, shape: &Shape<'a>) -> Result<Vec<Json<'a>>, Refusal> {
        let mut out = Vec::new();
        for turn in &shape.turns {
            match turn {
                Turn::System(message) => out.push(self.instruction(message, role(message))?),
                Turn::User(user) => out.push(self.user(user)?),
                Turn::Assistant(turn) => self.assistant(turn, &mut out),
                Turn::Results(outcomes) => self.results(outcomes, &mut out)?,
                Turn::Opaque(value) => out.push((*value).into()),
            }
        }
        Ok(out)
    }

    fn user<'a>(&mut self, user: &User<'a>) -> Result<Json<'a>, Refusal> {
        self.message("user", &user.parts, user.message, user.place)
    }

    fn message<'a>(
        &mut self,
        role: &'static str,
        parts: &[Cow<'a, Part>],
        message: Option<&'a Message>,
        place: Place,
    ) -> Result<Json<'a>, Refusal> {
        let plain = message.is_some_and(|message| message.plain);
        let content = match parts {
            [Cow::Borrowed(Part::Text(Text { text, cache: None, .. }))] if plain => text.into(),
            parts => {
                let mut content = Vec::with_capacity(parts.len());
                for part in parts {
                    content.extend(self.part(part, place)?);
                }
                Json::Array(content)
            }
        };
        let mut out = Object::new().with("role", role).with("content", content);
        if let Some(message) = message.filter(|_| self.is_own()) {
            out = with_extra(out.maybe("phase", message.phase.as_ref()), &message.extra, ME);
        }
        Ok(out.into())
    }

    fn part<'a>(
        &mut self,
        part: &Cow<'a, Part>,
        place: Place,
    ) -> Result<Option<Json<'a>>, Refusal> {
        let part = match part {
            Cow::Borrowed(part) => *part,
            Cow::Owned(part) => {
                let text = part.as_text().unwrap_or_default().to_owned();
                return Ok(Some(Object::of("input_text").with("text", text).into()));
            }
        };
        Ok(Some(match part {
            Part::Text(text) => {
                let part = Object::of("input_text").with("text", &text.text);
                let part = openai::put_hint(part, text.cache.as_ref());
                with_extra(part, &text.extra, self.source).into()
            }
            Part::Refusal(text) => Object::of("input_text").with("text", text).into(),
            Part::Media(media) => self.media(media, place)?,
            Part::SearchResult(found) => {
                Object::of("input_text").with("text", search::text(found)).into()
            }
            Part::Raw { value, .. } if self.is_own() => value.into(),
            _ => return Ok(None),
        }))
    }

    fn media<'a>(&mut self, media: &'a Media, place: Place) -> Result<Json<'a>, Refusal> {
        if media.context.is_some() {
            self.report.place(Code::DroppedField, place);
        }
        let image = || Object::of("input_image");
        let file = || Object::of("input_file");
        let part = match (media.kind, &media.source) {
            (MediaKind::Image, Source::Base64 { mime, data }) => {
                detailed(image().with("image_url", media::to_data_url(mime, data)), media)
            }
            (MediaKind::Image, Source::Url(url)) => detailed(image().with("image_url", url), media),
            (MediaKind::Image, Source::File { vendor: Vendor::OpenAi, id }) => {
                detailed(image().with("file_id", id), media)
            }
            (MediaKind::Document, Source::Base64 { mime, data }) => file()
                .with("filename", file_name(media, mime))
                .with("file_data", media::to_data_url(mime, data)),
            (MediaKind::Document, Source::Url(url)) => file().with("file_url", url),
            (MediaKind::Document, Source::File { vendor: Vendor::OpenAi, id }) => {
                file().with("file_id", id)
            }
            (_, Source::Text { text, .. }) => Object::of("input_text").with("text", text),
            (_, Source::Blocks(parts)) => {
                let texts: Vec<_> = parts.iter().filter_map(Part::as_text).collect();
                Object::of("input_text").with("text", texts.join("\n"))
            }
            _ => return Err(self.refuse(media, place)),
        };
        let part = openai::put_hint(part, media.cache.as_ref());
        Ok(with_extra(part, &media.extra, self.source).into())
    }

    fn refuse(&self, media: &Media, place: Place) -> Refusal {
        let why = format!(
            "holds {} in a form that this model's protocol cannot take",
            media.kind.as_str()
        );
        self.report.refuse_place(place, &why)
    }

    fn assistant<'a>(&mut self, turn: &Assistant<'a>, out: &mut Vec<Json<'a>>) {
        let mut pieces = turn.pieces.iter();
        for message in &turn.messages {
            let own = pieces.by_ref().take(message.parts.len());
            self.assistant_message(message, own, out);
        }
    }

    fn assistant_message<'a, 'p>(
        &mut self,
        message: &'a Message,
        pieces: impl Iterator<Item = &'p Piece<'a>>,
        out: &mut Vec<Json<'a>>,
    ) where
        'a: 'p,
    {
        let (phase, place) = (message.phase.as_ref(), message.place);
        let mut texts: Vec<&'a Text> = Vec::new();
        for piece in pieces {
            if let Piece::Part(Part::Text(text)) = piece {
                texts.push(text);
                continue;
            }
            self.said(&mut texts, phase, place, out);
            match piece {
                Piece::Part(part) => out.extend(self.assistant_part(part, place)),
                Piece::Call { call, id } => out.push(self.call(call, id, place)),
            }
        }
        self.said(&mut texts, phase, place, out);
    }

    /// Writes the adjacent texts as one message.
    fn said<'a>(
        &mut self,
        texts: &mut Vec<&'a Text>,
        phase: Option<&'a String>,
        place: Place,
        out: &mut Vec<Json<'a>>,
    ) {
        let texts = std::mem::take(texts);
        if texts.iter().any(|text| text.signature.is_some()) {
            self.report.place(Code::SignatureDropped, place);
        }
        let cited = texts.iter().any(|text| !text.citations.is_empty());
        if cited && !self.is_own() {
            self.report.place(Code::CitationsDropped, place);
        }
        if texts.iter().any(|text| text.cache.is_some()) {
            self.report.place(Code::CacheHintDropped, place);
        }
        let content: Json<'_> = match texts.as_slice() {
            [] => return,
            texts if cited && self.is_own() => own_texts(texts),
            [only] if only.text.is_empty() && !self.is_own() => return,
            [only] => (&only.text).into(),
            texts => texts.iter().map(|text| text.text.as_str()).collect::<String>().into(),
        };
        let phase = phase.filter(|_| self.is_own());
        let message = Object::new().with("role", "assistant").with("content", content);
        out.push(message.maybe("phase", phase).into());
    }

    fn assistant_part<'a>(&mut self, part: &'a Part, place: Place) -> Option<Json<'a>> {
        match part {
            Part::Refusal(text) => {
                let refusal = Object::of("refusal").with("refusal", text);
                let content = Json::Array(vec![refusal.into()]);
                let message = Object::of("message").with("role", "assistant");
                Some(message.with("content", content).into())
            }
            Part::Reasoning(reasoning) => self.reasoning(reasoning, place),
            Part::ServerToolCall(call) if self.is_own() => Some((&call.value).into()),
            Part::ServerToolResult(result) if self.is_own() => Some((&result.value).into()),
            Part::Raw { value, .. } if self.is_own() => Some(value.into()),
            _ => None,
        }
    }

    fn reasoning<'a>(&mut self, reasoning: &'a Reasoning, place: Place) -> Option<Json<'a>> {
        let native = reasoning.opaque.as_ref().filter(|opaque| {
            let families = [self.onto.family, opaque.family.as_str()];
            let family = families.contains(&"") || families[0] == families[1];
            let scopes = [self.onto.scope, opaque.scope];
            let scope = scopes.contains(&[0; 8]) || scopes[0] == scopes[1];
            opaque.vendor == Vendor::OpenAi && family && scope
        });
        if native.is_none() && !(self.is_own() && reasoning.opaque.is_none()) {
            let shown = !reasoning.text.is_empty() || reasoning.opaque.is_some();
            if shown {
                self.report.place(Code::ReasoningDropped, place);
            }
            return None;
        }
        let text = |kind: &'static str| {
            let each = reasoning.text.iter().map(|text| Object::of(kind).with("text", text).into());
            Json::Array(each.collect())
        };
        let (summary, content) = match reasoning.raw && self.is_own() {
            true => (Json::Array(Vec::new()), Some(text("reasoning_text"))),
            false => (text("summary_text"), None),
        };
        let out = Object::of("reasoning")
            .with("summary", summary)
            .maybe("content", content)
            .maybe("encrypted_content", native.map(|opaque| &opaque.payload));
        Some(with_extra(out, &reasoning.extra, self.source).into())
    }

    fn call<'a>(&mut self, call: &'a ToolCall, id: &str, place: Place) -> Json<'a> {
        if call.cache.is_some() {
            self.report.place(Code::CacheHintDropped, place);
        }
        let fit = ids::short(id).into_owned();
        if fit != id {
            self.report.place(Code::ToolIdRewritten, place);
        }
        let (kind, key) = match call.kind {
            CallKind::Function => ("function_call", "arguments"),
            CallKind::Custom => ("custom_tool_call", "input"),
        };
        let out = Object::of(kind)
            .with("call_id", fit)
            .maybe("namespace", call.namespace.as_ref())
            .with("name", NAMES.fit(None, &call.name))
            .with(key, call.args.as_str());
        with_extra(out, &call.extra, self.source).into()
    }

    fn results<'a>(
        &mut self,
        outcomes: &[Outcome<'a>],
        out: &mut Vec<Json<'a>>,
    ) -> Result<(), Refusal> {
        let inside = self.onto.caps.tool_result_media.unwrap_or(true);
        let mut moved: Vec<Json<'a>> = Vec::new();
        for outcome in outcomes {
            let kind = match outcome.call.kind {
                CallKind::Function => "function_call_output",
                CallKind::Custom => "custom_tool_call_output",
            };
            let id = ids::short(&outcome.id).into_owned();
            let output = match outcome.result {
                None => NO_RESULT.into(),
                Some(result) => self.output(result, inside, outcome, &mut moved)?,
            };
            let item = Object::of(kind).with("call_id", id).with("output", output);
            out.push(match outcome.result {
                Some(result) => with_extra(item, &result.extra, self.source).into(),
                None => item.into(),
            });
        }
        if !moved.is_empty() {
            out.push(Object::new().with("role", "user").with("content", moved).into());
        }
        Ok(())
    }

    fn output<'a>(
        &mut self,
        result: &'a ToolResult,
        inside: bool,
        outcome: &Outcome<'a>,
        moved: &mut Vec<Json<'a>>,
    ) -> Result<Json<'a>, Refusal> {
        let media = result.parts.iter().any(|part| matches!(part, Part::Media(_)));
        if let ([Part::Text(text)], false) = (result.parts.as_slice(), result.is_error)
            && (result.plain || !self.is_own())
        {
            return Ok((&text.text).into());
        }
        if result.is_error || (media && !inside) || result.parts.is_empty() {
            if media {
                let text = format!("[media of tool call {}]", outcome.id);
                moved.push(Object::of("input_text").with("text", text).into());
                for part in &result.parts {
                    if let Part::Media(each) = part {
                        moved.push(self.media(each, result.place)?);
                    }
                }
            }
            return Ok(told(result, media).into());
        }
        let mut parts = Vec::new();
        for part in &result.parts {
            parts.extend(self.part(&Cow::Borrowed(part), result.place)?);
        }
        Ok(Json::Array(parts))
    }
}

fn role(message: &Message) -> &'static str {
    match message.role {
        Role::Developer => "developer",
        _ => "system",
    }
}

/// What a tool said, as one string.
fn told(result: &ToolResult, media: bool) -> String {
    let texts: Vec<_> = result.parts.iter().filter_map(Part::as_text).collect();
    let text = match texts.as_slice() {
        [] if media => "[see attached media]".to_owned(),
        texts => texts.join("\n"),
    };
    if result.is_error && !text.starts_with("[tool error]") {
        return format!("[tool error] {text}");
    }
    text
}

fn detailed<'a>(part: Object<'a>, media: &'a Media) -> Object<'a> {
    part.maybe("detail", media.detail.as_ref())
}

/// A file's name, which the protocol wants beside the data.
fn file_name<'a>(media: &'a Media, mime: &str) -> Cow<'a, str> {
    match &media.title {
        Some(title) => Cow::Borrowed(title),
        None => format!("file.{}", mime.rsplit('/').next().unwrap_or("bin")).into(),
    }
}

/// Texts with their annotations, as an answer gave them.
fn own_texts<'a>(texts: &[&'a Text]) -> Json<'a> {
    let each = texts.iter().map(|text| {
        let annotations = text.citations.iter().map(|citation| Json::from(&citation.native));
        Object::of("output_text")
            .with("text", &text.text)
            .with("annotations", annotations.collect::<Vec<_>>())
            .into()
    });
    Json::Array(each.collect())
}
