use std::fmt;

use tollgate_core::{Money, Plan, PlanStep, Refusal, State};

use crate::{Ask, Order, Router, Wishes, facts::Facts};

/// Why a request would be answered by whom: a plan with everything it was made by.
///
/// Shown as text, one line per fact and step.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The model as it was asked for.
    pub asked: String,
    /// The name on which a key's allowed models are checked.
    pub canonical: String,
    /// The key's name; `None` for the anonymous.
    pub principal: Option<String>,
    /// In which order targets are asked.
    pub order: Order,
    /// What the request itself says, if anything.
    pub wishes: Option<Wishes>,
    /// About how many tokens the prompt has.
    pub prompt_tokens: u64,
    /// Why the target that answered this conversation last goes first, if it does.
    pub kept: Option<&'static str>,
    /// The plan, or what the caller would be told.
    pub plan: Result<Plan, Refusal>,
    /// What is known of each chosen target, in the plan's order.
    pub steps: Vec<Explained>,
}

/// What is known of a chosen target.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explained {
    /// What the call costs there if its answer is as long as it may be, or 1024 tokens where nobody
    /// says; `None`: nobody knows.
    pub cost: Option<Money>,
    /// Whether it is set aside.
    pub state: State,
    /// Attempts under way.
    pub in_flight: u32,
    /// Tokens under way.
    pub in_flight_tokens: u64,
    /// How long its first content takes, if that was seen.
    pub first_content: Option<std::time::Duration>,
    /// How long a whole JSON answer of its takes, if that was seen.
    pub answer: Option<std::time::Duration>,
}

impl Router {
    /// Explains who would answer a request, and why. Asks nobody and changes nothing.
    pub fn explain(&self, ask: &Ask<'_>) -> Explanation {
        let facts = Facts::new(ask);
        let (plan, basis) = match self.plan(ask) {
            Ok((plan, basis)) => (Ok(plan), basis),
            Err(refusal) => (Err(refusal), Default::default()),
        };
        let chosen = plan.as_ref().map_or(&[][..], |plan| &plan.chosen);
        let steps = chosen.iter().map(|step| self.explained(step, &facts)).collect();
        Explanation {
            asked: ask.model().to_owned(),
            canonical: self.canonical(ask.model(), ask.call.protocol).into_owned(),
            principal: ask.principal.map(|who| who.name.to_string()),
            order: basis.order,
            wishes: basis.wishes,
            prompt_tokens: facts.prompt(),
            kept: basis.kept,
            plan,
            steps,
        }
    }

    fn explained(&self, step: &PlanStep, facts: &Facts<'_>) -> Explained {
        let (target, standing) = (&step.target, self.board.of(&step.target));
        let provider = self.position(&target.provider);
        let catalogue = provider.map_or(&self.catalogue, |at| self.catalogue_of(at));
        Explained {
            cost: facts.cost(target, catalogue),
            state: standing.state(facts.ask.now()),
            in_flight: standing.in_flight(),
            in_flight_tokens: standing.in_flight_tokens(),
            first_content: standing.first_content(),
            answer: standing.answer(),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "key: {}", self.principal.as_deref().unwrap_or("none"))?;
        writeln!(f, "model: {} (checked as {})", self.asked, self.canonical)?;
        writeln!(f, "prompt: about {} tokens", self.prompt_tokens)?;
        let plan = match &self.plan {
            Ok(plan) => plan,
            Err(refusal) => return writeln!(f, "refused ({}): {}", refusal.class, refusal.message),
        };
        writeln!(f, "order: {}", self.order)?;
        for (i, (step, known)) in plan.chosen.iter().zip(&self.steps).enumerate() {
            let (target, number) = (&step.target, i + 1);
            write!(f, "{number}. {} at {}: {}", target.name(), target.deployment, step.reason)?;
            if let Some(score) = step.score {
                write!(f, ", score {score:.6}")?;
            }
            writeln!(f, "{known}")?;
        }
        plan.skipped
            .iter()
            .try_for_each(|skipped| writeln!(f, "-  {}: {}", skipped.target.name(), skipped.why))
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cost {
            Some(cost) => write!(f, ", about {cost} USD")?,
            None => f.write_str(", price unknown")?,
        }
        match self.state {
            State::Open => Ok(()),
            State::Ejected(ejection) => write!(f, ", set aside ({})", ejection.reason),
            State::Probing(ejection) => write!(f, ", being probed ({})", ejection.reason),
        }
    }
}
