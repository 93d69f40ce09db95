//! A request to count the tokens of a prompt.

use tollgate_core::Refusal;

use super::write::{counts_thinking, prompt};
use crate::{
    codec::{Onto, Outgoing},
    json::{Json, Object},
    model::{Conversation, ReasoningBudget},
    warning::Report,
};

pub(super) fn write(
    c: &Conversation,
    onto: &Onto<'_>,
    report: &mut Report,
) -> Result<Outgoing, Refusal> {
    let prompt = prompt(c, onto, report)?;
    let thinking = c.reasoning.as_ref().and_then(|asked| match asked.budget {
        Some(ReasoningBudget::Tokens(tokens)) if counts_thinking(onto) => {
            Some(Object::of("enabled").with("budget_tokens", tokens.max(1024)))
        }
        _ => None,
    });
    let mut body = Object::new().with("model", onto.model);
    if let Some(system) = prompt.system {
        body.put("system", system);
    }
    body.put("messages", prompt.messages);
    if !prompt.offer.tools.is_empty() {
        body.put("tools", prompt.offer.tools);
    }
    let body = body.maybe("tool_choice", prompt.offer.choice).maybe("thinking", thinking);
    let bytes = Json::from(body).to_bytes();
    let headers = vec![("anthropic-version", "2023-06-01")];
    Ok(Outgoing { headers, ..Outgoing::new("/v1/messages/count_tokens", bytes) })
}
