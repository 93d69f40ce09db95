//! The system prompt and the messages of a request as an upstream takes them.

use std::borrow::Cow;

use tollgate_core::{Protocol, Refusal};

use super::{NAMES, media};
use crate::{
    codec::Onto,
    ids,
    json::{Json, Object},
    model::{
        Args, CacheHint, CallKind, Conversation, Item, Message, Opaque, Part, Place, Reasoning,
        Text, Tool, ToolCall, ToolResult, Vendor,
    },
    restore,
    shape::{Assistant, NO_RESULT, Outcome, Piece, Shape, Turn, User},
    warning::{Code, Report},
};

const ME: Protocol = Protocol::AnthropicMessages;

/// At most so many breakpoints are taken.
const MOST_HINTS: usize = 4;

/// Cache breakpoints: the last four are put.
#[derive(Debug)]
pub(super) struct Hints {
    skip: usize,
}

impl Hints {
    pub(super) fn of(c: &Conversation) -> Self {
        let tools =
            c.tools.iter().filter(|tool| matches!(tool, Tool::Function(t) if t.cache.is_some()));
        let items: usize = c.items.iter().map(hints_in).sum();
        let top = usize::from(c.cache.auto == Some(true));
        Self { skip: (tools.count() + items + top).saturating_sub(MOST_HINTS) }
    }

    pub(super) fn put<'a>(
        &mut self,
        object: &mut Object<'a>,
        hint: Option<&'a CacheHint>,
        report: &mut Report,
    ) {
        let Some(hint) = hint else { return };
        if self.skip > 0 {
            self.skip -= 1;
            report.path(Code::CacheHintDropped, "cache_control");
            return;
        }
        object.put("cache_control", cache_control(hint.ttl.as_deref()));
    }
}

/// A breakpoint; other lifetimes than 5 minutes and an hour are not known.
pub(super) fn cache_control(ttl: Option<&str>) -> Object<'_> {
    Object::of("ephemeral").maybe("ttl", ttl.filter(|ttl| matches!(*ttl, "5m" | "1h")))
}

fn hints_in(item: &Item) -> usize {
    let part = |part: &Part| match part {
        Part::Text(text) => text.cache.is_some(),
        Part::Media(media) => media.cache.is_some(),
        Part::ToolCall(call) => call.cache.is_some(),
        Part::SearchResult(found) => found.cache.is_some(),
        _ => false,
    };
    match item {
        Item::Message(message) => message.parts.iter().filter(|each| part(each)).count(),
        Item::ToolResult(result) => {
            usize::from(result.cache.is_some())
                + result.parts.iter().filter(|each| part(each)).count()
        }
        Item::Opaque { .. } => 0,
    }
}

/// A message being made.
#[derive(Debug)]
struct Draft<'a> {
    role: &'static str,
    blocks: Vec<Json<'a>>,
    /// It was one plain string.
    plain: bool,
}

#[derive(Debug)]
pub(super) struct Turns<'r> {
    source: Protocol,
    family: &'r str,
    scope: [u8; 8],
    bound: bool,
    prefill: bool,
    mid_system: bool,
    /// A native block was left out: so must be all later ones.
    broken: bool,
    pub(super) hints: &'r mut Hints,
    pub(super) report: &'r mut Report,
}

impl<'r> Turns<'r> {
    pub(super) fn new(
        c: &Conversation,
        onto: &'r Onto<'_>,
        hints: &'r mut Hints,
        report: &'r mut Report,
    ) -> Self {
        Self {
            source: c.source,
            family: onto.family,
            scope: onto.scope,
            bound: onto.caps.bound_reasoning,
            prefill: onto.caps.prefill,
            mid_system: onto.caps.mid_system || c.source == ME,
            broken: false,
            hints,
            report,
        }
    }

    fn is_own(&self) -> bool {
        self.source == ME
    }

