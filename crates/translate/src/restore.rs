use std::collections::BTreeMap;

use crate::{
    json::Raw,
    model::{Answer, Args, CallKind, Candidate, Finish, Part, ToolCall},
};

/// What an encoder changed in a request and the answer must be given back: tool names, free-text
/// tools, a structured answer asked for as a tool call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restore {
    tools: BTreeMap<String, Original>,
    answer_tool: Option<&'static str>,
    stops: Vec<String>,
}

/// A tool as the client knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Original {
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
    /// Its input is free text in the member `input`.
    pub(crate) custom: bool,
}

impl Restore {
    pub(crate) fn tool(&mut self, sent: String, original: Original) {
        self.tools.insert(sent, original);
    }

    /// The call of this tool is the answer itself.
    pub(crate) fn answer_tool(&mut self, name: &'static str) {
        self.answer_tool = Some(name);
    }

    /// The answer ends where one of these texts begins.
    pub(crate) fn stops(&mut self, stops: &[String]) {
        self.stops = stops.iter().filter(|stop| !stop.is_empty()).cloned().collect();
    }

    /// Whether there is nothing to give back.
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty() && self.answer_tool.is_none() && self.stops.is_empty()
    }

    /// The tool as the client knows it, where it was sent as another.
    pub(crate) fn original(&self, sent: &str) -> Option<&Original> {
        self.tools.get(sent)
    }

    /// Whether the call of this tool is the answer itself.
    pub(crate) fn is_answer_tool(&self, name: &str) -> bool {
        self.answer_tool == Some(name)
    }

    /// The texts that end the answer.
    pub(crate) fn stop_texts(&self) -> &[String] {
        &self.stops
    }

    /// Gives an answer back what its request lost.
    pub fn apply(&self, answer: &mut Answer) {
        for candidate in &mut answer.candidates {
            for part in &mut candidate.parts {
                self.part(part);
            }
            self.stop(candidate);
            if candidate.finish == Finish::ToolCalls && !candidate.calls_tools() {
                candidate.finish = Finish::Stop;
            }
        }
    }

    /// Cuts the visible text at the first stop sequence, and everything after it.
    fn stop(&self, candidate: &mut Candidate) {
        for at in 0..candidate.parts.len() {
            let Part::Text(text) = &mut candidate.parts[at] else { continue };
            let found = self.stops.iter().filter_map(|stop| Some((text.text.find(stop)?, stop)));
            let Some((cut, stop)) = found.min_by_key(|(cut, _)| *cut) else { continue };
            text.text.truncate(cut);
            let length = text.text.chars().count();
            text.citations
                .retain(|cited| cited.span.as_ref().is_none_or(|span| span.end <= length));
            candidate.finish = Finish::StopSequence(Some(stop.clone()));
            candidate.parts.truncate(at + 1);
            return;
        }
    }

    fn part(&self, part: &mut Part) {
        let Part::ToolCall(call) = part else { return };
        if self.answer_tool == Some(call.name.as_str()) {
            *part = Part::text(call.args.as_str());
        } else if let Some(original) = self.tools.get(&call.name) {
            original.restore(call);
        }
    }
}

impl Original {
    fn restore(&self, call: &mut ToolCall) {
        call.name.clone_from(&self.name);
        call.namespace.clone_from(&self.namespace);
        if self.custom {
            call.kind = CallKind::Custom;
            if let Some(input) = free_text(&call.args) {
                call.args = Args::Text(input);
            }
        }
    }
}

/// The text of the one member a free-text tool's stand-in has.
pub(crate) fn free_text(args: &Args) -> Option<String> {
    match args {
        Args::Json(object) => object.node().get("input")?.string(),
        Args::Text(_) => None,
    }
}

/// Wraps free text as the stand-in's one member.
pub(crate) fn wrap_free_text(text: &str) -> Raw {
    use crate::json::{Json, Object};
    Json::from(Object::new().with("input", text)).into()
}

/// The schema of a free-text tool's stand-in.
pub(crate) const FREE_TEXT_SCHEMA: &str =
    r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}"#;
