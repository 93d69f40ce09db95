//! Tools and the choice among them, both ways.

use tollgate_core::{Protocol, Refusal};

use crate::{
    codec::Onto,
    json::{Bad, Fields, Json, Node, Object, Raw},
    model::{
        CallKind, Conversation, CustomTool, Field, FunctionTool, ServerTool, ServerToolKind, Tool,
        ToolChoice,
    },
    names::{Known, OPENAI as NAMES},
    openai, schema,
    warning::{Code, Report},
};

pub(super) fn read(body: &mut Fields<'_>, c: &mut Conversation) -> Result<(), Bad> {
    for (i, node) in body.array("tools")?.into_iter().enumerate() {
        c.tools.push(tool(node).map_err(|bad| bad.under(format!("tools[{i}]")))?);
    }
    let functions = body.array("functions")?;
    for (i, node) in functions.into_iter().enumerate() {
        let mut fields = node.fields().ok_or(Bad::new(format!("functions[{i}]"), NO_OBJECT))?;
        let tool = function(&mut fields).map_err(|bad| bad.under(format!("functions[{i}]")))?;
        c.tools.push(Tool::Function(tool));
        c.legacy_functions = true;
    }
    if let Some(options) = body.take("web_search_options") {
        c.tools.push(web_search(options));
    }
    c.parallel_tools = body.bool("parallel_tool_calls")?;
    c.tool_choice = body.take("tool_choice").map(choice).transpose()?;
    if let Some(node) = body.take("function_call") {
        c.legacy_functions = true;
        c.tool_choice = Some(choice(node)?);
    }
    Ok(())
}

const NO_OBJECT: &str = "must be an object";

fn tool(node: Node<'_>) -> Result<Tool, Bad> {
    let mut fields = node.fields().ok_or(Bad::new("", NO_OBJECT))?;
    let kind = fields.string("type")?.unwrap_or_else(|| "function".to_owned());
    let hint = openai::cache_hint(&mut fields);
    match kind.as_str() {
        "function" => {
            let inner = fields.fields("function")?;
            let mut inner = inner.ok_or(Bad::new("function", "is required"))?;
            let mut tool = function(&mut inner).map_err(|bad| bad.under("function"))?;
            tool.extra = inner.extra();
            tool.cache = hint;
            Ok(Tool::Function(tool))
        }
        "custom" => {
            let inner = fields.fields("custom")?;
            let mut inner = inner.ok_or(Bad::new("custom", "is required"))?;
            Ok(Tool::Custom(CustomTool {
                name: inner.need("name")?,
                namespace: None,
                description: inner.string("description")?,
                grammar: inner.raw("format"),
                extra: inner.extra(),
            }))
        }
        _ => Ok(Tool::Server(ServerTool {
            kind: ServerToolKind::Other,
            name: kind,
            value: node.raw(),
        })),
    }
}

fn function(fields: &mut Fields<'_>) -> Result<FunctionTool, Bad> {
    Ok(FunctionTool {
        name: fields.need("name")?,
        description: fields.string("description")?,
        schema: fields.raw("parameters"),
        strict: fields.bool("strict")?,
        ..FunctionTool::default()
    })
}

fn web_search(options: Node<'_>) -> Tool {
    let location = options.get("user_location").and_then(|place| place.get("approximate"));
    Tool::Server(ServerTool {
        kind: ServerToolKind::WebSearch {
            allowed_domains: Vec::new(),
            blocked_domains: Vec::new(),
            location: openai::location(location),
            context_size: options.get("search_context_size").and_then(Node::string),
            max_uses: None,
        },
        name: "web_search_options".to_owned(),
        value: options.raw(),
    })
}

fn choice(node: Node<'_>) -> Result<ToolChoice, Bad> {
    let bad = || Bad::new("tool_choice", "is not a known choice");
    if let Some(word) = node.str() {
        return Ok(match word.as_ref() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" | "any" => ToolChoice::Required,
            _ => return Err(bad()),
        });
    }
    let name = |kind: &str| node.get(kind).and_then(|inner| inner.get("name")?.string());
    // The legacy `function_call` names the function without a wrapper.
    let legacy = || node.get("name").and_then(Node::string);
    let kind = node.get("type").and_then(Node::string).unwrap_or_else(|| "function".to_owned());
    Ok(match kind.as_str() {
        "function" => {
            let name = name("function").or_else(legacy).ok_or_else(bad)?;
            ToolChoice::Named { name, kind: CallKind::Function }
        }
        "custom" => {
            ToolChoice::Named { name: name("custom").ok_or_else(bad)?, kind: CallKind::Custom }
        }
        "allowed_tools" => allowed(node.get("allowed_tools").ok_or_else(bad)?),
        _ => ToolChoice::Server { name: kind, value: node.raw() },
    })
}

