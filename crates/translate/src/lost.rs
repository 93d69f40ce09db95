//! What stays behind when a conversation leaves its own protocol.

use tollgate_core::{Protocol, Refusal};

use crate::{
    model::{
        Conversation, Extra, Item, Part, Place, Role, ServerTool, ServerToolKind, Tool, ToolResult,
    },
    openai,
    warning::{Code, Report, unsupported},
};

/// Reports everything that only the conversation's own protocol has; nothing if that is `target`.
///
/// Errors: a field the model must see, or a part of the user's content.
pub(crate) fn report(
    conversation: &Conversation,
    target: Protocol,
    report: &mut Report,
) -> Result<(), Refusal> {
    if conversation.source == target {
        return Ok(());
    }
    natives(conversation, target, report)?;
    report.unknown("", &conversation.extra);
    report.unknown("stream_options", &conversation.stream.extra);
    if let Some(reasoning) = &conversation.reasoning {
        report.unknown(report_name(conversation), &reasoning.extra);
    }
    tools(conversation, report)?;
    conversation.items.iter().try_for_each(|item| self::item(item, report))
}

fn report_name(conversation: &Conversation) -> &'static str {
    match conversation.source {
        Protocol::AnthropicMessages => "thinking",
        Protocol::Gemini => "generationConfig.thinkingConfig",
        _ => "reasoning",
    }
}

fn natives(
    conversation: &Conversation,
    target: Protocol,
    report: &mut Report,
) -> Result<(), Refusal> {
    for native in &conversation.native {
        if openai::is_shared(conversation.source, target, native.name) {
            continue;
        }
        if native.essential {
            let why = "has no counterpart in this model's protocol; leave it out";
            return Err(unsupported(native.name, why));
        }
        report.path(Code::DroppedField, native.name);
    }
    Ok(())
}

fn tools(conversation: &Conversation, report: &mut Report) -> Result<(), Refusal> {
    for (i, tool) in conversation.tools.iter().enumerate() {
        let extra = match tool {
            Tool::Function(tool) => &tool.extra,
            Tool::Custom(tool) => &tool.extra,
            Tool::Server(ServerTool { kind: ServerToolKind::ClientExecuted, name, .. }) => {
                let why = format!(
                    "is `{name}`, which only models trained on it know; declare a function instead"
                );
                return Err(unsupported(&format!("tools[{i}]"), &why));
            }
            Tool::Server(_) => continue,
        };
        report.unknown(&format!("tools[{i}]"), extra);
    }
    Ok(())
}

fn item(item: &Item, report: &mut Report) -> Result<(), Refusal> {
    match item {
        Item::Message(message) => {
            extra(message.place, &message.extra, report);
            if message.name.is_some() {
                member(message.place, "name", report);
            }
            if message.phase.is_some() {
                member(message.place, "phase", report);
            }
            let user = message.role != Role::Assistant;
            message.parts.iter().try_for_each(|part| self::part(part, message.place, user, report))
        }
        Item::ToolResult(result) => self::result(result, report),
        Item::Opaque { .. } => Ok(()),
    }
}

fn result(result: &ToolResult, report: &mut Report) -> Result<(), Refusal> {
    extra(result.place, &result.extra, report);
    result.parts.iter().try_for_each(|part| self::part(part, result.place, true, report))
}

fn part(part: &Part, place: Place, user: bool, report: &mut Report) -> Result<(), Refusal> {
    match part {
        Part::Raw { kind, .. } if user => {
            let why = format!("holds a part of type `{kind}`, which this model's protocol has not");
            return Err(report.refuse_place(place, &why));
        }
        Part::Raw { .. } => report.place(Code::UnknownField, place),
        Part::ServerToolCall(_) | Part::ServerToolResult(_) => {
            report.place(Code::ServerToolDropped, place);
        }
        Part::Text(text) => extra(place, &text.extra, report),
        Part::Reasoning(reasoning) => extra(place, &reasoning.extra, report),
        Part::ToolCall(call) => extra(place, &call.extra, report),
        Part::Media(media) => extra(place, &media.extra, report),
        Part::SearchResult(found) => extra(place, &found.extra, report),
        Part::Refusal(_) => {}
    }
    Ok(())
}

fn extra(place: Place, extra: &Extra, report: &mut Report) {
    for (key, _) in &extra.0 {
        let at = report.name_of(place);
        report.path(Code::UnknownField, &format!("{at}.{key}"));
    }
}

fn member(place: Place, name: &str, report: &mut Report) {
    let at = report.name_of(place);
    report.path(Code::DroppedField, &format!("{at}.{name}"));
}
