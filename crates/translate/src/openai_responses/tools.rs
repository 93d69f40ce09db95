//! Tools and the choice among them, both ways.

use tollgate_core::{Protocol, Refusal};

use super::NAMES;
use crate::{
    codec::Onto,
    json::{Bad, Fields, Json, Node, Object, Raw},
    model::{
        CallKind, Conversation, CustomTool, Extra, Field, FunctionTool, Native, ServerTool,
        ServerToolKind, Tool, ToolChoice,
    },
    names::Known,
    openai, schema,
    warning::{Code, Report},
};

const ME: Protocol = Protocol::OpenAiResponses;

/// What a namespace of tools is about: told with the namespace alone.
pub(super) const NAMESPACE: &str = "tools.description";

pub(super) fn read(body: &mut Fields<'_>, c: &mut Conversation) -> Result<(), Bad> {
    for (i, node) in body.array("tools")?.into_iter().enumerate() {
        tool(node, None, &mut c.tools).map_err(|bad| bad.under(format!("tools[{i}]")))?;
        let namespace = node.get("type").and_then(Node::str).is_some_and(|t| t == "namespace");
        let description = node.get("description").filter(|_| namespace);
        c.native.extend(description.map(|node| Native {
            name: NAMESPACE,
            value: node.raw(),
            essential: false,
        }));
    }
    c.parallel_tools = body.bool("parallel_tool_calls")?;
    c.tool_choice = body.take("tool_choice").map(choice).transpose()?;
    Ok(())
}

fn tool(node: Node<'_>, namespace: Option<&str>, out: &mut Vec<Tool>) -> Result<(), Bad> {
    let mut fields = node.fields().ok_or(Bad::new("", "must be an object"))?;
    let kind = fields.need("type")?;
    let namespace = namespace.map(str::to_owned);
    match kind.as_str() {
        "function" => out.push(Tool::Function(FunctionTool {
            name: fields.need("name")?,
            namespace,
            description: fields.string("description")?,
            schema: fields.raw("parameters"),
            strict: fields.bool("strict")?,
            cache: openai::cache_hint(&mut fields),
            extra: fields.extra(),
        })),
        "custom" => out.push(Tool::Custom(CustomTool {
            name: fields.need("name")?,
            namespace,
            description: fields.string("description")?,
            grammar: fields.raw("format"),
            extra: fields.extra(),
        })),
        "namespace" => {
            let name = fields.need("name")?;
            for (i, node) in fields.array("tools")?.into_iter().enumerate() {
                tool(node, Some(&name), out).map_err(|bad| bad.under(format!("tools[{i}]")))?;
            }
        }
        _ => out.push(Tool::Server(server(kind, node))),
    }
    Ok(())
}

fn server(name: String, node: Node<'_>) -> ServerTool {
    let kind = match name.starts_with("web_search") {
        true => {
            let domains = node.get("filters").and_then(|filters| filters.get("allowed_domains"));
            let domains = domains.into_iter().flat_map(Node::elements);
            ServerToolKind::WebSearch {
                allowed_domains: domains.filter_map(Node::string).collect(),
                blocked_domains: Vec::new(),
                location: openai::location(node.get("user_location")),
                context_size: node.get("search_context_size").and_then(Node::string),
                max_uses: None,
            }
        }
        false => ServerToolKind::Other,
    };
    ServerTool { kind, name, value: node.raw() }
}

fn choice(node: Node<'_>) -> Result<ToolChoice, Bad> {
    let bad = || Bad::new("tool_choice", "is not a known choice");
    if let Some(word) = node.str() {
        return Ok(match word.as_ref() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" => ToolChoice::Required,
            _ => return Err(bad()),
        });
    }
    let kind = node.get("type").and_then(Node::string).ok_or_else(bad)?;
    let name = || node.get("name").and_then(Node::string).ok_or_else(bad);
    let tools = node.get("tools");
    Ok(match kind.as_str() {
        "function" => ToolChoice::Named { name: name()?, kind: CallKind::Function },
        "custom" => ToolChoice::Named { name: name()?, kind: CallKind::Custom },
        "allowed_tools" => ToolChoice::Allowed {
            required: node.get("mode").and_then(Node::str).is_some_and(|mode| mode == "required"),
            names: tools.map(openai::allowed_names).unwrap_or_default(),
            native: tools.map(Node::raw),
        },
        _ => ToolChoice::Server { name: kind, value: node.raw() },
    })
}

/// Puts the tools and the choice among them.
///
/// Errors: the choice forces a tool that cannot be carried.
pub(super) fn put<'a>(
    body: &mut Object<'a>,
    c: &'a Conversation,
    onto: &Onto<'_>,
    report: &mut Report,
) -> Result<(), Refusal> {
    let mut tools: Vec<Json<'a>> = Vec::new();
    let mut told = c.native.iter().filter(|native| native.name == NAMESPACE && c.source == ME);
    let mut close = |(name, tools): (&'a str, Vec<Json<'a>>)| -> Json<'a> {
        let description = told.next().map(|native| &native.value);
        let out = Object::of("namespace").with("name", name);
        out.maybe("description", description).with("tools", tools).into()
    };
    let mut open: Option<(&'a str, Vec<Json<'a>>)> = None;
    for (at, tool) in c.tools.iter().enumerate() {
        let namespace = namespace(tool);
        if open.as_ref().is_some_and(|(name, _)| Some(*name) != namespace) {
            tools.extend(open.take().map(&mut close));
        }
        let own = c.source == ME;
        let written = match tool {
            Tool::Function(tool) => Some(function(tool, at, c.source, report)),
            Tool::Custom(tool) => Some(custom(tool, c.source)),
            Tool::Server(tool) if own => Some((&tool.value).into()),
            Tool::Server(tool) => server_tool(tool, at, onto, report),
        };
        let Some(written) = written else { continue };
        match namespace {
            Some(name) => open.get_or_insert_with(|| (name, Vec::new())).1.push(written),
            None => tools.push(written),
        }
    }
    tools.extend(open.map(&mut close));
    let none = tools.is_empty();
    if !none {
        body.put("tools", tools);
    }
    if let Some(choice) = write_choice(c, none, report)? {
        body.put("tool_choice", choice);
    }
    if let Some(parallel) = c.parallel_tools.filter(|_| !none || c.source == ME) {
        body.put("parallel_tool_calls", parallel);
    }
    Ok(())
}

