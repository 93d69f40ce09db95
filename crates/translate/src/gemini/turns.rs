//! The contents of a request as an upstream takes them.

use std::borrow::Cow;

use tollgate_core::{Protocol, Refusal};

use super::{NAMES, parts};
use crate::{
    codec::Onto,
    ids,
    json::{Json, Node, Object, Raw},
    media,
    model::{
        Args, CallKind, Conversation, Media, MediaKind, Message, Opaque, Part, Place, Reasoning,
        Source, Text, ToolCall, ToolResult, Vendor,
    },
    restore, search,
    shape::{Assistant, NO_RESULT, Outcome, Piece, Shape, Turn, User},
    warning::{Code, Report},
};

const ME: Protocol = Protocol::Gemini;
/// What stands for a signature nobody has.
pub(super) const BYPASS: &str = "skip_thought_signature_validator";

#[derive(Debug)]
struct Draft<'a> {
    role: &'static str,
    parts: Vec<Json<'a>>,
    /// It holds results and nothing else.
    results: bool,
}

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

    pub(super) fn system<'a>(
        &mut self,
        leading: &[&'a Message],
    ) -> Result<Option<Object<'a>>, Refusal> {
        let mut parts = Vec::new();
        for message in leading {
            for part in &message.parts {
                parts.extend(self.part(part, message.place)?);
            }
        }
        Ok((!parts.is_empty()).then(|| Object::new().with("parts", parts)))
    }

    pub(super) fn contents<'a>(&mut self, shape: &Shape<'a>) -> Result<Vec<Json<'a>>, Refusal> {
        let last_user = shape.turns.iter().rposition(|turn| matches!(turn, Turn::User(_)));
        let mut drafts = Vec::new();
        for (at, turn) in shape.turns.iter().enumerate() {
            let current = last_user.is_none_or(|user| at > user);
            for draft in self.turn(turn, current)? {
                merge(&mut drafts, draft);
            }
        }
        drafts.retain(|draft: &Draft<'_>| !draft.parts.is_empty());
        if drafts.first().is_none_or(|draft| draft.role != "user") && !self.is_own() {
            self.report.path(Code::SyntheticUserTurn, "contents");
            let parts = vec![Object::new().with("text", ".").into()];
            drafts.insert(0, Draft { role: "user", parts, results: false });
        }
        let write = |draft: Draft<'a>| {
            Object::new().with("role", draft.role).with("parts", draft.parts).into()
        };
        Ok(drafts.into_iter().map(write).collect())
    }

    fn turn<'a>(&mut self, turn: &Turn<'a>, current: bool) -> Result<Vec<Draft<'a>>, Refusal> {
        Ok(match turn {
            Turn::System(message) => vec![self.later_system(message)],
            Turn::User(user) => vec![self.user(user)?],
            Turn::Assistant(turn) => vec![self.assistant(turn, current)?],
            Turn::Results(outcomes) => self.results(outcomes)?,
            Turn::Opaque(_) => Vec::new(),
        })
    }

    fn later_system<'a>(&mut self, message: &Message) -> Draft<'a> {
        self.report.place(Code::SystemDemoted, message.place);
        let texts: Vec<_> = message.parts.iter().filter_map(Part::as_text).collect();
        let text = format!("<system>{}</system>", texts.join("\n"));
        let parts = vec![Object::new().with("text", text).into()];
        Draft { role: "user", parts, results: false }
    }

    fn user<'a>(&mut self, user: &User<'a>) -> Result<Draft<'a>, Refusal> {
        let mut parts = Vec::new();
        for part in &user.parts {
            match part {
                Cow::Borrowed(part) => parts.extend(self.part(part, user.place)?),
                Cow::Owned(part) => {
                    let text = part.as_text().unwrap_or_default().to_owned();
                    parts.push(Object::new().with("text", text).into());
                }
            }
        }
        Ok(Draft { role: "user", parts, results: false })
    }

    fn part<'a>(&mut self, part: &'a Part, place: Place) -> Result<Option<Json<'a>>, Refusal> {
        self.note_hint(part, place);
        Ok(match part {
            Part::Text(text) => self.text(text, place),
            Part::Refusal(text) => Some(Object::new().with("text", text).into()),
            Part::Reasoning(reasoning) => self.reasoning(reasoning, place),
            Part::Media(media) => Some(self.media(media, place)?),
            Part::SearchResult(found) => {
                Some(Object::new().with("text", search::text(found)).into())
            }
            Part::ServerToolCall(call) if self.is_own() => Some((&call.value).into()),
            Part::ServerToolResult(result) if self.is_own() => Some((&result.value).into()),
            Part::Raw { value, .. } if self.is_own() => Some(value.into()),
            _ => None,
        })
    }

    fn note_hint(&mut self, part: &Part, place: Place) {
        let hinted = match part {
            Part::Text(text) => text.cache.is_some(),
            Part::Media(media) => media.cache.is_some(),
            Part::SearchResult(found) => found.cache.is_some(),
            _ => false,
        };
        if hinted {
            self.report.place(Code::CacheHintDropped, place);
        }
    }

    fn text<'a>(&mut self, text: &'a Text, place: Place) -> Option<Json<'a>> {
        let signature = text.signature.as_ref().filter(|signature| self.is_native(signature));
        if signature.is_none() && text.signature.is_some() {
            self.report.place(Code::SignatureDropped, place);
        }
        if text.text.is_empty() && signature.is_none() {
            return None;
        }
        if !text.citations.is_empty() {
            self.report.place(Code::CitationsDropped, place);
        }
        let part = Object::new()
            .with("text", &text.text)
            .maybe("thoughtSignature", signature.map(|signature| &signature.payload));
        Some(self.with_extra(part, &text.extra))
    }

    fn is_native(&self, opaque: &Opaque) -> bool {
        let families = [self.onto.family, opaque.family.as_str()];
        let family = families.contains(&"") || families[0] == families[1];
        let scopes = [self.onto.scope, opaque.scope];
        let scope = scopes.contains(&[0; 8]) || scopes[0] == scopes[1];
        opaque.vendor == Vendor::Google && family && scope
    }

    fn reasoning<'a>(&mut self, reasoning: &'a Reasoning, place: Place) -> Option<Json<'a>> {
        let opaque = reasoning.opaque.as_ref().filter(|opaque| self.is_native(opaque));
        if opaque.is_none() && (!self.is_own() || reasoning.opaque.is_some()) {
            self.report.place(Code::ReasoningDropped, place);
            return None;
        }
        let part = Object::new()
            .with("text", reasoning.joined())
            .with("thought", true)
            .maybe("thoughtSignature", opaque.map(|opaque| &opaque.payload));
        Some(self.with_extra(part, &reasoning.extra))
    }

    fn with_extra<'a>(&self, mut part: Object<'a>, extra: &'a crate::model::Extra) -> Json<'a> {
        if self.is_own() {
            parts::kept(extra).for_each(|(key, value)| part.put(key, value));
        }
        part.into()
    }

    fn media<'a>(&mut self, media: &'a Media, place: Place) -> Result<Json<'a>, Refusal> {
        let mut part = self.source(media, place)?;
        if let Some(video) = media.video.as_ref().filter(|_| self.is_own()) {
            part.put("videoMetadata", video);
        }
        if let Some(level) = resolution(media.detail.as_deref()) {
            part.put("mediaResolution", Object::new().with("level", level));
        }
        if media.context.is_some() || (media.title.is_some() && !self.is_own()) {
            self.report.place(Code::DroppedField, place);
        }
        Ok(self.with_extra(part, &media.extra))
    }

    fn source<'a>(&mut self, media: &'a Media, place: Place) -> Result<Object<'a>, Refusal> {
        let blob = |mime: &'a str, data: Json<'a>| {
            Object::new()
                .with("inlineData", Object::new().with("mimeType", mime).with("data", data))
        };
        Ok(match &media.source {
            Source::Base64 { mime, data } => blob(mime, data.into()),
            Source::Text { text, .. } => blob("text/plain", media::text_base64(text).into()),
            Source::Url(url) if self.fetches(media.kind) => file(url, mime_of(media, url)),
            Source::Uri { uri, mime } if self.is_own() => {
                file(uri, mime.as_deref().or(media.mime.as_deref()))
            }
            Source::Blocks(parts) => {
                let texts: Vec<_> = parts.iter().filter_map(Part::as_text).collect();
                Object::new().with("text", texts.join("\n"))
            }
            source => return Err(self.refuse(source, media.kind, place)),
        })
    }

    fn fetches(&self, kind: MediaKind) -> bool {
        let caps = self.onto.caps;
        let fetches = match kind {
            MediaKind::Image => caps.fetches_https_images,
            _ => caps.fetches_https_files,
        };
        self.is_own() || fetches == Some(true)
    }

    fn refuse(&self, source: &Source, kind: MediaKind, place: Place) -> Refusal {
        let what = match source {
            Source::File { .. } => "by another provider's file id",
            Source::Uri { .. } => "at an address only its provider can read",
            _ => "by URL",
        };
        let why = format!(
            "holds {} {what}, which this model cannot fetch; send the data itself",
            kind.as_str()
        );
        self.report.refuse_place(place, &why)
    }

    fn assistant<'a>(&mut self, turn: &Assistant<'a>, current: bool) -> Result<Draft<'a>, Refusal> {
        let mut parts = Vec::new();
        let mut first = current && self.onto.caps.needs_thought_signature;
        for piece in &turn.pieces {
            match piece {
                Piece::Part(part) => parts.extend(self.part(part, turn.place)?),
                Piece::Call { call, id } => {
                    parts.push(self.call(call, id.clone(), turn.place, first));
                    first = false;
                }
            }
        }
        Ok(Draft { role: "model", parts, results: false })
    }

    /// `signed`: without a signature the call would be refused.
    fn call<'a>(
        &mut self,
        call: &'a ToolCall,
        id: Cow<'a, str>,
        place: Place,
        signed: bool,
    ) -> Json<'a> {
        let args = match (&call.args, call.kind) {
            (Args::Json(object), _) => Json::from(object),
            (Args::Text(text), CallKind::Custom) => restore::wrap_free_text(text).into(),
            (Args::Text(text), CallKind::Function) => {
                self.report.place(Code::InvalidToolArguments, place);
                Object::new().with("_raw", text).into()
            }
        };
        if call.cache.is_some() {
            self.report.place(Code::CacheHintDropped, place);
        }
        let signature = call.signature.as_ref().filter(|signature| self.is_native(signature));
        let signature = match signature {
            Some(signature) => Some(signature.payload.as_str()),
            None => signed.then_some(BYPASS),
        };
        let name = NAMES.fit(call.namespace.as_deref(), &call.name);
        let function = Object::new().maybe("id", sent_id(id)).with("name", name).with("args", args);
        let part =
            Object::new().with("functionCall", function).maybe("thoughtSignature", signature);
        self.with_extra(part, &call.extra)
    }

    /// The results of one turn, and after them the media the model cannot take inside.
    fn results<'a>(&mut self, outcomes: &[Outcome<'a>]) -> Result<Vec<Draft<'a>>, Refusal> {
        let inside = self.onto.caps.tool_result_media.unwrap_or(true);
        let mut parts = Vec::new();
        let mut after = Vec::new();
        for outcome in outcomes {
            let mut moved = Vec::new();
            parts.push(self.result(outcome, inside, &mut moved)?);
            if !moved.is_empty() {
                let text = format!("[media of tool call {}]", outcome.id);
                after.push(Object::new().with("text", text).into());
                after.extend(moved);
            }
        }
        let results = Draft { role: "user", parts, results: true };
        Ok(vec![results, Draft { role: "user", parts: after, results: false }])
    }

    fn result<'a>(
        &mut self,
        outcome: &Outcome<'a>,
        inside: bool,
        moved: &mut Vec<Json<'a>>,
    ) -> Result<Json<'a>, Refusal> {
        let call = outcome.call;
        let mut media = Vec::new();
        let response = match outcome.result {
            None => Object::new().with("error", NO_RESULT).into(),
            Some(result) => {
                if result.cache.is_some() {
                    self.report.place(Code::CacheHintDropped, result.place);
                }
                for part in &result.parts {
                    if let Part::Media(each) = part {
                        media.push(self.media(each, result.place)?);
                    }
                }
                response(result, self.is_own())
            }
        };
        let mut function = Object::new()
            .maybe("id", sent_id(outcome.id.clone()))
            .with("name", NAMES.fit(call.namespace.as_deref(), &call.name))
            .with("response", response);
        if inside && !media.is_empty() {
            function.put("parts", media);
        } else {
            moved.extend(media);
        }
        if let Some(result) = outcome.result.filter(|_| self.is_own()) {
            parts::kept(&result.extra).for_each(|(key, value)| function.put(key, value));
        }
        Ok(Object::new().with("functionResponse", function).into())
    }
}

