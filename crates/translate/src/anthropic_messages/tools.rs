//! Tools and the choice among them, both ways.

use std::collections::BTreeSet;

use tollgate_core::{ForcedToolChoice, Protocol, Refusal, Thinking};

use super::{NAMES, turns::Hints};
use crate::{
    codec::Onto,
    json::{Bad, Fields, Json, Node, Object, Raw},
    model::{
        CallKind, Conversation, CustomTool, Field, FunctionTool, Item, Part, ServerTool,
        ServerToolKind, Tool, ToolChoice,
    },
    names::Known,
    openai,
    restore::FREE_TEXT_SCHEMA,
    schema::{self, Loss},
    warning::{Code, Report},
};

const ME: Protocol = Protocol::AnthropicMessages;

/// Tools the client runs with a schema the model was trained on.
const CLIENT_EXECUTED: [&str; 5] = ["bash_", "text_editor_", "memory_", "computer_", "browser_"];

pub(super) fn read(body: &mut Fields<'_>, c: &mut Conversation) -> Result<(), Bad> {
    for (i, node) in body.array("tools")?.into_iter().enumerate() {
        c.tools.push(tool(node).map_err(|bad| bad.under(format!("tools[{i}]")))?);
    }
    let Some(choice) = body.take("tool_choice") else { return Ok(()) };
    let name = || choice.get("name").and_then(Node::string);
    c.tool_choice = Some(match choice.get("type").and_then(Node::string).as_deref() {
        Some("auto") => ToolChoice::Auto,
        Some("any") => ToolChoice::Required,
        Some("none") => ToolChoice::None,
        Some("tool") => {
            let name = name().ok_or(Bad::new("tool_choice.name", "is required"))?;
            named(name, choice, &c.tools)
        }
        _ => return Err(Bad::new("tool_choice.type", "is not a known choice")),
    });
    let disabled = choice.get("disable_parallel_tool_use").and_then(Node::bool);
    c.parallel_tools = disabled.map(|disabled| !disabled);
    Ok(())
}

fn named(name: String, choice: Node<'_>, tools: &[Tool]) -> ToolChoice {
    let server = tools.iter().any(|tool| match tool {
        Tool::Server(tool) => {
            tool.value.node().get("name").and_then(Node::str).is_some_and(|n| n == name)
        }
        _ => false,
    });
    if server {
        return ToolChoice::Server { name, value: choice.raw() };
    }
    ToolChoice::Named { name, kind: CallKind::Function }
}

fn tool(node: Node<'_>) -> Result<Tool, Bad> {
    let mut fields = node.fields().ok_or(Bad::new("", "must be an object"))?;
    let kind = fields.string("type")?.filter(|kind| kind != "custom");
    if let Some(kind) = kind {
        return Ok(Tool::Server(server_tool(kind, node)));
    }
    let cache = super::blocks::hint(&mut fields);
    Ok(Tool::Function(FunctionTool {
        name: fields.need("name")?,
        namespace: None,
        description: fields.string("description")?,
        schema: fields.raw("input_schema"),
        strict: fields.bool("strict")?,
        cache,
        extra: fields.extra(),
    }))
}

fn server_tool(name: String, node: Node<'_>) -> ServerTool {
    let strings = |key: &str| {
        let list = node.get(key).into_iter().flat_map(Node::elements);
        list.filter_map(Node::string).collect()
    };
    let kind = if name.starts_with("web_search_") {
        ServerToolKind::WebSearch {
            allowed_domains: strings("allowed_domains"),
            blocked_domains: strings("blocked_domains"),
            location: openai::location(node.get("user_location")),
            context_size: None,
            max_uses: node.get("max_uses").and_then(Node::u64),
        }
    } else if CLIENT_EXECUTED.iter().any(|prefix| name.starts_with(prefix)) {
        ServerToolKind::ClientExecuted
    } else {
        ServerToolKind::Other
    };
    ServerTool { kind, name, value: node.raw() }
}

/// The tools that are sent, and the choice among them.
#[derive(Debug, Default)]
pub(super) struct Offer<'a> {
    pub(super) tools: Vec<Json<'a>>,
    pub(super) choice: Option<Object<'a>>,
    /// A call is forced.
    pub(super) forced: bool,
}

