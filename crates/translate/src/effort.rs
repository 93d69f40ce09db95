//! Effort words, budgets of tokens, and how one becomes the other.

use std::collections::BTreeSet;

use tollgate_core::Effort;

use crate::model::{ReasoningBudget, ReasoningRequest};

const WORDS: [(Effort, &str); 7] = [
    (Effort::None, "none"),
    (Effort::Minimal, "minimal"),
    (Effort::Low, "low"),
    (Effort::Medium, "medium"),
    (Effort::High, "high"),
    (Effort::XHigh, "xhigh"),
    (Effort::Max, "max"),
];

pub(crate) fn parse(word: &str) -> Option<Effort> {
    WORDS.iter().find(|(_, each)| each.eq_ignore_ascii_case(word)).map(|(effort, _)| *effort)
}

pub(crate) fn word(effort: Effort) -> &'static str {
    WORDS.iter().find(|(each, _)| *each == effort).map_or("medium", |(_, word)| word)
}

/// The budget an effort stands for.
pub(crate) fn budget(effort: Effort) -> u64 {
    match effort {
        Effort::None => 0,
        Effort::Minimal => 1024,
        Effort::Low => 2048,
        Effort::Medium => 8192,
        Effort::High => 24_576,
        Effort::XHigh => 32_768,
        Effort::Max => 65_536,
    }
}

/// The effort a budget stands for; nothing where the model decides.
pub(crate) fn of_budget(budget: ReasoningBudget) -> Option<Effort> {
    Some(match budget {
        ReasoningBudget::Off | ReasoningBudget::Tokens(0) => Effort::None,
        ReasoningBudget::Dynamic => return None,
        ReasoningBudget::Tokens(..=1024) => Effort::Minimal,
        ReasoningBudget::Tokens(..=4096) => Effort::Low,
        ReasoningBudget::Tokens(..=12_288) => Effort::Medium,
        ReasoningBudget::Tokens(..=24_576) => Effort::High,
        ReasoningBudget::Tokens(..=49_152) => Effort::XHigh,
        ReasoningBudget::Tokens(_) => Effort::Max,
    })
}

/// The effort a request asks for, said or meant. Switched off wins.
pub(crate) fn asked(request: &ReasoningRequest) -> Option<Effort> {
    match (request.budget, request.effort) {
        (Some(ReasoningBudget::Off), _) => Some(Effort::None),
        (_, Some(effort)) => Some(effort),
        (Some(budget), None) => of_budget(budget),
        (None, None) => None,
    }
}

/// The nearest effort the model takes: lower first, then higher.
pub(crate) fn nearest(effort: Effort, taken: Option<&BTreeSet<Effort>>) -> Effort {
    let Some(taken) = taken.filter(|taken| !taken.is_empty()) else { return effort };
    let lower = taken.range(..=effort).next_back();
    lower.or_else(|| taken.range(effort..).next()).copied().unwrap_or(effort)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_lower_effort_is_taken_and_else_the_nearest_higher() {
        let taken = BTreeSet::from([Effort::Low, Effort::High]);
        let near = |effort| nearest(effort, Some(&taken));
        assert_eq!(near(Effort::Max), Effort::High);
        assert_eq!(near(Effort::Medium), Effort::Low);
        assert_eq!(near(Effort::None), Effort::Low);
        assert_eq!(nearest(Effort::Max, None), Effort::Max);
    }

    #[test]
    fn an_efforts_budget_means_that_effort() {
        for (effort, word) in WORDS {
            assert_eq!(of_budget(ReasoningBudget::Tokens(budget(effort))), Some(effort), "{word}");
            assert_eq!(parse(word), Some(effort));
        }
    }
}
