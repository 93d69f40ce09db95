use super::{CacheHint, Extra};
use crate::json::Raw;

/// Whether arguments are an object or free text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// A JSON object.
    #[default]
    Function,
    /// Free text (OpenAI's custom tools).
    Custom,
}

/// A tool the model may use.
#[derive(Clone, Debug, PartialEq)]
pub enum Tool {
    /// The client runs it; arguments are an object.
    Function(FunctionTool),
    /// The client runs it; the argument is free text.
    Custom(CustomTool),
    /// The provider runs it, or trained its model on it.
    Server(ServerTool),
}

impl Tool {
    /// The name the model calls it by, for tools the client runs.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Function(tool) => Some(&tool.name),
            Self::Custom(tool) => Some(&tool.name),
            Self::Server(_) => None,
        }
    }
}

/// A tool the client runs, arguments an object.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct FunctionTool {
    pub name: String,
    pub namespace: Option<String>,
    pub description: Option<String>,
    /// JSON Schema of the arguments; `None`: no arguments.
    pub schema: Option<Raw>,
    pub strict: Option<bool>,
    pub cache: Option<CacheHint>,
    pub extra: Extra,
}

/// A tool the client runs, argument free text.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct CustomTool {
    pub name: String,
    pub namespace: Option<String>,
    pub description: Option<String>,
    /// The grammar the text must follow.
    pub grammar: Option<Raw>,
    pub extra: Extra,
}

/// A tool the provider runs.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerTool {
    /// What it does.
    pub kind: ServerToolKind,
    /// Its type at its provider, for people.
    pub name: String,
    /// The whole declaration.
    pub value: Raw,
}

/// What a tool the provider runs does.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerToolKind {
    /// Searches the web.
    #[allow(missing_docs)]
    WebSearch {
        allowed_domains: Vec<String>,
        blocked_domains: Vec<String>,
        /// City, country, region, time zone as an object.
        location: Option<Raw>,
        context_size: Option<String>,
        max_uses: Option<u64>,
    },
    /// The client runs it with a schema the model was trained on (a shell, an editor, a screen).
    ClientExecuted,
    /// Anything else.
    Other,
}

/// Whether and which tool must be called.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolChoice {
    /// The model decides.
    Auto,
    /// None may be.
    None,
    /// Some tool must be.
    Required,
    /// This one must be.
    Named {
        /// Its name.
        name: String,
        /// Its kind.
        kind: CallKind,
    },
    /// Only these may be.
    Allowed {
        /// One of them must be.
        required: bool,
        /// Their names.
        names: Vec<String>,
        /// The list as it was sent.
        native: Option<Raw>,
    },
    /// A tool of the provider must be.
    Server {
        /// Its type or name, for people.
        name: String,
        /// The choice as it was sent.
        value: Raw,
    },
}
