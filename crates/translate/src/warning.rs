use std::fmt;

use tollgate_core::{Class, Refusal};

use crate::{
    Codec,
    model::{Extra, Field, Place},
};

/// What happened to something that was not carried as it stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Code {
    DroppedField,
    UnknownField,
    Clamped,
    SchemaDowngraded,
    SchemaConstraintDropped,
    ReasoningDropped,
    SignatureDropped,
    ThinkingDisabled,
    ToolChoiceRelaxed,
    SystemDemoted,
    SyntheticUserTurn,
    SyntheticTool,
    SyntheticToolResult,
    OrphanToolResult,
    EmptyContentRemoved,
    InvalidToolArguments,
    ToolIdRewritten,
    ToolNameRewritten,
    MediaInlined,
    MediaDropped,
    CacheHintDropped,
    FormatEmulated,
    StopEmulated,
    FinishApproximated,
    CitationsDropped,
    ServerToolDropped,
    DefaultFilled,
}

impl Code {
    /// Returns the word shown to callers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DroppedField => "dropped_field",
            Self::UnknownField => "unknown_field",
            Self::Clamped => "clamped",
            Self::SchemaDowngraded => "schema_downgraded",
            Self::SchemaConstraintDropped => "schema_constraint_dropped",
            Self::ReasoningDropped => "reasoning_dropped",
            Self::SignatureDropped => "signature_dropped",
            Self::ThinkingDisabled => "thinking_disabled",
            Self::ToolChoiceRelaxed => "tool_choice_relaxed",
            Self::SystemDemoted => "system_demoted",
            Self::SyntheticUserTurn => "synthetic_user_turn",
            Self::SyntheticTool => "synthetic_tool",
            Self::SyntheticToolResult => "synthetic_tool_result",
            Self::OrphanToolResult => "orphan_tool_result",
            Self::EmptyContentRemoved => "empty_content_removed",
            Self::InvalidToolArguments => "invalid_tool_arguments",
            Self::ToolIdRewritten => "tool_id_rewritten",
            Self::ToolNameRewritten => "tool_name_rewritten",
            Self::MediaInlined => "media_inlined",
            Self::MediaDropped => "media_dropped",
            Self::CacheHintDropped => "cache_hint_dropped",
            Self::FormatEmulated => "format_emulated",
            Self::StopEmulated => "stop_emulated",
            Self::FinishApproximated => "finish_approximated",
            Self::CitationsDropped => "citations_dropped",
            Self::ServerToolDropped => "server_tool_dropped",
            Self::DefaultFilled => "default_filled",
        }
    }
}

/// Something was not carried as it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What happened to it.
    pub code: Code,
    /// Where it stood in the body that was read, as a JSON pointer.
    pub path: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.code.as_str(), self.path)
    }
}

/// All that was not carried as it stood, each once, in the order it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Warnings(Vec<Warning>);

/// The header holds no more bytes than this, the final ellipsis aside.
const HEADER_LIMIT: usize = 1024;
/// More are not kept: nobody reads on, and a body may hold a hundred thousand reasons.
const MOST: usize = 256;

impl Warnings {
    /// Each warning.
    pub fn iter(&self) -> impl Iterator<Item = &Warning> {
        self.0.iter()
    }

    /// Whether everything was carried as it stood.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of `x-tollgate-warnings`: `code:path`, separated by commas, at most 1 KiB and
    /// then `…`. `None` if there is nothing to say.
    pub fn header(&self) -> Option<String> {
        let mut value = String::new();
        for warning in &self.0 {
            let next = warning.to_string();
            if value.len() + 2 + next.len() > HEADER_LIMIT {
                value.push_str(", …");
                return Some(value);
            }
            let comma = if value.is_empty() { "" } else { ", " };
            value = value + comma + &next;
        }
        (!value.is_empty()).then_some(value)
    }

    /// Adds what is not there yet. Beyond 256 nothing is added.
    pub fn push(&mut self, warning: Warning) {
        if self.0.len() < MOST && !self.0.contains(&warning) {
            self.0.push(warning);
        }
    }