/// Builds the offer. `bound`: replayed reasoning is bound to the whole list of tools.
///
/// Errors: the choice forces a tool that cannot be carried.
pub(super) fn offer<'a>(
    c: &'a Conversation,
    onto: &Onto<'_>,
    bound: bool,
    hints: &mut Hints,
    report: &mut Report,
) -> Result<Offer<'a>, Refusal> {
    let mut offer = Offer::default();
    let only = narrowed(c, bound);
    for (i, tool) in c.tools.iter().enumerate() {
        let named = tool.name();
        if only.as_ref().is_some_and(|only| named.is_none_or(|name| !only.contains(name))) {
            continue;
        }
        let mut writer = ToolWriter { c, onto, at: i, hints, report };
        offer.tools.extend(writer.tool(tool));
    }
    let synthetic = offer.tools.is_empty() && c.source != ME;
    if synthetic {
        offer.tools = synthetic_tools(c, report);
    }
    if offer.tools.is_empty() {
        return match &c.tool_choice {
            Some(ToolChoice::Server { name, .. }) => Err(forces(name, report)),
            _ => Ok(offer),
        };
    }
    let choice = if synthetic { Some(Object::of("none")) } else { choice(c, onto, bound, report)? };
    offer.choice = with_parallel(choice, c);
    offer.forced = offer.choice.as_ref().is_some_and(|choice| {
        matches!(choice.get("type").and_then(Json::as_str), Some("any" | "tool"))
    });
    Ok(offer)
}

/// The names that are left when the choice allows only some.
fn narrowed(c: &Conversation, bound: bool) -> Option<BTreeSet<&str>> {
    match &c.tool_choice {
        Some(ToolChoice::Allowed { names, .. }) if !bound => {
            Some(names.iter().map(String::as_str).collect())
        }
        _ => None,
    }
}

struct ToolWriter<'a, 'r> {
    c: &'a Conversation,
    onto: &'r Onto<'r>,
    at: usize,
    hints: &'r mut Hints,
    report: &'r mut Report,
}

impl<'a> ToolWriter<'a, '_> {
    fn tool(&mut self, tool: &'a Tool) -> Option<Json<'a>> {
        match tool {
            Tool::Function(tool) => Some(self.function(tool)),
            Tool::Custom(tool) => Some(self.custom(tool)),
            Tool::Server(tool) => self.server(tool),
        }
    }

    fn function(&mut self, tool: &'a FunctionTool) -> Json<'a> {
        let own = self.c.source == ME;
        let strict = tool.strict.filter(|strict| own || (*strict && self.onto.caps.strict_tools));
        let mut loss = Loss::default();
        let schema = match (&tool.schema, own) {
            (Some(schema), true) => schema.into(),
            (schema, _) => schema::input_schema(schema.as_ref(), strict == Some(true), &mut loss),
        };
        if loss.constraint {
            self.warn(Code::SchemaConstraintDropped);
        }
        let mut out = Object::new()
            .with("name", NAMES.fit(tool.namespace.as_deref(), &tool.name))
            .maybe("description", tool.description.as_ref())
            .with("input_schema", schema)
            .maybe("strict", strict);
        self.hints.put(&mut out, tool.cache.as_ref(), self.report);
        if own {
            for (key, value) in &tool.extra.0 {
                out.put(key.as_ref(), value);
            }
        }
        out.into()
    }

    fn custom(&mut self, tool: &'a CustomTool) -> Json<'a> {
        if tool.grammar.is_some() {
            self.warn(Code::DroppedField);
        }
        Object::new()
            .with("name", NAMES.fit(tool.namespace.as_deref(), &tool.name))
            .maybe("description", tool.description.as_ref())
            .with("input_schema", Json::Raw(FREE_TEXT_SCHEMA.into()))
            .into()
    }

    fn server(&mut self, tool: &'a ServerTool) -> Option<Json<'a>> {
        if self.c.source == ME {
            return Some((&tool.value).into());
        }
        let searches = self.onto.caps.server_web_search != Some(false);
        match &tool.kind {
            ServerToolKind::WebSearch {
                allowed_domains,
                blocked_domains,
                location,
                max_uses,
                ..
            } if searches => {
                Some(web_search(allowed_domains, blocked_domains, location.as_ref(), *max_uses))
            }
            _ => {
                self.warn(Code::ServerToolDropped);
                None
            }
        }
    }

    fn warn(&mut self, code: Code) {
        self.report.path(code, &format!("tools[{}]", self.at));
    }
}

fn web_search<'a>(
    allowed: &'a [String],
    blocked: &'a [String],
    location: Option<&'a Raw>,
    max_uses: Option<u64>,
) -> Json<'a> {
    let location = location.map(|location| {
        let mut place = Object::of("approximate");
        if let Json::Object(members) = location.tree() {
            place.0.extend(members.0);
        }
        place
    });
    Object::of("web_search_20250305")
        .with("name", "web_search")
        .some("allowed_domains", allowed)
        .some("blocked_domains", blocked)
        .maybe("max_uses", max_uses)
        .maybe("user_location", location)
        .into()
}

/// The history calls tools that are no longer listed: each is declared, and none may be called.
fn synthetic_tools<'a>(c: &'a Conversation, report: &mut Report) -> Vec<Json<'a>> {
    let (mut names, mut known) = (Vec::new(), BTreeSet::new());
    let parts = c.items.iter().filter_map(|item| match item {
        Item::Message(message) => Some(&message.parts),
        _ => None,
    });
    for part in parts.flatten() {
        if let Part::ToolCall(call) = part {
            let name = NAMES.fit(call.namespace.as_deref(), &call.name);
            if known.insert(name.clone()) {
                names.push(name);
            }
        }
    }
    if !names.is_empty() {
        report.field(Code::SyntheticTool, Field::Tools);
    }
    let any = Json::Raw(r#"{"type":"object","additionalProperties":true}"#.into());
    let tool = |name| Object::new().with("name", name).with("input_schema", any.clone()).into();
    names.into_iter().map(tool).collect()
}

