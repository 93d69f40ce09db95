//! What the simulation is asked to do, read from the model's name and the prompt's markers.

use std::time::Duration;

use serde_json::{Deserializer, Value};
use tollgate_core::Class;

/// Model names with a meaning; the model lists show them. Any other name behaves as `sim-text`.
pub(crate) const MODELS: [&str; 10] = [
    "sim-text",
    "sim-tools",
    "sim-parallel-tools",
    "sim-thinking",
    "sim-structured",
    "sim-cached",
    "sim-slow",
    "sim-context-length",
    "sim-embedding",
    "sim-error-overloaded",
];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text, or whatever the request forces.
    #[default]
    Plain,
    /// One tool call.
    Tool,
    /// A call of each offered tool; one tool is called twice.
    Parallel,
    /// JSON.
    Structured,
}

/// A tool to call by name, with arguments or with generated ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) tool: String,
    /// The text of a JSON object.
    pub(crate) arguments: Option<String>,
}

/// How a stream breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// The body ends cleanly, without the protocol's ending.
    Cut,
    /// Nothing more comes.
    Stall,
    /// The body fails.
    Reset,
    /// The provider's own error event, then the end.
    Error(Class),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Act {
    pub(crate) kind: Kind,
    pub(crate) calls: Vec<Named>,
    /// How often to call a tool before it answers.
    pub(crate) steps: usize,
    pub(crate) thinking: bool,
    pub(crate) refuse: bool,
    pub(crate) error: Option<Class>,
    pub(crate) garbage: bool,
    pub(crate) delay: Duration,
    pub(crate) pace: Duration,
    pub(crate) events: Option<usize>,
    pub(crate) bytes: Option<usize>,
    pub(crate) say: Option<String>,
    pub(crate) broken: Option<(usize, Break)>,
    pub(crate) cached: Option<u64>,
    pub(crate) written: Option<u64>,
}

/// Most events or bytes one answer may be asked for.
const MOST: usize = 64 << 20;

const OPEN: &str = "[[sim:";

impl Act {
    /// Reads model name and markers. Err names the marker that is none.
    pub(crate) fn read(model: &str, prompt: &str) -> Result<Self, String> {
        let mut act = Self::of_model(model);
        let mut rest = prompt;
        while let Some((marker, after)) = next_marker(rest) {
            act.mark(marker).ok_or_else(|| format!("unknown marker [[sim:{marker}]]"))?;
            rest = after;
        }
        Ok(act)
    }

    fn of_model(model: &str) -> Self {
        let mut act = Self::default();
        match model.rsplit('/').next().unwrap_or(model) {
            "sim-tools" => act.kind = Kind::Tool,
            "sim-parallel-tools" => act.kind = Kind::Parallel,
            "sim-structured" => act.kind = Kind::Structured,
            "sim-thinking" => act.thinking = true,
            "sim-cached" => (act.cached, act.written) = (Some(1024), Some(256)),
            "sim-context-length" => act.error = Some(Class::ContextLength),
            "sim-slow" => {
                (act.delay, act.pace) = (Duration::from_millis(500), Duration::from_millis(100));
            }
            other => act.error = other.strip_prefix("sim-error-").and_then(class),
        }
        act
    }

    fn mark(&mut self, marker: &str) -> Option<()> {
        let (name, value) = marker.split_once(':').unwrap_or((marker, ""));
        match name {
            "text" => self.kind = Kind::Plain,
            "tool" => self.kind = Kind::Tool,
            "parallel-tools" => self.kind = Kind::Parallel,
            "structured" => self.kind = Kind::Structured,
            "steps" => (self.kind, self.steps) = (Kind::Tool, count(value)?),
            "call" => self.calls.push(named(value)?),
            "thinking" => self.thinking = true,
            "refuse" => self.refuse = true,
            "garbage" => self.garbage = true,
            "error" => self.error = Some(class(value)?),
            "delay" => self.delay = duration(value)?,
            "pace" => self.pace = duration(value)?,
            "events" => self.events = Some(count(value)?.max(1)),
            "bytes" => self.bytes = Some(count(value)?),
            "cached" => self.cached = Some(value.parse().ok()?),
            "cache-write" => self.written = Some(value.parse().ok()?),
            "say" => self.say = Some(value.to_owned()),
            "cut" => self.broken = Some((count(value)?, Break::Cut)),
            "stall" => self.broken = Some((count(value)?, Break::Stall)),
            "reset" => self.broken = Some((count(value)?, Break::Reset)),
            "error-in-stream" => {
                let (events, name) = value.split_once(':')?;
                self.broken = Some((count(events)?, Break::Error(class(name)?)));
            }
            _ => return None,
        }
        Some(())
    }
}