fn namespace(tool: &Tool) -> Option<&str> {
    match tool {
        Tool::Function(tool) => tool.namespace.as_deref(),
        Tool::Custom(tool) => tool.namespace.as_deref(),
        Tool::Server(_) => None,
    }
}

fn function<'a>(
    tool: &'a FunctionTool,
    at: usize,
    source: Protocol,
    report: &mut Report,
) -> Json<'a> {
    if tool.cache.is_some() {
        report.path(Code::CacheHintDropped, &format!("tools[{at}].cache_control"));
    }
    // Not said means strict here, and not strict everywhere else.
    let promised = || tool.schema.as_ref().is_some_and(schema::keeps_strict_promises);
    let strict = match (tool.strict, source) {
        (None, ME) => None,
        (Some(true), Protocol::AnthropicMessages) => Some(promised()),
        (strict, _) => Some(strict.unwrap_or(false)),
    };
    let out = Object::of("function")
        .with("name", NAMES.fit(None, &tool.name))
        .maybe("description", tool.description.as_ref())
        .with("parameters", tool.schema.as_ref().map_or(Json::Null, Json::from))
        .maybe("strict", strict);
    with_extra(out, &tool.extra, source).into()
}

fn custom(tool: &CustomTool, source: Protocol) -> Json<'_> {
    let out = Object::of("custom")
        .with("name", NAMES.fit(None, &tool.name))
        .maybe("description", tool.description.as_ref())
        .maybe("format", tool.grammar.as_ref().map(flat_grammar));
    with_extra(out, &tool.extra, source).into()
}

/// Chat writes a grammar under its own name, this protocol flat.
fn flat_grammar(grammar: &Raw) -> Json<'_> {
    let Some(inner) = grammar.node().get("grammar") else { return grammar.into() };
    let member = |name| inner.get(name).map(|value| Json::from(value.raw()));
    Object::of("grammar")
        .maybe("syntax", member("syntax"))
        .maybe("definition", member("definition"))
        .into()
}

pub(super) fn with_extra<'a>(
    mut out: Object<'a>,
    extra: &'a Extra,
    source: Protocol,
) -> Object<'a> {
    if source == ME {
        for (key, value) in &extra.0 {
            out.put(key.as_ref(), value);
        }
    }
    out
}

fn server_tool<'a>(
    tool: &'a ServerTool,
    at: usize,
    onto: &Onto<'_>,
    report: &mut Report,
) -> Option<Json<'a>> {
    match &tool.kind {
        ServerToolKind::WebSearch {
            allowed_domains,
            blocked_domains,
            location,
            context_size,
            max_uses,
        } if onto.caps.server_web_search != Some(false) => {
            if !blocked_domains.is_empty() || max_uses.is_some() {
                report.path(Code::DroppedField, &format!("tools[{at}]"));
            }
            let filters = Object::new().some("allowed_domains", allowed_domains);
            let location = location.as_ref().map(|location| {
                let mut place = Object::of("approximate");
                if let Json::Object(members) = location.tree() {
                    place.0.extend(members.0);
                }
                place
            });
            let out = Object::of("web_search")
                .filled("filters", filters)
                .maybe("user_location", location)
                .maybe("search_context_size", context_size.as_ref());
            Some(out.into())
        }
        _ => {
            report.path(Code::ServerToolDropped, &format!("tools[{at}]"));
            None
        }
    }
}

fn write_choice<'a>(
    c: &'a Conversation,
    none: bool,
    report: &mut Report,
) -> Result<Option<Json<'a>>, Refusal> {
    let Some(choice) = &c.tool_choice else { return Ok(None) };
    let known = Known::of(c);
    let named = |kind, name| Json::from(Object::of(kind).with("name", NAMES.fit(None, name)));
    Ok(Some(match choice {
        ToolChoice::Server { value, .. } if c.source == ME => value.into(),
        ToolChoice::Server { name, .. } => {
            let why = format!("forces `{name}`, a tool this model's protocol has not");
            return Err(report.refuse(Field::ToolChoice, &why));
        }
        _ if none && c.source != ME => return Ok(None),
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Named { name, kind: CallKind::Function } => named("function", name),
        ToolChoice::Named { name, kind: CallKind::Custom } => named("custom", name),
        ToolChoice::Allowed { required, names, native } => {
            let own = native.as_ref().filter(|_| c.source == ME).map(Json::from);
            let list = || {
                let each = names.iter().map(|name| named(known.kind(name), name));
                Json::Array(each.collect())
            };
            Object::of("allowed_tools")
                .with("mode", if *required { "required" } else { "auto" })
                .with("tools", own.unwrap_or_else(list))
                .into()
        }
    }))
}