fn forces(name: &str, report: &Report) -> Refusal {
    let why = format!("forces `{name}`, a tool this model's protocol has not");
    report.refuse(Field::ToolChoice, &why)
}

fn choice<'a>(
    c: &'a Conversation,
    onto: &Onto<'_>,
    bound: bool,
    report: &mut Report,
) -> Result<Option<Object<'a>>, Refusal> {
    let Some(choice) = &c.tool_choice else { return Ok(None) };
    let known = Known::of(c);
    let tool = |name| Object::of("tool").with("name", NAMES.chosen(&known, name));
    let choice = match choice {
        ToolChoice::Auto => Object::of("auto"),
        ToolChoice::None => Object::of("none"),
        ToolChoice::Required => Object::of("any"),
        ToolChoice::Named { name, .. } => tool(name),
        ToolChoice::Allowed { required, names, .. } => {
            if let ([only], true, true) = (names.as_slice(), *required, bound) {
                tool(only)
            } else {
                report.field(Code::ToolChoiceRelaxed, Field::ToolChoice);
                Object::of(if *required { "any" } else { "auto" })
            }
        }
        ToolChoice::Server { name, .. } if c.source == ME => tool(name),
        ToolChoice::Server { name, .. } => return Err(forces(name, report)),
    };
    let forced = choice.get("type").and_then(Json::as_str) != Some("auto");
    let forced = forced && choice.get("type").and_then(Json::as_str) != Some("none");
    if forced && forcing(onto) == ForcedToolChoice::Never && c.source != ME {
        report.field(Code::ToolChoiceRelaxed, Field::ToolChoice);
        return Ok(Some(Object::of("auto")));
    }
    Ok(Some(choice))
}

/// Whether a call may be forced: with a budget not while thinking.
pub(super) fn forcing(onto: &Onto<'_>) -> ForcedToolChoice {
    onto.caps.forced_tool_choice.unwrap_or(match onto.caps.thinking {
        None | Some(Thinking::Budget) => ForcedToolChoice::NotWithThinking,
        _ => ForcedToolChoice::Always,
    })
}

fn with_parallel<'a>(choice: Option<Object<'a>>, c: &Conversation) -> Option<Object<'a>> {
    let disable = match c.parallel_tools {
        Some(false) => true,
        Some(true) if c.source == ME => false,
        _ => return choice,
    };
    let choice = choice.unwrap_or_else(|| Object::of("auto"));
    let none = choice.get("type").and_then(Json::as_str) == Some("none");
    Some(if none { choice } else { choice.with("disable_parallel_tool_use", disable) })
}
