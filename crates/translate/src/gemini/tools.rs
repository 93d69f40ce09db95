//! Tools and the choice among them, both ways.

use tollgate_core::{Protocol, Refusal, SchemaDialect};

use super::NAMES;
use crate::{
    codec::Onto,
    json::{Bad, Fields, Json, Node, Object, Raw},
    model::{
        CallKind, Conversation, CustomTool, Field, FunctionTool, Native, ServerTool,
        ServerToolKind, Tool, ToolChoice,
    },
    names::Known,
    restore::FREE_TEXT_SCHEMA,
    schema::{self, Loss},
    warning::{Code, Report},
};

const ME: Protocol = Protocol::Gemini;

pub(super) fn read(body: &mut Fields<'_>, c: &mut Conversation) -> Result<(), Bad> {
    // One tool without a list around it is tolerated.
    let lone = body.peek("tools").filter(|node| node.is_object());
    let nodes = match lone {
        Some(node) => body.take("tools").map(|_| vec![node]).unwrap_or_default(),
        None => body.array("tools")?,
    };
    for (i, node) in nodes.into_iter().enumerate() {
        tool(node, &mut c.tools).map_err(|bad| bad.under(format!("tools[{i}]")))?;
    }
    let Some(config) = body.fields("toolConfig")? else { return Ok(()) };
    let mut config = config.camel();
    if let Some(choice) = config.fields("functionCallingConfig")? {
        let path = "toolConfig.functionCallingConfig";
        c.tool_choice = self::choice(choice.camel()).map_err(|bad| bad.under(path))?;
    }
    for (key, name) in [
        ("retrievalConfig", "toolConfig.retrievalConfig"),
        ("includeServerSideToolInvocations", "toolConfig.includeServerSideToolInvocations"),
    ] {
        let value = config.raw(key);
        c.native.extend(value.map(|value| Native { name, value, essential: false }));
    }
    let extra = config.extra().0.into_iter();
    c.extra.0.extend(extra.map(|(key, value)| (format!("toolConfig.{key}").into(), value)));
    Ok(())
}

/// One object may hold several tools.
fn tool(node: Node<'_>, out: &mut Vec<Tool>) -> Result<(), Bad> {
    let mut fields = node.fields().ok_or(Bad::new("", "must be an object"))?.camel();
    for (i, node) in fields.array("functionDeclarations")?.into_iter().enumerate() {
        let under = |bad: Bad| bad.under(format!("functionDeclarations[{i}]"));
        let declaration = node.fields().ok_or(Bad::new("", "must be an object")).map_err(under)?;
        out.push(Tool::Function(function(declaration.camel()).map_err(under)?));
    }
    for (name, value) in fields.extra().0 {
        let searches = name.as_ref() == "googleSearch" || name.as_ref() == "googleSearchRetrieval";
        let kind = if searches { web_search() } else { ServerToolKind::Other };
        out.push(Tool::Server(ServerTool { kind, name: name.into_string(), value }));
    }
    Ok(())
}

fn web_search() -> ServerToolKind {
    ServerToolKind::WebSearch {
        allowed_domains: Vec::new(),
        blocked_domains: Vec::new(),
        location: None,
        context_size: None,
        max_uses: None,
    }
}

fn function(mut fields: Fields<'_>) -> Result<FunctionTool, Bad> {
    let subset = fields.raw("parameters").map(|schema| schema::from_gemini(&schema));
    Ok(FunctionTool {
        name: fields.need("name")?,
        description: fields.string("description")?,
        schema: fields.raw("parametersJsonSchema").or(subset),
        extra: fields.extra(),
        ..FunctionTool::default()
    })
}

/// A mode's name, also of one written as a number.
fn mode(node: Node<'_>) -> String {
    let modes = ["", "AUTO", "ANY", "NONE", "VALIDATED"];
    let number = || modes.get(usize::try_from(node.u64()?).ok()?);
    let name = node.string().map(|name| name.to_ascii_uppercase());
    name.unwrap_or_else(|| number().copied().unwrap_or("?").to_owned())
}

fn choice(mut fields: Fields<'_>) -> Result<Option<ToolChoice>, Bad> {
    let names = fields.strings("allowedFunctionNames")?;
    let mode = fields.take("mode").map(mode).unwrap_or_default();
    let allowed = |required, names| ToolChoice::Allowed { required, names, native: None };
    Ok(match (mode.as_str(), names.as_slice()) {
        ("NONE", _) => Some(ToolChoice::None),
        ("ANY", []) => Some(ToolChoice::Required),
        ("ANY", [name]) => Some(ToolChoice::Named { name: name.clone(), kind: CallKind::Function }),
        ("ANY", _) => Some(allowed(true, names)),
        ("AUTO" | "VALIDATED", []) => Some(ToolChoice::Auto),
        ("AUTO" | "VALIDATED", _) => Some(allowed(false, names)),
        ("" | "MODE_UNSPECIFIED", _) => None,
        _ => return Err(Bad::new("mode", "is not a known mode")),
    })
}

/// The tools, all functions in one object.
pub(super) fn write<'a>(
    c: &'a Conversation,
    onto: &Onto<'_>,
    report: &mut Report,
) -> Vec<Json<'a>> {
    let mut writer = Writer { source: c.source, onto, report };
    let mut functions: Vec<Json<'a>> = Vec::new();
    let mut servers: Vec<Json<'a>> = Vec::new();
    for (at, tool) in c.tools.iter().enumerate() {
        match tool {
            Tool::Function(tool) => functions.push(writer.declaration(tool, at)),
            Tool::Custom(tool) => functions.push(writer.custom(tool, at)),
            Tool::Server(tool) => servers.extend(writer.server(tool, at)),
        }
    }
    let functions = (!functions.is_empty())
        .then(|| Json::from(Object::new().with("functionDeclarations", functions)));
    functions.into_iter().chain(servers).collect()
}