    /// The leading instructions, one block a part.
    pub(super) fn system<'a>(
        &mut self,
        leading: &[&'a Message],
    ) -> Result<Option<Json<'a>>, Refusal> {
        let mut blocks = Vec::new();
        for message in leading {
            for part in &message.parts {
                blocks.extend(self.part(part, message.place)?);
            }
        }
        if let [Message { plain: true, parts, .. }] = leading
            && let ([Part::Text(text)], 1) = (parts.as_slice(), blocks.len())
            && text.cache.is_none()
        {
            return Ok(Some((&text.text).into()));
        }
        Ok((!blocks.is_empty()).then_some(Json::Array(blocks)))
    }

    pub(super) fn messages<'a>(&mut self, shape: &Shape<'a>) -> Result<Vec<Json<'a>>, Refusal> {
        let mut drafts: Vec<Draft<'a>> = Vec::new();
        for turn in &shape.turns {
            let draft = self.turn(turn)?;
            match drafts.last_mut().filter(|last| last.role == draft.role && last.role != "system")
            {
                Some(last) => {
                    last.blocks.extend(draft.blocks);
                    last.plain = false;
                }
                None => drafts.push(draft),
            }
        }
        self.finish(drafts)
    }

    fn turn<'a>(&mut self, turn: &Turn<'a>) -> Result<Draft<'a>, Refusal> {
        match turn {
            Turn::System(message) => self.later_system(message),
            Turn::User(user) => self.user(user),
            Turn::Assistant(turn) => self.assistant(turn),
            Turn::Results(outcomes) => {
                let blocks = outcomes.iter().map(|outcome| self.outcome(outcome));
                let blocks = blocks.collect::<Result<_, _>>()?;
                Ok(Draft { role: "user", blocks, plain: false })
            }
            Turn::Opaque(_) => Ok(Draft { role: "user", blocks: Vec::new(), plain: false }),
        }
    }

    fn later_system<'a>(&mut self, message: &'a Message) -> Result<Draft<'a>, Refusal> {
        if self.mid_system {
            let mut blocks = Vec::new();
            for part in &message.parts {
                blocks.extend(self.part(part, message.place)?);
            }
            return Ok(Draft { role: "system", blocks, plain: message.plain });
        }
        self.report.place(Code::SystemDemoted, message.place);
        let texts: Vec<_> = message.parts.iter().filter_map(Part::as_text).collect();
        let text = format!("<system>{}</system>", texts.join("\n"));
        let blocks = vec![Object::of("text").with("text", text).into()];
        Ok(Draft { role: "user", blocks, plain: false })
    }

    fn user<'a>(&mut self, user: &User<'a>) -> Result<Draft<'a>, Refusal> {
        let mut blocks = Vec::new();
        for part in &user.parts {
            match part {
                Cow::Borrowed(part) => blocks.extend(self.part(part, user.place)?),
                Cow::Owned(part) => {
                    let text = part.as_text().unwrap_or_default().to_owned();
                    blocks.push(Object::of("text").with("text", text).into());
                }
            }
        }
        Ok(Draft { role: "user", blocks, plain: user.message.is_some_and(|m| m.plain) })
    }

    fn part<'a>(&mut self, part: &'a Part, place: Place) -> Result<Option<Json<'a>>, Refusal> {
        Ok(match part {
            Part::Text(text) => self.text(text, place),
            Part::Refusal(text) => Some(Object::of("text").with("text", text).into()),
            Part::Media(each) => {
                let mut block = media::block(each, place, self.report)?;
                self.hints.put(&mut block, each.cache.as_ref(), self.report);
                Some(self.with_extra(block, &each.extra))
            }
            Part::SearchResult(found) => {
                let mut block = media::search_result(found);
                self.hints.put(&mut block, found.cache.as_ref(), self.report);
                Some(self.with_extra(block, &found.extra))
            }
            Part::ServerToolCall(call) if self.is_own() => Some((&call.value).into()),
            Part::ServerToolResult(result) if self.is_own() => Some((&result.value).into()),
            Part::Raw { value, .. } if self.is_own() => Some(value.into()),
            Part::Reasoning(reasoning) => self.reasoning(reasoning, place),
            _ => None,
        })
    }

    fn with_extra<'a>(&self, mut block: Object<'a>, extra: &'a crate::model::Extra) -> Json<'a> {
        if self.is_own() {
            for (key, value) in &extra.0 {
                block.put(key.as_ref(), value);
            }
        }
        block.into()
    }

    fn text<'a>(&mut self, text: &'a Text, place: Place) -> Option<Json<'a>> {
        if text.signature.is_some() {
            self.report.place(Code::SignatureDropped, place);
        }
        if text.text.trim().is_empty() {
            self.report.place(Code::EmptyContentRemoved, place);
            return None;
        }
        let mut block = Object::of("text").with("text", &text.text);
        if self.is_own() {
            block = block.some("citations", text.citations.iter().map(|citation| &citation.native));
        } else if !text.citations.is_empty() {
            self.report.place(Code::CitationsDropped, place);
        }
        self.hints.put(&mut block, text.cache.as_ref(), self.report);
        Some(self.with_extra(block, &text.extra))
    }

    /// A block of this vendor's as it was given; any other reasoning stays behind.
    fn reasoning<'a>(&mut self, reasoning: &'a Reasoning, place: Place) -> Option<Json<'a>> {
        let Some(opaque) = native(reasoning, self.family) else {
            self.report.place(Code::ReasoningDropped, place);
            return None;
        };
        if !self.is_intact(reasoning, opaque) {
            self.broken = self.bound;
            self.report.place(Code::SignatureDropped, place);
            return None;
        }
        let block = match reasoning.text.is_empty() {
            true => Object::of("redacted_thinking").with("data", &opaque.payload),
            false => Object::of("thinking")
                .with("thinking", reasoning.joined())
                .with("signature", &opaque.payload),
        };
        Some(self.with_extra(block, &reasoning.extra))
    }

    fn is_intact(&self, reasoning: &Reasoning, opaque: &Opaque) -> bool {
        !self.broken && is_intact(reasoning, opaque, self.scope)
    }

    fn assistant<'a>(&mut self, turn: &Assistant<'a>) -> Result<Draft<'a>, Refusal> {
        let mut blocks = Vec::new();
        for piece in &turn.pieces {
            match piece {
                Piece::Part(part) => blocks.extend(self.part(part, turn.place)?),
                Piece::Call { call, id } => blocks.push(self.call(call, id.clone(), turn.place)),
            }
        }
        let plain = matches!(turn.messages.as_slice(), [Message { plain: true, .. }]);
        Ok(Draft { role: "assistant", blocks, plain })
    }

    fn call<'a>(&mut self, call: &'a ToolCall, id: Cow<'a, str>, place: Place) -> Json<'a> {
        let input = match (&call.args, call.kind) {
            (Args::Json(object), _) => Json::from(object),
            (Args::Text(text), CallKind::Custom) => restore::wrap_free_text(text).into(),
            (Args::Text(text), CallKind::Function) => {
                self.report.place(Code::InvalidToolArguments, place);
                Object::new().with("_raw", text).into()
            }
        };
        let mut block = Object::of("tool_use")
            .with("id", self.id(id, place))
            .with("name", NAMES.fit(call.namespace.as_deref(), &call.name))
            .with("input", input);
        self.hints.put(&mut block, call.cache.as_ref(), self.report);
        self.with_extra(block, &call.extra)
    }

    fn id<'a>(&mut self, id: Cow<'a, str>, place: Place) -> Cow<'a, str> {
        let fit = ids::narrow(&id).into_owned();
        if fit == id {
            return id;
        }
        self.report.place(Code::ToolIdRewritten, place);
        fit.into()
    }

    fn outcome<'a>(&mut self, outcome: &Outcome<'a>) -> Result<Json<'a>, Refusal> {
        let place = outcome.result.map(|result| result.place).unwrap_or_default();
        let id = ids::narrow(&outcome.id).into_owned();
        let mut block = Object::of("tool_result").with("tool_use_id", id);
        let Some(result) = outcome.result else {
            return Ok(block.with("content", NO_RESULT).with("is_error", true).into());
        };
        if let Some(content) = self.output(result, place)? {
            block.put("content", content);
        }
        if result.is_error {
            block.put("is_error", true);
        }
        self.hints.put(&mut block, result.cache.as_ref(), self.report);
        Ok(self.with_extra(block, &result.extra))
    }

    fn output<'a>(
        &mut self,
        result: &'a ToolResult,
        place: Place,
    ) -> Result<Option<Json<'a>>, Refusal> {
        if let [Part::Text(text)] = result.parts.as_slice() {
            if text.text.trim().is_empty() {
                return Ok(None);
            }
            if result.plain && text.cache.is_none() {
                return Ok(Some((&text.text).into()));
            }
        }
        let mut blocks = Vec::new();
        for part in &result.parts {
            blocks.extend(self.part(part, place)?);
        }
        Ok((!blocks.is_empty()).then_some(Json::Array(blocks)))
    }

    /// Sees to it that the conversation begins with the user and ends as the model takes it.
    fn finish<'a>(&mut self, drafts: Vec<Draft<'a>>) -> Result<Vec<Json<'a>>, Refusal> {
        let last = drafts.len().saturating_sub(1);
        let mut out: Vec<Draft<'a>> = Vec::with_capacity(drafts.len() + 1);
        for (at, mut draft) in drafts.into_iter().enumerate() {
            if draft.blocks.is_empty() {
                if at < last || draft.role != "user" {
                    continue;
                }
                draft.blocks.push(text_block("."));
            }
            match out.last_mut().filter(|before| before.role == draft.role) {
                Some(before) if draft.role != "system" => before.blocks.extend(draft.blocks),
                _ => out.push(draft),
            }
        }
        let speaks = out.iter().find(|draft| draft.role != "system");
        if speaks.is_none_or(|draft| draft.role != "user") {
            self.report.path(Code::SyntheticUserTurn, "messages");
            out.insert(0, Draft { role: "user", blocks: vec![text_block(".")], plain: false });
        }
        self.ending(&mut out);
        let own = self.is_own();
        Ok(out.into_iter().map(|draft| message(draft, own)).collect())
    }

    fn ending(&mut self, drafts: &mut Vec<Draft<'_>>) {
        let Some(last) = drafts.last_mut().filter(|draft| draft.role == "assistant") else {
            return;
        };
        if self.is_own() {
            return;
        }
        if !self.prefill {
            self.report.path(Code::SyntheticUserTurn, "messages");
            let blocks = vec![text_block("Continue.")];
            drafts.push(Draft { role: "user", blocks, plain: false });
            return;
        }
        if let Some(Json::Object(block)) = last.blocks.last_mut()
            && block.get("type").and_then(Json::as_str) == Some("text")
            && let Some(Json::Str(text)) = block.get_mut("text")
        {
            *text = text.trim_end().to_owned().into();
        }
    }
}

