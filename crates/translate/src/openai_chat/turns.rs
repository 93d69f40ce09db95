//! The messages of a request as an upstream takes them.

use std::borrow::Cow;

use tollgate_core::{Protocol, Refusal};

use super::{reasoning, tools::put_extra};
use crate::{
    codec::Onto,
    json::{Json, Object},
    media,
    model::{
        CacheHint, CallKind, Conversation, Media, MediaKind, Message, Part, Place, Role, Source,
        Text, ToolCall, ToolResult, Vendor,
    },
    names::OPENAI as NAMES,
    openai, search,
    shape::{Assistant, NO_RESULT, Outcome, Piece, Shape, Turn, User},
    warning::{Code, Report},
};

pub(super) struct Turns<'r> {
    pub(super) source: Protocol,
    pub(super) developer: bool,
    pub(super) report: &'r mut Report,
}

impl<'r> Turns<'r> {
    pub(super) fn new(c: &Conversation, onto: &Onto<'_>, report: &'r mut Report) -> Self {
        let developer = onto.caps.developer_role.unwrap_or(true);
        Self { source: c.source, developer, report }
    }

    fn is_own(&self) -> bool {
        self.source == Protocol::OpenAiChat
    }

    pub(super) fn messages<'a>(&mut self, shape: &Shape<'a>) -> Result<Vec<Json<'a>>, Refusal> {
        let mut out = Vec::new();
        for message in &shape.leading {
            out.push(self.system(message)?);
        }
        for turn in &shape.turns {
            match turn {
                Turn::System(message) => out.push(self.system(message)?),
                Turn::User(user) => out.push(self.user(user)?),
                Turn::Assistant(turn) => out.push(self.assistant(turn)),
                Turn::Results(outcomes) => self.results(outcomes, &mut out)?,
                Turn::Opaque(_) => {}
            }
        }
        Ok(out)
    }

    fn system<'a>(&mut self, message: &'a Message) -> Result<Json<'a>, Refusal> {
        let role = match message.role {
            Role::Developer if self.developer => "developer",
            _ => "system",
        };
        let parts: Vec<_> = message.parts.iter().map(Cow::Borrowed).collect();
        self.message(role, &parts, Some(message), message.place)
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
        let plain = match self.is_own() {
            true => message.is_some_and(|message| message.plain),
            false => parts.len() == 1,
        };
        let content = match parts {
            [Cow::Borrowed(Part::Text(Text { text, cache: None, .. }))] if plain => {
                Json::from(text)
            }
            parts => self.content(parts, place)?.into(),
        };
        let mut out = Object::new().with("role", role).with("content", content);
        if let Some(message) = message.filter(|_| self.is_own()) {
            out = out.maybe("name", message.name.as_ref());
            put_extra(&mut out, &message.extra);
        }
        Ok(out.into())
    }

    fn content<'a>(
        &mut self,
        parts: &[Cow<'a, Part>],
        place: Place,
    ) -> Result<Vec<Json<'a>>, Refusal> {
        let mut out = Vec::with_capacity(parts.len());
        for part in parts {
            if let Some(part) = self.part(part, place)? {
                out.push(part);
            }
        }
        Ok(out)
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
                return Ok(Some(Object::of("text").with("text", text).into()));
            }
        };
        Ok(Some(match part {
            Part::Text(text) => self.text(text).into(),
            Part::Refusal(text) => Object::of("text").with("text", text).into(),
            Part::Media(media) => self.media(media, place)?.into(),
            Part::SearchResult(found) => {
                Object::of("text").with("text", search::text(found)).into()
            }
            Part::Raw { value, .. } if self.is_own() => value.into(),
            _ => return Ok(None),
        }))
    }

    fn text<'a>(&self, text: &'a Text) -> Object<'a> {
        let mut part =
            hinted(Object::of("text").with("text", &text.text), text.cache.as_ref(), self.is_own());
        if self.is_own() {
            put_extra(&mut part, &text.extra);
        }
        part
    }

    fn media<'a>(&mut self, media: &'a Media, place: Place) -> Result<Object<'a>, Refusal> {
        if media.context.is_some() {
            self.report.place(Code::DroppedField, place);
        }
        let part = match (&media.source, media.kind) {
            (Source::Url(url), MediaKind::Image) => image(url.into(), media),
            (Source::Base64 { mime, data }, MediaKind::Image) => {
                image(media::to_data_url(mime, data).into(), media)
            }
            (Source::Base64 { mime, data }, MediaKind::Audio) => self.audio(mime, data, place)?,
            (Source::Base64 { mime, data }, MediaKind::Document) => file(
                Object::new()
                    .with("filename", name(media, mime))
                    .with("file_data", media::to_data_url(mime, data)),
            ),
            (Source::Url(url), MediaKind::Document) if self.is_own() => {
                file(Object::new().maybe("filename", media.title.as_ref()).with("file_data", url))
            }
            (Source::File { vendor: Vendor::OpenAi, id }, MediaKind::Document) => {
                file(Object::new().with("file_id", id))
            }
            (Source::Text { text, .. }, _) => Object::of("text").with("text", text),
            (Source::Blocks(parts), _) => {
                let texts: Vec<_> = parts.iter().filter_map(Part::as_text).collect();
                Object::of("text").with("text", texts.join("\n"))
            }
            _ => return Err(self.refuse(media, place)),
        };
        Ok(hinted(part, media.cache.as_ref(), self.is_own()))
    }

    fn audio<'a>(
        &mut self,
        mime: &str,
        data: &'a str,
        place: Place,
    ) -> Result<Object<'a>, Refusal> {
        let format = match mime.split(';').next().unwrap_or_default() {
            "audio/wav" | "audio/x-wav" | "audio/wave" => "wav",
            "audio/mp3" | "audio/mpeg" => "mp3",
            _ => {
                let why = format!(
                    "holds audio of type `{mime}`; this model's protocol takes wav and mp3"
                );
                return Err(self.report.refuse_place(place, &why));
            }
        };
        let audio = Object::new().with("data", data).with("format", format);
        Ok(Object::of("input_audio").with("input_audio", audio))
    }

    fn refuse(&self, media: &Media, place: Place) -> Refusal {
        let what = match &media.source {
            Source::File { .. } => "by a provider's file id",
            Source::Uri { .. } => "at an address only its provider can read",
            Source::Url(_) => "by URL",
            _ => "in this form",
        };
        let why = format!(
            "holds {} {what}, which this model's protocol cannot take; send the data itself",
            media.kind.as_str()
        );
        self.report.refuse_place(place, &why)
    }

    fn assistant<'a>(&mut self, turn: &Assistant<'a>) -> Json<'a> {
        let mut message = Object::new().with("role", "assistant");
        let parts = turn.pieces.iter().filter_map(|piece| match piece {
            Piece::Part(part) => Some(*part),
            Piece::Call { .. } => None,
        });
        self.assistant_content(&mut message, turn, parts.clone());
        if self.is_own() {
            let all = turn.messages.iter().flat_map(|message| &message.parts);
            reasoning::put(&mut message, all);
        } else if parts.clone().any(|part| matches!(part, Part::Reasoning(_))) {
            self.report.place(Code::ReasoningDropped, turn.place);
        }
        let calls: Vec<_> = turn
            .pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Call { call, id } => Some(self.call(call, id.clone())),
                Piece::Part(_) => None,
            })
            .collect();
        if !calls.is_empty() {
            message.put("tool_calls", calls);
        }
        if let Some(first) = turn.messages.first().filter(|_| self.is_own()) {
            message = message.maybe("name", first.name.as_ref());
            put_extra(&mut message, &first.extra);
        }
        message.into()
    }

    fn assistant_content<'a>(
        &mut self,
        message: &mut Object<'a>,
        turn: &Assistant<'a>,
        parts: impl Iterator<Item = &'a Part> + Clone,
    ) {
        let texts: Vec<_> = parts.clone().filter_map(Part::as_text).collect();
        let refusals: String = parts
            .filter_map(|part| match part {
                Part::Refusal(text) => Some(text.as_str()),
                _ => None,
            })
            .collect();
        let calls = turn.calls().next().is_some();
        let content = match texts.as_slice() {
            [] if calls || !refusals.is_empty() => Json::Null,
            [""] if calls => Json::Null,
            [one] => Json::Str(Cow::Borrowed(one)),
            texts => texts.concat().into(),
        };
        message.put("content", content);
        if !refusals.is_empty() {
            message.put("refusal", refusals);
        }
    }

    fn call<'a>(&mut self, call: &'a ToolCall, id: Cow<'a, str>) -> Json<'a> {
        let name = NAMES.fit(call.namespace.as_deref(), &call.name);
        let own = self.is_own();
        let mut out = match call.kind {
            CallKind::Function => {
                let function =
                    Object::new().with("name", name).with("arguments", call.args.as_str());
                Object::new().with("id", id).with("type", "function").with("function", function)
            }
            CallKind::Custom => {
                let custom = Object::new().with("name", name).with("input", call.args.as_str());
                Object::new().with("id", id).with("type", "custom").with("custom", custom)
            }
        };
        if own {
            put_signature(&mut out, call.signature.as_ref().map(|s| s.payload.as_str()));
            put_extra(&mut out, &call.extra);
        }
        out.into()
    }

    fn results<'a>(
        &mut self,
        outcomes: &[Outcome<'a>],
        out: &mut Vec<Json<'a>>,
    ) -> Result<(), Refusal> {
        for outcome in outcomes {
            let content = match outcome.result {
                Some(result) => result_text(result),
                None => Json::from(NO_RESULT),
            };
            let mut message = Object::new()
                .with("role", "tool")
                .with("tool_call_id", outcome.id.clone())
                .with("content", content);
            if let Some(result) = outcome.result.filter(|_| self.is_own()) {
                message = message.maybe("name", result.tool_name.as_ref());
                put_extra(&mut message, &result.extra);
            }
            out.push(message.into());
        }
        for outcome in outcomes {
            out.extend(self.moved_media(outcome)?);
        }
        Ok(())
    }

    /// Media of a tool's output stands in a message of the user after all results.
    fn moved_media<'a>(&mut self, outcome: &Outcome<'a>) -> Result<Option<Json<'a>>, Refusal> {
        let Some(result) = outcome.result else { return Ok(None) };
        let media: Vec<_> = result.parts.iter().filter_map(as_media).collect();
        if media.is_empty() {
            return Ok(None);
        }
        let text = format!("[media of tool call {}]", outcome.id);
        let mut content = vec![Object::of("text").with("text", text).into()];
        for media in media {
            content.push(self.media(media, result.place)?.into());
        }
        Ok(Some(Object::new().with("role", "user").with("content", content).into()))
    }
}

