//! A request to count the tokens of a prompt, both ways.

use tollgate_core::{Protocol, Refusal};

use super::{read, write};
use crate::{
    codec::{Incoming, Onto, Outgoing},
    json::{Bad, Json, Node, Object},
    model::Conversation,
    warning::Report,
};

/// Reads either form: contents alone, or a whole request.
pub(super) fn read(incoming: &Incoming<'_>) -> Result<Conversation, Bad> {
    let body = Node::parse(incoming.body)?.fields();
    let mut body = body.ok_or(Bad::new("", "the body must be a JSON object"))?.camel();
    let c = match body.fields("generateContentRequest")? {
        Some(request) => read::fields(request.camel(), incoming.model)
            .map_err(|bad| bad.under("generateContentRequest"))?,
        None => read::fields(body, incoming.model)?,
    };
    debug_assert_eq!(c.source, Protocol::Gemini);
    Ok(c)
}

/// Writes the form that counts instructions and tools too.
pub(super) fn write(
    c: &Conversation,
    onto: &Onto<'_>,
    report: &mut Report,
) -> Result<Outgoing, Refusal> {
    let mut request = Object::new().with("model", format!("models/{}", onto.model));
    request.0.extend(write::prompt(c, onto, report)?.0);
    let body = Object::new().with("generateContentRequest", request);
    Ok(Outgoing::new(super::path(onto, "countTokens")?, Json::from(body).to_bytes()))
}