    /// Adds what others found.
    pub fn append(&mut self, others: Self) {
        others.0.into_iter().for_each(|warning| self.push(warning));
    }

    /// Under a strict policy nothing may be left out: the refusal of the first warning.
    pub fn refusal(&self) -> Option<Refusal> {
        let first = self.0.first()?;
        let name = dotted(&first.path);
        let message = format!(
            "`{name}` cannot be carried to this model's protocol ({}), and the strict policy is on",
            first.code.as_str()
        );
        Some(Refusal::new(Class::InvalidRequest, message).param(name).code("unsupported_parameter"))
    }
}

/// Collects warnings in the words of the protocol that was read.
#[derive(Debug)]
pub struct Report {
    names: &'static dyn Codec,
    warnings: Warnings,
}

impl Report {
    /// Returns an empty report that names fields as `names` does.
    pub fn new(names: &'static dyn Codec) -> Self {
        Self { names, warnings: Warnings::default() }
    }

    /// Reports a field of the request.
    pub fn field(&mut self, code: Code, field: Field) {
        self.path(code, self.names.field(field));
    }

    /// Reports a field that is carried nowhere, if it was given.
    pub fn unless_absent<T>(&mut self, given: Option<&T>, field: Field) {
        if given.is_some() {
            self.field(Code::DroppedField, field);
        }
    }

    /// Reports an item.
    pub fn place(&mut self, code: Code, place: Place) {
        self.path(code, &self.names.place(place));
    }

    /// What the place is called by the protocol that was read.
    pub fn name_of(&self, place: Place) -> String {
        self.names.place(place)
    }

    /// Reports a path: names with dots, positions in brackets.
    pub fn path(&mut self, code: Code, path: &str) {
        self.warnings.push(Warning { code, path: pointer(path) });
    }

    /// Reports the unknown members of a node at `path`.
    pub fn unknown(&mut self, path: &str, extra: &Extra) {
        for (key, _) in &extra.0 {
            let dot = if path.is_empty() { "" } else { "." };
            self.path(Code::UnknownField, &format!("{path}{dot}{key}"));
        }
    }

    /// Returns the refusal of a field that cannot be carried.
    pub fn refuse(&self, field: Field, why: &str) -> Refusal {
        unsupported(self.names.field(field), why)
    }

    /// Returns the refusal of an item that cannot be carried.
    pub fn refuse_place(&self, place: Place, why: &str) -> Refusal {
        unsupported(&self.names.place(place), why)
    }

    /// What was found so far.
    pub fn warnings(&self) -> &Warnings {
        &self.warnings
    }

    /// What was found.
    pub fn into_warnings(self) -> Warnings {
        self.warnings
    }
}

/// Returns the refusal of a parameter.
pub(crate) fn unsupported(param: &str, why: &str) -> Refusal {
    Refusal::new(Class::InvalidRequest, format!("`{param}` {why}"))
        .param(param)
        .code("unsupported_parameter")
}

fn pointer(path: &str) -> String {
    let mut out = String::with_capacity(path.len() + 1);
    out.push('/');
    out.extend(path.chars().filter(|c| *c != ']').map(|c| match c {
        '.' | '[' => '/',
        other => other,
    }));
    out
}

fn dotted(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    #[test]
    fn names_are_the_clients_and_each_is_told_once() {
        let mut report = Report::new(codec(tollgate_core::Protocol::Gemini));
        report.field(Code::DroppedField, Field::TopK);
        report.field(Code::DroppedField, Field::TopK);
        report.place(Code::SystemDemoted, Place::Item(3));
        let header = report.into_warnings().header().unwrap();
        assert_eq!(header, "dropped_field:/generationConfig/topK, system_demoted:/contents/3");
    }

    #[test]
    fn the_header_ends_where_a_kibibyte_does() {
        let mut warnings = Warnings::default();
        for i in 0..100 {
            let path = format!("/messages/{i}");
            warnings.push(Warning { code: Code::ReasoningDropped, path });
        }
        let header = warnings.header().unwrap();
        assert!(header.len() <= HEADER_LIMIT + 5 && header.ends_with(", …"), "{}", header.len());
        assert_eq!(Warnings::default().header(), None);
    }
}