fn allowed(node: Node<'_>) -> ToolChoice {
    let tools = node.get("tools");
    ToolChoice::Allowed {
        required: node.get("mode").and_then(Node::str).is_some_and(|mode| mode == "required"),
        names: tools.map(openai::allowed_names).unwrap_or_default(),
        native: tools.map(Node::raw),
    }
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
    let mut tools = Vec::new();
    for (i, tool) in c.tools.iter().enumerate() {
        match tool {
            Tool::Function(tool) => tools.push(put_function(tool, i, c, report)),
            Tool::Custom(tool) => tools.push(put_custom(tool, i, c.source, report)),
            Tool::Server(tool) if is_own_other(tool, c.source) => tools.push((&tool.value).into()),
            Tool::Server(tool) => {
                let searches = onto.caps.server_web_search == Some(true);
                let search = web_search_options(tool, c.source, searches);
                put_search(body, search, i, report);
            }
        }
    }
    let none = tools.is_empty();
    let legacy = c.legacy_functions && c.source == Protocol::OpenAiChat;
    if legacy {
        put_legacy(body, c);
        return Ok(());
    }
    if !none {
        body.put("tools", tools);
    }
    put_choice(body, c, none, report)?;
    if let Some(parallel) = c.parallel_tools.filter(|_| !none) {
        body.put("parallel_tool_calls", parallel);
    }
    Ok(())
}

/// A tool of a compatible server, for that server.
fn is_own_other(tool: &ServerTool, source: Protocol) -> bool {
    source == Protocol::OpenAiChat && tool.kind == ServerToolKind::Other
}

fn put_function<'a>(
    tool: &'a FunctionTool,
    at: usize,
    c: &Conversation,
    report: &mut Report,
) -> Json<'a> {
    if tool.cache.is_some() && c.source != Protocol::OpenAiChat {
        report.path(Code::CacheHintDropped, &format!("tools[{at}].cache_control"));
    }
    let mut function = Object::new()
        .with("name", NAMES.fit(tool.namespace.as_deref(), &tool.name))
        .maybe("description", tool.description.as_ref())
        .maybe("parameters", tool.schema.as_ref())
        .maybe("strict", strict(tool, c.source));
    if c.source == Protocol::OpenAiChat {
        put_extra(&mut function, &tool.extra);
    }
    Object::of("function").with("function", function).into()
}

/// Responses means `strict` where it is not said; Chat does not.
fn strict(tool: &FunctionTool, source: Protocol) -> Option<bool> {
    let promised = || tool.schema.as_ref().is_some_and(schema::keeps_strict_promises);
    match (tool.strict, source) {
        (None, Protocol::OpenAiResponses) => Some(promised()),
        (Some(true), Protocol::AnthropicMessages) => Some(promised()),
        (strict, _) => strict,
    }
}

fn put_custom<'a>(
    tool: &'a CustomTool,
    at: usize,
    source: Protocol,
    report: &mut Report,
) -> Json<'a> {
    let mut custom = Object::new()
        .with("name", NAMES.fit(tool.namespace.as_deref(), &tool.name))
        .maybe("description", tool.description.as_ref());
    if let Some(grammar) = &tool.grammar {
        custom.put("format", nested_grammar(grammar, source));
    }
    if source == Protocol::OpenAiChat {
        put_extra(&mut custom, &tool.extra);
    } else if !tool.extra.is_empty() {
        report.path(Code::DroppedField, &format!("tools[{at}]"));
    }
    Object::of("custom").with("custom", custom).into()
}

