//! Tool names as a protocol takes them.

use std::{borrow::Cow, collections::HashMap};

use crate::{
    ids,
    model::{CallKind, Conversation, Tool},
    restore::{Original, Restore},
    warning::{Code, Report},
};

/// What a protocol takes as a tool's name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) longest: usize,
    /// A digit or a dash may not come first; `.` and `:` may stand anywhere else.
    pub(crate) gemini: bool,
    /// The protocol has namespaces of its own.
    pub(crate) namespaces: bool,
    /// The protocol has tools whose input is free text.
    pub(crate) custom: bool,
}

impl Rule {
    /// The name a tool is sent under.
    pub(crate) fn fit<'a>(&self, namespace: Option<&str>, name: &'a str) -> Cow<'a, str> {
        let whole = match namespace.filter(|_| !self.namespaces) {
            Some(namespace) => Cow::Owned(format!("{namespace}__{name}")),
            None => Cow::Borrowed(name),
        };
        if self.takes(&whole) { whole } else { Cow::Owned(self.rewrite(&whole)) }
    }

    /// The name under which a choice among the tools names one.
    pub(crate) fn chosen<'a>(&self, known: &Known<'_>, name: &'a str) -> Cow<'a, str> {
        self.fit(known.0.get(name).and_then(|tool| tool.namespace), name)
    }

    fn takes(&self, name: &str) -> bool {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let rest = |c: char| plain(c) || c == '-' || (self.gemini && (c == '.' || c == ':'));
        let first =
            |c: char| if self.gemini { c.is_ascii_alphabetic() || c == '_' } else { rest(c) };
        !name.is_empty()
            && name.len() <= self.longest
            && name.starts_with(first)
            && name.chars().all(rest)
    }

    fn rewrite(&self, name: &str) -> String {
        let good = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        let mut out: String = name.chars().map(good).take(55).collect();
        if self.gemini && !out.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            out = format!("_{}", out.chars().take(54).collect::<String>());
        }
        format!("{out}_{}", ids::hex(&[name], 4))
    }

    /// What of the tools' names the answer must be given back; reports what is rewritten.
    pub(crate) fn restore(&self, conversation: &Conversation, report: &mut Report) -> Restore {
        let mut restore = Restore::default();
        for (i, tool) in conversation.tools.iter().enumerate() {
            let (name, namespace, kind) = match tool {
                Tool::Function(tool) => (&tool.name, &tool.namespace, CallKind::Function),
                Tool::Custom(tool) => (&tool.name, &tool.namespace, CallKind::Custom),
                Tool::Server(_) => continue,
            };
            let sent = self.fit(namespace.as_deref(), name);
            let custom = kind == CallKind::Custom && !self.custom;
            if sent == name.as_str() && namespace.is_none() && !custom {
                continue;
            }
            if sent != name.as_str() {
                report.path(Code::ToolNameRewritten, &format!("tools[{i}]"));
            }
            let (name, namespace) = (name.clone(), namespace.clone());
            restore.tool(sent.into_owned(), Original { name, namespace, custom });
        }
        restore
    }
}

/// The client's own tools by name.
#[derive(Debug)]
pub(crate) struct Known<'a>(HashMap<&'a str, KnownTool<'a>>);

#[derive(Debug)]
struct KnownTool<'a> {
    namespace: Option<&'a str>,
    custom: bool,
}

impl<'a> Known<'a> {
    pub(crate) fn of(c: &'a Conversation) -> Self {
        let mut known = HashMap::new();
        for tool in c.tools.iter().rev() {
            let (name, namespace, custom) = match tool {
                Tool::Function(tool) => (&tool.name, &tool.namespace, false),
                Tool::Custom(tool) => (&tool.name, &tool.namespace, true),
                Tool::Server(_) => continue,
            };
            let tool = KnownTool { namespace: namespace.as_deref(), custom };
            known.insert(name.as_str(), tool);
        }
        Self(known)
    }

    /// What OpenAI calls the kind of a tool.
    pub(crate) fn kind(&self, name: &str) -> &'static str {
        let custom = self.0.get(name).is_some_and(|tool| tool.custom);
        if custom { "custom" } else { "function" }
    }
}

/// What OpenAI takes.
pub(crate) const OPENAI: Rule =
    Rule { longest: 64, gemini: false, namespaces: false, custom: true };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_fit_stay_and_others_are_cut_to_64() {
        let gemini = Rule { longest: 128, gemini: true, namespaces: false, custom: false };
        assert_eq!(OPENAI.fit(None, "get_weather-2"), "get_weather-2");
        assert_eq!(OPENAI.fit(Some("ns"), "f"), "ns__f");
        let long = OPENAI.fit(None, &"é".repeat(80)).into_owned();
        assert_eq!(long.len(), 64);
        assert_ne!(OPENAI.fit(None, "a b"), OPENAI.fit(None, "a_b"));
        assert_eq!(gemini.fit(None, "a.b:c"), "a.b:c");
        assert!(gemini.fit(None, "2fast").starts_with("_2fast_"));
    }
}
