//! Whether and how the model shall think.

use tollgate_core::{Effort, ForcedToolChoice, Protocol, Thinking};

use super::{tools, turns};
use crate::{
    codec::Onto,
    effort,
    json::Object,
    model::{Conversation, Field, Part, ReasoningBudget, ReasoningRequest},
    shape::{Assistant, Piece, Shape, Turn},
    state,
    warning::{Code, Report},
};

const ME: Protocol = Protocol::AnthropicMessages;
/// The least budget the protocol takes.
const LEAST: u64 = 1024;
/// What is left for the answer beside a budget, where nobody said how much.
const ROOM: u64 = 4096;

/// What is sent of thinking, and the output limit that goes with it.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) max_tokens: u64,
    pub(super) thinking: Option<Object<'a>>,
    pub(super) effort: Option<Effort>,
    /// The model thinks on a budget, which rules out some sampling.
    pub(super) budget: bool,
}

/// Decides on thinking. `forced`: a call is.
pub(super) fn plan<'a>(
    c: &'a Conversation,
    onto: &Onto<'_>,
    shape: &Shape<'_>,
    forced: bool,
    report: &mut Report,
) -> Plan<'a> {
    let limit = state::limit(c, onto, report);
    let max_tokens = limit.unwrap_or_else(|| default_limit(onto, report));
    let mut plan = Plan { max_tokens, thinking: None, effort: None, budget: false };
    let Some(asked) = &c.reasoning else { return plan };
    if c.source == ME {
        plan.thinking = own(asked);
        plan.effort = asked.effort;
        plan.budget = matches!(asked.budget, Some(ReasoningBudget::Tokens(_)));
        return plan;
    }
    match onto.caps.thinking.unwrap_or(Thinking::Budget) {
        Thinking::None => off(report),
        Thinking::Budget => {
            let blocked = forced && tools::forcing(onto) != ForcedToolChoice::Always;
            let allowed = !blocked && !is_unsigned_loop(shape, onto);
            let most = onto.caps.max_output_tokens.unwrap_or(u64::MAX);
            let room = limit.is_none().then_some(most);
            budget(asked, room, allowed, &mut plan, report);
        }
        Thinking::Adaptive | Thinking::Level => {
            let blocked =
                forced && onto.caps.forced_tool_choice == Some(ForcedToolChoice::NotWithThinking);
            if blocked { off(report) } else { adaptive(asked, onto, &mut plan, report) }
        }
    }
    plan
}

fn off(report: &mut Report) {
    report.field(Code::ThinkingDisabled, Field::Reasoning);
}

fn default_limit(onto: &Onto<'_>, report: &mut Report) -> u64 {
    report.field(Code::DefaultFilled, Field::OutputLimit);
    onto.caps.max_output_tokens.unwrap_or(onto.caps.default_max_output_tokens)
}

/// As its own client wrote it.
fn own(asked: &ReasoningRequest) -> Option<Object<'_>> {
    let mut thinking = match asked.budget? {
        ReasoningBudget::Tokens(tokens) => Object::of("enabled").with("budget_tokens", tokens),
        ReasoningBudget::Off => Object::of("disabled"),
        ReasoningBudget::Dynamic => Object::of("adaptive"),
    };
    if asked.visible == Some(false) && asked.budget != Some(ReasoningBudget::Off) {
        thinking.put("display", "omitted");
    }
    for (key, value) in &asked.extra.0 {
        thinking.put(key.as_ref(), value);
    }
    Some(thinking)
}

fn adaptive(asked: &ReasoningRequest, onto: &Onto<'_>, plan: &mut Plan<'_>, report: &mut Report) {
    let effort = effort::asked(asked);
    if effort == Some(Effort::None) {
        plan.thinking = Some(Object::of("disabled"));
        return;
    }
    plan.thinking = Some(Object::of("adaptive"));
    plan.effort = effort.map(|effort| {
        let least = if effort == Effort::Minimal { Effort::Low } else { effort };
        let taken = effort::nearest(least, onto.caps.efforts.as_ref());
        if taken != least {
            report.field(Code::Clamped, Field::Reasoning);
        }
        taken
    });
}

/// `room`: how far the output limit may be raised, where the client set none.
fn budget(
    asked: &ReasoningRequest,
    room: Option<u64>,
    allowed: bool,
    plan: &mut Plan<'_>,
    report: &mut Report,
) {
    let wanted = match (asked.budget, effort::asked(asked)) {
        (_, Some(Effort::None)) => return,
        (Some(ReasoningBudget::Tokens(tokens)), _) => tokens,
        (_, Some(effort)) => effort::budget(effort),
        (Some(ReasoningBudget::Dynamic), None) => effort::budget(Effort::Medium),
        (_, None) => return,
    };
    if let Some(most) = room {
        plan.max_tokens = plan.max_tokens.max(wanted.saturating_add(ROOM)).min(most);
    }
    if !allowed || plan.max_tokens <= LEAST {
        off(report);
        return;
    }
    let tokens = wanted.clamp(LEAST, plan.max_tokens - 1);
    if tokens != wanted {
        report.field(Code::Clamped, Field::Reasoning);
    }
    plan.thinking = Some(Object::of("enabled").with("budget_tokens", tokens));
    plan.budget = true;
}

/// The conversation ends in results of calls whose turn does not begin with a block of thinking.
fn is_unsigned_loop(shape: &Shape<'_>, onto: &Onto<'_>) -> bool {
    let mut later = shape.turns.iter().rev().skip_while(|turn| matches!(turn, Turn::System(_)));
    let Some(Turn::Results(_)) = later.next() else { return false };
    match later.next() {
        Some(Turn::Assistant(turn)) => !begins_with_thinking(turn, onto),
        _ => false,
    }
}

fn begins_with_thinking(turn: &Assistant<'_>, onto: &Onto<'_>) -> bool {
    let kept = turn.pieces.iter().find_map(|piece| match piece {
        Piece::Part(Part::Reasoning(reasoning)) => {
            let native = turns::native(reasoning, onto.family);
            let kept = native.filter(|opaque| turns::is_intact(reasoning, opaque, onto.scope));
            kept.map(|_| true)
        }
        _ => Some(false),
    });
    kept == Some(true)
}

/// Whether the conversation holds reasoning of this vendor's models.
pub(super) fn replays_native(shape: &Shape<'_>, onto: &Onto<'_>) -> bool {
    shape.turns.iter().any(|turn| match turn {
        Turn::Assistant(turn) => turn.pieces.iter().any(|piece| match piece {
            Piece::Part(Part::Reasoning(reasoning)) => {
                turns::native(reasoning, onto.family).is_some()
            }
            _ => false,
        }),
        _ => false,
    })
}