/// Responses writes a grammar flat, Chat under its own name.
fn nested_grammar(grammar: &Raw, source: Protocol) -> Json<'_> {
    let node = grammar.node();
    let is_grammar = node.get("type").and_then(Node::str).is_some_and(|kind| kind == "grammar");
    if source == Protocol::OpenAiChat || !is_grammar {
        return grammar.into();
    }
    let member = |name| node.get(name).map(|value| Json::from(value.raw()));
    let inner =
        Object::new().maybe("syntax", member("syntax")).maybe("definition", member("definition"));
    Object::of("grammar").with("grammar", inner).into()
}

fn put_search<'a>(
    body: &mut Object<'a>,
    (options, whole): (Option<Json<'a>>, bool),
    at: usize,
    report: &mut Report,
) {
    let path = format!("tools[{at}]");
    match options {
        None => report.path(Code::ServerToolDropped, &path),
        Some(options) => {
            if !whole {
                report.path(Code::DroppedField, &path);
            }
            body.put("web_search_options", options);
        }
    }
}

/// The web search of a request, and whether all of the tool is in it.
fn web_search_options(
    tool: &ServerTool,
    source: Protocol,
    searches: bool,
) -> (Option<Json<'_>>, bool) {
    let ServerToolKind::WebSearch {
        location, context_size, allowed_domains, blocked_domains, ..
    } = &tool.kind
    else {
        return (None, false);
    };
    if source == Protocol::OpenAiChat {
        return (Some((&tool.value).into()), true);
    }
    if !searches {
        return (None, false);
    }
    let place =
        location.as_ref().map(|location| Object::of("approximate").with("approximate", location));
    let options = Object::new()
        .maybe("user_location", place)
        .maybe("search_context_size", context_size.as_ref());
    (Some(options.into()), allowed_domains.is_empty() && blocked_domains.is_empty())
}

fn put_choice<'a>(
    body: &mut Object<'a>,
    c: &'a Conversation,
    none: bool,
    report: &mut Report,
) -> Result<(), Refusal> {
    let known = Known::of(c);
    let named = |kind: &'static str, name| {
        let tool = Object::new().with("name", NAMES.chosen(&known, name));
        Json::from(Object::of(kind).with(kind, tool))
    };
    let choice = match &c.tool_choice {
        Some(ToolChoice::Server { value, .. }) if c.source == Protocol::OpenAiChat => value.into(),
        Some(ToolChoice::Server { name, .. }) => {
            let why = format!("forces `{name}`, a tool this model's protocol has not");
            return Err(report.refuse(Field::ToolChoice, &why));
        }
        None => return Ok(()),
        Some(_) if none => return Ok(()),
        Some(ToolChoice::Auto) => "auto".into(),
        Some(ToolChoice::None) => "none".into(),
        Some(ToolChoice::Required) => "required".into(),
        Some(ToolChoice::Named { name, kind: CallKind::Function }) => named("function", name),
        Some(ToolChoice::Named { name, kind: CallKind::Custom }) => named("custom", name),
        Some(ToolChoice::Allowed { required, names, .. }) => {
            let tools: Vec<_> = names.iter().map(|name| named(known.kind(name), name)).collect();
            let mode = if *required { "required" } else { "auto" };
            let allowed = Object::new().with("mode", mode).with("tools", tools);
            Object::of("allowed_tools").with("allowed_tools", allowed).into()
        }
    };
    body.put("tool_choice", choice);
    Ok(())
}

fn put_legacy<'a>(body: &mut Object<'a>, c: &'a Conversation) {
    let functions = c.tools.iter().filter_map(|tool| match tool {
        Tool::Function(tool) => Some(
            Object::new()
                .with("name", &tool.name)
                .maybe("description", tool.description.as_ref())
                .maybe("parameters", tool.schema.as_ref()),
        ),
        _ => None,
    });
    let functions: Vec<Json<'_>> = functions.map(Into::into).collect();
    body.put("functions", functions);
    let choice = match &c.tool_choice {
        Some(ToolChoice::Auto) => Json::from("auto"),
        Some(ToolChoice::None) => Json::from("none"),
        Some(ToolChoice::Named { name, .. }) => Object::new().with("name", name).into(),
        _ => return,
    };
    body.put("function_call", choice);
}

/// Puts back what the model has no place for.
pub(super) fn put_extra<'a>(object: &mut Object<'a>, extra: &'a crate::model::Extra) {
    for (key, value) in &extra.0 {
        object.put(key.as_ref(), value);
    }
}
