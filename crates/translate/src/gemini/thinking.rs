//! Whether and how the model shall think.

use tollgate_core::{Effort, Protocol, Thinking};

use crate::{
    codec::Onto,
    effort,
    json::{Json, Object},
    model::{Conversation, Field, ReasoningBudget, ReasoningRequest},
    warning::{Code, Report},
};

const LEVELS: [(Effort, &str); 5] = [
    (Effort::Minimal, "MINIMAL"),
    (Effort::Low, "LOW"),
    (Effort::Medium, "MEDIUM"),
    (Effort::High, "HIGH"),
    (Effort::XHigh, "XHIGH"),
];

pub(super) fn config<'a>(
    c: &'a Conversation,
    onto: &Onto<'_>,
    report: &mut Report,
) -> Option<Object<'a>> {
    let asked = c.reasoning.as_ref()?;
    let own = c.source == Protocol::Gemini;
    let mut config = Object::new();
    match onto.caps.thinking.unwrap_or(Thinking::Level) {
        _ if own => put_own(&mut config, asked),
        Thinking::None => {
            report.field(Code::ThinkingDisabled, Field::Reasoning);
            return None;
        }
        Thinking::Budget => put_budget(&mut config, asked),
        Thinking::Level | Thinking::Adaptive => put_level(&mut config, asked, onto, report),
    }
    let visible = if own { asked.visible } else { asked.visible.filter(|visible| *visible) };
    let mut config = config.maybe("includeThoughts", visible);
    if own {
        for (key, value) in &asked.extra.0 {
            config.put(key.as_ref(), value);
        }
    }
    (!config.is_empty()).then_some(config)
}

fn put_own(config: &mut Object<'_>, asked: &ReasoningRequest) {
    if let Some(effort) = asked.effort {
        config.put("thinkingLevel", effort::word(effort).to_ascii_uppercase());
    }
    match asked.budget {
        Some(ReasoningBudget::Off) => config.put("thinkingBudget", 0_u64),
        Some(ReasoningBudget::Dynamic) => config.put("thinkingBudget", -1_i64),
        Some(ReasoningBudget::Tokens(tokens)) => config.put("thinkingBudget", tokens),
        None => {}
    }
}

fn put_budget(config: &mut Object<'_>, asked: &ReasoningRequest) {
    let budget: Json<'_> = match (asked.budget, effort::asked(asked)) {
        (Some(ReasoningBudget::Tokens(tokens)), _) => tokens.into(),
        (_, Some(effort)) => budget(effort).into(),
        (Some(ReasoningBudget::Dynamic), None) => (-1_i64).into(),
        _ => return,
    };
    config.put("thinkingBudget", budget);
}

/// The budget of the second generation.
fn budget(effort: Effort) -> u64 {
    match effort {
        Effort::None => 0,
        Effort::Minimal | Effort::Low => 1024,
        Effort::Medium => 8192,
        Effort::High => 24_576,
        Effort::XHigh | Effort::Max => 32_768,
    }
}

fn put_level(
    config: &mut Object<'_>,
    asked: &ReasoningRequest,
    onto: &Onto<'_>,
    report: &mut Report,
) {
    let Some(wanted) = effort::asked(asked) else { return };
    let taken = effort::nearest(wanted, onto.caps.efforts.as_ref());
    let level = taken.clamp(Effort::Minimal, Effort::XHigh);
    if level != wanted {
        report.field(Code::Clamped, Field::Reasoning);
    }
    if let Some((_, word)) = LEVELS.iter().find(|(each, _)| *each == level) {
        config.put("thinkingLevel", *word);
    }
}