/// The opaque value of a reasoning block that this vendor's models can read.
pub(super) fn native<'a>(reasoning: &'a Reasoning, family: &str) -> Option<&'a Opaque> {
    let readable = |opaque: &&Opaque| {
        let known = !family.is_empty() && !opaque.family.is_empty();
        opaque.vendor == Vendor::Anthropic && !(known && opaque.family != family)
    };
    reasoning.opaque.as_ref().filter(readable)
}

/// Whether the text is the one the value was made over, for the account it is sent to.
pub(super) fn is_intact(reasoning: &Reasoning, opaque: &Opaque, scope: [u8; 8]) -> bool {
    let text = opaque.digest == [0; 8] || opaque.digest == ids::digest(&reasoning.joined());
    let unknown = scope == [0; 8] || opaque.scope == [0; 8];
    text && (unknown || scope == opaque.scope)
}

fn text_block(text: &str) -> Json<'_> {
    Object::of("text").with("text", text).into()
}

fn message(draft: Draft<'_>, own: bool) -> Json<'_> {
    let Draft { role, mut blocks, plain } = draft;
    let only = match blocks.as_mut_slice() {
        [Json::Object(block)] if plain && own && block.0.len() == 2 => block.remove("text"),
        _ => None,
    };
    let content = only.unwrap_or(Json::Array(blocks));
    Object::new().with("role", role).with("content", content).into()
}