fn merge<'a>(drafts: &mut Vec<Draft<'a>>, draft: Draft<'a>) {
    if draft.parts.is_empty() {
        return;
    }
    let fits = |last: &&mut Draft<'_>| last.role == draft.role && !last.results && !draft.results;
    match drafts.last_mut().filter(fits) {
        Some(last) => last.parts.extend(draft.parts),
        None => drafts.push(draft),
    }
}

/// Ids made for a client are not this protocol's.
fn sent_id(id: Cow<'_, str>) -> Option<Cow<'_, str>> {
    (!id.starts_with(ids::SYNTHETIC) && !id.is_empty()).then_some(id)
}

fn file<'a>(uri: &'a str, mime: Option<&'a str>) -> Object<'a> {
    let file = Object::new().maybe("mimeType", mime).with("fileUri", uri);
    Object::new().with("fileData", file)
}

fn mime_of<'a>(media: &'a Media, url: &str) -> Option<&'a str> {
    media.mime.as_deref().or_else(|| media::mime_of_path(url))
}

fn resolution(detail: Option<&str>) -> Option<&'static str> {
    Some(match detail? {
        "low" => "MEDIA_RESOLUTION_LOW",
        "medium" => "MEDIA_RESOLUTION_MEDIUM",
        "high" => "MEDIA_RESOLUTION_HIGH",
        "ultra_high" => "MEDIA_RESOLUTION_ULTRA_HIGH",
        _ => return None,
    })
}

/// What a tool said, as an object.
fn response(result: &ToolResult, own: bool) -> Json<'_> {
    if let Some(structured) = result.structured.as_ref().filter(|_| own) {
        return structured.into();
    }
    let texts = result.parts.iter().filter_map(|part| match part {
        Part::Text(text) => Some(Cow::Borrowed(text.text.as_str())),
        Part::SearchResult(found) => Some(search::text(found).into()),
        _ => None,
    });
    let text = texts.collect::<Vec<_>>().join("\n");
    if result.is_error {
        return Object::new().with("error", text).into();
    }
    match Raw::parse(&text).filter(|raw| raw.is_object() && !has_references(raw.node())) {
        Some(object) => object.into(),
        None => Object::new().with("output", text).into(),
    }
}

/// Such members would be taken for references to media.
fn has_references(node: Node<'_>) -> bool {
    let members = node.fields().map(|fields| fields.extra().0).unwrap_or_default();
    members.iter().any(|(key, value)| {
        matches!(key.as_ref(), "$ref" | "$defs") || has_references(value.node())
    }) || node.is_array() && node.elements().any(has_references)
}