/// The text without its markers.
pub(crate) fn unmarked(prompt: &str) -> String {
    let (mut text, mut rest) = (String::with_capacity(prompt.len()), prompt);
    while let Some((_, after)) = next_marker(rest) {
        text.push_str(rest.split(OPEN).next().unwrap_or_default());
        rest = after;
    }
    text.push_str(rest);
    text.trim().to_owned()
}

fn next_marker(text: &str) -> Option<(&str, &str)> {
    let (_, inside) = text.split_once(OPEN)?;
    let from = arguments_end(inside);
    let end = from + inside[from..].find("]]")?;
    Some((&inside[..end], &inside[end + 2..]))
}

/// Where the arguments of a call end, which may hold brackets of their own; 0 without arguments.
fn arguments_end(inside: &str) -> usize {
    let call = inside.strip_prefix("call:").and_then(|call| call.split_once(':'));
    let Some((name, rest)) = call.filter(|(name, _)| !name.contains("]]")) else { return 0 };
    let mut values = Deserializer::from_str(rest).into_iter::<Value>();
    match values.next() {
        Some(Ok(_)) => "call:".len() + name.len() + 1 + values.byte_offset(),
        _ => 0,
    }
}

/// `NAME` or `NAME:{…}`.
fn named(value: &str) -> Option<Named> {
    let Some((tool, arguments)) = value.split_once(':') else {
        return Some(Named { tool: value.to_owned(), arguments: None });
    };
    let object = serde_json::from_str::<Value>(arguments).ok().filter(Value::is_object)?;
    Some(Named { tool: tool.to_owned(), arguments: Some(object.to_string()) })
}

fn class(name: &str) -> Option<Class> {
    let name = name.replace('-', "_");
    Class::ALL.into_iter().find(|class| class.as_str() == name)
}

fn count(text: &str) -> Option<usize> {
    text.parse().ok().filter(|n| *n <= MOST)
}

/// `200ms`, `3s`.
fn duration(text: &str) -> Option<Duration> {
    match text.strip_suffix("ms") {
        Some(number) => number.parse().ok().map(Duration::from_millis),
        None => text.strip_suffix('s')?.parse().ok().map(Duration::from_secs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_and_markers_choose() {
        assert_eq!(Act::read("gpt-5", "hello").unwrap(), Act::default());
        assert_eq!(Act::read("sim/sim-tools", "").unwrap().kind, Kind::Tool);
        assert_eq!(Act::read("sim-error-rate-limit", "").unwrap().error, Some(Class::RateLimit));
        assert_eq!(Act::read("sim-error-nonsense", "").unwrap(), Act::default());
        let act = Act::read("x", "a [[sim:delay:200ms]] b [[sim:error-in-stream:2:overloaded]]");
        let act = act.unwrap();
        assert_eq!(act.delay, Duration::from_millis(200));
        assert_eq!(act.broken, Some((2, Break::Error(Class::Overloaded))));
        assert_eq!(Act::read("x", "[[sim:say:a:b]]").unwrap().say.as_deref(), Some("a:b"));
    }

    #[test]
    fn a_marker_that_is_none_is_named() {
        for marker in [
            "[[sim:tolo]]",
            "[[sim:error:tired]]",
            "[[sim:delay:soon]]",
            "[[sim:cut]]",
            "[[sim:call:a:b]]",
            "[[sim:call:a:[1]]]",
        ] {
            assert!(Act::read("x", marker).unwrap_err().contains(marker), "{marker}");
        }
        assert!(Act::read("x", "[[sim:open").is_ok());
    }

    #[test]
    fn calls_are_named_with_arguments_that_may_hold_brackets() {
        let prompt = r#"a [[sim:call:sh:{"argv":[["]]"]],"n":{}}]] b [[sim:call:time]]"#;
        let call = |tool: &str, arguments: Option<&str>| Named {
            tool: tool.into(),
            arguments: arguments.map(str::to_owned),
        };
        let calls = Act::read("x", prompt).unwrap().calls;
        let arguments = r#"{"argv":[["]]"]],"n":{}}"#;
        assert_eq!(calls, [call("sh", Some(arguments)), call("time", None)]);
        assert_eq!(unmarked(prompt), "a  b");
    }

    #[test]
    fn markers_are_not_echoed() {
        assert_eq!(unmarked("a [[sim:tool]]b[[sim:cut:1]] "), "a b");
        assert_eq!(unmarked("plain"), "plain");
    }
}