fn as_media(part: &Part) -> Option<&Media> {
    match part {
        Part::Media(media) => Some(media),
        _ => None,
    }
}

/// Puts a signature where Google's own compatible server looks for it.
pub(super) fn put_signature<'a>(object: &mut Object<'a>, payload: Option<&'a str>) {
    if let Some(payload) = payload {
        let google = Object::new().with("thought_signature", payload);
        object.put("extra_content", Object::new().with("google", google));
    }
}

/// A breakpoint; with a lifetime in the words compatible servers take.
fn hinted<'a>(part: Object<'a>, hint: Option<&'a CacheHint>, own: bool) -> Object<'a> {
    match hint.and_then(|hint| hint.ttl.as_ref()).filter(|_| own) {
        Some(ttl) => part.with("cache_control", Object::of("ephemeral").with("ttl", ttl)),
        None => openai::put_hint(part, hint),
    }
}

fn image<'a>(url: Json<'a>, media: &'a Media) -> Object<'a> {
    let image = Object::new().with("url", url).maybe("detail", media.detail.as_ref());
    Object::of("image_url").with("image_url", image)
}

fn file(file: Object<'_>) -> Object<'_> {
    Object::of("file").with("file", file)
}

/// A file's name, which the protocol wants beside the data.
fn name<'a>(media: &'a Media, mime: &str) -> Cow<'a, str> {
    match &media.title {
        Some(title) => Cow::Borrowed(title),
        None => format!("file.{}", mime.rsplit('/').next().unwrap_or("bin")).into(),
    }
}

/// What a tool said, as one string.
fn result_text(result: &ToolResult) -> Json<'_> {
    let texts = result.parts.iter().filter_map(|part| match part {
        Part::Text(text) => Some(Cow::Borrowed(text.text.as_str())),
        Part::SearchResult(found) => Some(search::text(found).into()),
        _ => None,
    });
    let texts: Vec<_> = texts.collect();
    let has_media = result.parts.iter().any(|part| as_media(part).is_some());
    let text = match texts.as_slice() {
        [] if has_media => Cow::Borrowed("[see attached media]"),
        [one] => one.clone(),
        texts => texts.join("\n").into(),
    };
    if result.is_error && !text.starts_with("[tool error]") {
        return format!("[tool error] {text}").into();
    }
    text.into()
}