/// Writes tools; each is told where it stands.
struct Writer<'r> {
    source: Protocol,
    onto: &'r Onto<'r>,
    report: &'r mut Report,
}

impl Writer<'_> {
    fn declaration<'a>(&mut self, tool: &'a FunctionTool, at: usize) -> Json<'a> {
        if tool.cache.is_some() {
            self.report.path(Code::CacheHintDropped, &format!("tools[{at}].cache_control"));
        }
        if tool.strict == Some(true) {
            self.report.path(Code::DroppedField, &format!("tools[{at}].strict"));
        }
        let mut out = Object::new()
            .with("name", NAMES.fit(tool.namespace.as_deref(), &tool.name))
            .maybe("description", tool.description.as_ref());
        if let Some(schema) = &tool.schema {
            self.put_schema(&mut out, schema, at);
        }
        if self.source == ME {
            for (key, value) in &tool.extra.0 {
                out.put(key.as_ref(), value);
            }
        }
        out.into()
    }

    fn put_schema<'a>(&mut self, out: &mut Object<'a>, schema: &'a Raw, at: usize) {
        let mut loss = Loss::default();
        match self.onto.caps.schema {
            SchemaDialect::JsonSchema if self.source == ME => {
                out.put("parametersJsonSchema", schema);
            }
            SchemaDialect::JsonSchema => {
                out.put("parametersJsonSchema", schema::json_schema(schema, &mut loss));
            }
            SchemaDialect::OpenApiSubset => {
                if let Some(schema) = schema::openapi(schema, &mut loss) {
                    out.put("parameters", schema);
                }
            }
        }
        warn(loss, &format!("tools[{at}]"), self.report);
    }

    fn custom<'a>(&mut self, tool: &'a CustomTool, at: usize) -> Json<'a> {
        if tool.grammar.is_some() {
            self.report.path(Code::DroppedField, &format!("tools[{at}].format"));
        }
        let (key, schema) = match self.onto.caps.schema {
            SchemaDialect::JsonSchema => ("parametersJsonSchema", FREE_TEXT_SCHEMA),
            SchemaDialect::OpenApiSubset => ("parameters", FREE_TEXT_SUBSET),
        };
        Object::new()
            .with("name", NAMES.fit(tool.namespace.as_deref(), &tool.name))
            .maybe("description", tool.description.as_ref())
            .with(key, Json::Raw(schema.into()))
            .into()
    }

    fn server<'a>(&mut self, tool: &'a ServerTool, at: usize) -> Option<Json<'a>> {
        if self.source == ME {
            return Some(Object::new().with(tool.name.as_str(), &tool.value).into());
        }
        let path = format!("tools[{at}]");
        match &tool.kind {
            ServerToolKind::WebSearch { allowed_domains, blocked_domains, .. }
                if self.onto.caps.server_web_search != Some(false) =>
            {
                if !allowed_domains.is_empty() || !blocked_domains.is_empty() {
                    self.report.path(Code::DroppedField, &path);
                }
                Some(Object::new().with("googleSearch", Object::new()).into())
            }
            _ => {
                self.report.path(Code::ServerToolDropped, &path);
                None
            }
        }
    }
}

/// The schema of a free-text tool's stand-in, in the words of older models.
const FREE_TEXT_SUBSET: &str =
    r#"{"type":"OBJECT","properties":{"input":{"type":"STRING"}},"required":["input"]}"#;

/// Reports what a schema lost.
pub(super) fn warn(loss: Loss, path: &str, report: &mut Report) {
    if loss.constraint {
        report.path(Code::SchemaConstraintDropped, path);
    }
    if loss.downgraded {
        report.path(Code::SchemaDowngraded, path);
    }
}

/// The choice among the tools.
///
/// Errors: the choice forces a tool that cannot be carried.
pub(super) fn write_choice<'a>(
    c: &'a Conversation,
    report: &mut Report,
) -> Result<Option<Object<'a>>, Refusal> {
    if c.parallel_tools == Some(false) {
        report.field(Code::DroppedField, Field::ParallelTools);
    }
    let functions = c.tools.iter().any(|tool| tool.name().is_some());
    let Some(choice) = c.tool_choice.as_ref() else { return Ok(None) };
    let (mode, names): (_, &[String]) = match choice {
        ToolChoice::Server { name, .. } => {
            let why = format!("forces `{name}`, a tool this model's protocol has not");
            return Err(report.refuse(Field::ToolChoice, &why));
        }
        _ if !functions && c.source != ME => return Ok(None),
        ToolChoice::Auto => ("AUTO", &[]),
        ToolChoice::None => ("NONE", &[]),
        ToolChoice::Required => ("ANY", &[]),
        ToolChoice::Named { name, .. } => ("ANY", std::slice::from_ref(name)),
        ToolChoice::Allowed { required: true, names, .. } => ("ANY", names),
        ToolChoice::Allowed { required: false, names, .. } => ("VALIDATED", names),
    };
    let known = Known::of(c);
    let names = names.iter().map(|name| NAMES.chosen(&known, name));
    let config = Object::new().with("mode", mode).some("allowedFunctionNames", names);
    Ok(Some(config))
}
